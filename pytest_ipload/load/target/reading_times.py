"""When a target is read. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

PERIOD_S = 1.0
"""Between two readings."""
SHORTEST_S = 0.2
"""A shorter time says little about the use of the processor: its counters go up in steps of 10 ms."""
LEAST_S = 0.05
"""In a load that short there is nothing better; in a shorter one the use of the processor is not measured."""


class ReadingTimes:
    """Every full second of a load, and the moments at which its judged time begins and ends."""

    def __init__(self, borders_s: Iterable[float] = ()) -> None:
        self._borders_s = sorted(border for border in borders_s if border > 0)

    def after(self, now_s: float) -> float:
        """The next time, in seconds since the start; those that passed unused are left out."""
        full = (math.floor(now_s / PERIOD_S) + 1) * PERIOD_S
        return min([full, *(border for border in self._borders_s if border > now_s)])
