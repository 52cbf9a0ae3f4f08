"""The users of a load are set up."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from support.scripted_load import Script, ScriptedCrew, ScriptedLife, make, run

from pytest_ipload.load import set_up as set_up_module
from pytest_ipload.load.executor import Executor
from pytest_ipload.load.schedule import user_slots
from pytest_ipload.load.set_up import SetUps
from pytest_ipload.load.set_up_phase import UserSetUpError
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.sample import ITERATION

pytestmark = pytest.mark.usefixtures("no_user_thread_is_left")


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
            def make_scenario(self, user: VirtualUser) -> ScriptedLife:
                raise TypeError("cannot be copied")

        script = Script()
        executor = make(script, factory=BrokenCrew(script), users=2)
        with pytest.raises(UserSetUpError) as caught:
            executor.set_up()
        assert isinstance(caught.value.__cause__, TypeError)
        assert sorted(script.left) == [0, 1]

    def test_an_error_of_a_tear_down_is_kept(self) -> None:
        def fail(user: VirtualUser) -> None:
            raise OSError("logout failed")

        executor = run(Script(tear_down=fail), users=2)
        assert [str(error) for _, error in executor.record.teardown_errors] == ["logout failed"] * 2


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
        assert executor.record.late_starts == user_time.late_users > 0

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
        factory = ScriptedCrew(script)
        run(script, factory=factory, users=12, ramp_up=0.05, iterations=1)
        assert max(most) <= 3
        assert [(done, users) for done, users, _ in (factory.set_ups[0], factory.set_ups[-1])] == [(0, 12), (12, 12)]

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
        factory = ScriptedCrew(script)

        def set_up(user: VirtualUser) -> None:
            factory.users_at_rendezvous += 1
            barrier.wait(30)

        script.set_up = set_up
        run(script, factory=factory, users=5, iterations=1)
        assert script.count("iterate") == 5

    def test_a_user_for_whom_nothing_is_free_is_set_up_when_its_time_comes(self) -> None:
        script = Script(body=lambda it: time.sleep(0.005))
        factory = ScriptedCrew(script, not_free=frozenset({1}))
        executor = run(
            script, factory=factory, users=3, ramp_up=0.3, duration=0.1, ip_exclusive=True, pool="127.0.0.0/28"
        )
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
            make(script, factory=FullCrew(script), users=2, duration=0.1).set_up()
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
        factory = ScriptedCrew(script)
        if ends_load is not None:
            factory.ends_load = ends_load
        return Executor(profile, user_slots(profile), factory, tolerates_set_up_errors=True)

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
