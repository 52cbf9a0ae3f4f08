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
_MOST_ALIKE = 0.6
"""Groups that are shifted in time are others if their correlation with the real ones is at most this, or this negative:

then the real growth of a part, or what the other parts lose by it, is not found in them again.
"""
_FEWEST_SHIFTS = 4
_MOST_PARTS = 30
_FEWEST_ORDERS, _MOST_ORDERS = 200, 1000
_MOST_STEPS = 120_000
"""Observations that are looked at for the orders together, and for the shifts: a long load has thousands of seconds."""
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
    return _grown([*((False, each) for each in before), *((True, each) for each in after)], seed, in_order=False)


def grown_in_time(observations: Sequence[tuple[bool, Observation[Part]]], seed: int = 0) -> list[Growth[Part]]:
    """The same for observations in the order of time; those with True are the second group.

    What was counted is often alike for a while, whatever the reason. So the difference must also be larger than between
    the same groups shifted in time, as far as these are others.
    """
    return _grown(observations, seed, in_order=True)


def _grown(marked: Sequence[tuple[bool, Observation[Part]]], seed: int, *, in_order: bool) -> list[Growth[Part]]:
    marked = _joined(marked)
    groups = [[each for is_after, each in marked if is_after is wanted] for wanted in (False, True)]
    totals = [sum(map(_total, group)) for group in groups]
    if min(totals) < LEAST_SAMPLES or not can_decide(len(groups[0]), len(groups[1])):
        return []
    parts = _largest([each for _, each in marked])
    rows = [(_total(each), [each.get(part, 0) for part in parts]) for _, each in marked]
    labels = [is_after for is_after, _ in marked]
    found = _differences(rows, labels)
    generator = random.Random(seed)
    bound = max(_bound(rows, labels, generator), _bound_of_shifts(rows, labels) if in_order else 0.0, LEAST_GROWTH)
    named = []
    for number, part in enumerate(parts):
        if found[number] <= bound:
            continue
        low, high = _interval(rows, labels, number, generator)
        counts = [sum(each.get(part, 0) for each in group) for group in groups]
        if low > 0:
            named.append(Growth(part, counts[0] / totals[0], counts[1] / totals[1], low, high, counts[0], counts[1]))
    return sorted(named, key=lambda each: each.share_before - each.share_after)


_Row = tuple[int, list[int]]
"""All samples of an observation, and those of each part."""


def _total(observation: Observation[Part]) -> int:
    return sum(observation.values())


def _joined(marked: Sequence[tuple[bool, Observation[Part]]]) -> list[tuple[bool, Observation[Part]]]:
    """The observations, neighbours together where there are very many; those without samples say nothing."""
    some = [(is_after, each) for is_after, each in marked if any(each.values())]
    size = -(-len(some) // _MOST_OBSERVATIONS)
    joined: list[tuple[bool, dict[Part, int]]] = []
    room = 0
    for is_after, each in some:
        if room == 0 or joined[-1][0] is not is_after:
            joined.append((is_after, {}))
            room = size
        room -= 1
        for part, count in each.items():
            joined[-1][1][part] = joined[-1][1].get(part, 0) + count
    return [*joined]


def _largest(observations: Sequence[Observation[Part]]) -> list[Part]:
    """The parts that are worth a comparison."""
    sums: dict[Part, int] = {}
    for each in observations:
        for part, count in each.items():
            sums[part] = sums.get(part, 0) + count
    return sorted(sums, key=lambda part: (-sums[part], str(part)))[:_MOST_PARTS]


def _differences(rows: Sequence[_Row], labels: Sequence[bool]) -> list[float]:
    """By how much each part's share is larger in the second group."""
    width = len(rows[0][1])
    sums = ([0] * width, [0] * width)
    totals = [0, 0]
    for (total, counts), is_after in zip(rows, labels, strict=True):
        totals[is_after] += total
        into = sums[is_after]
        for place, count in enumerate(counts):
            if count:
                into[place] += count
    first, second = (max(1, total) for total in totals)
    return [after / second - prior / first for prior, after in zip(*sums, strict=True)]


def _bound(rows: Sequence[_Row], labels: Sequence[bool], generator: random.Random) -> float:
    """The largest difference of any part that chance explains, if observations are independent of each other."""
    count, size = len(rows), sum(labels)
    is_few = comb(count, size) <= _MOST_ORDERS
    orders = min(_MOST_ORDERS, max(_FEWEST_ORDERS, _MOST_STEPS // count))
    chosen = (
        combinations(range(count), size) if is_few else (generator.sample(range(count), size) for _ in range(orders))
    )
    largest = sorted(max(_differences(rows, [number in each for number in range(count)])) for each in map(set, chosen))
    if is_few:
        largest.remove(max(_differences(rows, labels)))  # what was observed is one of them
    return largest[-max(1, int(_SIGNIFICANCE * (len(largest) + 1)))]


def _bound_of_shifts(rows: Sequence[_Row], labels: Sequence[bool]) -> float:
    """The same if observations are alike for a while; 0 where there are too few other times to compare with."""
    found = []
    for shift in range(1, len(labels), -(-(len(labels) ** 2) // _MOST_STEPS)):
        moved = [*labels[shift:], *labels[:shift]]
        if abs(_correlation(labels, moved)) <= _MOST_ALIKE:
            found.append(max(_differences(rows, moved)))
    return max(found) if len(found) >= _FEWEST_SHIFTS else 0.0


def _correlation(one: Sequence[bool], other: Sequence[bool]) -> float:
    """Of two ways to mark as many observations."""
    share = sum(one) / len(one)
    both = sum(first and second for first, second in zip(one, other, strict=True)) / len(one)
    return (both - share**2) / (share - share**2)


def _interval(rows: Sequence[_Row], labels: Sequence[bool], part: int, generator: random.Random) -> tuple[float, float]:
    """Of the difference of one part's shares: by resampling the observations of each group."""
    groups = [
        [(counts[part], total) for (total, counts), is_after in zip(rows, labels, strict=True) if is_after is wanted]
        for wanted in (False, True)
    ]
    found = []
    for _ in range(_RESAMPLES):
        shares = []
        for group in groups:
            chosen = generator.choices(group, k=len(group))
            shares.append(sum(count for count, _ in chosen) / max(1, sum(total for _, total in chosen)))
        found.append(shares[1] - shares[0])
    found.sort()
    return found[int(0.025 * _RESAMPLES)], found[int(0.975 * _RESAMPLES) - 1]
