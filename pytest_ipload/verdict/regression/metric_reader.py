"""Reads the value of a metric from a result in plain values, which has the same form for a run and a saved run."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_ipload.base.units import NS_PER_MS
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.own_summary import TIME
from pytest_ipload.stats.series_table import MAX_NAMES, OTHER_NAMES, matches
from pytest_ipload.stats.summary import PlainResult
from pytest_ipload.verdict.threshold.expression import STREAM_FAMILIES, Metric
from pytest_ipload.verdict.threshold.selector import Selector
from pytest_ipload.verdict.threshold.target_metric import metric_of


def value_of(metric: Metric, result: PlainResult) -> float | None:
    """The value in the unit of reports (ms, fraction, 1/s, a target's); None if the result does not have it.

    Percentiles come from the histogram, by nearest rank, so any percentile can be read. Where iterations had planned
    starts, times are response times, which are not kept by name or step: there only ``raw.`` metrics are.
    ``ValueError`` for an invalid histogram. Also None if the selector may match names that were not kept separately.
    """
    if metric.is_of_target:
        return _of_targets(metric, result)
    if is_hidden(metric, result):
        return None
    if metric.unit == "duration":
        return _time(metric, _distributions(metric, result))
    if metric.statistic == "check_rate":
        return _check_rate(metric, result)
    if metric.selector is None:
        value = result.get(metric.statistic)
        return None if value is None or not _is_measured(metric, result) else float(value)
    rows = _rows(metric, result)
    if metric.statistic == "rps":
        return float(sum(row["rps"] for row in rows)) if rows else None
    requests: int = sum(row["requests"] for row in rows)
    failed: int = sum(row["failed_requests"] for row in rows)
    return failed / requests if requests else None


def _of_targets(metric: Metric, result: PlainResult) -> float | None:
    """Of several targets that the selector matches, the highest value."""
    name, pattern = metric_of(metric.family or ""), metric.selector.pattern if metric.selector else "*"
    values = [
        float(target["metrics"][name][metric.statistic])
        for target in result.get("targets", ())
        if matches(pattern, target["name"]) and name in target["metrics"]
    ]
    return max(values, default=None)


def _is_measured(metric: Metric, result: PlainResult) -> bool:
    """Whether there was anything to count: without any, a rate is not measured."""
    return bool(result["requests" if metric.statistic in ("rps", "request_error_rate") else "iterations"])


def _distributions(metric: Metric, result: PlainResult) -> list[PlainResult]:
    """The distributions that the time is read from, without empty ones."""
    planned = "response_time" in result and metric.family is None
    if metric.family in STREAM_FAMILIES:
        rows = [result] if metric.selector is None else _rows(metric, result)
        found = [row[metric.family] for row in rows if metric.family in row]
    elif metric.selector is not None:
        rows = _rows(metric, result)
        if metric.selector.kind == "metric":
            found = list(rows)
        else:
            found = [] if planned else [row["latency"] for row in rows]
    else:
        found = [result["response_time" if planned else "latency"]]
    return [each for each in found if each["count"]]


def is_hidden(metric: Metric, result: PlainResult) -> bool:
    """Whether samples that the selector matches may be counted under the other names, as there were too many names."""
    if metric.is_of_target or metric.selector is None or not (pattern := metric.selector.pattern).strip("*"):
        return False
    is_check = metric.statistic == "check_rate"
    rows = result.get("checks", ()) if is_check else _rows_of_kind(metric.selector, result)
    names = [row["name"] for row in rows]
    return len(names) > MAX_NAMES and OTHER_NAMES in names and ("*" in pattern or pattern not in names)


def _rows(metric: Metric, result: PlainResult) -> list[PlainResult]:
    selector = metric.selector
    assert selector is not None
    return [row for row in _rows_of_kind(selector, result) if matches(selector.pattern, row["name"])]


def _rows_of_kind(selector: Selector, result: PlainResult) -> Sequence[PlainResult]:
    if selector.kind == "metric":
        return [row for row in result.get("metrics", ()) if row["kind"] == TIME]
    rows: Sequence[PlainResult] = result["steps" if selector.kind == "step" else "by_name"]
    return rows


def _check_rate(metric: Metric, result: PlainResult) -> float | None:
    """The share of checks that held."""
    pattern = "*" if metric.selector is None else metric.selector.pattern
    rows = [row for row in result.get("checks", ()) if matches(pattern, row["name"])]
    total: int = sum(row["passed"] + row["failed"] for row in rows)
    passed: int = sum(row["passed"] for row in rows)
    return passed / total if total else None


def _time(metric: Metric, distributions: Sequence[PlainResult]) -> float | None:
    """A statistic of several distributions together, in ms."""
    if not distributions:
        return None
    low, high = min(each["min_ms"] for each in distributions), max(each["max_ms"] for each in distributions)
    if metric.quantile is not None:
        whole = Histogram()
        for each in distributions:
            whole.merge(Histogram.decode(each["histogram"]))
        value = whole.quantile(metric.quantile)
        # The bins at both ends of the histogram are wider than the range that was measured.
        return None if value is None else float(min(max(value / NS_PER_MS, low), high))
    if metric.statistic == "mean":
        count: int = sum(each["count"] for each in distributions)
        total: float = sum(each["mean_ms"] * each["count"] for each in distributions)
        mean: float = total / count
        return mean
    return float(low if metric.statistic == "min" else high)
