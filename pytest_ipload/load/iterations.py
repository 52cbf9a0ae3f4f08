"""The iterations of one user: the loop that runs in its thread."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from itertools import count

from pytest_ipload.base.errors import RendezvousEnded
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.arrivals import ArrivalQueue
from pytest_ipload.load.failure_log import FailureLog
from pytest_ipload.load.generator.lateness import PunctualUsers
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.schedule import Pacer
from pytest_ipload.load.turnstile import Alarm
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.load.user_thread import Scenario, UserThread
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.sample import Problem

_new = object.__new__  # without the call of __init__ it takes a third of the time
_LONG_PAUSE = 1.0
"""Seconds; before a longer pause a user hands over what it measured: after it, the recorder would do so at once."""


def _any_fraction() -> float:
    return 0.0


class IterationQuota:
    """Iterations that all users share; ``None`` means unlimited."""

    def __init__(self, iterations: int | None, over: Alarm | None = None) -> None:
        self._left = iterations
        self._lock = threading.Lock()
        self.over = Alarm() if over is None else over
        """No iteration starts any more: the last one has been taken, or (who stops the load sets it) the load ends."""
        if self.is_used_up:
            self.over.set()

    @property
    def is_used_up(self) -> bool:
        """Whether all of them were taken."""
        return self._left == 0

    def take(self) -> bool:
        """Take one iteration, at its start; False when none is left."""
        if self._left is None:
            return True
        with self._lock:
            if not self._left:
                return False
            self._left -= 1
            is_last = not self._left
        if is_last:
            self.over.set()  # who pauses before an iteration that does not exist any more can go
        return True


class UserRun:
    """Runs users' iterations by the profile; one object serves all users of a load."""

    def __init__(
        self,
        profile: LoadProfile,
        failures: FailureLog,
        budget: IterationQuota,
        stop: threading.Event,
        clock: Callable[[], int],
        ends_load: Callable[[BaseException, int, bool], bool],
        arrivals: ArrivalQueue | None = None,
        most_users: int = 1,
    ) -> None:
        """``arrivals`` says in the open model when iterations start, which has ``most_users`` at the most."""
        self._profile = profile
        self._failures = failures
        self._quota = budget
        self._stop = stop
        self._clock = clock
        self._ends_load = ends_load
        self._arrivals = arrivals
        self._punctual = PunctualUsers(most_users)
        self._untried = True
        self.origin_ns = 0
        """When the load began; set before any user iterates."""
        self.judged_from_ns = 0
        """When the warm-up was over. Earlier failures do not count."""
        self.ended_by: BaseException | None = None
        """What a body raised to end the load."""

    def wait_for(self, seconds: float) -> bool:
        """Wait for ``seconds``; False if no more iterations start, as there are none left or the load ends."""
        return not self._quota.over.wait(seconds)

    def iterate(self, user_thread: UserThread, scenario: Scenario) -> None:
        """Run iterations until the user's time, its iterations or the load are over."""
        user_thread.user.notes_held = self._profile.planned
        if self._arrivals is not None:
            self._run_arrivals(user_thread, scenario, self._arrivals)
            return
        due = max(user_thread.slot.first, self._elapsed())
        if self._profile.planned or self._profile.think_time[1] > 0:
            self._run_with_pauses(user_thread, scenario, due)
        elif self._wait_until(due, user_thread.slot.stop):
            self._run_without_pauses(user_thread, scenario)

    def _run_arrivals(self, user_thread: UserThread, scenario: Scenario, arrivals: ArrivalQueue) -> None:
        """Run iterations that are due by the clock, as long as there are any to take."""
        for number in count(user_thread.first_number):
            due = arrivals.take(self._elapsed())
            if due is None:
                with arrivals.waiting():  # the load lasts as long as planned, unless all its iterations were made
                    self._wait_until(user_thread.slot.stop or 0.0, None)
                return
            if self._stop.is_set():
                return
            if (pause := due - self._elapsed()) > 0:
                if pause > _LONG_PAUSE:
                    user_thread.recorder.flush()
                with arrivals.waiting():
                    is_its_time = self._wait_until(due, None)
                if not is_its_time:
                    return
            arrivals.start()
            self._quota.take()
            planned_ns = self.origin_ns + round(due * NS_PER_S)
            ready_ns = self._punctual.start(planned_ns)
            ended, shift = self._run_planned(user_thread, scenario, number, planned_ns, ready_ns)
            self._punctual.end(ended - shift)

    def _run_with_pauses(self, user_thread: UserThread, scenario: Scenario, due: float) -> None:
        """Wait for each iteration's time, the first one's being ``due``."""
        slot, profile = user_thread.slot, self._profile
        vary = any(low != high for low, high in (profile.pacing, profile.think_time))
        draw = (
            random.Random(f"{profile.seed}:{slot.index}:pauses").random if vary else _any_fraction
        )  # it takes 2.5 KiB
        pacer = Pacer(due, profile.pacing, profile.think_time)
        planned: float | None = due if profile.planned else None
        shift = 0
        for number in self._numbers(user_thread):
            if not self._wait_until(due, slot.stop) or not self._quota.take():
                return
            if planned is None:
                ended = self._run_once(user_thread, scenario, number, self._clock(), 0)
            else:
                planned_ns, due_ns = (self.origin_ns + round(each * NS_PER_S) for each in (planned, due))
                ready_ns = max(planned_ns, due_ns - shift)
                ended, shift = self._run_planned(user_thread, scenario, number, planned_ns, ready_ns)
            due, planned = pacer.following(self._seconds(ended), draw(), draw())
            if due - self._seconds(ended) > _LONG_PAUSE:
                user_thread.recorder.flush()

    def _run_without_pauses(self, user_thread: UserThread, scenario: Scenario) -> None:
        """Nothing lies between two iterations, so that the end of one is taken as the start of the next."""
        stop = user_thread.slot.stop
        stop_ns = None if stop is None else self.origin_ns + round(stop * NS_PER_S)
        take = None if self._profile.total_iterations is None else self._quota.take
        is_stopped, run_once = self._stop.is_set, self._run_once
        now = self._clock()
        for number in self._numbers(user_thread):
            if is_stopped() or (stop_ns is not None and now >= stop_ns) or (take is not None and not take()):
                return
            now = run_once(user_thread, scenario, number, now, 0)

    def _numbers(self, user_thread: UserThread) -> Iterable[int]:
        """The numbers of a user's iterations."""
        limit, first = self._profile.iterations_per_user, user_thread.first_number
        return count(first) if limit is None else range(first, first + limit)

    def _run_planned(
        self, user_thread: UserThread, scenario: Scenario, number: int, planned_ns: int, ready_ns: int
    ) -> tuple[int, int]:
        """Run an iteration with a planned start, which a generator that is never late had started at ``ready_ns``.

        What lies between the two is the target's doing: its replies kept the user busy. What lies between that and the
        start is the generator's. Returns when the iteration ended, and how much earlier it had ended without that.
        """
        started = self._clock()
        ready = min(ready_ns, started)
        ended = self._run_once(user_thread, scenario, number, started, max(0, ready - planned_ns))
        user_thread.recorder.note_lateness(started, started - ready)
        held = max(0, min(user_thread.user.held_ns, ended - started))
        return ended, started - ready + held

    def _run_once(self, user_thread: UserThread, scenario: Scenario, number: int, started: int, lateness: int) -> int:
        """Run the body once and record it; returns when the next iteration may be said to start."""
        user = user_thread.user
        error: BaseException | None = None
        user_thread.iteration_since_ns = started
        try:
            try:
                user_thread.is_exposed = True
                user.begin_iteration(number, lateness, started)
                iteration = _new(Iteration)
                iteration.number, iteration.user = number, user
                scenario.iterate(iteration)
            except BaseException as raised:  # pytest's outcomes are not derived from Exception
                error = raised
            user_thread.is_exposed = False
            if user_thread.interrupted_ns is not None:
                user_thread.cover()
        except IterationInterrupted as late:  # it arrived between two lines of ours, just after the body
            error = error or late
            user_thread.cover()
        clock = self._clock  # found faster than as a method
        ended = clock()
        if user_thread.abandoned:
            return ended  # the executor has counted this iteration, as one that did not stop
        if error is not None and isinstance(error, RendezvousEnded):
            if user.drop_iteration():  # the end of the load cut it short, while it waited for others
                return ended
            error = None  # a request of it had failed before
        elif user_thread.interrupted_ns is not None:
            error = self._interruption(error)
            started = max(started, self.judged_from_ns)  # an iteration that hangs since the warm-up is judged
        elif error is not None and self._is_the_end(error, number):
            return ended
        if self._untried:  # asked first: all users' threads would be writing it all the time
            self._untried = False
        problem = user.end_iteration(started, ended, error)
        if error is None and problem is None:
            return ended
        if started >= self.judged_from_ns:
            self._note_failure(user, number, error, problem)
        return self._clock()

    def _is_the_end(self, error: BaseException, number: int) -> bool:
        """Whether what a body raised ends the load; if so, it is ended."""
        if not isinstance(error, KeyboardInterrupt) and not self._ends_load(error, number, self._untried):
            return False
        self.ended_by = self.ended_by or error
        self._stop.set()
        self._quota.over.set()
        return True

    def _note_failure(
        self, user: VirtualUser, number: int, error: BaseException | None, problem: Problem | None
    ) -> None:
        if error is not None:
            self._failures.add_exception(error, user.index, number, user.source_address, user.trace_of(number))
        elif problem is not None:
            self._failures.add_problem(problem, user.index, number, user.source_address, user.trace_of(number))

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
            if not self.wait_for(remaining):
                return False
        return not self._stop.is_set() and (stop is None or due < stop)

    def _elapsed(self) -> float:
        return self._seconds(self._clock())

    def _seconds(self, ns: int) -> float:
        """A reading of the clock as seconds since the start of the load."""
        return (ns - self.origin_ns) / NS_PER_S
