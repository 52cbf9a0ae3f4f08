"""What workers tell of a load that goes on: small, and judged as the whole would be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.parts import part_of
from support.samples import iteration, measurements, request

from pytest_ipload.base.packing import pack
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FAILED, Sample
from pytest_ipload.verdict.shard_result import ShardResult
from pytest_ipload.verdict.snapshots import SnapshotTaker, TeamWatch
from pytest_ipload.verdict.threshold.config import ThresholdConfig, window_lengths
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.selection import selections, window_selections


def judged(text: str, **more: Any) -> ThresholdConfig:
    return ThresholdConfig(Threshold.parse(text), **{"abort_on_fail": True, "delay": 0.0, **more})


class Worker:
    """One worker's part of a load, second by second."""

    def __init__(self, *thresholds: ThresholdConfig) -> None:
        self.thresholds = list(thresholds)
        empty = measurements([])
        self.measured = Measurements(
            origin_ns=empty.origin_ns,
            judged_from_ns=empty.judged_from_ns,
            planned=False,
            window_lengths_ns=window_lengths(self.thresholds),
            window_selections=window_selections(self.thresholds, planned=False),
            selections=selections(self.thresholds, planned=False),
        )
        self.taker = SnapshotTaker(self.thresholds, planned=False)

    def second(self, number: int, latency_ms: float, names: int = 5, per_name: int = 4, **more: Any) -> dict[str, Any]:
        """Measure for a second; the snapshot after it."""
        samples: list[Sample] = []
        for at_ms in range(per_name):
            at = number * 1000 + at_ms
            samples += [request(f"GET /{n}", latency_ms, at_ms=at, **more) for n in range(names)]
            samples += [iteration(latency_ms, at_ms=at, **more)]
        self.measured.add(samples)
        return self.taker.take(self.part(), number + 1.0)

    def part(self) -> ShardResult:
        return replace(part_of([]), measured=self.measured, thresholds=self.thresholds)


@pytest.mark.parametrize(
    ("threshold", "ends_after"),
    [
        (judged("p95 < 50ms", window=1.0), 8),
        (judged("p95{GET /3} < 50ms", window=1.0), 8),
        (judged("p95{GET /9} < 50ms", window=1.0), None),  # over no samples nothing is broken off
        (judged("max < 50ms"), 4),
        (judged("max{GET /3} < 50ms"), 4),
        (judged("max{GET /9} < 50ms"), None),
        (judged("max < 50ms", abort_on_fail=False), None),
    ],
    ids=lambda value: value.text if isinstance(value, ThresholdConfig) else str(value),
)
def test_a_load_of_two_ends_when_its_threshold_is_lost(threshold: ThresholdConfig, ends_after: int | None) -> None:
    """From second 3 on one of them is slow; a window is judged when no sample of it can be missing any more."""
    one, other, watch = Worker(threshold), Worker(threshold), TeamWatch()
    ended = None
    for number in range(12):
        new = [[pack(one.second(number, 10))], [pack(other.second(number, 90 if number >= 3 else 10))]]
        if watch.look(new, number + 1.0) is not None:
            ended = number + 1
            break
    assert ended == ends_after
    assert (watch.abort is not None) == (ends_after is not None)


def test_nothing_is_judged_before_all_have_told_something() -> None:
    one, other, watch = Worker(judged("max < 50ms")), Worker(judged("max < 50ms")), TeamWatch()
    assert watch.look([[pack(one.second(0, 90))], []], 1.0) is None
    assert "max 90" in (watch.look([[], [pack(other.second(0, 10))]], 2.0) or "")


def test_failed_iterations_of_all_are_counted() -> None:
    threshold = judged("errors < 10")
    one, other, watch = Worker(threshold), Worker(threshold), TeamWatch()
    new = [[pack(each.second(0, 10, outcome=FAILED))] for each in (one, other)]
    assert watch.look(new, 1.0) is None
    new = [[pack(each.second(1, 10, outcome=FAILED))] for each in (one, other)]
    assert watch.look(new, 2.0) is not None


def test_each_window_is_told_once_and_in_a_late_look_all_are_judged() -> None:
    threshold = judged("p95 < 50ms", window=1.0)
    one, watch = Worker(threshold), TeamWatch()
    snapshots = [one.second(number, 90 if number == 1 else 10) for number in range(12)]
    told = [number for each in snapshots for number, _ in each["part"]["measured"]["windows"][0]["windows"]]
    assert told == list(range(8))  # three seconds are left for samples to come in
    assert watch.look([[pack(each) for each in snapshots]], 12.0) is not None


def test_names_and_seconds_do_not_make_a_snapshot_larger() -> None:
    thresholds = (judged("p95 < 5s", window=1.0), judged("p95 < 5s"))
    few, many = Worker(*thresholds), Worker(*thresholds)
    sizes = [len(pack(few.second(number, 10))) for number in range(30)]
    assert max(sizes[10:]) < 1.5 * min(sizes[10:])
    assert len(pack(many.second(0, 10, names=900))) < 1.2 * sizes[0]
