"""One load, from its profile to its result."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module

import pytest

from pytest_ipload.base.errors import LateSkip, is_configuration_error
from pytest_ipload.load.executor import Executor
from pytest_ipload.load.failure_log import FailureGroup
from pytest_ipload.load.generator.surroundings import Surroundings
from pytest_ipload.load.schedule import slots_of
from pytest_ipload.load.set_up_phase import UserSetUpError
from pytest_ipload.plugin.items.outcomes import SKIPS
from pytest_ipload.plugin.run.load_request import LoadPlace, LoadRequest
from pytest_ipload.plugin.run.load_result import LoadResults
from pytest_ipload.plugin.run.load_users import LoadUsers
from pytest_ipload.plugin.run.sample_hook import SampleSink, open_sample_sink
from pytest_ipload.plugin.run.stack_sampling import StackSampling, with_stack_windows
from pytest_ipload.plugin.run.target_sampling import TargetSampling
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.stats.collector import Pieces
from pytest_ipload.stats.live_reporter import LiveReporter
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.verdict.shard_group import Shard, SingleProcess
from pytest_ipload.verdict.threshold.config import tolerates_set_up_errors, window_lengths
from pytest_ipload.verdict.threshold.selection import selections, window_selections


class Load:
    """Makes users, runs them, and turns their measurements into a result."""

    def __init__(self, state: SessionState, request: LoadRequest, shard: Shard) -> None:
        """This process runs its partition of the load, in step with the others of the ``shard``'s group.

        Raises PoolError or GeneratorLimitError before anything is started.
        """
        profile, thresholds = request.profile, request.thresholds
        self._request = request
        self.profile = profile
        self.tap: SampleSink | None = None
        self._shard = shard
        self._whole_loads = state.whole_loads
        after = request.after
        if after is None:
            of_all = replace(request, profile=request.widest or profile)
            self._users = LoadUsers(state, of_all, shard.pool_share)
        else:
            self._users = after._users
        users = self._users
        note, own = request.round_note, request.group or request.place or LoadPlace.of(state, Surroundings())
        round_ = request.shown_round if note is None else (note.number + 1, note.count)
        self._showing = LiveReporter(request.item.nodeid, profile, shard.audience, round_)
        self.executor: Executor = Executor(
            profile,
            slots_of(profile, request.share),
            self,
            cpu=own.cpu,
            workers_on_cpu=own.workers_on_cpu,
            share=request.share,
            pieces=with_stack_windows(
                Pieces(
                    window_lengths(thresholds),
                    window_selections(thresholds, profile.planned),
                    selections(thresholds, profile.planned),
                ),
                state.settings,
                thresholds,
                profile.planned,
            ),
            tolerates_set_up_errors=tolerates_set_up_errors(thresholds),
            holds_users=request.holds_users,
            surroundings=own.surroundings,
            after=None if after is None else after.executor,
            wait_like_a_user=None if users.replies is None else users.replies.wait_like_a_user,
        )
        users.evidence.judged_from_ns = lambda: self.executor.measurements.judged_from_ns
        self._sampling = TargetSampling(
            request.item.config, profile, is_first=shard.share.index == 0, is_off=state.settings.disabled
        )
        self._stacks = StackSampling(state, request, users.targets, is_first=shard.share.index == 0)
        self.results = LoadResults(state, request, users, self.executor, shard, self._sampling, self._stacks)
        # The executor's calls that others answer; see ``UserFactory``.
        self.make_user, self.make_scenario = users.make_user, users.make_scenario
        self.admit, self.admit_if_free = users.leases.admit, users.leases.admit_if_free
        self.user_left, self.began = users.leases.give_back, self._sampling.begin
        self.setting_up, self.abort_reason = self._showing.setting_up, self.results.abort_reason

    def set_up(self) -> None:
        """Set up the users; see ``Executor.set_up``."""
        self._users.reopen()
        import_module("pytest_ipload.transport.session")  # slow to import: not at the expense of the first user
        self._shard.on_stop = self.executor.ask_to_stop
        self._shard.on_break_off = partial(self.executor.ask_to_stop, hurry=True)
        try:
            with self._ended_with_session():
                self.executor.set_up()
        except BaseException:
            self._users.close()
            self._showing.end_without_load()
            raise

    def is_not_run(self) -> None:
        """The users are set up, but a test that the load should run together with is not."""
        self._users.close()
        self._showing.end_without_load()

    def run(self, start_at_ns: int | None = None) -> None:
        """Run the load when all processes that share it are ready; see ``Executor.run``. Raises LoadAborted.

        Loads that run together are each run in a thread of its own.
        """
        group = self._request.group
        agreed_ns = self._shard.ready()
        if self._shard.share.count > 1 or group is not None:
            start_at_ns = max(agreed_ns, start_at_ns or agreed_ns)
        self.results.start_at_ns = start_at_ns
        if self._users.rate_limit is not None and start_at_ns is not None:
            self._users.rate_limit.begin_at(start_at_ns)
        tap = self.tap = open_sample_sink(self._request.item, self._users.evidence.sample_traces)
        try:
            ended = self._ended_with_session() if group is None else nullcontext()
            with ended, self._sampling.during_load(), self._stacks.during(self.executor):
                self.executor.run(start_at_ns)
        finally:
            self.tap = None
            self._users.close()
            if self.has_begun:
                self._showing.end(self.executor.measurements, self.executor.record.seconds)
            if tap is not None:
                judged_from_ns = self.executor.measurements.judged_from_ns
                tap.close(
                    judged_from_ns=judged_from_ns, is_planned=self.profile.planned, round_note=self._request.round_note
                )

    def _ended_with_session(self) -> AbstractContextManager[None]:
        """Have a load that a worker runs whole end by KeyboardInterrupt when the controller's session ends.

        A shared load is ended by the controller.
        """
        whole_loads = self._whole_loads
        if whole_loads is None or not self.is_whole:
            return nullcontext()
        return whole_loads.going_on(self.executor.ask_to_stop)

    @property
    def is_whole(self) -> bool:
        """Whether this process runs the load without a controller."""
        return isinstance(self._shard, SingleProcess)

    @property
    def has_begun(self) -> bool:
        """Whether anything was measured."""
        return self.executor.record.origin_ns > 0

    def failure_groups(self) -> list[FailureGroup]:
        """The failed iterations, with their exceptions."""
        return self.executor.failures.groups()

    # -- calls of the executor ---------------------------------------------------------------------------------

    @property
    def users_at_rendezvous(self) -> int:
        """The number of users waiting for others."""
        return self._users.meetings.waiting

    def stopping(self) -> None:
        """Stop waiting for addresses, and for other users at a rendezvous."""
        self._users.leases.close()
        self._users.meetings.close()

    def ends_load(self, error: BaseException, number: int, untried: bool) -> bool:
        """Whether an exception of a body ends the load: ``pytest.exit``, and mistakes in the test itself.

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
        """The exception of a user's set-up; a text instead where pytest would take it for a test that did not run."""
        cause = error.__cause__ or error
        if not isinstance(cause, SKIPS) or not (error.is_late or self._request.had_rounds):
            return cause
        return LateSkip(
            f"the set-up of user {error.user.index} raised {type(cause).__name__} ({cause}) after iterations of the "
            "load had run, so the test cannot count as skipped; skip in a fixture that "
            "is shared, or before the load (set_up='before')"
        )

    def each_second(self, measured: Measurements, elapsed_s: float) -> None:
        """Show listeners the live numbers."""
        self._showing.show(measured, elapsed_s, self.executor.users_at_work)
