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
    profile: LoadProfile, slots: Sequence[UserSlot], seats: Sequence[UserThread], origin_ns: int, stopped_ns: int | None
) -> UserTime:
    """The time in which users were at work, compared with the plan; ``seats`` are those of the users that came."""

    def seconds(ns: int | None) -> float | None:
        return None if ns is None else (ns - origin_ns) / NS_PER_S

    ends = [seconds(stopped_ns)]
    if profile.total_iterations is not None:  # the first user who found none left was the first to leave
        ends += [seconds(seat.ended_ns) for seat in seats if not seat.is_lost]
    seat_of = {seat.slot.index: seat for seat in seats}
    limit = profile.iterations_per_user
    users = []
    for slot in slots:
        seat = seat_of.get(slot.index)
        if seat is None:
            users.append(Presence(slot, None))
        elif seat.setup_error is None:
            is_done = limit is not None and seat.iteration_since_ns is not None and seat.user.iteration + 1 >= limit
            users.append(Presence(slot, seconds(seat.ready_ns), seconds(seat.ended_ns), is_done, seat.is_lost))
    until = min((end for end in ends if end is not None), default=None)
    return user_time(users, profile.warmup, until)
