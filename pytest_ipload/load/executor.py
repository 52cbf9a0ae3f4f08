"""Runs virtual users on threads, by a plan, and gathers what they measured.

The executor knows nothing of pytest or HTTP, and nothing of other processes: it is given the slots of *its* users and
a ``Crew`` that knows how to make users and their lives. It is used in three calls, from one thread::

    executor.set_up()   # the users are set up; raises what went wrong
    executor.run()      # the load; returns when the last user left
    executor.close()    # always: ends whatever still runs
"""

from __future__ import annotations

import gc
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from types import MappingProxyType

from pytest_ipload import real_time
from pytest_ipload.errors import GeneratorLimitError, SetUpTimeout
from pytest_ipload.load.affinity import pinned, usable_cpus
from pytest_ipload.load.arrivals import ArrivalQueue
from pytest_ipload.load.crew import Crew
from pytest_ipload.load.failures import FailureLog
from pytest_ipload.load.iterations import Budget, UserRun
from pytest_ipload.load.limits import users_stack
from pytest_ipload.load.patience import Patience
from pytest_ipload.load.profile import LoadProfile
from pytest_ipload.load.record import LoadRecord
from pytest_ipload.load.schedule import UserSlot, arrival_times, arrivals_before, rates_end
from pytest_ipload.load.seat import IterationInterrupted, Phase, Seat
from pytest_ipload.load.set_up import SetUpLimit, SetUpPace, SetUps
from pytest_ipload.load.share import WHOLE, Share
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_thread import UserThreads
from pytest_ipload.load.user_time import Presence, user_time
from pytest_ipload.load.vitals import LOOK_NS, Vitals, Watcher
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Chunk, Recorder
from pytest_ipload.stats.sample import FAILED, ITERATION, Problem, timed_sample
from pytest_ipload.stats.spans import Selection
from pytest_ipload.units import format_duration, format_setting

_SECOND = 1_000_000_000
_TICK = 1.0
"""Seconds between two foldings of the samples into histograms."""
_LOOK_FOR_ARRIVALS = 0.005
"""Seconds between two looks at the iterations that are due, while all users are at work and more may come."""
_USUAL_TIMEOUT = 30.0
"""Seconds that a request may take where the profile sets no limit: for the limit of set-ups."""
_COMING_BACK = 5.0
"""Seconds that a user may take from its own code back to ours: far more than any needs."""
_LOOK = 0.05
"""Seconds between two looks at the users' deadlines, at least: each look is at every user."""


class UserSetUpError(Exception):
    """A user's set-up failed; the cause is the user's own exception."""

    def __init__(self, user: VirtualUser, failed: int, *, is_late: bool) -> None:
        super().__init__(f"set-up of user {user.index} failed")
        self.user = user
        self.failed = failed
        """How many users failed in their set-up until the load was stopped."""
        self.is_late = is_late
        """Whether the load had begun already."""


