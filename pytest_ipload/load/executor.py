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
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice

from pytest_ipload.errors import GeneratorLimitError, RendezvousEnded
from pytest_ipload.load.affinity import pinned, usable_cpus
from pytest_ipload.load.arrivals import ArrivalQueue
from pytest_ipload.load.crew import Crew
from pytest_ipload.load.failures import FailureLog
from pytest_ipload.load.iterations import Budget, UserRun
from pytest_ipload.load.limits import users_stack
from pytest_ipload.load.patience import Patience
from pytest_ipload.load.profile import LoadProfile
from pytest_ipload.load.record import LATE_START_S, LoadRecord
from pytest_ipload.load.schedule import UserSlot, arrival_times, arrivals_before
from pytest_ipload.load.seat import IterationInterrupted, Life, Phase, Seat
from pytest_ipload.load.share import WHOLE, Share
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.vitals import LOOK_NS, Vitals, Watcher
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Recorder

_SECOND = 1_000_000_000
_TICK = 1.0
"""Seconds between two foldings of the samples into histograms."""
_LOOK_FOR_ARRIVALS = 0.005
"""Seconds between two looks at the iterations that are due, while all users are at work and more may come."""
_LOOK = 0.05
"""Seconds between two looks at the users' deadlines, at least: each look is at every user."""


class UserSetUpError(Exception):
    """A user's set-up failed; the cause is the user's own exception."""

    def __init__(self, user: VirtualUser, failed: int) -> None:
        super().__init__(f"set-up of user {user.index} failed")
        self.user = user
        self.failed = failed
        """How many users failed in their set-up until the load was stopped."""


