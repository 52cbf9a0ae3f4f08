"""One user's thread, and the state of its lifecycle as seen from outside."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Protocol

from pytest_ipload.base.code_location import place_of_frame
from pytest_ipload.base.errors import IploadError, SetUpTimeout, TearDownTimeout
from pytest_ipload.base.text import counted
from pytest_ipload.load.awaited_work import OwnThread
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.schedule import UserSlot
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.load.user_contexts import own_context
from pytest_ipload.stats.recorder import Recorder

if TYPE_CHECKING:
    from pytest_ipload.load.user_lifecycle import UserLifecycle


class Scenario(Protocol):
    """What a user does. All three are called in the user's thread."""

    def set_up(self) -> None:
        """Make everything that belongs to the user."""

    def iterate(self, iteration: Iteration) -> None:
        """Run the body once."""

    def tear_down(self) -> None:
        """Undo what ``set_up`` did, also when that failed half-way."""


_LAST_MOMENT = 5.0
"""Seconds that a thread may take from its last line to its end: far more than any needs."""
_LINES_TO_ARRIVE = 100
"""An exception that another thread raised arrives at the next turn of a loop; this many are more than enough."""
_MOST_LISTED = 5


class Phase(Enum):
    """Where a user is in its lifecycle."""

    SET_UP = "set-up"
    READY = "ready"
    ITERATIONS = "iterations"
    HELD = "wait for its teardown"
    TEAR_DOWN = "teardown"
    LEFT = "left"


