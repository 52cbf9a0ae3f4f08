"""Which parts of a whole have grown from one group of observations to another, beyond noise. Pure.

An observation is what was counted together, such as the stack samples of one second: those are alike, so the groups are
compared by observations and not by samples.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Generic, NamedTuple, TypeVar

Part = TypeVar("Part", bound=Hashable)
_SIGNIFICANCE = 0.02
"""The probability that any part at all is named where nothing has changed."""
LEAST_GROWTH = 0.05
"""Of the whole. A smaller difference explains nothing, however certain it is."""
LEAST_SAMPLES = 30
"""In each group: fewer say nothing."""
_MOST_PARTS = 30
_MOST_ORDERS = 1000
_RESAMPLES = 500
_MOST_OBSERVATIONS = 120
"""More are joined with their neighbours: half a minute of computing would not be more certain."""

Observation = Mapping[Part, int]


class Growth(NamedTuple, Generic[Part]):
    """A part that has a larger share of the second group."""

    part: Part
    share_before: float
    share_after: float
    low: float
    """The lower end of the 95 % confidence interval of the difference."""
    high: float
    samples_before: int
    samples_after: int


def can_decide(before: int, after: int) -> bool:
    """Whether there are enough ways to mix the observations of two groups: else no difference is beyond noise."""
    return comb(before + after, before) * _SIGNIFICANCE >= 1


def grown(before: Sequence[Observation[Part]], after: Sequence[Observation[Part]], seed: int = 0) -> list[Growth[Part]]:
    """The parts whose share grew, the largest growth first; none where that may be noise.

    The shares are compared with what they are if the observations are distributed over the groups at random, all parts
    together: the largest difference of any part counts. So the probability of a false alarm does not grow with the
    number of parts.
    """
    before, after = _joined(before), _joined(after)
    totals = [sum(map(_total, group)) for group in (before, after)]
    if min(totals) < LEAST_SAMPLES or not can_decide(len(before), len(after)):
        return []
    parts = _largest([*before, *after])
    rows = [(_total(each), [each.get(part, 0) for part in parts]) for each in (*before, *after)]
    found = _differences(rows, range(len(before)))
    generator = random.Random(seed)
    bound = _bound(rows, len(before), generator)
    named = []
    for number, part in enumerate(parts):
        if found[number] < max(LEAST_GROWTH, bound) or found[number] <= bound:
            continue
        low, high = _interval(rows, len(before), number, generator)
        counts = [sum(each.get(part, 0) for each in group) for group in (before, after)]
        if low > 0:
            named.append(Growth(part, counts[0] / totals[0], counts[1] / totals[1], low, high, counts[0], counts[1]))
    return sorted(named, key=lambda each: each.share_before - each.share_after)


_Row = tuple[int, list[int]]
"""All samples of an observation, and those of each part."""


def _total(observation: Observation[Part]) -> int:
    return sum(observation.values())


def _joined(group: Sequence[Observation[Part]]) -> list[Observation[Part]]:
    """The observations, neighbours together where there are very many; those without samples say nothing."""
    some = [each for each in group if any(each.values())]
    size = -(-len(some) // _MOST_OBSERVATIONS) or 1
    joined: list[Observation[Part]] = []
    for start in range(0, len(some), size):
        together: dict[Part, int] = {}
        for each in some[start : start + size]:
            for part, count in each.items():
                together[part] = together.get(part, 0) + count
        joined.append(together)
    return joined


def _largest(observations: Sequence[Observation[Part]]) -> list[Part]:
    """The parts that are worth a comparison."""
    sums: dict[Part, int] = {}
    for each in observations:
        for part, count in each.items():
            sums[part] = sums.get(part, 0) + count
    return sorted(sums, key=lambda part: (-sums[part], str(part)))[:_MOST_PARTS]


def _differences(rows: Sequence[_Row], before: Sequence[int]) -> list[float]:
    """By how much each part's share is larger in the observations that are not ``before``."""
    inside = set(before)
    width = len(rows[0][1])
    sums = ([0] * width, [0] * width)
    totals = [0, 0]
    for number, (total, counts) in enumerate(rows):
        side = 0 if number in inside else 1
        totals[side] += total
        into = sums[side]
        for place, count in enumerate(counts):
            if count:
                into[place] += count
    first, second = (max(1, total) for total in totals)
    return [after / second - prior / first for prior, after in zip(*sums, strict=True)]


def _bound(rows: Sequence[_Row], size: int, generator: random.Random) -> float:
    """The largest difference of any part that chance explains."""
    numbers = range(len(rows))
    if comb(len(rows), size) <= _MOST_ORDERS:
        largest = [max(_differences(rows, chosen)) for chosen in combinations(numbers, size)]
        largest.remove(max(_differences(rows, range(size))))  # what was observed is one of them
    else:
        largest = [max(_differences(rows, generator.sample(numbers, size))) for _ in range(_MOST_ORDERS)]
    largest.sort()
    allowed = int(_SIGNIFICANCE * (len(largest) + 1)) - 1
    return largest[len(largest) - 1 - max(0, allowed)]


def _interval(rows: Sequence[_Row], size: int, part: int, generator: random.Random) -> tuple[float, float]:
    """Of the difference of one part's shares: by resampling the observations of each group."""
    groups = [[(counts[part], total) for total, counts in group] for group in (rows[:size], rows[size:])]
    found = []
    for _ in range(_RESAMPLES):
        shares = []
        for group in groups:
            chosen = generator.choices(group, k=len(group))
            shares.append(sum(count for count, _ in chosen) / max(1, sum(total for _, total in chosen)))
        found.append(shares[1] - shares[0])
    found.sort()
    return found[int(0.025 * _RESAMPLES)], found[int(0.975 * _RESAMPLES) - 1]
