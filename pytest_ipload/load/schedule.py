"""When users start and leave, and when their iterations are due. Pure functions: time goes in as a number.

All times are seconds since the start of the load.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_ipload.load.profile import LoadProfile, Span


@dataclass(frozen=True)
class UserSlot:
    """One user's time in the load."""

    index: int
    start: float
    stop: float | None
    """No iteration starts from here on; None where only iterations end the user's life."""


def user_slots(profile: LoadProfile) -> list[UserSlot]:
    """The slots of all users, in the order of their start.

    Users start evenly over ``ramp_up``, the first at once. All are there when ``duration`` begins. They leave evenly
    over ``ramp_down``, those who came first going first, the last at its very end.
    """
    users = profile.users
    slots = []
    for index in range(users):
        stop = None
        if profile.duration is not None:
            stop = profile.ramp_up + profile.duration + profile.ramp_down * (index + 1) / users
        slots.append(UserSlot(index, start=profile.ramp_up * index / users, stop=stop))
    return slots


def planned_end(profile: LoadProfile) -> float | None:
    """When the last user leaves by the clock; None where only iterations end the load."""
    return None if profile.duration is None else profile.ramp_up + profile.duration + profile.ramp_down


def draw(span: Span, fraction: float) -> float:
    """The value at ``fraction`` (0 to 1, usually random) of a span."""
    low, high = span
    return low + (high - low) * fraction


class Pacer:
    """The planned starts of one user's iterations.

    With pacing, the plan is a grid that does not wait for a slow target: each start is one cycle after the one
    *planned* before it, so an iteration that took too long makes its successors late, and their lateness is known
    (otherwise a stalled target would hide the requests that it kept from being sent: "coordinated omission", G. Tene).
    """

    def __init__(self, start: float, pacing: Span, think_time: Span) -> None:
        self._next = start
        self._pacing = pacing
        self._think_time = think_time

    def first(self) -> float:
        """When the first iteration is planned."""
        return self._next

    def following(self, now: float, cycle_fraction: float, think_fraction: float) -> tuple[float, float | None]:
        """After an iteration that ended at ``now``: when to start the next one, and when it was planned.

        The plan is None without pacing: nothing can be late then.
        """
        ready = now + draw(self._think_time, think_fraction)
        if self._pacing[1] <= 0:
            return ready, None
        self._next += draw(self._pacing, cycle_fraction)
        return max(ready, self._next), self._next
