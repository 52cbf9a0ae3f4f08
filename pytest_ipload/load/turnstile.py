"""Where thousands of threads may wait: when it is over, they do not all go on at the same time.

Threads that wake up at the same time wait for the interpreter's lock, and keep waking up until they get it. So each one
lets the next go on when it runs itself.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import count

_LANES = 100
"""As many threads go on at the same time: those of usual loads all at once, as their bodies may be busy for long."""


class Turnstile:
    """A gate, like a ``threading.Event`` without a time limit."""

    __slots__ = ("_is_open", "_lanes", "_numbers")

    def __init__(self) -> None:
        self._lanes = tuple(threading.Lock() for _ in range(_LANES))
        for lane in self._lanes:
            lane.acquire()
        self._numbers = count()
        self._is_open = False

    def is_set(self) -> bool:
        """Whether it is open."""
        return self._is_open

    def set(self) -> None:
        """Open it; for one thread, the executor's."""
        if not self._is_open:
            self._is_open = True
            for lane in self._lanes:
                lane.release()

    def wait(self) -> None:
        """Wait until it is open."""
        if not self._is_open:
            with self._lanes[next(self._numbers) % _LANES]:
                pass


class Alarm:
    """Like ``threading.Event``, for many that wait for a time of their own: that time costs the same for any number.

    (Event keeps those that wait in a list, and looks through it for each whose time is over.)
    """

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: set[threading.Lock] = set()

    def is_set(self) -> bool:
        """Whether it has rung."""
        return self._is_set

    def set(self) -> None:
        """Wake all, now and later. For any thread."""
        self._is_set = True
        self._wake_one()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until it rings; whether it has rung."""
        if self._is_set:
            return True
        lock = threading.Lock()
        lock.acquire()
        self._waiting.add(lock)
        try:
            if seconds > 0 and not self._is_set:  # it may have rung before this one was among those that wait
                lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))
        finally:
            self._waiting.discard(lock)
            if self._is_set:
                self._wake_one()  # whoever was woken in the moment in which its time was over wakes the next one too
        return self._is_set

    def _wake_one(self) -> None:
        with suppress(KeyError):
            self._waiting.pop().release()
