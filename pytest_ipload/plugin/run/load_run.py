"""One load, from its profile to its result."""

from __future__ import annotations

import unittest
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module

import pytest

from pytest_ipload.base.errors import LateSkip, is_configuration_error
from pytest_ipload.base.health_catalogue import fired_by_message
from pytest_ipload.load.executor import Executor, UserSetUpError
from pytest_ipload.load.failure_log import FailureGroup
from pytest_ipload.load.sample_folding import Pieces
from pytest_ipload.load.schedule import slots_of
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_thread import Scenario
from pytest_ipload.plugin.run.load_request import LoadRequest
from pytest_ipload.plugin.run.load_result import LoadResults
from pytest_ipload.plugin.run.load_users import LoadUsers
from pytest_ipload.plugin.run.sample_hook import SampleSink, open_sample_sink
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.stats.live_reporter import LiveReporter
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.verdict.shard_group import Shard, SingleProcess
from pytest_ipload.verdict.threshold.config import (
    tolerates_set_up_errors,
    window_lengths,
    with_implied,
)
from pytest_ipload.verdict.threshold.selection import selections, window_selections

_SKIPS = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)
"""What pytest takes for a test that did not run, or was known to fail."""


class Load:
    """Makes users, runs them, and turns what they measured into a result."""

    def __init__(self, state: SessionState, request: LoadRequest, member: Shard | None = None) -> None:
        """This process runs its share of the load, in step with the others if it is a ``member`` of a team.

        Raises PoolError or GeneratorLimitError before anything was started.
        """
        profile, given = request.profile, request.thresholds
        thresholds = with_implied(given)
        if state.settings.disabled:  # only errors fail a functional test, unless its thresholds tolerate some
            thresholds = thresholds[len(given) :]
        request = self._request = replace(request, thresholds=thresholds)
        self.profile = profile
        self.tap: SampleSink | None = None
        self._member = member
        self._whole_loads = state.whole_loads
        self._users = LoadUsers(state, request, state.pools.slot if member is None else member.pool_share)
        shortage = self._users.shortage
        foreseen = [*request.foreseen, *([] if shortage is None else [fired_by_message("few-ports", shortage)])]
        audience, note = state.audience if member is None else member.audience, request.round_note
        round_ = None if note is None else (note.number + 1, note.count)
        self._showing = LiveReporter(request.item.nodeid, profile, audience, round_)
        self.executor = Executor(
            profile,
            slots_of(profile, request.share),
            self,
            cpu=state.cpu,
            workers_on_cpu=state.workers_on_cpu,
            share=request.share,
            pieces=Pieces(
                window_lengths(thresholds),
                window_selections(thresholds, profile.planned),
                selections(thresholds, profile.planned),
            ),
            tolerates_set_up_errors=tolerates_set_up_errors(thresholds),
            holds_users=request.holds_users,
        )
        self.results = LoadResults(state, request, self._users, self.executor, member, foreseen)

    def set_up(self) -> None:
        """Set up the users; see ``Executor.set_up``."""
        import_module("pytest_ipload.transport.session")  # takes its time: not at the expense of the first user
        try:
            with self._ended_with_session():
                self.executor.set_up()
        except BaseException:
            self._showing.end_without_load()
            raise

    def run(self, start_at_ns: int | None = None) -> None:
        """Run the load when all who share it are ready; see ``Executor.run``. Raises LoadAborted."""
        if self._member is not None:
            self._member.on_stop = self.executor.ask_to_stop
            self._member.on_break_off = partial(self.executor.ask_to_stop, hurry=True)
            agreed_ns = self._member.ready()
            if self._member.share.count > 1:
                start_at_ns = max(agreed_ns, start_at_ns or agreed_ns)
        self.results.start_at_ns = start_at_ns
        if self._users.rate_limit is not None and start_at_ns is not None:
            self._users.rate_limit.begin_at(start_at_ns)
        tap = self.tap = open_sample_sink(self._request.item)
        try:
            with self._ended_with_session():
                self.executor.run(start_at_ns)
        finally:
            self.tap = None
            if self.has_begun:
                self._showing.end(self.executor.measurements, self.executor.record.seconds)
            if tap is not None:
                judged_from_ns = self.executor.measurements.judged_from_ns
                tap.close(
                    judged_from_ns=judged_from_ns, is_planned=self.profile.planned, round_note=self._request.round_note
                )

    def _ended_with_session(self) -> AbstractContextManager[None]:
        """Have a load that a worker runs whole end by KeyboardInterrupt when the controller's session is ended.

        One that is shared is ended by the team.
        """
        whole_loads = self._whole_loads
        is_whole = self._member is None or isinstance(self._member, SingleProcess)
        return nullcontext() if whole_loads is None or not is_whole else whole_loads.going_on(self.executor.ask_to_stop)

    @property
    def has_begun(self) -> bool:
        """Whether there is anything that was measured."""
        return self.executor.record.origin_ns > 0

    def failure_groups(self) -> list[FailureGroup]:
        """The failed iterations, with their exceptions."""
        return self.executor.failures.groups()

    # -- the crew of the executor -------------------------------------------------------------------------------

    def make_user(self, index: int, recorder: Recorder) -> VirtualUser:
        """A user without a lease."""
        return self._users.make_user(index, recorder)

    def admit(self, user: VirtualUser, *, block: bool) -> bool:
        """Lease an address of each family to the user."""
        return self._users.leases.admit(user, block=block)

    def admit_if_free(self, user: VirtualUser) -> bool:
        """The same, only if there is one of each that nobody holds."""
        return self._users.leases.admit(user, block=False, only_free=True)

    @property
    def users_at_rendezvous(self) -> int:
        """How many users wait for others."""
        return self._users.meetings.waiting

    def setting_up(self, done: int, users: int, elapsed_s: float) -> None:
        """Show how many users are set up to those who look on."""
        self._showing.setting_up(done, users, elapsed_s)

    def make_scenario(self, user: VirtualUser) -> Scenario:
        """What the user does."""
        return self._users.make_scenario(user)

    def user_left(self, user: VirtualUser) -> None:
        """Release the user's leases."""
        self._users.leases.give_back(user)

    def stopping(self) -> None:
        """Nobody waits for an address, or for others at a rendezvous, any more."""
        self._users.leases.close()
        self._users.meetings.close()

    def ends_load(self, error: BaseException, number: int, untried: bool) -> bool:
        """Whether an exception of a body ends the load: ``pytest.exit``, and what is wrong with the test itself.

        So does a skip or xfail before any iteration of the test completed.
        """
        if isinstance(error, pytest.exit.Exception) or is_configuration_error(error):
            return True
        return (
            isinstance(error, (pytest.skip.Exception, pytest.xfail.Exception))
            and number == 0
            and untried
            and not self._request.had_rounds
        )

    def set_up_exception(self, error: UserSetUpError) -> BaseException:
        """What a user's set-up raised; a text in its place where that would pass for a test that did not run."""
        cause = error.__cause__ or error
        if not isinstance(cause, _SKIPS) or not (error.is_late or self._request.had_rounds):
            return cause
        return LateSkip(
            f"the set-up of user {error.user.index} raised {type(cause).__name__} ({cause}) when iterations of the "
            "load had run already: what they showed must not pass for a test that was skipped; skip in a fixture that "
            "is shared, or before the load (set_up='before')"
        )

    def each_second(self, measured: Measurements, elapsed_s: float) -> None:
        """Show what was measured so far to those who look on."""
        self._showing.show(measured, elapsed_s, self.executor.users_at_work)

    def abort_reason(self, measured: Measurements, elapsed_s: float) -> str | None:
        """What the first threshold says that cannot hold any more and has ``abort_on_fail``."""
        return self.results.abort_reason(measured, elapsed_s)
