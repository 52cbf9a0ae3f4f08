"""The lifecycle of a user in its own thread: it is set up, waits for its start, iterates, and is torn down."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pytest_ipload.base.errors import RendezvousEnded
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.failure_log import FailureLog
from pytest_ipload.load.iterations import UserRun
from pytest_ipload.load.load_record import LoadRecord
from pytest_ipload.load.user_contexts import UserContexts
from pytest_ipload.load.user_factory import UserFactory
from pytest_ipload.load.user_thread import IterationInterrupted, Phase, Scenario, UserThread
from pytest_ipload.load.user_time import LATE_START_S
from pytest_ipload.settings.load_profile import LoadProfile


class UserLifecycle:
    """Runs all users through their lifecycle, and counts how far they are."""

    def __init__(
        self,
        profile: LoadProfile,
        crew: UserFactory,
        run: UserRun,
        stop: threading.Event,
        record: LoadRecord,
        failures: FailureLog,
        clock: Callable[[], int],
        is_awaited: Callable[[], bool],
        *,
        tolerates_set_up_errors: bool,
        holds_users: bool,
    ) -> None:
        """``stop`` is set when no more iterations are to start.

        ``is_awaited`` says, in a user's thread, whether there is something for the executor's thread to do. Users that
        have finished their iterations are torn down at once, or, with ``holds_users``, when they are released."""
        self._profile = profile
        self._crew = crew
        self._run = run
        self._record = record
        self._failures = failures
        self._clock = clock
        self._is_awaited = is_awaited
        self._tolerates_set_up_errors = tolerates_set_up_errors
        self.stop = stop
        self._holds_users = holds_users
        self._may_leave = threading.Event()
        self.gate = threading.Event()
        """Set when the load begins."""
        self.contexts = UserContexts()
        self.changed = threading.Condition()
        # Counted, not looked for: each of thousands of users would look at all the others. Guarded by ``changed``.
        self.settled = 0
        """Users that have finished their set-up."""
        self.over = 0
        """Users that have left or were abandoned."""
        self.held = 0
        """Users that wait for their release."""
        self.set_up_failed = False
        """Whether a user's set-up failed that cannot be left out."""

    def is_tolerable(self, error: BaseException | None, *, is_late: bool) -> bool:
        """Whether a user whose set-up failed may be left out: not for what ends the test or the session."""
        if not self._tolerates_set_up_errors or error is None or isinstance(error, KeyboardInterrupt):
            return False
        return not self._crew.ends_load(error, 0, not is_late)

    def live(self, seat: UserThread) -> None:
        """A user's whole lifecycle, in its own thread."""
        try:
            life = self._set_up_user(seat)
            if life is not None and self._wait_at_gate(seat) and self._begin(seat):
                self._run.iterate(seat, life)
        except IterationInterrupted:
            pass  # it arrived between two lines of ours, just after the set-up: the user leaves
        except BaseException:
            seat.is_lost = True  # it is a fault of ours, or of the interpreter, which threading reports
            raise
        finally:
            self._hold(seat)
            self._tear_down_user(seat)

    def _set_up_user(self, seat: UserThread) -> Scenario | None:
        """The user's scenario, set up; None if that failed."""
        try:
            if seat.setup_error is not None:
                return None  # it got no address
            if seat.is_admitted is None:
                seat.is_admitted = self._crew.admit(seat.user, block=False)
            if not seat.is_admitted:
                self._step_aside(seat)  # the others must not wait for this one
                self._wait_at_gate(seat)
                if not self._wait_for(seat.slot.start):
                    return None
                seat.is_admitted = self._crew.admit(seat.user, block=True)
                self._step_in(seat)
            seat.life = self._crew.make_scenario(seat.user)
            seat.set_up_since_ns = self._clock()
            seat.expose()
            seat.life.set_up()
            if seat.timed_out is not None:  # the interruption came too late, or was swallowed: the session is closed
                raise seat.timed_out
        except BaseException as error:  # pytest's outcomes are not derived from Exception
            seat.setup_error = self._set_up_failure(seat, error)
            return None
        else:
            seat.ready_ns = self._clock()
        finally:
            seat.cover()
            self._end_set_up(seat)
        return seat.life

    def _wait_at_gate(self, seat: UserThread) -> bool:
        """Wait for the load to begin; from then on the user sees the context variables of the call phase."""
        self.gate.wait()
        if seat.is_behind:
            seat.is_behind = False
            self.contexts.catch_up()
        return True

    def _set_up_failure(self, seat: UserThread, error: BaseException) -> BaseException | None:
        """The failure of the user's set-up; None if the end of the load cut it short."""
        if seat.timed_out is not None:
            return seat.timed_out
        if seat.interrupted_ns is not None and not isinstance(error, KeyboardInterrupt):
            return None
        waited = seat.life is None or isinstance(error, RendezvousEnded)
        return None if waited and self._is_past_its_time(seat) else error

    def _begin(self, seat: UserThread) -> bool:
        """Wait for the user's start of iterations; False if it will not come."""
        if not self._wait_for(seat.slot.start):
            return False
        is_too_late = self._is_past_its_time(seat)
        if is_too_late and self._was_set_up_too_late(seat):
            return False
        with self.changed:
            self._record.users_started += 1
            is_late = seat.slot.start > 0 and self.elapsed() - seat.slot.first > LATE_START_S
            self._record.late_starts += is_late and not self._profile.is_open
            if not is_too_late:
                seat.phase = Phase.ITERATIONS
                seat.began_ns = self._clock()
        return not is_too_late

    def _was_set_up_too_late(self, seat: UserThread) -> bool:
        """Whether its set-up took all of its time: else it was kept waiting by the generator."""
        stop = seat.slot.stop
        return stop is not None and (seat.ready_ns or 0) >= self._record.origin_ns + round(stop * NS_PER_S)

    def _wait_for(self, start: float) -> bool:
        """Wait for a moment of the load; False if it is stopped before, or no iteration is left."""
        while (early := start - self.elapsed()) > 0:
            if not self._run.wait_for(early):
                return False
        return not self.stop.is_set()

    def _is_past_its_time(self, seat: UserThread) -> bool:
        """Whether the load, or this user's part of it, is over."""
        stop = seat.slot.stop
        return self.stop.is_set() or (stop is not None and self.elapsed() >= stop)

    def elapsed(self) -> float:
        """Seconds since the start of the load; 0 before."""
        origin = self._record.origin_ns
        return (self._clock() - origin) / NS_PER_S if origin else 0.0

    def _step_aside(self, seat: UserThread) -> None:
        """Wait before the set-up, without others waiting for this user."""
        with self.changed:
            seat.phase = Phase.READY
            self.settled += 1
            self._wake()

    def _step_in(self, seat: UserThread) -> None:
        """Go on to the set-up."""
        with self.changed:
            seat.phase = Phase.SET_UP
            self.settled -= 1

    def _end_set_up(self, seat: UserThread) -> None:
        """The set-up is over, whatever its outcome."""
        with self.changed:
            if not seat.abandoned:  # else it was counted then
                self.settled += seat.phase is Phase.SET_UP
                seat.phase = Phase.READY
                self.count_set_up(seat)
                self._wake()

    def count_set_up(self, seat: UserThread) -> None:
        if seat.ready_ns is not None:
            self._record.set_ups_tried += 1
        elif seat.setup_error is not None:  # else the end of the load cut it short
            self._record.set_ups_tried += 1
            self._record.set_ups_failed += 1
            if self.is_tolerable(seat.setup_error, is_late=self._record.origin_ns > 0):
                self._failures.add_set_up(seat.setup_error, seat.slot.index, seat.user.source_address)
            else:
                self.set_up_failed = True

    def _wake(self) -> None:
        """Wake the executor's thread, if there is something for it to do: with thousands of users there rarely is."""
        if self._is_awaited() or not self.gate.is_set():
            self.changed.notify_all()

    def let_go(self) -> None:
        """Release held users to their teardown; called in the executor's thread."""
        with self.changed:
            self.held = 0
            self._may_leave.set()

    def _hold(self, seat: UserThread) -> None:
        """Hold a user that has finished its iterations until it is released."""
        if not self._holds_users or seat.began_ns is None or seat.is_lost:
            return
        ended = self._clock()
        seat.recorder.flush()
        with self.changed:
            if seat.abandoned or self._may_leave.is_set():
                return
            seat.ended_ns = ended
            self._record.ended_ns = max(self._record.ended_ns, ended)
            self._record.lifetimes.append((seat.began_ns, ended))
            seat.phase = Phase.HELD
            self.held += 1
            self._wake()
        self._may_leave.wait()

    def _tear_down_user(self, seat: UserThread) -> None:
        is_counted = seat.phase is Phase.HELD
        ended = self._clock()
        if not (seat.abandoned or is_counted):
            seat.ended_ns = None if seat.began_ns is None else ended
        seat.tear_down(ended)
        try:
            seat.user.close()
            self._crew.user_left(seat.user)
        except Exception as error:
            seat.teardown_error = seat.teardown_error or error
        seat.recorder.flush()
        with self.changed:
            if not seat.abandoned:  # an abandoned user has been counted
                if seat.began_ns is not None and not is_counted:
                    self._record.lifetimes.append((seat.began_ns, ended))
                if seat.teardown_error is not None:
                    self._record.teardown_errors.append((seat.user, seat.teardown_error))
                if not is_counted:
                    self._record.ended_ns = max(self._record.ended_ns, ended)
            seat.leave(self._clock())
            self.over += not seat.abandoned
            self._wake()
