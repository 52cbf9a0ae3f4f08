"""What was read of a load's targets, such as their processor time and memory. Pure.

Times are seconds since the start of the load. The unit of processor time is ``%`` of one core: four busy cores are
400 %. Memory is in bytes; all else are plain numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

PROCESS, PROMETHEUS = KINDS = ("process", "prometheus")
CPU, RSS, THREADS, FILES = STANDARD = ("cpu", "rss", "threads", "files")
"""The metrics of a process: processor time, resident memory, threads and open files."""
PERCENT, BYTES, NUMBER = UNITS = ("%", "bytes", "number")
MOST_POINTS = 4096
"""When a load needs more, neighbours are joined: memory does not grow with its length. Somewhat more than the timeline
has, which so is never finer."""
_LONGEST_STEP_S = 1 << 40
MOST_TARGETS = 1000
LARGEST = 1e15
"""Of a value, apart from its sign: a petabyte. The sums of larger ones may not be numbers any more."""
LONGEST_NAME = 100
_METRIC = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def unit_of(metric: str) -> str:
    """The unit of a metric's values."""
    return {CPU: PERCENT, RSS: BYTES}.get(metric, NUMBER)


def is_metric_name(text: str) -> bool:
    """Whether a text may name a metric: letters, digits and underscores."""
    return len(text) <= LONGEST_NAME and _METRIC.fullmatch(text) is not None


class Point(NamedTuple):
    """One reading, or several neighbouring ones; it stands for the time since the reading before it."""

    begin_s: float
    end_s: float
    readings: int
    mean: float
    low: float
    high: float

    @property
    def width_s(self) -> float:
        """How much time it stands for."""
        return self.end_s - self.begin_s

    @property
    def middle_s(self) -> float:
        """The middle of this time."""
        return (self.begin_s + self.end_s) / 2

    def joined(self, later: Point) -> Point:
        """Both as one."""
        return Point(
            self.begin_s,
            later.end_s,
            self.readings + later.readings,
            mean_of([self, later]),
            min(self.low, later.low),
            max(self.high, later.high),
        )


def mean_of(points: Sequence[Point]) -> float:
    """The mean over time; of readings at one moment, their plain mean."""
    width = sum(point.width_s for point in points)
    if width <= 0:
        return sum(point.mean * point.readings for point in points) / sum(point.readings for point in points)
    return sum(point.mean * point.width_s for point in points) / width


class PointLog:
    """Takes the readings of one metric.

    When there are too many, those of the same two seconds become one, later of four, and so on, as the timeline's steps
    do. Those before the judged time and those in it stay apart.
    """

    def __init__(self, judged_from_s: float = 0.0, most: int = MOST_POINTS) -> None:
        self._judged_from_s = judged_from_s
        self._most = most
        self._step_s = 1
        self.points: list[Point] = []
        self.judged: Point | None = None
        """All of the judged time as one."""

    def add(self, begin_s: float, end_s: float, value: float) -> None:
        """A value that stands for the time from ``begin_s`` to ``end_s``."""
        point = Point(begin_s, end_s, 1, value, value, value)
        if self._is_judged(point):
            self.judged = point if self.judged is None else self.judged.joined(point)
        self.points = self._with(self.points, point)
        while len(self.points) > self._most and self._step_s < _LONGEST_STEP_S:
            self._step_s *= 2
            joined: list[Point] = []
            for point in self.points:
                joined = self._with(joined, point)
            self.points = joined

    def _with(self, points: list[Point], point: Point) -> list[Point]:
        """The points and another one, as one with the last if they are of the same step."""
        if self._step_s > 1 and points and self._is_one_step(points[-1], point):
            points[-1] = points[-1].joined(point)
        else:
            points.append(point)
        return points

    def _is_one_step(self, one: Point, later: Point) -> bool:
        return math.floor(one.begin_s / self._step_s) == math.floor(later.middle_s / self._step_s) and (
            self._is_judged(one) == self._is_judged(later)
        )

    def _is_judged(self, point: Point) -> bool:
        return point.middle_s >= self._judged_from_s


