"""A cap on the requests per second of all users together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_SECOND = 1_000_000_000
_SLICE = 0.05
"""Seconds of a sleep at the most: an interruption of the user arrives between two of them."""


class RateLimit:
    """Gives each request its turn, evenly spaced, in the order in which they ask; safe to use from all threads.

    A token bucket that holds one token: what was not used is not saved up, so no second has more than its share.
    """

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], int] = time.perf_counter_ns,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._gap_ns = _SECOND / per_second
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_ns = 0.0

    def wait(self) -> None:
        """Return when it is the calling thread's turn."""
        now = self._clock()
        with self._lock:
            turn_ns = max(float(now), self._next_ns)
            self._next_ns = turn_ns + self._gap_ns
        while (remaining := turn_ns - now) > 0:
            self._sleep(min(_SLICE, remaining / _SECOND))
            now = self._clock()
