"""The fixture ``ipload``: runs loads from within an ordinary test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.base.errors import SettingError, is_configuration_error
from pytest_ipload.base.health_catalogue import HealthCheck, fired
from pytest_ipload.base.units import format_duration
from pytest_ipload.load.scenario import Body
from pytest_ipload.load.set_up_phase import UserSetUpError
from pytest_ipload.plugin.hook_calls import review_of
from pytest_ipload.plugin.items.marker_settings import profile_of
from pytest_ipload.plugin.items.outcomes import SKIPS
from pytest_ipload.plugin.items.thresholds import judged_by, session_thresholds
from pytest_ipload.plugin.run.load_request import LoadRequest
from pytest_ipload.plugin.run.load_run import Load
from pytest_ipload.plugin.run.own_loads import base_url_of_load, scenario_for
from pytest_ipload.plugin.session_state import keep_result, kept_results, state_of
from pytest_ipload.report.error_results import reason_of
from pytest_ipload.report.tracebacks import first_traceback
from pytest_ipload.verdict.conclusion import Conclusion
from pytest_ipload.verdict.judge import Judge
from pytest_ipload.verdict.result import LoadResult
from pytest_ipload.verdict.shard_group import SingleProcess

if TYPE_CHECKING:
    from pytest_ipload.capacity.capacity_result import CapacityResult

_LONG_WAIT_S = 1.0
"""A shorter wait for other loads is not worth a remark."""


class LoadRunner:
    """The ``ipload`` fixture: starts loads from within an ordinary test and returns their results."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def run(self, body: Body | Mapping[Body, int], **settings: Any) -> LoadResult:
        """Run ``body(user)`` under load and return the result; the test asserts on it.

        A dict runs several bodies in one load, as often as their weights say, as in ``{browse: 3, buy: 1}``: user i
        runs in its iteration j the body at place i + j of an order in which each has its share. Each run is a step that
        has the body's name.

        The keywords are those of the ``ipload`` marker. Raises SettingError for an invalid one, and what the marker's
        load would end with: a skip in the first iteration, KeyboardInterrupt, the exception of a user's set-up.
        """
        waited: list[HealthCheck] = []
        load = self._load_of(body, settings, waited)
        with self._alone(waited):
            return self._run(load)

    def capacity(self, body: Body | Mapping[Body, int], *expressions: str, **settings: Any) -> CapacityResult:
        """Find the highest arrival rate, or with ``by="users"`` the most users, at which the expressions hold.

        The keywords are those of the markers ``ipload_capacity`` and ``ipload``. The test asserts on the result, as in
        ``assert result.low >= 300``. Raises what ``run`` raises.
        """
        from pytest_ipload.capacity.search_plan import KEYS
        from pytest_ipload.plugin.run.capacity_runner import CapacityRunner

        if state_of(self._request.config).settings.disabled:
            self.run(body, **{key: value for key, value in settings.items() if key not in KEYS})
            pytest.skip("--ipload-disable: the body of ipload.capacity ran once, and nothing was searched")
        waited: list[HealthCheck] = []
        runner = CapacityRunner(self._request, body, expressions, settings, waited)
        with self._alone(waited):
            return runner.run()

    @contextmanager
    def _alone(self, waited: list[HealthCheck]) -> Iterator[None]:
        """Under pytest-xdist: wait for the loads of other workers' tests, which would disturb this one, and note it.

        Raises KeyboardInterrupt when the session ends.
        """
        whole_loads = state_of(self._request.config).whole_loads
        may_load = False
        try:
            with nullcontext(0.0) if whole_loads is None else whole_loads.alone() as seconds:
                may_load = True
                if seconds >= _LONG_WAIT_S:
                    waited.append(fired("waited-for-loads", f"the load began {format_duration(seconds)} later"))
                yield
        finally:
            if not may_load:
                text = "the load had not begun: it waited for that of another worker's test, see --ipload-concurrent\n"
                self._request.node.add_report_section("call", "ipload", text)

    def _run(self, load: Load) -> LoadResult:
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
            raise ended_by  # raised here so that its own causes are not replaced
        assert result is not None
        return result

    def _load_of(
        self, body: Body | Mapping[Body, int], settings: Mapping[str, Any], foreseen: Sequence[HealthCheck]
    ) -> Load:
        """The load, after all checks that can be made before it starts. Raises SettingError.

        To ``foreseen`` may be added until the load begins.
        """
        state, item = state_of(self._request.config), self._request.node
        make_scenario, is_async = scenario_for(self._request, body, "ipload.run")
        profile = profile_of(
            item, state, [(settings, ())], base_url_of_load(self._request, settings), place="ipload.run"
        )
        if profile.start_after is not None:
            raise SettingError("ipload.run: start_after is for load tests with the marker ipload_together")
        thresholds = judged_by(session_thresholds(state), profile, state)
        folders = (self._request.path.parent, self._request.config.rootpath)
        request = LoadRequest(item, profile, thresholds, make_scenario, folders, foreseen, is_async=is_async)
        return Load(state, request, SingleProcess(self._judge().judge, state.pools.slot, state.audience))

    def _judge(self) -> Judge:
        """Compares the next load of the test with the same load of saved runs."""
        config, number = self._request.config, len(kept_results(self._request.node))
        baselines = state_of(config).baselines
        return Judge(
            compare=None if baselines is None else partial(baselines.compare, load=number), review=review_of(config)
        )

    def _kept(self, load: Load, ended_by: BaseException | None, failed_user: int | None) -> LoadResult | None:
        """The result of a load, which is kept for the reports; None if it was skipped or did not begin.

        ``failed_user`` is the user whose set-up ended the load; None where something else did.
        """
        if isinstance(ended_by, SKIPS):
            return None
        item = self._request.node
        what = "the load failed" if failed_user is None else f"set-up of user {failed_user} failed"
        reason = None if ended_by is None else reason_of(ended_by, what)
        if reason is not None and not load.has_begun:
            conclusion = Conclusion.of_error(item.nodeid, reason, load.profile.as_dict())
            keep_result(item, conclusion)
            return None
        part = load.results.part(traceback=first_traceback(item, (group.exception for group in load.failure_groups())))
        if failed_user is not None or (ended_by is not None and is_configuration_error(ended_by)):
            part = replace(part, error=reason)
        elif ended_by is not None:
            part = replace(part, broken_off=f"the load was aborted by {type(ended_by).__name__}")
        result = self._judge().result(part)
        keep_result(item, Conclusion.of(result))
        return result
