"""The live numbers of a load as one line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pytest_ipload.base.text import counted, cut, printable, width_of
from pytest_ipload.base.units import (
    NS_PER_S,
    format_clock,
    format_count,
    format_duration,
    format_number,
    format_percent,
)
from pytest_ipload.stats.live import LiveNumbers

_GAP = "  "
_NARROWEST_NAME = 12
"""The number of columns for the test's name for which less important parts of the line are left out."""


class Piece(NamedTuple):
    """A part of the line, and how pytest's terminal writer colours it."""

    text: str
    colour: str | None = None


def full_line(nodeid: str, numbers: LiveNumbers) -> str:
    """The whole line, for a log."""
    pieces = [Piece(printable(nodeid)), *_measured(numbers), _clock(numbers, with_rest=True)]
    return _GAP.join(piece.text for piece in pieces)


def fitted_line(nodeid: str, numbers: LiveNumbers, columns: int) -> list[Piece]:
    """As much as fits into ``columns`` columns of a terminal: the remaining time is left out first.

    The name of the test is that of its function, as pytest shows the file above.
    """
    name = printable(_short_name(nodeid))
    measured = _measured(numbers)
    rest = [*measured, _clock(numbers, with_rest=True)]
    if _room(rest, columns) < min(width_of(name), _NARROWEST_NAME):
        rest = [*measured, _clock(numbers, with_rest=False)]
    name = cut(name, max(_room(rest, columns), _NARROWEST_NAME))
    return _cut([Piece(name, "bold"), *rest], columns)


def shared_line(loads: Mapping[str, LiveNumbers], columns: int) -> list[Piece]:
    """The lines of loads that run together as one line, each with its share of the columns."""
    between = Piece(" | ")
    share = (columns - (len(loads) - 1) * len(between.text)) // len(loads)
    pieces: list[Piece] = []
    for nodeid, numbers in loads.items():
        pieces += [*([between] if pieces else []), *fitted_line(nodeid, numbers, max(share, 0))]
    return _cut_off(pieces, columns)


def _cut_off(pieces: Sequence[Piece], columns: int) -> list[Piece]:
    """The pieces as they are, up to where the columns end."""
    fitting: list[Piece] = []
    for piece in pieces:
        if columns <= 0:
            break
        fitting.append(Piece(cut(piece.text, columns), piece.colour))
        columns -= width_of(piece.text)
    return fitting


def _measured(numbers: LiveNumbers) -> list[Piece]:
    pieces = [] if numbers.round is None else [Piece("round {} of {}".format(*numbers.round))]
    if numbers.set_up is not None:
        done, users = map(format_count, numbers.set_up)
        return [*pieces, Piece(f"setting up users: {done} of {users}")]
    pieces.append(Piece(counted(numbers.users, "user")))
    if numbers.requests_per_s is not None:
        pieces.append(Piece(f"{format_number(numbers.requests_per_s)} req/s"))
    if (p95_ns := numbers.recent.quantile(0.95)) is not None:
        pieces.append(Piece(f"p95 {format_duration(p95_ns / NS_PER_S)}"))
    if numbers.error_rate is not None:
        pieces.append(Piece(f"errors {format_percent(numbers.error_rate)}", "red" if numbers.error_rate else None))
    return pieces


def _clock(numbers: LiveNumbers, *, with_rest: bool) -> Piece:
    elapsed, planned = format_clock(numbers.elapsed_s), numbers.planned_s
    if numbers.set_up is not None:
        return Piece(elapsed)
    if planned is None:
        done, of_all = numbers.iterations + numbers.warmup_iterations, numbers.planned_iterations
        of = "" if of_all is None else f"{_GAP}{format_count(done)} of {counted(of_all, 'iteration')}"
        return Piece(elapsed + of)
    left = f"{format_clock(round(planned) - int(numbers.elapsed_s))} left" if numbers.elapsed_s < planned else "ending"
    return Piece(f"{elapsed} of {format_clock(round(planned))}" + (f" ({left})" if with_rest else ""))


def _short_name(nodeid: str) -> str:
    """The function's name, with the id of its parameters, which may be any text."""
    path, bracket, parameters = nodeid.partition("[")
    return path.rpartition("::")[2] + bracket + parameters


def _room(pieces: Sequence[Piece], columns: int) -> int:
    """The columns left for the name before these pieces."""
    return columns - sum(len(_GAP) + width_of(piece.text) for piece in pieces)


def _cut(pieces: Sequence[Piece], columns: int) -> list[Piece]:
    """The pieces with gaps between them, up to where the columns end."""
    fitting: list[Piece] = []
    for piece in pieces:
        text = (_GAP if fitting else "") + piece.text
        fitting.append(Piece(cut(text, columns), piece.colour))
        columns -= width_of(text)
        if columns <= 0:
            break
    return fitting
