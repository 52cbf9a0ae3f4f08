"""What happens to users who do not get on in time: they are interrupted, and given up if that does not stop them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_ipload.base.errors import SetUpTimeout
from pytest_ipload.base.units import NS_PER_S, format_duration, format_setting
from pytest_ipload.load.deadlines import Deadlines
from pytest_ipload.load.failure_log import FailureLog
from pytest_ipload.load.load_record import LoadRecord
from pytest_ipload.load.sample_folding import SampleFolding
from pytest_ipload.load.user_lifecycle import UserLifecycle
from pytest_ipload.load.user_thread import IterationInterrupted, Phase, UserThread
from pytest_ipload.stats.recorder import Chunk
from pytest_ipload.stats.sample import FAILED, ITERATION, Problem, timed_sample

LOOK_S = 0.05
"""Seconds between two looks at the users' deadlines, at least: each look is at every user."""
_LONGEST_LOOK = 1.0
"""Seconds between two looks, at most."""
_COMING_BACK = 5.0
"""Seconds that a user may take from its own code back to ours: far more than any needs."""


class DeadlineEnforcer:
    """Enforces the deadlines of a load's users. For the executor's thread."""

    def __init__(
        self,
        patience: Deadlines,
        seats: Sequence[UserThread],
        users: UserLifecycle,
        record: LoadRecord,
        failures: FailureLog,
        folding: SampleFolding,
        clock: Callable[[], int],
    ) -> None:
        """``seats`` grows while users come."""
        self._patience = patience
        self._seats = seats
        self._users = users
        self._record = record
        self._failures = failures
        self._folding = folding
        self._clock = clock
        self.next_look_ns = 0
        """When the users are looked at next; 0 is at once."""

    def look(self, now: int, *, again_soon: bool = False) -> None:
        """Look at the users' deadlines, if it is time to; ``again_soon`` where users come all the time."""
        if now >= self.next_look_ns:
            next_ns, soon_ns = self.enforce(now), now + round(LOOK_S * NS_PER_S)
            self.next_look_ns = soon_ns if again_soon else max(next_ns, soon_ns)

    def enforce(self, now: int) -> int:
        """Interrupt users who are overdue, give up those whom that did not stop; returns the next deadline."""
        next_ns = now + round(_LONGEST_LOOK * NS_PER_S)
        for seat in self._seats:
            if seat.is_over or seat.phase is Phase.HELD:
                continue
            deadline = self._patience.deadline(seat)
            if deadline is None:
                continue
            if deadline > now:
                next_ns = min(next_ns, deadline)
            elif seat.interrupted_ns is None:
                self._interrupt(seat, now)
                next_ns = min(next_ns, self._patience.deadline(seat) or next_ns)
            else:
                self._abandon(seat, at_any_rate=now > deadline + _COMING_BACK * NS_PER_S)
        return next_ns

    def _interrupt(self, seat: UserThread, now: int) -> None:
        self._record.interrupted += seat.in_body
        if seat.phase is Phase.SET_UP and seat.set_up_since_ns is not None and self._patience.stopped_ns is None:
            seat.timed_out = self._set_up_timeout(seat, now - seat.set_up_since_ns)
        if seat.phase is Phase.TEAR_DOWN and self._patience.is_over:  # pytest will not tell of its error
            self._record.cut_short[seat.slot.index] = seat.as_cut_short()
        seat.interrupt(now)

    def _set_up_timeout(self, seat: UserThread, lasted_ns: int) -> SetUpTimeout:
        """What is said of a set-up that is interrupted now."""
        grace, stop = format_setting(self._patience.graceful_stop), seat.slot.stop
        if stop is not None and self._users.elapsed() >= stop:
            why = f"the load and the graceful stop of {grace} had ended"
        else:
            idle = format_setting(self._patience.idle_s)
            why = f"none of its requests had finished for {idle} (its timeout plus graceful_stop)"
        return SetUpTimeout(
            f"user {seat.slot.index} was still in its set-up after {format_duration(lasted_ns / NS_PER_S)}, at "
            f"{seat.whereabouts()}, when {why}; set a timeout on whatever it waits for, or raise graceful_stop"
        )

    def _abandon(self, seat: UserThread, *, at_any_rate: bool) -> None:
        """Wait for a user no more, and take over what it measured."""
        with self._users.changed:
            if not seat.give_up(at_any_rate=at_any_rate):
                return
            self._users.over += 1
            if seat.phase is Phase.SET_UP:
                seat.setup_error = seat.timed_out
                self._users.settled += 1
                self._users.count_set_up(seat)
        self._record.abandoned.append(seat.as_given_up())
        self._record.abandoned_users.append(seat.slot.index)
        self._record.cut_short.pop(seat.slot.index, None)
        seat.user.detach()
        seat.recorder.take_over()
        if seat.began_ns is not None and seat.phase is Phase.ITERATIONS:
            self._count_stuck_iteration(seat, seat.began_ns, seat.interrupted_ns or self._clock())

    def _count_stuck_iteration(self, seat: UserThread, began_ns: int, ended_ns: int) -> None:
        """The running iteration of a user that could not be stopped has failed, as one that was interrupted has."""
        with self._users.changed:
            seat.ended_ns = ended_ns
            self._record.lifetimes.append((began_ns, ended_ns))
            self._record.ended_ns = max(self._record.ended_ns, ended_ns)
        if not seat.in_body:
            return
        user = seat.user
        started_ns = max(seat.iteration_since_ns or began_ns, self._folding.measurements.judged_from_ns)
        lateness_ns, source = user.running_lateness_ns(), user.source_address
        took_ns = max(0, ended_ns - started_ns)
        sample = timed_sample(ITERATION, "", started_ns, took_ns, FAILED, 0, source, lateness_ns)
        self._folding.take([Chunk([sample], {})])
        message = "the iteration was still running after the graceful stop and could not be interrupted"
        problem = Problem(IterationInterrupted.__name__, message, seat.whereabouts())
        self._failures.add_problem(problem, user.index, user.iteration, source)
