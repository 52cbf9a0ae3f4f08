"""When users start and leave, and when their iterations are due. Pure functions: time goes in as a number.

All times are seconds since the start of the load.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, islice, takewhile
from math import ceil
from random import Random

from pytest_ipload.load.partition import Partition
from pytest_ipload.settings.load_profile import LoadProfile, Span
from pytest_ipload.settings.stages import Stages

_STEP = 0.0005
"""Seconds between the first iterations of two users who start at once: a listen queue is emptied faster than that."""
_LONGEST_SPREAD = 1.0
"""Seconds over which the first iterations are spread at most, however many users there are."""
_MANY_ITERATIONS = 100
"""Iterations per user from which on it does not matter that some began before the others."""
_ROUNDING = 1e-9
"""Of users or arrivals: below it a difference is one of arithmetic."""


@dataclass(frozen=True, slots=True)
class UserSlot:
    """One user's time in the load."""

    index: int
    start: float
    first: float
    """When its first iteration is planned: at ``start`` or somewhat later, so that users do not move in step."""
    stop: float | None
    """No iteration starts from here on; None if only iterations end the user."""


def end_of(slots: Sequence[UserSlot]) -> float | None:
    """When the last of these users' time is over; None where only iterations end the load."""
    stops = [slot.stop for slot in slots]
    return None if None in stops else max((stop for stop in stops if stop is not None), default=0.0)


def user_slots(profile: LoadProfile) -> list[UserSlot]:
    """The slots of all users, in the order of their start.

    In the closed model users start evenly over ``ramp_up``, the first at once. All are there when ``duration`` begins.
    They leave evenly over ``ramp_down``, first in, first out, the last at its very end. With ``stages``
    there are ``ceil(u)`` users at each moment, where u is the level of the stages; first in, first out, and a user who
    has left does not come back: a user who comes later has the next index.

    In the open model these are the users who are there from the start; more come as they are needed.

    A slot depends on the profile and the user's index only, so it is the same in each part of a divided load.
    """
    starts, stops = _lifetimes(profile)
    cycle = sum(profile.pacing) / 2
    firsts = _in_turn(starts, cycle) if cycle and profile.iterations_per_user != 1 else _one_by_one(starts, profile)
    rows = zip(starts, firsts, stops, strict=True)
    return [UserSlot(index, start, first, stop) for index, (start, first, stop) in enumerate(rows)]


def slots_of(profile: LoadProfile, share: Partition) -> list[UserSlot]:
    """The slots of the users of one share of the load. In the open model each has at least one to begin with."""
    slots = list(share.of(user_slots(profile)))
    if profile.is_open and not slots and share.size_of(profile.most_users):
        slots.append(UserSlot(share.number(0), 0.0, 0.0, profile.ends_at))
    return slots


def _lifetimes(profile: LoadProfile) -> tuple[list[float], list[float | None]]:
    """When each user starts and stops."""
    users, end = profile.users, profile.ends_at
    if profile.is_open:
        return [0.0] * users, [end] * users
    if profile.stages is not None:
        return _lifetimes_in_stages(profile.stages)
    starts = [profile.ramp_up * index / users for index in range(users)]
    if profile.full_until is None:
        return starts, [None] * users
    return starts, [profile.full_until + profile.ramp_down * (index + 1) / users for index in range(users)]


def _lifetimes_in_stages(stages: Stages) -> tuple[list[float], list[float | None]]:
    """The starts and stops that make ``ceil(u)`` users at each moment, first come, first gone."""
    starts: list[float] = []
    stops: list[float | None] = []
    begin, level = 0.0, 0.0
    for seconds, target in stages.segments:
        before, after, rise = _users_at(level), _users_at(target), target - level
        starts += [begin + seconds * max(0.0, (number - level) / rise) for number in range(before, after)]
        stops += [begin + seconds * max(0.0, (number - level) / rise) for number in range(before - 1, after - 1, -1)]
        begin, level = begin + seconds, target
    return starts, [*stops, *[begin] * (len(starts) - len(stops))]


def _users_at(level: float) -> int:
    """How many users a level takes; scaled stages have targets that are whole numbers only up to rounding."""
    return ceil(level - _ROUNDING)


