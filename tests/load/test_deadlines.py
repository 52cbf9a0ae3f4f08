from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_ipload.load.deadlines import Deadlines
from pytest_ipload.load.schedule import UserSlot
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_thread import UserThread
from pytest_ipload.stats.recorder import Recorder

SECOND = 1_000_000_000
ORIGIN = 100 * SECOND
PATIENCE = Deadlines(graceful_stop=30.0, origin_ns=ORIGIN)


def user_thread(
    *, stop: float | None = 10.0, teardown: float | None = None, interrupted: float | None = None
) -> UserThread:
    recorder = Recorder()
    made = UserThread(
        UserSlot(0, 0.0, 0.0, stop), VirtualUser(0, seed=0, source_addresses=(), record=recorder.record), recorder
    )
    made.teardown_since_ns = None if teardown is None else ORIGIN + round(teardown * SECOND)
    made.interrupted_ns = None if interrupted is None else ORIGIN + round(interrupted * SECOND)
    return made


@pytest.mark.parametrize(
    ("user", "stopped", "is_short", "is_over", "expected"),
    [
        (user_thread(), None, False, False, 40.0),  # its time is over at 10 s, and it may finish
        (user_thread(stop=None), None, False, False, None),  # only iterations end it
        (user_thread(stop=None), 5.0, False, False, 35.0),
        (user_thread(), 5.0, False, False, 35.0),  # the earlier one counts
        (user_thread(), 20.0, False, False, 40.0),
        (user_thread(), 5.0, True, False, 6.0),  # broken off by a threshold: one second
        (user_thread(), 5.0, False, True, 5.3),  # broken off for good
        (user_thread(teardown=12.0), None, False, False, 42.0),
        (user_thread(teardown=12.0), 5.0, True, False, 42.0),  # a tear-down is not hurried by a threshold
        (user_thread(teardown=12.0), 20.0, False, True, 50.0),  # nor by Ctrl-C
        (user_thread(teardown=12.0, interrupted=15.0), 5.0, False, True, 18.0),
        (user_thread(interrupted=15.0), 5.0, False, False, 18.0),
        (user_thread(interrupted=15.0), 5.0, False, True, 15.5),
    ],
)
def test_deadlines(
    user: UserThread, stopped: float | None, is_short: bool, is_over: bool, expected: float | None
) -> None:
    stopped_ns = None if stopped is None else ORIGIN + round(stopped * SECOND)
    deadlines = replace(PATIENCE, stopped_ns=stopped_ns, is_short=is_short, is_over=is_over)
    deadline = deadlines.deadline(user)
    assert (None if deadline is None else (deadline - ORIGIN) / SECOND) == expected


def test_before_the_load_nothing_presses() -> None:
    assert Deadlines(graceful_stop=30.0).deadline(user_thread()) is None
