"""Thresholds on a load that some segments are missing of. Pure.

What is counted can only be more in the whole load: so a lower limit that holds for the segments that are there holds,
and an upper one that they exceed is exceeded. Every other threshold on a count or a rate cannot be judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pytest_ipload.base.health_catalogue import HealthCheck
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult

SEGMENTS_MISSING = "segments-missing"
"""The health check that says so."""
_COUNTED = frozenset(
    {"requests", "iterations", "errors", "dropped_iterations", "rps", "iterations_per_second", "count", "rate"}
)


def without_missing(checks: Iterable[HealthCheck], config: ThresholdConfig, result: ThresholdResult) -> ThresholdResult:
    """The result, *undecidable* where missing segments may change it."""
    threshold = config.threshold
    is_counted = threshold.statistic in _COUNTED and not threshold.measured.is_of_target
    if not is_counted or all(check.name != SEGMENTS_MISSING for check in checks):
        return result
    settled = {">": True, ">=": True, "<": False, "<=": False}.get(threshold.operator)
    if settled is result.passed:
        return result
    message = f"{result.message}; cannot be judged: segments are missing, and the whole load has more"
    return replace(result, passed=False, undecidable=True, message=message)
