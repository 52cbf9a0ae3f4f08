"""Which samples, and which of their values, a threshold is about. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.sample import CHECK, FAILED, FIRST_EVENT, GAP, ITERATION, OBSERVED, OK, REQUEST, STEP
from pytest_ipload.stats.series_table import SeriesTable
from pytest_ipload.stats.spans import Selection, Time
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.expression import Threshold

_COUNTED = {
    "error_rate": ITERATION,
    "request_error_rate": REQUEST,
    "rps": REQUEST,
    "iterations_per_second": ITERATION,
    "check_rate": CHECK,
}
_COUNTED_OR_TALLIED = {**_COUNTED, "errors": ITERATION, "iterations": ITERATION, "requests": REQUEST}
_PHASES: dict[str, Time] = {"connect": "connect", "tls": "tls", "ttfb": "first_byte"}
_NOUNS = {
    REQUEST: "requests",
    STEP: "steps",
    ITERATION: "iterations",
    FIRST_EVENT: "streams",
    GAP: "gaps",
    OBSERVED: "observations",
}
_WITH_A_BOUND = frozenset({*_COUNTED, "mean"})
"""Statistics, besides percentiles, that have to be kept by time span for a threshold that may abort the load."""


def selection_of(threshold: Threshold, planned: bool) -> Selection | None:
    """The samples that the threshold's value is computed from; None for plain counts.

    Where iterations have ``planned`` starts, times are response times.
    """
    if threshold.unit != "duration":
        kind = _COUNTED.get(threshold.statistic)
        return None if kind is None else Selection(kind, "outcome", **where(threshold))
    is_step = threshold.selector is not None and threshold.selector.kind == "step"
    kind, outcome = (STEP if is_step else REQUEST), OK
    time: Time = "response" if planned else "latency"
    match threshold.family:
        case "failed":
            outcome, time = FAILED, "latency"
        case "connect" | "tls" | "ttfb" as phase:
            time = _PHASES[phase]
        case "ttfe" | "gap":
            kind, time = (FIRST_EVENT if threshold.family == "ttfe" else GAP), "latency"
        case "iteration":
            kind = ITERATION
        case "raw":
            time = "latency"
        case None if threshold.is_observed:
            kind, time = OBSERVED, "latency"
    return Selection(kind, time, **where(threshold), outcome=outcome)


def selections(thresholds: Sequence[ThresholdConfig], planned: bool) -> list[Selection]:
    """The selections to keep by time span: for an interval, or to tell that a threshold can no longer hold."""
    wanted = [
        selection_of(config.threshold, planned)
        for config in thresholds
        if config.window is None
        and (
            config.threshold.quantile is not None
            or config.confidence is not None
            or (config.abort_on_fail and config.threshold.statistic in _WITH_A_BOUND)
        )
    ]
    return list(dict.fromkeys(each for each in wanted if each is not None))


def looked_at(config: ThresholdConfig, planned: bool) -> list[Selection]:
    """All samples that affect the threshold's value, now or later in the load."""
    threshold = config.threshold
    if threshold.unit == "duration":
        found = selection_of(threshold, planned)
        kind = None if found is None else found.kind
    else:
        kind = _COUNTED_OR_TALLIED.get(threshold.statistic)
    if kind is None:
        return []
    # Replies with another status too: a share is one of all, and requests that fail now may succeed later.
    chosen = where(threshold)
    wider = {key: value for key, value in chosen.items() if key != "status"}
    if kind == ITERATION:
        return [Selection(kind, "outcome")]
    return list(dict.fromkeys([Selection(kind, "outcome", **wider), Selection(kind, "outcome", **chosen)]))


def window_selections(thresholds: Sequence[ThresholdConfig], planned: bool) -> dict[int, list[Selection]]:
    """What to keep in windows, by their length in nanoseconds."""
    found: dict[int, list[Selection]] = {}
    for config in thresholds:
        if config.window_ns is not None:
            found.setdefault(config.window_ns, []).extend(looked_at(config, planned))
    return found


def times_of(table: SeriesTable, selection: Selection) -> Histogram:
    """The selected times of a table."""
    chosen: dict[str, Any] = {
        "name": selection.name,
        "source_address": selection.source_address,
        "status": selection.status,
        "outcome": selection.outcome,
    }
    match selection.time:
        case "connect" | "tls":
            return table.phase(selection.time, selection.kind, **chosen)
        case "first_byte":
            return table.phase("ttfb", selection.kind, **chosen)
        case "response":
            return table.response(selection.kind, **chosen)
        case _:
            return table.latency(selection.kind, **chosen)


def noun_of(selection: Selection) -> str:
    """What the samples are called in messages."""
    if selection.time in _PHASES.values():
        return "connections"
    noun = _NOUNS[selection.kind]
    return f"failed {noun}" if selection.outcome == FAILED else noun


def where(threshold: Threshold) -> dict[str, Any]:
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
