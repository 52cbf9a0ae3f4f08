"""A pytest item as a load test: what makes it one, what forbids it, and its set-up, call and verdict."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from pytest_ipload.base.code_location import is_user_code, user_traceback
from pytest_ipload.base.errors import GeneratorLimitError, IploadError, SettingError, is_configuration_error
from pytest_ipload.base.text import counted
from pytest_ipload.base.units import format_setting
from pytest_ipload.distributed.worker.membership import SHARD
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.set_up_phase import UserSetUpError
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.plugin.fixtures.async_body import note_body
from pytest_ipload.plugin.fixtures.hypothesis_body import answer_fixture_check
from pytest_ipload.plugin.fixtures.per_user import sees_report
from pytest_ipload.plugin.fixtures.per_user_names import mark_as_load_test
from pytest_ipload.plugin.hook_calls import review_of
from pytest_ipload.plugin.items.groups import number_of
from pytest_ipload.plugin.items.load_bodies import LoadBodies
from pytest_ipload.plugin.items.marker_settings import profile_of_test
from pytest_ipload.plugin.items.markers import together_name
from pytest_ipload.plugin.items.outcomes import ComparisonFailed, MeasurementInvalid, ThresholdFailed
from pytest_ipload.plugin.items.thresholds import load_thresholds
from pytest_ipload.plugin.run.judges import judge_of
from pytest_ipload.plugin.run.load_group import LOAD_GROUP, LoadGroup
from pytest_ipload.plugin.run.load_request import LoadRequest
from pytest_ipload.plugin.run.load_run import Load
from pytest_ipload.plugin.run.own_loads import base_url_fixture
from pytest_ipload.plugin.run.segment_meetings import segment_share
from pytest_ipload.plugin.session_state import SessionState, keep_result
from pytest_ipload.report.error_results import reason_of
from pytest_ipload.report.exception_text import described
from pytest_ipload.report.tracebacks import first_traceback, headline, traceback_of
from pytest_ipload.settings.combination import DEFAULT, HOOK
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.verdict.conclusion import Conclusion
from pytest_ipload.verdict.result import ERROR, FAILED, INVALID
from pytest_ipload.verdict.rounds import CURRENT, DEFAULT_ROUNDS, RoundNote, plan_rounds
from pytest_ipload.verdict.shard_group import LoadAborted, Shard, SingleProcess
from pytest_ipload.verdict.shard_result import ShardResult
from pytest_ipload.verdict.threshold.config import ThresholdConfig


class LoadTest:
    """One load test on its way through pytest's phases."""

    def __init__(self, item: pytest.Function, state: SessionState) -> None:
        """Read and check the settings. Raises IploadError."""
        self._item = item
        self._state = state
        self._load: Load | None = None
        self._rounds: Sequence[Any] = _rounds_of(state)
        """The first round, and all others that are known."""
        self._earlier: list[Load] = []
        """Those of earlier rounds."""
        self._base_url: str | None = None
        self._conclusion: Conclusion | None = None
        self._session_ends = False
        """Whether the session is being aborted: there is no teardown phase to raise anything in."""
        self.ended_in_error = False
        """Whether the load was ended by a user's set-up, or by a mistake in the test: an error, not a failure."""
        self.failed_users = 0
        """The number of this process's users whose set-up failed, where that ended the load test."""
        self._whose: tuple[BaseException, str] | None = None
        """The exception of a user's set-up or teardown, and in how many users it failed."""
        self._whose_error: str | None = None
        """Which phase of which user failed, where that ended the load test."""
        # Settings that contradict each other are an error before any fixture is set up.
        self._group = item.stash.get(LOAD_GROUP, None)
        self._profile = profile_of_test(item, state)
        self._check_group()
        self._thresholds = self._judged_thresholds()
        self.bodies = LoadBodies(item)
        mark_as_load_test(item)
        note_body(item)
        shard = item.stash.get(SHARD, None)
        # Of a shared load the controller judges; a worker only judges an aborted load, and asks no plugin about that.
        review = None if shard else review_of(item.config)
        self._judge = judge_of(state, review)
        self._shard: Shard = shard or SingleProcess(self._judge.judge, state.pools.slot, state.audience)

    def _judged_thresholds(self) -> list[ThresholdConfig]:
        return load_thresholds(self._item, self._profile, self._state)

    def _check_group(self) -> None:
        """Raise SettingError if the loads of its group are not run, or for a setting that needs one."""
        after = self._profile.start_after
        if after is not None and together_name(self._item) is None:
            raise SettingError(
                f"start_after={format_setting(after)} is for load tests that run together: mark them with "
                "@pytest.mark.ipload_together('NAME'), or remove start_after"
            )
        if self._group is not None and self._group.refusal is not None:
            raise SettingError(self._group.refusal)

    def ask_base_url(self, request: pytest.FixtureRequest) -> None:
        """Look for a fixture ``base_url``, with the request of the user's fixture, if no setting gives one."""
        if self._profile.origins["base_url"] in (HOOK, DEFAULT):
            self._base_url = base_url_fixture(request)

    def set_up(self) -> None:
        """Set up the initial users. Raises what failed, as pytest would."""
        __tracebackhide__ = True
        load = self._load = self._prepared_load(self._rounds[0])
        self._item.addfinalizer(self._tear_down)
        answer_fixture_check(self._item)
        try:
            load.set_up()
            if self._group is not None:
                self._join(self._group, load)
        except UserSetUpError as error:
            own_exception = self._set_up_exception(error)
        except GeneratorLimitError as error:
            raise refusal(error) from None
        except KeyboardInterrupt:
            self._session_ends = True
            raise
        else:
            return
        raise own_exception  # raised here so that its own causes are not replaced

    def _join(self, group: LoadGroup, load: Load) -> None:
        group.add(self._item.nodeid, load, self._hand_in, self._shard.break_down)

    def _tear_down(self) -> None:
        """End what still runs, in the teardown phase; raises the error of the first user whose teardown failed."""
        __tracebackhide__ = True
        executor = self._started_load().executor
        stuck_before = len(executor.record.abandoned)
        with closing(executor):  # again, if a timeout of the test interrupts it
            executor.close(hurry=not executor.is_through)  # after a load, only teardown is left
        errors = [error for load in self._earlier for error in load.executor.record.teardown_errors]
        errors += executor.record.teardown_errors
        if errors and not self._session_ends:
            raise self._own_exception("teardown", *errors[0], len(errors))
        if (stuck := executor.record.abandoned[stuck_before:]) and not self._session_ends:
            raise refusal("; ".join(stuck))

    def _prepared_load(self, round_note: Any) -> Load:
        """The load, after all checks that can be made before it starts."""
        lock = threading.Lock() if self._group is None else self._group.attention(self._item)
        try:
            if self._base_url is not None and self._load is None:  # a fixture's value, which plugins have not seen yet
                self._profile = profile_of_test(self._item, self._state, self._base_url)
            profile = self._profile_of(round_note)
            asked = self.bodies.asked()
            is_async = self.bodies.check(profile, asked)
            request = LoadRequest(
                self._item,
                profile,
                self._thresholds,
                self.bodies.scenarios(profile, lock),
                folders=(self._item.path.parent, self._item.config.rootpath),
                foreseen=list(self.bodies.foreseen(profile, asked)),
                share=segment_share(self._state, profile, self._shard.share),
                holds_users=round_note is None and sees_report(profile, asked),
                is_async=is_async,
                group=self._group,
            )
            return Load(self._state, self._request_in(round_note, request), self._shard)
        except IploadError as error:
            raise refusal(error) from None

    def _request_in(self, round_note: Any, request: LoadRequest) -> LoadRequest:
        """The request as one of this round."""
        return replace(request, round_note=round_note)

    def _profile_of(self, round_note: Any) -> LoadProfile:
        profile, against = self._profile, self._state.settings.against
        if against is None or round_note is None:
            return profile
        if profile.base_url is None:
            raise SettingError(
                f"--ipload-against={against}: this test has no base URL to replace; let its body "
                "use relative URLs, and give --ipload-base-url"
            )
        if round_note.role == CURRENT:
            return profile
        return replace(profile, base_url=against, origins={**profile.origins, "base_url": "--ipload-against"})

    def run(self) -> None:
        """Run the load, in all its rounds; raises what ended it, including a user's set-up error."""
        __tracebackhide__ = True
        if self._group is not None and self._group.refusal is not None:
            self.ended_in_error = True
            raise refusal(self._group.refusal)
        for round_note in self._all_rounds():
            is_first = round_note is None or round_note.number == 0
            if not is_first:
                self._earlier.append(self._started_load())
                self._load = self._prepared_load(round_note)
            try:
                if not is_first:
                    self._started_load().set_up()
                self._run_once(self._started_load())
            except UserSetUpError as error:
                self.ended_in_error = True
                own_exception = self._set_up_exception(error)
            except GeneratorLimitError as error:
                raise refusal(error) from None
            else:
                if self._conclusion is not None:
                    return
                continue
            raise own_exception  # raised here so that its own causes are not replaced

    def _all_rounds(self) -> Iterator[Any]:
        """The rounds in their order, one after the other was run."""
        yield from self._rounds

    def _run_once(self, load: Load) -> None:
        __tracebackhide__ = True
        try:
            self._run_now_or_with_others(load)
        except (pytest.skip.Exception, pytest.xfail.Exception, UserSetUpError):
            raise
        except LoadAborted as error:
            raise MeasurementInvalid(str(error)) from None
        except BaseException as error:
            self._session_ends = isinstance(error, (KeyboardInterrupt, pytest.exit.Exception))
            self.ended_in_error = is_configuration_error(error) and not load.profile.is_functional
            if load.has_begun and not is_configuration_error(error):  # that one is an error: see ``end_in_error``
                self._keep_broken_off(load, error)
            if self._session_ends:
                raise
            if isinstance(error, IploadError) and not _passed_user_code(error):
                raise refusal(error) from None
            raise error.with_traceback(user_traceback(error.__traceback__))  # noqa: B904  # it is the same exception
        try:
            if self._conclusion is None:
                self._keep(self._shard.conclude(self._part(load)))
        except LoadAborted as error:
            raise MeasurementInvalid(str(error)) from None

    def _part(self, load: Load) -> ShardResult:
        errors = (group.exception for group in load.failure_groups())
        return load.results.part(traceback=first_traceback(self._item, errors))

    def _hand_in(self) -> None:
        self._shard.hand_in(self._part(self._started_load()))

    def _run_now_or_with_others(self, load: Load) -> None:
        if self._state.meetings is None:
            self._run_from(load, None if self._earlier else self._state.start_at_ns(number_of(self._item)))
            return
        stop = load.executor.ask_to_stop if self._group is None else self._group.stop_all
        record = load.executor.record  # of a group, one load may be aborted alone
        aborted = (lambda: record.aborted) if self._group is None else (lambda: None)
        with self._state.meetings.running(self._item, self._shard, stop, aborted) as start_at_ns:
            self._run_from(load, start_at_ns)

    def _run_from(self, load: Load, start_at_ns: int | None) -> None:
        if self._group is None:
            load.run(start_at_ns)
        else:
            self._group.run(self._item.nodeid, start_at_ns)

    def interrupted(self, error: BaseException) -> None:
        """The session ends while the test waits for those that it runs together with."""
        self._session_ends = True
        if self._load is not None and self._load.has_begun and self._conclusion is None:
            self._keep_broken_off(self._load, error)

    def _keep_broken_off(self, load: Load, error: BaseException) -> None:
        """Keep what was measured until an exception that is not the failure of an iteration."""
        traceback = None if self._session_ends else traceback_of(self._item, error)
        part = load.results.part(f"the load was aborted by {type(error).__name__}", traceback)
        if self._session_ends:
            self._shard.hand_in(part)
            self._keep(self._judge.judge(part))
            return
        try:
            self._keep(self._shard.conclude(part))  # the others end their partitions too
        except LoadAborted:
            self._keep(self._judge.judge(part))

    def end_in_error(self, error: BaseException, what: str) -> None:
        """Keep a result for a load test that ended without one, with the measurements until then.

        ``what`` says what failed, unless it was a user.
        """
        if self._conclusion is None:
            reason = reason_of(error, self._whose_error or what)
            try:
                self._keep(self._of_error(error, reason))
            except Exception as broken:  # a result without numbers rather than none
                reason = f"{reason}\nthe measurements could not be judged: {described(broken)}"
                self._keep(self._unmeasured(reason))

    def _of_error(self, error: BaseException, reason: str) -> Conclusion:
        load = self._load
        if load is None or not load.has_begun:
            conclusion = self._judge.unfinished(self._item.nodeid, reason)
            return conclusion or self._unmeasured(reason)
        is_the_end = isinstance(error, (KeyboardInterrupt, pytest.exit.Exception))
        part = replace(
            load.results.part(traceback=None if is_the_end else traceback_of(self._item, error)), error=reason
        )
        self._shard.hand_in(part)
        return self._judge.judge(part)

    def _unmeasured(self, reason: str) -> Conclusion:
        profile = self._profile if self._load is None else self._load.profile
        together = None if self._group is None else self._group.name
        segment = self._state.settings.segment
        evidence = () if self._load is None else self._load.results.evidence()
        return Conclusion.of_error(self._item.nodeid, reason, profile.as_dict(), segment, together, evidence)

    def _keep(self, conclusion: Conclusion) -> None:
        if not conclusion.is_final:
            return
        self._conclusion = conclusion
        keep_result(self._item, conclusion)

    def judge(self) -> None:
        """Raise the verdict, unless it is *passed*."""
        conclusion, load = self._conclusion, self._started_load()
        if conclusion is None or self._state.settings.segment is not None:  # segments are judged when merged
            return
        verdict = conclusion.verdict
        groups = load.failure_groups() if not self._earlier else []
        error = groups[0].exception if groups and load.profile.is_functional else None
        if error is not None and (verdict == FAILED or self._state.settings.disabled):
            # A functional test fails as any test does, with its own exception.
            raise error.with_traceback(user_traceback(error.__traceback__))
        if verdict in (INVALID, ERROR):
            raise MeasurementInvalid(conclusion.message)
        if verdict == FAILED:
            raise (ComparisonFailed if conclusion.by_comparison else ThresholdFailed)(conclusion.message)

    def _started_load(self) -> Load:
        if self._load is None:
            raise RuntimeError(f"{self._item.nodeid}: the load test was called without its set-up")
        return self._load

    def _set_up_exception(self, error: UserSetUpError) -> BaseException:
        own_exception = self._started_load().set_up_exception(error)
        self._session_ends = isinstance(own_exception, (KeyboardInterrupt, pytest.exit.Exception))
        self.failed_users = error.failed
        return self._own_exception("setup", error.user, own_exception, error.failed)

    def _own_exception(self, when: str, user: VirtualUser, error: BaseException, failed: int) -> BaseException:
        """A user's exception with the traceback of its own code; a section in the report says whose it was.

        ``when`` is pytest's word for the phase; ``failed`` is the number of users who failed in it.
        """
        phase = {"setup": "set-up", "teardown": "teardown"}[when]
        self._whose_error = f"{phase} of user {user.index} failed"
        tried = max(failed, self._started_load().executor.set_ups.tried)
        where = f" on worker {self._shard.name}" if self._shard.share.count > 1 else ""
        more = f"; {failed} users failed in their {phase}" if failed > 1 else ""
        source = user.source_address or "chosen by the system"
        self._item.add_report_section(
            when, "ipload", f"{phase} of user {user.index} failed (source address: {source}){more}\n"
        )
        if isinstance(error, IploadError) and not _passed_user_code(error):
            return refusal(error)  # such as no lease for the user: the text is complete
        traceback = user_traceback(error.__traceback__)
        if isinstance(error, pytest.skip.Exception):
            # As pytest does for a skip in a fixture: the report names the test. There is no public API for that.
            error._use_item_location = True
        if isinstance(error, IterationInterrupted):  # pytest expects an Exception, or an outcome of its own
            error = TimeoutError(f"user {user.index} was still in its {phase} after the graceful stop")
        self._whose = error, f"{failed} of {counted(tried, 'user')} failed in {phase}{where}: "
        return error.with_traceback(traceback)

    def headline(self, error: BaseException) -> str | None:
        """The first line for the report of a phase that raised this; None where its traceback is enough."""
        known, whose = self._whose or (None, "")
        return headline(error, whose if error is known else "")


def _rounds_of(state: SessionState) -> Sequence[RoundNote | None]:
    """The rounds of the session's settings; one without a number, where there are none."""
    settings = state.settings
    count = settings.rounds or (1 if settings.against is None else DEFAULT_ROUNDS)
    if settings.disabled or (count == 1 and settings.against is None):
        return [None]
    return plan_rounds(count, against=settings.against is not None)


def _passed_user_code(error: BaseException) -> bool:
    traceback = user_traceback(error.__traceback__)
    return traceback is not None and is_user_code(traceback.tb_frame.f_code.co_filename)


def refusal(why: object) -> BaseException:
    """A failure as pytest raises it, with the text alone: its place in this package does not help users."""
    return pytest.fail.Exception(str(why), pytrace=False)
