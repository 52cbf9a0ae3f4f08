"""Runs virtual users on threads, by a plan, and gathers what they measured.

The executor knows nothing of pytest or HTTP, and nothing of other processes: it is given the slots of *its* users and
a ``Crew`` that knows how to make users and their lives. It is used in three calls, from one thread::

    executor.set_up()   # the users that start at once are set up; raises what went wrong
    executor.run()      # the load; returns when the last user left
    executor.close()    # always: ends whatever still runs
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pytest_ipload.errors import GeneratorLimitError
from pytest_ipload.load.failures import FailureLog
from pytest_ipload.load.iterations import Budget, UserRun
from pytest_ipload.load.profile import LoadProfile
from pytest_ipload.load.schedule import UserSlot
from pytest_ipload.load.seat import IterationInterrupted, Life, Phase, Seat
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.stats.sample import Sample

_SECOND = 1_000_000_000
_TICK = 1.0
"""Seconds between two foldings of the samples into histograms."""
_HURRY = 0.3
"""Seconds that users get to leave by themselves when the load is broken off (Ctrl-C)."""
_INTERRUPT_WAIT, _HURRIED_WAIT = 3.0, 0.5
"""Seconds that an interrupted user gets before it is given up; the second when the load is broken off."""
_LATE_START = 0.05
"""A user that begins later than this many seconds after its planned start counts as a late start."""


class Crew(Protocol):
    """What the executor asks of those who started the load."""

    def make_user(self, index: int, record: Callable[[Sample], None]) -> VirtualUser:
        """A user, whose samples go to ``record``. Called in the executor's thread."""

    def admit(self, user: VirtualUser, *, block: bool) -> bool:
        """Give the user what it needs before its set-up: source addresses. Called in the user's thread.

        Without ``block``, False means that the user has to wait; it is asked again, with ``block``, when the load
        has begun. Raises what makes the user's set-up fail.
        """

    def make_life(self, user: VirtualUser) -> Life:
        """What the user does. Called in the user's thread."""

    def user_left(self, user: VirtualUser) -> None:
        """Take back what ``admit`` gave. Called in the user's thread."""

    def stopping(self) -> None:
        """The load is over: who waits in ``admit`` has to come back, with an exception."""

    def ends_load(self, error: BaseException, number: int, untried: bool) -> bool:
        """Whether a body's exception is not a failed iteration but the end of the load (a skip, an exit).

        It is then raised from ``Executor.run``. ``number`` is that of the user's iteration; ``untried`` says that no
        iteration of the load has completed yet.
        """


class UserSetUpError(Exception):
    """A user's set-up failed; the cause is the user's own exception."""

    def __init__(self, user: VirtualUser, failed: int) -> None:
        super().__init__(f"set-up of user {user.index} failed")
        self.user = user
        self.failed = failed
        """How many users failed in their set-up until the load was stopped."""


@dataclass
class LoadRecord:
    """What is known of a load besides its samples."""

    users_started: int = 0
    late_starts: int = 0
    interrupted: int = 0
    """Iterations that outlived the graceful stop."""
    abandoned: list[str] = field(default_factory=list)
    """One line for each user that could not be stopped."""
    teardown_errors: list[tuple[VirtualUser, BaseException]] = field(default_factory=list)
    shortage: str | None = None
    """Why not all users could be started."""
    origin_ns: int = 0
    ended_ns: int = 0
    cpu_seconds: float = 0.0
    lifetimes: list[tuple[int, int]] = field(default_factory=list)
    """When each user's iterations began and ended, in nanoseconds of the executor's clock."""


