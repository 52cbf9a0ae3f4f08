"""What a threshold compares with its limit: one value from all that was measured. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_ipload.load.set_up import SetUps
from pytest_ipload.stats.confidence import quantile_ranks, share_interval
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.sample import FAILED, ITERATION, OK, REQUEST, STEP
from pytest_ipload.stats.summary import per_second
from pytest_ipload.stats.table import SeriesTable
from pytest_ipload.verdict.expression import Threshold

USUAL_CONFIDENCE = 0.95
"""Of the intervals of percentiles for which no confidence is asked."""

Interval = tuple[float | None, float | None]
"""Its lower and upper end; None where too few samples leave it open."""

_NS = 1e-9


@dataclass(frozen=True)
class Scope:
    """What rates and shares are counted over, besides the samples."""

    seconds: float
    """The time that rates are counted over: the judged part of the load by its plan, or of it so far."""
    pool_size: int = 0
    addresses_used: int = 0
    planned_seconds: float | None = None
    """What windows may fill at most, where that is known: what comes after the planned end is a wind-down."""
    dropped: int | None = None
    """Planned iterations that were never started; None where iterations have no arrival plan."""
    planned_iterations: int | None = None
    set_ups: SetUps = field(default_factory=SetUps)


@dataclass(frozen=True)
class Measured:
    """A measured value in the unit of the threshold's limit; None when there is nothing to measure it from."""

    value: float | None
    samples: int
    noun: str
    interval: Interval = (None, None)
    part: int | None = None
    """Those among the samples that the value is about, for error rates and other shares."""
    verb: str = "failed"
    """What they did."""

    def is_enough(self, threshold: Threshold) -> bool:
        """Whether there is something to judge: samples, or none where that is what the threshold asks for."""
        zero_asked_for = threshold.operator == "==" and threshold.limit == 0 and threshold.unit == "count"
        return self.value is not None and (self.samples > 0 or zero_asked_for)


def measure(threshold: Threshold, table: SeriesTable, scope: Scope, confidence: float | None = None) -> Measured:
    """The value that the threshold is about, and the interval of a percentile or (with ``confidence``) error rate."""
    if threshold.unit == "duration":
        return _duration(threshold, table, confidence or USUAL_CONFIDENCE)
    where = _where(threshold)
    requests = table.count(REQUEST, **where)
    # No reply with a certain status is a result: what is counted from are all requests.
    looked_at = table.count(REQUEST) if "status" in where else requests
    iterations = table.count(ITERATION)
    failed_iterations = table.count(ITERATION, outcome=FAILED)
    match threshold.statistic:
        case "error_rate":
            return _error_share(failed_iterations, iterations, "iterations", confidence)
        case "request_error_rate":
            return _error_share(table.count(REQUEST, outcome=FAILED, **where), requests, "requests", confidence)
        case "set_up_error_rate":
            return _error_share(scope.set_ups.failed, scope.set_ups.tried, "set-ups", None)
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


def is_hidden(threshold: Threshold, table: SeriesTable) -> bool:
    """Whether the selector may mean samples whose names were not kept apart, as there were too many names."""
    selector = threshold.selector
    if selector is None or selector.kind not in ("name", "step"):
        return False
    return table.hides(STEP if selector.kind == "step" else REQUEST, selector.pattern)


def _error_share(part: int, whole: int, noun: str, confidence: float | None) -> Measured:
    if not whole:
        return Measured(None, 0, noun, part=part)
    interval: Interval = (None, None) if confidence is None else share_interval(part, whole, confidence)
    return Measured(part / whole, whole, noun, interval, part)


def _duration(threshold: Threshold, table: SeriesTable, confidence: float) -> Measured:
    histogram, noun = _histogram(threshold, table)
    statistics: dict[str, Callable[[], float | None]] = {
        "mean": lambda: histogram.mean_ns,
        "min": lambda: histogram.min_ns,
        "max": lambda: histogram.max_ns,
    }
    quantile = threshold.quantile
    if quantile is None:
        return Measured(_seconds(statistics[threshold.statistic]()), histogram.count, noun)
    if not histogram.count:
        return Measured(None, 0, noun)
    low, high = (
        None if rank is None else _seconds(histogram.value_at_rank(rank))
        for rank in quantile_ranks(histogram.count, quantile, confidence)
    )
    return Measured(_seconds(histogram.quantile(quantile)), histogram.count, noun, (low, high))


def _histogram(threshold: Threshold, table: SeriesTable) -> tuple[Histogram, str]:
    """The times that a duration statistic is over, and what they are times of."""
    where = _where(threshold)
    is_step = threshold.selector is not None and threshold.selector.kind == "step"
    kind, noun = (STEP, "steps") if is_step else (REQUEST, "requests")
    match threshold.family:
        case "failed":
            return table.latency(kind, outcome=FAILED, **where), f"failed {noun}"
        case "connect" | "tls" | "ttfb" as phase:
            return table.phase(phase, kind, outcome=OK, **where), "connections"
        case "iteration":
            kind, noun = ITERATION, "iterations"
        case "raw":
            return table.latency(kind, outcome=OK, **where), noun
    if table.planned:
        return table.response(kind, outcome=OK, **where), noun
    return table.latency(kind, outcome=OK, **where), noun


def _where(threshold: Threshold) -> dict[str, Any]:
    """The threshold's selector as keywords of the table's accessors."""
    selector = threshold.selector
    if selector is None:
        return {}
    match selector.kind:
        case "source":
            return {"source_address": selector.pattern}
        case "status":
            return {"status": int(selector.pattern)}
        case _:
            return {"name": selector.pattern}


def _seconds(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds * _NS
