"""Runs virtual users on threads, by a plan, and collects what they measure.

The executor knows nothing of pytest or HTTP, and nothing of other processes: it is given the slots of *its* users and
a ``UserFactory`` that makes users and their scenarios. It is used in three calls, from one thread::

    executor.set_up()   # the users are set up; raises what went wrong
    executor.run()      # the load; returns when the last user left
    executor.close()    # always: ends whatever still runs
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from pytest_ipload.base import real_time
from pytest_ipload.base.errors import GeneratorLimitError
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.accounting import planned_and_dropped, time_of_users
from pytest_ipload.load.arrivals import ArrivalQueue
from pytest_ipload.load.deadline_enforcer import DeadlineEnforcer
from pytest_ipload.load.deadlines import Deadlines
from pytest_ipload.load.failure_log import FailureLog
from pytest_ipload.load.generator.affinity import usable_cpus
from pytest_ipload.load.generator.monitor import LOOK_NS, GeneratorMonitor, GeneratorReadings
from pytest_ipload.load.generator.surroundings import Surroundings
from pytest_ipload.load.iterations import IterationQuota, UserRun
from pytest_ipload.load.load_record import LoadRecord
from pytest_ipload.load.partition import WHOLE, Partition
from pytest_ipload.load.schedule import UserSlot, arrival_times, end_of, rates_end
from pytest_ipload.load.set_up import SetUpLimit, SetUps
from pytest_ipload.load.set_up_phase import SetUpPhase, UserSetUpError
from pytest_ipload.load.stop_requests import StopRequests
from pytest_ipload.load.user_factory import UserFactory
from pytest_ipload.load.user_lifecycle import UserLifecycle
from pytest_ipload.load.user_starter import UserStarter
from pytest_ipload.load.user_thread import Phase
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.collector import Pieces, SampleCollector
from pytest_ipload.stats.measurements import Measurements

_TICK = 1.0
"""Seconds between two foldings of the samples into histograms."""
_LOOK_FOR_ARRIVALS = 0.005
"""Seconds between two checks for due iterations, while all users are busy and more may be started."""
_WHOLE_ONLY = Pieces()


class Executor:
    """Runs one process's users of a load."""

    def __init__(
        self,
        profile: LoadProfile,
        slots: Sequence[UserSlot],
        factory: UserFactory,
        clock: Callable[[], int] = real_time.perf_counter_ns,
        *,
        cpu: int | None = None,
        workers_on_cpu: int = 1,
        share: Partition = WHOLE,
        pieces: Pieces = _WHOLE_ONLY,
        tolerates_set_up_errors: bool = False,
        holds_users: bool = False,
        surroundings: Surroundings = Surroundings(),  # noqa: B008  # it has no state
        after: Executor | None = None,
        wait_like_a_user: Callable[[], object] | None = None,
    ) -> None:
        """``slots`` are those of the users of this ``share`` of the load; ``pieces`` is what is measured apart.

        ``cpu`` is where the load runs, from the users' set-up to the last one's teardown; None is anywhere. Together
        with this one, ``workers_on_cpu`` processes load from there. If set-up errors are tolerated, a user whose set-up
        fails is left out and counted; else it ends the load. If it ``holds_users``, ``run`` returns before they are
        torn down, unless something ends it before its time; ``close`` tears them down. It goes on with the users that
        the executor ``after`` which it runs still holds: that was an earlier round of the same load.
        ``wait_like_a_user`` is the monitor's, see there.
        """
        self._profile = profile
        self._slots = slots
        self._share = share
        self._factory = factory
        self._clock = clock
        self._cpu, self._workers_on_cpu, self._surroundings = cpu, workers_on_cpu, surroundings
        self._end, self._after = end_of(slots), after
        self._undo = ExitStack()
        self._requests = StopRequests()
        self._last_tick = 0
        self.is_through = False  # whether the load ran to its end
        self.failures = FailureLog()
        self.record = LoadRecord()
        self.vitals = GeneratorReadings()
        self._watcher = GeneratorMonitor(self.vitals, clock, wait_like_a_user)
        self._stop = threading.Event()
        total = profile.total_iterations
        self._quota = IterationQuota(None if total is None else share.size_of(total))
        self._arrivals = self._planned_arrivals()
        self._run_of_users = self._make_run()
        self._users = self._make_users(tolerates_set_up_errors, holds_users)
        self._changed = self._users.changed
        self._starter = UserStarter(profile, slots, share, factory, self._users, self.record, self._arrivals)
        self._user_threads = self._starter.user_threads
        self._deadlines = Deadlines(profile.graceful_stop, SetUpLimit.of(profile))
        self._collector = SampleCollector(profile.planned, pieces, lambda: factory.tap)
        self._enforcer = DeadlineEnforcer(
            self._deadlines, self._user_threads, self._users, self.record, self.failures, self._collector, clock
        )

    def _planned_arrivals(self) -> ArrivalQueue | None:
        """The iterations of this partition in the open model."""
        if not self._profile.is_open:
            return None
        due = self._share.of(arrival_times(self._profile))
        return ArrivalQueue(due, self._profile.ends_at, lambda: self._starter.wake_for_growth())

    def _make_run(self) -> UserRun:
        return UserRun(
            self._profile,
            self.failures,
            self._quota,
            self._stop,
            self._clock,
            self._factory.ends_load,
            self._arrivals,
            most_users=self._share.size_of(self._profile.most_users),
        )

    def _make_users(self, tolerates_set_up_errors: bool, holds_users: bool) -> UserLifecycle:
        return UserLifecycle(
            self._profile,
            self._factory,
            self._run_of_users,
            self._stop,
            self.record,
            self.failures,
            self._clock,
            lambda: self._is_urgent() or self._is_empty(),
            tolerates_set_up_errors=tolerates_set_up_errors,
            holds_users=holds_users,
        )

    # -- the three calls ----------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Set up the planned users, or with ``on-arrival`` those that start at once.

        Raises UserSetUpError from the first user's exception, after all others were torn down; GeneratorLimitError
        when the system has no thread left; KeyboardInterrupt when another thread requests an urgent stop.
        """
        self.record.pin_problem = self._undo.enter_context(self._surroundings.pinned(self._cpu))
        self.record.pinned_cpu = self._cpu if self.record.pin_problem is None else None
        if self._after is not None:
            self._after.hand_over(self._starter)
            self._after = None
        SetUpPhase(self._factory, self._users, self._starter, self._enforcer, self._requests, self._clock).run()
        if self.record.shortage is not None:
            self.close()
            raise GeneratorLimitError(self.record.shortage)
        self._raise_setup_error()
        self._undo.enter_context(self._surroundings.frozen())  # takes a while: not just before the start

    def run(self, start_at_ns: int | None = None) -> None:
        """Run the load until the last user left. It begins at ``start_at_ns`` of the clock, or at once.

        Raises UserSetUpError if a user that comes later could not be set up, what a body raised to end the load, and
        whatever is raised in the calling thread meanwhile (KeyboardInterrupt); the measurements are still available.
        """
        try:
            self._wait_until(start_at_ns)
            self._open_gate()
            while self._starter.pending or not self._is_empty():
                self._turn()
            self.is_through = True
        finally:
            try:
                self.close(hurry=not self.is_through, hold=self.is_through)
            finally:
                self._watcher.end()
        if self._run_of_users.ended_by is not None:
            raise self._run_of_users.ended_by
        self._raise_setup_error()

    def stop(self) -> None:
        """No iteration starts from now on; running ones may finish within the graceful stop."""
        if self._deadlines.stopped_ns is None:
            self._deadlines.stopped_ns = self._clock()
            self._enforcer.next_look_ns = 0
            if self._starter.pending or not self._is_empty():
                self.measurements.end_at(self._deadlines.stopped_ns)
        self._starter.pending.clear()
        self._stop.set()
        self._quota.over.set()
        self._factory.stopping()

    def ask_to_stop(self, reason: str, *, hurry: bool = False) -> None:
        """Abort the load as a threshold would, or with ``hurry`` as Ctrl-C would. For any thread.

        A second ``hurry`` acts as the second Ctrl-C; one that the executor itself received does not count.
        """
        with self._changed:
            self._requests.add(reason, hurry=hurry)
            self._changed.notify_all()

    def close(self, *, hurry: bool = True, hold: bool = False) -> None:
        """End whatever still runs, at once; afterwards no user thread is left but abandoned ones (which are named).

        With ``hold``, held users stay.
        Without ``hurry``, running iterations get the graceful stop first, as teardowns do in any case. Ctrl-C ends
        it early, and is raised when all users have left.
        """
        try:
            self.stop()
            if not hold:
                self._users.let_go()
            self._deadlines.is_over = self._deadlines.is_over or hurry
            self._enforcer.next_look_ns = 0
            self._users.gate.set()
            interrupt: KeyboardInterrupt | None = None
            while not self._is_empty():
                try:
                    self._turn()
                except KeyboardInterrupt as error:  # the second Ctrl-C: still no user is left running
                    self._deadlines.hurry(self._clock())
                    self._enforcer.next_look_ns = 0
                    interrupt = error
            for user_thread in self._user_threads:
                user_thread.end_thread()
            self._collect()
            if not self.record.ended_ns:
                self.record.ended_ns = self._clock()
            if self._has_run_out():
                self.measurements.end_at(self.record.ended_ns)
            self._count()
            if interrupt is not None:
                raise interrupt
        finally:
            self._undo.close()

    def hand_over(self, starter: UserStarter) -> None:
        """Let the starter of another round have the users that it holds."""
        starter.take_over(self._users.hand_over(self._user_threads))
        self._users.let_go()

    @property
    def measurements(self) -> Measurements:
        """What was measured so far."""
        return self._collector.measurements

    @property
    def set_ups(self) -> SetUps:
        """The set-ups of this process's users so far."""
        with self._changed:
            return SetUps(self._starter.planned_users, self.record.set_ups_tried, self.record.set_ups_failed)

    @property
    def users_at_work(self) -> int:
        """Users currently running iterations."""
        return sum(
            user_thread.phase is Phase.ITERATIONS and not user_thread.abandoned for user_thread in self._user_threads
        )

    # -- one pass of the loop -----------------------------------------------------------------------------------

    def _wait_until(self, start_at_ns: int | None) -> None:
        while start_at_ns is not None and (early_ns := start_at_ns - self._clock()) > 0:
            with self._changed:
                if self._stop.is_set() or self._requests.reason is not None:
                    break
                self._changed.wait(min(_TICK, early_ns / NS_PER_S))

    def _open_gate(self) -> None:
        origin = self.record.origin_ns = self._deadlines.origin_ns = self._clock()
        judged_from = origin + round(self._profile.warmup * NS_PER_S)
        planned_end = rates_end(self._profile)
        self._collector.begin(
            origin, judged_from, None if planned_end is None else origin + round(planned_end * NS_PER_S)
        )
        self._run_of_users.origin_ns, self._run_of_users.judged_from_ns = origin, judged_from
        self._last_tick = origin
        self.vitals.begin(
            origin,
            judged_from_ns=judged_from,
            judged_until_ns=None if self._end is None else origin + round(self._end * NS_PER_S),
            cores=usable_cpus() if self.record.pinned_cpu is None else 1 / self._workers_on_cpu,
        )
        self._watcher.start()
        self._factory.began(origin)
        self._users.contexts.begin()
        self._users.gate.set()

    def _turn(self) -> None:
        """Start due users, fold what was measured, interrupt overdue users; then wait for the next event."""
        now = self._clock()
        self._stop_if_need_be(now)
        if self._quota.over.is_set():
            self._starter.pending.clear()  # no iterations are left for them
        if self._starter.pending and not self._starter.start_due(self._users.elapsed()):
            self.stop()
        if not self._starter.grow():
            self.stop()
        if now - self._last_tick >= _TICK * NS_PER_S and self.record.origin_ns:
            self._collect()
            self._last_tick = now
            self._factory.each_second(self.measurements, self._users.elapsed())
            self._abort_if_hopeless()
        self._enforcer.look(now)
        wake_ns = self._next_thing_ns(now)
        with self._changed:
            # What happened since the top of this pass would not wake this thread.
            is_done = self._is_empty() and not self._starter.pending
            if not (self._is_urgent() or self._starter.is_dry or is_done):
                self._changed.wait(max(0, min(LOOK_NS, wake_ns - self._clock())) / NS_PER_S)

    def _stop_if_need_be(self, now: int) -> None:
        if self._must_hurry():
            self.stop()
            self._deadlines.is_over = True  # what the others are doing is not judged any more
            if self._requests.is_repeated:
                self._deadlines.hurry(now)
            self._requests.see()
            self._enforcer.next_look_ns = 0
        elif self._users.set_up_failed:
            self.stop()
        elif self._requests.reason is not None and not self._stop.is_set():
            self._abort(self._requests.reason)
        elif self._end is not None and self._users.elapsed() >= self._end:
            self._factory.stopping()

    def _next_thing_ns(self, now: int) -> int:
        """When there is something to do next for which no other thread wakes this one."""
        origin_ns, wake_ns = self.record.origin_ns, self._enforcer.next_look_ns
        if self._starter.waits_for_arrivals():
            wake_ns = min(wake_ns, now + round(_LOOK_FOR_ARRIVALS * NS_PER_S))
        if self._starter.pending:
            wake_ns = min(wake_ns, origin_ns + round(self._starter.pending[0].start * NS_PER_S))
        if self._end is not None and self._users.elapsed() < self._end:
            wake_ns = min(wake_ns, origin_ns + round(self._end * NS_PER_S))
        return wake_ns

    def _abort_if_hopeless(self) -> None:
        """Abort the load if it is still running although a threshold can no longer hold."""
        if not (self._stop.is_set() or (self._end is not None and self._users.elapsed() >= self._end)):
            reason = self._factory.abort_reason(self.measurements, self._users.elapsed())
            if reason is not None:
                self._abort(reason)

    def _abort(self, reason: str) -> None:
        """A threshold cannot hold any more, or the other parts of this load have ended."""
        self.record.aborted = reason
        self._deadlines.is_short = True
        self.stop()

    def _count(self) -> None:
        """Compare what ran with the plan: iterations of the open model, and the time in which users were running."""
        origin_ns, stopped_ns = self.record.origin_ns, self._deadlines.stopped_ns
        self.record.stopped_ns = stopped_ns or 0
        if not origin_ns:
            return
        if self._arrivals is not None and self.record.planned_iterations is None:
            stopped = ((self._clock() if stopped_ns is None else stopped_ns) - origin_ns) / NS_PER_S
            until = stopped if self._end is None else min(stopped, self._end)
            self.record.planned_iterations, self.record.dropped_iterations = planned_and_dropped(
                self._profile, self._share, until, self._arrivals.started
            )
        self.record.user_time = time_of_users(self._profile, self._slots, self._user_threads, origin_ns, stopped_ns)

    # -- the state of the load ----------------------------------------------------------------------------------------

    def _has_run_out(self) -> bool:
        """Whether the users finished all their iterations before the time of the closed model was over."""
        profile = self._profile
        is_limited = profile.iterations is not None or self._quota.is_used_up
        return is_limited and not profile.is_open and self.record.origin_ns > 0

    def _is_empty(self) -> bool:
        return self._users.over + self._users.held == len(self._user_threads)

    def _is_urgent(self) -> bool:
        """Whether something happened that must stop the load, and it has not been stopped yet."""
        is_to_stop = self._users.set_up_failed or self._requests.reason is not None
        return self._must_hurry() or (is_to_stop and not self._stop.is_set())

    def _must_hurry(self) -> bool:
        """Whether something aborted the load that has not been handled yet."""
        is_aborted = self._run_of_users.ended_by is not None and not self._deadlines.is_over
        return is_aborted or self._requests.is_urgent

    def _raise_setup_error(self) -> None:
        if self._users.set_up_failed:
            is_late = self.record.origin_ns > 0
            self.close(hurry=False)
            failed = [user_thread for user_thread in self._user_threads if user_thread.setup_error is not None]
            failed.sort(key=lambda user_thread: self._users.is_tolerable(user_thread.setup_error, is_late=is_late))
            count = len(failed)
            raise UserSetUpError(failed[0].user, count, is_late=is_late) from failed[0].setup_error

    def _collect(self) -> None:
        self._collector.collect(user_thread.recorder for user_thread in self._user_threads)
