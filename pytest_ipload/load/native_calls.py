"""Calls of a user that last long in code which is not Python, and can be ended from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytest_ipload.load.interruption import IterationInterrupted

_LINES_TO_ARRIVE = 100
"""See ``user_thread``: an exception that another thread raised arrives at the next turn of a loop."""
End = Callable[[], None]


class NativeCalls:
    """The native calls of one user. It makes them in its own thread; another one may interrupt them.

    An exception that is raised in a thread arrives at its next line of Python. In a native call that may be never; or
    it is in a function that the native code has called back, from which no exception can get out.
    """

    __slots__ = ("_end", "_is_raised", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: End | None = None
        self._is_raised = False

    @contextmanager
    def ended_by(self, end: End) -> Iterator[None]:
        """While this is entered, an interruption of the user calls ``end``, in its place and from another thread.

        The caller raises IterationInterrupted then, when the call has ended. Raised here, if it comes before.
        """
        try:
            self.close(end)
            if self._is_raised:
                raise IterationInterrupted
            yield
        finally:
            self.open()

    def open(self) -> End | None:
        """In a function that was called back: from now on, an interruption is an exception again.

        Returns what ``close`` takes.
        """
        with self._lock:
            end, self._end = self._end, None
        return end

    def close(self, end: End | None) -> None:
        """The function returns to the native code. An exception that was raised arrives here, if it has not yet."""
        with self._lock:
            self._end = end
            is_raised = self._is_raised
        if is_raised:
            for _ in range(_LINES_TO_ARRIVE):
                pass

    def interrupt(self, raise_in_thread: Callable[[], None]) -> None:
        """End the call that is being made; without one, raise an exception in the thread."""
        with self._lock:
            if self._end is None:
                self._is_raised = True
                raise_in_thread()
            else:
                self._end()

    def resume(self) -> None:
        """There may be calls again: in the teardown."""
        self._is_raised = False
