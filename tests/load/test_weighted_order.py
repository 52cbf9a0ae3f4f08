from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.load.weighted_order import MOST_TURNS, WeightedOrder, mixed_order


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ([1], [0]),
        ([7], [0]),
        ([1, 1], [0, 1]),
        ([3, 1], [0, 0, 1, 0]),
        ([6, 2], [0, 0, 1, 0]),
        ([5, 1, 1], [0, 0, 1, 0, 2, 0, 0]),  # the example in nginx's change
    ],
)
def test_orders(weights: list[int], order: list[int]) -> None:
    assert mixed_order(weights) == order


WEIGHTS = st.lists(st.integers(1, 60), min_size=1, max_size=8)


@given(WEIGHTS, st.integers(0, 500), st.integers(1, 5))
def test_each_body_has_exactly_its_share_of_users_and_of_iterations(
    weights: list[int], first: int, rounds: int
) -> None:
    order = mixed_order(weights)
    shares = Counter(order)
    assert [shares[number] * sum(weights) for number in range(len(weights))] == [each * len(order) for each in weights]
    turns = [order[(first + turn) % len(order)] for turn in range(rounds * len(order))]
    assert Counter(turns) == {number: share * rounds for number, share in shares.items()}


@given(WEIGHTS)
def test_no_body_runs_ahead_of_its_share(weights: list[int]) -> None:
    order = mixed_order(weights)
    had: Counter[int] = Counter()
    for turn, number in enumerate(order, start=1):
        had[number] += 1
        for each, weight in enumerate(weights):
            assert abs(had[each] - turn * weight / sum(weights)) < len(weights)


@pytest.mark.parametrize("weight", [0, -1, 0.5, 2.0, True, "2", None])
def test_weights_are_whole_numbers_from_1_on(weight: Any) -> None:
    with pytest.raises(ValueError, match=r"weight .* is not a positive integer"):
        mixed_order([1, weight])


def test_an_order_has_an_end() -> None:
    assert len(mixed_order([MOST_TURNS - 1, 1])) == MOST_TURNS
    assert len(mixed_order([10**9, 10**9 * 3])) == 4
    with pytest.raises(ValueError) as caught:
        mixed_order([997, 101])
    assert (
        str(caught.value)
        == "the weights 997, 101 repeat only after 1098 iterations; the maximum is 1000; use a simpler ratio"
    )


@given(WEIGHTS.filter(lambda weights: sum(weights) < 100), st.integers(-5, 5), st.integers(0, 50), st.integers(0, 50))
def test_a_seeded_order_has_the_shares_in_each_cycle_of_a_user_and_of_the_users(
    weights: list[int], seed: int, group: int, cycle: int
) -> None:
    order, plain = WeightedOrder(weights, seed), mixed_order(weights)
    length = len(plain)
    first_user, first_iteration = group * length, cycle * length
    own = [order.at(first_user + 1, first_iteration + place) for place in range(length)]
    others = [order.at(first_user + place, first_iteration) for place in range(length)]
    assert Counter(own) == Counter(others) == Counter(plain)
    assert own == [WeightedOrder(weights, seed).at(first_user + 1, first_iteration + place) for place in range(length)]


def test_another_seed_is_another_order() -> None:
    orders = {tuple(WeightedOrder([3, 1], seed).at(0, turn) for turn in range(40)) for seed in (None, -1, 0, 1, 2)}
    assert len(orders) == 5


def test_without_a_seed_an_order_is_the_same_in_each_cycle() -> None:
    order = WeightedOrder([3, 1])
    assert [order.at(1, turn) for turn in range(8)] == [0, 1, 0, 0, 0, 1, 0, 0]
