"""What a load that is over has made of its plan: iterations that never started, time in which users were missing.

Functions of what they are given; times in nanoseconds are of the executor's clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.partition import Partition
from pytest_ipload.load.schedule import UserSlot, arrivals_before
from pytest_ipload.load.user_thread import UserThread
from pytest_ipload.load.user_time import Presence, UserTime, user_time
from pytest_ipload.settings.load_profile import LoadProfile


def planned_and_dropped(profile: LoadProfile, share: Partition, until: float, started: int) -> tuple[int, int]:
    """How many iterations of the open model were due in this share of the load, and how many of them never started.

    ``until`` is when the load was over or stopped, in seconds after its start; ``started`` iterations ran.
    """
    planned = max(share.size_of(arrivals_before(profile, until)), started)
    return planned, planned - started


def time_of_users(
    profile: LoadProfile,
    slots: Sequence[UserSlot],
    user_threads: Sequence[UserThread],
    origin_ns: int,
    stopped_ns: int | None,
) -> UserTime:
    """The time in which users were running, compared with the plan; ``user_threads`` are those that were started."""

    def seconds(ns: int | None) -> float | None:
        return None if ns is None else (ns - origin_ns) / NS_PER_S

    ends = [seconds(stopped_ns)]
    if profile.total_iterations is not None:  # the first user who found none left was the first to leave
        ends += [seconds(user_thread.ended_ns) for user_thread in user_threads if not user_thread.is_lost]
    seat_of = {user_thread.slot.index: user_thread for user_thread in user_threads}
    limit = profile.iterations_per_user
    users = []
    for slot in slots:
        user_thread = seat_of.get(slot.index)
        if user_thread is None:
            users.append(Presence(slot, None))
        elif user_thread.setup_error is None:
            is_done = (
                limit is not None
                and user_thread.iteration_since_ns is not None
                and user_thread.user.iteration + 1 >= limit
            )
            ready, began, ended = map(seconds, (user_thread.ready_ns, user_thread.began_ns, user_thread.ended_ns))
            users.append(Presence(slot, ready, began, ended, is_done, user_thread.is_lost))
    until = min((end for end in ends if end is not None), default=None)
    return user_time(users, profile.warmup, until)
