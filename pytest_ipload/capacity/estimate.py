"""What rounds at different levels say about the capacity, when each of them has a little luck of its own.

The capacity of a target differs from round to round: other work on its machine, caches, the moment. A round at level x
holds if the capacity at its time is above x. With c for the usual capacity, and noise that is logistic on a logarithmic
scale, this has the probability ``1 / (1 + (x / c) ** (1 / s))``: a psychometric function, as experiments on perception
have it, where a stimulus is noticed or not. Neither c nor the noise s is known: each of their values has a probability,
at first the same for all c on a logarithmic scale, and each round changes these by Bayes' rule. The interval of the
capacity is then that of c, over all s. There is no multiple testing: rounds are evidence, and nothing is concluded from
one of them.

Sources: A. B. Watson and D. G. Pelli, QUEST: a Bayesian adaptive psychometric method, Perception & Psychophysics 33
(1983), pages 113-120; N. Prins, The psi-marginal adaptive method, Journal of Vision 13 (2013), number 7, article 3, for
noise that is not known; R. Waeber, P. I. Frazier and S. G. Henderson, Bisection search with noisy responses, SIAM
Journal on Control and Optimization 51 (2013), pages 2261-2279.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from operator import add, mul

NOISES = (0.01, 0.02, 0.04, 0.08, 0.16)
"""Standard deviations of the logarithm of the capacity that a round sees, from round to round; about as fractions of
it. What a round of that length cannot know is part of it."""
_WEIGHTS = (0.3, 0.5, 1.0, 1.0, 0.5)
"""How likely each noise is at first."""
LAPSES = 0.02
"""The share of rounds that say nothing about the target, whatever they say: a neighbour's, a hiccup."""
_FURTHEST = 40.0
_PER_DEVIATION = math.sqrt(3) / math.pi
"""The scale of a logistic distribution by its standard deviation."""


class CapacityEstimate:
    """The probabilities of capacities between two levels, by the rounds so far."""

    def __init__(self, lowest: float, highest: float, step: float = 0.005) -> None:
        """``step`` is how far capacities are apart that are told apart, as a fraction."""
        self._origin = math.log(lowest)
        self._step = step
        self._size = max(2, math.ceil((math.log(highest) - self._origin) / step) + 1)
        self._weights = [[weight] * self._size for weight in _WEIGHTS]
        """For each noise, those of the capacities. They do not add up to 1, and are large enough after 100 rounds."""
        self._sums: list[float] | None = None

    def add(self, level: float, is_within: bool) -> None:
        """A round at this level was within the limits, or not."""
        self._weights = self._weighted(level, is_within)
        self._sums = None

    def quantiles(self, *shares: float) -> list[float]:
        """The levels below which the capacity lies with these probabilities."""
        if self._sums is None:
            total = self._weights[0]
            for weights in self._weights[1:]:
                total = list(map(add, total, weights))
            self._sums = list(accumulate(total))
        sums, found = self._sums, []
        for share in shares:
            target = share * sums[-1]
            index = min(bisect_left(sums, target), self._size - 1)
            before = sums[index - 1] if index else 0.0
            inside = (target - before) / (sums[index] - before) if sums[index] > before else 0.5
            found.append(math.exp(self._origin + self._step * (index - 0.5 + inside)))
        return found

    def within_at(self, level: float) -> float:
        """The probability that a round at this level is within the limits."""
        return math.fsum(map(sum, self._weighted(level, True))) / math.fsum(map(sum, self._weights))

    def _weighted(self, level: float, is_within: bool) -> list[list[float]]:
        """The weights after such a round."""
        offset = min(max(round((math.log(level) - self._origin) / self._step), 0), self._size)
        first, last = self._size - offset, 2 * self._size - offset
        return [
            list(map(mul, weights, _likelihoods(is_within, noise, self._step, self._size)[first:last]))
            for weights, noise in zip(self._weights, NOISES, strict=True)
        ]


@lru_cache(maxsize=4 * len(NOISES))
def _likelihoods(is_within: bool, noise: float, step: float, size: int) -> Sequence[float]:
    """How likely a round is within the limits, or not, by how far the capacity is above its level.

    From ``-size`` to ``size`` steps.
    """
    if not is_within:
        return tuple(1 - likely for likely in _likelihoods(True, noise, step, size))
    scale = noise * _PER_DEVIATION
    distances = (min(max(number * step / scale, -_FURTHEST), _FURTHEST) for number in range(-size, size + 1))
    return tuple(LAPSES / 2 + (1 - LAPSES) / (1 + math.exp(-distance)) for distance in distances)
