from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import MS, ORIGIN, SECOND

from pytest_ipload.load.generator.monitor import LOOK_NS, GeneratorMonitor, GeneratorReadings, run_queue_wait_ns


class Machine:
    """A processor whose readings a test sets, and the vitals that read them."""

    def __init__(self) -> None:
        self.cpu_ns = 7 * SECOND
        self.vitals = GeneratorReadings(lambda: self.cpu_ns)

    def seconds(self, *shares: float, first: float = 0.0, length: float = 1.0) -> GeneratorReadings:
        """Seconds with these shares of a processor, the first one beginning so long after the load's start."""
        for number, share in enumerate(shares, 1):
            self.cpu_ns += round(share * length * SECOND)
            self.vitals.each_second(ORIGIN + round((first + number * length) * SECOND))
        return self.vitals

    def wakes(self, *lags_ms: float, at_s: float = 0.5) -> GeneratorReadings:
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
        vitals = watching().wakes(lag_ms)
        lags = vitals.lags
        assert lags.count == len(readings_ms)
        assert lags.total_ns == sum(readings_ms) * MS
        assert vitals.late_ns == max(readings_ms, default=0) * MS  # each wake-up counts once

    @given(st.lists(st.integers(0, 3_000), max_size=50))
    def test_there_are_as_many_readings_as_the_time_has_room_for(self, lags_ms: list[int]) -> None:
        vitals = watching().wakes(*lags_ms)
        time_ns = sum(LOOK_NS + lag * MS for lag in lags_ms)
        assert time_ns - len(lags_ms) * LOOK_NS <= vitals.lags.count * LOOK_NS <= time_ns

    @pytest.mark.parametrize(("at_s", "counted"), [(0.9, 0), (1.0, 1), (3.0, 1), (3.1, 0)])
    def test_warm_up_and_end_do_not_count(self, at_s: float, counted: int) -> None:
        assert watching(warmup_s=1.0, until_s=3.0).wakes(5, at_s=at_s).lags.count == counted


class TestTheWholeJudgedPart:
    def test_its_time_and_processor_time_are_counted(self) -> None:
        vitals = watching(warmup_s=1.0, until_s=3.5).seconds(1.0, 0.2, 0.4, 1.0, 1.0)
        assert (vitals.judged_ns, vitals.judged_cpu_ns) == (2500 * MS, 1100 * MS)
        assert vitals.busy_ns == SECOND // 2
        assert vitals.readings_expected == 50

    def test_what_was_not_looked_at_counts_at_the_end(self) -> None:
        """The thread that watches was starved: it took one reading, and the load is over."""
        machine = watching()
        machine.wakes(3, at_s=0.05)
        machine.cpu_ns += 1800 * MS
        machine.vitals.end(ORIGIN + 1853 * MS, due_ns=ORIGIN + 103 * MS)
        vitals = machine.vitals
        assert (vitals.seconds, vitals.busy_seconds) == (1, 1)
        assert (vitals.judged_ns, vitals.judged_cpu_ns) == (1853 * MS, 1800 * MS)
        assert vitals.lags.max_ns == 1750 * MS
        assert vitals.lags.count == 1 + 35

    def test_a_reading_that_is_not_due_at_the_end_is_none(self) -> None:
        machine = watching()
        machine.vitals.end(ORIGIN + 30 * MS, due_ns=ORIGIN + 50 * MS)
        assert machine.vitals.lags.count == 0

    def test_the_rest_of_a_second_counts_if_it_is_more_than_half_of_one(self) -> None:
        for rest_ms, seconds in ((400, 1), (600, 2)):
            machine = watching()
            machine.seconds(1.0)
            machine.vitals.end(ORIGIN + SECOND + rest_ms * MS)
            assert machine.vitals.seconds == seconds

    def test_seconds_without_readings_are_as_many_as_passed(self) -> None:
        vitals = watching().seconds(0.95, length=3.4)
        assert (vitals.seconds, vitals.busy_seconds) == (3, 3)

    def test_readings_of_a_gap_that_are_not_of_the_judged_part_do_not_count(self) -> None:
        assert watching(warmup_s=0.6, until_s=0.8).wakes(1000).lags.count == 5
        assert watching(until_s=0.55).wakes(1000).lags.count == 2


class Clock:
    """It stands still unless it is moved."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class TestWatcher:
    def test_it_reads_the_timer_until_it_is_ended_and_leaves_no_thread(self) -> None:
        vitals = GeneratorReadings()
        watcher = GeneratorMonitor(vitals, time.perf_counter_ns)
        vitals.begin(time.perf_counter_ns())
        watcher.start()
        assert "ipload-watcher" in {thread.name for thread in threading.enumerate()}
        deadline = time.monotonic() + 10
        while vitals.lags.count < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        watcher.end()
        assert "ipload-watcher" not in {thread.name for thread in threading.enumerate()}
        assert vitals.lags.count >= 3
        assert vitals.watched_ns >= 3 * LOOK_NS
        assert vitals.queue_wait_ns is None or vitals.queue_wait_ns >= 0

    def test_a_wait_for_a_turn_is_late_too_but_no_other_process_is_to_blame(self) -> None:
        vitals = GeneratorReadings(lambda: 0)
        clock = Clock()
        ended = threading.Event()

        def wait_like_a_user() -> None:
            clock.now_ns += 300 * MS
            ended.set()

        watcher = GeneratorMonitor(vitals, clock, wait_like_a_user)
        vitals.begin(0)
        watcher.start()
        assert ended.wait(30)
        watcher.end()
        assert (vitals.lags.quantile(0.99) or 0) >= 200 * MS
        assert vitals.late_ns < 10 * MS

    def test_where_no_thread_is_left_there_are_no_readings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        now = iter([0, 2 * SECOND, 2 * SECOND])
        vitals = GeneratorReadings()
        watcher = GeneratorMonitor(vitals, lambda: next(now))
        monkeypatch.setattr(threading.Thread, "start", refuse)
        vitals.begin(0)
        watcher.start()
        watcher.end()
        assert (vitals.lags.count, vitals.readings_expected) == (0, 40)


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
