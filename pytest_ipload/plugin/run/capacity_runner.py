"""``ipload.capacity``: a capacity search that a test starts itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pytest_ipload.base.health_catalogue import HealthCheck
from pytest_ipload.capacity.capacity_result import CapacityResult
from pytest_ipload.capacity.search_plan import KEYS
from pytest_ipload.capacity.search_turn import SearchTurn
from pytest_ipload.capacity.searches import Searches, first_turn
from pytest_ipload.load.generator.surroundings import SharedSurroundings
from pytest_ipload.load.scenario import Body
from pytest_ipload.load.set_up_phase import UserSetUpError
from pytest_ipload.plugin.hook_calls import review_of
from pytest_ipload.plugin.items.capacity_marker import plan_of
from pytest_ipload.plugin.items.marker_settings import profile_of_search
from pytest_ipload.plugin.items.outcomes import SKIPS
from pytest_ipload.plugin.items.thresholds import judged_by, session_thresholds
from pytest_ipload.plugin.run.capacity_test import profile_in
from pytest_ipload.plugin.run.load_request import LoadPlace, LoadRequest
from pytest_ipload.plugin.run.load_run import Load
from pytest_ipload.plugin.run.own_loads import base_url_of_load, scenario_for
from pytest_ipload.plugin.session_state import keep_result, kept_results, state_of
from pytest_ipload.report.error_results import reason_of
from pytest_ipload.report.tracebacks import first_traceback
from pytest_ipload.verdict.conclusion import Conclusion
from pytest_ipload.verdict.decide import settled
from pytest_ipload.verdict.shard_group import SingleProcess
from pytest_ipload.verdict.shard_result import ShardResult

PLACE = "ipload.capacity"


class CapacityRunner:
    """One search."""

    def __init__(
        self,
        request: pytest.FixtureRequest,
        body: Body | Mapping[Body, int],
        expressions: Sequence[str],
        settings: Mapping[str, Any],
        foreseen: Sequence[HealthCheck],
    ) -> None:
        """Read and check the settings. Raises SettingError."""
        state = self._state = state_of(request.config)
        item = self._item = request.node
        own = {key: value for key, value in settings.items() if key in KEYS}
        given = [({key: value for key, value in settings.items() if key not in KEYS}, ())]
        make_scenario, is_async = scenario_for(request, body, PLACE)
        plan = plan_of(expressions, own, state, given, PLACE)
        base_url = base_url_of_load(request, settings)
        profile = profile_of_search(item, state, plan, given, base_url, PLACE)
        judged = [config for config in plan.judged if not config.is_implied]
        self._surroundings = SharedSurroundings()
        self._request = LoadRequest(
            item,
            profile,
            judged_by([*judged, *session_thresholds(state)], profile, state),
            make_scenario,
            (request.path.parent, request.config.rootpath),
            foreseen,
            holds_users=True,
            is_async=is_async,
            widest=profile,
            place=LoadPlace.of(state, self._surroundings),
        )
        self._turn = first_turn(plan, against=False)
        baselines, number = state.baselines, len(kept_results(item))
        compare = None if baselines is None else partial(baselines.compare, load=number)
        self._searches = Searches(lambda result: settled(result, compare, review_of(item.config)))

    def run(self) -> CapacityResult:
        """Run its loads; the result is kept for the reports."""
        with ExitStack() as at_end:
            at_end.callback(self._surroundings.close)
            self._surroundings.freeze()
            load: Load | None = None
            while True:
                load = self._load(self._turn, load)
                at_end.callback(load.executor.close)
                conclusion = self._run_load(load)
                if conclusion.following is None:
                    break
                self._turn = SearchTurn.from_text(conclusion.following)
        keep_result(self._item, conclusion)
        assert self._searches.found is not None
        return self._searches.found

    def _load(self, turn: SearchTurn, after: Load | None) -> Load:
        request = replace(
            self._request,
            profile=profile_in(turn, self._request.profile),
            thresholds=[] if turn.is_rest else self._request.thresholds,
            search=turn.to_text(),
            shown_round=turn.shown,
            after=after,
        )
        return Load(
            self._state, request, SingleProcess(self._searches.judge, self._state.pools.slot, self._state.audience)
        )

    def _run_load(self, load: Load) -> Conclusion:
        """The conclusion on one load; raises what ended it, after what is known so far was kept."""
        try:
            load.set_up()
            load.run()
        except UserSetUpError as error:
            ended_by, what = load.set_up_exception(error), f"set-up of user {error.user.index} failed"
        except BaseException as error:
            ended_by, what = error, "the load failed"
        else:
            return self._searches.judge(self._part(load))
        self._keep_so_far(load, ended_by, what)
        raise ended_by  # raised here so that its own causes are not replaced

    def _part(self, load: Load) -> ShardResult:
        groups = load.failure_groups()
        return load.results.part(traceback=first_traceback(self._item, (group.exception for group in groups)))

    def _keep_so_far(self, load: Load, ended_by: BaseException, what: str) -> None:
        if isinstance(ended_by, SKIPS):
            return
        if load.has_begun:
            reason = f"the search was ended by {type(ended_by).__name__}"
            keep_result(self._item, self._searches.judge(replace(self._part(load), broken_off=reason)))
            return
        reason = reason_of(ended_by, what)
        known = self._searches.unfinished(self._item.nodeid, reason)
        keep_result(self._item, known or Conclusion.of_error(self._item.nodeid, reason, load.profile.as_dict()))
