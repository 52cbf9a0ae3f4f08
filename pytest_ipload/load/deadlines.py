"""How long users may take to finish, once they are asked to leave. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.set_up import SetUpLimit
from pytest_ipload.load.user_thread import Phase, UserThread

_HURRY = 0.3
"""Seconds that iterations get to end by themselves when the load is aborted (Ctrl-C); teardowns at the second."""
_INTERRUPT_WAIT, _HURRIED_WAIT = 3.0, 0.5
"""Seconds that an interrupted user gets before it is abandoned; the second value applies in a hurry."""
_CANCEL_WAIT, _HURRIED_CANCEL_WAIT = 2.0, 0.2
"""Seconds of these that the user's event loop gets to end a coroutine, before its thread is interrupted."""
_PATIENCE = 0.4
"""The share of these seconds that a cancelled coroutine gets to end by itself."""
_ABORT_GRACE = 1.0
"""Maximum seconds for running iterations when a threshold has aborted the load."""


@dataclass
class Deadlines:
    """When the executor interrupts or abandons its users. Times are nanoseconds of its clock."""

    graceful_stop: float
    """Seconds for a running iteration to finish, and for a whole teardown."""
    set_up_limit: SetUpLimit | None = None
    origin_ns: int = 0
    """When the load began; 0 before."""
    stopped_ns: int | None = None
    """When all were asked to leave."""
    is_short: bool = False
    """Whether a threshold has aborted the load."""
    is_over: bool = False
    """Whether the load is aborted: iterations are interrupted at once, teardowns still get their time."""
    hurried_ns: int | None = None
    """When it was aborted again (the second Ctrl-C): teardowns are interrupted, too."""

    @property
    def idle_s(self) -> float:
        """Seconds in which no request of a set-up may end."""
        return inf if self.set_up_limit is None else self.set_up_limit.idle_s

    def hurry(self, now_ns: int) -> None:
        """Ctrl-C was pressed."""
        if self.is_over:
            self.hurried_ns = self.hurried_ns or now_ns
        self.is_over = True

    def deadline(self, user_thread: UserThread) -> int | None:
        """When this user must have finished its phase, as things stand; None if there is no deadline."""
        if user_thread.teardown_since_ns is not None:
            return self._of_tear_down(user_thread, user_thread.teardown_since_ns)
        if user_thread.interrupted_ns is not None:
            return user_thread.interrupted_ns + _wait(user_thread, is_hurried=self.is_over)
        grace = _ns(_HURRY if self.is_over else self.graceful_stop)
        if self.is_short:
            grace = min(grace, _ns(_ABORT_GRACE))
        deadlines = [] if self.stopped_ns is None else [self.stopped_ns + grace]
        if user_thread.slot.stop is not None and self.origin_ns:
            deadlines.append(self.origin_ns + _ns(user_thread.slot.stop) + grace)
        if (
            self.set_up_limit is not None
            and user_thread.phase is Phase.SET_UP
            and user_thread.set_up_since_ns is not None
        ):
            since_ns, user = user_thread.set_up_since_ns, user_thread.user
            deadlines.append(self.set_up_limit.deadline_ns(since_ns, user.stirred_ns, awaits_work=user.awaits_work))
        return min(deadlines, default=None)

    def patience_s(self, user_thread: UserThread) -> float:
        """How long a coroutine that is cancelled now gets to end by itself."""
        is_hurried = self.is_over if user_thread.teardown_since_ns is None else self.hurried_ns is not None
        return _PATIENCE * (_HURRIED_CANCEL_WAIT if is_hurried else _CANCEL_WAIT)

    def _of_tear_down(self, user_thread: UserThread, since_ns: int) -> int:
        if user_thread.interrupted_ns is not None:
            return user_thread.interrupted_ns + _wait(user_thread, is_hurried=self.hurried_ns is not None)
        if self.hurried_ns is not None:
            return max(since_ns, self.hurried_ns) + _ns(_HURRY)
        if self.is_over and self.stopped_ns is not None:
            since_ns = max(since_ns, self.stopped_ns)
        return since_ns + _ns(self.graceful_stop)


def _wait(user_thread: UserThread, *, is_hurried: bool) -> int:
    """How long an interrupted user is waited for."""
    if user_thread.is_cancelled:
        return _ns(_HURRIED_CANCEL_WAIT if is_hurried else _CANCEL_WAIT)
    return _ns(_HURRIED_WAIT if is_hurried else _INTERRUPT_WAIT)


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
