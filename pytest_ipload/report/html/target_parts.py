"""The targets' own numbers in the HTML report: a table, and charts over the time of the load. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pytest_ipload.report.html.cells import ABSENT, count
from pytest_ipload.report.html.html_tables import Table
from pytest_ipload.report.html.points import Points
from pytest_ipload.report.terminal.target_lines import growth_of, place_of
from pytest_ipload.stats.summary import PlainResult
from pytest_ipload.stats.target_readings import BYTES, CPU, FILES, PERCENT, RSS, STANDARD, THREADS, unit_of
from pytest_ipload.verdict.threshold.target_metric import format_value

_MOST_CHARTS = 12
_MOST_LINES = 12
_TITLES = {CPU: "processor time", RSS: "resident memory", THREADS: "threads", FILES: "open files"}
_BYTES_PER_MB = 1e6


def target_table(result: PlainResult) -> Table:
    """Each metric of each target over the judged time."""
    headers = ["target", "metric", "mean", "max", "min", "last", "growth", "readings"]
    rows = [
        [
            place_of(target),
            name,
            *(format_value(stats["unit"], stats[key]) for key in ("mean", "max", "min", "last")),
            growth_of(stats) or ABSENT,
            count(stats["samples"]),
        ]
        for target in result.get("targets", ())
        for name, stats in target["metrics"].items()
    ]
    notes = [f"{place_of(target)}: {note}" for target in result.get("targets", ()) for note in target.get("notes", ())]
    return Table("Targets", headers, rows, frozenset({"metric", "growth"}), "; ".join(notes))


class TargetLines(NamedTuple):
    """What a chart of one metric shows: a line for each target that has it."""

    title: str
    unit: str
    by_target: Mapping[str, list[float | None]]
    spans: Sequence[str]
    """The range of each line, in words."""


def target_lines_of(result: PlainResult, points: Points) -> list[TargetLines]:
    """One for each metric of the targets; each value is the highest of the time that its point stands for."""
    found: dict[str, dict[str, list[float | None]]] = {}
    for step in result["timeline"]:
        place = step["t_s"] // points.width_s
        for target, metrics in step.get("targets", {}).items():
            for metric, value in metrics.items():
                values = found.setdefault(metric, {}).setdefault(target, [None] * points.size)
                known = values[place]
                values[place] = value if known is None else max(known, value)
    metrics = [*STANDARD, *(metric for metric in found if metric not in STANDARD)]
    return [_lines(metric, found[metric]) for metric in metrics if metric in found][:_MOST_CHARTS]


def _lines(metric: str, by_target: Mapping[str, list[float | None]]) -> TargetLines:
    unit, spans, scaled = unit_of(metric), [], {}
    for target, values in list(by_target.items())[:_MOST_LINES]:
        known = [value for value in values if value is not None]
        spans.append(f"{target} from {format_value(unit, min(known))} to {format_value(unit, max(known))}")
        scale = _BYTES_PER_MB if unit == BYTES else 1.0
        scaled[target] = [None if value is None else float(f"{value / scale:.4g}") for value in values]
    shown = {PERCENT: "% of a core", BYTES: "MB"}.get(unit, metric)
    return TargetLines(f"Target: {_TITLES.get(metric, metric)}", shown, scaled, spans)
