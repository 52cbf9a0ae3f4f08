"""When a threshold can no longer hold, so that its load may be aborted. Pure: time is passed in as a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_ipload.base.units import NS_PER_S, format_duration
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import ITERATION
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult, evaluate
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.finding import Outcome, find_in_windows, is_undecidable
from pytest_ipload.verdict.threshold.measure import Scope, measure
from pytest_ipload.verdict.threshold.outlook import cannot_hold
from pytest_ipload.verdict.threshold.remaining_load import Plan

_HAND_OVER = 3.0
"""Seconds that a sample takes from its user's thread to the measurements, if iterations take no time: users
collect for a second, do not hand over before pauses of up to a second, and are polled each second."""

# How a value can change during a load: only upwards, only downwards, or both ways.
_GROWING = frozenset(
    {"requests", "iterations", "errors", "dropped_iterations", "ip_pool_usage", "max", "count", "gauge.max"}
)
_FALLING = frozenset({"min", "gauge.min"})
_SHARES = frozenset({"error_rate", "request_error_rate"})
_BELOW, _ABOVE = ("<", "<="), (">", ">=")
_UNKNOWN = Plan()


def abort_reason(
    config: ThresholdConfig, measured: Measurements, scope: Scope, plan: Plan = _UNKNOWN, *, first_window: int = 0
) -> str | None:
    """Why the load may be aborted: the threshold's failed result so far. None if it may still hold.

    ``scope`` is that of the load so far. A threshold without samples aborts nothing. Windows before number
    ``first_window`` are skipped.
    """
    result = _failure(config, measured, scope, plan, first_window)
    return None if result is None else result.message


def _failure(
    config: ThresholdConfig, measured: Measurements, scope: Scope, plan: Plan, first_window: int
) -> ThresholdResult | None:
    """The result of a threshold that can no longer hold; None if it may."""
    if is_undecidable(config, measured, scope):
        return None
    if config.window is not None:
        scope = settled(measured, scope)
        found = find_in_windows(config, measured, scope, first=first_window)
        if found is None or found.worst.outcome is not Outcome.FAILS or not found.worst.is_enough:
            return None
    elif not _is_hopeless(config, measured, scope, plan):
        return None
    result = evaluate(config, measured, scope)
    return None if result.passed else result


def settled(measured: Measurements, scope: Scope) -> Scope:
    """The scope without its end, of which samples may be missing: users hand them over now and then."""
    longest_ns = max((series.latency.max_ns or 0 for _, series in measured.series(ITERATION)), default=0)
    return replace(scope, seconds=max(0.0, scope.seconds - _HAND_OVER - longest_ns / NS_PER_S))


def _is_hopeless(config: ThresholdConfig, measured: Measurements, scope: Scope, plan: Plan) -> bool:
    threshold = config.threshold
    if threshold.statistic == "set_up_error_rate":  # users that are still to be set up may succeed
        least = scope.set_ups.failed / scope.set_ups.planned if scope.set_ups.planned else 0.0
        return threshold.operator in _BELOW and not threshold.holds(least)
    never_again = threshold.statistic in _SHARES and threshold.operator in ("==", "<=") and threshold.limit == 0
    if threshold.statistic == "check_rate" and threshold.operator in ("==", ">=") and threshold.limit == 1:
        share = measure(threshold, measured, scope)
        return share.value is not None and share.value < 1  # a check that failed stays failed
    if not (never_again or threshold.statistic in _GROWING or threshold.statistic in _FALLING):
        return cannot_hold(config, measured, scope, plan, settled(measured, scope).seconds)
    value = measure(threshold, measured, scope)
    if value.value is None or value.samples == 0:
        return False
    return value.value > 0 if never_again else _is_past(threshold, value.value)  # failures stay failures


def _is_past(threshold: Threshold, value: float) -> bool:
    """Whether a value that only changes in one direction has passed the limit, so that it cannot come back."""
    grows = threshold.statistic in _GROWING
    if threshold.operator == "==":
        return not threshold.holds(value) and (value > threshold.limit) == grows
    return threshold.operator in (_BELOW if grows else _ABOVE) and not threshold.holds(value)


@dataclass(frozen=True)
class Abort:
    """The threshold that aborted a load."""

    number: int
    """Its index among the thresholds."""
    after_s: float
    """Seconds since the start of the load."""
    result: ThresholdResult
    """Its result at that time."""

    def final(self, result: ThresholdResult) -> ThresholdResult:
        """Its result at the end, which stays *failed* whatever the last samples say: the load was incomplete."""
        last = self.result if result.passed else result
        message = f"aborted after {format_duration(self.after_s)}: {last.message}"
        return replace(last, message=message, aborted=True)


class AbortWatch:
    """Checks the thresholds of a load again and again, until one of them aborts it."""

    def __init__(self, thresholds: Sequence[ThresholdConfig], plan: Plan = _UNKNOWN) -> None:
        """``plan`` is that of the whole load, even if this process runs one partition."""
        self._plan = plan
        self.watched = {number: config for number, config in enumerate(thresholds) if config.abort_on_fail}
        """By their index."""
        self._windows_seen = dict.fromkeys(self.watched, 0)
        self.abort: Abort | None = None
        """The threshold that aborted the load; None if none did."""

    def first_window(self, length_ns: int) -> int:
        """The first window of this length that has not been checked yet."""
        watched = self.watched.items()
        seen = [self._windows_seen[number] for number, config in watched if config.window_ns == length_ns]
        return min(seen, default=0)

    def look(self, measured: Measurements, scope: Scope, elapsed_s: float) -> str | None:
        """Why the load has to be aborted now, ``elapsed_s`` after its start; None if it may go on."""
        for number, config in self.watched.items():
            if elapsed_s < config.delay:
                continue
            first = self._windows_seen[number]
            if (result := _failure(config, measured, scope, self._plan, first)) is not None:
                self.abort = Abort(number, elapsed_s, result)
                return result.message
            if config.window is not None:
                self._windows_seen[number] = int(settled(measured, scope).seconds / config.window)
        return None