@dataclass(slots=True)  # there are thousands
class UserThread:
    """A user of the load and its thread. The user's thread writes it, the executor's thread reads it."""

    slot: UserSlot
    user: VirtualUser
    recorder: Recorder
    phase: Phase = Phase.SET_UP
    scenario: Scenario | None = None
    thread: threading.Thread | None = None
    is_behind: bool = False
    """Whether its context is that of the set-up phase still, although the load may have begun."""
    is_admitted: bool | None = None
    """Whether it has the source addresses that its set-up needs; None if that was not requested yet."""
    set_up_since_ns: int | None = None
    ready_ns: int | None = None
    """When it was set up."""
    began_ns: int | None = None
    """When the iterations began."""
    iteration_since_ns: int | None = None
    """When the running iteration began, or the last one."""
    ended_ns: int | None = None
    """When the iterations ended."""
    is_lost: bool = False
    """Whether something that is not an iteration's failure ended the thread."""
    is_idle: bool = False
    """Whether the running round has no iterations for it."""
    first_number: int = 0
    """The number of its first iteration in the running round."""
    following: UserLifecycle | None = None
    """Of a user that is held: the round in which it goes on; None for its teardown."""
    left_ns: int | None = None
    teardown_since_ns: int | None = None
    interrupted_ns: int | None = None
    is_cancelled: bool = False
    """Whether the interruption so far is one of the user's coroutine, which may still end by that."""
    timed_out: SetUpTimeout | None = None
    """Why its set-up was interrupted, if it took too long."""
    setup_error: BaseException | None = None
    teardown_error: BaseException | None = None
    abandoned: bool = False
    is_exposed: bool = False
    """Whether its own code runs, which may be interrupted: see ``expose`` and ``cover``."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def go_on(self, slot: UserSlot, following: UserLifecycle, *, is_idle: bool) -> None:
        """Called in the executor's thread while the user is held: it takes part in another round of the load."""
        if self.iteration_since_ns is not None:
            self.first_number = self.user.iteration + 1
        with self._lock:
            self.slot, self.is_idle, self.phase, self.is_behind = slot, is_idle, Phase.READY, True
            self.began_ns = self.iteration_since_ns = self.ended_ns = self.interrupted_ns = None
            self.is_cancelled = False
            self.following = following

    def start(self, live: Callable[[UserThread], None]) -> None:
        """Start the thread. Raises RuntimeError when the system has no thread left."""
        # A daemon: a user who cannot be stopped must not keep the interpreter from ending.
        thread = OwnThread(
            target=own_context().run, args=(live, self), name=f"ipload-user-{self.slot.index}", daemon=True
        )
        thread.user = self.user
        self.thread = thread
        thread.start()

    @property
    def is_over(self) -> bool:
        """Whether the user has left or was abandoned."""
        return self.abandoned or self.phase is Phase.LEFT

    def interrupt(self, now_ns: int, patience_s: float = 0.0) -> None:
        """End what the user runs: a coroutine is cancelled, anything else ends as ``insist`` says.

        A coroutine gets ``patience_s`` to end by that.
        """
        with self._lock:
            self.interrupted_ns = now_ns
            self.is_cancelled = self.is_exposed and self.user.coroutines.cancel(patience_s)
        if not self.is_cancelled:
            self.insist()

    def insist(self) -> None:
        """Close the user's sockets and raise IterationInterrupted in its thread (at its next line of Python).

        After a cancellation this is for a loop that hangs in a blocking call.
        """
        with self._lock:
            if self.interrupted_ns is None:
                return  # the coroutine has ended, and the user is in its teardown now
            self.is_cancelled = False
            if self.is_exposed:
                self.user.native_calls.interrupt(partial(self._raise_in_thread, IterationInterrupted))
        self.user.interrupt()

    @property
    def in_body(self) -> bool:
        """Whether an iteration runs."""
        return self.is_exposed and self.phase is Phase.ITERATIONS

    def expose(self) -> None:
        """Called in the user's thread before its own code runs, which may be interrupted."""
        self.is_exposed = True

    def cover(self) -> None:
        """Called in the user's thread after its own code: ours, which follows, must not be interrupted.

        An interruption that was raised and did not arrive yet arrives here.
        """
        # An iteration sets ``is_exposed`` itself and calls this only if there is an interruption: there is no lock as
        # long as there is none. Both threads write an attribute of this object, then read the other's: here
        # ``is_exposed``, then ``interrupted_ns``, in ``interrupt`` the other way round. Python lets one write to an
        # object happen after the other (by the GIL, or by the object's own lock), so whoever comes second sees what
        # the first one wrote: either nothing is raised, or it is noticed here.
        try:
            self.is_exposed = False
            if self.interrupted_ns is not None:
                with self._lock:  # by now it has been raised, if it is raised at all
                    pass
                # It cannot be taken back: CPython would leave the flag behind that makes it look for the exception.
                for _ in range(_LINES_TO_ARRIVE):
                    pass
        except IterationInterrupted:
            self.is_exposed = False

    def tear_down(self, now_ns: int) -> None:
        """Called in the user's thread: undo its set-up. What that raises is kept as ``teardown_error``."""
        with self._lock:
            self.interrupted_ns = None  # that applied to what came before: the teardown has its own time
            self.is_cancelled = False
            self.phase = Phase.TEAR_DOWN
            self.teardown_since_ns = now_ns
        self.user.resume()
        try:
            try:
                self.expose()
                try:
                    if self.scenario is not None:
                        self._undo(self.scenario.tear_down)
                finally:
                    try:
                        self._undo(self.user.release_actions)
                    finally:
                        self._undo(self._close_loop)
            except BaseException as error:  # pytest's outcomes are not derived from Exception
                self._keep(error)
            self.cover()
        except IterationInterrupted as late:  # it arrived between two lines of ours, just after the teardown
            self._keep(late)
            self.cover()

    def _undo(self, step: Callable[[], None]) -> None:
        """Run a part of the teardown. What it raises is kept at once: a later part may hang until it is abandoned."""
        try:
            step()
        except BaseException as error:
            self._keep(error)
            raise

    def _keep(self, error: BaseException) -> None:
        """Keep what the teardown raised: the last exception of the user's own code, which has earlier ones as context.

        Ours, which are shown by their text alone, do not replace another.
        """
        if self.teardown_error is None or not isinstance(error, (IploadError, IterationInterrupted)):
            self.teardown_error = error

    def _close_loop(self) -> None:
        """Close the user's event loop. Raises TearDownTimeout if it had tasks that could not be ended."""
        if left := self.user.coroutines.close_loop():
            places = sorted(set(left))
            more = f", and {len(places) - _MOST_LISTED} more places" if len(places) > _MOST_LISTED else ""
            raise TearDownTimeout(
                f"user {self.slot.index} left {counted(len(left), 'task')} behind that did not end when cancelled "
                f"twice: {', '.join(places[:_MOST_LISTED])}{more}; do not swallow CancelledError there, or end the "
                "task in the body or in a fixture"
            )

    def give_up(self, *, at_any_rate: bool) -> bool:
        """Abandon this user. False if it is just coming back from its own code, or has left.

        ``at_any_rate`` is for a user that should have come back long ago.
        """
        with self._lock:  # in ``cover`` an interrupted user takes it too, and knows afterwards that it was abandoned
            if self.is_over or self.interrupted_ns is None or not (self.is_exposed or at_any_rate):
                return False
            self.abandoned = True
            return True

    def leave(self, now_ns: int) -> None:
        """The last thing that the user's thread does."""
        with self._lock:
            self.left_ns = now_ns
            self.phase = Phase.LEFT

    def end_thread(self) -> None:
        """Called in the executor's thread: the user has left, and so has its thread a moment later."""
        if self.thread is not None and not self.abandoned and self.phase is not Phase.HELD:
            self.thread.join(_LAST_MOMENT)

    def as_given_up(self) -> str:
        """A line about a user who did not stop."""
        return (
            f"user {self.slot.index} ({self.user.source_address or 'no lease'}) did not stop: its thread is still in "
            f"its {self.phase.value}, at {self.whereabouts()}"
        )

    def as_cut_short(self) -> str:
        """A line about a user whose teardown is interrupted."""
        source = self.user.source_address or "no lease"
        return f"the teardown of user {self.slot.index} ({source}) was interrupted, at {self.whereabouts()}"

    def whereabouts(self) -> str:
        """The line of user code that the thread is at, for a user that does not stop."""
        frame = None if self.thread is None else sys._current_frames().get(self.thread.ident or 0)
        in_loop = place_of_frame(frame, inside="pytest_ipload.load.user_loop")
        return in_loop or self.user.coroutines.place() or place_of_frame(frame) or "an unknown place"

    def _raise_in_thread(self, kind: type[BaseException]) -> None:
        """Schedule an exception in the thread, where the interpreter can do that.

        ``PyThreadState_SetAsyncExc`` is in CPython's documented C API. Where it cannot be used, closing the sockets
        has to be enough.
        """
        api = getattr(ctypes, "pythonapi", None)
        if api is None or _would_hang() or self.thread is None or self.thread.ident is None:
            return
        api.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident), ctypes.py_object(kind))


def _would_hang() -> bool:
    """Whether scheduling an exception in one thread would stop the others.

    In CPython 3.11 a traced thread (coverage, a debugger) that enters a function while an exception is scheduled in
    any thread tries to enter it again and again, until that one arrives: RESUME looks for it before it goes on.
    """
    is_traced = sys.gettrace() is not None or threading.gettrace() is not None
    return is_traced and sys.version_info[:2] == (3, 11)