class Executor:
    """Runs one process's users of a load."""

    def __init__(
        self,
        profile: LoadProfile,
        slots: Sequence[UserSlot],
        crew: Crew,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._profile = profile
        self._pending = sorted(slots, key=lambda slot: slot.start)
        self._planned_users = len(slots)
        stops = [slot.stop for slot in slots]
        self._end = None if None in stops else max((stop for stop in stops if stop is not None), default=0.0)
        """When the last user's time is over; None where only iterations end the load."""
        self._crew = crew
        self._clock = clock
        self._seats: list[Seat] = []
        self._changed = threading.Condition()
        self._gate = threading.Event()
        self._stop = threading.Event()
        self._stopped_ns: int | None = None
        self._hurry = False
        self._last_tick = 0
        self.failures = FailureLog()
        self.record = LoadRecord()
        self.measurements = Measurements(origin_ns=0, judged_from_ns=0, planned=profile.planned)
        self._run_of_users = UserRun(
            profile, self.failures, Budget(profile.total_iterations), self._stop, clock, crew.ends_load
        )

    # -- the three calls ----------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Start the users that are there from the beginning, and wait until each is set up.

        Raises UserSetUpError from the first user's exception, after all others were torn down; GeneratorLimitError
        when the system has no thread left.
        """
        self._start_due(0.0)
        if self.record.shortage is not None:
            self.close()
            raise GeneratorLimitError(self.record.shortage)
        with self._changed:
            self._changed.wait_for(self._is_set_up)
        self._raise_setup_error()

    def run(self) -> None:
        """Run the load until the last user left.

        Raises UserSetUpError if a user of the ramp-up could not be set up, what a body raised to end the load, and
        whatever is raised in the calling thread meanwhile (KeyboardInterrupt); the measurements are there all the same.
        """
        gc.collect()
        gc.freeze()  # what exists before the load need not be looked at again by each collection during it
        cpu_started = time.process_time()
        try:
            self._open_gate()
            while self._pending or not all(seat.is_over for seat in self._seats):
                self._turn()
        finally:
            self.close()
            gc.unfreeze()
            self.record.cpu_seconds = time.process_time() - cpu_started
        if self._run_of_users.ended_by is not None:
            raise self._run_of_users.ended_by
        self._raise_setup_error()

    def stop(self) -> None:
        """No iteration starts from now on; running ones may finish within the graceful stop."""
        if self._stopped_ns is None:
            self._stopped_ns = self._clock()
        self._pending = []
        self._stop.set()
        self._crew.stopping()

    def close(self, *, hurry: bool = True) -> None:
        """End whatever still runs, at once; after it, no user thread is left but those given up (and named).

        Without ``hurry`` each user gets the graceful stop first.
        """
        self.stop()
        self._hurry = hurry
        self._gate.set()
        while not all(seat.is_over for seat in self._seats):
            self._turn()
        self._collect()
        if not self.record.ended_ns:
            self.record.ended_ns = self._clock()

    # -- one turn of the loop -----------------------------------------------------------------------------------

    def _open_gate(self) -> None:
        origin = self._clock()
        self.record.origin_ns = origin
        judged_from = origin + round(self._profile.warmup * _SECOND)
        self.measurements = Measurements(origin_ns=origin, judged_from_ns=judged_from, planned=self._profile.planned)
        self._run_of_users.origin_ns = origin
        self._last_tick = origin
        self._gate.set()

    def _turn(self) -> None:
        """Start who is due, fold what was measured, interrupt who is overdue; then wait for the next thing."""
        now = self._clock()
        if self._run_of_users.ended_by is not None:
            self.stop()
            self._hurry = True  # nobody will judge what the others are doing
        elif any(seat.setup_error for seat in self._seats):
            self.stop()
        elif self._end is not None and self._elapsed() >= self._end:
            self._crew.stopping()
        if self._pending:
            self._start_due(self._elapsed())
        if now - self._last_tick >= _TICK * _SECOND and self.record.origin_ns:
            self._collect()
            self._last_tick = now
        wake_ns = self._enforce_deadlines(now)
        if self._pending:
            wake_ns = min(wake_ns, self.record.origin_ns + round(self._pending[0].start * _SECOND))
        if self._end is not None and self._elapsed() < self._end:
            wake_ns = min(wake_ns, self.record.origin_ns + round(self._end * _SECOND))
        with self._changed:
            # A user may have failed since the look at the top of this turn; nobody would wake us for it.
            unnoticed = any(seat.setup_error for seat in self._seats) and not self._stop.is_set()
            if not unnoticed and (self._pending or not all(seat.is_over for seat in self._seats)):
                self._changed.wait(max(0.0, min(_TICK, (wake_ns - self._clock()) / _SECOND)))

    def _start_due(self, elapsed: float) -> None:
        while self._pending and self._pending[0].start <= elapsed:
            slot = self._pending.pop(0)
            recorder = Recorder()
            seat = Seat(slot, self._crew.make_user(slot.index, recorder.record), recorder)
            self._seats.append(seat)  # first: an interrupt (Ctrl-C) in start() must not lose a user whose thread runs
            try:
                seat.start(self._live)
            except RuntimeError as error:
                self._seats.pop()
                self.record.shortage = (
                    f"only {len(self._seats)} of {self._planned_users} users could be started: {error}; "
                    "raise the limit of threads (ulimit -u, or the container's pids limit) or use fewer users"
                )
                self.stop()
                return
            self.record.users_started += 1
            if elapsed - slot.start > _LATE_START:
                self.record.late_starts += 1

    def _enforce_deadlines(self, now: int) -> int:
        """Interrupt users who are overdue, give up those whom that did not stop; returns the next deadline."""
        next_ns = now + round(_TICK * _SECOND)
        for seat in self._seats:
            if seat.is_over:
                continue
            deadline = self._deadline(seat)
            if deadline is None:
                continue
            if deadline > now:
                next_ns = min(next_ns, deadline)
            elif seat.interrupted_ns is None:
                self.record.interrupted += seat.in_body
                seat.interrupt(now)
                next_ns = min(next_ns, self._deadline(seat) or next_ns)
            else:
                self._abandon(seat)
        return next_ns

    def _deadline(self, seat: Seat) -> int | None:
        """When this user must have got on, as things stand; None where nothing presses."""
        if seat.interrupted_ns is not None:
            return seat.interrupted_ns + round((_HURRIED_WAIT if self._hurry else _INTERRUPT_WAIT) * _SECOND)
        grace = round((_HURRY if self._hurry else self._profile.graceful_stop) * _SECOND)
        if seat.teardown_since_ns is not None:
            since = seat.teardown_since_ns
            return (max(since, self._stopped_ns) if self._hurry and self._stopped_ns else since) + grace
        asked = [] if self._stopped_ns is None else [self._stopped_ns]
        if seat.slot.stop is not None and self.record.origin_ns:
            asked.append(self.record.origin_ns + round(seat.slot.stop * _SECOND))
        return min(asked) + grace if asked else None

    def _abandon(self, seat: Seat) -> None:
        seat.abandoned = True
        self.record.abandoned.append(
            f"user {seat.slot.index} ({seat.user.source_address or 'no lease'}) did not stop: its thread is still in "
            f"its {seat.phase.value}, at {seat.whereabouts()}"
        )

    # -- set-up, samples ----------------------------------------------------------------------------------------

    def _is_set_up(self) -> bool:
        return any(seat.setup_error for seat in self._seats) or all(
            seat.phase is not Phase.SET_UP for seat in self._seats
        )

    def _raise_setup_error(self) -> None:
        failed = [seat for seat in self._seats if seat.setup_error is not None]
        if failed:
            self.close(hurry=False)
            failed = [seat for seat in self._seats if seat.setup_error is not None]
            # Those who were interrupted because another one failed come last and do not count.
            failed.sort(key=lambda seat: seat.interrupted_ns is not None)
            count = sum(1 for seat in failed if seat.interrupted_ns is None) or 1
            raise UserSetUpError(failed[0].user, count) from failed[0].setup_error

    def _collect(self) -> None:
        for seat in self._seats:
            samples = seat.recorder.drain()
            if samples:
                self.measurements.add(samples)

    # -- in the users' threads ----------------------------------------------------------------------------------

    def _live(self, seat: Seat) -> None:
        """A user's whole life, in its own thread."""
        try:
            life = self._set_up_user(seat)
            if life is not None and self._gate.wait() and not self._stop.is_set():
                seat.phase = Phase.ITERATIONS
                seat.began_ns = self._clock()
                self._run_of_users.iterate(seat, life)
        except IterationInterrupted:
            pass  # it arrived between two lines of ours, just after the set-up: the user leaves
        finally:
            self._tear_down_user(seat)

    def _set_up_user(self, seat: Seat) -> Life | None:
        """The user's life, set up; None if that failed."""
        try:
            if not self._crew.admit(seat.user, block=False):
                self._set_phase(seat, Phase.READY)  # the others shall not wait for this one
                self._gate.wait()
                self._crew.admit(seat.user, block=True)
                seat.phase = Phase.SET_UP
            seat.life = self._crew.make_life(seat.user)
            seat.expose()
            seat.life.set_up()
        except BaseException as error:  # pytest's outcomes are no Exceptions
            if seat.life is not None or not self._is_past_its_time(seat):
                seat.setup_error = error
            return None
        finally:
            seat.cover()
            self._set_phase(seat, Phase.READY)
        return seat.life

    def _is_past_its_time(self, seat: Seat) -> bool:
        """Whether the load, or this user's part of it, is over."""
        stop = seat.slot.stop
        return self._stop.is_set() or (stop is not None and self._elapsed() >= stop)

    def _elapsed(self) -> float:
        """Seconds since the start of the load."""
        return (self._clock() - self.record.origin_ns) / _SECOND

    def _set_phase(self, seat: Seat, phase: Phase) -> None:
        with self._changed:
            seat.phase = phase
            self._changed.notify_all()

    def _tear_down_user(self, seat: Seat) -> None:
        ended = self._clock()
        seat.phase = Phase.TEAR_DOWN
        seat.teardown_since_ns = ended
        try:
            try:
                seat.expose()
                if seat.life is not None:
                    seat.life.tear_down()
            except BaseException as error:
                seat.teardown_error = error
            seat.cover()
        except IterationInterrupted as late:  # it arrived between two lines of ours, just after the tear-down
            seat.teardown_error = seat.teardown_error or late
            seat.cover()
        try:
            seat.user.close()
            self._crew.user_left(seat.user)
        except Exception as error:
            seat.teardown_error = seat.teardown_error or error
        seat.recorder.flush()
        with self._changed:
            if seat.began_ns is not None:
                self.record.lifetimes.append((seat.began_ns, ended))
            if seat.teardown_error is not None:
                self.record.teardown_errors.append((seat.user, seat.teardown_error))
            self.record.ended_ns = max(self.record.ended_ns, ended)
            seat.leave(self._clock())
            self._changed.notify_all()
