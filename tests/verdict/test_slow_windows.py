"""Which half-seconds of a load are slow."""

from __future__ import annotations

import pytest
from support.samples import measurements, request

from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.verdict.slow_windows import parting, slow_windows
from pytest_ipload.verdict.threshold.expression import Threshold


def windows_of(*milliseconds: int, name: str = "GET /a") -> Measurements:
    """One request for each half-second, which ends in it if it takes less than 400 ms."""
    samples = [request(name, each, at_ms=500 * number + 10) for number, each in enumerate(milliseconds)]
    return measurements(samples, window_ms=500)


def test_the_windows_are_those_of_the_requests_that_the_threshold_is_about() -> None:
    measured = windows_of(20, 20, 210, 210, 20)
    measured.add([request("GET /b", 220, at_ms=4010)])
    found = slow_windows(Threshold.parse("p95{GET /a} < 200ms"), measured)
    assert (found.slow, found.good, found.cut_ns, found.above_limit) == ({2, 3}, {0, 1, 4}, None, 2)
    assert slow_windows(Threshold.parse("max < 200ms"), measured).slow == {2, 3, 8}
    assert slow_windows(Threshold.parse("p95{GET /c} < 200ms"), measured).slow == set()


def test_windows_in_which_a_request_was_running_belong_to_it() -> None:
    measured = measurements([request(latency_ms=1400, at_ms=1520), request(latency_ms=20, at_ms=2010)], window_ms=500)
    found = slow_windows(Threshold.parse("p95 < 200ms"), measured)
    assert (found.slow, found.good) == ({3, 4, 5}, set())


def test_a_limit_below_the_usual_times_leaves_the_upper_of_two_groups() -> None:
    found = slow_windows(Threshold.parse("p95 < 15ms"), windows_of(20, 22, 210, 190, 20, 24))
    assert (found.slow, found.good, found.above_limit) == ({2, 3}, {0, 1, 4, 5}, 6)
    assert found.cut_ns == pytest.approx((24e6 * 190e6) ** 0.5, rel=0.01)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 1, 100, 100], 10), ([1, 100, 100, 100], 10), ([1, 100], None), ([7, 7, 7, 7], None), ([0, 0, 0, 0], None)],
)
def test_the_value_between_two_groups(values: list[float], expected: float | None) -> None:
    assert parting(values) == (expected if expected is None else pytest.approx(expected))
