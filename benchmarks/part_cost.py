"""What a part of a load costs the processes that share it: to send, to read and to merge, in processor time.

Run it as ``python benchmarks/part_cost.py``. The load is made up, with a seed, so the numbers differ by machine only.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from pytest_ipload.base.packing import pack, unpack
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import ITERATION, REQUEST, Sample
from pytest_ipload.verdict.shard_result import ShardResult, merge
from pytest_ipload.verdict.snapshots import SnapshotTaker
from pytest_ipload.verdict.threshold.config import ThresholdConfig, window_lengths
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.selection import selections, window_selections

_SECOND = 1_000_000_000
_LATENCY_NS = 10_000_000
_PER_SECOND = 2000
_SPREAD = 0.3
_AGAIN = 5


class Cost(NamedTuple):
    """Processor time in milliseconds, and a size in bytes."""

    send_ms: float
    read_ms: float
    merge_ms: float
    snapshot_ms: float
    bytes: int


def thresholds() -> list[ThresholdConfig]:
    """What makes parts and snapshots large: windows, and an eye on them while the load goes on."""
    texts = ("p95 < 5s", "p99{name 7} < 9s", "error_rate < 1%")
    return [ThresholdConfig(Threshold.parse(text), window=1.0, abort_on_fail=True) for text in texts]


def samples(names: int, seconds: int, seed: int, per_second: int = _PER_SECOND) -> Iterator[Sample]:
    """The made-up samples of a load."""
    rng = random.Random(seed)
    for second in range(seconds):
        for number in range(per_second):
            started_ns = second * _SECOND + number * _SECOND // per_second
            latency_ns = round(_LATENCY_NS * rng.lognormvariate(0, _SPREAD))
            yield Sample(REQUEST, f"name {rng.randrange(names)}", started_ns, latency_ns)
            if number % 10 == 0:
                yield Sample(ITERATION, "", started_ns, latency_ns)


def part_of(names: int, seconds: int, seed: int = 0, per_second: int = _PER_SECOND) -> ShardResult:
    """The part of one of several processes."""
    judged = thresholds()
    measured = Measurements(
        origin_ns=0,
        judged_from_ns=0,
        planned=False,
        window_lengths_ns=window_lengths(judged),
        window_selections=window_selections(judged, planned=False),
        selections=selections(judged, planned=False),
    )
    measured.add(samples(names, seconds, seed, per_second))
    nothing: dict[str, Any] = dict.fromkeys(
        ("planned_iterations", "dropped_iterations", "pinned_cpu", "traceback", "broken_off", "abort")
    )
    zero: dict[str, Any] = dict.fromkeys(
        ("late", "pool_size", "unused_count", "late_starts", "interrupted", "cpu_ns"), 0
    )
    return ShardResult(
        nodeid="test_a.py::test_a",
        profile=LoadProfile(users=32, duration=float(seconds)),
        thresholds=judged,
        strict=False,
        started_at=1.7e9,
        measured=measured,
        ended=seconds * _SECOND,
        users=16,
        lifetimes=[(0, seconds * _SECOND)] * 16,
        users_by_source={},
        shares_pool=False,
        unused_first=[],
        checks=[],
        lags=Histogram(),
        failures=[],
        **zero,
        **nothing,
    )


def cost_of(part: ShardResult, seconds: int, clock: Callable[[], int] = time.process_time_ns) -> Cost:
    """What it costs; the cheapest of several times, as the machine has other things to do."""

    def cheapest_ms(act: Callable[[], object]) -> float:
        found = []
        for _ in range(_AGAIN):
            began = clock()
            act()
            found.append(clock() - began)
        return min(found) / 1e6

    packed = pack(part.to_plain())
    two, ten = ([part] * count for count in (2, 10))
    return Cost(
        send_ms=cheapest_ms(lambda: pack(part.to_plain())),
        read_ms=cheapest_ms(lambda: ShardResult.from_plain(unpack(packed))),
        merge_ms=max(0.0, (cheapest_ms(lambda: merge(ten)) - cheapest_ms(lambda: merge(two))) / 8),
        snapshot_ms=cheapest_ms(map(partial(_snapshot, part, seconds), _primed(part, seconds)).__next__),
        bytes=len(packed),
    )


def _primed(part: ShardResult, seconds: int) -> Iterator[SnapshotTaker]:
    """Those that have told of all but the last second."""
    takers = [SnapshotTaker(part.thresholds, part.measured.planned) for _ in range(_AGAIN)]
    for taker in takers:
        taker.take(part, seconds - 1.0)
    return iter(takers)


def _snapshot(part: ShardResult, seconds: int, taker: SnapshotTaker) -> bytes:
    """The last one of the load."""
    return pack(taker.take(part, float(seconds)))


def main(arguments: list[str]) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, nargs="+", default=[20, 1000])
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60])
    parser.add_argument("--per-second", type=int, default=_PER_SECOND, help="samples, besides those of iterations")
    options = parser.parse_args(arguments)
    print("names  seconds  send ms  read ms  merge ms  snapshot ms  kB")
    for names in options.names:
        for seconds in options.seconds:
            cost = cost_of(part_of(names, seconds, per_second=options.per_second), seconds)
            print(
                f"{names:5}  {seconds:7}  {cost.send_ms:7.1f}  {cost.read_ms:7.1f}  {cost.merge_ms:8.1f}  "
                f"{cost.snapshot_ms:11.1f}  {cost.bytes / 1e3:.0f}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
