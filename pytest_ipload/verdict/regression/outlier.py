"""How far beyond all previous values a new one has to lie to be more than chance.

The criterion is that of W. J. Dixon, Analysis of extreme values, Annals of Mathematical Statistics 21 (1950), pages
488-506: the gap between the new value and the worst one before it, in terms of the range of those before it (his r10 is
gap / (gap + range)). It is applied to the newest value and to no other. So whatever the distribution, a false
alarm has a probability of at most 1 / (n + 1): the new value has to be the worst of n + 1 that are alike (H. A. David
and H. N. Nagaraja, Order Statistics, 3rd ed., section 7.3 on prediction). How much smaller it is depends on the
distribution, and is worked out for normally distributed values.
"""

from __future__ import annotations

from functools import lru_cache
from math import erfc, sqrt
from statistics import NormalDist

_STEP, _FARTHEST = 0.2, 6.0
"""In standard deviations. The integrand is so smooth that a finer step does not change the third digit."""
_WIDEST = 64.0
_HALVINGS = 40


def chance_beyond(seen: int, share: float) -> float:
    """The probability that a value exceeds the largest of ``seen`` others by more than a share of their range.

    For independent normally distributed values, at least three of which were seen.
    """
    return sum(weight * erfc((largest + share * width) / sqrt(2)) / 2 for largest, width, weight in _extremes(seen))


@lru_cache(maxsize=64)
def gap_share(seen: int, probability: float) -> float:
    """The share of the range that is exceeded with only this probability (see ``chance_beyond``); 0 or more."""
    low, high = 0.0, _WIDEST
    if chance_beyond(seen, low) <= probability:
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if chance_beyond(seen, middle) > probability else (low, middle)
    return high


@lru_cache(maxsize=8)
def _extremes(seen: int) -> list[tuple[float, float, float]]:
    """The largest of ``count`` standard normal values, the width of their range, and the probability of both.

    The density of the smallest being x and the largest y is n (n - 1) f(x) f(y) (F(y) - F(x)) ** (n - 2) (David and
    Nagaraja, section 2.3).
    """
    normal = NormalDist()
    values = [_STEP * step - _FARTHEST for step in range(round(2 * _FARTHEST / _STEP) + 1)]
    points = [(value, normal.pdf(value) * _STEP, normal.cdf(value)) for value in values]
    return [
        (high, high - low, seen * (seen - 1) * density * low_density * (below - low_below) ** (seen - 2))
        for place, (high, density, below) in enumerate(points)
        for low, low_density, low_below in points[:place]
    ]
