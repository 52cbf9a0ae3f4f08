"""Which users come when, and what they get."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from support.scripted_load import Script, ScriptedCrew, make, run

from pytest_ipload.base.errors import GeneratorLimitError
from pytest_ipload.load.set_up_phase import UserSetUpError
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.load.user_thread import UserThread
from pytest_ipload.settings.parsing import as_stages
from pytest_ipload.stats.sample import ITERATION

pytestmark = pytest.mark.usefixtures("no_user_thread_is_left")


class TestAdmission:
    def test_a_user_that_has_to_wait_does_not_keep_the_others_from_starting(self) -> None:
        script = Script()
        factory = ScriptedCrew(script, refuse=frozenset({1}))
        script.tear_down = lambda user: factory.free.set()  # the first one leaves, and makes room
        run(script, factory=factory, users=2, iterations=2)
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
        executor = run(script, factory=ScriptedCrew(script, refuse=frozenset({1})), users=2, duration=0.1)
        assert script.count("set_up") == 1
        assert executor.failures.groups() == []
        assert executor.record.abandoned == []

    def test_an_error_of_the_admission_is_one_of_the_set_up(self) -> None:
        class FullCrew(ScriptedCrew):
            def admit(self, user: VirtualUser, *, block: bool) -> bool:
                raise OSError("no address left")

        script = Script()
        with pytest.raises(UserSetUpError) as caught:
            make(script, factory=FullCrew(script), users=2).set_up()
        assert isinstance(caught.value.__cause__, OSError)


class TestShortage:
    @pytest.fixture
    def three_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        start = UserThread.start
        started: list[UserThread] = []

        def limited(user_thread: UserThread, live: Callable[[UserThread], None]) -> None:
            if len(started) == 3:
                raise RuntimeError("can't start new thread")
            started.append(user_thread)
            start(user_thread, live)

        monkeypatch.setattr(UserThread, "start", limited)

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
