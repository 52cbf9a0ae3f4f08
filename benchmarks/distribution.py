"""Percentiles of latencies, and how far they are from a known truth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value at the nearest rank of ascending values. ValueError without values."""
    if not ordered:
        raise ValueError("a percentile of no values")
    # Rounded first: 99.9 / 100 * 1000 is a little more than 999 in binary.
    rank = math.ceil(round(percent / 100 * len(ordered), 9))
    return ordered[max(rank, 1) - 1]


class Figures(NamedTuple):
    """What a tool reports of a load's latencies, in milliseconds."""

    p50: float
    p90: float
    p99: float
    largest: float

    def minus(self, truth: float) -> Figures:
        """The errors, when every latency was ``truth``."""
        return Figures(*(value - truth for value in self))


def figures(latencies: Sequence[float]) -> Figures:
    """The figures of plain values in any order."""
    ordered = sorted(latencies)
    return Figures(*(percentile(ordered, percent) for percent in (50, 90, 99, 100)))


def over_rounds(rounds: Sequence[Figures]) -> Figures:
    """Medians over the rounds, and the largest value of all."""
    middle = [statistics.median(values) for values in zip(*rounds, strict=True)]
    return Figures(middle[0], middle[1], middle[2], max(each.largest for each in rounds))


def of_stalls(delay: float, every: float, stall: float) -> Figures:
    """What users who come evenly would see of a server that answers after ``delay`` but stalls regularly.

    Times in milliseconds. Who comes ``t`` after the beginning of a stall waits ``stall - t``, so the share
    ``(stall - x) / every`` waits longer than ``x``. What catching up takes is left out.
    """
    waits = [max(delay, stall - every * (100 - percent) / 100) for percent in (50, 90, 99, 100)]
    return Figures(*waits)
