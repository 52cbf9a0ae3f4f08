"""One user's loop, by a clock that only waiting and bodies advance."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from pytest_ipload.load.arrivals import ArrivalQueue
from pytest_ipload.load.failure_log import FailureLog
from pytest_ipload.load.iterations import IterationQuota, UserRun
from pytest_ipload.load.schedule import user_slots
from pytest_ipload.load.turnstile import Alarm
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.load.user_thread import Phase, UserThread
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.stats.sample import FAILED, ITERATION, LATENESS, OK, REQUEST, Sample

MS = 1_000_000


class Stop(threading.Event):
    """Waiting for it takes the clock's time, and no other."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        if self.is_set():
            return True
        self._run.waits += 1
        self._run.now += max(1, round(timeout * 1000 * MS)) + self._run.wakes_late_ms(self._run.waits) * MS
        return self.is_set()


@dataclass
class Run:
    """A user's iterations, each of which takes ``takes_ms``; looking at the clock takes ``look_ns``."""

    settings: dict[str, Any]
    takes_ms: Callable[[int], int] = lambda number: 10
    body: Callable[[Iteration], object] = lambda iteration: None
    arrivals: ArrivalQueue | None = None
    index: int = 0
    begins_ms: int = 0
    look_ns: int = 0
    wakes_late_ms: Callable[[int], int] = lambda wait: 0
    """By the number of the wait, from 1."""
    patch: pytest.MonkeyPatch | None = None
    """To have all others look at the same clock."""
    waits: int = 0
    now: int = 0
    """In nanoseconds; the load began at 0."""
    samples: list[Sample] = field(default_factory=list)
    failures: FailureLog = field(default_factory=FailureLog)

    def __post_init__(self) -> None:
        if self.patch is not None:
            self.patch.setattr("pytest_ipload.base.real_time.perf_counter_ns", self.clock)
        profile = LoadProfile(**self.settings)
        self.stop = Stop(self)
        self.budget = IterationQuota(profile.total_iterations, cast(Alarm, Stop(self)))
        self.run = UserRun(profile, self.failures, self.budget, self.stop, self.clock, lambda *_: False, self.arrivals)
        user = VirtualUser(self.index, seed=0, source_addresses=(), record=self.samples.append)
        self.user_thread = UserThread(user_slots(profile)[self.index], user, Recorder(), phase=Phase.ITERATIONS)
        self.now = self.begins_ms * MS
        self.run.iterate(self.user_thread, self)

    def clock(self) -> int:
        self.now += self.look_ns
        return self.now

    def set_up(self) -> None: ...

    def tear_down(self) -> None: ...

    def iterate(self, iteration: Iteration) -> None:
        self.now += self.takes_ms(iteration.number) * MS
        if iteration.number > 1000:  # what should have ended it did not
            self.stop.set()
        self.body(iteration)

    @property
    def starts_ms(self) -> list[float]:
        return [sample.started_ns / MS for sample in self.samples]

    @property
    def lateness_ms(self) -> list[float]:
        """What the target made late."""
        return [sample.lateness_ns / MS for sample in self.samples]

    @property
    def own_lateness_ms(self) -> list[float]:
        """What the generator made late."""
        self.user_thread.recorder.flush()
        samples = [sample for chunk in self.user_thread.recorder.drain() for sample in chunk.all_samples()]
        assert {sample.kind for sample in samples} <= {LATENESS}
        assert [sample.started_ns for sample in samples] == [sample.started_ns for sample in self.samples]
        return [sample.latency_ns / MS for sample in samples]


def test_without_pauses_the_end_of_an_iteration_is_the_start_of_the_next() -> None:
    run = Run({"iterations": 50}, look_ns=7)
    ends = [sample.started_ns + sample.latency_ns for sample in run.samples]
    assert [sample.started_ns for sample in run.samples[1:]] == ends[:-1]
    assert {sample.latency_ns for sample in run.samples} == {10 * MS + 7}


def test_what_a_failure_costs_is_no_part_of_the_next_iteration() -> None:
    def fail(iteration: Iteration) -> None:
        if iteration.number == 1:
            raise ValueError

    run = Run({"iterations": 3}, body=fail, look_ns=7)
    first, second, third = run.samples
    assert second.started_ns == first.started_ns + first.latency_ns
    assert third.started_ns == second.started_ns + second.latency_ns + 7  # it looked at the clock again
    assert [sample.outcome for sample in run.samples] == [OK, FAILED, OK]


