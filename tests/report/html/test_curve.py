from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.report.html.curve import curve_of, percentile_at, ticks
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.summary import latency_stats, plain


def distribution(values_us: list[int]) -> dict[str, object]:
    histogram = Histogram()
    for value in values_us:
        histogram.record(value * 1000)
    plain_values: dict[str, object] = plain(latency_stats(histogram))
    return plain_values


def test_without_values_there_is_no_curve() -> None:
    assert curve_of({"count": 0}) is None


def test_it_begins_with_the_minimum_and_ends_with_the_maximum() -> None:
    curve = curve_of(distribution([*range(1000, 2000), 500_000]))
    assert curve is not None
    assert (curve.values_ms[0], curve.values_ms[-1]) == (1.0, 500.0)
    assert curve.end == pytest.approx(math.log10(2 * 1001))
    assert (curve.percentiles[0], curve.percentiles[-1]) == ("0 %", "99.95 %")


@given(st.lists(st.integers(1, 10_000_000), min_size=1, max_size=300))
def test_it_is_the_quantile_by_nearest_rank(values: list[int]) -> None:
    curve = curve_of(distribution(values))
    assert curve is not None
    ordered = sorted(values)
    for point, value in enumerate(curve.values_ms):
        exact = ordered[max(1, math.ceil(round((1 - 10 ** -(curve.step * point)) * len(values), 9))) - 1] / 1000
        assert value == pytest.approx(exact, rel=0.0011, abs=0.0006)
    assert list(curve.values_ms) == sorted(curve.values_ms)


@pytest.mark.parametrize(
    ("position", "text"),
    [(0, "0 %"), (math.log10(2), "50 %"), (1, "90 %"), (2, "99 %"), (3, "99.9 %"), (5, "99.999 %"), (2.5, "99.68 %")],
)
def test_percentiles_have_as_many_nines_as_it_takes(position: float, text: str) -> None:
    assert percentile_at(position) == text


def test_ticks_are_those_that_people_know() -> None:
    assert [text for _, text in ticks(3.2)] == ["50 %", "90 %", "99 %", "99.9 %"]
    assert ticks(0.3) == []
    assert ticks(math.log10(2)) == [(math.log10(2), "50 %")]
