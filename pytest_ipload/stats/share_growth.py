"""Which parts of a whole have grown from one group of observations to another, beyond noise. Pure.

An observation is what was counted together, such as the stack samples of half a second: those are alike, so the groups
are compared by observations and not by samples.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, sqrt
from typing import Generic, TypeVar

Part = TypeVar("Part", bound=Hashable)
_SIGNIFICANCE = 0.04
"""The probability that any part at all is found to differ where nothing has changed; half of these have grown."""
LEAST_GROWTH = 0.05
"""Of the whole. A smaller difference explains nothing, however certain it is."""
_LEAST_OF_LARGEST = 1 / 2
"""Of the largest growth: what grew by less than that is a consequence, as a rule, and distracts from the cause."""
LEAST_SAMPLES = 30
"""In each group: fewer say nothing."""
_LEAST_OF_PART = 20
"""Samples of a part in the second group: with fewer, its share may be a matter of a single slow call."""
_MOST_ALIKE = 0.4
"""Groups that are shifted in time are others if their correlation with the real ones is at most this, or this negative:

then the real growth of a part, or what the other parts lose by it, is not found in them again.
"""
_FEWEST_SHIFTS = 4
_MOST_PARTS = 30
_FEWEST_ORDERS, _MOST_ORDERS = 200, 1000
_MOST_STEPS = 120_000
"""Observations that are looked at for the orders together, and for the shifts: a long load has thousands of them."""
_RESAMPLES = 500
_MOST_OBSERVATIONS = 120
"""More are joined with their neighbours: half a minute of computing would not be more certain."""
_BLOCK, _FEWEST_BLOCKS = 3, 6
"""Neighbours that are resampled together, as they are alike; fewer in a group without that many such blocks."""

Observation = Mapping[Part, int]
Marked = Sequence[tuple[bool, Observation[Part]]]
"""Observations; those with True are the second group."""


@dataclass(frozen=True)
class Growth(Generic[Part]):
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
    return comb(before + after, before) * _SIGNIFICANCE >= 2  # as extreme as the real groups is always their exchange


def grown(before: Sequence[Observation[Part]], after: Sequence[Observation[Part]], seed: int = 0) -> list[Growth[Part]]:
    """The parts whose share grew, the largest growth first; none where that may be noise.

    The observations are distributed over the groups at random, and a part differs if its share does by more standard
    errors than the share of any part then. Parts that differ are left out of the comparison for the others: what one
    gains, others lose, and by chance they gain as much. (Westfall and Young's step-down procedure: Resampling-Based
    Multiple Testing, 1993.) So the probability of a false alarm does not grow with the number of parts.
    """
    return _grown([*((False, each) for each in before), *((True, each) for each in after)], seed, in_order=False)


def grown_in_time(observations: Marked[Part], seed: int = 0) -> list[Growth[Part]]:
    """The same for observations in the order of time; those with True are the second group.

    What was counted is often alike for a while, whatever the reason. So the difference must also be larger than between
    the same groups shifted in time, as far as these are others.
    """
    return _grown(observations, seed, in_order=True)


def _grown(marked: Marked[Part], seed: int, *, in_order: bool) -> list[Growth[Part]]:
    marked = _joined(marked)
    groups = [[each for is_after, each in marked if is_after is wanted] for wanted in (False, True)]
    totals = [sum(map(_total, group)) for group in groups]
    if min(totals) < LEAST_SAMPLES or not can_decide(len(groups[0]), len(groups[1])):
        return []
    parts = _largest([each for _, each in marked], LEAST_GROWTH * min(totals))
    generator = random.Random(seed)
    named = []
    for number in _different(_Table(marked, parts), [is_after for is_after, _ in marked], generator, in_order=in_order):
        part = parts[number]
        counts = [sum(each.get(part, 0) for each in group) for group in groups]
        shares = [count / total for count, total in zip(counts, totals, strict=True)]
        if shares[1] - shares[0] > LEAST_GROWTH and counts[1] >= _LEAST_OF_PART:
            low, high = _interval(marked, part, generator)
            if low > 0:
                named.append(Growth(part, shares[0], shares[1], low, high, counts[0], counts[1]))
    named.sort(key=lambda each: each.share_before - each.share_after)
    least = _LEAST_OF_LARGEST * (named[0].share_after - named[0].share_before) if named else 0.0
    return [each for each in named if each.share_after - each.share_before >= least]


class _Table:
    """The counts by part, with sums that make the comparison of any two groups of observations a few additions."""

    def __init__(self, marked: Marked[Part], parts: Sequence[Part]) -> None:
        self._totals = [_total(each) for _, each in marked]
        self._squares = [total * total for total in self._totals]
        self._columns = []
        for part in parts:
            counts = [each.get(part, 0) for _, each in marked]
            products = [count * total for count, total in zip(counts, self._totals, strict=True)]
            self._columns.append((counts, [count * count for count in counts], products))
        self._all = [tuple(map(sum, column)) for column in self._columns]
        self._all_totals, self._all_squares = sum(self._totals), sum(self._squares)

    def differences(self, second: Sequence[int]) -> list[float]:
        """By how many standard errors each part's share is larger in the group of these observations than in the rest.

        The error is that of a ratio of sums, from the spread of the observations in both groups together; at least that
        of as many independent samples.
        """
        sizes = (len(self._totals) - len(second), len(second))
        after, squares = (sum(map(column.__getitem__, second)) for column in (self._totals, self._squares))
        totals = (max(1, self._all_totals - after), max(1, after))
        all_squares = (self._all_squares - squares, squares)
        found = []
        for column, whole in zip(self._columns, self._all, strict=True):
            inside = [sum(map(each.__getitem__, second)) for each in column]
            outside = [total - part for total, part in zip(whole, inside, strict=True)]
            shares, spread = [], 0.0
            for (count, square, product), total, of_totals, size in zip(
                (outside, inside), totals, all_squares, sizes, strict=True
            ):
                share = count / total
                residuals = max(0.0, square - 2 * share * product + share * share * of_totals)
                spread += residuals * (size / total) ** 2
                shares.append(share)
            variance = spread / max(1, sum(sizes) - 2) * (1 / sizes[0] + 1 / sizes[1])
            pooled = whole[0] / self._all_totals
            least = pooled * (1 - pooled) * (1 / totals[0] + 1 / totals[1])
            found.append((shares[1] - shares[0]) / sqrt(max(variance, least, 1e-12)))
        return found


def _different(table: _Table, labels: Sequence[bool], generator: random.Random, *, in_order: bool) -> list[int]:
    """The numbers of the parts whose share differs between the groups, in either direction, beyond noise."""
    real = [abs(value) for value in table.differences(_chosen(labels))]
    orders = [[abs(value) for value in table.differences(each)] for each in _orders(labels, generator)]
    shifts = [[abs(value) for value in table.differences(_chosen(each))] for each in _shifted(labels)]
    rank = max(1, int(_SIGNIFICANCE * (len(orders) + 1)))
    left = sorted(range(len(real)), key=lambda number: -real[number])
    different = []
    while left:
        bound = sorted(max(row[number] for number in left) for row in orders)[-rank]
        if in_order and len(shifts) >= _FEWEST_SHIFTS:
            bound = max(bound, max(row[number] for row in shifts for number in left))
        if real[left[0]] <= bound:
            break
        different.append(left.pop(0))
    return different


def _total(observation: Observation[Part]) -> int:
    return sum(observation.values())


def _chosen(labels: Iterable[bool]) -> list[int]:
    return [number for number, is_after in enumerate(labels) if is_after]


def _joined(marked: Marked[Part]) -> list[tuple[bool, Observation[Part]]]:
    """The observations, neighbours together where there are very many; those without samples say nothing."""
    some = [(is_after, each) for is_after, each in marked if any(each.values())]
    return _merged(some, -(-len(some) // _MOST_OBSERVATIONS))


def _merged(marked: Marked[Part], size: int) -> list[tuple[bool, Observation[Part]]]:
    """Up to ``size`` neighbours of the same group as one observation."""
    joined: list[tuple[bool, dict[Part, int]]] = []
    room = 0
    for is_after, each in marked:
        if room == 0 or joined[-1][0] is not is_after:
            joined.append((is_after, {}))
            room = size
        room -= 1
        for part, count in each.items():
            joined[-1][1][part] = joined[-1][1].get(part, 0) + count
    return [*joined]


def _largest(observations: Sequence[Observation[Part]], least: float) -> list[Part]:
    """The parts that are worth a comparison: others have too few samples to have grown enough."""
    sums: dict[Part, int] = {}
    for each in observations:
        for part, count in each.items():
            sums[part] = sums.get(part, 0) + count
    found = (part for part, count in sums.items() if count > least)
    return sorted(found, key=lambda part: (-sums[part], str(part)))[:_MOST_PARTS]


def _orders(labels: Sequence[bool], generator: random.Random) -> Iterable[Sequence[int]]:
    """The observations of the second group where they are distributed over the groups at random.

    All ways to do so, the real one and its exchange among them, if they are few.
    """
    count, size = len(labels), sum(labels)
    if comb(count, size) <= _MOST_ORDERS:
        real = tuple(_chosen(labels))
        return [each for each in combinations(range(count), size) if each != real]
    orders = min(_MOST_ORDERS, max(_FEWEST_ORDERS, _MOST_STEPS // count))
    return [generator.sample(range(count), size) for _ in range(orders)]


def _shifted(labels: Sequence[bool]) -> Iterable[Sequence[bool]]:
    """The groups shifted in time, as far as they are others; what leaves at one end comes in at the other."""
    for shift in range(1, len(labels), -(-(len(labels) ** 2) // _MOST_STEPS)):
        moved = [*labels[shift:], *labels[:shift]]
        if abs(_correlation(labels, moved)) <= _MOST_ALIKE:
            yield moved


def _correlation(one: Sequence[bool], other: Sequence[bool]) -> float:
    """Of two ways to mark as many observations."""
    share = sum(one) / len(one)
    both = sum(first and second for first, second in zip(one, other, strict=True)) / len(one)
    return (both - share**2) / (share - share**2)


def _interval(marked: Marked[Part], part: Part, generator: random.Random) -> tuple[float, float]:
    """Of the difference of one part's shares: by resampling each group, a few neighbours together."""
    groups = []
    for wanted in (False, True):
        many = sum(is_after is wanted for is_after, _ in marked)
        blocks = _merged(marked, max(1, min(_BLOCK, many // _FEWEST_BLOCKS)))
        groups.append([(each.get(part, 0), _total(each)) for is_after, each in blocks if is_after is wanted])
    found = []
    for _ in range(_RESAMPLES):
        shares = []
        for group in groups:
            chosen = generator.choices(group, k=len(group))
            shares.append(sum(count for count, _ in chosen) / max(1, sum(total for _, total in chosen)))
        found.append(shares[1] - shares[0])
    found.sort()
    return found[int(0.025 * _RESAMPLES)], found[int(0.975 * _RESAMPLES) - 1]
