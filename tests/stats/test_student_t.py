from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.stats.student_t import student_t_quantile

# From the table of percentage points of the t distribution in M. Abramowitz and I. A. Stegun, Handbook of Mathematical
# Functions, table 26.10 (there by the probability of both tails, 0.1, 0.05, 0.01 and 0.001).
TABLE = {
    1: (6.314, 12.706, 63.657, 636.619),
    2: (2.920, 4.303, 9.925, 31.598),
    4: (2.132, 2.776, 4.604, 8.610),
    9: (1.833, 2.262, 3.250, 4.781),
    20: (1.725, 2.086, 2.845, 3.850),
    120: (1.658, 1.980, 2.617, 3.373),
}


@pytest.mark.parametrize("degrees", TABLE)
def test_it_agrees_with_the_table(degrees: int) -> None:
    for p, expected in zip((0.95, 0.975, 0.995, 0.9995), TABLE[degrees], strict=True):
        assert student_t_quantile(p, degrees) == pytest.approx(expected, rel=2e-4, abs=6e-4)


@given(st.floats(0.001, 0.999), st.floats(0.1, 1000))
def test_it_is_symmetric_and_grows(p: float, degrees: float) -> None:
    value = student_t_quantile(p, degrees)
    assert value == pytest.approx(-student_t_quantile(1 - p, degrees), rel=1e-6, abs=1e-9)
    assert student_t_quantile(min(0.9999, p + 0.0005), degrees) > value


@given(st.floats(0.51, 0.9999))
def test_with_one_and_two_degrees_it_has_a_closed_form(p: float) -> None:
    assert student_t_quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-8)
    assert student_t_quantile(p, 2) == pytest.approx((2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p))), rel=1e-8)


@pytest.mark.parametrize(("p", "degrees"), [(0, 3), (1, 3), (math.nan, 3), (0.5, 0), (0.5, -1), (0.5, math.inf)])
def test_nonsense_is_refused(p: float, degrees: float) -> None:
    with pytest.raises(ValueError, match=r"probability|degrees"):
        student_t_quantile(p, degrees)
