"""Several rounds of a load with the same users."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from support.scripted_load import Script, ScriptedCrew

from pytest_ipload.load.executor import Executor
from pytest_ipload.load.schedule import user_slots
from pytest_ipload.load.user import Iteration
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.sample import FAILED, ITERATION

pytestmark = pytest.mark.usefixtures("no_user_thread_is_left")


def a_round(crew: ScriptedCrew, after: Executor | None = None, **settings: Any) -> Executor:
    profile = LoadProfile(**settings)
    executor = Executor(profile, user_slots(profile), crew, holds_users=True, after=after)
    executor.set_up()
    executor.run()
    return executor


def test_users_are_set_up_once_and_torn_down_at_the_end_in_their_own_threads() -> None:
    threads: dict[str, set[tuple[int, str]]] = {"set_up": set(), "iterate": set(), "tear_down": set()}

    def note(what: str, index: int) -> None:
        threads[what].add((index, threading.current_thread().name))

    script = Script(
        set_up=lambda user: note("set_up", user.index),
        body=lambda iteration: note("iterate", iteration.user.index),
        tear_down=lambda user: note("tear_down", user.index),
    )
    crew = ScriptedCrew(script)
    first = a_round(crew, users=2, iterations=2)
    second = a_round(crew, first, users=3, iterations=3)
    first.close()
    assert script.count("tear_down") == 0
    second.close()
    assert (script.count("set_up"), script.count("tear_down")) == (3, 3)
    assert [first.measurements.count(ITERATION), second.measurements.count(ITERATION)] == [4, 9]
    expected = {(index, f"ipload-user-{index}") for index in range(3)}
    assert all(each == expected for each in threads.values())


def test_a_smaller_round_leaves_users_idle_and_a_larger_one_has_them_again() -> None:
    numbers: dict[int, list[int]] = {}
    script = Script(body=lambda it: numbers.setdefault(it.user.index, []).append(it.number))
    crew = ScriptedCrew(script)
    executor: Executor | None = None
    for users in (2, 1, 2):
        executor = a_round(crew, executor, users=users, iterations=2)
        assert executor.record.users_started == users
    assert executor is not None
    executor.close()
    assert script.count("set_up") == script.count("tear_down") == 2
    assert numbers == {0: [0, 1, 2, 3, 4, 5], 1: [0, 1, 2, 3]}


def test_users_that_an_open_round_needed_are_there_in_the_next_one() -> None:
    meeting = threading.Barrier(3)
    script = Script(body=lambda _: meeting.wait(5))
    crew = ScriptedCrew(script)
    settings: dict[str, Any] = {"arrival_rate": 1000.0, "max_users": 3, "total_iterations": 3}
    first = a_round(crew, users=1, **settings)
    second = a_round(crew, first, users=1, **settings)
    second.close()
    assert (script.count("set_up"), script.count("iterate"), script.count("tear_down")) == (3, 6, 3)
    assert sorted(user.index for user in script.users) == [0, 1, 2]


def test_a_user_that_was_interrupted_at_the_end_of_a_round_goes_on_in_the_next_one() -> None:
    hangs = threading.Event()

    def body(iteration: Iteration) -> None:
        while iteration.number == 0:
            hangs.wait(0.01)

    crew = ScriptedCrew(Script(body=body))
    first = a_round(crew, users=1, duration=0.05, graceful_stop=0.05)
    second = a_round(crew, first, users=1, duration=5.0, total_iterations=3)
    second.close()
    assert first.measurements.count(ITERATION, outcome=FAILED) == first.record.interrupted == 1
    assert second.measurements.count(ITERATION) == 3
    assert not second.measurements.count(ITERATION, outcome=FAILED)


def test_a_round_that_is_not_started_tears_its_users_down() -> None:
    script = Script()
    crew = ScriptedCrew(script)
    first = a_round(crew, users=2, iterations=1)
    profile = LoadProfile(users=2, iterations=1)
    second = Executor(profile, user_slots(profile), crew, holds_users=True, after=first)
    second.set_up()
    second.close()
    assert script.count("iterate") == script.count("tear_down") == 2