@dataclass(frozen=True)
class TargetReadings:
    """What one process read of one target in one load."""

    name: str
    kind: str
    host: str
    """The machine that it was read from."""
    pid: int | None = None
    url: str | None = None
    """Of an endpoint of Prometheus, without secrets."""
    notes: list[str] = field(default_factory=list)
    """What limits the readings, such as when and why they ended."""
    metrics: dict[str, list[Point]] = field(default_factory=dict)
    answered: int = 0
    """Readings of the judged time that succeeded."""
    failed: int = 0
    """Readings of the judged time that failed."""
    ended_s: float | None = None
    """When there was nothing left to read, in seconds since the start of the load; None if there always was."""

    def __post_init__(self) -> None:
        """ValueError for what no load has: it may come from a file."""
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is not a kind of target; the kinds are {', '.join(KINDS)}")
        if self.answered < 0 or self.failed < 0:
            raise ValueError(f"target {self.name!r}: a number of readings cannot be negative")
        for name, points in self.metrics.items():
            if not is_metric_name(name) or len(points) > MOST_POINTS:
                raise ValueError(f"target {self.name!r}: the metric {name[:LONGEST_NAME]!r} is not valid")
            if not all(map(_is_possible, points)) or any(one.end_s > later.end_s for one, later in pairwise(points)):
                raise ValueError(f"target {self.name!r}: the readings of {name} contradict each other")

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same target as that of another process: its name, and where it is."""
        return self.name, self.place

    @property
    def place(self) -> str:
        """The endpoint, or the number of the process and its machine."""
        return self.url or f"pid {self.pid} on {self.host}"

    def missing(self, from_s: float, until_s: float) -> float:
        """The share of this time for which it could not be read, from 0 to 1."""
        end_s = until_s if self.ended_s is None else min(max(from_s, self.ended_s), until_s)
        read = (end_s - from_s) / (until_s - from_s) if until_s > from_s else 1.0
        tried = self.answered + self.failed
        return 1 - read * (self.answered / tried if tried else 1.0)

    @property
    def readings(self) -> int:
        """How many there are of the metric that has most."""
        return max((sum(point.readings for point in points) for points in self.metrics.values()), default=0)


def _is_possible(point: Point) -> bool:
    return (
        all(math.isfinite(value) and abs(value) <= LARGEST for value in point)
        and point.begin_s <= point.end_s <= 1e7
        and point.begin_s >= -1e7
        and point.readings >= 1
        and point.low <= point.high
    )


def merged(one: Sequence[TargetReadings], other: Sequence[TargetReadings]) -> list[TargetReadings]:
    """The targets of two processes, each once: of the same target, the readings of the process that has more."""
    found: dict[tuple[str, str], TargetReadings] = {}
    for each in (*one, *other):
        known = found.get(each.key)
        if known is None or each.readings > known.readings:
            found[each.key] = each
    return list(found.values())


def labels_of(targets: Sequence[TargetReadings]) -> list[str]:
    """The label of each target: its name, with its place where several have the same name."""
    names = [each.name for each in targets]
    return [each.name if names.count(each.name) == 1 else f"{each.name} ({each.place})" for each in targets]


def by_second(targets: Sequence[TargetReadings], step_s: int) -> dict[int, dict[str, dict[str, float]]]:
    """The values by step of a timeline, label of the target and metric."""
    found: dict[int, dict[str, dict[str, float]]] = {}
    for label, target in zip(labels_of(targets), targets, strict=True):
        for metric, points in target.metrics.items():
            of_step: dict[int, list[Point]] = {}
            for point in points:
                of_step.setdefault(max(0, math.floor(point.middle_s / step_s)), []).append(point)
            for number, some in of_step.items():
                found.setdefault(number, {}).setdefault(label, {})[metric] = rounded(mean_of(some))
    return found


def rounded(value: float) -> float:
    """Without digits that mean nothing."""
    short = float(f"{value:.6g}") if abs(value) < 1e6 else round(value)
    return int(short) if short == int(short) else short
