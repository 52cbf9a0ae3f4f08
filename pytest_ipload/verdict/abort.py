"""When a threshold cannot hold any more, so that its load may as well be broken off. Pure: time goes in as a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import ITERATION
from pytest_ipload.units import format_duration
from pytest_ipload.verdict.evaluate import ThresholdResult, evaluate
from pytest_ipload.verdict.expression import Threshold
from pytest_ipload.verdict.finding import Outcome, find_in_windows, is_undecidable, outcome_of
from pytest_ipload.verdict.judged import JudgedThreshold
from pytest_ipload.verdict.measure import USUAL_CONFIDENCE, Measured, Scope, measure

_NS = 1e-9
_HAND_OVER = 3.0
"""Seconds in which a sample has come from its user's thread to the measurements, if iterations take no time: users
collect for a second, do not hand over before pauses of up to a second, and are looked at each second."""
_SHORTEST_RATE = 1.0
"""Seconds from which on a rate is one."""

# How a value moves while a load goes on: it only grows, it only falls, or it may do both.
_GROWING = frozenset({"requests", "iterations", "errors", "dropped_iterations", "ip_pool_usage", "max"})
_FALLING = frozenset({"min"})
_SHARES = frozenset({"error_rate", "request_error_rate"})
_RATES = frozenset({"rps", "iterations_per_second"})
_BELOW, _ABOVE = ("<", "<="), (">", ">=")


def abort_reason(judged: JudgedThreshold, measured: Measurements, scope: Scope, *, first_window: int = 0) -> str | None:
    """Why the load may be broken off: what the threshold's failure says so far. None if it may still hold.

    ``scope`` is that of the load so far. Over no samples nothing is broken off. Windows before number
    ``first_window`` are not looked at.
    """
    result = _failure(judged, measured, scope, first_window)
    return None if result is None else result.message


def _failure(
    judged: JudgedThreshold, measured: Measurements, scope: Scope, first_window: int
) -> ThresholdResult | None:
    """The result of a threshold that cannot hold any more; None if it may."""
    if is_undecidable(judged, measured, scope):
        return None
    if judged.window is not None:
        scope = settled(measured, scope)
        found = find_in_windows(judged, measured, scope, first=first_window)
        if found is None or found.worst.outcome is not Outcome.FAILS or not found.worst.is_enough:
            return None
    elif not _is_hopeless(judged, measured, scope):
        return None
    return evaluate(judged, measured, scope)


def settled(measured: Measurements, scope: Scope) -> Scope:
    """The scope without its end, of which not all samples have come yet: users hand them over now and then."""
    longest_ns = max((series.latency.max_ns or 0 for _, series in measured.series(ITERATION)), default=0)
    return replace(scope, seconds=max(0.0, scope.seconds - _HAND_OVER - longest_ns * _NS))


def _is_hopeless(judged: JudgedThreshold, measured: Measurements, scope: Scope) -> bool:
    threshold = judged.threshold
    confidence = judged.confidence or USUAL_CONFIDENCE
    value = measure(threshold, measured, scope, confidence)
    if value.value is None or value.samples == 0:
        return False
    if threshold.statistic in _GROWING or threshold.statistic in _FALLING:
        return _is_past(threshold, value.value)
    if threshold.statistic in _SHARES and threshold.operator == "==" and threshold.limit == 0:
        return value.value > 0  # what has failed stays failed
    if threshold.statistic == "set_up_error_rate":  # users that are still to be set up may succeed
        least = scope.set_ups.failed / scope.set_ups.planned
        return threshold.operator in _BELOW and not threshold.holds(least)
    if threshold.operator not in (*_BELOW, *_ABOVE):
        return False  # it may become equal again, and different too
    if threshold.quantile is not None or threshold.statistic in _SHARES:
        return outcome_of(threshold, value.interval) is Outcome.FAILS
    if threshold.statistic in _RATES:
        return _is_too_slow_or_fast(threshold, value, measured, scope)
    return not threshold.holds(value.value)


def _is_past(threshold: Threshold, value: float) -> bool:
    """Whether a value that moves in one direction has gone past the limit, to where it does not come back from."""
    grows = threshold.statistic in _GROWING
    if threshold.operator == "==":
        return not threshold.holds(value) and (value > threshold.limit) == grows
    return threshold.operator in (_BELOW if grows else _ABOVE) and not threshold.holds(value)


def _is_too_slow_or_fast(threshold: Threshold, value: Measured, measured: Measurements, scope: Scope) -> bool:
    """Whether a rate is beyond its limit, also if some samples have not come yet."""
    if threshold.operator in _ABOVE:
        scope = settled(measured, scope)
        value = measure(threshold, measured, scope)
    return scope.seconds >= _SHORTEST_RATE and value.value is not None and not threshold.holds(value.value)


@dataclass(frozen=True)
class Abort:
    """The threshold that broke a load off."""

    judged: JudgedThreshold
    after_s: float
    """Seconds since the start of the load."""
    result: ThresholdResult
    """What it said then."""

    def final(self, result: ThresholdResult) -> ThresholdResult:
        """Its result at the end, which stays *failed* whatever the last samples say: the load was not whole."""
        last = self.result if result.passed else result
        message = f"aborted after {format_duration(self.after_s)}: {last.message}"
        return replace(last, message=message, aborted=True)


class AbortWatch:
    """Looks at the thresholds of a load again and again, until one of them breaks it off."""

    def __init__(self, thresholds: Sequence[JudgedThreshold]) -> None:
        self.watched = [judged for judged in thresholds if judged.abort_on_fail]
        self._windows_seen = dict.fromkeys(map(id, self.watched), 0)
        self.abort: Abort | None = None
        """What broke the load off; None as long as nothing did."""

    def look(self, measured: Measurements, scope: Scope, elapsed_s: float) -> str | None:
        """Why the load has to be broken off now, ``elapsed_s`` after its start; None if it may go on."""
        for judged in self.watched:
            if elapsed_s < judged.delay:
                continue
            first = self._windows_seen[id(judged)]
            if (result := _failure(judged, measured, scope, first)) is not None:
                self.abort = Abort(judged, elapsed_s, result)
                return result.message
            if judged.window is not None:
                self._windows_seen[id(judged)] = int(settled(measured, scope).seconds / judged.window)
        return None
