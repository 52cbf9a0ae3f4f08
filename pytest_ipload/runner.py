"""One load, from its profile to its result."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload import real_time
from pytest_ipload.addresses.leasing import LeaseBook, LeasePolicy
from pytest_ipload.addresses.listening import Targets, ports_served_here
from pytest_ipload.distributed.conclude import conclude
from pytest_ipload.distributed.member import Solo, TeamMember
from pytest_ipload.distributed.origin import OffsetMeter
from pytest_ipload.distributed.part import AbortNote, Part
from pytest_ipload.distributed.snapshots import SnapshotTaker
from pytest_ipload.error_results import error_conclusion, reason_of
from pytest_ipload.errors import LateSkip, SettingError, is_configuration_error
from pytest_ipload.hook_calls import review_of, user_hooks
from pytest_ipload.load.bodies import Body, life_of
from pytest_ipload.load.executor import Executor, UserSetUpError
from pytest_ipload.load.failures import FailureGroup
from pytest_ipload.load.feed import FeedBook
from pytest_ipload.load.health import HealthCheck, Signs, examine, fired_by_message
from pytest_ipload.load.leases import REQUEST, UserLeases
from pytest_ipload.load.profile import LoadProfile
from pytest_ipload.load.rate_limit import RateLimit
from pytest_ipload.load.rendezvous import RendezvousBook
from pytest_ipload.load.schedule import slots_of, user_slots
from pytest_ipload.load.seat import Life
from pytest_ipload.load.share import WHOLE, Share
from pytest_ipload.load.showing import Showing
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.needs import Needs, refuse_impossible
from pytest_ipload.options import OFF, parse_key
from pytest_ipload.per_user import multiplied_by
from pytest_ipload.profiles import profile_of
from pytest_ipload.report.properties import properties_of
from pytest_ipload.report.tracebacks import first_traceback
from pytest_ipload.state import SessionState, keep_result, kept_results, state_of
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.taps import SampleTap, open_tap
from pytest_ipload.thresholds import check_measurable, planned_seconds, session_thresholds
from pytest_ipload.transport.fast_path_log import FastPathLog
from pytest_ipload.verdict.abort import AbortWatch
from pytest_ipload.verdict.judged import JudgedThreshold, tolerates_set_up_errors, window_lengths, with_implied
from pytest_ipload.verdict.measure import Scope
from pytest_ipload.verdict.plan import Plan
from pytest_ipload.verdict.regression import settled
from pytest_ipload.verdict.result import (
    FailureSummary,
    FirstFailure,
    LoadResult,
    Traceback,
)
from pytest_ipload.verdict.rounds import RoundNote
from pytest_ipload.verdict.selection import selections, window_selections

if TYPE_CHECKING:
    from pytest_ipload.addresses.pool import IpPool
    from pytest_ipload.transport.session import LoadSession

MakeLife = Callable[[VirtualUser], Life]

_SKIPS = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)
"""What pytest takes for a test that did not run, or was known to fail."""


class Load:
    """Makes users, runs them, and turns what they measured into a result."""

    def __init__(
        self,
        state: SessionState,
        profile: LoadProfile,
        thresholds: Sequence[JudgedThreshold],
        item: pytest.Item,
        make_life: MakeLife,
        folders: Sequence[Path],
        foreseen: Sequence[HealthCheck] = (),
        share: Share = WHOLE,
        member: TeamMember | None = None,
        round_note: RoundNote | None = None,
        holds_users: bool = False,
    ) -> None:
        """``folders`` is where files of test data are looked for, ``foreseen`` are health checks that fired already.

        This process runs its ``share`` of the load, in step with the others if it is a ``member`` of a team; profile
        and thresholds are those of the whole.

        If it ``holds_users``, they are torn down when its executor is closed.

        Raises PoolError or GeneratorLimitError before anything was started.
        """
        self.profile = profile
        self.tap: SampleTap | None = None
        self._item = item
        self._state = state
        self._thresholds = with_implied(thresholds)
        if state.settings.disabled:  # only errors fail a functional test, unless its thresholds tolerate some
            self._thresholds = self._thresholds[len(thresholds) :]
        self._member = member
        self._round = round_note
        self._had_rounds = round_note is not None and round_note.number > 0
        self._pool_share = state.pools.slot if member is None else member.pool_share
        self._pool: IpPool = state.pools.usable(profile.pool, self._pool_share)
        whole = state.pools.whole(profile.pool)
        self._shares_pool = 0 < whole.size < self._pool_share[1]
        if self._shares_pool and profile.ip_exclusive:
            whole.shard(*self._pool_share)  # says that there are too few
        refuse_impossible(profile, self._pool, routes=state.settings.pool_check != OFF)
        shortage = Needs.of(profile, self._pool).shortage()
        self._foreseen = [*foreseen, *([] if shortage is None else [fired_by_message("few-ports", shortage)])]
        self._targets = Targets()
        self._meter = None if state.settings.segment is None else OffsetMeter()
        self._fast_path_log = FastPathLog()
        self._leases = self._open_leases(share)
        self._rate_limit = None if profile.max_rate is None else RateLimit(profile.max_rate, share=share)
        self._make_life = make_life
        self._user_hooks = user_hooks(item)
        self._abort_watch = AbortWatch(self._thresholds, Plan.of(profile))
        # With stages, users who come later have new numbers: there are more of them than at any one time.
        self._feeds = FeedBook(max(len(user_slots(profile)), profile.most_users), profile.seed, folders)
        self._meetings = RendezvousBook(profile.most_users, state.settings.disabled, share)
        self._snapshots = SnapshotTaker(self._thresholds, profile.planned)
        self._start_at_ns: int | None = None
        audience = state.audience if member is None else member.audience
        round_ = None if round_note is None else (round_note.number + 1, round_note.count)
        self._showing = Showing(item.nodeid, profile, audience, round_)
        self.executor = Executor(
            profile,
            slots_of(profile, share),
            self,
            cpu=state.cpu,
            window_lengths_ns=window_lengths(self._thresholds),
            window_selections=window_selections(self._thresholds, profile.planned),
            share=share,
            tolerates_set_up_errors=tolerates_set_up_errors(self._thresholds),
            selections=selections(self._thresholds, profile.planned),
            workers_on_cpu=state.workers_on_cpu,
            holds_users=holds_users,
        )

    def set_up(self) -> None:
        """Set up the users; see ``Executor.set_up``."""
        try:
            with self._ended_with_session():
                self.executor.set_up()
        except BaseException:
            self._showing.end_without_load()
            raise

    def run(self, start_at_ns: int | None = None) -> None:
        """Run the load when all who share it are ready; see ``Executor.run``. Raises TeamAborted."""
        if self._member is not None:
            self._member.on_stop = self.executor.ask_to_stop
            self._member.on_break_off = partial(self.executor.ask_to_stop, hurry=True)
            if self._member.share.count > 1:
                import_module("pytest_ipload.transport.session")  # takes its time: not at the expense of the first user
            agreed_ns = self._member.ready()
            if self._member.share.count > 1:
                start_at_ns = max(agreed_ns, start_at_ns or agreed_ns)
        self._start_at_ns = start_at_ns
        if self._rate_limit is not None and start_at_ns is not None:
            self._rate_limit.begin_at(start_at_ns)
        tap = self.tap = open_tap(self._item)
        try:
            with self._ended_with_session():
                self.executor.run(start_at_ns)
        finally:
            self.tap = None
            if self.has_begun:
                self._showing.end(self.executor.measurements, self.executor.record.seconds)
            if tap is not None:
                judged_from_ns = self.executor.measurements.judged_from_ns
                tap.close(judged_from_ns=judged_from_ns, is_planned=self.profile.planned, round_note=self._round)

    def _ended_with_session(self) -> AbstractContextManager[None]:
        """Have a load that a worker runs whole end by KeyboardInterrupt when the controller's session is ended.

        One that is shared is ended by the team.
        """
        whole_loads = self._state.whole_loads
        is_whole = self._member is None or isinstance(self._member, Solo)
        return nullcontext() if whole_loads is None or not is_whole else whole_loads.going_on(self.executor.ask_to_stop)

    @property
    def has_begun(self) -> bool:
        """Whether there is anything that was measured."""
        return self.executor.record.origin_ns > 0

    def failure_groups(self) -> list[FailureGroup]:
        """The failed iterations, with their exceptions."""
        return self.executor.failures.groups()

    def part(self, broken_off: str | None = None, traceback: Traceback | None = None, *, is_whole: bool = True) -> Part:
        """What was measured. ``broken_off`` says why the load ended before its time.

        Unless ``is_whole``, without what takes its time and is only reported: health, failures, users' lives.
        """
        record, measured, vitals = self.executor.record, self.executor.measurements, self.executor.vitals
        origin, used = record.origin_ns or record.ended_ns, self._leases.used
        unused_count = self._pool.size - sum(address in self._pool for address in used) if is_whole else 0
        unused = (address for address in self._pool if address not in used) if unused_count else iter(())
        return Part(
            nodeid=self._item.nodeid,
            profile=self.profile.masked(),
            thresholds=self._thresholds,
            strict=self._state.settings.strict,
            started_at=real_time.time() - (real_time.perf_counter_ns() - origin) / 1e9,
            late=0 if self._start_at_ns is None else max(0, origin - self._start_at_ns),
            measured=measured,
            ended=max(0, record.ended_ns - origin),
            users=record.users_started,
            set_ups=self.executor.set_ups,
            user_time=record.user_time,
            lifetimes=[(began - origin, ended - origin) for began, ended in record.lifetimes] if is_whole else [],
            users_by_source={address: stats.users for address, stats in used.items()},
            pool_size=self._leases.addresses_total,
            shares_pool=self._shares_pool,
            unused_count=unused_count,
            unused_first=list(islice(unused, 100)),
            planned_iterations=record.planned_iterations,
            dropped_iterations=record.dropped_iterations,
            late_starts=record.late_starts,
            interrupted=record.interrupted,
            checks=examine(self._signs()) if is_whole else [],
            lags=vitals.lags if is_whole else Histogram(),  # until the end another thread records into them
            cpu_ns=vitals.cpu_ns,
            pinned_cpu=record.pinned_cpu,
            failures=[_failure(group) for group in self.failure_groups()] if is_whole else [],
            traceback=traceback,
            broken_off=broken_off,
            abort=self._abort_note(),
            round=self._round,
            clock=None if self._meter is None else self._meter.offset,
            targets=[[f"{address}:{port}" for address, port in self._targets.all()]] if is_whole else [],
        )

    def _abort_note(self) -> AbortNote | None:
        abort = self._abort_watch.abort
        if abort is None:
            return None
        number = next(number for number, judged in enumerate(self._thresholds) if judged is abort.judged)
        return AbortNote(number, abort.after_s, abort.result)

    # -- the crew of the executor -------------------------------------------------------------------------------

    def make_user(self, index: int, recorder: Recorder) -> VirtualUser:
        """A user without a lease."""
        return VirtualUser(
            index,
            seed=self.profile.seed,
            source_addresses=(),
            record=recorder.record,
            tally=recorder.tally,
            make_session=self._make_session,
            before_measure=None if self._rate_limit is None else self._rate_limit.wait,
            feed_book=self._feeds,
            meetings=self._meetings,
        )

    def admit(self, user: VirtualUser, *, block: bool) -> bool:
        """Lease an address of each family to the user."""
        return self._leases.admit(user, block=block)

    def admit_if_free(self, user: VirtualUser) -> bool:
        """The same, only if there is one of each that nobody holds."""
        return self._leases.admit(user, block=False, only_free=True)

    @property
    def users_at_rendezvous(self) -> int:
        """How many users wait for others."""
        return self._meetings.waiting

    def setting_up(self, done: int, users: int, elapsed_s: float) -> None:
        """Show how many users are set up to those who look on."""
        self._showing.setting_up(done, users, elapsed_s)

    def make_life(self, user: VirtualUser) -> Life:
        """What the user does."""
        life = self._make_life(user)
        return life if self._user_hooks is None else self._user_hooks.round(life, user)

    def user_left(self, user: VirtualUser) -> None:
        """Release the user's leases."""
        self._leases.give_back(user)

    def stopping(self) -> None:
        """Nobody waits for an address, or for others at a rendezvous, any more."""
        self._leases.close()
        self._meetings.close()

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
            and not self._had_rounds
        )

    def set_up_exception(self, error: UserSetUpError) -> BaseException:
        """What a user's set-up raised; a text in its place where that would pass for a test that did not run."""
        cause = error.__cause__ or error
        if not isinstance(cause, _SKIPS) or not (error.is_late or self._had_rounds):
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
        watch = self._abort_watch
        if not watch.watched:
            return None
        if self._member is not None and self._member.share.count > 1:  # somebody else sees all of the load
            self._member.progress(self._snapshots.take(self.part(is_whole=False), elapsed_s))
            return None
        return watch.look(measured, self._scope(elapsed_s - self.profile.warmup), elapsed_s)

    # -----------------------------------------------------------------------------------------------------------

    def _scope(self, judged_s: float) -> Scope:
        """What rates and shares are counted over, when so many seconds of the load are judged."""
        return Scope(
            seconds=max(0.0, judged_s),
            pool_size=self._leases.addresses_total,
            addresses_used=len(self._leases.used),
            planned_seconds=planned_seconds(self.profile),
            set_ups=self.executor.set_ups,
            planned_iterations=self.executor.record.planned_iterations,
            dropped=self.executor.record.dropped_iterations,
        )

    def _open_leases(self, share: Share) -> UserLeases:
        profile = self.profile
        number, count = self._pool_share

        def turn_of(user: int) -> int:
            """The user's place among those of this process, or of all processes that share the addresses."""
            turn = user // share.count
            return turn * count + number if self._shares_pool and share.count > 1 else turn

        fallback = (
            None if profile.fallback_pool is None else self._state.pools.usable(profile.fallback_pool, self._pool_share)
        )
        policy = LeasePolicy(
            order=profile.ip_order,
            exclusive=profile.ip_exclusive,
            on_exhaustion=profile.on_exhaustion if fallback is None else "fallback",
            wait_s=profile.ip_wait,
            seed=profile.seed,
        )
        book = LeaseBook(self._pool, policy, fallback, turn_of=turn_of)
        return UserLeases(book, self._pool.families, profile.ip_binding)

    def _make_session(self, user: VirtualUser) -> LoadSession:
        from pytest_ipload.transport.session import LoadSession

        session = LoadSession(
            source_address=user.sources or None,
            base_url=self.profile.base_url,
            timeout=self.profile.timeout,
            allowed_hosts=self._state.settings.allowed_hosts,
            record=user.record,
            tally=user.tally,
            tls=self._state.tls,
            heads=self._state.heads,
            templates=self._state.templates,
            before_call=self._before_call(user),
            fast=self.profile.fast,
            fast_path_log=self._fast_path_log,
        )
        session.binding.targets = self._targets
        if self._meter is not None:
            self._meter.watch(session)
        return session

    def _before_call(self, user: VirtualUser) -> Callable[[], object] | None:
        """What a user does before each of its requests."""
        limit = self._rate_limit
        if self.profile.ip_binding != REQUEST:
            return None if limit is None else partial(user.wait_for, limit.wait)
        if limit is None:
            return partial(user.wait_for, partial(self._leases.renew, user))

        def in_turn_with_a_new_lease() -> None:
            limit.wait()  # first: a lease is not for waiting
            self._leases.renew(user)

        return partial(user.wait_for, in_turn_with_a_new_lease)

    def _signs(self) -> Signs:
        """What the health checks of this process look at."""
        return Signs(
            record=self.executor.record,
            vitals=self.executor.vitals,
            foreseen=self._foreseen,
            left_fast_path=self._fast_path_log.calls(),
            unbound_adapters=self._fast_path_log.unbound(),
            own_ports=ports_served_here(self._targets.all()),
            workers_on_cpu=self._state.workers_on_cpu,
        )


