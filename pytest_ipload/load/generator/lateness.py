"""When iterations would have started if the generator were never late: any later start is the generator's fault."""

from __future__ import annotations

import threading
from heapq import heappop, heappush


class PunctualUsers:
    """Users of an open model that all exist from the start and never wake up late.

    Each iteration that really starts is given to one of them, in the moment in which it is due and one of them is free.
    It takes as long as it really did. So they are late only if all of them are busy: because the target is slow, or the
    body, or because there are too few of them. Safe to use from all threads; times are nanoseconds of one clock.
    """

    def __init__(self, users: int) -> None:
        self._lock = threading.Lock()
        self._idle = users
        """Users that are free."""
        self._free_at: list[int] = []
        """When those are free whose iterations have ended in reality; a heap. The others are still busy."""

    def start(self, planned_ns: int) -> int:
        """An iteration that was planned for then really starts now; returns when one of these users started it."""
        with self._lock:
            while self._free_at and self._free_at[0] <= planned_ns:
                heappop(self._free_at)
                self._idle += 1
            if self._idle:
                self._idle -= 1
                return planned_ns
            return heappop(self._free_at) if self._free_at else planned_ns

    def end(self, ended_ns: int) -> None:
        """An iteration has really ended; that of one of these users had ended then."""
        with self._lock:
            heappush(self._free_at, ended_ns)
