"""How much of the planned time users were running. Pure: times are seconds since the start of the load."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.schedule import UserSlot

LATE_START_S = 0.05
"""A user that begins to iterate later than this after its time is late."""
_BRIEF_WAIT_S = 1.0
"""Users that are ready but begin within this time after their start took turns on a busy generator: none is missing."""


@dataclass(frozen=True)
class UserTime:
    """User-seconds of the judged part of a load, in nanoseconds, and the users that they are missing of."""

    planned_ns: int = 0
    missing_ns: int = 0
    late_users: int = 0
    """Users that began to iterate too late."""
    absent_users: int = 0
    """Users that never came to iterate."""

    def __post_init__(self) -> None:
        """ValueError for times that contradict each other: they may come from a file."""
        if not 0 <= self.missing_ns <= self.planned_ns or self.late_users < 0 or self.absent_users < 0:
            raise ValueError("user time: expected numbers of 0 or more, and at most as much missing time as planned")

    def __add__(self, other: UserTime) -> UserTime:
        return UserTime(
            self.planned_ns + other.planned_ns,
            self.missing_ns + other.missing_ns,
            self.late_users + other.late_users,
            self.absent_users + other.absent_users,
        )

    @property
    def missing_share(self) -> float:
        """The share of the planned time in which users were missing."""
        return self.missing_ns / self.planned_ns if self.planned_ns else 0.0


@dataclass(frozen=True)
class Presence:
    """One planned user: its slot, and what became of it."""

    slot: UserSlot
    ready: float | None
    """When it was set up; None if it never was."""
    began: float | None = None
    """When it began to iterate; None if it never did."""
    ended: float | None = None
    """When its iterations ended; None if it made none."""
    is_done: bool = False
    """Whether it ended because all its own iterations were done."""
    is_lost: bool = False
    """Whether its thread ended before its time."""


def user_time(users: Iterable[Presence], judged_from: float, until: float | None) -> UserTime:
    """The planned and the missing time of users.

    ``until`` is when the load as a whole came to its end by what it was to do (its shared iterations were made, or it
    was stopped); None where each user's own time is its end. Users without an end of either kind, those that only
    their own iterations end, have no planned time.
    """
    whole = UserTime()
    for user in users:
        ends = [end for end in (user.slot.stop, until) if end is not None]
        if user.is_done and user.ended is not None:
            ends.append(user.ended)
        if ends:
            whole += _of_user(user, max(user.slot.start, judged_from), min(ends))
    return whole


def _of_user(user: Presence, begin: float, end: float) -> UserTime:
    planned = max(0.0, end - begin)
    if not planned:
        return UserTime()
    came = _came(user, end)
    late = max(0.0, min(end, came) - begin) if came - user.slot.start > LATE_START_S else 0.0
    if user.is_done:  # whenever it came, it made all its iterations
        return UserTime(_ns(planned - late))
    lost = end - max(begin + late, min(end, user.ended or 0.0)) if user.is_lost else 0.0
    missing = min(planned, late + lost)
    return UserTime(_ns(planned), _ns(missing), late_users=int(0 < late < planned), absent_users=int(late >= planned))


def _came(user: Presence, end: float) -> float:
    """When the user was there: set up, and not kept from its iterations for long; infinity if it never was."""
    if user.ready is None:
        return inf
    waited = (end if user.began is None else user.began) - max(user.ready, user.slot.start)
    if waited <= _BRIEF_WAIT_S:
        return user.ready
    return inf if user.began is None else user.began


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
