"""Users who do not get on in time."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
from support.scripted_load import Script, make, run

from pytest_ipload.base.errors import SetUpTimeout, TearDownTimeout
from pytest_ipload.load import deadlines as patience_module
from pytest_ipload.load.executor import Executor
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.set_up_phase import UserSetUpError
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.load.user_thread import UserThread
from pytest_ipload.stats.sample import FAILED, ITERATION

pytestmark = pytest.mark.usefixtures("no_user_thread_is_left")


@pytest.mark.untraced
class TestInterruption:
    def test_an_iteration_that_outlives_the_graceful_stop_is_interrupted_and_counted(self) -> None:
        def spin(iteration: Iteration) -> None:
            while True:  # bounded by the interruption, which this test is about
                never.wait(0.01)

        never = threading.Event()
        script = Script(body=spin)
        executor = run(script, users=2, duration=0.5, graceful_stop=0.1)
        assert executor.record.interrupted == 2
        assert executor.measurements.count(ITERATION, outcome=FAILED) == 2
        (group,) = executor.failures.groups()
        assert group.type == "IterationInterrupted"
        assert "still running after the graceful stop" in group.message
        assert "test_deadline_enforcer.py" in group.location
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
        assert "test_deadline_enforcer.py" in line
        release.set()
        thread = executor._user_threads[0].thread
        assert thread is not None
        thread.join(10)
        assert script.count("tear_down") == 1
        assert executor._is_empty()  # it counts once, though it left after it was given up

    def test_an_interruption_that_comes_after_the_body_is_taken_back(self) -> None:
        executor = run(Script(), users=1)
        user_thread: UserThread = executor._user_threads[0]
        user_thread.interrupt(1)  # the thread has ended: nothing to do, nothing raised
        assert not issubclass(IterationInterrupted, Exception)


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
        assert "test_deadline_enforcer.py" in group.location
        assert len(executor.record.lifetimes) == 2
        release.set()
        thread = executor._user_threads[0].thread
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
        thread = executor._user_threads[0].thread
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
        thread = executor._user_threads[0].thread
        assert thread is not None
        thread.join(10)
        [(user, error)] = executor.record.teardown_errors
        assert user is executor._user_threads[0].user
        assert isinstance(error, TearDownTimeout)
        assert re.match(r"user 0 was still in its teardown .*, at .*test_deadline_enforcer.py:\d+, and", str(error))

    def test_an_error_of_a_tear_down_that_hangs_later_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def tear_down(user: VirtualUser) -> None:
            raise ValueError("logout failed")

        release = threading.Event()
        executor = make(Script(tear_down=tear_down), users=1, iterations=1, graceful_stop=0.05)
        executor.set_up()
        monkeypatch.setattr(executor._user_threads[0].user, "release_actions", lambda: release.wait(60))
        executor.run()
        assert executor.record.abandoned_users == [0]
        assert [str(error) for _, error in executor.record.teardown_errors] == ["logout failed"]
        release.set()
        thread = executor._user_threads[0].thread
        assert thread is not None
        thread.join(10)
        assert len(executor.record.teardown_errors) == 1

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
        assert "test_deadline_enforcer.py" in str(error)
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
        thread = executor._user_threads[1].thread
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
