"""How sure a measured quantile or share is.

A quantile is a sorted sample with a certain rank, and its interval lies between two others. A sorted sample is
``X(1) <= X(2) <= ... <= X(n)``; ranks count from 1. A quantile is a fraction, 0.95 for p95.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from statistics import NormalDist

_PARTS = 10**12
"""A quantile is read to 12 decimals, so that 0.07 is 7/100 and not the binary fraction next to it."""
_NEGLIGIBLE = 1e-20
"""Binomial weights below this share of the largest one (9.6 standard deviations away) are left out."""
_ROUNDING = 1e-9
"""A tail that is larger than allowed by this share is a tie, as 5 % of one sample at 90 %, and not larger."""


def nearest_rank(count: int, q: float) -> int:
    """The rank ``ceil(q * count)`` of the quantile ``q`` (0 to 1), at least 1: the nearest-rank definition.

    Exact: whole numbers are used, so 0.07 of 100 samples is rank 7 although ``0.07 * 100`` is above 7.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"{q!r} is not a quantile; a quantile is a fraction from 0 to 1, as in 0.95")
    return max(1, -(-round(q * _PARTS) * count // _PARTS))


def minimum_samples(q: float) -> int:
    """The number of samples from which the quantile ``q`` counts as certain enough: ``ceil(10 / (1 - q))``.

    With that many, about ten samples lie above the quantile: 20 for the median, 200 for p95, 1000 for p99.
    """
    _check_inside(q, "quantile")
    # Read to 12 decimals, a quantile may round up to 1; one part is the smallest rest there is.
    return -(-10 * _PARTS // max(1, _PARTS - round(q * _PARTS)))


def quantile_ranks(
    count: int, q: float, confidence: float = 0.95, effective: int | None = None
) -> tuple[int | None, int | None]:
    """Ranks (lower, upper) of the samples between which the true quantile ``q`` lies with this confidence.

    The interval needs no assumption about the distribution. With B ~ Binomial(count, q), the number of samples at
    or below the true quantile, and ``tail = (1 - confidence) / 2``:

    - lower is the largest rank l with P(B < l) <= tail,
    - upper is the smallest rank u with P(B >= u) <= tail.

    A side is None when ``count`` is too small to bound it. Source: W. J. Conover, Practical Nonparametric
    Statistics, 3rd ed., section 3.2 (confidence interval for a quantile); also H. A. David and H. N. Nagaraja,
    Order Statistics, 3rd ed., section 7.1.

    Where samples are not independent, ``effective`` is the number of independent ones that they are worth
    (``batch_means``): the ranks for that number are stretched to those of all samples. Source: R. S. Woodruff,
    Confidence intervals for medians and other position measures, Journal of the American Statistical Association 47
    (1952), pages 635-646.
    """
    _check_inside(q, "quantile")
    _check_inside(confidence, "confidence")
    if count < 0:
        raise ValueError(f"{count} is not a number of samples")
    if effective is not None and effective < count:
        lower, upper = quantile_ranks(effective, q, confidence)
        middle = nearest_rank(count, q)
        return (
            None if lower is None else max(1, min(lower * count // effective, middle)),
            None if upper is None else max(-(-upper * count // effective), middle),
        )
    first, weights = _binomial_weights(count, q)
    tail = (1 - confidence) / 2 * (1 + _ROUNDING) * sum(weights)
    lower = first + _terms_within(tail, weights)
    upper = first + len(weights) - _terms_within(tail, reversed(weights))
    return (lower if lower >= 1 else None), (upper if upper <= count else None)


def samples_to_close(q: float, confidence: float = 0.95) -> tuple[int, int]:
    """The numbers of samples from which on ``quantile_ranks`` bounds the quantile from below, and from above.

    All of n samples lie above the true quantile with the probability (1 - q) ** n, and below it with q ** n; each has
    to be at most ``(1 - confidence) / 2``.
    """
    _check_inside(q, "quantile")
    _check_inside(confidence, "confidence")
    tail = math.log((1 - confidence) / 2 * (1 + _ROUNDING))
    return max(1, math.ceil(tail / math.log1p(-q))), max(1, math.ceil(tail / math.log(q)))


def share_interval(
    part: int, whole: int, confidence: float = 0.95, effective: int | None = None
) -> tuple[float, float]:
    """Between which fractions the true share lies with this confidence, when ``part`` of ``whole`` were counted.

    ``effective`` is the number of independent samples that they are worth, where they are not independent.

    The Wilson score interval: the shares p from which the counted one is at most z standard deviations
    ``sqrt(p * (1 - p) / whole)`` away. Unlike the textbook interval it is right near 0 as well, where error rates are.
    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal of the
    American Statistical Association 22 (1927), pages 209-212.
    """
    _check_inside(confidence, "confidence")
    if not 0 <= part <= whole or whole == 0:
        raise ValueError(f"{part} of {whole} is not a share")
    z_squared = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    number = whole if effective is None else min(effective, whole)
    share = part / whole
    centre = share * number + z_squared / 2
    spread = math.sqrt(z_squared * (number * share * (1 - share) + z_squared / 4))
    # At the ends the two terms are equal, but for their rounding.
    low = (centre - spread) / (number + z_squared) if part else 0.0
    high = (centre + spread) / (number + z_squared) if part < whole else 1.0
    return low, high


def _check_inside(value: float, what: str) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{value!r} is not a {what}; it must lie between 0 and 1, as in 0.95")


def _binomial_weights(count: int, q: float) -> tuple[int, list[float]]:
    """The first k and the weights of k, k+1, ... of Binomial(count, q), in units of the largest one.

    The weights are computed by their ratios, outwards from the mode: no large logarithms cancel, so the relative
    error stays near 1e-12, and there are about 19 standard deviations of them (30 000 for ten million samples).
    """
    odds = q / (1 - q)
    mode = min(count, int((count + 1) * q))
    below: list[float] = []
    k, weight = mode, 1.0
    while k > 0 and weight > _NEGLIGIBLE:
        weight *= k / (count - k + 1) / odds
        below.append(weight)
        k -= 1
    above: list[float] = []
    k, weight = mode, 1.0
    while k < count and weight > _NEGLIGIBLE:
        weight *= (count - k) / (k + 1) * odds
        above.append(weight)
        k += 1
    return mode - len(below), [*reversed(below), 1.0, *above]


def _terms_within(limit: float, weights: Iterable[float]) -> int:
    """How many leading weights may be added up without passing the limit."""
    return sum(1 for _ in itertools.takewhile(lambda total: total <= limit, itertools.accumulate(weights)))
