"""When users start and leave, and when their iterations are due. Pure functions: time goes in as a number.

All times are seconds since the start of the load.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from pytest_ipload.load.profile import LoadProfile, Span

_STEP = 0.0005
"""Seconds between the first iterations of two users who start at once: a listen queue is emptied faster than that."""
_LONGEST_SPREAD = 1.0
"""Seconds over which the first iterations are spread at most, however many users there are."""
_MANY_ITERATIONS = 100
"""Iterations per user from which on it does not matter that some began before the others."""


@dataclass(frozen=True)
class UserSlot:
    """One user's time in the load."""

    index: int
    start: float
    first: float
    """When its first iteration is planned: at ``start`` or somewhat later, so that users do not move in step."""
    stop: float | None
    """No iteration starts from here on; None where only iterations end the user's life."""


def user_slots(profile: LoadProfile) -> list[UserSlot]:
    """The slots of all users, in the order of their start.

    Users start evenly over ``ramp_up``, the first at once. All are there when ``duration`` begins. They leave evenly
    over ``ramp_down``, those who came first going first, the last at its very end.

    A slot depends on the profile and the user's index only, so it is the same in each part of a divided load.
    """
    users = profile.users
    starts = [profile.ramp_up * index / users for index in range(users)]
    cycle = sum(profile.pacing) / 2
    firsts = _in_turn(starts, cycle) if cycle and profile.iterations_per_user != 1 else _one_by_one(starts, profile)
    slots = []
    for index, (start, first) in enumerate(zip(starts, firsts, strict=True)):
        stop = None
        if profile.duration is not None:
            stop = profile.ramp_up + profile.duration + profile.ramp_down * (index + 1) / users
        slots.append(UserSlot(index, start, first, stop))
    return slots


def _in_turn(starts: Sequence[float], cycle: float) -> list[float]:
    """First iterations of paced users: N users with a (mean) cycle P make one iteration each P/N, and no burst each P.

    The cycle has N evenly spaced phases, and each user takes the next one after its start that nobody has yet. So
    users who start at once, or during a ramp-up that is no longer than a cycle, have their first iteration at
    ``index * P / N``. In a longer ramp-up most wait for less than P/N; none waits for longer than P.
    """
    users = len(starts)
    free = list(range(users))
    firsts = []
    for start in starts:
        phase_number = ceil(start / cycle * users - 1e-9)  # counted from the start of the load; 1e-9 is for rounding
        place = bisect_left(free, phase_number % users) % len(free)
        phase_number += (free.pop(place) - phase_number) % users
        firsts.append(max(start, phase_number * cycle / users))
    return firsts


def _one_by_one(starts: Sequence[float], profile: LoadProfile) -> list[float]:
    """First iterations without a cycle: users who start at once connect one after the other, not all in one instant.

    The steps are small: 0.5 ms, less for more than 2000 users, and together no more than a tenth of the duration.
    There are none where few iterations are shared by all users: the first ones would take them from the others.
    """
    users, shared = len(starts), profile.total_iterations
    if shared is not None and shared < users * _MANY_ITERATIONS:
        return list(starts)
    spread = _LONGEST_SPREAD if profile.duration is None else min(_LONGEST_SPREAD, profile.duration / 10)
    step = min(_STEP, spread / users)
    return [max(start, index * step) for index, start in enumerate(starts)]


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

    def following(self, now: float, cycle_fraction: float, think_fraction: float) -> tuple[float, float | None]:
        """After an iteration that ended at ``now``: when to start the next one, and when it was planned.

        The plan is None without pacing: nothing can be late then.
        """
        ready = now + draw(self._think_time, think_fraction)
        if self._pacing[1] <= 0:
            return ready, None
        self._next += draw(self._pacing, cycle_fraction)
        return max(ready, self._next), self._next
