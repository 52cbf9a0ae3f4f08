"""The lifecycle of a user in its own thread: it is set up, waits for its start, iterates, and is torn down."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pytest_ipload.base.errors import RendezvousEnded
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.failure_log import FailureLog
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.iterations import UserRun
from pytest_ipload.load.load_record import LoadRecord
from pytest_ipload.load.schedule import UserSlot
from pytest_ipload.load.turnstile import Turnstile
from pytest_ipload.load.user_contexts import UserContexts
from pytest_ipload.load.user_factory import UserFactory
from pytest_ipload.load.user_thread import Phase, Scenario, UserThread
from pytest_ipload.load.user_time import LATE_START_S
from pytest_ipload.settings.load_profile import LoadProfile


class UserLifecycle:
    """Runs all users through their lifecycle, and counts how far they are."""

    def __init__(
        self,
        profile: LoadProfile,
        factory: UserFactory,
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
        self._factory = factory
        self._run = run
        self._record = record
        self._failures = failures
        self._clock = clock
        self._is_awaited = is_awaited
        self._tolerates_set_up_errors = tolerates_set_up_errors
        self.stop = stop
        self._holds_users = holds_users
        self._may_leave = Turnstile()
        self.gate = Turnstile()
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
        return not self._factory.ends_load(error, 0, not is_late)

    def live(self, user_thread: UserThread) -> None:
        """A user's whole lifecycle, in its own thread: one round of the load, or several."""
        users: UserLifecycle | None = self
        with user_thread.user.in_own_thread():
            while users is not None:
                users = users._live_in_round(user_thread)

    def _live_in_round(self, user_thread: UserThread) -> UserLifecycle | None:
        """The user's part in this round; returns the round that it goes on in, None once it is torn down."""
        following: UserLifecycle | None = None
        try:
            scenario = self._ready_scenario(user_thread)
            if scenario is not None and self._wait_at_gate(user_thread) and self._begin(user_thread):
                self._run.iterate(user_thread, scenario)
        except IterationInterrupted:
            pass  # it arrived between two lines of ours, just after the set-up: the user leaves
        except BaseException:
            user_thread.is_lost = True  # it is a fault of ours, or of the interpreter, which threading reports
            raise
        finally:
            following = self._hold(user_thread)
            if following is None:
                self._tear_down_user(user_thread)
        return following

    def _ready_scenario(self, user_thread: UserThread) -> Scenario | None:
        """The user's scenario, set up now or in an earlier round; None if that failed, or if there is nothing to do."""
        if user_thread.ready_ns is None:
            return self._set_up_user(user_thread)
        user_thread.user.resume()  # it may have been interrupted at the end of the last round
        return None if user_thread.is_idle else user_thread.scenario

    def _set_up_user(self, user_thread: UserThread) -> Scenario | None:
        """The user's scenario, set up; None if that failed."""
        try:
            if user_thread.setup_error is not None:
                return None  # it got no address
            if user_thread.is_admitted is None:
                user_thread.is_admitted = self._factory.admit(user_thread.user, block=False)
            if not user_thread.is_admitted:
                self._step_aside(user_thread)  # the others must not wait for this one
                self._wait_at_gate(user_thread)
                if not self._wait_for(user_thread.slot.start):
                    return None
                user_thread.is_admitted = self._factory.admit(user_thread.user, block=True)
                self._step_in(user_thread)
            user_thread.scenario = self._factory.make_scenario(user_thread.user)
            user_thread.set_up_since_ns = self._clock()
            user_thread.expose()
            user_thread.scenario.set_up()
            if (
                user_thread.timed_out is not None
            ):  # the interruption came too late, or was swallowed: the session is closed
                raise user_thread.timed_out
        except BaseException as error:  # pytest's outcomes are not derived from Exception
            user_thread.setup_error = self._set_up_failure(user_thread, error)
            return None
        else:
            user_thread.ready_ns = self._clock()
        finally:
            user_thread.cover()
            self._end_set_up(user_thread)
        return user_thread.scenario

    def _wait_at_gate(self, user_thread: UserThread) -> bool:
        """Wait for the load to begin; from then on the user sees the context variables of the call phase."""
        self.gate.wait()
        if user_thread.is_behind:
            user_thread.is_behind = False
            self.contexts.catch_up()
        return True

    def _set_up_failure(self, user_thread: UserThread, error: BaseException) -> BaseException | None:
        """The failure of the user's set-up; None if the end of the load cut it short."""
        if user_thread.timed_out is not None:
            return user_thread.timed_out
        if user_thread.interrupted_ns is not None and not isinstance(error, KeyboardInterrupt):
            return None
        waited = user_thread.scenario is None or isinstance(error, RendezvousEnded)
        return None if waited and self._is_past_its_time(user_thread) else error

    def _begin(self, user_thread: UserThread) -> bool:
        """Wait for the user's start of iterations; False if it will not come."""
        if not self._wait_for(user_thread.slot.start):
            return False
        is_too_late = self._is_past_its_time(user_thread)
        if is_too_late and self._was_set_up_too_late(user_thread):
            return False
        with self.changed:
            self._record.users_started += 1
            is_late = user_thread.slot.start > 0 and self.elapsed() - user_thread.slot.first > LATE_START_S
            self._record.late_starts += is_late and not self._profile.is_open
            if not is_too_late:
                user_thread.phase = Phase.ITERATIONS
                user_thread.began_ns = self._clock()
        return not is_too_late

    def _was_set_up_too_late(self, user_thread: UserThread) -> bool:
        """Whether its set-up took all of its time: else it was kept waiting by the generator."""
        stop = user_thread.slot.stop
        return stop is not None and (user_thread.ready_ns or 0) >= self._record.origin_ns + round(stop * NS_PER_S)

    def _wait_for(self, start: float) -> bool:
        """Wait for a moment of the load; False if it is stopped before, or no iteration is left."""
        while (early := start - self.elapsed()) > 0:
            if not self._run.wait_for(early):
                return False
        return not self.stop.is_set()

    def _is_past_its_time(self, user_thread: UserThread) -> bool:
        """Whether the load, or this user's part of it, is over."""
        stop = user_thread.slot.stop
        return self.stop.is_set() or (stop is not None and self.elapsed() >= stop)

    def elapsed(self) -> float:
        """Seconds since the start of the load; 0 before."""
        origin = self._record.origin_ns
        return (self._clock() - origin) / NS_PER_S if origin else 0.0

    def _step_aside(self, user_thread: UserThread) -> None:
        """Wait before the set-up, without others waiting for this user."""
        with self.changed:
            user_thread.phase = Phase.READY
            self.settled += 1
            self._wake()

    def _step_in(self, user_thread: UserThread) -> None:
        """Go on to the set-up."""
        with self.changed:
            user_thread.phase = Phase.SET_UP
            self.settled -= 1

    def _end_set_up(self, user_thread: UserThread) -> None:
        """The set-up is over, whatever its outcome."""
        with self.changed:
            if not user_thread.abandoned:  # else it was counted then
                self.settled += user_thread.phase is Phase.SET_UP
                user_thread.phase = Phase.READY
                self.count_set_up(user_thread)
                self._wake()

    def count_set_up(self, user_thread: UserThread) -> None:
        if user_thread.ready_ns is not None:
            self._record.set_ups_tried += 1
        elif user_thread.setup_error is not None:  # else the end of the load cut it short
            self._record.set_ups_tried += 1
            self._record.set_ups_failed += 1
            if self.is_tolerable(user_thread.setup_error, is_late=self._record.origin_ns > 0):
                self._failures.add_set_up(
                    user_thread.setup_error, user_thread.slot.index, user_thread.user.source_address
                )
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

    def take_over(self, user_thread: UserThread, slot: UserSlot, *, is_idle: bool) -> None:
        """A user that an earlier round holds goes on in this one, once it is released there."""
        with self.changed:
            user_thread.go_on(slot, self, is_idle=is_idle)
            self.settled += 1

    def hand_over(self, user_threads: list[UserThread]) -> list[UserThread]:
        """Take the held users out of the list, for another round to go on with; ``let_go`` releases them."""
        with self.changed:
            held = [each for each in user_threads if each.phase is Phase.HELD]
            user_threads[:] = [each for each in user_threads if each.phase is not Phase.HELD]
            self.held -= len(held)
        return held

    def _hold(self, user_thread: UserThread) -> UserLifecycle | None:
        """Hold a user that has finished its iterations until it is released; returns the round that it goes on in."""
        if not self._holds_users or user_thread.ready_ns is None or user_thread.is_lost:
            return None
        ended = self._clock()
        user_thread.recorder.flush()
        with self.changed:
            if user_thread.abandoned or self._may_leave.is_set():
                return None
            if user_thread.began_ns is not None:
                user_thread.ended_ns = ended
                self._record.ended_ns = max(self._record.ended_ns, ended)
                self._record.lifetimes.append((user_thread.began_ns, ended))
            user_thread.following, user_thread.phase = None, Phase.HELD
            self.held += 1
            self._wake()
        self._may_leave.wait()
        return user_thread.following

    def _tear_down_user(self, user_thread: UserThread) -> None:
        is_counted = user_thread.phase is Phase.HELD
        ended = self._clock()
        if not (user_thread.abandoned or is_counted):
            user_thread.ended_ns = None if user_thread.began_ns is None else ended
        user_thread.tear_down(ended)
        try:
            user_thread.user.close()
            self._factory.user_left(user_thread.user)
        except Exception as error:
            user_thread.teardown_error = user_thread.teardown_error or error
        user_thread.recorder.flush()
        with self.changed:
            if not user_thread.abandoned:  # an abandoned user has been counted
                if user_thread.began_ns is not None and not is_counted:
                    self._record.lifetimes.append((user_thread.began_ns, ended))
                if user_thread.teardown_error is not None:
                    self._record.teardown_errors.append((user_thread.user, user_thread.teardown_error))
                if not is_counted:
                    self._record.ended_ns = max(self._record.ended_ns, ended)
            user_thread.leave(self._clock())
            self.over += not user_thread.abandoned
            self._wake()
