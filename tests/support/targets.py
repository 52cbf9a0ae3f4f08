"""Readings of targets made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_ipload.stats.target_readings import PROCESS, Point, PointLog, TargetReadings

CPU, RSS = [50.0, 60, 70, 80, 90, 100, 70, 70, 70, 70], [1e8 + 1e6 * second for second in range(10)]


def points(values: Sequence[float], begin_s: float = 0.0) -> list[Point]:
    """One value for each second."""
    log = PointLog()
    for second, value in enumerate(values):
        log.add(begin_s + second, begin_s + second + 1, value)
    return log.points


def target_readings(
    name: str = "api", metrics: Mapping[str, Sequence[float]] | None = None, **fields: Any
) -> TargetReadings:
    """A process that was read for ten seconds."""
    values = {"cpu": CPU, "rss": RSS} if metrics is None else metrics
    given = {"kind": PROCESS, "host": "host", "pid": 7, **fields}
    return TargetReadings(name, metrics={metric: points(each) for metric, each in values.items()}, **given)
