"""What happens to users who do not get on in time: they are interrupted, and given up if that does not stop them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_ipload.base.errors import SetUpTimeout, TearDownTimeout
from pytest_ipload.base.units import NS_PER_S, format_duration, format_setting
from pytest_ipload.load.deadlines import Deadlines
from pytest_ipload.load.failure_log import FailureLog
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.load_record import LoadRecord
from pytest_ipload.load.user_lifecycle import UserLifecycle
from pytest_ipload.load.user_thread import Phase, UserThread
from pytest_ipload.stats.collector import SampleCollector
from pytest_ipload.stats.recorder import Chunk
from pytest_ipload.stats.sample import FAILED, ITERATION, Problem, timed_sample

LOOK_S = 0.05
"""Minimum seconds between two checks of the users' deadlines: each check visits every user."""
_LONGEST_LOOK = 1.0
"""Seconds between two looks, at most."""
_COMING_BACK = 5.0
"""Seconds that a user may take from its own code back to ours: far more than any needs."""


class DeadlineEnforcer:
    """Enforces the deadlines of a load's users. For the executor's thread."""

    def __init__(
        self,
        deadlines: Deadlines,
        user_threads: Sequence[UserThread],
        users: UserLifecycle,
        record: LoadRecord,
        failures: FailureLog,
        collector: SampleCollector,
        clock: Callable[[], int],
    ) -> None:
        """``user_threads`` grows while users start."""
        self._deadlines = deadlines
        self._user_threads = user_threads
        self._users = users
        self._record = record
        self._failures = failures
        self._collector = collector
        self._clock = clock
        self.next_look_ns = 0
        """When the users are checked next; 0 is at once."""

    def look(self, now: int, *, again_soon: bool = False) -> None:
        """Check the users' deadlines, if due; ``again_soon`` while users start all the time."""
        if now >= self.next_look_ns:
            next_ns, soon_ns = self.enforce(now), now + round(LOOK_S * NS_PER_S)
            self.next_look_ns = soon_ns if again_soon else max(next_ns, soon_ns)

    def enforce(self, now: int) -> int:
        """Interrupt overdue users, abandon those that did not stop; returns the next deadline."""
        next_ns = now + round(_LONGEST_LOOK * NS_PER_S)
        for user_thread in self._user_threads:
            if user_thread.is_over or user_thread.phase is Phase.HELD:
                continue
            deadline = self._deadlines.deadline(user_thread)
            if deadline is None:
                continue
            if deadline > now:
                next_ns = min(next_ns, deadline)
            elif user_thread.interrupted_ns is None:
                self._interrupt(user_thread, now)
                next_ns = min(next_ns, self._deadlines.deadline(user_thread) or next_ns)
            elif user_thread.is_cancelled:
                user_thread.insist()
                next_ns = min(next_ns, self._deadlines.deadline(user_thread) or next_ns)
            else:
                self._abandon(user_thread, at_any_rate=now > deadline + _COMING_BACK * NS_PER_S)
        return next_ns

    def _interrupt(self, user_thread: UserThread, now: int) -> None:
        self._record.interrupted += user_thread.in_body
        if (
            user_thread.phase is Phase.SET_UP
            and user_thread.set_up_since_ns is not None
            and self._deadlines.stopped_ns is None
        ):
            user_thread.timed_out = self._set_up_timeout(user_thread, now - user_thread.set_up_since_ns)
        if user_thread.phase is Phase.TEAR_DOWN and self._deadlines.is_over:  # pytest will not tell of its error
            self._record.cut_short[user_thread.slot.index] = user_thread.as_cut_short()
        user_thread.interrupt(now, self._deadlines.patience_s(user_thread))

    def _set_up_timeout(self, user_thread: UserThread, lasted_ns: int) -> SetUpTimeout:
        """The error for a set-up that is interrupted now."""
        grace, stop = format_setting(self._deadlines.graceful_stop), user_thread.slot.stop
        if stop is not None and self._users.elapsed() >= stop:
            why = f"the load and the graceful stop of {grace} had ended"
        else:
            idle = format_setting(self._deadlines.idle_s)
            why = f"none of its requests had finished for {idle} (its timeout plus graceful_stop)"
        return SetUpTimeout(
            f"user {user_thread.slot.index} was still in its set-up after {format_duration(lasted_ns / NS_PER_S)}, at "
            f"{user_thread.whereabouts()}, when {why}; set a timeout on whatever it waits for, or raise graceful_stop"
        )

    @staticmethod
    def _tear_down_timeout(user_thread: UserThread) -> TearDownTimeout:
        """The error for a teardown that could not be interrupted."""
        return TearDownTimeout(
            f"user {user_thread.slot.index} was still in its teardown after the graceful stop, at "
            f"{user_thread.whereabouts()}, and could not be interrupted; set a timeout on whatever it waits for"
        )

    def _abandon(self, user_thread: UserThread, *, at_any_rate: bool) -> None:
        """Abandon a user, and take over what it measured."""
        with self._users.changed:
            if not user_thread.give_up(at_any_rate=at_any_rate):
                return
            self._users.over += 1
            if user_thread.phase is Phase.SET_UP:
                user_thread.setup_error = user_thread.timed_out
                self._users.settled += 1
                self._users.count_set_up(user_thread)
            elif user_thread.phase is Phase.TEAR_DOWN:
                error = user_thread.teardown_error or self._tear_down_timeout(user_thread)
                self._record.teardown_errors.append((user_thread.user, error))
        self._record.abandoned.append(user_thread.as_given_up())
        self._record.abandoned_users.append(user_thread.slot.index)
        self._record.cut_short.pop(user_thread.slot.index, None)
        user_thread.user.detach()
        user_thread.recorder.take_over()
        if user_thread.began_ns is not None and user_thread.phase is Phase.ITERATIONS:
            self._count_stuck_iteration(user_thread, user_thread.began_ns, user_thread.interrupted_ns or self._clock())

    def _count_stuck_iteration(self, user_thread: UserThread, began_ns: int, ended_ns: int) -> None:
        """The running iteration of a user that could not be stopped counts as failed, like an interrupted one."""
        with self._users.changed:
            user_thread.ended_ns = ended_ns
            self._record.lifetimes.append((began_ns, ended_ns))
            self._record.ended_ns = max(self._record.ended_ns, ended_ns)
        if not user_thread.in_body:
            return
        user = user_thread.user
        started_ns = max(user_thread.iteration_since_ns or began_ns, self._collector.measurements.judged_from_ns)
        lateness_ns, source = user.running_lateness_ns(), user.source_address
        took_ns = max(0, ended_ns - started_ns)
        sample = timed_sample(ITERATION, "", started_ns, took_ns, FAILED, 0, source, lateness_ns)
        self._collector.take([Chunk([sample], {})])
        message = "the iteration was still running after the graceful stop and could not be interrupted"
        problem = Problem(IterationInterrupted.__name__, message, user_thread.whereabouts())
        self._failures.add_problem(problem, user.index, user.iteration, source)
