from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from support.results import judged
from support.samples import iteration, request

from pytest_ipload.base.health_catalogue import HEALTH_CHECKS, HealthCheck, fired
from pytest_ipload.stats.sample import FAILED, FIRST_EVENT, GAP
from pytest_ipload.verdict import health_rule
from pytest_ipload.verdict.decide import decide
from pytest_ipload.verdict.threshold.config import FAIL, WARN, ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult
from pytest_ipload.verdict.threshold.expression import Threshold

SAMPLES = [*[request()] * 100, *[iteration()] * 9, iteration(outcome=FAILED)]

SATURATED = fired("generator-saturated", "it was busy")


def threshold(expression: str, severity: str = FAIL) -> ThresholdResult:
    return judged(expression, SAMPLES, severity)


TOO_HIGH, HOLDS, ERRORS = threshold("p95 < 1ms"), threshold("p95 < 1s"), threshold("error_rate == 0%")


def with_configs(results: Sequence[ThresholdResult]) -> list[health_rule.Judged]:
    return [(ThresholdConfig(Threshold.parse(each.expression), each.severity), each) for each in results]


def invalid_reasons(checks: Sequence[HealthCheck], results: Sequence[ThresholdResult]) -> list[str]:
    return health_rule.invalid_reasons(checks, with_configs(results))


def in_spite_of(checks: Sequence[HealthCheck], results: Sequence[ThresholdResult]) -> list[str]:
    return health_rule.in_spite_of(checks, with_configs(results))


def verdict_of(checks: Sequence[HealthCheck], thresholds: Sequence[ThresholdResult]) -> str:
    return decide(thresholds, invalid_reasons(checks, thresholds), in_spite_of(checks, thresholds))[0]


@pytest.mark.parametrize("name", HEALTH_CHECKS)
@pytest.mark.parametrize("thresholds", [(), (HOLDS,), (TOO_HIGH,)])
def test_what_flatters_makes_invalid_what_holds_and_what_slows_makes_invalid_what_fails(
    name: str, thresholds: Any
) -> None:
    check = fired(name, "x")
    reasons, failed = invalid_reasons([check], thresholds), TOO_HIGH in thresholds
    if check.severity == "invalid":
        assert reasons == ([] if failed else [check.note])
        assert in_spite_of([check], thresholds) == ([check.note] if failed else [])
    elif check.severity == "saturated" and failed and name != "events-read-late":
        assert reasons == [check.note, TOO_HIGH.message]
    else:
        assert (reasons, in_spite_of([check], thresholds)) == ([], [])


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("gap.p99 < 1ms", "invalid"),
        ("gap.max < 1ms", "invalid"),
        ("gap.mean < 1ms", "failed"),
        ("gap.p50 > 1s", "invalid"),
        ("gap.p99 < 1s", "passed"),
        ("p95 < 1ms", "failed"),
        ("ttfe.max < 1ms", "failed"),
    ],
)
def test_events_that_were_read_late_concern_gaps_only(expression: str, verdict: str) -> None:
    events = [request()._replace(kind=kind) for kind in (GAP, FIRST_EVENT)]
    assert verdict_of([fired("events-read-late", "x")], [judged(expression, [*SAMPLES, *events])]) == verdict


RATE, USERS, PORTS = (fired(name, "x") for name in ("rate-not-reached", "users-not-reached", "ports-exhausted"))


@pytest.mark.parametrize(
    ("expression", "less_load", "never_sent", "saturated"),
    [
        ("p95 < 1ms", "failed", "failed", "invalid"),
        ("p95 <= 1ms", "failed", "failed", "invalid"),
        ("raw.mean < 1ms", "failed", "failed", "invalid"),
        ("iteration.max < 1ms", "failed", "failed", "invalid"),
        ("p95 < 10s", "invalid", "invalid", "passed"),
        ("p95 > 1s", "invalid", "invalid", "failed"),  # with more to do it might have taken longer
        ("p95 > 1ms", "invalid", "invalid", "passed"),
        ("mean == 1ms", "failed", "failed", "invalid"),
        ("mean == 1s", "invalid", "invalid", "failed"),
        ("mean != 10ms", "invalid", "invalid", "invalid"),
        ("error_rate < 1%", "failed", "invalid", "failed"),  # an iteration whose request was never sent has failed too
        ("error_rate > 50%", "invalid", "invalid", "failed"),
        ("errors == 0", "failed", "invalid", "failed"),
        ("request_error_rate < 50%", "invalid", "invalid", "passed"),
        ("requests > 1000", "invalid", "invalid", "invalid"),
        ("requests < 10", "failed", "failed", "failed"),
        ("requests == 1000", "invalid", "invalid", "invalid"),
        ("requests == 10", "failed", "failed", "failed"),
        ("rps > 1000", "invalid", "invalid", "invalid"),
        ("rps < 1", "failed", "failed", "failed"),
        ("iterations_per_second >= 1000", "invalid", "invalid", "invalid"),
        ("p95{GET /none} < 1s", "invalid", "invalid", "failed"),  # without samples
    ],
)
def test_a_failure_counts_if_the_flaw_cannot_have_caused_it(
    expression: str, less_load: str, never_sent: str, saturated: str
) -> None:
    thresholds = [threshold(expression)]
    assert [verdict_of([check], thresholds) for check in (RATE, USERS)] == [less_load] * 2
    assert verdict_of([PORTS], thresholds) == never_sent
    assert verdict_of([SATURATED], thresholds) == saturated


