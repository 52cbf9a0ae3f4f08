from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import MS, ORIGIN, SECOND

from pytest_ipload.load.vitals import LOOK_NS, Vitals, run_queue_wait_ns


class Machine:
    """A processor whose readings a test sets, and the vitals that read them."""

    def __init__(self) -> None:
        self.cpu_ns = 7 * SECOND
        self.vitals = Vitals(lambda: self.cpu_ns)

    def seconds(self, *shares: float, first: float = 0.0, length: float = 1.0) -> Vitals:
        """Seconds with these shares of a processor, the first one beginning so long after the load's start."""
        for number, share in enumerate(shares, 1):
            self.cpu_ns += round(share * length * SECOND)
            self.vitals.each_second(ORIGIN + round((first + number * length) * SECOND))
        return self.vitals

    def wakes(self, *lags_ms: float, at_s: float = 0.5) -> Vitals:
        """A timer that comes back so late."""
        for lag in lags_ms:
            self.vitals.woke(ORIGIN + round(at_s * SECOND), ORIGIN + round(at_s * SECOND + lag * MS))
        return self.vitals


def watching(*, until_s: float | None = None, warmup_s: float = 0.0, cores: int = 1) -> Machine:
    machine = Machine()
    until = None if until_s is None else ORIGIN + round(until_s * SECOND)
    start = ORIGIN + round(warmup_s * SECOND)
    machine.vitals.begin(ORIGIN, judged_from_ns=start, judged_until_ns=until, cores=cores)
    return machine


class TestProcessorTime:
    @pytest.mark.parametrize(
        ("shares", "busy"),
        [((), 0), ((0.0,), 0), ((0.89,), 0), ((0.9,), 1), ((1.0, 0.2, 0.95, 0.0), 2), ((1.7,), 1)],
    )
    def test_seconds_with_nine_tenths_of_the_core_are_busy(self, shares: tuple[float, ...], busy: int) -> None:
        vitals = watching().seconds(*shares)
        assert (vitals.seconds, vitals.busy_seconds) == (len(shares), busy)

    @pytest.mark.parametrize(("share", "busy"), [(1.0, 0), (3.5, 0), (3.6, 1)])
    def test_of_several_cores_all_count(self, share: float, busy: int) -> None:
        assert watching(cores=4).seconds(share).busy_seconds == busy

    def test_a_second_that_takes_longer_is_one_second(self) -> None:
        vitals = watching().seconds(0.95, 0.85, length=1.8)
        assert (vitals.seconds, vitals.busy_seconds) == (2, 1)

    @pytest.mark.parametrize(
        ("warmup_s", "until_s", "counted"),
        [(0.0, None, 4), (0.0, 4.0, 4), (0.0, 2.0, 2), (0.0, 2.4, 2), (0.0, 2.6, 3), (1.4, None, 3), (1.6, 3.2, 1)],
    )
    def test_only_the_judged_part_counts_and_a_second_that_is_mostly_in_it(
        self, warmup_s: float, until_s: float | None, counted: int
    ) -> None:
        vitals = watching(warmup_s=warmup_s, until_s=until_s).seconds(1.0, 1.0, 1.0, 1.0)
        assert (vitals.seconds, vitals.busy_seconds) == (counted, counted)

    def test_the_whole_load_counts_for_the_total(self) -> None:
        machine = watching(warmup_s=2.0)
        machine.seconds(0.5, 0.5)
        machine.cpu_ns += 300 * MS
        machine.vitals.end(ORIGIN + 3 * SECOND)
        assert (machine.vitals.cpu_ns, machine.vitals.watched_ns) == (1300 * MS, 3 * SECOND)


class TestTimer:
    def test_each_reading_is_kept(self) -> None:
        lags = watching().wakes(0.1, 0.2, 49).lags
        assert (lags.count, lags.min_ns, lags.max_ns) == (3, 100_000, 49 * MS)

    @pytest.mark.parametrize(
        ("lag_ms", "readings_ms"),
        [(0, [0]), (50, [50]), (51, [51, 1]), (170, [170, 120, 70, 20]), (-3, [0])],
    )
    def test_what_comes_late_counts_for_the_readings_that_it_delayed(
        self, lag_ms: float, readings_ms: list[float]
    ) -> None:
        lags = watching().wakes(lag_ms).lags
        assert lags.count == len(readings_ms)
        assert lags.total_ns == sum(readings_ms) * MS

    @given(st.lists(st.integers(0, 3_000), max_size=50))
    def test_there_are_as_many_readings_as_the_time_has_room_for(self, lags_ms: list[int]) -> None:
        vitals = watching().wakes(*lags_ms)
        time_ns = sum(LOOK_NS + lag * MS for lag in lags_ms)
        assert time_ns - len(lags_ms) * LOOK_NS <= vitals.lags.count * LOOK_NS <= time_ns

    @pytest.mark.parametrize(("at_s", "counted"), [(0.9, 0), (1.0, 1), (3.0, 1), (3.1, 0)])
    def test_warm_up_and_end_do_not_count(self, at_s: float, counted: int) -> None:
        assert watching(warmup_s=1.0, until_s=3.0).wakes(5, at_s=at_s).lags.count == counted


class TestBeforeAndAfter:
    def test_nothing_counts_before_the_load(self) -> None:
        machine = Machine()
        machine.wakes(70)
        machine.seconds(1.0, 1.0)
        machine.vitals.end(ORIGIN + 5 * SECOND)
        vitals = machine.vitals
        assert (vitals.lags.count, vitals.seconds, vitals.cpu_ns, vitals.watched_ns) == (0, 0, 0, 0)
        assert (vitals.judged_ns, vitals.judged_cpu_ns, vitals.busy_ns) == (0, 0, 0)

    def test_nothing_counts_after_the_load(self) -> None:
        machine = watching()
        machine.seconds(0.5)
        machine.vitals.end(ORIGIN + SECOND)
        machine.wakes(70)
        machine.seconds(1.0, first=1.0)
        machine.vitals.end(ORIGIN + 9 * SECOND)
        vitals = machine.vitals
        assert (vitals.lags.count, vitals.seconds, vitals.watched_ns) == (0, 1, SECOND)
        assert vitals.cpu_ns == SECOND // 2


def test_ten_hours_take_no_more_memory_than_one_minute() -> None:
    machine = watching()
    for _ in range(10 * 3600 * 20 // 100):
        machine.wakes(*(number % 100 for number in range(100)))
    assert machine.vitals.lags.count > 700_000
    assert len(machine.vitals.lags.bins) <= 100


class TestWaiting:
    @pytest.mark.parametrize(
        ("text", "waited"),
        [
            ("425463137 595745638 221\n", 595745638),
            ("425463137 0 1\n", 0),
            ("0 0 0\n", None),
            ("", None),
            ("x y z\n", None),
            ("1 2\n", None),
        ],
    )
    def test_the_systems_text_is_read(self, tmp_path: Path, text: str, waited: int | None) -> None:
        (tmp_path / "schedstat").write_text(text)
        assert run_queue_wait_ns(tmp_path / "schedstat") == waited

    def test_without_the_file_nobody_knows(self, tmp_path: Path) -> None:
        assert run_queue_wait_ns(tmp_path / "schedstat") is None

    @pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="this system does not say")
    def test_linux_says_it(self) -> None:
        until = time.thread_time_ns() + 20 * MS
        while time.thread_time_ns() < until:
            os.getpid()
        before = run_queue_wait_ns()
        assert before is not None
        assert 0 <= before <= (run_queue_wait_ns() or 0)