@pytest.mark.parametrize(
    ("settings", "iterations"),
    [
        ({}, 1),
        ({"iterations": 3}, 3),
        ({"total_iterations": 4}, 4),
        ({"total_iterations": 4, "iterations": 2}, 2),
        ({"total_iterations": 2, "duration": 1}, 2),
        ({"duration": 0.1}, 10),
        ({"duration": 0.101}, 11),  # the last one starts in time and is finished
        ({"duration": 0.1, "iterations": 4}, 4),
        ({"duration": 0.1, "think_time": (0.01, 0.01)}, 5),
        ({"duration": 0.1, "pacing": (0.03, 0.03)}, 4),
        ({"duration": 0.1, "pacing": (0.001, 0.001)}, 10),
        ({"total_iterations": 3, "pacing": (0.03, 0.03)}, 3),
        ({"iterations": 3, "think_time": (0.01, 0.01)}, 3),
    ],
)
def test_iterations_end_with_the_first_of_their_number_the_shared_number_and_the_time(
    settings: dict[str, Any], iterations: int
) -> None:
    run = Run(settings)
    assert len(run.samples) == iterations
    if settings.keys() & {"pacing", "think_time"} and "iterations" in settings:
        assert run.now == run.samples[-1].started_ns + run.samples[-1].latency_ns  # nobody waits after the last one


@dataclass
class StoppedInTheThird(Run):
    def iterate(self, iteration: Iteration) -> None:
        super().iterate(iteration)
        if iteration.number == 2:
            self.stop.set()


@pytest.mark.parametrize("pause", [{}, {"pacing": (0.02, 0.02)}, {"think_time": (0.02, 0.02)}])
def test_after_the_load_was_stopped_no_iteration_starts(pause: dict[str, Any]) -> None:
    assert len(StoppedInTheThird({"iterations": 9, **pause}).samples) == 3


class TestFirst:
    def test_it_starts_when_it_is_planned_and_is_not_late(self) -> None:
        run = Run({"users": 4, "iterations": 3, "pacing": (1.0, 1.0)}, index=3)
        assert run.starts_ms == [750, 1750, 2750]
        assert run.lateness_ms == [0, 0, 0]

    def test_without_pacing_it_waits_for_its_turn_too(self) -> None:
        assert Run({"users": 4, "iterations": 2}, index=3).starts_ms == [1.5, 11.5]
        assert Run({"users": 4, "iterations": 2, "think_time": (0.01, 0.01)}, index=3).starts_ms == [1.5, 21.5]

    def test_a_user_who_comes_later_than_that_starts_at_once_and_is_not_late(self) -> None:
        run = Run({"users": 4, "iterations": 2, "pacing": (1.0, 1.0)}, index=3, begins_ms=900)
        assert (run.starts_ms, run.lateness_ms) == ([900, 1900], [0, 0])
        assert Run({"users": 4, "iterations": 2}, index=3, begins_ms=900).starts_ms == [900, 910]

    def test_one_that_is_planned_after_the_users_time_does_not_start(self) -> None:
        settings = {"users": 4, "duration": 0.5, "pacing": (1.0, 1.0)}
        assert [len(Run(settings, index=index).samples) for index in range(4)] == [1, 1, 0, 0]

    def test_all_users_together_make_an_even_rate(self) -> None:
        settings = {"users": 8, "iterations": 3, "pacing": (0.2, 0.2)}
        starts = sorted(start for index in range(8) for start in Run(settings, index=index).starts_ms)
        assert starts == pytest.approx([25 * number for number in range(24)])


class ReadLate(Run):
    """A reply arrives after 20 ms, and its thread has it 90 ms later."""

    def iterate(self, iteration: Iteration) -> None:
        started_ns = self.now
        self.now += 110 * MS
        iteration.user.record(Sample(REQUEST, "GET /", started_ns, 20 * MS))
        super().iterate(iteration)


class InTurn(Run):
    """Each iteration waits 100 ms for its turn, as under a ``max_rate``."""

    def iterate(self, iteration: Iteration) -> None:
        iteration.user.wait_for(self.wait)
        super().iterate(iteration)

    def wait(self) -> None:
        self.now += 100 * MS


