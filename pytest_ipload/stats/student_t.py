"""Quantiles of Student's t distribution, for any number of degrees of freedom."""

from __future__ import annotations

import math

_TINY = 1e-300
_EXACT = 1e-15
_MOST_TERMS = 10_000


def student_t_quantile(p: float, degrees: float) -> float:
    """The value below which a variable with Student's t distribution lies with the probability ``p``.

    ``degrees`` of freedom is any number above zero. The relative error is below 1e-8. By bisection of the distribution
    function, which is ``1 - I(x; degrees / 2, 1 / 2) / 2`` for t > 0, with x = degrees / (degrees + t * t) and I the
    regularised incomplete beta function (M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 26.7.1).
    """
    if not 0 < p < 1:
        raise ValueError(f"{p!r} is not a probability between 0 and 1, as in 0.975")
    if not 0 < degrees < math.inf:
        raise ValueError(f"{degrees!r} degrees of freedom: there must be more than 0")
    if p < 0.5:
        return -student_t_quantile(1 - p, degrees)
    tail, low, high = 2 * (1 - p), 0.0, 1.0
    while _both_tails(high, degrees) > tail:
        low, high = high, high * 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _both_tails(middle, degrees) > tail else (low, middle)
    return (low + high) / 2


def _both_tails(t: float, degrees: float) -> float:
    """How likely the variable is farther from 0 than ``t``."""
    return _incomplete_beta(degrees / (degrees + t * t), degrees / 2, 0.5)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I(x; a, b).

    By its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22), which converges fast where
    x < (a + 1) / (a + b + 2); elsewhere by I(x; a, b) = 1 - I(1 - x; b, a).
    """
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / a / _continued_fraction(x, a, b)


def _continued_fraction(x: float, a: float, b: float) -> float:
    """``1 + d1 / (1 + d2 / (1 + ...))``, by Lentz's method (W. J. Lentz, Applied Optics 15 (1976), pages 668-671)."""
    value, numerator, denominator = 1.0, 1.0, 0.0
    for number in range(1, _MOST_TERMS):
        m = number // 2
        if number % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1 / _nonzero(1 + term * denominator)
        numerator = _nonzero(1 + term / numerator)
        value *= numerator * denominator
        if abs(1 - numerator * denominator) < _EXACT:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
