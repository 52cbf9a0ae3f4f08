"""When a target is read, and what becomes of the readings."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.base import real_time
from pytest_ipload.base.errors import TargetLost
from pytest_ipload.load.target.reading_times import ReadingTimes
from pytest_ipload.load.target.target_sampler import ReadingLog, TargetSampler


class TestTimes:
    def test_every_second_and_at_the_borders_of_the_judged_time(self) -> None:
        times, now, found = ReadingTimes([1.5, 3.25]), 0.0, []
        for _ in range(6):
            now = times.after(now)
            found.append(now)
        assert found == [1, 1.5, 2, 3, 3.25, 4]

    @given(st.floats(0, 1e6))
    def test_what_passed_unused_is_left_out(self, now: float) -> None:
        assert now < ReadingTimes().after(now) <= now + 1


class TestLog:
    def test_counters_become_rates_over_the_time_between_two_readings(self) -> None:
        log = ReadingLog(0.0)
        for at_s, cpu_s in ((0.0, 0.0), (1.0, 0.5), (3.0, 3.0)):
            log.add(at_s, {"rss": 100 * at_s}, cpu_s)
        assert [tuple(point) for point in log.metrics["cpu"]] == [(0, 1, 1, 50, 50, 50), (1, 3, 1, 150, 150, 150)]
        assert [(point.begin_s, point.end_s, point.mean) for point in log.metrics["rss"]] == [
            (0, 0, 0),
            (0, 1, 100),
            (1, 3, 300),
        ]
        assert list(log.metrics) == ["cpu", "rss"]

    def test_the_processor_time_of_a_moment_waits_for_the_next_reading(self) -> None:
        log = ReadingLog(0.0)
        for at_s, cpu_s in ((0.0, 0.0), (1.0, 0.5), (1.1, 0.1), (2.0, 0.4)):
            log.add(at_s, {}, cpu_s)
        assert [(point.begin_s, point.end_s, point.mean) for point in log.metrics["cpu"]] == [
            (0, 1, 50),
            (1, 2, pytest.approx(50)),
        ]

    def test_a_load_shorter_than_that_has_its_one_value(self) -> None:
        log = ReadingLog(0.0)
        log.add(0.0, {"rss": 1}, 0.0)
        log.add(0.1, {"rss": 2}, 0.05, is_last=True)
        assert log.metrics["cpu"][0].mean == pytest.approx(50)

    def test_of_a_few_milliseconds_the_use_of_the_processor_is_unknown(self) -> None:
        log = ReadingLog(0.0)  # one step of the counter would be 500 %
        log.add(0.0, {"rss": 1}, 0.0)
        log.add(0.002, {"rss": 2}, 0.01, is_last=True)
        assert list(log.metrics) == ["rss"]

    def test_a_last_reading_just_after_another_says_nothing_new(self) -> None:
        log = ReadingLog(0.0)
        for at_s, is_last in ((0.0, False), (1.0, False), (1.01, True)):
            log.add(at_s, {"rss": at_s}, at_s, is_last=is_last)
        assert [point.end_s for point in log.metrics["rss"]] == [0, 1]

    def test_readings_that_failed_are_counted_with_the_last_reason(self) -> None:
        log = ReadingLog(0.0)
        log.add(0.0, {"rss": 1}, None)
        log.failed(1.0, "timed out")
        log.failed(2.0, "refused")
        log.ended(2.5, "it has ended")
        assert log.notes == [
            "2 of 3 readings failed, the last one with: refused",
            "it has ended 2.50 s after the start of the load: not measured from then on",
        ]
        assert "cpu" not in log.metrics
        assert (log.answered, log.failures, log.ended_s) == (1, 2, 2.5)

    def test_what_is_read_in_the_warm_up_is_not_counted(self) -> None:
        log = ReadingLog(2.0)
        log.add(0.0, {"rss": 1}, None)
        log.failed(1.0, "refused")
        log.add(2.0, {"rss": 1}, None)
        assert (log.answered, log.failures) == (1, 0)

    def test_a_target_that_had_ended_before_the_load_is_said_to(self) -> None:
        log = ReadingLog(0.0)
        log.ended(0.0, "process 7 has ended")
        assert log.notes == ["process 7 has ended before the load: nothing was measured"]


class Reader:
    """Reads what it is told, one after the other; then only the last one."""

    def __init__(self, *script: float | BaseException) -> None:
        self.script = list(script)
        self.notes: list[str] = ["from the reader"]
        self.calls = 0
        self.read_once = threading.Event()
        self.is_interrupted = threading.Event()
        self.hangs_from: int | None = None
        self.is_closed = False

    def read(self) -> tuple[Mapping[str, float], float | None]:
        step = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        self.read_once.set()
        if self.hangs_from is not None and self.calls >= self.hangs_from:
            assert self.is_interrupted.wait(30)
            raise OSError("interrupted")
        if isinstance(step, BaseException):
            raise step
        return {"rss": step}, None

    def interrupt(self) -> None:
        self.is_interrupted.set()

    def close(self) -> None:
        self.is_closed = True


def run(reader: Reader) -> TargetSampler:
    """A load that lasts until the first reading is done."""
    sampler = TargetSampler("api", reader, [0.0], real_time.perf_counter_ns)
    sampler.begin(real_time.perf_counter_ns() - 10**9)  # a second ago, so that the last reading is not too close
    assert reader.read_once.wait(30)
    sampler.stop()
    sampler.end()
    assert not any(thread.name == "ipload-target-api" for thread in threading.enumerate())
    return sampler


class TestSampler:
    def test_it_reads_at_the_start_and_at_the_end(self) -> None:
        reader = Reader(5.0)
        sampler = run(reader)
        assert reader.calls >= 2
        assert reader.is_closed
        assert sampler.log.metrics["rss"][0].mean == 5
        assert sampler.notes == ["from the reader"]

    def test_a_target_that_is_lost_is_not_read_again(self) -> None:
        reader = Reader(TargetLost("it has ended"))
        sampler = run(reader)
        assert reader.calls == 1
        assert "it has ended" in sampler.notes[-1]

    @pytest.mark.parametrize("error", [OSError("down"), ValueError("down"), RuntimeError("down"), OSError()])
    def test_whatever_fails_is_noted_and_tried_again(self, error: Exception) -> None:
        sampler = run(Reader(error, 3.0))
        assert sampler.log.metrics["rss"][-1].mean == 3
        assert f"last one with: {str(error) or 'OSError'}" in sampler.notes[-1]

    def test_a_reading_that_hangs_is_interrupted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pytest_ipload.load.target.target_sampler._LAST_READING_S", 0.05)
        reader = Reader(1.0)
        reader.hangs_from = 2
        sampler = TargetSampler("api", reader, [0.0], real_time.perf_counter_ns)
        sampler.begin(real_time.perf_counter_ns())
        assert reader.read_once.wait(30)
        sampler.end()
        assert reader.is_interrupted.is_set()

    def test_in_a_hurry_there_is_no_last_reading(self) -> None:
        reader = Reader(1.0)
        reader.hangs_from = 1
        sampler = TargetSampler("api", reader, [0.0], real_time.perf_counter_ns)
        sampler.begin(real_time.perf_counter_ns())
        assert reader.read_once.wait(30)
        sampler.stop(hurry=True)
        sampler.end()
        assert reader.calls == 1

    def test_a_system_without_threads_left_has_no_readings_but_its_load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        sampler = TargetSampler("api", Reader(1.0), [0.0], real_time.perf_counter_ns)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        sampler.begin(0)
        sampler.end()
        assert "could not start another thread" in sampler.notes[-1]
