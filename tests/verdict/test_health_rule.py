from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.results import judged
from support.samples import iteration, request

from pytest_ipload.load.health import HEALTH_CHECKS, HealthCheck, fired
from pytest_ipload.stats.sample import FAILED
from pytest_ipload.verdict.evaluate import ThresholdResult
from pytest_ipload.verdict.health_rule import invalid_reasons
from pytest_ipload.verdict.judged import FAIL, WARN
from pytest_ipload.verdict.result import decide

SAMPLES = [*[request()] * 100, *[iteration()] * 9, iteration(outcome=FAILED)]

SATURATED = fired("generator-saturated", "it was busy")


def threshold(expression: str, severity: str = FAIL) -> ThresholdResult:
    return judged(expression, SAMPLES, severity)


TOO_HIGH, HOLDS, ERRORS = threshold("p95 < 1ms"), threshold("p95 < 1s"), threshold("error_rate == 0%")


@pytest.mark.parametrize("name", HEALTH_CHECKS)
@pytest.mark.parametrize("thresholds", [(), (HOLDS,), (TOO_HIGH,), (ERRORS,)])
def test_by_severity_only_the_gravest_make_it_invalid_by_themselves(name: str, thresholds: Any) -> None:
    check = fired(name, "x")
    reasons = invalid_reasons([check], thresholds)
    if check.severity == "invalid":
        assert reasons == [check.note]
    elif check.severity == "saturated" and TOO_HIGH in thresholds:
        assert reasons == [check.note, TOO_HIGH.message]
    else:
        assert reasons == []


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
        ((threshold("rps > 1000"),), "failed"),
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
    assert reason.startswith("generator-saturated: it was busy. Latencies hold time ")
    assert reason.endswith(f"; {TOO_HIGH.message}")


def test_what_is_invalid_anyhow_comes_before_it() -> None:
    checks: list[HealthCheck] = [SATURATED, fired("late-starts", "x"), fired("ports-exhausted", "y")]
    assert invalid_reasons(checks, [TOO_HIGH]) == [checks[2].note, checks[0].note, TOO_HIGH.message]
    assert invalid_reasons(checks, [HOLDS]) == [checks[2].note]