def arrival_times(profile: LoadProfile) -> Iterator[float]:
    """When the iterations of the open model are due, in ascending order; without end if only ``total_iterations`` is.

    With the rate r(t) and R(t) the integral of r from 0 to t, arrival k (from 0) is due when R(t) = k: at a constant
    rate each 1/r seconds. Poisson arrivals are due where R(t) is the sum of k + 1 exponential gaps of mean 1, which
    makes them a Poisson process of rate r(t) (time rescaling: E. Cinlar, Introduction to Stochastic Processes, 1975,
    section 4.7). They depend on the seed alone, so that each part of a divided load knows them all.
    """
    due = _times_of(_marks(profile), _rates(profile))
    return due if profile.total_iterations is None else islice(due, profile.total_iterations)


def arrivals_before(profile: LoadProfile, until: float) -> int:
    """How many iterations of the open model are due before ``until``."""
    if profile.arrivals != "constant":
        return sum(1 for _ in takewhile(until.__gt__, arrival_times(profile)))
    done = begin = 0.0
    for seconds, first, last in _rates(profile):
        part = min(seconds, until - begin)
        if part > 0:
            reached = last if seconds == math.inf else first + (last - first) * part / seconds
            done += part * (first + reached) / 2
        begin += seconds
    total = max(ceil(done - _ROUNDING), 1 if done > 0 else 0)  # the first one is due at once
    return total if profile.total_iterations is None else min(total, profile.total_iterations)


def rates_end(profile: LoadProfile) -> float | None:
    """Until when rates are counted, by the plan; None where only iterations end the load.

    Where ``total_iterations`` end the open model before its time, that is when the next one would have been due (of a
    Poisson process, in the mean): two arrivals at 0.5/s take four seconds, though the second one is due after two.
    """
    ends_at = profile.ends_at
    if not profile.is_open or profile.total_iterations is None:
        return ends_at
    return next(_times_of(iter([float(profile.total_iterations)]), _rates(profile)), ends_at)


def _marks(profile: LoadProfile) -> Iterator[float]:
    """The integral of the rate at each arrival."""
    if profile.arrivals == "constant":
        return map(float, count())
    random = Random(f"{profile.seed}:arrivals")
    return accumulate(random.expovariate(1.0) for _ in count())


def _rates(profile: LoadProfile) -> Iterator[tuple[float, float, float]]:
    """Seconds, first and last rate of each linear segment."""
    if profile.stages is not None:
        level = 0.0
        for seconds, target in profile.stages.segments:
            yield seconds, level, target
            level = target
        return
    rate = profile.arrival_rate or 0.0
    yield profile.ramp_up, 0.0, rate
    yield math.inf if profile.duration is None else profile.duration, rate, rate
    yield profile.ramp_down, rate, 0.0


def _times_of(marks: Iterator[float], segments: Iterator[tuple[float, float, float]]) -> Iterator[float]:
    """When the integral of a rate that is linear in each segment reaches each of the marks."""
    begin = done = 0.0
    mark = next(marks)
    for seconds, first, last in segments:
        if not seconds:
            continue
        slope = (last - first) / seconds
        area = seconds * (first + last) / 2
        while (rest := mark - done) < area - _ROUNDING:
            # The positive root of slope / 2 * t * t + first * t = rest, in the form that does not cancel.
            yield begin + (
                2 * rest / (first + math.sqrt(max(0.0, first * first + 2 * slope * rest))) if rest > 0 else 0.0
            )
            mark = next(marks)
        begin, done = begin + seconds, done + area


def _in_turn(starts: Sequence[float], cycle: float) -> list[float]:
    """First iterations of paced users: N users with a (mean) cycle P make one iteration each P/N, and no burst each P.

    The cycle has N evenly spaced phases, and each user takes the next free one after its start. So
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

    The steps are small: 0.5 ms, less for more than 2000 users, and together no more than a tenth of the load.
    There are none where few iterations are shared by all users: the first ones would take them from the others.
    """
    users, shared = len(starts), profile.total_iterations
    if shared is not None and shared < users * _MANY_ITERATIONS:
        return list(starts)
    spread = _LONGEST_SPREAD if profile.ends_at is None else min(_LONGEST_SPREAD, profile.ends_at / 10)
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
