"""The value that a threshold compares with its limit, from all measurements. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.set_up import SetUps
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.batch_means import SHORTEST_S, effective_samples
from pytest_ipload.stats.confidence import quantile_ranks, share_interval
from pytest_ipload.stats.hdr_bins import bin_of_ns
from pytest_ipload.stats.sample import CHECK, FAILED, ITERATION, REQUEST
from pytest_ipload.stats.series_table import SeriesTable
from pytest_ipload.stats.summary import per_second
from pytest_ipload.stats.target_summary import JudgedTarget
from pytest_ipload.verdict.threshold.expression import VALUES, Threshold
from pytest_ipload.verdict.threshold.selection import noun_of, selection_of, times_of
from pytest_ipload.verdict.threshold.selection import where as where_of
from pytest_ipload.verdict.threshold.target_measure import values_of

USUAL_CONFIDENCE = 0.95
"""Of the intervals of percentiles without a confidence setting."""

Interval = tuple[float | None, float | None]
"""Its lower and upper end; None where too few samples leave it open."""


@dataclass(frozen=True)
class Scope:
    """What rates and shares are counted over, besides the samples."""

    seconds: float
    """The time that rates are counted over: the judged part of the load by its plan, or of it so far."""
    pool_size: int = 0
    addresses_used: int = 0
    planned_seconds: float | None = None
    """The maximum time that windows may cover, where known: what comes after the planned end is the graceful stop."""
    dropped: int | None = None
    """Planned iterations that were never started; None where iterations have no arrival plan."""
    planned_iterations: int | None = None
    set_ups: SetUps = field(default_factory=SetUps)
    targets: Sequence[JudgedTarget] = ()
    """The load's targets, with what was read of them in the judged time."""

    @classmethod
    def of(cls, profile: LoadProfile, judged_s: float, **counted: Any) -> Scope:
        """For a load of which ``judged_s`` seconds are judged; ``counted`` are the other fields."""
        return cls(seconds=max(0.0, judged_s), planned_seconds=profile.judged_seconds, **counted)


@dataclass(frozen=True)
class Measured:
    """A measured value in the unit of the threshold's limit; None if there are no samples for it."""

    value: float | None
    samples: int
    noun: str
    interval: Interval = (None, None)
    part: int | None = None
    """The number of samples that count, for error rates and other shares."""
    verb: str = "failed"
    """What those samples did."""
    assumes_independence: bool = False
    """Whether the interval assumes it: the load is too short to estimate the correlation of samples."""
    place: str = ""
    """Of which target it is, where there are several."""
    remark: str = ""
    """Why it is uncertain."""

    def is_enough(self, threshold: Threshold) -> bool:
        """Whether there is something to judge: samples, or none where the threshold is about their number."""
        zero_asked_for = threshold.operator == "==" and threshold.limit == 0 and threshold.unit == "count"
        return self.value is not None and (self.samples > 0 or zero_asked_for)


def measure(threshold: Threshold, table: SeriesTable, scope: Scope, confidence: float | None = None) -> Measured:
    """The threshold's value, and the interval of a percentile or (with ``confidence``) error rate."""
    if threshold.measured.is_of_target:
        return _of_target(threshold, scope, confidence or USUAL_CONFIDENCE)
    if threshold.unit == "duration":
        return _duration(threshold, table, scope, confidence or USUAL_CONFIDENCE)
    if threshold.statistic in VALUES:
        return _of_own_values(threshold, table, scope)
    where = where_of(threshold)
    if threshold.statistic == "check_rate":
        effective = None if confidence is None else effective_of(threshold, table, scope, confidence)
        failed = table.count(CHECK, outcome=FAILED, **where)
        return _held(_error_share(failed, table.count(CHECK, **where), "checks", confidence, effective))
    requests = table.count(REQUEST, **where)
    # That no reply has a certain status is a result: the share is one of all requests.
    looked_at = table.count(REQUEST) if "status" in where else requests
    iterations = table.count(ITERATION)
    failed_iterations = table.count(ITERATION, outcome=FAILED)
    match threshold.statistic:
        case "error_rate":
            effective = None if confidence is None else effective_of(threshold, table, scope, confidence)
            return _error_share(failed_iterations, iterations, "iterations", confidence, effective)
        case "request_error_rate":
            effective = None if confidence is None else effective_of(threshold, table, scope, confidence)
            failed = table.count(REQUEST, outcome=FAILED, **where)
            return _error_share(failed, requests, "requests", confidence, effective)
        case "set_up_error_rate":
            return _error_share(scope.set_ups.failed, scope.set_ups.tried, "set-ups", None, None)
        case "requests":
            return Measured(requests, looked_at, "requests")
        case "iterations":
            return Measured(iterations, iterations, "iterations")
        case "errors":
            return Measured(failed_iterations, iterations, "iterations", part=failed_iterations)
        case "dropped_iterations":
            return Measured(
                scope.dropped, scope.planned_iterations or 0, "iterations", part=scope.dropped, verb="dropped"
            )
        case "rps":
            return Measured(per_second(table.ended_in_time(REQUEST, **where), scope.seconds), looked_at, "requests")
        case "iterations_per_second":
            return Measured(per_second(table.ended_in_time(ITERATION), scope.seconds), iterations, "iterations")
        case "ip_pool_usage":
            used, size = scope.addresses_used, scope.pool_size
            return Measured(used / size if size else None, size, "addresses", part=used, verb="in use")
        case other:
            raise ValueError(f"{other} is not measured")