class TestLateness:
    def test_it_is_counted_against_the_plan_and_caught_up(self) -> None:
        run = Run({"iterations": 6, "pacing": (0.02, 0.02)}, takes_ms=lambda number: 50 if number == 0 else 10)
        assert run.starts_ms == [0, 50, 60, 70, 80, 100]
        assert run.lateness_ms == [0, 30, 20, 10, 0, 0]

        assert run.own_lateness_ms == [0] * 6

    def test_of_a_user_who_was_free_and_woke_late_it_is_the_generators(self) -> None:
        run = Run({"iterations": 4, "pacing": (0.1, 0.1)}, wakes_late_ms=lambda wait: 45 if wait == 1 else 0)
        assert run.starts_ms == pytest.approx([0, 145, 200, 300])
        assert run.lateness_ms == [0] * 4
        assert run.own_lateness_ms == pytest.approx([0, 45, 0, 0], abs=0.001)

    def test_what_follows_from_that_is_the_generators_too(self) -> None:
        """The one that began late ends so late that the next one cannot begin in time."""
        run = Run({"iterations": 4, "pacing": (0.02, 0.02)}, wakes_late_ms=lambda wait: 25 if wait == 1 else 0)
        assert run.starts_ms == [0, 45, 55, 65]
        assert (run.lateness_ms, run.own_lateness_ms) == ([0] * 4, [0, 25, 15, 5])

    def test_of_both_each_has_its_own(self) -> None:
        run = Run(
            {"iterations": 4, "pacing": (0.1, 0.1)},
            takes_ms=lambda number: 230 if number == 1 else 10,
            wakes_late_ms=lambda wait: 40 if wait == 1 else 0,
        )
        assert run.starts_ms == [0, 140, 370, 380]
        assert (run.lateness_ms, run.own_lateness_ms) == ([0, 0, 130, 40], [0, 40, 40, 40])

    def test_think_time_is_part_of_the_plan(self) -> None:
        settings = {"iterations": 3, "pacing": (0.1, 0.1), "think_time": (0.03, 0.03)}
        run = Run(settings, takes_ms=lambda number: 90, wakes_late_ms=lambda wait: 5)
        assert run.starts_ms == [0, 125, 250]
        assert (run.lateness_ms, run.own_lateness_ms) == ([0, 20, 40], [0, 5, 10])

    def test_the_time_that_a_reply_waits_for_its_thread_is_the_generators(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = ReadLate({"iterations": 3, "pacing": (0.1, 0.1)}, patch=monkeypatch)
        iterations = [sample for sample in run.samples if sample.kind == ITERATION]
        assert [sample.started_ns / MS for sample in iterations] == [0, 120, 240]
        assert {sample.lateness_ns for sample in run.samples} == {0}

    def test_so_is_the_wait_for_a_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run = InTurn({"iterations": 3, "pacing": (0.1, 0.1)}, patch=monkeypatch)
        assert run.starts_ms == [0, 110, 220]
        assert (run.lateness_ms, run.own_lateness_ms) == ([0, 0, 0], [0, 10, 20])

    def test_in_the_open_model_waiting_for_the_only_user_is_the_targets(self) -> None:
        arrivals = ArrivalQueue(iter([0.0, 0.005, 0.1, 0.2]), None, lambda: None)
        run = Run(
            {"arrival_rate": 1.0, "total_iterations": 4},
            arrivals=arrivals,
            wakes_late_ms=lambda wait: 30 if wait == 1 else 0,
        )
        assert run.starts_ms == [0, 10, 130, 200]
        assert (run.lateness_ms, run.own_lateness_ms) == ([0, 5, 0, 0], [0, 0, 30, 0])

    def test_without_a_plan_nothing_is_late(self) -> None:
        run = Run({"iterations": 3, "think_time": (0.02, 0.02)}, takes_ms=lambda number: 50)
        assert (run.starts_ms, run.lateness_ms) == ([0, 70, 140], [0, 0, 0])
        assert run.user_thread.recorder.drain() == []


def test_each_iteration_has_an_object_of_its_own() -> None:
    seen: list[Iteration] = []
    run = Run({"iterations": 3}, body=seen.append)
    assert seen == [Iteration(number, run.user_thread.user) for number in range(3)]


def test_a_failed_request_of_one_iteration_is_not_one_of_the_next() -> None:
    def body(iteration: Iteration) -> None:
        if iteration.number == 1:
            iteration.user.record(Sample(REQUEST, "GET /", 0, 1, FAILED, 503))

    run = Run({"iterations": 3}, body=body)
    assert [sample.outcome for sample in run.samples if sample.kind != REQUEST] == [OK, FAILED, OK]
    (group,) = run.failures.groups()
    assert (group.iteration, group.count) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "flushes"),
    [
        ({"think_time": (1.5, 1.5)}, 3),
        ({"think_time": (0.5, 0.5)}, 0),
        ({"pacing": (1.5, 1.5)}, 3),
        ({}, 0),
    ],
)
def test_before_a_long_pause_what_was_measured_is_handed_over(
    settings: dict[str, Any], flushes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Recorder] = []
    monkeypatch.setattr(Recorder, "flush", lambda recorder: calls.append(recorder))
    Run({**settings, "iterations": 3})
    assert len(calls) == flushes


