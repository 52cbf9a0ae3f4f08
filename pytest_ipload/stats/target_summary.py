"""The numbers of a load's targets over its judged time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_ipload.stats.confidence import nearest_rank
from pytest_ipload.stats.slope import Slope, slope_of
from pytest_ipload.stats.target_readings import PERCENT, Point, TargetReadings, labels_of, mean_of, rounded, unit_of

S_PER_H = 3600
_EARLY_S = 0.25
"""How long before the judged time a level may have been read that it begins with."""


@dataclass(frozen=True)
class MetricStats:
    """One metric of a target over the judged time of a load."""

    unit: str
    """``%`` of one core, ``bytes`` or ``number``."""
    samples: int
    """The number of readings."""
    mean: float
    max: float
    min: float
    last: float
    growth_per_hour: float | None = None
    """How much it grew, as a robust slope; None for fewer than two readings."""
    growth_low: float | None = None
    """The lower end of the 95 % interval of the growth; None where the load is too short to know."""
    growth_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class TargetStats:
    """One target of a load: a process with its children, or an endpoint of Prometheus."""

    name: str
    kind: str
    """``process`` or ``prometheus``."""
    host: str
    """The machine that it was read from."""
    pid: int | None = None
    """Of a process."""
    url: str | None = None
    """Of an endpoint."""
    metrics: dict[str, MetricStats]
    """By name; a metric without a reading in the judged time is absent."""
    notes: Sequence[str] | None = None
    """What limits the readings, such as when and why they ended; None if nothing does."""


@dataclass(frozen=True)
class JudgedMetric:
    """The readings of one metric in the judged time; at least one."""

    points: Sequence[Point]
    start: Sequence[Point] = ()
    """The last reading before the judged time, from which a level grows; empty for rates."""

    @property
    def samples(self) -> int:
        """The number of readings."""
        return sum(point.readings for point in self.points)

    @property
    def mean(self) -> float:
        """The mean over time."""
        return mean_of(self.points)

    @property
    def max(self) -> float:
        """The largest value."""
        return max(point.high for point in self.points)

    @property
    def min(self) -> float:
        """The smallest value."""
        return min(point.low for point in self.points)

    @property
    def last(self) -> float:
        """The last value."""
        return self.points[-1].mean

    def quantile(self, quantile: float) -> float:
        """By nearest rank; in a load of more than an hour, of means over neighbouring readings."""
        values = sorted(point.mean for point in self.points)
        return values[nearest_rank(len(values), quantile) - 1]

    @property
    def levels(self) -> Sequence[Point]:
        """The readings that growth is computed from."""
        return [*self.start, *self.points]

    def growth(self, confidence: float = 0.95) -> Slope | None:
        """The slope per hour; None for fewer than two readings."""
        points = self.levels
        slope = slope_of([point.end_s for point in points], [point.mean for point in points], confidence)
        if slope is None:
            return None
        low, high = (None if end is None else end * S_PER_H for end in (slope.low, slope.high))
        return Slope(slope.value * S_PER_H, low, high)

    def stats(self, unit: str) -> MetricStats:
        """All statistics."""
        growth = self.growth()
        ends = (None, None, None) if growth is None else growth
        return MetricStats(
            unit,
            self.samples,
            *map(rounded, (self.mean, self.max, self.min, self.last)),
            *(None if each is None else rounded(each) for each in ends),
        )


@dataclass(frozen=True)
class JudgedTarget:
    """A target and its metrics in the judged time."""

    label: str
    readings: TargetReadings
    metrics: dict[str, JudgedMetric]
    missing: float = 0.0
    """The share of the judged time for which it could not be read, from 0 to 1."""

    def stats(self) -> TargetStats:
        """As it is reported."""
        target = self.readings
        return TargetStats(
            name=target.name,
            kind=target.kind,
            host=target.host,
            pid=target.pid,
            url=target.url,
            metrics={name: metric.stats(unit_of(name)) for name, metric in self.metrics.items()},
            notes=target.notes or None,
        )


def judged_targets(targets: Sequence[TargetReadings], from_s: float, until_s: float) -> list[JudgedTarget]:
    """The targets with what was read from ``from_s`` to ``until_s``: a reading counts by the middle of its time."""
    return [
        JudgedTarget(
            label,
            target,
            {
                name: JudgedMetric(judged, _start(name, points, from_s))
                for name, points in target.metrics.items()
                if (judged := [point for point in points if from_s <= point.middle_s <= until_s])
            },
            target.missing(from_s, until_s),
        )
        for label, target in zip(labels_of(targets), targets, strict=True)
    ]


def _start(metric: str, points: Sequence[Point], from_s: float) -> list[Point]:
    """What the level was when the judged time began, if it was read then."""
    before = [point for point in points if point.middle_s < from_s]
    is_level = unit_of(metric) != PERCENT
    return before[-1:] if is_level and before and before[-1].end_s >= from_s - _EARLY_S else []
