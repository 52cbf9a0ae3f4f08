"""The iterations of one user: the loop that runs in its thread."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from pytest_ipload.load.failures import FailureLog
from pytest_ipload.load.profile import LoadProfile
from pytest_ipload.load.schedule import Pacer
from pytest_ipload.load.seat import IterationInterrupted, Life, Seat
from pytest_ipload.load.user import Iteration

_SECOND = 1_000_000_000


class Budget:
    """Iterations that all users share."""

    def __init__(self, iterations: int | None) -> None:
        self._left = iterations
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one iteration; False when none is left."""
        if self._left is None:
            return True
        with self._lock:
            self._left -= 1
            return self._left >= 0


class UserRun:
    """Runs users' iterations by the profile; one object serves all users of a load."""

    def __init__(
        self,
        profile: LoadProfile,
        failures: FailureLog,
        budget: Budget,
        stop: threading.Event,
        clock: Callable[[], int],
        ends_load: Callable[[BaseException, int, bool], bool],
    ) -> None:
        self._profile = profile
        self._failures = failures
        self._budget = budget
        self._stop = stop
        self._clock = clock
        self._ends_load = ends_load
        self._untried = True
        self.origin_ns = 0
        """When the load began; set before any user iterates."""
        self.ended_by: BaseException | None = None
        """What a body raised to end the load."""

    def iterate(self, seat: Seat, life: Life) -> None:
        """Run iterations until the user's time, its iterations or the load are over."""
        limit, slot, clock = self._profile.iterations_per_user, seat.slot, self._clock
        pauses = random.Random(f"{self._profile.seed}:{slot.index}:pauses")
        due = max(slot.start, self._elapsed())
        pacer = Pacer(due, self._profile.pacing, self._profile.think_time)
        planned: float | None = due if self._profile.planned else None
        number = 0
        while (limit is None or number < limit) and self._wait_until(due, slot.stop) and self._budget.take():
            started = clock()
            lateness = 0 if planned is None else max(0, started - self.origin_ns - round(planned * _SECOND))
            self._run_once(seat, life, number, started, lateness)
            number += 1
            due, planned = pacer.following(self._elapsed(), pauses.random(), pauses.random())

    def _run_once(self, seat: Seat, life: Life, number: int, started: int, lateness: int) -> None:
        user = seat.user
        error: BaseException | None = None
        seat.in_body = True
        try:
            try:
                seat.expose()
                user.begin_iteration(number, lateness)
                life.iterate(Iteration(number, user))
            except BaseException as raised:  # pytest's outcomes are no Exceptions
                error = raised
            seat.cover()
        except IterationInterrupted as late:  # it arrived between two lines of ours, just after the body
            error = error or late
            seat.cover()
        seat.in_body = False
        if seat.interrupted_ns is not None:
            error = self._interruption(error)
        elif error is not None and (
            isinstance(error, KeyboardInterrupt) or self._ends_load(error, number, self._untried)
        ):
            self.ended_by = self.ended_by or error
            self._stop.set()
            return
        self._untried = False
        problem = user.end_iteration(started, self._clock(), error)
        if error is not None:
            self._failures.add_exception(error, user.index, number, user.source_address)
        elif problem is not None:
            self._failures.add_problem(problem, user.index, number, user.source_address)

    def _interruption(self, error: BaseException | None) -> BaseException:
        """However the interruption showed itself (often as a lost connection), it is reported as what it was."""
        if isinstance(error, IterationInterrupted) and error.args:
            return error
        interrupted = IterationInterrupted("the iteration was still running after the graceful stop")
        return interrupted.with_traceback(error.__traceback__ if error is not None else None)

    def _wait_until(self, due: float, stop: float | None) -> bool:
        """Wait for the next iteration's start; False when the user's time or the load is over before."""
        until = due if stop is None else min(due, stop)
        while (remaining := until - self._elapsed()) > 0:
            if self._stop.wait(remaining):
                return False
        return not self._stop.is_set() and (stop is None or due < stop)

    def _elapsed(self) -> float:
        return (self._clock() - self.origin_ns) / _SECOND
