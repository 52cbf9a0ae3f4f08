"""The executor with lives that are plain functions: what runs, what stops, what is left."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from pytest_ipload.base.errors import GeneratorLimitError, SetUpTimeout
from pytest_ipload.load import deadlines as patience_module
from pytest_ipload.load import executor as executor_module
from pytest_ipload.load import set_up as set_up_module
from pytest_ipload.load.executor import Executor, UserSetUpError
from pytest_ipload.load.generator.monitor import LOOK_NS, Vitals
from pytest_ipload.load.sample_folding import Pieces
from pytest_ipload.load.schedule import user_slots
from pytest_ipload.load.set_up import SetUps
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.load.user_factory import Tap
from pytest_ipload.load.user_thread import IterationInterrupted, Seat
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.parsing import as_stages
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Chunk, Recorder
from pytest_ipload.stats.sample import FAILED, ITERATION, REQUEST, Sample


@dataclass
class Script:
    """What users do, and what they did."""

    body: Callable[[Iteration], object] = lambda iteration: None
    set_up: Callable[[VirtualUser], object] = lambda user: None
    tear_down: Callable[[VirtualUser], object] = lambda user: None
    log: list[tuple[str, int]] = field(default_factory=list)
    users: list[VirtualUser] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, index: int) -> None:
        with self.lock:
            self.log.append((what, index))

    def count(self, what: str) -> int:
        return sum(1 for event, _ in self.log if event == what)


class ScriptedLife:
    def __init__(self, script: Script, user: VirtualUser) -> None:
        self.script, self.user = script, user

    def set_up(self) -> None:
        self.script.note("set_up", self.user.index)
        self.script.set_up(self.user)

    def iterate(self, iteration: Iteration) -> None:
        self.script.note("iterate", self.user.index)
        self.script.body(iteration)

    def tear_down(self) -> None:
        self.script.note("tear_down", self.user.index)
        self.script.tear_down(self.user)


@dataclass
class ScriptedCrew:
    script: Script
    ends_load: Callable[[BaseException, int, bool], bool] = lambda error, number, untried: False
    abort: Callable[[Measurements, float], str | None] = lambda measured, elapsed_s: None
    refuse: frozenset[int] = frozenset()
    """Users that have to wait until ``free`` is set."""
    tap: Tap | None = None
    free: threading.Event = field(default_factory=threading.Event)
    is_stopping: bool = False
    seen: list[tuple[float, int]] = field(default_factory=list)
    """Each second: how long the load has run, and how many iterations were measured."""
    set_ups: list[tuple[int, int, float]] = field(default_factory=list)
    """Each second of the set-up: how many users are set up, of how many, and how long it has taken."""
    users_at_rendezvous: int = 0
    not_free: frozenset[int] = frozenset()
    """Users for whom nothing is free before their time."""

    def make_user(self, index: int, recorder: Recorder) -> VirtualUser:
        user = VirtualUser(index, seed=0, source_addresses=(), record=recorder.record)
        self.script.users.append(user)
        return user

    def admit(self, user: VirtualUser, *, block: bool) -> bool:
        if user.index in self.refuse:
            if not block:
                return False
            assert self.free.wait(30)
            if self.is_stopping:
                raise OSError("the load is over")
        self.script.note("admitted", user.index)
        return True

    def admit_if_free(self, user: VirtualUser) -> bool:
        return user.index not in self.not_free and self.admit(user, block=False)

    def setting_up(self, done: int, users: int, elapsed_s: float) -> None:
        self.set_ups.append((done, users, elapsed_s))

    def make_life(self, user: VirtualUser) -> ScriptedLife:
        return ScriptedLife(self.script, user)

    def user_left(self, user: VirtualUser) -> None:
        self.script.left.append(user.index)

    def stopping(self) -> None:
        self.is_stopping = True
        self.free.set()

    def each_second(self, measured: Measurements, elapsed_s: float) -> None:
        self.seen.append((elapsed_s, measured.count(ITERATION)))

    def abort_reason(self, measured: Measurements, elapsed_s: float) -> str | None:
        return self.abort(measured, elapsed_s)


def make(
    script: Script,
    *,
    crew: ScriptedCrew | None = None,
    ends_load: Any = None,
    cpu: int | None = None,
    **settings: Any,
) -> Executor:
    profile = LoadProfile(**settings)
    crew = crew or ScriptedCrew(script)
    if ends_load is not None:
        crew.ends_load = ends_load
    return Executor(profile, user_slots(profile), crew, cpu=cpu)


def run(script: Script, **settings: Any) -> Executor:
    executor = make(script, **settings)
    executor.set_up()
    executor.run()
    return executor


@pytest.fixture(autouse=True)
def no_user_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ipload-user")] == []


def test_each_user_runs_its_iterations_on_a_thread_of_its_own_and_leaves() -> None:
    threads: set[tuple[int, str]] = set()
    script = Script(body=lambda it: threads.add((it.user.index, threading.current_thread().name)))
    executor = run(script, users=5, iterations=3)
    assert threads == {(index, f"ipload-user-{index}") for index in range(5)}
    assert (script.count("set_up"), script.count("iterate"), script.count("tear_down")) == (5, 15, 5)
    assert sorted(script.left) == list(range(5))
    assert executor.measurements.count(ITERATION) == 15
    assert executor.record.users_started == 5
    assert len(executor.record.lifetimes) == 5


def test_iterations_are_numbered_per_user_and_the_user_knows_the_running_one() -> None:
    seen: list[tuple[int, int, int]] = []
    run(Script(body=lambda it: seen.append((it.user.index, it.number, it.user.iteration))), users=2, iterations=3)
    assert sorted(seen) == [(user, number, number) for user in range(2) for number in range(3)]


def test_total_iterations_are_shared_by_all_users() -> None:
    script = Script()
    run(script, users=4, total_iterations=10)
    assert script.count("iterate") == 10


def test_no_user_iterates_before_all_of_the_first_ones_are_set_up() -> None:
    script = Script()
    run(script, users=6, iterations=1)
    events = [event for event, _ in script.log if event != "admitted"]
    assert events.index("iterate") >= 6
    assert events[:6] == ["set_up"] * 6


def test_a_duration_ends_the_iterations_and_think_time_is_cut_short() -> None:
    script = Script()
    executor = run(script, users=3, duration=0.2, think_time=(30.0, 30.0))
    assert script.count("iterate") == 3
    assert (executor.record.ended_ns - executor.record.origin_ns) / 1e9 < 5


def test_users_of_the_ramp_up_are_set_up_when_they_come() -> None:
    script = Script()
    executor = run(script, users=4, ramp_up=0.2, iterations=1)
    assert script.count("set_up") == script.count("tear_down") == 4
    begins = [begin for begin, _ in sorted(executor.record.lifetimes)]
    planned = [executor.record.origin_ns + round(k * 0.05e9) for k in range(4)]
    assert all(begin >= plan for begin, plan in zip(begins, planned, strict=True))


def test_samples_of_the_warm_up_are_not_judged() -> None:
    gate = threading.Event()

    def body(iteration: Iteration) -> None:
        iteration.user.record(Sample(REQUEST, "GET /", executor._clock(), 1000))
        if iteration.number == 0:
            gate.wait(0.15)  # the next iteration starts after the warm-up of 0.1 s

    script = Script(body=body)
    executor = make(script, users=1, iterations=2, warmup=0.1)
    executor.set_up()
    executor.run()
    measured = executor.measurements
    assert (measured.warmup_iterations, measured.warmup_requests) == (1, 1)
    assert (measured.count(ITERATION), measured.count(REQUEST)) == (1, 1)


def test_with_pacing_a_slow_iteration_makes_the_next_one_late() -> None:
    slow = threading.Event()
    script = Script(body=lambda it: slow.wait(0.1) if it.number == 0 else None)
    executor = run(script, users=1, iterations=3, pacing=(0.02, 0.02))
    latency, response = (
        executor.measurements.latency(ITERATION),
        executor.measurements.response(ITERATION),
    )
    assert latency.count == response.count == 3
    # Planned at 20 and 40 ms, started after 100 ms.
    assert response.total_ns - latency.total_ns >= (80 + 60 - 1) * 1_000_000


def test_a_raising_body_is_a_failed_iteration_and_the_user_goes_on() -> None:
    def body(iteration: Iteration) -> None:
        if iteration.number == 1:
            raise ValueError("on the second")

    script = Script(body=body)
    executor = run(script, users=2, iterations=3)
    assert script.count("iterate") == 6
    assert executor.measurements.count(ITERATION, outcome=FAILED) == 2
    (group,) = executor.failures.groups()
    assert (group.type, group.count, group.iteration) == ("ValueError", 2, 1)


class TestTap:
    """What takes the samples besides the measurements."""

    def test_it_gets_what_is_folded_in_the_executors_thread(self) -> None:
        taken: list[Chunk] = []
        threads: set[str] = set()

        def tap(chunks: Sequence[Chunk]) -> None:
            taken.extend(chunks)
            threads.add(threading.current_thread().name)

        script = Script()
        executor = run(script, crew=ScriptedCrew(script, tap=tap), users=3, iterations=4)
        samples = [sample for chunk in taken for sample in chunk.all_samples()]
        assert len(samples) == executor.measurements.count(ITERATION) == 12
        assert threads == {threading.current_thread().name}

    def test_it_is_not_called_without_samples(self) -> None:
        taken: list[Sequence[Chunk]] = []
        script = Script()
        executor = make(script, crew=ScriptedCrew(script, tap=taken.append), users=1)
        executor.set_up()
        executor.close()
        assert taken == []

    def test_what_it_raises_ends_the_load(self) -> None:
        def tap(chunks: Sequence[Chunk]) -> None:
            crew.tap = None
            raise ValueError("no room")

        script = Script()
        crew = ScriptedCrew(script, tap=tap)
        executor = make(script, crew=crew, users=2, duration=60.0, think_time=(0.01, 0.01))
        executor.set_up()
        with pytest.raises(ValueError, match="no room"):
            executor.run()
        assert script.count("tear_down") == 2
        assert executor.measurements.count(ITERATION) == script.count("iterate")

    def test_an_interrupt_while_samples_are_folded_loses_none_for_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        taken: list[Chunk] = []
        folded: list[Chunk] = []

        def fold(measurements: Measurements, chunk: Chunk) -> None:
            if len(folded) == 2:
                monkeypatch.undo()
                raise KeyboardInterrupt
            folded.append(chunk)

        script = Script()
        executor = make(script, crew=ScriptedCrew(script, tap=taken.extend), users=4)
        executor.set_up()
        monkeypatch.setattr(Measurements, "add_chunk", fold)
        with pytest.raises(KeyboardInterrupt):
            executor.run()
        assert taken[:2] == folded


class TestSetUp:
    def test_an_error_of_one_user_keeps_the_load_from_starting_and_all_are_torn_down(self) -> None:
        def set_up(user: VirtualUser) -> None:
            if user.index == 2:
                raise ValueError("no account")

        script = Script(set_up=set_up)
        executor = make(script, users=4, iterations=1)
        with pytest.raises(UserSetUpError) as caught:
            executor.set_up()
        assert caught.value.user.index == 2
        assert isinstance(caught.value.__cause__, ValueError)
        assert script.count("iterate") == 0
        assert script.count("tear_down") == 4
        assert sorted(script.left) == [0, 1, 2, 3]

    def test_an_error_during_the_ramp_up_stops_the_load(self) -> None:
        def set_up(user: VirtualUser) -> None:
            if user.index == 1:
                raise ValueError("no account")

        script = Script(set_up=set_up)
        executor = make(script, users=2, ramp_up=0.05, duration=60.0, think_time=(0.01, 0.01), set_up="on-arrival")
        executor.set_up()
        with pytest.raises(UserSetUpError):
            executor.run()
        assert script.count("tear_down") == 2
        assert executor.measurements.count(ITERATION) > 0

    def test_outcomes_that_are_no_exceptions_are_seen_too(self) -> None:
        def skip(user: VirtualUser) -> None:
            pytest.skip("not here")

        executor = make(Script(set_up=skip), users=1)
        with pytest.raises(UserSetUpError) as caught:
            executor.set_up()
        assert isinstance(caught.value.__cause__, pytest.skip.Exception)

    def test_an_error_in_making_the_life_is_one_of_the_set_up(self) -> None:
        class BrokenCrew(ScriptedCrew):
            def make_life(self, user: VirtualUser) -> ScriptedLife:
                raise TypeError("cannot be copied")

        script = Script()
        executor = make(script, crew=BrokenCrew(script), users=2)
        with pytest.raises(UserSetUpError) as caught:
            executor.set_up()
        assert isinstance(caught.value.__cause__, TypeError)
        assert sorted(script.left) == [0, 1]

    def test_an_error_of_a_tear_down_is_kept(self) -> None:
        def fail(user: VirtualUser) -> None:
            raise OSError("logout failed")

        executor = run(Script(tear_down=fail), users=2)
        assert [str(error) for _, error in executor.record.teardown_errors] == ["logout failed"] * 2


class TestAdmission:
    def test_a_user_that_has_to_wait_does_not_keep_the_others_from_starting(self) -> None:
        script = Script()
        crew = ScriptedCrew(script, refuse=frozenset({1}))
        script.tear_down = lambda user: crew.free.set()  # the first one leaves, and makes room
        run(script, crew=crew, users=2, iterations=2)
        assert [event for event in script.log if event[0] in ("iterate", "admitted")] == [
            ("admitted", 0),
            ("iterate", 0),
            ("iterate", 0),
            ("admitted", 1),
            ("iterate", 1),
            ("iterate", 1),
        ]

    def test_a_user_that_waits_when_the_load_ends_leaves_without_an_error(self) -> None:
        script = Script()
        executor = run(script, crew=ScriptedCrew(script, refuse=frozenset({1})), users=2, duration=0.1)
        assert script.count("set_up") == 1
        assert executor.failures.groups() == []
        assert executor.record.abandoned == []

    def test_an_error_of_the_admission_is_one_of_the_set_up(self) -> None:
        class FullCrew(ScriptedCrew):
            def admit(self, user: VirtualUser, *, block: bool) -> bool:
                raise OSError("no address left")

        script = Script()
        with pytest.raises(UserSetUpError) as caught:
            make(script, crew=FullCrew(script), users=2).set_up()
        assert isinstance(caught.value.__cause__, OSError)


class TestEnds:
    def test_what_ends_the_load_is_raised_from_run(self) -> None:
        def body(iteration: Iteration) -> None:
            if iteration.number == 3:
                raise SystemError("enough")

        script = Script(body=body)
        executor = make(
            script, users=3, duration=60.0, ends_load=lambda error, number, untried: isinstance(error, SystemError)
        )
        executor.set_up()
        with pytest.raises(SystemError, match="enough"):
            executor.run()
        assert script.count("tear_down") == 3
        assert executor.failures.groups() == []

    def test_a_keyboard_interrupt_of_a_body_ends_the_load_without_patience_for_the_others(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        inside, broken_off = threading.Event(), threading.Event()

        def body(iteration: Iteration) -> None:
            if iteration.user.index == 0:
                inside.wait(30)
                raise KeyboardInterrupt
            inside.set()
            broken_off.wait(60)  # what blocks on a session's socket comes back when the user is interrupted

        script = Script(body=body)
        executor = make(script, users=2, duration=60.0)
        executor.set_up()
        monkeypatch.setattr(script.users[1], "interrupt", broken_off.set)
        with pytest.raises(KeyboardInterrupt):
            executor.run()
        assert broken_off.is_set()

    def test_the_policy_is_told_the_number_and_whether_any_iteration_completed(self) -> None:
        asked: list[tuple[int, bool]] = []

        def body(iteration: Iteration) -> None:
            raise ValueError

        def policy(error: BaseException, number: int, untried: bool) -> bool:
            asked.append((number, untried))
            return False

        executor = make(Script(body=body), users=1, iterations=2, ends_load=policy)
        executor.set_up()
        executor.run()
        assert asked == [(0, True), (1, False)]

    def test_an_exception_in_the_calling_thread_stops_the_load_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        script = Script()
        executor = make(script, users=3, duration=60.0, think_time=(0.01, 0.01))
        executor.set_up()
        turn = executor._turn

        def interrupted_turn() -> None:
            turn()
            if script.count("iterate") > 5 and not executor._patience.is_over:
                raise KeyboardInterrupt

        monkeypatch.setattr(executor, "_turn", interrupted_turn)
        with pytest.raises(KeyboardInterrupt):
            executor.run()
        assert script.count("tear_down") == 3
        assert executor.measurements.count(ITERATION) == script.count("iterate") > 5
        assert (executor.record.ended_ns - executor.record.origin_ns) / 1e9 < 10


@pytest.mark.untraced
class TestInterruption:
    def test_an_iteration_that_outlives_the_graceful_stop_is_interrupted_and_counted(self) -> None:
        def spin(iteration: Iteration) -> None:
            while True:  # bounded by the interruption, which this test is about
                never.wait(0.01)

        never = threading.Event()
        script = Script(body=spin)
        executor = run(script, users=2, duration=0.05, graceful_stop=0.1)
        assert executor.record.interrupted == 2
        assert executor.measurements.count(ITERATION, outcome=FAILED) == 2
        (group,) = executor.failures.groups()
        assert group.type == "IterationInterrupted"
        assert "still running after the graceful stop" in group.message
        assert "test_executor.py" in group.location
        assert script.count("tear_down") == 2

    def test_an_iteration_that_ends_within_the_graceful_stop_is_whole(self) -> None:
        pause = threading.Event()
        executor = run(Script(body=lambda it: pause.wait(0.15)), users=1, duration=0.05, graceful_stop=20.0)
        assert executor.record.interrupted == 0
        assert executor.measurements.count(ITERATION, outcome=FAILED) == 0

    def test_a_user_that_does_not_stop_is_given_up_named_and_its_sockets_closed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patience_module, "_INTERRUPT_WAIT", 0.2)
        release, interrupted = threading.Event(), threading.Event()
        script = Script(body=lambda it: release.wait(60))  # one call into C: no exception can be raised in it
        executor = make(script, users=1, duration=0.05, graceful_stop=0.05)
        executor.set_up()
        monkeypatch.setattr(script.users[0], "interrupt", interrupted.set)
        executor.run()
        assert interrupted.is_set()
        (line,) = executor.record.abandoned
        assert "user 0" in line
        assert "iterations" in line
        assert "test_executor.py" in line
        release.set()
        thread = executor._seats[0].thread
        assert thread is not None
        thread.join(10)
        assert script.count("tear_down") == 1
        assert executor._is_empty()  # it counts once, though it left after it was given up

    def test_an_interruption_that_comes_after_the_body_is_taken_back(self) -> None:
        executor = run(Script(), users=1)
        seat: Seat = executor._seats[0]
        seat.interrupt(1)  # the thread has ended: nothing to do, nothing raised
        assert not issubclass(IterationInterrupted, Exception)


class TestAbort:
    @pytest.fixture(autouse=True)
    def short_ticks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(executor_module, "_TICK", 0.02)

    @staticmethod
    def aborting(script: Script, after: int, **settings: Any) -> tuple[Executor, list[tuple[int, float]]]:
        """Run a load that is broken off after so many looks; returns it and what was seen at each look."""
        seen: list[tuple[int, float]] = []

        def look(measured: Measurements, elapsed_s: float) -> str | None:
            seen.append((measured.count(ITERATION), elapsed_s))
            return "it is hopeless" if len(seen) == after else None

        return run(script, crew=ScriptedCrew(script, abort=look), **settings), seen

    def test_a_load_is_broken_off_for_the_reason_that_the_crew_gives(self) -> None:
        executor, seen = self.aborting(Script(), 3, users=2, duration=60.0)
        assert executor.record.aborted == "it is hopeless"
        assert len(seen) == 3  # it is not asked again
        assert [elapsed for _, elapsed in seen] == sorted(elapsed for _, elapsed in seen)
        assert seen[-1][0] > 0  # what was measured until then was there to look at
        assert (executor.record.ended_ns - executor.record.origin_ns) / 1e9 < 30

    def test_as_long_as_there_is_none_it_goes_on(self) -> None:
        executor, seen = self.aborting(Script(), 0, users=1, duration=0.2)
        assert executor.record.aborted is None
        assert seen

    def test_after_its_planned_end_a_load_is_not_broken_off(self) -> None:
        pause = threading.Event()
        _, seen = self.aborting(Script(body=lambda it: pause.wait(0.4)), 0, users=1, duration=0.1)
        assert max(elapsed for _, elapsed in seen) < 0.3

    @pytest.mark.untraced
    def test_a_running_iteration_gets_a_second_at_most_and_then_it_is_interrupted_and_counted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patience_module, "_ABORT_GRACE", 0.1)
        never = threading.Event()

        def spin(iteration: Iteration) -> None:
            while True:  # bounded by the interruption, which this test is about
                never.wait(0.01)

        executor, _ = self.aborting(Script(body=spin), 2, users=2, duration=60.0, graceful_stop=20.0)
        assert (executor.record.ended_ns - executor.record.origin_ns) / 1e9 < 15
        assert executor.record.interrupted == 2
        assert executor.measurements.count(ITERATION, outcome=FAILED) == 2

    @pytest.mark.untraced
    def test_a_shorter_graceful_stop_stays_one(self) -> None:
        never = threading.Event()

        def spin(iteration: Iteration) -> None:
            while True:  # bounded by the interruption
                never.wait(0.01)

        executor, seen = self.aborting(Script(body=spin), 2, users=1, duration=60.0, graceful_stop=0.0)
        assert executor.record.interrupted == 1
        assert (executor.record.ended_ns - executor.record.origin_ns) / 1e9 - seen[-1][1] < 0.9

    def test_a_tear_down_has_the_whole_graceful_stop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(patience_module, "_ABORT_GRACE", 0.01)
        pause = threading.Event()
        script = Script(body=lambda it: pause.wait(0.001), tear_down=lambda user: pause.wait(0.3))
        executor, _ = self.aborting(script, 2, users=1, duration=60.0)
        assert executor.record.teardown_errors == []


def test_samples_are_kept_by_windows_of_the_lengths_asked_for() -> None:
    script = Script(body=lambda it: None)
    profile = LoadProfile(users=2, iterations=5)
    executor = Executor(profile, user_slots(profile), ScriptedCrew(script), pieces=Pieces([10**12, 10**13]))
    executor.set_up()
    executor.run()
    assert set(executor.measurements.windows) == {10**12, 10**13}
    for length_ns, windows in executor.measurements.windows.items():
        ((_, window),) = windows.full(executor.record.origin_ns + length_ns)
        assert window.count(ITERATION) == executor.measurements.count(ITERATION) == 10


class TestShortage:
    @pytest.fixture
    def three_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        start = Seat.start
        started: list[Seat] = []

        def limited(seat: Seat, live: Callable[[Seat], None]) -> None:
            if len(started) == 3:
                raise RuntimeError("can't start new thread")
            started.append(seat)
            start(seat, live)

        monkeypatch.setattr(Seat, "start", limited)

    @pytest.mark.usefixtures("three_threads")
    def test_too_few_threads_at_the_start_are_an_error_before_the_load(self) -> None:
        script = Script()
        executor = make(script, users=5)
        with pytest.raises(GeneratorLimitError, match=r"only 3 of 5 users .* can't start new thread.*ulimit -u"):
            executor.set_up()
        assert script.count("iterate") == 0
        assert script.count("tear_down") == 3
        assert sorted(script.left) == [0, 1, 2]

    @pytest.mark.usefixtures("three_threads")
    def test_too_few_threads_during_the_ramp_up_stop_the_load_and_are_told(self) -> None:
        executor = run(Script(), users=5, ramp_up=0.1, duration=60.0, think_time=(0.01, 0.01), set_up="on-arrival")
        assert executor.record.shortage is not None
        assert "only 3 of 5 users" in executor.record.shortage


def calls_of(owner: object, name: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of each call of one of the owner's methods, from now on."""
    calls: list[tuple[Any, ...]] = []
    method = getattr(owner, name)

    def noted(*args: Any) -> Any:
        calls.append(args)
        return method(*args)

    monkeypatch.setattr(owner, name, noted)
    return calls


