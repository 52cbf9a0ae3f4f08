"""The value of a target's metric that a threshold compares with its limit. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_ipload.base.units import format_percent
from pytest_ipload.stats.batch_means import SHORTEST_S
from pytest_ipload.stats.series_table import matches
from pytest_ipload.stats.slope import FEWEST
from pytest_ipload.stats.target_summary import JudgedMetric, JudgedTarget
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.target_metric import GROWTH, metric_of

_MOST_LISTED = 10
_MOST_MISSING = 0.5
"""The share of the judged time without readings from which on those that there are say too little."""


@dataclass(frozen=True)
class TargetValue:
    """The value of one target; None if it has no readings."""

    label: str
    value: float | None
    samples: int = 0
    interval: tuple[float | None, float | None] = (None, None)
    remark: str = ""
    """Why the value is uncertain."""
    assumes_independence: bool = False


def selected(threshold: Threshold, targets: Sequence[JudgedTarget]) -> list[JudgedTarget]:
    """The targets that a threshold is about."""
    pattern = "*" if threshold.selector is None else threshold.selector.pattern
    return [target for target in targets if matches(pattern, target.readings.name)]


def values_of(threshold: Threshold, targets: Sequence[JudgedTarget], confidence: float) -> list[TargetValue]:
    """The value of each target that the threshold is about."""
    name = metric_of(threshold.family or "")
    return [
        TargetValue(target.label, None)
        if (metric := target.metrics.get(name)) is None
        else _value(threshold, target.label, metric, confidence)
        for target in selected(threshold, targets)
    ]


def _value(threshold: Threshold, label: str, metric: JudgedMetric, confidence: float) -> TargetValue:
    if threshold.statistic == GROWTH:
        return _growth(label, metric, confidence)
    if threshold.quantile is not None:
        return TargetValue(label, metric.quantile(threshold.quantile), metric.samples)
    statistics: dict[str, Callable[[], float]] = {
        "mean": lambda: metric.mean,
        "max": lambda: metric.max,
        "min": lambda: metric.min,
        "last": lambda: metric.last,
    }
    return TargetValue(label, statistics[threshold.statistic](), metric.samples)


def _growth(label: str, metric: JudgedMetric, confidence: float) -> TargetValue:
    slope, levels = metric.growth(confidence), metric.levels
    samples = sum(point.readings for point in levels)
    if slope is None:
        return TargetValue(label, None, samples)
    is_short = levels[-1].end_s - levels[0].end_s < SHORTEST_S
    remark = "" if slope.low is not None else f"uncertain: the load is too short, growth needs {FEWEST} readings"
    return TargetValue(label, slope.value, samples, (slope.low, slope.high), remark, is_short)


def largely_unread(threshold: Threshold, targets: Sequence[JudgedTarget]) -> list[JudgedTarget]:
    """The targets of the threshold that could not be read for most of the judged time."""
    return [target for target in selected(threshold, targets) if target.missing > _MOST_MISSING]


def what_there_is(threshold: Threshold, targets: Sequence[JudgedTarget]) -> str:
    """Why there are no readings for a threshold: what was measured instead, and what went wrong."""
    if not targets:
        return "no target is measured: call ipload_target in a fixture"
    chosen = selected(threshold, targets)
    if not chosen:
        return f"targets seen: {_listed([target.label for target in targets])}"
    return (
        "; ".join(
            f"{target.label!r}: {_of_target(target)}"
            for target in chosen
            if metric_of(threshold.family or "") not in target.metrics
        )
        or "fewer than two readings"
    )


def what_is_missing(targets: Sequence[JudgedTarget]) -> str:
    """For how much of the judged time the targets could not be read, and why."""
    found = []
    for each in targets[:_MOST_LISTED]:
        share = format_percent(each.missing)
        found += [f"{each.label!r} was not read for {share} of the judged time", *each.readings.notes]
    return "; ".join(found)


def _of_target(target: JudgedTarget) -> str:
    measured = f"measured is {', '.join(target.metrics)}" if target.metrics else "nothing was read in the judged time"
    return "; ".join([measured, *target.readings.notes])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_MOST_LISTED])) + (", ..." if len(names) > _MOST_LISTED else "")