class Executor:
    """Runs one process's users of a load."""

    def __init__(
        self,
        profile: LoadProfile,
        slots: Sequence[UserSlot],
        crew: Crew,
        clock: Callable[[], int] = real_time.perf_counter_ns,
        cpu: int | None = None,
        window_lengths_ns: Sequence[int] = (),
        window_selections: Mapping[int, Sequence[Selection]] = MappingProxyType({}),
        share: Share = WHOLE,
        tolerates_set_up_errors: bool = False,
        selections: Sequence[Selection] = (),
        workers_on_cpu: int = 1,
        holds_users: bool = False,
    ) -> None:
        """``slots`` are those of the users of this ``share`` of the load.

        If set-up errors are tolerated, a user whose set-up fails is left out and counted; else it ends the load.
        ``cpu`` is where the load runs, from the users' set-up to the last one's tear-down; None is anywhere. Together
        with this one, ``workers_on_cpu`` processes load from there. If it ``holds_users``, ``run`` returns before they
        are torn down, unless something ends it before its time; ``close`` tears them down.
        """
        self._profile = profile
        self._share = share
        self._most_users = share.size_of(profile.most_users)
        self._slots = slots
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
        self._is_dry = False
        """Whether all users are at work; guarded by ``_changed``."""
        self._idle_s = profile.graceful_stop + (_USUAL_TIMEOUT if profile.timeout is None else profile.timeout)
        self._patience = Patience(profile.graceful_stop, SetUpLimit(self._idle_s))
        self._asked_to_stop: str | None = None
        """Why another thread wants the load to end; guarded by ``_changed``."""
        self._hurries = self._hurries_seen = 0
        """How often it was asked to do so in a hurry; the first is guarded by ``_changed``."""
        self._last_tick = 0
        self._next_look_ns = 0
        self.failures = FailureLog()
        self.record = LoadRecord()
        self.vitals = Vitals()
        self._new_measurements = partial(
            Measurements,
            planned=profile.planned,
            window_lengths_ns=window_lengths_ns,
            window_selections=window_selections,
            selections=selections,
        )
        self._watcher = Watcher(self.vitals, clock)
        self._workers_on_cpu = workers_on_cpu
        self.measurements = self._new_measurements(origin_ns=0, judged_from_ns=0)
        self._arrivals: ArrivalQueue | None = None
        if profile.is_open:
            due = islice(arrival_times(profile), share.index, None, share.count)
            self._arrivals = ArrivalQueue(due, profile.ends_at, self._wake_for_growth)
        total = profile.total_iterations
        self._budget = Budget(None if total is None else share.size_of(total))
        self._stop = threading.Event()
        self._run_of_users = UserRun(
            profile,
            self.failures,
            self._budget,
            self._stop,
            clock,
            crew.ends_load,
            self._arrivals,
            most_users=self._most_users,
        )
        self._users = UserThreads(
            profile,
            crew,
            self._run_of_users,
            self._stop,
            self.record,
            self.failures,
            clock,
            lambda: self._is_urgent() or self._is_empty(),
            tolerates_set_up_errors=tolerates_set_up_errors,
            holds_users=holds_users,
        )
        self._changed = self._users.changed

    # -- the three calls ----------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Set up the users of the plan, or with ``on-arrival`` those that are there from the beginning.

        Raises UserSetUpError from the first user's exception, after all others were torn down; GeneratorLimitError
        when the system has no thread left; KeyboardInterrupt when another thread wants the load to end in a hurry.
        """
        self.record.pin_problem = self._unpin.enter_context(pinned(self._cpu))
        self.record.pinned_cpu = self._cpu if self.record.pin_problem is None else None
        before = self._profile.sets_up_before
        waiting = deque(slot for slot in self._pending if before or slot.start <= 0)
        self._pending = deque(slot for slot in self._pending if not before and slot.start > 0)
        self._set_up_all(waiting, len(waiting))
        if self.record.shortage is not None:
            self.close()
            raise GeneratorLimitError(self.record.shortage)
        self._raise_setup_error()

    def _set_up_all(self, waiting: deque[UserSlot], users: int) -> None:
        """Set users up, some at a time, until all are, one fails, or a thread cannot be started."""
        pace, began, shown_s = SetUpPace(), self._clock(), 0
        self._crew.setting_up(0, users, 0.0)
        while True:
            now = self._clock()
            settled = self._users.settled
            running = len(self._seats) - settled - self._crew.users_at_rendezvous
            for _ in range(min(len(waiting), pace.room(running, settled, now))):
                slot = waiting.popleft()
                if self._start(slot):
                    continue
                if slot.start <= 0:
                    return
                # It is tried again when its time comes: others may have left by then. If not, that ends the load.
                self.record.shortage = None
                self._pending.extend([slot, *waiting])
                waiting.clear()
                break
            if now >= self._next_look_ns:
                self._enforce_deadlines(now)
                self._next_look_ns = now + round(_LOOK * _SECOND)
            elapsed_s = (now - began) / _SECOND
            if self._must_hurry():
                raise KeyboardInterrupt(self._asked_to_stop)
            if elapsed_s >= shown_s + _TICK:
                shown_s = int(elapsed_s)
                self._crew.setting_up(self._users.settled, users, elapsed_s)
            with self._changed:
                if self._users.set_up_failed or (not waiting and self._is_set_up()):
                    break
                if self._users.settled == settled:  # else there is room for another one
                    self._changed.wait(_LOOK)
        self._crew.setting_up(self._users.settled, users, (self._clock() - began) / _SECOND)

    def run(self, start_at_ns: int | None = None) -> None:
        """Run the load until the last user left. It begins at ``start_at_ns`` of the clock, or at once.

        Raises UserSetUpError if a user that comes later could not be set up, what a body raised to end the load, and
        whatever is raised in the calling thread meanwhile (KeyboardInterrupt); the measurements are there all the same.
        """
        is_through = False
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
            is_through = True
        finally:
            try:
                self.close(hurry=not is_through, hold=is_through)
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
            if self._pending or not self._is_empty():
                self.measurements.end_at(self._patience.stopped_ns)
        self._pending.clear()
        self._stop.set()
        self._budget.over.set()
        self._crew.stopping()

    def ask_to_stop(self, reason: str, *, hurry: bool = False) -> None:
        """Have the load end as if a threshold, or in a ``hurry`` Ctrl-C, had broken it off. For any thread.

        Asked to hurry once more, it takes the second Ctrl-C for it; one that it got itself does not count.
        """
        with self._changed:
            self._asked_to_stop = self._asked_to_stop or reason
            self._hurries += hurry
            self._changed.notify_all()

    def close(self, *, hurry: bool = True, hold: bool = False) -> None:
        """End whatever still runs, at once; after it, no user thread is left but those given up (and named).

        With ``hold`` those who are held stay.
        Without ``hurry`` running iterations get the graceful stop first, as tear-downs do in any case. Ctrl-C takes
        the rest of it away, and is raised when all users have left.
        """
        try:
            self.stop()
            if not hold:
                self._users.let_go()
            self._patience.is_over = self._patience.is_over or hurry
            self._next_look_ns = 0
            self._users.gate.set()
            interrupt: KeyboardInterrupt | None = None
            while not self._is_empty():
                try:
                    self._turn()
                except KeyboardInterrupt as error:  # the second Ctrl-C: nobody is left behind all the same
                    self._patience.hurry(self._clock())
                    self._next_look_ns = 0
                    interrupt = error
            for seat in self._seats:
                seat.end_thread()
            self._collect()
            if not self.record.ended_ns:
                self.record.ended_ns = self._clock()
            if self._has_run_out():
                self.measurements.end_at(self.record.ended_ns)
            self._count_arrivals()
            self._count_user_time()
            if interrupt is not None:
                raise interrupt
        finally:
            self._unpin.close()

    @property
    def set_ups(self) -> SetUps:
        """The set-ups of this process's users so far."""
        with self._changed:
            return SetUps(self._planned_users, self.record.set_ups_tried, self.record.set_ups_failed)

    @property
    def users_at_work(self) -> int:
        """How many users run their iterations at this moment."""
        return sum(seat.phase is Phase.ITERATIONS and not seat.abandoned for seat in self._seats)

    # -- one turn of the loop -----------------------------------------------------------------------------------

    def _open_gate(self) -> None:
        origin = self._clock()
        self.record.origin_ns = self._patience.origin_ns = origin
        judged_from = origin + round(self._profile.warmup * _SECOND)
        planned_end = rates_end(self._profile)
        self.measurements = self._new_measurements(
            origin_ns=origin,
            judged_from_ns=judged_from,
            judged_until_ns=None if planned_end is None else origin + round(planned_end * _SECOND),
        )
        self._run_of_users.origin_ns, self._run_of_users.judged_from_ns = origin, judged_from
        self._last_tick = origin
        self.vitals.begin(
            origin,
            judged_from_ns=judged_from,
            judged_until_ns=None if self._end is None else origin + round(self._end * _SECOND),
            cores=usable_cpus() if self.record.pinned_cpu is None else 1 / self._workers_on_cpu,
        )
        self._watcher.start()
        self._users.contexts.begin()
        self._users.gate.set()

    def _turn(self) -> None:
        """Start who is due, fold what was measured, interrupt who is overdue; then wait for the next thing."""
        now = self._clock()
        if self._must_hurry():
            self.stop()
            self._patience.is_over = True  # nobody will judge what the others are doing
            if self._hurries > 1:
                self._patience.hurry(now)
            self._hurries_seen = self._hurries
            self._next_look_ns = 0
        elif self._users.set_up_failed:
            self.stop()
        elif self._asked_to_stop is not None and not self._stop.is_set():
            self._break_off(self._asked_to_stop)
        elif self._end is not None and self._users.elapsed() >= self._end:
            self._crew.stopping()
        if self._budget.over.is_set():
            self._pending.clear()  # no iteration is left for them
        if self._pending:
            self._start_due(self._users.elapsed())
        self._grow()
        if now - self._last_tick >= _TICK * _SECOND and self.record.origin_ns:
            self._collect()
            self._last_tick = now
            self._crew.each_second(self.measurements, self._users.elapsed())
            self._abort_if_hopeless()
        if now >= self._next_look_ns:
            self._next_look_ns = max(self._enforce_deadlines(now), now + round(_LOOK * _SECOND))
        wake_ns = self._next_look_ns
        if self._arrivals is not None and self._arrivals.is_dry and self._may_grow():
            wake_ns = min(wake_ns, now + round(_LOOK_FOR_ARRIVALS * _SECOND))
        if self._pending:
            wake_ns = min(wake_ns, self.record.origin_ns + round(self._pending[0].start * _SECOND))
        if self._end is not None and self._users.elapsed() < self._end:
            wake_ns = min(wake_ns, self.record.origin_ns + round(self._end * _SECOND))
        with self._changed:
            # What came up since the top of this turn has nobody who would wake us for it.
            if not self._is_urgent() and not self._is_dry and (self._pending or not self._is_empty()):
                self._changed.wait(max(0, min(LOOK_NS, wake_ns - self._clock())) / _SECOND)

    def _abort_if_hopeless(self) -> None:
        """Break the load off, if it goes on although a threshold cannot hold any more."""
        if not (self._stop.is_set() or (self._end is not None and self._users.elapsed() >= self._end)):
            reason = self._crew.abort_reason(self.measurements, self._users.elapsed())
            if reason is not None:
                self._break_off(reason)

    def _break_off(self, reason: str) -> None:
        """A threshold cannot hold any more, or the other parts of this load have ended."""
        self.record.aborted = reason
        self._patience.is_short = True
        self.stop()

    def _start_due(self, elapsed: float) -> None:
        while self._pending and self._pending[0].start <= elapsed:
            if not self._start(self._pending.popleft()):
                self.stop()

    def _start(self, slot: UserSlot) -> bool:
        """Start a user's thread; False if the system has none left."""
        recorder = Recorder()
        seat = Seat(slot, self._crew.make_user(slot.index, recorder), recorder)
        seat.is_behind = not self._users.gate.is_set()
        self._seats.append(seat)  # first: an interrupt (Ctrl-C) in start() must not lose a user whose thread runs
        if self._profile.ip_exclusive:
            self._admit(seat)
        try:
            with users_stack():
                seat.start(self._users.live)
        except RuntimeError as error:
            self._seats.pop()
            if seat.is_admitted:
                self._crew.user_left(seat.user)
            self.record.shortage = (
                f"only {len(self._seats)} of {self._planned_users} users could be started: {error}; "
                "raise the limit of threads (ulimit -u, or the container's pids limit) or of address space "
                "(ulimit -v), or use fewer users"
            )
            return False
        return True

    def _admit(self, seat: Seat) -> None:
        """Lease an address that is for one user only, before its thread starts: in the order in which users come."""
        try:
            if seat.slot.start > self._users.elapsed():  # those who come before it may want what there is
                seat.is_admitted = self._crew.admit_if_free(seat.user)
            else:
                seat.is_admitted = self._crew.admit(seat.user, block=False)
        except Exception as error:
            seat.setup_error = error

    def _may_grow(self) -> bool:
        """Whether the open model may have more users."""
        return len(self._seats) < self._most_users and not self._stop.is_set() and bool(self.record.origin_ns)

    def _grow(self) -> None:
        """Start the users that the open model could make use of."""
        self._is_dry = False
        if self._arrivals is None or not self._may_grow():
            return
        elapsed, there = self._users.elapsed(), len(self._seats)
        wanted = self._arrivals.users_wanted(elapsed, self._most_users - there, there - self._users.settled)
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
            if seat.is_over or seat.phase is Phase.HELD:
                continue
            deadline = self._patience.deadline(seat)
            if deadline is None:
                continue
            if deadline > now:
                next_ns = min(next_ns, deadline)
            elif seat.interrupted_ns is None:
                self.record.interrupted += seat.in_body
                if (
                    seat.phase is Phase.SET_UP
                    and seat.set_up_since_ns is not None
                    and self._patience.stopped_ns is None
                ):
                    seat.timed_out = self._set_up_timeout(seat, now - seat.set_up_since_ns)
                if seat.phase is Phase.TEAR_DOWN and self._patience.is_over:  # pytest will not tell of its error
                    self.record.cut_short[seat.slot.index] = seat.as_cut_short()
                seat.interrupt(now)
                next_ns = min(next_ns, self._patience.deadline(seat) or next_ns)
            else:
                self._abandon(seat, at_any_rate=now > deadline + _COMING_BACK * _SECOND)
        return next_ns

    def _set_up_timeout(self, seat: Seat, lasted_ns: int) -> SetUpTimeout:
        """What is said of a set-up that is interrupted now."""
        grace, stop = format_setting(self._profile.graceful_stop), seat.slot.stop
        if stop is not None and self._users.elapsed() >= stop:
            why = f"the load was over, and so was the graceful stop of {grace}"
        else:
            why = (
                f"no request of it had ended for {format_setting(self._idle_s)}, its timeout and graceful_stop together"
            )
        return SetUpTimeout(
            f"user {seat.slot.index} was still in its set-up after {format_duration(lasted_ns / _SECOND)}, at "
            f"{seat.whereabouts()}, when {why}; give what it waits for a timeout of its own, or raise graceful_stop"
        )

    def _abandon(self, seat: Seat, *, at_any_rate: bool) -> None:
        """Wait for a user no more, and take over what it measured."""
        with self._changed:
            if not seat.give_up(at_any_rate=at_any_rate):
                return
            self._users.over += 1
            if seat.phase is Phase.SET_UP:
                seat.setup_error = seat.timed_out
                self._users.settled += 1
                self._users.count_set_up(seat)
        self.record.abandoned.append(seat.as_given_up())
        self.record.abandoned_users.append(seat.slot.index)
        self.record.cut_short.pop(seat.slot.index, None)
        seat.user.detach()
        seat.recorder.take_over()
        if seat.began_ns is not None and seat.phase is Phase.ITERATIONS:
            self._count_stuck_iteration(seat, seat.began_ns, seat.interrupted_ns or self._clock())

    def _count_stuck_iteration(self, seat: Seat, began_ns: int, ended_ns: int) -> None:
        """The running iteration of a user that could not be stopped has failed, as one that was interrupted has."""
        with self._changed:
            seat.ended_ns = ended_ns
            self.record.lifetimes.append((began_ns, ended_ns))
            self.record.ended_ns = max(self.record.ended_ns, ended_ns)
        if not seat.in_body:
            return
        user = seat.user
        started_ns = max(seat.iteration_since_ns or began_ns, self.measurements.judged_from_ns)
        lateness_ns, source = user.running_lateness_ns(), user.source_address
        took_ns = max(0, ended_ns - started_ns)
        sample = timed_sample(ITERATION, "", started_ns, took_ns, FAILED, 0, source, lateness_ns)
        self._take([Chunk([sample], {})])
        message = "the iteration was still running after the graceful stop, and could not be interrupted"
        problem = Problem(IterationInterrupted.__name__, message, seat.whereabouts())
        self.failures.add_problem(problem, user.index, user.iteration, source)

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

    def _count_user_time(self) -> None:
        """Compare the time in which users were at work with the plan."""
        origin = self.record.origin_ns
        if not origin:
            return

        def seconds(ns: int | None) -> float | None:
            return None if ns is None else (ns - origin) / _SECOND

        ends = [seconds(self._patience.stopped_ns)]
        if self._profile.total_iterations is not None:  # the first user who found none left was the first to leave
            ends += [seconds(seat.ended_ns) for seat in self._seats if not seat.is_lost]
        seats = {seat.slot.index: seat for seat in self._seats}
        limit = self._profile.iterations_per_user
        users = []
        for slot in self._slots:
            seat = seats.get(slot.index)
            if seat is None:
                users.append(Presence(slot, None))
            elif seat.setup_error is None:
                is_done = limit is not None and seat.iteration_since_ns is not None and seat.user.iteration + 1 >= limit
                users.append(Presence(slot, seconds(seat.ready_ns), seconds(seat.ended_ns), is_done, seat.is_lost))
        until = min((end for end in ends if end is not None), default=None)
        self.record.user_time = user_time(users, self._profile.warmup, until)

    # -- set-up, samples ----------------------------------------------------------------------------------------

    def _has_run_out(self) -> bool:
        """Whether the users had made all their iterations before the time of the closed model was over."""
        profile = self._profile
        is_limited = profile.iterations is not None or self._budget.is_used_up
        return is_limited and not profile.is_open and self.record.origin_ns > 0

    def _is_set_up(self) -> bool:
        return self._users.set_up_failed or self._users.settled == len(self._seats)

    def _is_empty(self) -> bool:
        return self._users.over + self._users.held == len(self._seats)

    def _is_urgent(self) -> bool:
        """Whether something happened for which the load has to be stopped, and was not yet."""
        is_to_stop = self._users.set_up_failed or self._asked_to_stop is not None
        return self._must_hurry() or (is_to_stop and not self._stop.is_set())

    def _must_hurry(self) -> bool:
        """Whether something broke the load off that was not seen to yet."""
        is_broken_off = self._run_of_users.ended_by is not None and not self._patience.is_over
        return is_broken_off or self._hurries > self._hurries_seen

    def _raise_setup_error(self) -> None:
        if self._users.set_up_failed:
            is_late = self.record.origin_ns > 0
            self.close(hurry=False)
            failed = [seat for seat in self._seats if seat.setup_error is not None]
            failed.sort(key=lambda seat: self._users.is_tolerable(seat.setup_error, is_late=is_late))
            count = len(failed)
            raise UserSetUpError(failed[0].user, count, is_late=is_late) from failed[0].setup_error

    def _collect(self) -> None:
        self._take(chunk for seat in self._seats for chunk in seat.recorder.drain())

    def _take(self, chunks: Iterable[Chunk]) -> None:
        """Fold chunks in, and show them to the tap."""
        tap, tapped = self._crew.tap, []
        try:
            for chunk in chunks:
                self.measurements.add_chunk(chunk)
                if tap is not None:
                    tapped.append(chunk)
        finally:  # also if an interrupt (Ctrl-C) came: what was folded is what was tapped
            if tap is not None and tapped:
                tap(tapped)
