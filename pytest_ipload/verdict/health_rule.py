"""What the generator's health means for the verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_ipload.load.health import INVALID, SATURATED, HealthCheck
from pytest_ipload.verdict.evaluate import ThresholdResult
from pytest_ipload.verdict.judged import FAIL


def invalid_reasons(checks: Sequence[HealthCheck], thresholds: Sequence[ThresholdResult]) -> list[str]:
    """Why the measurement deserves no verdict, each reason beginning with a check's name; none if it deserves one.

    A saturated generator makes latencies too high, never too low. So it matters only where a latency is above its
    limit; a threshold that holds in spite of it holds the more. What a threshold is about may not have been kept apart:
    then nobody can say whether it holds.
    """
    reasons = [check.note for check in checks if check.severity == INVALID]
    reasons += [result.message for result in thresholds if result.undecidable and result.severity == FAIL]
    saturated = [check.note for check in checks if check.severity == SATURATED]
    too_high = [result.message for result in thresholds if _is_latency_that_may_be_too_high(result)]
    return [*reasons, *saturated, *too_high] if saturated and too_high else reasons


def _is_latency_that_may_be_too_high(result: ThresholdResult) -> bool:
    """Whether it failed, or was not decided, because of a value above the limit."""
    if result.passed or result.severity != FAIL or result.unit != "ms":
        return False
    return result.undecided or (result.measured is not None and result.measured >= result.limit)
