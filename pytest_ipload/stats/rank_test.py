"""Are the values of one side larger than those of the other? A test that knows nothing of how values spread.

H. B. Mann and D. R. Whitney, On a test of whether one of two random variables is stochastically larger than the other,
Annals of Mathematical Statistics 18 (1947), pages 50-60. The shift is that of J. L. Hodges and E. L. Lehmann,
Estimates of location based on rank tests, Annals of Mathematical Statistics 34 (1963), pages 598-611.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from statistics import median


def p_larger(first: Sequence[float], second: Sequence[float]) -> float:
    """The probability of such large ranks of the values of ``first`` if both sides were alike; both need values.

    Exact, also with ties: equal values share their mean rank, and all ways to deal the ranks out to the two sides are
    counted. With 5 values a side that takes a millisecond, with 20 half a second.
    """
    if not first or not second:
        raise ValueError("a rank test needs values on both sides")
    pooled = sorted([*first, *second])

    def doubled_rank(value: float) -> int:
        """Twice the mean rank, which is a whole number."""
        return bisect_left(pooled, value) + bisect_right(pooled, value) + 1

    ways: list[Counter[int]] = [Counter() for _ in range(len(first) + 1)]
    """By the number of ranks dealt to ``first``: in how many ways they add up to a sum."""
    ways[0][0] = 1
    for rank in map(doubled_rank, pooled):
        for dealt in range(len(first), 0, -1):
            for total, count in ways[dealt - 1].items():
                ways[dealt][total + rank] += count
    observed = sum(map(doubled_rank, first))
    as_large = sum(count for total, count in ways[-1].items() if total >= observed)
    return as_large / math.comb(len(pooled), len(first))


def shift(first: Sequence[float], second: Sequence[float]) -> float:
    """By how much the values of ``first`` are larger: the median of all differences (Hodges and Lehmann)."""
    return median(one - other for one in first for other in second)