def _of_target(threshold: Threshold, scope: Scope, confidence: float) -> Measured:
    """The value of the selected target; of several, the one that is farthest beyond the limit, or nearest to it."""
    found = values_of(threshold, scope.targets, confidence)
    measured = [each for each in found if each.value is not None]
    if not found or len(measured) < len(found):
        return Measured(None, 0, "readings")
    is_lower_limit = threshold.operator in (">", ">=")
    worst = (min if is_lower_limit else max)(measured, key=lambda each: each.value or 0.0)
    return Measured(
        worst.value,
        worst.samples,
        "readings",
        worst.interval,
        assumes_independence=worst.assumes_independence,
        place=f" of {worst.label!r}" if len(found) > 1 else "",
        remark=worst.remark,
    )


def is_hidden(threshold: Threshold, table: SeriesTable) -> bool:
    """Whether the selector may match samples whose names were not kept separately, as there were too many names."""
    selector = threshold.selector
    if selector is None or selector.kind not in ("name", "step", "metric"):
        return False
    if (kind := VALUES.get(threshold.statistic)) is not None:
        values = table.own_values()
        return values is not None and values.hides(kind, selector.pattern)
    selection = selection_of(threshold, table.planned)
    return table.hides(REQUEST if selection is None else selection.kind, selector.pattern)


def _error_share(part: int, whole: int, noun: str, confidence: float | None, effective: int | None) -> Measured:
    if not whole:
        return Measured(None, 0, noun, part=part)
    if confidence is None:
        return Measured(part / whole, whole, noun, part=part)
    interval = share_interval(part, whole, confidence, effective)
    return Measured(part / whole, whole, noun, interval, part, assumes_independence=effective is None)


def _held(failed: Measured) -> Measured:
    """The share of checks that held, from the share of those that failed."""
    low, high = (None if end is None else 1 - end for end in failed.interval)
    return replace(failed, value=None if failed.value is None else 1 - failed.value, interval=(high, low))


def _of_own_values(threshold: Threshold, table: SeriesTable, scope: Scope) -> Measured:
    """The value of a count or gauge of the test's own."""
    values, selector = table.own_values(), threshold.selector
    assert values is not None  # windows, which have none, are refused
    assert selector is not None
    statistic = threshold.statistic
    whole = values.whole(VALUES[statistic], selector.pattern)
    if not whole.calls:
        return Measured(0.0 if statistic == "count" else None, 0, "calls")
    found = {
        "count": whole.total,
        "rate": per_second(whole.in_time, scope.seconds),
        "gauge": whole.last,
        "gauge.min": whole.low,
        "gauge.max": whole.high,
    }
    return Measured(found[statistic], whole.calls, "calls")


def _duration(threshold: Threshold, table: SeriesTable, scope: Scope, confidence: float) -> Measured:
    selection = selection_of(threshold, table.planned)
    assert selection is not None
    histogram, noun = times_of(table, selection), noun_of(selection)
    statistics: dict[str, Callable[[], float | None]] = {
        "mean": lambda: histogram.mean_ns,
        "min": lambda: histogram.min_ns,
        "max": lambda: histogram.max_ns,
    }
    quantile = threshold.quantile
    if quantile is None:
        return Measured(_seconds(statistics[threshold.statistic]()), histogram.count, noun)
    if (value_ns := histogram.quantile(quantile)) is None:
        return Measured(None, 0, noun)
    effective = effective_of(threshold, table, scope, confidence)
    low, high = (
        None if rank is None else _seconds(histogram.value_at_rank(rank))
        for rank in quantile_ranks(histogram.count, quantile, confidence, effective)
    )
    return Measured(_seconds(value_ns), histogram.count, noun, (low, high), assumes_independence=effective is None)


def effective_of(threshold: Threshold, table: SeriesTable, scope: Scope, confidence: float) -> int | None:
    """How many independent samples those of a percentile or an error rate are worth.

    None where the load is too short to know that.
    """
    selection = selection_of(threshold, table.planned)
    cells = None if selection is None or scope.seconds < SHORTEST_S else table.cells(selection)
    if cells is None or selection is None:
        return None
    if threshold.quantile is None:
        return effective_samples(cells.above(0, scope.seconds), confidence)
    value_ns = times_of(table, selection).quantile(threshold.quantile)
    if value_ns is None:
        return None
    index, beyond = bin_of_ns(value_ns), 1 - threshold.quantile
    # Many samples may share the quantile's bin: it counts to the side that brings the share nearest to the quantile.
    sides = sorted(
        (cells.above(each, scope.seconds) for each in (index, index - 1)),
        key=lambda side: abs(sum(part for part, _ in side) - beyond * sum(whole for _, whole in side)),
    )
    return next((found for side in sides if (found := effective_samples(side, confidence)) is not None), None)


def _seconds(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / NS_PER_S