class LoadRunner:
    """The ``ipload`` fixture: starts loads from within an ordinary test and returns their results."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def run(self, body: Body | Mapping[Body, int], **settings: Any) -> LoadResult:
        """Run ``body(user)`` under load and return what was measured; the test asserts on it.

        A dict runs several bodies in one load, as often as their weights say, as in ``{browse: 3, buy: 1}``: user i
        runs in its iteration j the body at place i + j of an order in which each has its share. Each run is a step that
        has the body's name.

        The keywords are those of the ``ipload`` marker. Raises SettingError for a bad one, and what the marker's
        load would end with: a skip in the first iteration, KeyboardInterrupt, the exception of a user's set-up.
        """
        try:
            life = life_of(body)
            marker = {key: parse_key(key, value) for key, value in settings.items()}
        except ValueError as error:
            raise SettingError(f"ipload.run: {error}") from None
        state = state_of(self._request.config)
        if state.settings.segment is not None:
            raise SettingError(
                "ipload.run: a load that a test starts and judges by itself cannot be divided into segments; mark the "
                "test with @pytest.mark.ipload, or leave it out of this run"
            )
        item = self._request.node
        if problem := multiplied_by(item.obj):
            raise SettingError(f"ipload.run: {problem}")
        profile = profile_of(item, state, marker, base_url_fixture(self._request, state, marker))
        thresholds = session_thresholds(state)
        if not state.settings.disabled:
            check_measurable(thresholds, profile)
        folders = (self._request.path.parent, self._request.config.rootpath)
        load = Load(state, profile, thresholds, item, lambda user: life, folders)
        ended_by: BaseException | None = None
        failed_user: int | None = None
        try:
            load.set_up()
            load.run()
        except UserSetUpError as error:
            ended_by, failed_user = load.set_up_exception(error), error.user.index
        except BaseException as error:
            ended_by = error
        finally:
            load.executor.close()
        result = self._kept(load, ended_by, failed_user)
        if ended_by is not None:
            raise ended_by  # here, where its own causes are not replaced by ours
        assert result is not None
        return result

    def _kept(self, load: Load, ended_by: BaseException | None, failed_user: int | None) -> LoadResult | None:
        """The result of a load, which is kept for the reports; None of one that was skipped or did not begin.

        ``failed_user`` is the user whose set-up ended the load; None where something else did.
        """
        if isinstance(ended_by, _SKIPS):
            return None
        item = self._request.node
        what = "the load failed" if failed_user is None else f"set-up of user {failed_user} failed"
        reason = None if ended_by is None else reason_of(ended_by, what)
        if reason is not None and not load.has_begun:
            conclusion = error_conclusion(item.nodeid, reason, load.profile.as_dict())
            keep_result(item, conclusion["results"], conclusion["properties"])
            return None
        part = load.part(traceback=first_traceback(item, (group.exception for group in load.failure_groups())))
        if failed_user is not None or (ended_by is not None and is_configuration_error(ended_by)):
            part = replace(part, error=reason)
        elif ended_by is not None:
            part = replace(part, broken_off=f"the load was broken off by {type(ended_by).__name__}")
        baselines = state_of(item.config).baselines
        compare = None if baselines is None else partial(baselines.compare, load=len(kept_results(item)))
        result = settled(conclude(part), compare, review_of(item.config))
        keep_result(item, [result.as_dict()], properties_of(result))
        return result


def base_url_fixture(request: pytest.FixtureRequest, state: SessionState, marker: dict[str, Any]) -> str | None:
    """The value of a fixture named ``base_url`` (pytest-base-url's, or the project's own), if no setting gives one."""
    if state.settings.value("base_url") is not None or "base_url" in marker:
        return None
    try:
        value = request.getfixturevalue("base_url")
    except pytest.FixtureLookupError as error:
        if error.argname != "base_url":  # there is one, and something that it asks for is missing
            raise
        return None
    return str(value) if value else None


def _failure(group: FailureGroup) -> FailureSummary:
    first = FirstFailure(group.user, group.iteration, group.source_address)
    return FailureSummary(group.type, group.message, group.location, group.count, first, group.users or None)
