from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_ipload.capacity.estimate import LAPSES, CapacityEstimate


def estimate(*rounds: tuple[float, bool], step: float = 0.01) -> CapacityEstimate:
    found = CapacityEstimate(1, 1000, step)
    for level, is_within in rounds:
        found.add(level, is_within)
    return found


def test_before_the_first_round_all_capacities_are_as_likely_on_a_logarithmic_scale() -> None:
    assert estimate().quantiles(0.25, 0.5, 0.75) == pytest.approx([10**0.75, 10**1.5, 10**2.25], rel=0.02)
    assert estimate().within_at(10) == pytest.approx(2 / 3, abs=0.02)


def test_it_is_between_what_held_and_what_failed() -> None:
    low, middle, high = estimate((100, True), (80, True), (200, False), (250, False)).quantiles(0.1, 0.5, 0.9)
    assert 95 < low < 110
    assert middle == pytest.approx(math.sqrt(100 * 200), rel=0.05)
    assert 180 < high < 210


def test_the_order_of_rounds_does_not_matter() -> None:
    rounds = [(100.0, True), (200.0, False), (150.0, True), (140.0, False)]
    for shuffled in (rounds, rounds[::-1]):
        assert estimate(*shuffled).quantiles(0.5) == pytest.approx(estimate(*rounds).quantiles(0.5))


def test_rounds_that_contradict_each_other_widen_the_interval() -> None:
    def width(*rounds: tuple[float, bool]) -> float:
        low, high = estimate(*rounds).quantiles(0.025, 0.975)
        return math.log(high / low)

    smooth = [(100.0, True), (110.0, True), (120.0, True), (130.0, False), (140.0, False), (150.0, False)]
    mixed = [(100.0, True), (110.0, False), (120.0, True), (130.0, False), (140.0, True), (150.0, False)]
    assert width(*mixed) > 1.5 * width(*smooth)


def test_one_mishap_is_outvoted() -> None:
    (middle,) = estimate((100, False), *[(level, True) for level in (101, 110, 150, 250)], (300, False)).quantiles(0.5)
    assert 250 < middle < 300


def test_far_away_rounds_are_certain_but_for_lapses() -> None:
    found = estimate(*[(100.0, True)] * 3, *[(120.0, False)] * 3)
    assert found.within_at(10) == pytest.approx(1 - LAPSES / 2, abs=1e-3)
    assert found.within_at(999) == pytest.approx(LAPSES / 2, abs=1e-3)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0.01, 1e5), st.booleans()), max_size=30))
def test_quantiles_are_in_order_and_in_range(rounds: Sequence[tuple[float, bool]]) -> None:
    found = estimate(*rounds, step=0.05)
    ends = found.quantiles(0.025, 0.25, 0.5, 0.75, 0.975)
    assert ends == sorted(ends)
    assert 0.9 < ends[0] <= ends[-1] < 1100
    assert 0 < found.within_at(30) < 1


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """150 times 12 rounds near a capacity of 100, with a noise of 5 %."""
    rng, held = random.Random(1), 0
    for _ in range(150):
        found = estimate((50, True), (200, False), step=0.02)
        for _ in range(12):
            level = found.quantiles(rng.choice((0.25, 0.75)))[0]
            found.add(level, level < 100 * rng.lognormvariate(0, 0.05))
        low, high = found.quantiles(0.025, 0.975)
        held += low <= 100 <= high
    assert held >= 0.93 * 150