class Executor:
    """Runs one process's users of a load."""

    def __init__(
        self,
        profile: LoadProfile,
        slots: Sequence[UserSlot],
        crew: Crew,
        clock: Callable[[], int] = time.perf_counter_ns,
        cpu: int | None = None,
        window_lengths_ns: Sequence[int] = (),
        share: Share = WHOLE,
        workers_on_cpu: int = 1,
    ) -> None:
        """``slots`` are those of the users of this ``share`` of the load.

        ``cpu`` is where the load runs, from the users' set-up to the last one's tear-down; None is anywhere. Together
        with this one, ``workers_on_cpu`` processes load from there.
        """
        self._profile = profile
        self._share = share
        self._most_users = share.size_of(profile.most_users)
        self._pending = deque(sorted(slots, key=lambda slot: slot.start))
        self._planned_users = self._most_users if profile.is_open else len(slots)
        stops = [slot.stop for slot in slots]
        self._end = None if None in stops else max((stop for stop in stops if stop is not None), default=0.0)
        """When the last user's time is over; None where only iterations end the load."""
        self._crew = crew
        self._clock = clock
        self._cpu = cpu
        self._unpin = ExitStack()
        self._seats: list[Seat] = []
        # Counted, not looked for: each of thousands of users would look at all the others. Guarded by ``_changed``.
        self._settled = 0
        """Seats that are in their set-up no more."""
        self._over = 0
        """Seats that nobody waits for any more."""
        self._set_up_failed = False
        self._is_dry = False
        """Whether all users are at work; guarded by ``_changed``."""
        self._changed = threading.Condition()
        self._gate = threading.Event()
        self._stop = threading.Event()
        self._patience = Patience(profile.graceful_stop)
        self._asked_to_stop: str | None = None
        """Why another thread wants the load to end; guarded by ``_changed``."""
        self._last_tick = 0
        self._next_look_ns = 0
        self.failures = FailureLog()
        self.record = LoadRecord()
        self.vitals = Vitals()
        self._watcher = Watcher(self.vitals, clock)
        self._workers_on_cpu = workers_on_cpu
        self._new_measurements = partial(Measurements, planned=profile.planned, window_lengths_ns=window_lengths_ns)
        self.measurements = self._new_measurements(origin_ns=0, judged_from_ns=0)
        self._arrivals: ArrivalQueue | None = None
        if profile.is_open:
            due = islice(arrival_times(profile), share.index, None, share.count)
            self._arrivals = ArrivalQueue(due, profile.ends_at, self._wake_for_growth)
        total = profile.total_iterations
        budget = Budget(None if total is None else share.size_of(total))
        self._run_of_users = UserRun(
            profile, self.failures, budget, self._stop, clock, crew.ends_load, self._arrivals, self._most_users
        )

    # -- the three calls ----------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Start the users that are there from the beginning, and wait until each is set up.

        Raises UserSetUpError from the first user's exception, after all others were torn down; GeneratorLimitError
        when the system has no thread left.
        """
        self.record.pin_problem = self._unpin.enter_context(pinned(self._cpu))
        self.record.pinned_cpu = self._cpu if self.record.pin_problem is None else None
        self._start_due(0.0)
        if self.record.shortage is not None:
            self.close()
            raise GeneratorLimitError(self.record.shortage)
        with self._changed:
            self._changed.wait_for(self._is_set_up)
        self._raise_setup_error()

    def run(self, start_at_ns: int | None = None) -> None:
        """Run the load until the last user left. It begins at ``start_at_ns`` of the clock, or at once.

        Raises UserSetUpError if a user of the ramp-up could not be set up, what a body raised to end the load, and
        whatever is raised in the calling thread meanwhile (KeyboardInterrupt); the measurements are there all the same.
        """
        gc.collect()
        gc.freeze()  # what exists before the load need not be looked at again by each collection during it
        try:
            while start_at_ns is not None and (early_ns := start_at_ns - self._clock()) > 0:
                with self._changed:
                    if self._stop.is_set() or self._asked_to_stop is not None:
                        break
                    self._changed.wait(min(_TICK, early_ns / _SECOND))
            self._open_gate()
            while self._pending or not self._is_empty():
                self._turn()
        finally:
            try:
                self.close()
            finally:
                gc.unfreeze()
                self._watcher.end()
        if self._run_of_users.ended_by is not None:
            raise self._run_of_users.ended_by
        self._raise_setup_error()

    def stop(self) -> None:
        """No iteration starts from now on; running ones may finish within the graceful stop."""
        if self._patience.stopped_ns is None:
            self._patience.stopped_ns = self._clock()
            self._next_look_ns = 0
        self._pending.clear()
        self._stop.set()
        self._crew.stopping()

    def ask_to_stop(self, reason: str) -> None:
        """Have the load end as if a threshold had broken it off. The only method for any thread."""
        with self._changed:
            self._asked_to_stop = self._asked_to_stop or reason
            self._changed.notify_all()

    def close(self, *, hurry: bool = True) -> None:
        """End whatever still runs, at once; after it, no user thread is left but those given up (and named).

        Without ``hurry`` each user gets the graceful stop first.
        """
        try:
            self.stop()
            self._patience.is_over = hurry
            self._next_look_ns = 0
            self._gate.set()
            while not self._is_empty():
                self._turn()
            for seat in self._seats:
                seat.end_thread()
            self._collect()
            if not self.record.ended_ns:
                self.record.ended_ns = self._clock()
            self._count_arrivals()
        finally:
            self._unpin.close()

    @property
    def users_at_work(self) -> int:
        """How many users run their iterations at this moment."""
        return sum(seat.phase is Phase.ITERATIONS and not seat.abandoned for seat in self._seats)

    # -- one turn of the loop -----------------------------------------------------------------------------------

    def _open_gate(self) -> None:
        origin = self._clock()
        self.record.origin_ns = self._patience.origin_ns = origin
        judged_from = origin + round(self._profile.warmup * _SECOND)
        self.measurements = self._new_measurements(origin_ns=origin, judged_from_ns=judged_from)
        self._run_of_users.origin_ns = origin
        self._last_tick = origin
        self.vitals.begin(
            origin,
            judged_from_ns=judged_from,
            judged_until_ns=None if self._end is None else origin + round(self._end * _SECOND),
            cores=usable_cpus() if self.record.pinned_cpu is None else 1 / self._workers_on_cpu,
        )
        self._watcher.start()
        self._gate.set()

    def _turn(self) -> None:
        """Start who is due, fold what was measured, interrupt who is overdue; then wait for the next thing."""
        now = self._clock()
        if self._run_of_users.ended_by is not None and not self._patience.is_over:
            self.stop()
            self._patience.is_over = True  # nobody will judge what the others are doing
            self._next_look_ns = 0
        elif self._set_up_failed:
            self.stop()
        elif self._asked_to_stop is not None and not self._stop.is_set():
            self._break_off(self._asked_to_stop)
        elif self._end is not None and self._elapsed() >= self._end:
            self._crew.stopping()
        if self._pending:
            self._start_due(self._elapsed())
        self._grow()
        if now - self._last_tick >= _TICK * _SECOND and self.record.origin_ns:
            self._collect()
            self._last_tick = now
            self._crew.each_second(self.measurements, self._elapsed())
            self._abort_if_hopeless()
        if now >= self._next_look_ns:
            self._next_look_ns = max(self._enforce_deadlines(now), now + round(_LOOK * _SECOND))
        wake_ns = self._next_look_ns
        if self._arrivals is not None and self._arrivals.is_dry and self._may_grow():
            wake_ns = min(wake_ns, now + round(_LOOK_FOR_ARRIVALS * _SECOND))
        if self._pending:
            wake_ns = min(wake_ns, self.record.origin_ns + round(self._pending[0].start * _SECOND))
        if self._end is not None and self._elapsed() < self._end:
            wake_ns = min(wake_ns, self.record.origin_ns + round(self._end * _SECOND))
        with self._changed:
            # What came up since the top of this turn has nobody who would wake us for it.
            if not self._is_urgent() and not self._is_dry and (self._pending or not self._is_empty()):
                self._changed.wait(max(0, min(LOOK_NS, wake_ns - self._clock())) / _SECOND)

    def _abort_if_hopeless(self) -> None:
        """Break the load off, if it goes on although its verdict is certain."""
        if not (self._stop.is_set() or (self._end is not None and self._elapsed() >= self._end)):
            reason = self._crew.abort_reason(self.measurements, self._elapsed())
            if reason is not None:
                self._break_off(reason)

    def _break_off(self, reason: str) -> None:
        """A threshold cannot hold any more, or the other parts of this load have ended."""
        self.record.aborted = reason
        self._patience.is_short = True
        self.stop()

    def _start_due(self, elapsed: float) -> None:
        while self._pending and self._pending[0].start <= elapsed:
            slot = self._pending.popleft()
            recorder = Recorder()
            seat = Seat(slot, self._crew.make_user(slot.index, recorder), recorder)
            self._seats.append(seat)  # first: an interrupt (Ctrl-C) in start() must not lose a user whose thread runs
            try:
                with users_stack():
                    seat.start(self._live)
            except RuntimeError as error:
                self._seats.pop()
                self.record.shortage = (
                    f"only {len(self._seats)} of {self._planned_users} users could be started: {error}; "
                    "raise the limit of threads (ulimit -u, or the container's pids limit) or of address space "
                    "(ulimit -v), or use fewer users"
                )
                self.stop()
                return
            self.record.users_started += 1
            if elapsed - slot.start > LATE_START_S:
                self.record.late_starts += 1

    def _may_grow(self) -> bool:
        """Whether the open model may have more users."""
        return len(self._seats) < self._most_users and not self._stop.is_set() and bool(self.record.origin_ns)

    def _grow(self) -> None:
        """Start the users that the open model could make use of."""
        self._is_dry = False
        if self._arrivals is None or not self._may_grow():
            return
        elapsed, there = self._elapsed(), len(self._seats)
        wanted = self._arrivals.users_wanted(elapsed, self._most_users - there, there - self._settled)
        numbers = map(self._share.number, range(there, there + wanted))
        self._pending.extend(UserSlot(number, elapsed, elapsed, self._end) for number in numbers)
        self._start_due(elapsed)

    def _wake_for_growth(self) -> None:
        """Called in the thread of the last user who was free."""
        if self._may_grow():
            with self._changed:
                self._is_dry = True
                self._changed.notify_all()

    def _enforce_deadlines(self, now: int) -> int:
        """Interrupt users who are overdue, give up those whom that did not stop; returns the next deadline."""
        next_ns = now + round(_TICK * _SECOND)
        for seat in self._seats:
            if seat.is_over:
                continue
            deadline = self._patience.deadline(seat)
            if deadline is None:
                continue
            if deadline > now:
                next_ns = min(next_ns, deadline)
            elif seat.interrupted_ns is None:
                self.record.interrupted += seat.in_body
                seat.interrupt(now)
                next_ns = min(next_ns, self._patience.deadline(seat) or next_ns)
            else:
                self._abandon(seat)
        return next_ns

    def _abandon(self, seat: Seat) -> None:
        with self._changed:
            if seat.is_over:
                return  # it left in the last moment
            seat.abandoned = True
            self._over += 1
        self.record.abandoned.append(seat.as_given_up())

    def _count_arrivals(self) -> None:
        """Compare the iterations that were started with those that were due until the load was over or stopped."""
        if self._arrivals is None or not self.record.origin_ns or self.record.planned_iterations is not None:
            return
        stopped_ns = self._clock() if self._patience.stopped_ns is None else self._patience.stopped_ns
        stopped = (stopped_ns - self.record.origin_ns) / _SECOND
        until = stopped if self._end is None else min(stopped, self._end)
        due = self._share.size_of(arrivals_before(self._profile, until))
        self.record.planned_iterations = max(due, self._arrivals.started)
        self.record.dropped_iterations = self.record.planned_iterations - self._arrivals.started

    # -- set-up, samples ----------------------------------------------------------------------------------------

    def _is_set_up(self) -> bool:
        return self._set_up_failed or self._settled == len(self._seats)

    def _is_empty(self) -> bool:
        return self._over == len(self._seats)

    def _is_urgent(self) -> bool:
        """Whether something happened for which the load has to be stopped, and was not yet."""
        if self._run_of_users.ended_by is not None:
            return not self._patience.is_over
        return (self._set_up_failed or self._asked_to_stop is not None) and not self._stop.is_set()

    def _raise_setup_error(self) -> None:
        if self._set_up_failed:
            self.close(hurry=False)
            failed = [seat for seat in self._seats if seat.setup_error is not None]
            # Those who were interrupted because another one failed come last and do not count.
            failed.sort(key=lambda seat: seat.interrupted_ns is not None)
            count = sum(1 for seat in failed if seat.interrupted_ns is None) or 1
            raise UserSetUpError(failed[0].user, count) from failed[0].setup_error

    def _collect(self) -> None:
        tap, tapped = self._crew.tap, []
        try:
            for seat in self._seats:
                for chunk in seat.recorder.drain():
                    self.measurements.add_chunk(chunk)
                    if tap is not None:
                        tapped.append(chunk)
        finally:  # also if an interrupt (Ctrl-C) came: what was folded is what was tapped
            if tap is not None and tapped:
                tap(tapped)

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
                self._set_phase(seat, Phase.SET_UP)
            seat.life = self._crew.make_life(seat.user)
            seat.expose()
            seat.life.set_up()
        except BaseException as error:  # pytest's outcomes are no Exceptions
            waited = seat.life is None or isinstance(error, RendezvousEnded)
            if not (waited and self._is_past_its_time(seat)):
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
        """Enter the set-up, or leave it."""
        with self._changed:
            if (phase is Phase.SET_UP) != (seat.phase is Phase.SET_UP):
                self._settled += -1 if phase is Phase.SET_UP else 1
            seat.phase = phase
            self._set_up_failed = self._set_up_failed or seat.setup_error is not None
            self._wake()

    def _wake(self) -> None:
        """Wake the executor's thread, if there is something for it to do: for thousands of users there rarely is."""
        if self._is_urgent() or self._is_empty() or (self._is_set_up() and not self._gate.is_set()):
            self._changed.notify_all()

    def _tear_down_user(self, seat: Seat) -> None:
        ended = self._clock()
        seat.tear_down(ended)
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
            self._over += not seat.abandoned
            self._wake()
