"""The checks and metrics of a test's own, for people and reports, from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pytest_ipload.stats.latency_stats import LatencyStats, latency_stats
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import CHECK, COUNT, FAILED, GAUGE, OBSERVED
from pytest_ipload.stats.series_table import SeriesTable

TIME = "time"
"""The kind of a metric that was observed, in reports."""


@dataclass(frozen=True)
class CheckStats:
    """All results of one check."""

    name: str
    passed: int
    failed: int
    rate: float
    """The share that held, from 0 to 1."""

    @property
    def total(self) -> int:
        """How often it was made."""
        return self.passed + self.failed


@dataclass(frozen=True)
class _Metric:
    name: str
    kind: str


@dataclass(frozen=True)
class CountStats(_Metric):
    """What was added up under one name."""

    count: float
    """The sum."""
    rate: float
    """Per second of the judged time, by the plan as for ``rps``."""


@dataclass(frozen=True)
class GaugeStats(_Metric):
    """What went up and down under one name."""

    last: float
    min: float
    max: float


@dataclass(frozen=True)
class TimeStats(LatencyStats, _Metric):
    """The times that were observed under one name."""

    @classmethod
    def of(cls, name: str, times: LatencyStats) -> TimeStats:
        """From the distribution."""
        return cls(name, TIME, **asdict(times))


MetricStats = CountStats | GaugeStats | TimeStats


def checks_of(table: SeriesTable) -> Sequence[CheckStats] | None:
    """By name, in the order of their first result; None without checks."""
    rows = []
    for name in table.names(CHECK):
        total = table.count(CHECK, exact_name=name)
        failed = table.count(CHECK, exact_name=name, outcome=FAILED)
        if total:
            rows.append(CheckStats(name, total - failed, failed, (total - failed) / total))
    return rows or None


def metrics_of(measured: Measurements, seconds: float) -> Sequence[MetricStats] | None:
    """Counts, gauges and observed times, by name in the order of their first value; None without any.

    Rates are over this number of ``seconds``.
    """
    values = measured.values
    rows: list[MetricStats] = [
        CountStats(name, COUNT, _whole(value.total), value.in_time / seconds if seconds > 0 else 0.0)
        for name, value in values.each(COUNT)
    ]
    rows += [
        GaugeStats(name, GAUGE, *map(_whole, (value.last, value.low, value.high))) for name, value in values.each(GAUGE)
    ]
    for name in measured.names(OBSERVED):
        histogram = measured.latency(OBSERVED, exact_name=name)
        if histogram.count:
            rows.append(TimeStats.of(name, latency_stats(histogram)))
    return rows or None


def _whole(value: float) -> float:
    """A whole number as one: reports show 3, not 3.0."""
    return int(value) if value.is_integer() else value