@pytest.mark.parametrize(
    ("checks", "thresholds", "verdict"),
    [
        ([RATE], [HOLDS, TOO_HIGH], "failed"),
        ([RATE], [TOO_HIGH, threshold("rps > 1000")], "failed"),
        ([RATE, PORTS], [ERRORS], "invalid"),  # one of them may have caused it
        ([RATE, PORTS], [TOO_HIGH], "failed"),
        ([RATE, SATURATED], [TOO_HIGH], "invalid"),
        ([RATE, SATURATED], [ERRORS], "failed"),
        ([RATE, SATURATED], [HOLDS], "invalid"),
        ([SATURATED], [ERRORS, TOO_HIGH], "invalid"),
        ([RATE], [threshold("p95 < 1ms", WARN)], "invalid"),  # what only warns decides nothing
        ([RATE], [threshold("p95 < 1ms", WARN), HOLDS], "invalid"),
    ],
)
def test_several_flaws_and_thresholds(
    checks: list[HealthCheck], thresholds: list[ThresholdResult], verdict: str
) -> None:
    assert verdict_of(checks, thresholds) == verdict


def test_what_is_not_decided_is_not_broken_in_spite_of_anything() -> None:
    undecided = replace(TOO_HIGH, undecided=True, confidence=0.95)
    assert verdict_of([RATE], [undecided]) == "invalid"
    assert verdict_of([], [undecided]) == "failed"


def test_a_failure_in_spite_of_a_flaw_names_the_threshold_first() -> None:
    reason = decide([TOO_HIGH], invalid_reasons([RATE], [TOO_HIGH]), in_spite_of([RATE], [TOO_HIGH]))[1]
    assert reason == f"{TOO_HIGH.message}; although {RATE.note}"


@pytest.mark.parametrize(
    ("thresholds", "verdict"),
    [
        ((), "passed"),
        ((HOLDS,), "passed"),
        ((TOO_HIGH,), "invalid"),
        ((HOLDS, TOO_HIGH), "invalid"),
        ((ERRORS, TOO_HIGH), "invalid"),
        ((ERRORS,), "failed"),
        ((ERRORS, HOLDS), "failed"),
        ((threshold("rps > 1000"),), "invalid"),  # it could not send more
        ((threshold("p95 < 1ms", WARN),), "passed"),
        ((threshold("p95 < 1ms", WARN), ERRORS), "failed"),
        ((threshold("mean == 1ms"),), "invalid"),
        ((threshold("p95 > 1s"),), "failed"),  # it is below its limit, whoever took the time
        ((threshold("p95{GET /none} < 1s"),), "failed"),  # there are no samples, late or not
    ],
)
def test_a_saturated_generator_matters_where_a_latency_is_above_its_limit(thresholds: Any, verdict: str) -> None:
    assert decide(thresholds, invalid_reasons([SATURATED], thresholds))[0] == verdict
    assert decide(thresholds, invalid_reasons([], thresholds))[0] in ("passed", "failed")


def test_a_latency_that_is_not_decided_is_less_so_when_the_generator_was_saturated() -> None:
    """In a strict session it fails although the value is below the limit: the interval is not."""
    undecided = replace(HOLDS, passed=False, undecided=True, confidence=0.95)
    assert decide([undecided], invalid_reasons([SATURATED], [undecided]))[0] == "invalid"
    assert decide([undecided], invalid_reasons([], [undecided]))[0] == "failed"


def test_the_reason_names_the_check_first_and_then_the_threshold() -> None:
    reason = decide([TOO_HIGH], invalid_reasons([SATURATED], [TOO_HIGH]))[1]
    assert reason.startswith("generator-saturated: it was busy. Latencies may include time ")
    assert reason.endswith(f"; {TOO_HIGH.message}")


def test_what_is_invalid_anyhow_comes_before_it() -> None:
    checks: list[HealthCheck] = [SATURATED, fired("late-starts", "x"), fired("ports-exhausted", "y")]
    assert invalid_reasons(checks, [TOO_HIGH]) == [checks[2].note, checks[0].note, TOO_HIGH.message]
    assert invalid_reasons(checks, [HOLDS]) == [checks[2].note]
