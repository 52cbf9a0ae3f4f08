"""The slope of values over time, with an interval, robust against outliers. Pure.

The Theil-Sen estimator: the median of the slopes of all pairs of points. Readings close in time are alike, so its
points are the medians of ten equal spans of time. Its interval covers those of two kinds of noise:

- noise that comes and goes: the interval of P. K. Sen (Journal of the American Statistical Association 63, 1968),
  between two of these slopes, by the exact distribution of Kendall's tau;
- noise that stays, such as memory that is taken in steps and kept: Student's interval for the mean of the increments
  from one span to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, pairwise
from statistics import fmean, median, stdev
from typing import NamedTuple

from pytest_ipload.stats.student_t import student_t_quantile

SPANS = 10
"""The number of spans of time whose medians are compared."""
FEWEST = 5
"""The number of spans from which on there is an interval: with four, all may rise by chance."""


class Slope(NamedTuple):
    """A change per unit of time, and its interval; its ends are None where there are too few points to know."""

    value: float
    low: float | None
    high: float | None


def slope_of(times: Sequence[float], values: Sequence[float], confidence: float = 0.95) -> Slope | None:
    """The slope of the values over the times, which ascend; None for fewer than two moments."""
    points = _medians(times, values)
    if len(points) < 2:
        return None
    slopes = sorted((later[1] - one[1]) / (later[0] - one[0]) for one, later in combinations(points, 2))
    left_out = _ranks_left_out(len(points), confidence)
    if left_out is None:
        return Slope(median(slopes), None, None)
    low, high = _of_increments(points, confidence)
    return Slope(median(slopes), min(slopes[left_out], low), max(slopes[-1 - left_out], high))


def _of_increments(points: Sequence[tuple[float, float]], confidence: float) -> tuple[float, float]:
    """Student's interval for the mean slope from one point to the next."""
    slopes = [(later[1] - one[1]) / (later[0] - one[0]) for one, later in pairwise(points)]
    reach = student_t_quantile((1 + confidence) / 2, len(slopes) - 1) * stdev(slopes) / math.sqrt(len(slopes))
    return fmean(slopes) - reach, fmean(slopes) + reach


def _medians(times: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """The mean time and the median value of each span that has any."""
    if not times or times[-1] <= times[0]:
        return []
    first, length = times[0], times[-1] - times[0]
    spans: dict[int, list[int]] = {}
    for place, time in enumerate(times):
        spans.setdefault(min(SPANS - 1, math.floor(SPANS * (time - first) / length)), []).append(place)
    return [
        (fmean(times[place] for place in places), median(values[place] for place in places))
        for _, places in sorted(spans.items())
    ]


@lru_cache(maxsize=64)
def _ranks_left_out(points: int, confidence: float) -> int | None:
    """How many of the sorted slopes lie beyond each end of the interval; None if the points do not suffice for one.

    The true slope lies below the k-th smallest one if at most k - 1 pairs are in the order that it predicts, which has
    the probability of at most k - 1 inversions in a random permutation.
    """
    if points < FEWEST:
        return None
    counts = [1]
    for size in range(2, points + 1):  # inversions of permutations: one more element adds 0 to size - 1 of them
        wider = [0] * (len(counts) + size - 1)
        for inversions, count in enumerate(counts):
            for more in range(size):
                wider[inversions + more] += count
        counts = wider
    total, tail, found = sum(counts), 0, 0
    for inversions, count in enumerate(counts):
        tail += count
        if tail / total > (1 - confidence) / 2:
            break
        found = inversions + 1
    return found - 1 if found else None
