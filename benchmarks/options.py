"""Values of the scripts' command lines."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable


def names(allowed: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """A reader of comma lists of these names; the order given does not matter."""
    known = tuple(allowed)

    def read(text: str) -> tuple[str, ...]:
        given = [word.strip() for word in text.split(",")]
        unknown = [word for word in given if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(unknown) or 'an empty name'}; choose from {','.join(known)}"
            )
        return tuple(name for name in known if name in given)

    return read


def count(text: str) -> int:
    """A whole number above zero."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"a whole number above zero, not {text!r}")
    return int(text)


def counts(text: str) -> tuple[int, ...]:
    """A comma list of whole numbers above zero, ascending and without repetitions."""
    return tuple(sorted({count(word.strip()) for word in text.split(",")}))


def amount(text: str) -> float:
    """A number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"a number above zero, not {text!r}")
    return value


def rounds_text(rounds: int) -> str:
    """``1 round``, ``3 rounds``."""
    return f"{rounds} round{'s' if rounds > 1 else ''}"


def parser(description: str | None, *, rounds: int, seconds: float, what: str) -> argparse.ArgumentParser:
    """A parser with the options that all scripts have; ``what`` says what lasts ``seconds``."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--rounds", type=count, default=rounds, metavar="N", help="rounds of each tool (default: %(default)s)"
    )
    made.add_argument("--seconds", type=amount, default=seconds, metavar="S", help=f"{what} (default: %(default)g)")
    return made


def add_only(made: argparse.ArgumentParser, tools: Iterable[str]) -> None:
    """The option that chooses among the tools."""
    known = tuple(tools)
    listed = ",".join(known)
    made.add_argument(
        "--only", type=names(known), default=known, metavar="TOOL,TOOL", help=f"tools to run (default: {listed})"
    )
