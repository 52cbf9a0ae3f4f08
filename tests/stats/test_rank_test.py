from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.stats.rank_test import p_larger, shift

few = st.lists(st.integers(0, 6), min_size=1, max_size=5)
"""Small whole numbers: many of them are equal."""


def by_enumeration(first: Sequence[int], second: Sequence[int]) -> float:
    """The share of all ways to divide the values between the sides in which the first wins as many pairs, or more."""

    def wins(chosen: Sequence[int], others: Sequence[int]) -> float:
        return sum((one > other) + (one == other) / 2 for one in chosen for other in others)

    pooled = [*first, *second]
    ways = list(combinations(range(len(pooled)), len(first)))
    as_many = sum(
        wins([pooled[i] for i in way], [pooled[i] for i in range(len(pooled)) if i not in way]) >= wins(first, second)
        for way in ways
    )
    return as_many / len(ways)


@given(few, few)
def test_it_is_the_share_of_all_ways_to_deal_the_ranks_also_with_ties(first: list[int], second: list[int]) -> None:
    assert p_larger(first, second) == pytest.approx(by_enumeration(first, second))


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], 1 / 252),
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 1.0),
        ([5, 6, 7, 8], [1, 2, 3, 4], 1 / 70),
        ([4, 5, 6], [1, 2, 3], 1 / 20),
        ([1, 1, 1], [1, 1, 1], 1.0),
        # The tables of Mann and Whitney, for 5 and 5 values: 0.008 of U = 1, 0.028 of 3, 0.048 of 4.
        ([5, 7, 8, 9, 10], [1, 2, 3, 4, 6], 2 / 252),
        ([3, 7, 8, 9, 10], [1, 2, 4, 5, 6], 7 / 252),
        ([2, 7, 8, 9, 10], [1, 3, 4, 5, 6], 12 / 252),
    ],
)
def test_values_of_tables(first: list[float], second: list[float], p: float) -> None:
    assert p_larger(first, second) == pytest.approx(p)


@given(few, few, st.sampled_from([1e-9, 0.1, 3.0, 1e9]))
def test_the_scale_does_not_matter(first: list[int], second: list[int], factor: float) -> None:
    scaled = [[value * factor for value in side] for side in (first, second)]
    assert p_larger(*scaled) == p_larger(first, second)
    assert shift(*scaled) == pytest.approx(shift(first, second) * factor)


@given(few, few)
def test_the_other_way_round_the_other_side_is_larger(first: list[int], second: list[int]) -> None:
    assert p_larger(first, second) == pytest.approx(p_larger([-each for each in second], [-each for each in first]))
    assert shift(first, second) == -shift(second, first)


@given(few, st.integers(-5, 5))
def test_a_shift_is_found_exactly(values: list[int], by: int) -> None:
    assert shift([value + by for value in values], values) == by


def test_the_shift_is_the_median_of_all_differences() -> None:
    assert shift([10, 20, 60], [1, 2]) == median([9, 8, 19, 18, 59, 58])


@pytest.mark.parametrize(("first", "second"), [([], [1.0]), ([1.0], []), ([], [])])
def test_there_have_to_be_values(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="values on both sides"):
        p_larger(first, second)
