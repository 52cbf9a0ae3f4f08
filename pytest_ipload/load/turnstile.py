"""A gate at which thousands of threads may wait: when it opens, they go through one after the other."""

from __future__ import annotations

import threading


class Turnstile:
    """Like ``threading.Event``, which wakes all at once: each one lets the next through when it runs itself.

    Threads that wake up at the same time wait for the interpreter's lock, and keep waking up until they get it.
    """

    __slots__ = ("_is_open", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._is_open = False

    def is_set(self) -> bool:
        """Whether it is open."""
        return self._is_open

    def set(self) -> None:
        """Open it; for one thread, the executor's."""
        if not self._is_open:
            self._is_open = True
            self._lock.release()

    def wait(self) -> None:
        """Wait until it is open."""
        if not self._is_open:
            with self._lock:
                pass
