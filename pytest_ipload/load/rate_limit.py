"""A cap on the requests per second of all users together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from math import floor, inf

from pytest_ipload.base import real_time
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.partition import WHOLE, Partition

_SLICE = 0.05
"""Seconds of a sleep at the most: an interruption of the user arrives between two of them."""


class _Turn:
    """A thread's place in the queue."""

    __slots__ = ("has_come", "is_given_up", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.has_come = False
        self.is_given_up = False


class RateLimit:
    """Lets each request go in a slot of its own, in the order in which they ask; safe to use from all threads.

    Slots are evenly spaced, and an unused one is lost: nothing is saved up, and after a stall (a thread that
    holds Python's lock, a busy processor) there is no burst. A slot is given away when its time has come, by whoever is
    awake then, and not before: so a request goes at most one slot late. The slots of several shares of one load lie
    between each other, so that their sum is evenly spaced too.
    """

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], int] = real_time.perf_counter_ns,
        sleep: Callable[[float], object] = time.sleep,
        share: Partition = WHOLE,
    ) -> None:
        """``per_second`` is that of the whole load, of which this is one ``share``."""
        self._gap_ns = NS_PER_S / (share.fraction * per_second)
        self._phase_ns = NS_PER_S * share.number(0) / per_second
        self._is_alone = share.fraction == 1
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._origin_ns = 0
        """Of the slots of all shares. The zero of the clock is the same for all processes of a host."""
        self._next_ns = -inf if self._is_alone else self._slot_after(clock())
        """When the next slot begins."""
        self._queue: deque[_Turn] = deque()
        self._asked = self._left = 0
        """How many have come to the queue, and have left it."""

    def begin_at(self, start_ns: int) -> None:
        """All shares of the load begin at this time of their clocks: count the slots from there."""
        with self._lock:
            self._origin_ns = start_ns
            self._next_ns = self._slot_after(self._clock())

    def wait(self) -> None:
        """Return when it is the calling thread's turn."""
        turn = self._queued()
        try:
            while (ahead_ns := self._until_turn(turn)) > 0:
                self._sleep(min(_SLICE, ahead_ns / NS_PER_S))
        finally:
            turn.is_given_up = not turn.has_come  # the thread was interrupted

    async def wait_async(self) -> None:
        """Return when it is the calling task's turn."""
        from asyncio import sleep  # slow to import; whoever calls this has done so

        turn = self._queued()
        try:
            while (ahead_ns := self._until_turn(turn)) > 0:
                await sleep(min(_SLICE, ahead_ns / NS_PER_S))
        finally:
            turn.is_given_up = not turn.has_come  # the task was cancelled

    def _queued(self) -> _Turn:
        """A new place at the end of the queue."""
        with self._lock:
            turn = _Turn(self._asked)
            self._asked += 1
            self._queue.append(turn)
        return turn

    def _until_turn(self, turn: _Turn) -> float:
        """Give the slot that is on to the first in the queue; nanoseconds until that of ``turn``, 0 if it has come."""
        with self._lock:
            now = self._clock()
            while self._queue and self._queue[0].is_given_up:
                self._leave_first()
            if now >= self._next_ns and self._queue:
                self._leave_first().has_come = True
                following = self._next_ns + self._gap_ns
                self._next_ns = following if following > now else self._slot_after(now)
            if turn.has_come:
                return 0.0
            return max(1.0, self._next_ns + (turn.number - self._left) * self._gap_ns - now)

    def _leave_first(self) -> _Turn:
        self._left += 1
        return self._queue.popleft()

    def _slot_after(self, now: int) -> float:
        """The first unused slot after the current one."""
        if self._is_alone:
            return now + self._gap_ns
        first_ns = self._origin_ns + self._phase_ns
        return first_ns + (floor((now - first_ns) / self._gap_ns) + 1) * self._gap_ns
