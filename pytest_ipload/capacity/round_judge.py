"""What the result of a round's load says about the target at that level. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_ipload.base.units import MS_PER_S
from pytest_ipload.capacity.search_round import FAILS, GENERATOR_LIMITED, HOLDS, UNDECIDED, RoundOutcome, State
from pytest_ipload.verdict.result import ERROR, FAILED, INVALID, LoadResult
from pytest_ipload.verdict.threshold.config import FAIL
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult
from pytest_ipload.verdict.threshold.expression import Threshold


def outcome_of(result: LoadResult) -> RoundOutcome:
    """The outcome of a round from its load's result, which was judged by ``CapacityPlan.judged``, not strictly.

    An *invalid* result is one of the generator's limits: by the rule of all load tests, a threshold that fails although
    the generator only flattered the target fails the round, and is no limit of the generator. A result that is an
    error says nothing: ``ValueError``. The percentiles are those of response times, where these are judged.
    """
    if result.verdict == ERROR:
        raise ValueError(f"a round that ended in an error has no outcome: {result.reason}")
    state, threshold, reason = state_of(result.thresholds)
    if result.verdict == INVALID:
        state, threshold, reason = GENERATOR_LIMITED, None, result.reason
    elif result.verdict == FAILED and state != FAILS:  # by a plugin's objections
        state, threshold, reason = FAILS, None, result.reason
    times = result.response_time or result.latency
    return RoundOutcome(
        state=state,
        within=is_within(result.thresholds),
        threshold=threshold,
        reason=reason,
        p50_ms=times.p50_ms,
        p95_ms=times.p95_ms,
        p99_ms=times.p99_ms,
        error_rate=result.error_rate,
        reached=result.iterations_per_second,
        aborted=result.aborted_s is not None,
    )


def state_of(thresholds: Sequence[ThresholdResult]) -> tuple[State, str | None, str]:
    """What thresholds say together, with the expression that decided and its message.

    One that fails decides, rather one with a value than one without any successful sample; without any, an undecided
    one does, rather one whose value is beyond its limit.
    """
    judged = [each for each in thresholds if each.severity == FAIL]
    failed = [each for each in judged if not each.passed and not each.undecided]
    for each in sorted(failed, key=lambda each: (each.measured is None, not each.aborted)):
        return FAILS, each.expression, each.message
    for each in sorted((each for each in judged if each.undecided), key=_is_within):
        return UNDECIDED, each.expression, each.message
    return HOLDS, None, ""


def is_within(thresholds: Sequence[ThresholdResult]) -> bool:
    """Whether all values are within their limits, be that certain or not."""
    return all(_is_within(each) for each in thresholds if each.severity == FAIL)


def _is_within(judged: ThresholdResult) -> bool:
    if not judged.undecided:
        return judged.passed
    in_seconds = judged.unit == "ms"
    value = judged.measured
    return value is not None and Threshold.parse(judged.expression).holds(value / MS_PER_S if in_seconds else value)
