"""A row of numbers as a row of bars, one character each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-:=+*#"
"""For a terminal that cannot show the others."""
GAP = " "


def thinned(values: Sequence[float | None], most: int) -> list[float | None]:
    """At most ``most`` values: each the largest of its part of the row, so that no peak is lost. None is a gap."""
    if len(values) <= most:
        return list(values)
    cuts = [round(place * len(values) / most) for place in range(most + 1)]
    parts = ([value for value in values[low:high] if value is not None] for low, high in pairwise(cuts))
    return [max(part, default=None) for part in parts]


def sparkline(values: Sequence[float | None], most: int, encoding: str | None = "utf-8") -> str:
    """The values as bars from 0 up to the largest, in at most ``most`` columns; None is a gap."""
    bars = _bars(encoding)
    shown = thinned(values, most)
    highest = max((value for value in shown if value is not None), default=0.0)
    return "".join(GAP if value is None else bars[_height(value, highest, len(bars))] for value in shown)


def _height(value: float, highest: float, bars: int) -> int:
    return min(bars - 1, int(value / highest * bars)) if highest > 0 else 0


def _bars(encoding: str | None) -> str:
    try:
        _BARS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN_BARS
    return _BARS
