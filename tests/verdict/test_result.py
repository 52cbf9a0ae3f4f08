from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support import results
from support.results import failure, load_result
from support.samples import MS, iteration, request, step

from pytest_ipload.base.health_catalogue import HEALTH_CHECKS, fired
from pytest_ipload.stats.sample import FAILED, SETUP, Sample
from pytest_ipload.verdict.decide import decide
from pytest_ipload.verdict.failure_text import failure_message
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.regression.rules import judge_history, judge_rounds
from pytest_ipload.verdict.result import GeneratorHealth, LoadResult, UnusedAddresses, failures_of
from pytest_ipload.verdict.threshold.config import FAIL, WARN
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult

SAMPLES = [
    request("GET /login")._replace(kind=SETUP),
    request("GET /cart", source_address="127.0.0.2", connections=1, connect_ns=5),
    request("GET /cart", source_address="127.0.0.2", redirects=1),
    request("GET /cart", source_address="127.0.0.2", outcome=FAILED),
    step("checkout"),
    iteration(),
]

AFTER_WARM_UP = [sample._replace(started_ns=sample.started_ns + 500 * MS) for sample in SAMPLES]

CONTRACT = {
    *("nodeid", "verdict", "reason", "profile", "started_at", "duration_s", "users"),
    *("iterations", "failed_iterations", "requests", "failed_requests", "error_rate", "request_error_rate", "rps"),
    *("latency", "response_time", "by_name", "by_source", "steps", "thresholds", "failures", "timeline", "generator"),
}
BEYOND = {"setup", "iterations_per_second", "warmup_requests", "warmup_iterations", "unused_addresses"}
FIELDS = CONTRACT | BEYOND
STATISTICS = {
    *("count", "min_ms", "mean_ms", "max_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms", "histogram"),
}
THRESHOLD = {
    *("expression", "severity", "passed", "unit", "limit", "measured", "samples", "ci_low", "ci_high", "uncertain"),
    *("message", "undecided", "undecidable", "aborted", "ci_assumes_independence"),
}


def judged(expression: str, severity: str = FAIL) -> ThresholdResult:
    return results.judged(expression, SAMPLES, severity)


def full_result(samples: list[Sample], *, planned: bool = True, warmup_s: float = 0.0) -> LoadResult:
    """A result with everything in it that there can be, as far as the samples give it."""
    return load_result(
        samples,
        verdict="failed",
        reason="because",
        planned=planned,
        warmup_s=warmup_s,
        seconds=1.0,
        users_by_source={"127.0.0.2": 1},
        thresholds=[results.judged("p95 < 1ms", samples), results.judged("requests > 0", samples, WARN)],
        failures=[failure()],
        unused=UnusedAddresses(1, ("127.0.0.3",)),
    )


class TestVerdict:
    def test_passed_if_everything_holds(self) -> None:
        assert decide([judged("p95 < 1s"), judged("requests == 3")], []) == ("passed", "")
        assert decide([], []) == ("passed", "")

    def test_failed_by_each_threshold_that_does_not_hold(self) -> None:
        thresholds = [judged("max < 1ms"), judged("p95 < 1s"), judged("requests > 5")]
        assert decide(thresholds, []) == ("failed", f"{thresholds[0].message}; {thresholds[2].message}")

    def test_a_warning_does_not_fail(self) -> None:
        assert decide([judged("max < 1ms", WARN)], []) == ("passed", "")
        assert decide([judged("max < 1ms", WARN), judged("requests > 5")], [])[1] == judged("requests > 5").message

    def test_what_broke_the_load_off_comes_first_of_what_failed(self) -> None:
        thresholds = [judged("max < 1ms"), replace(judged("requests > 5"), message="aborted after 5 s", aborted=True)]
        assert decide(thresholds, []) == ("failed", f"aborted after 5 s; {thresholds[0].message}")

    def test_what_passed_is_no_failure_whatever_it_says(self) -> None:
        assert failures_of([replace(judged("max < 1h"), undecided=True), judged("max < 1ms", WARN)]) == []

    def test_failed_by_each_regression_after_the_thresholds(self) -> None:
        limit = CompareLimit.parse("p95:10%")
        worse, better = judge_history(limit, 200, [100] * 8), judge_history(limit, 50, [100] * 8)
        assert failures_of([judged("max < 1h")], [worse, better]) == [worse.message]
        failed = judged("max < 1ms")
        assert failures_of([failed], [worse]) == [failed.message, worse.message]
        assert failures_of([], [judge_rounds(limit, [200], [100])]) == []  # undecided
        assert failures_of([], None) == []

    @pytest.mark.parametrize("expression", ["max < 1ms", "max < 1h"])
    def test_what_makes_it_invalid_comes_first(self, expression: str) -> None:
        assert decide([judged(expression)], ["ports ran out", "a user was lost"]) == (
            "invalid",
            "ports ran out; a user was lost",
        )


class TestObjections:
    def test_none_change_nothing(self) -> None:
        result = load_result([request()])
        assert result.with_objections([]) is result
        assert "objections" not in result.as_dict()

    @pytest.mark.parametrize(("verdict", "reason", "whole"), [("passed", "", "a; b"), ("failed", "p95", "p95; a; b")])
    def test_they_fail_the_test(self, verdict: str, reason: str, whole: str) -> None:
        result = load_result([request()], verdict=verdict, reason=reason).with_objections(["a", "b"])
        assert (result.verdict, result.reason, result.as_dict()["objections"]) == ("failed", whole, ["a", "b"])

    def test_what_is_invalid_stays_so_and_for_its_own_reason(self) -> None:
        result = load_result([request()], verdict="invalid", reason="no ports").with_objections(["a"])
        assert (result.verdict, result.reason, result.objections) == ("invalid", "no ports", ["a"])

    @pytest.mark.parametrize("verdict", ["passed", "invalid"])
    def test_the_message_has_them(self, verdict: str) -> None:
        result = load_result([request()], verdict=verdict, reason="no ports" if verdict == "invalid" else "")
        message = failure_message(result.with_objections(["a", "b"]))
        assert message.splitlines() == [*(["no ports"] if verdict == "invalid" else []), "a", "b"]


