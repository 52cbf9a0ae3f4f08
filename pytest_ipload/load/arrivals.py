"""The open model: iterations that are due by the clock, and the users that run them.

There is no dispatcher. Each free user takes the next iteration that is due, in the future or in the past, and
waits for its time itself: so a late one is run as soon as a user is free, none is lost, and a start needs no
second thread to be on time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class ArrivalQueue:
    """The planned starts of a load's iterations; safe to use from all threads. Times are seconds after its start."""

    def __init__(self, due: Iterator[float], end: float | None, on_dry: Callable[[], None]) -> None:
        """``due`` ascends; nothing is taken from ``end`` on. ``on_dry`` is called, in the thread of a user, when the
        last free user becomes busy: another user is needed.
        """
        self._due = due
        self._end = end
        self._on_dry = on_dry
        self._ahead: deque[float] = deque()
        self._lock = threading.Lock()
        self._waiting = 0
        self.started = 0
        """Iterations that were started."""

    def take(self, now: float) -> float | None:
        """The next iteration's planned start, which may be over; None if there is none."""
        if self._end is not None and now >= self._end:
            return None
        with self._lock:
            return self._ahead.popleft() if self._ahead else next(self._due, None)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the time in which a user waits for the start that it took."""
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                is_dry = not self._waiting
            if is_dry:
                self._on_dry()

    def start(self) -> None:
        """What was taken is started now."""
        with self._lock:
            self.started += 1

    @property
    def is_dry(self) -> bool:
        """Whether no user is free."""
        return not self._waiting

    def overdue(self, now: float, limit: int) -> int:
        """How many iterations are due by now and not taken; at most ``limit`` are counted."""
        with self._lock:
            while len(self._ahead) <= limit and (not self._ahead or self._ahead[-1] <= now):
                due = next(self._due, None)
                if due is None:
                    break
                self._ahead.append(due)
            return min(limit, sum(1 for due in self._ahead if due <= now))

    def users_wanted(self, now: float, room: int, coming: int) -> int:
        """How many more users are needed: one for each waiting iteration, plus a spare one when no user is free.

        There are no more than ``room``; ``coming`` are being set up already.
        """
        if self._end is not None and now >= self._end:
            return 0
        wanted = self.overdue(now, room + coming) - coming
        if self.is_dry and not coming and self._ahead:
            wanted = max(1, wanted)
        return max(0, min(wanted, room))
