"""Evaluates thresholds against measurements. Pure: no clock, no pytest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_ipload.base.units import MS_PER_S
from pytest_ipload.stats.confidence import minimum_samples
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.verdict.threshold.config import FAIL, WARN, ThresholdConfig
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.finding import Evaluation, Outcome, find, find_in_windows, is_undecidable
from pytest_ipload.verdict.threshold.measure import Measured, Scope
from pytest_ipload.verdict.threshold.target_measure import largely_unread
from pytest_ipload.verdict.threshold.target_metric import UNITS as TARGET_UNITS
from pytest_ipload.verdict.threshold.wording import (
    failed_checks,
    no_readings,
    no_samples,
    no_window,
    not_kept_apart,
    too_few_readings,
    what_was_found,
    window_place,
    windows_tally,
)

_UNITS = frozenset({"ms", "1/s", "fraction", "count", *TARGET_UNITS})


@dataclass(frozen=True)
class ThresholdResult:
    """One threshold, judged. Durations are milliseconds, shares fractions from 0 to 1, rates per second."""

    expression: str
    severity: str
    passed: bool
    unit: str
    limit: float
    measured: float | None
    samples: int
    ci_low: float | None
    ci_high: float | None
    uncertain: bool
    """Too few samples for a reliable value of this percentile, or this growth."""
    message: str
    undecided: bool = False
    """The limit lies within the interval of the given confidence; that passes, unless the session is strict."""
    undecidable: bool = False
    """Names that it selects were not kept separately, or its target was hardly read: it cannot be judged, and the
    measurement is invalid."""
    aborted: bool = False
    """It aborted the load."""
    window_s: float | None = None
    """It was judged on each full window of this length, and the numbers are those of the worst one."""
    confidence: float | None = None
    """It was judged by the interval of this confidence."""
    implied: bool | None = None
    """True if the user did not give it, and it applies because no other threshold covers errors; else None."""
    ci_assumes_independence: bool | None = None
    """The load is too short to estimate the correlation of samples; None without an interval."""

    def __post_init__(self) -> None:
        """ValueError for words that reports do not use: a result may come from a file."""
        if self.severity not in (FAIL, WARN) or self.unit not in _UNITS:
            raise ValueError(
                f"{self.severity!r} is not a valid severity, or {self.unit!r} not a valid unit, of a threshold's result"
            )


def evaluate(config: ThresholdConfig, measured: Measurements, scope: Scope, *, strict: bool = False) -> ThresholdResult:
    """Judge one threshold, in each window if it has one. Without samples, or without a full window, it fails.

    An undecided one passes, unless ``strict``. One whose names were not kept separately does not hold, and is
    undecidable; so is one that would hold for a target that could hardly be read.
    """
    if is_undecidable(config, measured, scope):
        nothing = Evaluation(Measured(None, 0, ""), Outcome.FAILS, is_enough=False)
        return replace(_result(config, nothing, not_kept_apart(config.threshold, measured), strict), undecidable=True)
    if config.window is None:
        finding = find(config, measured, scope)
        if finding.outcome is not Outcome.FAILS and config.threshold.measured.is_of_target:
            return _of_readings(config, finding, scope, strict)
        return _result(config, finding, _message(config, finding, measured, scope, strict), strict)
    found = find_in_windows(config, measured, scope)
    if found is None:
        nothing = Evaluation(Measured(None, 0, ""), Outcome.FAILS, is_enough=False)
        return _result(config, nothing, no_window(config, scope.seconds), strict)
    warmup_ns = measured.judged_from_ns - measured.origin_ns
    place, tally = window_place(config, found.number, warmup_ns), windows_tally(found)
    return _result(config, found.worst, _message(config, found.worst, measured, scope, strict, place, tally), strict)


def _of_readings(config: ThresholdConfig, finding: Evaluation, scope: Scope, strict: bool) -> ThresholdResult:
    """Of a threshold that does not fail for what was read of its targets."""
    result = _result(config, finding, what_was_found(config, finding, strict, "", ""), strict)
    unread = largely_unread(config.threshold, scope.targets)
    if not unread:
        return result
    return replace(result, passed=False, undecidable=True, message=too_few_readings(result.message, unread))


def _message(
    config: ThresholdConfig,
    finding: Evaluation,
    measured: Measurements,
    scope: Scope,
    strict: bool,
    place: str = "",
    tally: str = "",
) -> str:
    if finding.is_enough:
        names = failed_checks(config.threshold, measured) if config.threshold.statistic == "check_rate" else ""
        return what_was_found(config, finding, strict, place, tally) + names
    if config.threshold.measured.is_of_target:
        return no_readings(config.threshold, scope.targets)
    return no_samples(config.threshold, measured, place, tally)


def _result(config: ThresholdConfig, finding: Evaluation, message: str, strict: bool) -> ThresholdResult:
    threshold, value = config.threshold, finding.value
    low, high = (_reported(end, threshold) for end in value.interval)
    undecided = finding.outcome is Outcome.UNDECIDED
    return ThresholdResult(
        expression=threshold.text,
        severity=config.severity,
        passed=finding.outcome is Outcome.HOLDS or (undecided and not strict),
        unit={"duration": "ms", "rate": "1/s"}.get(threshold.unit, threshold.unit),
        limit=_in_reports(threshold.limit, threshold),
        measured=_reported(value.value, threshold) if finding.is_enough else None,
        samples=value.samples,
        ci_low=low,
        ci_high=high,
        uncertain=bool(value.remark)
        or (threshold.quantile is not None and 0 < value.samples < minimum_samples(threshold.quantile)),
        message=message,
        undecided=undecided,
        window_s=config.window,
        confidence=config.confidence,
        implied=config.is_implied or None,
        ci_assumes_independence=None if low is None and high is None else value.assumes_independence,
    )


def _reported(value: float | None, threshold: Threshold) -> float | None:
    return None if value is None else _in_reports(value, threshold)


def _in_reports(value: float, threshold: Threshold) -> float:
    """The value in the unit of reports, without rounding errors of the conversion."""
    return round(value * MS_PER_S, 6) if threshold.unit == "duration" else value