class TestPlainValues:
    def test_they_are_the_fields_of_the_report(self) -> None:
        plain = full_result([*SAMPLES, *AFTER_WARM_UP], warmup_s=0.1).as_dict()
        assert set(plain) == FIELDS
        assert list(plain)[:3] == ["nodeid", "verdict", "reason"]
        assert set(plain["latency"]) == set(plain["response_time"]) == STATISTICS
        assert set(plain["by_name"][0]) == {"name", "requests", "failed_requests", "rps", "latency", "redirects"}
        (source,) = plain["by_source"]
        assert set(source) == {"source_address", "users", "connections", "requests", "failed_requests", "latency"}
        assert set(plain["steps"][0]) == {"name", "count", "failed", "latency"}
        assert set(plain["failures"][0]) == {"type", "message", "location", "count", "first"}
        assert set(plain["timeline"][0]) == {
            *("t_s", "users", "requests", "failed_requests", "p50_ms", "p95_ms", "p99_ms", "max_ms", "histogram"),
            *("response_p50_ms", "response_p95_ms", "response_p99_ms"),
        }
        assert set(plain["generator"]) == {
            *("healthy", "cpu_share", "timer_lag_p99_ms", "late_starts", "notes"),
            *("interrupted_iterations", "faults", "checks", "suppressed"),
        }
        assert plain["profile"]["duration_s"] == 1.0
        assert plain["profile"]["origins"] == {"duration": "marker"}

    def test_a_percentile_of_enough_samples_has_both_ends_of_its_interval(self) -> None:
        plain = full_result([request()] * 200).as_dict()
        assert set(plain["thresholds"][0]) == THRESHOLD
        assert set(plain["thresholds"][1]) == THRESHOLD - {"ci_low", "ci_high", "ci_assumes_independence"}

    def test_what_was_not_measured_is_absent(self) -> None:
        plain = full_result([], planned=False).as_dict()
        absent = {"response_time", "setup", "error_rate", "request_error_rate", "warmup_requests", "warmup_iterations"}
        assert FIELDS - set(plain) == absent
        assert plain["latency"] == {"count": 0}
        assert (plain["by_name"], plain["steps"], plain["timeline"], plain["requests"]) == ([], [], [], 0)
        assert "measured" not in plain["thresholds"][0]
        assert "source_address" not in plain["failures"][0]["first"]
        assert "null" not in json.dumps(plain)

    def test_a_window_a_confidence_and_an_abort_are_there_where_they_were(self) -> None:
        result = full_result(SAMPLES)
        (first, *_), usual = result.thresholds, result.as_dict()
        windowed = replace(first, window_s=0.5, confidence=0.9)
        plain = replace(result, thresholds=[windowed], aborted_s=2.5).as_dict()
        assert (plain["thresholds"][0]["window_s"], plain["thresholds"][0]["confidence"]) == (0.5, 0.9)
        assert (plain["aborted_s"], "aborted_s" in usual) == (2.5, False)

    def test_a_generator_that_was_not_watched_has_no_share_of_the_processor_and_no_lag(self) -> None:
        unwatched = replace(full_result(SAMPLES), generator=GeneratorHealth())
        assert not {"cpu_share", "timer_lag_p99_ms"} & set(unwatched.as_dict()["generator"])

    def test_the_checks_of_a_generator_are_told_as_a_whole_and_in_parts(self) -> None:
        checks = [fired("late-starts", "3 users"), fired("not-pinned", "forbidden")]
        result = replace(full_result(SAMPLES), generator=GeneratorHealth.of(checks, ["few-ports"], late_starts=3))
        generator = result.as_dict()["generator"]
        assert (generator["healthy"], generator["late_starts"], generator["suppressed"]) == (False, 3, ["few-ports"])
        assert generator["notes"] == [check.note for check in checks]
        assert generator["checks"] == [
            {"name": check.name, "severity": check.severity, "text": check.paragraph} for check in checks
        ]

    @pytest.mark.parametrize(
        ("names", "healthy"),
        [((), True), (("not-pinned", "shared-cpu"), True), (("not-pinned", "late-starts"), False)]
        + [((name,), kind.severity == "remark") for name, kind in HEALTH_CHECKS.items()],
    )
    def test_a_generator_is_healthy_if_no_check_fired_but_remarks(self, names: tuple[str, ...], healthy: bool) -> None:
        assert GeneratorHealth.of([fired(name, "x") for name in names]).healthy is healthy

    @pytest.mark.parametrize("samples", [SAMPLES, []])
    def test_they_are_json_without_loss(self, samples: list[Sample]) -> None:
        plain = full_result(samples).as_dict()
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain

    def test_they_are_builtins_that_xdist_can_send(self) -> None:
        assert _types(full_result(SAMPLES).as_dict()) <= {dict, list, str, int, float, bool}


def _types(value: Any) -> set[type]:
    children = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return {type(value)}.union(*map(_types, children))


def test_the_fields_are_attributes_too() -> None:
    result = full_result(SAMPLES)
    assert (result.requests, result.latency.count, result.by_name[0].name) == (3, 2, "GET /cart")
    assert result.latency.p95_ms == pytest.approx(10, rel=0.001)
    assert result.thresholds[0].expression == "p95 < 1ms"