def test_before_a_long_wait_for_an_arrival_too(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    arrivals = ArrivalQueue(iter([0.0, 0.5, 3.0, 3.0, 5.0]), None, lambda: None)
    monkeypatch.setattr(Recorder, "flush", lambda recorder: calls.append(arrivals.started))
    Run({"arrival_rate": 1.0, "total_iterations": 5}, arrivals=arrivals)
    assert calls == [2, 4]


class TestNobodyWaitsForAnIterationThatIsGone:
    @pytest.mark.parametrize("pause", [{"think_time": (60, 60)}, {"pacing": (60, 60)}])
    def test_after_the_last_one(self, pause: dict[str, Any]) -> None:
        assert Run({"total_iterations": 1, **pause}).now == 10 * MS

    def test_who_pauses_is_woken_when_another_user_takes_the_last_one(self) -> None:
        """Real threads: two users, three iterations, a pause that no test would outlive."""
        profile = LoadProfile(users=2, total_iterations=3, think_time=(3600.0, 3600.0))
        budget, began = IterationQuota(3), threading.Event()
        run = UserRun(profile, FailureLog(), budget, threading.Event(), time.perf_counter_ns, lambda *_: False)
        run.origin_ns = time.perf_counter_ns()
        user = VirtualUser(0, seed=0, source_addresses=(), record=lambda sample: began.set())
        user_thread = UserThread(user_slots(profile)[0], user, Recorder(), phase=Phase.ITERATIONS)
        thread = threading.Thread(target=run.iterate, args=(user_thread, NoBody()), daemon=True)
        thread.start()
        assert began.wait(10)  # it has made the first one, and pauses
        assert [budget.take(), budget.take(), budget.take()] == [True, True, False]
        thread.join(10)
        assert not thread.is_alive()

    @pytest.mark.parametrize(
        ("settings", "due", "ends_ms"),
        [
            ({"duration": 0.1}, (0.0, 0.05), 100),  # the load lasts as long as planned
            ({"duration": 0.1, "total_iterations": 2}, (0.0, 0.05), 60),  # all its iterations were made
            ({"duration": 0.1, "total_iterations": 9}, (0.0, 0.05), 100),
            ({"total_iterations": 2}, (0.0, 0.05), 60),
        ],
    )
    def test_in_the_open_model(self, settings: dict[str, Any], due: tuple[float, ...], ends_ms: int) -> None:
        arrivals = ArrivalQueue(iter(due), settings.get("duration"), lambda: None)
        run = Run({"arrival_rate": 20.0, **settings}, arrivals=arrivals)
        assert len(run.samples) == 2
        assert run.now == pytest.approx(ends_ms * MS, abs=2)


class NoBody:
    """A life that does nothing."""

    def set_up(self) -> None: ...

    def iterate(self, iteration: Iteration) -> None: ...

    def tear_down(self) -> None: ...


def test_a_failure_in_the_warm_up_is_in_no_group() -> None:
    @dataclass
    class Warm(Run):
        def __post_init__(self) -> None:
            self.failures = FailureLog()
            super().__post_init__()

        def iterate(self, iteration: Iteration) -> None:
            self.run.judged_from_ns = 25 * MS
            super().iterate(iteration)

    def fail(iteration: Iteration) -> None:
        raise ValueError(iteration.number)

    [group] = Warm({"iterations": 5}, body=fail).failures.groups()
    assert (group.count, group.iteration) == (2, 3)  # those that began at 30 and at 40 ms
