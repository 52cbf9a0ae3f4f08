from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.results import load_result
from support.samples import MS, iteration, measurements, request, step

from pytest_ipload.stats.sample import FAILED
from pytest_ipload.verdict.regression.metric_reader import value_of
from pytest_ipload.verdict.threshold.expression import Metric, Threshold
from pytest_ipload.verdict.threshold.measure import Scope, measure

SAMPLES = [
    *(request("GET /a", latency) for latency in range(1, 101)),
    *(request("GET /b", latency) for latency in range(501, 511)),
    request("GET /b", 900, outcome=FAILED),
    step("checkout", 50),
    *[iteration()] * 9,
    iteration(outcome=FAILED),
]
METRICS = [
    *("p50", "p95", "p99.9", "median", "mean", "min", "max", "raw.p95", "raw.mean"),
    *("p90{GET /a}", "max{GET /a}", "mean{GET *}", "p95{GET *}", "min{GET *}", "p95{step:checkout}"),
    *("error_rate", "request_error_rate", "request_error_rate{GET /b}", "rps", "rps{GET /a}", "rps{GET *}"),
    "iterations_per_second",
]


def plain(*samples: Any, **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(json.dumps(load_result(samples or SAMPLES, **more).as_dict()))
    return result


@pytest.mark.parametrize("text", METRICS)
def test_it_is_the_value_that_a_threshold_is_judged_by(text: str) -> None:
    metric = Metric.parse(text)
    zero = {"duration": "0s", "fraction": "0%", "rate": "0"}[metric.unit]
    expected = measure(Threshold.parse(f"{text} > {zero}"), measurements(SAMPLES), Scope(10.0)).value
    assert expected
    assert value_of(metric, plain()) == pytest.approx(expected * (1000 if metric.unit == "duration" else 1))


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=50), st.sampled_from([0.01, 0.5, 0.9, 0.999]))
def test_any_percentile_is_read_from_the_histogram(latencies_ns: list[int], q: float) -> None:
    samples = [request(latency_ms=ns / MS) for ns in latencies_ns]
    value = value_of(Metric(None, "percentile", q, None), plain(*samples))
    expected = measurements(samples).latency().quantile(q)
    assert expected is not None
    assert value == pytest.approx(expected / MS)


@pytest.mark.parametrize("text", METRICS)
def test_without_samples_there_is_no_value(text: str) -> None:
    assert value_of(Metric.parse(text), plain(step("other", outcome=FAILED))) is None


def test_a_share_of_none_is_zero() -> None:
    result = plain(request(), iteration())
    for text in ("error_rate", "request_error_rate", "request_error_rate{GET *}"):
        assert value_of(Metric.parse(text), result) == 0


def test_with_planned_starts_times_are_response_times_and_those_of_a_name_are_raw() -> None:
    result = plain(request("GET /", 10, lateness_ns=20 * MS), step("s", 5, lateness_ns=MS), planned=True)
    values = {text: value_of(Metric.parse(text), result) for text in ("max", "raw.max", "max{GET /}", "max{step:s}")}
    assert values == {"max": 30, "raw.max": 10, "max{GET /}": None, "max{step:s}": None}
    assert value_of(Metric.parse("raw.max{GET /}"), result) == 10


def test_a_histogram_that_is_none_is_an_error() -> None:
    result = plain(request())
    result["latency"]["histogram"] = "x"
    with pytest.raises(ValueError, match="not an HdrHistogram"):
        value_of(Metric.parse("p95"), result)
