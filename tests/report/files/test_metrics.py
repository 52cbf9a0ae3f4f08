from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.results import judged, load_result
from support.samples import MS, iteration, request, step

from pytest_ipload.base.health_catalogue import fired
from pytest_ipload.report.files import metrics
from pytest_ipload.report.files.json_file import report_of
from pytest_ipload.report.files.metrics import (
    BUCKETS_S,
    CHECK,
    DROPPED_ITERATIONS,
    FAULTS,
    LATENCY,
    RESPONSE_TIME,
    STEP,
    THRESHOLD_PASSED,
    VERDICT,
    Family,
    Sample,
    bucket_counts,
    histogram_samples,
    metrics_of,
)
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.sample import FAILED
from pytest_ipload.verdict.result import VERDICTS, GeneratorHealth, LoadResult
from pytest_ipload.verdict.threshold.config import WARN

DOCUMENT = Path(__file__).parents[3] / "docs" / "reports.md"


def histogram_of(*latencies_us: int) -> Histogram:
    histogram = Histogram()
    for us in latencies_us:
        histogram.record(us * 1000)
    return histogram


def samples_of(family: Family, *results: LoadResult) -> list[Sample]:
    report = report_of([result.as_dict() for result in results])
    return [sample for metric in metrics_of(report) if metric.family == family for sample in metric.samples]


def values_of(name: str, *results: LoadResult) -> list[float]:
    report = report_of([result.as_dict() for result in results])
    return [sample.value for metric in metrics_of(report) for sample in metric.samples if sample.name == name]


class TestBuckets:
    def test_they_ascend(self) -> None:
        assert list(BUCKETS_S) == sorted(set(BUCKETS_S))

    def test_a_value_on_the_bound_belongs_to_the_bucket(self) -> None:
        counts = dict(zip(BUCKETS_S, bucket_counts(histogram_of(100, 101, 1000)), strict=False))
        assert (counts[0.0001], counts[0.00025], counts[0.0005], counts[0.001]) == (1, 2, 2, 3)

    def test_the_last_one_has_no_bound(self) -> None:
        assert bucket_counts(histogram_of(59_000_000, 61_000_000, 4_000_000_000))[-2:] == [1, 3]

    def test_without_values_all_are_empty(self) -> None:
        assert bucket_counts(Histogram()) == [0] * (len(BUCKETS_S) + 1)

    @given(st.lists(st.integers(0, 70_000_000)))
    def test_they_count_what_is_below_their_bound_but_for_one_bin(self, latencies_us: list[int]) -> None:
        counts = bucket_counts(histogram_of(*latencies_us))
        assert counts == sorted(counts)
        assert counts[-1] == len(latencies_us)
        for bound, count in zip(BUCKETS_S, counts, strict=False):
            at_most = sum(us <= bound * 1e6 for us in latencies_us)
            assert at_most <= count <= sum(us <= bound * 1e6 * 1.001 for us in latencies_us)

    def test_a_histogram_has_its_number_and_its_sum(self) -> None:
        *buckets, count, total = histogram_samples(LATENCY, {"name": "x"}, histogram_of(2000, 3000), 0.005)
        assert [sample.labels["le"] for sample in buckets] == [*map(repr, BUCKETS_S), "+Inf"]
        assert {sample.name for sample in buckets} == {"ipload_latency_seconds_bucket"}
        assert count == ("ipload_latency_seconds_count", {"name": "x"}, 2)
        assert total == ("ipload_latency_seconds_sum", {"name": "x"}, 0.005)


