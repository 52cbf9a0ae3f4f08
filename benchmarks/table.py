"""Markdown tables, and numbers in their cells."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

ABSENT = "-"
"""In the place of what was not measured."""


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is aligned left, the others right."""
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
    if any(len(row) != len(headers) for row in lines):
        raise ValueError(f"a row has not the {len(headers)} cells of the headers: {rows}")
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def number(value: float) -> str:
    """With three significant digits below 1000, whole above."""
    if abs(value) >= 1000 or value == 0:
        return f"{value:.0f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"


def spread(values: Sequence[float]) -> str:
    """The median, and the smallest and largest where there are several."""
    if not values:
        return ABSENT
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}-{number(max(values))})"


def ratio(value: float | None, base: float | None) -> str:
    """``value`` by ``base``; absent where one is missing or the base is not above zero."""
    return ABSENT if value is None or base is None or base <= 0 else f"{number(value / base)}x"


def median(values: Sequence[float]) -> float | None:
    """The median, None of nothing."""
    return statistics.median(values) if values else None


def block(name: str, parts: Sequence[str]) -> str:
    """A result between two comments, so that it can be found and replaced in a page."""
    return "\n\n".join([f"<!-- results: {name} -->", *parts, f"<!-- end of results: {name} -->"])
