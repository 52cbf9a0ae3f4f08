"""The robust slope: its value, its interval, and how often the interval holds the truth."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.stats.slope import Slope, _ranks_left_out, slope_of


@given(st.floats(-1e6, 1e6), st.floats(-1e3, 1e3), st.integers(5, 200))
def test_a_straight_line_has_its_slope_and_an_interval_of_no_width(start: float, slope: float, number: int) -> None:
    times = [float(time) for time in range(number)]
    found = slope_of(times, [start + slope * time for time in times])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    for value in found:
        assert value == pytest.approx(slope, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("times", "values"), [([], []), ([1.0], [5.0]), ([1.0, 1.0], [5.0, 6.0])])
def test_fewer_than_two_moments_have_no_slope(times: list[float], values: list[float]) -> None:
    assert slope_of(times, values) is None


def test_too_few_moments_have_a_slope_but_no_interval() -> None:
    assert slope_of([0, 1, 2, 3], [0, 2, 4, 6]) == Slope(2, None, None)
    # Five points, all in ascending order: by chance in one of 120 cases. The increments 2, 2, 2 and 4 have the mean 2.5
    # and the standard deviation 1; Student's t of three degrees of freedom is 3.182.
    found = slope_of([0, 1, 2, 3, 4], [0, 2, 4, 6, 10])
    assert found is not None
    assert list(found) == [2, pytest.approx(2.5 - 3.182 / 2, abs=1e-3), pytest.approx(2.5 + 3.182 / 2, abs=1e-3)]


@pytest.mark.parametrize(("points", "left_out"), [(4, None), (5, 0), (6, 1), (8, 5), (10, 11)])
def test_the_ranks_are_those_of_kendalls_tau(points: int, left_out: int | None) -> None:
    # The critical values at 5 %, two-sided, of tables: 10 of 10 pairs, 13 of 15, 18 of 28, 23 of 45; half of the rest.
    assert _ranks_left_out(points, 0.95) == left_out


def test_one_wild_reading_does_not_matter() -> None:
    times = [float(time) for time in range(60)]
    values = [100.0 + time for time in times]
    values[30] = 1e9
    found = slope_of(times, values)
    assert found is not None
    assert found.value == pytest.approx(1.0)


@pytest.mark.parametrize(("correlation", "least"), [(0.0, 0.95), (0.9, 0.95), (1.0, 0.85)])
def test_the_interval_holds_the_truth_as_often_as_it_says(correlation: float, least: float) -> None:
    source, held, runs = random.Random(1), 0, 200
    for _ in range(runs):
        noise, values = 0.0, []
        for time in range(120):
            noise = correlation * noise + source.gauss(0, 1)
            values.append(0.05 * time + noise)
        found = slope_of([float(time) for time in range(120)], values)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.05 <= found.high
    assert held / runs >= least