class TestOfTests:
    def test_requests_are_told_by_name(self) -> None:
        samples = [request("GET /a", 2), request("GET /a", 4), request("GET /b", outcome=FAILED)]
        result = load_result(samples, nodeid="a.py::t")
        told = {
            (sample.name, sample.labels["name"]): sample.value
            for metric in metrics_of(report_of([result.as_dict()]))
            for sample in metric.samples
            if "name" in sample.labels and "le" not in sample.labels
        }
        assert told == {
            ("ipload_requests_total", "GET /a"): 2,
            ("ipload_failed_requests_total", "GET /a"): 0,
            ("ipload_latency_seconds_count", "GET /a"): 2,
            ("ipload_latency_seconds_sum", "GET /a"): 0.006,
            ("ipload_requests_total", "GET /b"): 1,
            ("ipload_failed_requests_total", "GET /b"): 1,
            ("ipload_latency_seconds_count", "GET /b"): 0,
            ("ipload_latency_seconds_sum", "GET /b"): 0.0,
        }

    def test_numbers_of_the_whole(self) -> None:
        result = load_result([request(), *[iteration()] * 3, iteration(outcome=FAILED)], seconds=10)
        names = ("iterations_total", "failed_iterations_total", "users", "duration_seconds", "requests_per_second")
        assert [values_of(f"ipload_{name}", result) for name in names] == [[4], [1], [1], [10.0], [0.1]]
        assert values_of("ipload_error_ratio", result) == [0.25]
        assert values_of("ipload_start_time_seconds", result) == [1735689600.0]
        assert values_of("ipload_generator_cpu_cores", result) == [0.5]
        assert values_of("ipload_generator_timer_lag_p99_seconds", result) == [0.00025]
        assert values_of("ipload_generator_healthy", result) == [1]

    def test_what_was_not_measured_is_absent(self) -> None:
        result = load_result([], generator=GeneratorHealth())
        found = {metric.family for metric in metrics_of(report_of([result.as_dict()]))}
        assert not found & {DROPPED_ITERATIONS, RESPONSE_TIME, STEP, THRESHOLD_PASSED, CHECK, FAULTS, LATENCY}
        names = {family.name for family in found}
        assert not names & {"ipload_error_ratio", "ipload_request_error_ratio", "ipload_generator_cpu_cores"}

    def test_with_a_plan_there_are_response_times(self) -> None:
        result = load_result([request(latency_ms=10, lateness_ns=20 * MS)], planned=True)
        assert samples_of(RESPONSE_TIME, result)[-1].value == 0.03

    def test_steps(self) -> None:
        result = load_result([step("buy", 50), step("buy", outcome=FAILED)])
        assert values_of("ipload_step_duration_seconds_count", result) == [1]
        assert values_of("ipload_failed_steps_total", result) == [1]

    @pytest.mark.parametrize("verdict", VERDICTS)
    def test_the_verdict_is_one_of_four_states(self, verdict: str) -> None:
        states = {s.labels["ipload_verdict"]: s.value for s in samples_of(VERDICT, load_result([], verdict=verdict))}
        assert states == {"passed": 0, "failed": 0, "invalid": 0, "error": 0, verdict: 1}

    def test_each_threshold_is_told_once_and_holds_if_it_held_each_time(self) -> None:
        samples = [request()]
        thresholds = [
            judged("p95 < 1s", samples),
            replace(judged("p95 < 1s", samples), passed=False, aborted=True),
            judged("p95 < 1s", samples),
            judged("p95 < 1us", samples),
            judged("p95 < 1s", samples, WARN),
            replace(judged("p95 < 1s", samples), window_s=10.0, confidence=0.95),
        ]
        told = [
            (sample.labels["threshold"], sample.labels["severity"], sample.labels.get("window_s"), sample.value)
            for sample in samples_of(THRESHOLD_PASSED, load_result(samples, thresholds=thresholds))
        ]
        assert told == [
            ("p95 < 1s", "fail", None, 0),
            ("p95 < 1us", "fail", None, 0),
            ("p95 < 1s", "warn", None, 1),
            ("p95 < 1s", "fail", "10", 1),
        ]

    def test_checks_and_faults_of_the_generator(self) -> None:
        health = GeneratorHealth.of([fired("late-starts", "3 of 50")], faults={"ports-exhausted": 7})
        result = load_result([], generator=health)
        [check] = samples_of(CHECK, result)
        assert (check.labels["check"], check.labels["severity"], check.value) == ("late-starts", "unhealthy", 1)
        [fault] = samples_of(FAULTS, result)
        assert (fault.labels["fault"], fault.value) == ("ports-exhausted", 7)

    def test_several_loads_of_one_test_have_numbers(self) -> None:
        results = [load_result([request()], nodeid=nodeid) for nodeid in ("a", "b", "a")]
        told = [(s.labels["test"], s.labels["run"]) for s in samples_of(VERDICT, *results)[:: len(VERDICTS)]]
        assert told == [("a", "1"), ("b", "1"), ("a", "2")]

    def test_no_two_samples_are_of_the_same_labels_and_each_family_comes_once(self) -> None:
        samples = [request("a"), request("b"), step("a"), iteration()]
        thresholds = [judged("p95 < 1s", samples)] * 2
        results = [load_result(samples, thresholds=thresholds)] * 3
        metrics = metrics_of(report_of([result.as_dict() for result in results]))
        assert max(Counter(metric.family.name for metric in metrics).values()) == 1
        told: Counter[Any] = Counter(
            (sample.name, *sorted(sample.labels.items())) for metric in metrics for sample in metric.samples
        )
        assert max(told.values()) == 1

    def test_a_unit_ends_the_name(self) -> None:
        metrics = metrics_of(report_of([load_result([request(), iteration(), step("a")]).as_dict()]))
        for family in (metric.family for metric in metrics):
            assert family.name.endswith(f"_{family.unit}" if family.unit else "")


def test_all_families_stand_in_the_document() -> None:
    documented = set(re.findall(r"`(ipload_\w+)`", DOCUMENT.read_text(encoding="utf-8")))
    families = {value for value in vars(metrics).values() if isinstance(value, Family)}
    assert len(families) > 20
    assert {family.name for family in families} <= documented