class TestManyUsers:
    """What the executor's thread does must not grow with the square of the users."""

    def test_a_user_that_leaves_does_not_wake_the_executor_unless_it_is_the_last(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        executor = make(Script(), users=300, iterations=1)
        executor.set_up()
        calls = calls_of(executor._changed, "notify_all", monkeypatch)
        executor.run()
        assert len(calls) == 1

    def test_deadlines_are_not_looked_at_for_each_user_that_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = make(Script(), users=100, ramp_up=0.2, iterations=1)
        looks = calls_of(executor._enforcer, "enforce", monkeypatch)
        executor.set_up()
        executor.run()
        seconds = (executor.record.ended_ns - executor.record.origin_ns) / 1e9
        assert 0 < len(looks) <= seconds / 0.05 + 3  # three: the first, and those of the two ends


needs_two_cpus = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="with one CPU, or no choice among them, there is nothing to pin",
)


@needs_two_cpus
class TestPinned:
    @pytest.fixture
    def cpu(self) -> Iterator[int]:
        before = os.sched_getaffinity(0)
        yield min(before)
        assert os.sched_getaffinity(0) == before

    def test_the_whole_life_of_each_user_and_the_executor_run_on_the_cpu(self, cpu: int) -> None:
        seen: dict[str, set[int]] = {}

        def look(where: str) -> None:
            seen.setdefault(where, set()).update(os.sched_getaffinity(0))

        script = Script(
            set_up=lambda user: look("set-up"),
            body=lambda iteration: look("body"),
            tear_down=lambda user: look("tear-down"),
        )
        executor = make(script, users=3, ramp_up=0.03, iterations=2, cpu=cpu)
        executor.set_up()
        look("executor")
        executor.run()
        assert seen == {where: {cpu} for where in ("set-up", "executor", "body", "tear-down")}
        assert (executor.record.pinned_cpu, executor.record.pin_problem) == (cpu, None)

    def test_without_a_cpu_nothing_changes(self, cpu: int) -> None:
        seen: list[set[int]] = []
        executor = run(Script(body=lambda iteration: seen.append(os.sched_getaffinity(0))))
        assert seen == [os.sched_getaffinity(0)]
        assert executor.record.pinned_cpu is None

    def test_after_an_error_in_the_set_up_all_cpus_are_back(self, cpu: int) -> None:
        def fail(user: VirtualUser) -> None:
            raise ValueError("no account")

        with pytest.raises(UserSetUpError):
            make(Script(set_up=fail), users=2, cpu=cpu).set_up()

    def test_after_an_interruption_all_cpus_are_back(self, cpu: int, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = make(Script(), users=2, iterations=1, cpu=cpu)
        executor.set_up()
        monkeypatch.setattr(executor, "_turn", self._interrupt)
        with pytest.raises(KeyboardInterrupt):
            executor.run()
        monkeypatch.undo()
        executor.close()

    @staticmethod
    def _interrupt() -> None:
        raise KeyboardInterrupt

    def test_a_load_that_is_closed_without_a_run_gives_all_cpus_back(self, cpu: int) -> None:
        executor = make(Script(), users=2, cpu=cpu)
        executor.set_up()
        executor.close()

    def test_where_it_cannot_be_done_the_load_runs_and_says_so(self, cpu: int, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(thread: int, cpus: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "sched_setaffinity", refuse)
        executor = make(script := Script(), users=2, cpu=cpu)
        executor.set_up()
        executor.run()
        assert script.count("iterate") == 2
        assert executor.record.pinned_cpu is None
        assert executor.record.pin_problem == f"the load was not kept on CPU {cpu}: Operation not permitted"


DEEP = """
    import copy, json, pickle, re, threading
    from pytest_ipload.load.executor import Executor
    from pytest_ipload.settings.load_profile import LoadProfile
    from pytest_ipload.load.schedule import user_slots
    from pytest_ipload.load.user import VirtualUser

    def nested():
        value = []
        for _ in range(100_000):
            value = {"a": [value]}
        return value

    def to_the_limit():
        to_the_limit()

    def sort_to_the_limit(value):
        return sorted([1, 2], key=sort_to_the_limit)

    class Adds:
        def __add__(self, other):
            return self + other

    class Formats:
        def __format__(self, spec):
            return "{0:{1}}".format(self, spec)

    BODIES = {
        "function": to_the_limit,
        "sort": lambda: sort_to_the_limit(1),
        "operator": lambda: Adds() + 1,
        "format": lambda: format(Formats(), "x"),
        "json.loads": lambda: json.loads('{"a":[' * 100_000),
        "json.dumps": lambda: json.dumps(nested()),
        "json.dumps default": lambda: json.dumps(object(), default=lambda value: [object()]),
        "pickle": lambda: pickle.dumps(nested()),
        "deepcopy": lambda: copy.deepcopy(nested()),
        "repr": lambda: repr(nested()),
        "equality": lambda: nested() == nested(),
        "re": lambda: re.compile("(" * 5000 + ")" * 5000),
        "compile": lambda: compile("+".join(["1"] * 100_000), "sum", "eval"),
    }

    class Life:
        def __init__(self, name):
            self.name = name

        def set_up(self):
            pass

        tear_down = set_up

        def iterate(self, iteration):
            try:
                BODIES[self.name]()
            except RecursionError:
                return
            raise AssertionError(self.name)

    class Crew:
        tap = None

        def make_user(self, index, recorder):
            return VirtualUser(index, seed=0, source_addresses=(), record=recorder.record)

        def admit(self, user, *, block):
            return True

        def make_life(self, user):
            return Life(list(BODIES)[user.index])

        def user_left(self, user):
            pass

        def stopping(self):
            pass

        users_at_rendezvous = 0

        def setting_up(self, *_):
            pass

        def ends_load(self, *_):
            return False

        def each_second(self, *_):
            pass

        def abort_reason(self, *_):
            return None

    profile = LoadProfile(users=len(BODIES))
    executor = Executor(profile, user_slots(profile), Crew())
    executor.set_up()
    executor.run()
    print(len(BODIES), [group.message for group in executor.failures.groups()], threading.stack_size())
"""


class TestStacks:
    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere CPython chooses the size")
    def test_bodies_that_recurse_without_end_get_an_error_and_no_segmentation_fault(self) -> None:
        # With a limit of the main thread's stack that is the default of all others, and too small for such bodies.
        small = ["sh", "-c", 'ulimit -S -s 1024 && exec "$@"', "sh", sys.executable, "-c", textwrap.dedent(DEEP)]
        done = subprocess.run(small, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout.strip()) == (0, "13 [] 0"), done.stderr

    def test_a_size_that_was_chosen_before_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []
        start = threading.Thread.start

        def noting_start(thread: threading.Thread) -> None:
            if thread.name.startswith("ipload-user"):
                sizes.append(stack_size())
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", noting_start)
        before = threading.stack_size(16 << 20)
        try:
            run(Script(), users=2)
            assert (sizes, stack_size()) == ([16 << 20] * 2, 16 << 20)
        finally:
            threading.stack_size(before)


def stack_size() -> int:
    """Asking for the size makes it the default: it is put back."""
    size = threading.stack_size()
    threading.stack_size(size)
    return size


class TestOpenModel:
    """Iterations that start by the clock."""

    OPEN: ClassVar[dict[str, Any]] = {"arrival_rate": 200.0, "duration": 0.5, "max_users": 40}

    def test_each_iteration_that_is_due_runs_once(self) -> None:
        script = Script()
        executor = run(script, **self.OPEN)
        record = executor.record
        assert script.count("iterate") == record.planned_iterations == 100
        assert record.dropped_iterations == 0
        assert record.users_started <= 5, "nobody has to wait, so that few are enough"
        assert script.count("set_up") == script.count("tear_down") == record.users_started

    def test_users_come_as_they_are_needed(self) -> None:
        script = Script(body=lambda iteration: time.sleep(0.1))
        executor = run(script, **self.OPEN)
        assert script.count("iterate") == 100
        assert 20 <= executor.record.users_started <= 40, "200 per second take 100 ms each"

    def test_there_are_no_more_than_allowed_and_what_never_started_is_counted(self) -> None:
        running: list[int] = []
        most: list[int] = []

        def body(iteration: Iteration) -> None:
            running.append(1)
            most.append(len(running))
            time.sleep(0.1)
            running.pop()

        executor = run(Script(body=body), **{**self.OPEN, "max_users": 3})
        record = executor.record
        assert (record.users_started, max(most)) == (3, 3)
        assert record.planned_iterations == 100
        assert record.dropped_iterations is not None
        assert 80 <= record.dropped_iterations <= 90
        iterations = executor.measurements.count(ITERATION)
        assert iterations + record.dropped_iterations == 100

    def test_the_users_of_the_start_are_set_up_before_the_load(self) -> None:
        script = Script()
        run(script, **{**self.OPEN, "users": 8})
        assert [event for event, _ in script.log[:16]].count("set_up") == 8

    def test_lateness_is_part_of_the_response_time(self) -> None:
        is_first = iter([True])

        def body(iteration: Iteration) -> None:
            if next(is_first, False):
                time.sleep(0.3)

        executor = run(Script(body=body), **{**self.OPEN, "max_users": 1})
        measured = executor.measurements
        assert measured.count(ITERATION) == 100, "all are made up for"
        latency, response = measured.latency(ITERATION), measured.response(ITERATION)
        late = 100 - sum(1 for index in range(1, 101) if response.value_at_rank(index) < 50_000_000)
        assert latency.quantile(0.9) is not None
        assert (latency.quantile(0.9) or 0) < 50_000_000
        assert 45 <= late <= 60, "those of 300 ms but for the last 50 ms"

    def test_a_slow_set_up_of_a_user_who_comes_later_makes_iterations_late_not_lost(self) -> None:
        def set_up(user: VirtualUser) -> None:
            if user.index:
                time.sleep(0.05)

        script = Script(body=lambda iteration: time.sleep(0.02), set_up=set_up)
        executor = run(script, **self.OPEN)
        assert script.count("iterate") == 100
        assert executor.record.dropped_iterations == 0

    def test_a_user_who_cannot_be_set_up_ends_the_load(self) -> None:
        def set_up(user: VirtualUser) -> None:
            if user.index == 1:
                raise ValueError("no account")

        executor = make(Script(set_up=set_up), **{**self.OPEN, "duration": 30.0})
        executor.set_up()
        with pytest.raises(UserSetUpError):
            executor.run()

    def test_shared_iterations_end_it(self) -> None:
        script = Script()
        executor = run(script, arrival_rate=500.0, total_iterations=50, max_users=10)
        assert script.count("iterate") == executor.record.planned_iterations == 50
        assert executor.record.dropped_iterations == 0

    def test_a_stopped_load_counts_what_was_due_until_then(self) -> None:
        executor = make(Script(), **{**self.OPEN, "duration": 60.0})
        executor.set_up()

        def stop_soon() -> None:
            pause = threading.Event()
            for _ in range(10_000):  # before the load there is a garbage collection, of whatever size the suite has
                if pause.wait(0.003) or executor.record.origin_ns:
                    break
            pause.wait(0.3)
            executor.stop()

        threading.Thread(target=stop_soon).start()
        executor.run()
        record = executor.record
        assert record.planned_iterations is not None
        assert record.dropped_iterations is not None
        assert 20 <= record.planned_iterations <= 6000, "not the whole minute's"
        assert record.planned_iterations - record.dropped_iterations == executor.measurements.count(ITERATION)

    def test_stages_of_rates(self) -> None:
        stages = as_stages("0.2s:200/s,0.2s:200/s,0.2s:0/s")
        script = Script()
        executor = run(script, stages=stages, arrival_rate=stages.peak, max_users=20)
        assert script.count("iterate") == executor.record.planned_iterations == 80

    def test_the_closed_model_has_no_plan_to_drop_from(self) -> None:
        record = run(Script(), users=2).record
        assert (record.planned_iterations, record.dropped_iterations) == (None, None)


def test_a_load_may_begin_at_a_given_time() -> None:
    script = Script()
    executor = make(script, users=2)
    executor.set_up()
    at = time.perf_counter_ns() + 200_000_000
    executor.run(start_at_ns=at)
    assert 0 <= executor.record.origin_ns - at < 2_000_000_000
    assert script.count("iterate") == 2


def test_a_load_that_is_stopped_before_its_time_does_not_begin() -> None:
    script = Script()
    executor = make(script, users=2)
    executor.set_up()
    threading.Timer(0.1, executor.stop).start()
    began = time.perf_counter()
    executor.run(start_at_ns=time.perf_counter_ns() + 60_000_000_000)
    assert time.perf_counter() - began < 20
    assert (script.count("iterate"), script.count("tear_down")) == (0, 2)


def test_another_thread_may_have_the_load_stopped() -> None:
    executor: Executor

    def body(iteration: Iteration) -> None:
        time.sleep(0.01)
        if iteration.number == 5:
            executor.ask_to_stop("the others stopped")

    script = Script(body=body)
    executor = make(script, users=3, duration=60.0)
    executor.set_up()
    began = time.perf_counter()
    executor.run()
    assert time.perf_counter() - began < 20
    assert (executor.record.aborted, script.count("tear_down")) == ("the others stopped", 3)
    assert script.count("iterate") >= 6


def test_a_load_that_another_thread_stops_before_its_time_does_not_begin() -> None:
    script = Script()
    executor = make(script, users=2)
    executor.set_up()
    threading.Timer(0.1, executor.ask_to_stop, ["the others stopped"]).start()
    began = time.perf_counter()
    executor.run(start_at_ns=time.perf_counter_ns() + 60_000_000_000)
    assert time.perf_counter() - began < 20
    assert script.count("tear_down") == 2
    assert script.count("iterate") == 0


@pytest.mark.parametrize("hurries", [1, 2])
def test_another_thread_may_end_a_load_as_ctrl_c_does(hurries: int) -> None:
    """The first time iterations are interrupted, the second time tear-downs too."""
    finished: list[int] = []

    def doze(seconds: float) -> None:
        for _ in range(round(seconds / 0.01)):
            time.sleep(0.01)

    def body(_: Iteration) -> None:
        executor.ask_to_stop("the session ends", hurry=True)
        doze(60)

    def tear_down(user: VirtualUser) -> None:
        if hurries == 2:
            executor.ask_to_stop("the session ends", hurry=True)
        doze(60 if hurries == 2 else 1.5)
        finished.append(user.index)

    script = Script(body=body, tear_down=tear_down)
    executor = make(script, users=1, duration=60.0, graceful_stop=60.0)
    executor.set_up()
    began = time.perf_counter()
    executor.run()
    assert time.perf_counter() - began < 30
    assert (script.count("iterate"), script.count("tear_down")) == (1, 1)
    assert finished == ([0] if hurries == 1 else [])


def test_users_of_stages_come_and_go() -> None:
    stages = as_stages("0s:3,0.2s:3,0s:1,0.2s:1")
    script = Script(body=lambda iteration: time.sleep(0.01))
    executor = run(script, stages=stages, users=3)
    lives = sorted((stop - start) / 1e9 for start, stop in executor.record.lifetimes)
    assert lives == pytest.approx([0.2, 0.2, 0.4], abs=0.15)
    assert lives[2] > lives[1] + 0.1


class TestVitals:
    def test_timer_and_processor_time_are_watched_while_the_load_runs(self) -> None:
        vitals = run(Script(body=lambda iteration: time.sleep(0.01)), users=2, duration=0.4).vitals
        assert vitals.lags.count >= 4  # there is time for seven; one that comes late counts for those that it delayed
        assert 0 < vitals.cpu_ns < 1e9
        assert 0.4e9 <= vitals.watched_ns < 2e9
        assert vitals.seconds == 0

    def test_seconds_are_counted(self) -> None:
        vitals = run(Script(body=lambda iteration: time.sleep(0.01)), users=2, duration=1.2).vitals
        assert (vitals.seconds, vitals.busy_seconds <= 1) == (1, True)

    def test_warm_up_and_tear_down_are_not(self) -> None:
        script = Script(body=lambda iteration: time.sleep(0.01), tear_down=lambda user: time.sleep(0.3))
        vitals = run(script, users=2, duration=0.3, warmup=0.25).vitals
        assert (
            vitals.lags.count <= 3 + vitals.lags.total_ns // LOOK_NS
        )  # a late one counts for several; else there are 12
        assert vitals.watched_ns >= 0.6e9

    @pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system keeps no process on one CPU")
    def test_a_load_that_is_kept_on_one_cpu_has_one_and_else_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun: list[float] = []

        class NotedVitals(Vitals):
            def begin(self, now_ns: int, *, cores: float = 1, **more: Any) -> None:
                begun.append(cores)
                super().begin(now_ns, cores=cores, **more)

        monkeypatch.setattr(executor_module, "Vitals", NotedVitals)
        monkeypatch.setattr(executor_module, "usable_cpus", lambda: 7)
        run(Script(), users=1, cpu=max(os.sched_getaffinity(0)))
        run(Script(), users=1)
        assert begun == [1, 7]

    def test_a_load_that_is_broken_off_is_over(self) -> None:
        def fail(iteration: Iteration) -> None:
            raise KeyboardInterrupt

        executor = make(Script(body=fail), users=1, iterations=1, ends_load=lambda *_: True)
        executor.set_up()
        with pytest.raises(KeyboardInterrupt):
            executor.run()
        assert executor.vitals.watched_ns > 0


class TestBefore:
    """All users of the plan are set up before the load."""

    def test_a_slow_set_up_takes_nothing_from_the_load(self) -> None:
        script = Script(set_up=lambda user: time.sleep(0.3), body=lambda it: time.sleep(0.01))
        executor = run(script, users=4, ramp_up=0.2, duration=0.3)
        assert [event for event, _ in script.log[:8]].count("set_up") == 4
        assert len(executor.record.lifetimes) == executor.record.users_started == 4
        assert executor.record.user_time.missing_ns == 0
        begins = [begin - executor.record.origin_ns for begin, _ in sorted(executor.record.lifetimes)]
        assert all(begin >= place * 0.05e9 for place, begin in enumerate(begins))

    def test_on_arrival_it_does_and_that_is_told(self) -> None:
        script = Script(set_up=lambda user: time.sleep(0.3 * (user.index > 0)), body=lambda it: time.sleep(0.01))
        executor = run(script, users=4, ramp_up=0.2, duration=0.3, set_up="on-arrival")
        user_time = executor.record.user_time
        assert user_time.planned_ns == pytest.approx((0.5 + 0.45 + 0.4 + 0.35) * 1e9, abs=1e7)
        assert 0.89e9 <= user_time.missing_ns <= 1.2e9
        assert user_time.late_users + user_time.absent_users == 3
        assert executor.record.late_starts == 3

    def test_some_set_ups_run_at_once_and_their_number_is_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(set_up_module, "SET_UPS_AT_ONCE", 3)
        running: list[int] = []
        most: list[int] = []

        def set_up(user: VirtualUser) -> None:
            running.append(user.index)
            most.append(len(running))
            time.sleep(0.01)
            running.remove(user.index)

        script = Script(set_up=set_up)
        crew = ScriptedCrew(script)
        run(script, crew=crew, users=12, ramp_up=0.05, iterations=1)
        assert max(most) <= 3
        assert [(done, users) for done, users, _ in (crew.set_ups[0], crew.set_ups[-1])] == [(0, 12), (12, 12)]

    def test_set_ups_that_wait_for_each_other_all_come(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(set_up_module, "SET_UPS_AT_ONCE", 2)
        monkeypatch.setattr(set_up_module, "STALLED_S", 0.05)
        barrier = threading.Barrier(9)
        script = Script(set_up=lambda user: barrier.wait(30) and None)
        run(script, users=9, iterations=1)
        assert script.count("iterate") == 9

    def test_users_at_a_rendezvous_keep_nobody_from_being_set_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(set_up_module, "SET_UPS_AT_ONCE", 1)
        monkeypatch.setattr(set_up_module, "STALLED_S", 3600.0)
        barrier = threading.Barrier(5)
        script = Script()
        crew = ScriptedCrew(script)

        def set_up(user: VirtualUser) -> None:
            crew.users_at_rendezvous += 1
            barrier.wait(30)

        script.set_up = set_up
        run(script, crew=crew, users=5, iterations=1)
        assert script.count("iterate") == 5

    def test_a_user_for_whom_nothing_is_free_is_set_up_when_its_time_comes(self) -> None:
        script = Script(body=lambda it: time.sleep(0.005))
        crew = ScriptedCrew(script, not_free=frozenset({1}))
        executor = run(script, crew=crew, users=3, ramp_up=0.3, duration=0.1, ip_exclusive=True, pool="127.0.0.0/28")
        events = [event for event in script.log if event[0] in ("set_up", "iterate")]
        assert {("set_up", 0), ("set_up", 2)} == set(events[:2])
        assert events.index(("set_up", 1)) > events.index(("iterate", 0))
        assert executor.record.users_started == 3

    def test_an_error_of_the_admission_counts_also_where_the_load_has_an_end(self) -> None:
        class FullCrew(ScriptedCrew):
            def admit(self, user: VirtualUser, *, block: bool) -> bool:
                raise OSError("no address left")

        script = Script()
        with pytest.raises(UserSetUpError) as caught:
            make(script, crew=FullCrew(script), users=2, duration=0.1).set_up()
        assert isinstance(caught.value.__cause__, OSError)

    def test_own_iterations_that_are_done_are_not_missing(self) -> None:
        executor = run(Script(), users=3, iterations=2, duration=30.0, ramp_up=0.1)
        assert executor.record.user_time.missing_ns == 0

    def test_shared_iterations_that_are_done_are_not_missing(self) -> None:
        executor = run(Script(), users=3, total_iterations=20, duration=30.0, ramp_up=10.0)
        assert executor.record.user_time.missing_ns == 0


class TestToleratedSetUpErrors:
    @staticmethod
    def tolerant(script: Script, ends_load: Any = None, **settings: Any) -> Executor:
        profile = LoadProfile(**settings)
        crew = ScriptedCrew(script)
        if ends_load is not None:
            crew.ends_load = ends_load
        return Executor(profile, user_slots(profile), crew, tolerates_set_up_errors=True)

    @staticmethod
    def failing(user: VirtualUser) -> None:
        if user.index in (1, 3):
            raise ValueError("no account")

    def test_such_users_are_left_out_and_counted(self) -> None:
        script = Script(set_up=self.failing)
        executor = self.tolerant(script, users=5, iterations=2)
        executor.set_up()
        executor.run()
        assert script.count("iterate") == 6
        assert script.count("tear_down") == 5
        assert executor.set_ups == SetUps(5, 5, 2)
        [group] = executor.failures.groups()
        assert (group.type, group.count, group.users, group.iteration) == ("ValueError in set-up", 2, [1, 3], None)
        assert executor.record.user_time.missing_ns == 0

    def test_on_arrival_too(self) -> None:
        script = Script(set_up=self.failing)
        executor = self.tolerant(script, users=5, ramp_up=0.05, duration=0.05, set_up="on-arrival")
        executor.set_up()
        executor.run()
        assert executor.set_ups == SetUps(5, 5, 2)

    def test_what_ends_the_test_is_not_tolerated(self) -> None:
        executor = self.tolerant(
            Script(set_up=self.failing), ends_load=lambda error, number, untried: True, users=5, iterations=1
        )
        with pytest.raises(UserSetUpError):
            executor.set_up()

    def test_where_all_fail_the_load_ends(self) -> None:
        def fail(user: VirtualUser) -> None:
            raise ValueError("no account")

        executor = self.tolerant(Script(set_up=fail), users=3, duration=30.0)
        executor.set_up()
        executor.run()
        assert executor.set_ups == SetUps(3, 3, 3)
        assert executor.measurements.count(ITERATION) == 0

    def test_an_error_in_the_load_keeps_what_was_measured(self) -> None:
        script = Script(set_up=self.failing, body=lambda it: time.sleep(0.001))
        executor = make(script, users=2, ramp_up=0.1, duration=30.0, set_up="on-arrival")
        executor.set_up()
        with pytest.raises(UserSetUpError) as caught:
            executor.run()
        assert caught.value.is_late
        assert executor.measurements.count(ITERATION) > 0
        assert executor.set_ups == SetUps(2, 2, 1)


@pytest.mark.untraced
class TestUsersWhoHang:
    @pytest.fixture(autouse=True)
    def short_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(patience_module, "_INTERRUPT_WAIT", 0.2)

    def test_what_they_measured_is_kept_and_the_running_iteration_has_failed(self) -> None:
        release = threading.Event()
        script = Script(body=lambda it: release.wait(60) if it.user.index == 0 and it.number == 3 else time.sleep(0.01))
        executor = run(script, users=2, duration=0.2, graceful_stop=0.05)
        at_the_end = executor.measurements.count(ITERATION)
        assert executor.measurements.count(ITERATION, outcome=FAILED) == 1
        assert at_the_end == script.count("iterate")
        [group] = executor.failures.groups()
        assert (group.type, group.user, group.iteration) == ("IterationInterrupted", 0, 3)
        assert "test_executor.py" in group.location
        assert len(executor.record.lifetimes) == 2
        release.set()
        thread = executor._seats[0].thread
        assert thread is not None
        thread.join(10)
        executor.close()  # what comes back later is nobody's
        assert executor.measurements.count(ITERATION) == at_the_end
        assert [each.count for each in executor.failures.groups()] == [1]
        assert len(executor.record.lifetimes) == 2

    def test_an_iteration_that_hangs_since_the_warm_up_is_judged(self) -> None:
        release = threading.Event()
        executor = run(Script(body=lambda it: release.wait(60)), users=1, duration=0.2, warmup=0.1, graceful_stop=0.05)
        assert executor.measurements.count(ITERATION, outcome=FAILED) == 1
        release.set()
        thread = executor._seats[0].thread
        assert thread is not None
        thread.join(10)

    def test_those_who_hang_in_their_tear_down_keep_their_iterations(self) -> None:
        release = threading.Event()
        executor = run(
            Script(tear_down=lambda user: release.wait(60) and None), users=1, iterations=5, graceful_stop=0.05
        )
        assert executor.measurements.count(ITERATION) == 5
        assert executor.measurements.count(ITERATION, outcome=FAILED) == 0
        assert executor.record.abandoned_users == [0]
        release.set()
        thread = executor._seats[0].thread
        assert thread is not None
        thread.join(10)

    def test_a_set_up_that_hangs_is_interrupted_and_named(self) -> None:
        def set_up(user: VirtualUser) -> None:
            while user.index == 1:
                time.sleep(0.01)

        executor = make(Script(set_up=set_up), users=3, duration=1.0, timeout=0.1, graceful_stop=0.1)
        with pytest.raises(UserSetUpError) as caught:
            executor.set_up()
        error = caught.value.__cause__
        assert isinstance(error, SetUpTimeout)
        assert "user 1 was still in its set-up after 2" in str(error)
        assert "test_executor.py" in str(error)
        assert executor.record.abandoned == []

    def test_one_that_nothing_can_end_is_given_up(self) -> None:
        release = threading.Event()
        script = Script(set_up=lambda user: release.wait(60) and None if user.index == 1 else None)
        executor = make(script, users=3, duration=1.0, timeout=0.1, graceful_stop=0.1)
        with pytest.raises(UserSetUpError) as caught:
            executor.set_up()
        assert isinstance(caught.value.__cause__, SetUpTimeout)
        assert executor.record.abandoned_users == [1]
        assert executor.set_ups.failed == 1
        release.set()
        thread = executor._seats[1].thread
        assert thread is not None
        thread.join(10)
        assert executor.set_ups.failed == 1


@pytest.mark.untraced
class TestTearDownAfterCtrlC:
    @staticmethod
    def broken_off(script: Script, monkeypatch: pytest.MonkeyPatch, presses: int, **settings: Any) -> Executor:
        """A load in which Ctrl-C is pressed, and again while users are torn down."""
        executor = make(script, duration=60.0, think_time=(0.005, 0.005), **settings)
        executor.set_up()
        turn = executor._turn
        left = [presses]

        def turn_with_presses() -> None:
            turn()
            begun = (
                script.count("iterate") > 3 if left[0] == presses else script.count("tear_down") == len(script.users)
            )
            if left[0] and begun:
                left[0] -= 1
                raise KeyboardInterrupt

        monkeypatch.setattr(executor, "_turn", turn_with_presses)
        with pytest.raises(KeyboardInterrupt):
            executor.run()
        return executor

    def test_it_takes_as_long_as_it_takes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        done: list[int] = []

        def tear_down(user: VirtualUser) -> None:
            time.sleep(1.5)  # longer than iterations get
            done.append(user.index)

        executor = self.broken_off(Script(tear_down=tear_down), monkeypatch, 1, users=2)
        assert sorted(done) == [0, 1]
        assert (executor.record.abandoned, executor.record.cut_short) == ([], {})

    def test_so_it_does_after_an_iteration_that_had_to_be_interrupted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        done: list[int] = []

        def body(iteration: Iteration) -> None:
            for _ in range(6000 if iteration.number == 2 else 1):
                time.sleep(0.01)

        def tear_down(user: VirtualUser) -> None:
            time.sleep(1.5)
            done.append(user.index)

        self.broken_off(Script(body=body, tear_down=tear_down), monkeypatch, 1, users=2)
        assert sorted(done) == [0, 1]

    def test_the_second_one_cuts_it_short_and_all_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def tear_down(user: VirtualUser) -> None:
            for _ in range(6000):
                time.sleep(0.01)

        began = time.perf_counter()
        executor = self.broken_off(Script(tear_down=tear_down), monkeypatch, 2, users=3)
        assert time.perf_counter() - began < 30
        named = " ".join([*executor.record.abandoned, *executor.record.cut_short.values()])
        assert all(f"user {index} " in named for index in range(3))
