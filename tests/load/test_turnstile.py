from __future__ import annotations

import threading
from collections.abc import Callable

from pytest_ipload.load.turnstile import Alarm, Turnstile

LONG_S = 30.0


def started(count: int, work: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def all_end(threads: list[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(LONG_S)
    return not any(thread.is_alive() for thread in threads)


def test_all_go_through_an_open_gate_and_none_before() -> None:
    gate, through = Turnstile(), list[None]()

    def pass_through() -> None:
        gate.wait()
        through.append(None)

    threads = started(50, pass_through)
    assert not gate.is_set()
    assert not through
    gate.set()
    gate.set()
    assert all_end(threads)
    assert len(through) == 50
    gate.wait()
    assert gate.is_set()


def test_an_alarm_wakes_all_whatever_time_they_wait_for() -> None:
    alarm, woken = Alarm(), list[bool]()
    threads = started(50, lambda: woken.append(alarm.wait(LONG_S)))
    alarm.set()
    assert all_end(threads)
    assert woken == [True] * 50
    assert alarm.wait(LONG_S)


def test_a_time_that_is_over_before_the_alarm_is_no_alarm() -> None:
    alarm = Alarm()
    assert [alarm.wait(seconds) for seconds in (0.001, 0.0, -1.0)] == [False] * 3
    assert not alarm.is_set()


def test_those_whose_time_is_over_when_it_rings_wake_the_others_too() -> None:
    alarm = Alarm()
    threads = started(20, lambda: alarm.wait(LONG_S)) + started(20, lambda: [alarm.wait(0.0001) for _ in range(50)])
    alarm.set()
    assert all_end(threads)


def test_whoever_comes_after_the_time_of_all_others_still_hears_it() -> None:
    alarm = Alarm()
    assert not alarm.wait(0.001)
    thread = started(1, lambda: alarm.wait(1e12))
    alarm.set()
    assert all_end(thread)
