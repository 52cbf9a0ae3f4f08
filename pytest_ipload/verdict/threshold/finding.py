"""Whether a threshold holds: by one value, by its interval, and in each window of the load. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.series_table import SeriesTable
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.measure import Interval, Measured, Scope, is_hidden, measure
from pytest_ipload.verdict.threshold.target_metric import GROWTH


class Outcome(Enum):
    """What a measurement says about a threshold; a larger value is worse."""

    HOLDS = 0
    UNDECIDED = 1
    """The limit lies within the interval, or too few samples leave the interval open."""
    FAILS = 2


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and the outcome for the threshold."""

    value: Measured
    outcome: Outcome
    is_enough: bool
    """Whether there was anything to measure."""


@dataclass(frozen=True)
class WindowEvaluations:
    """The outcomes for a threshold in the full windows of a load."""

    worst: Evaluation
    """The first of several windows that are equally bad."""
    number: int
    """Of the worst window."""
    windows: int
    failed: int
    undecided: int


def find(config: ThresholdConfig, table: SeriesTable, scope: Scope) -> Evaluation:
    """Judge the value, or with a confidence its interval. Without samples a threshold fails."""
    threshold = config.threshold
    value = measure(threshold, table, scope, config.confidence)
    if value.value is None or not value.is_enough(threshold):
        return Evaluation(value, Outcome.FAILS, is_enough=False)
    if config.confidence is not None or threshold.statistic == GROWTH:  # a slope means little without its interval
        return Evaluation(value, outcome_of(threshold, value.interval), is_enough=True)
    return Evaluation(value, Outcome.HOLDS if threshold.holds(value.value) else Outcome.FAILS, is_enough=True)


def outcome_of(threshold: Threshold, interval: Interval) -> Outcome:
    """It holds if the whole interval is within the limit, fails if all of it is beyond; for <, <=, > and >= only."""
    low, high = interval
    best, worst = (low, high) if threshold.operator in ("<", "<=") else (high, low)
    if worst is not None and threshold.holds(worst):
        return Outcome.HOLDS
    if best is not None and not threshold.holds(best):
        return Outcome.FAILS
    return Outcome.UNDECIDED


def find_in_windows(
    config: ThresholdConfig, measured: Measurements, scope: Scope, *, first: int = 0
) -> WindowEvaluations | None:
    """Judge each full window from number ``first`` on; None if there are none."""
    assert config.window is not None
    of_window = replace(scope, seconds=config.window)
    worst: tuple[tuple[float, ...], int, Evaluation] | None = None
    counts = dict.fromkeys(Outcome, 0)
    for number, table in _full_windows(config, measured, scope, first):
        finding = find(config, table, of_window)
        counts[finding.outcome] += 1
        badness = _badness(config.threshold, finding)
        if worst is None or badness > worst[0]:
            worst = badness, number, finding
    if worst is None:
        return None
    return WindowEvaluations(worst[2], worst[1], sum(counts.values()), counts[Outcome.FAILS], counts[Outcome.UNDECIDED])


def is_undecidable(config: ThresholdConfig, measured: Measurements, scope: Scope) -> bool:
    """Whether the names that the threshold selects were not kept separately, in the whole load or in a window."""
    if config.window is None:
        return is_hidden(config.threshold, measured)
    if not measured.names_dropped:  # then no window has more names than are kept
        return False
    return any(is_hidden(config.threshold, table) for _, table in _full_windows(config, measured, scope))


def _full_windows(
    config: ThresholdConfig, measured: Measurements, scope: Scope, first: int = 0
) -> Iterator[tuple[int, SeriesTable]]:
    assert config.window_ns is not None
    seconds = scope.seconds if scope.planned_seconds is None else min(scope.seconds, scope.planned_seconds)
    ended_ns = measured.judged_from_ns + round(seconds * NS_PER_S)
    return measured.windows[config.window_ns].full(ended_ns, first)


def _badness(threshold: Threshold, finding: Evaluation) -> tuple[float, ...]:
    """Sort key, larger for a worse window: its outcome, then how far its value is beyond the limit."""
    value = finding.value.value
    if value is None or not finding.is_enough:
        return finding.outcome.value, -math.inf  # a window with a value is shown rather than one without
    distance = value - threshold.limit
    match threshold.operator:
        case ">" | ">=":
            distance = -distance
        case "==":
            distance = abs(distance)
        case "!=":
            distance = -abs(distance)
    return finding.outcome.value, distance
