from __future__ import annotations

import pytest
from support.samples import ORIGIN, SECOND

from pytest_ipload.load.accounting import planned_and_dropped, time_of_users
from pytest_ipload.load.partition import WHOLE, Partition
from pytest_ipload.load.schedule import user_slots
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_thread import UserThread
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.recorder import Recorder


@pytest.mark.parametrize(
    ("share", "until", "started", "expected"),
    [
        (WHOLE, 2.0, 15, (20, 5)),
        (WHOLE, 2.0, 21, (21, 0)),  # one that started just before the load was stopped
        (Partition(1, 2), 2.0, 10, (10, 0)),
    ],
)
def test_what_was_due_and_did_not_start_is_dropped(
    share: Partition, until: float, started: int, expected: tuple[int, int]
) -> None:
    profile = LoadProfile(users=4, arrival_rate=10.0, arrivals="constant", duration=5.0)
    assert planned_and_dropped(profile, share, until, started) == expected


def test_users_that_did_not_come_or_came_late_are_missing_of_the_planned_time() -> None:
    profile = LoadProfile(users=3, duration=10.0)
    slots = user_slots(profile)
    user_threads = [
        UserThread(slot, VirtualUser(slot.index, seed=0, source_addresses=(), record=print), Recorder())
        for slot in slots[:2]
    ]
    for user_thread, ready_s in zip(user_threads, (0, 4), strict=True):
        user_thread.ready_ns = user_thread.began_ns = ORIGIN + ready_s * SECOND
        user_thread.ended_ns = ORIGIN + 10 * SECOND
    time = time_of_users(profile, slots, user_threads, ORIGIN, ORIGIN + 10 * SECOND)
    assert (time.planned_ns, time.missing_ns) == (30 * SECOND, 14 * SECOND)
    assert (time.late_users, time.absent_users) == (1, 1)
