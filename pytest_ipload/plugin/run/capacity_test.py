"""A load test with a capacity search: its loads, with users that live through all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pytest_ipload.capacity.search_plan import CapacityPlan
from pytest_ipload.capacity.search_round import USERS
from pytest_ipload.capacity.search_turn import SearchTurn
from pytest_ipload.capacity.searches import first_turn
from pytest_ipload.load.generator.surroundings import SharedSurroundings
from pytest_ipload.plugin.items.thresholds import given_thresholds, judged_by
from pytest_ipload.plugin.run.load_group import LoadGroup, Search
from pytest_ipload.plugin.run.load_request import LoadPlace, LoadRequest
from pytest_ipload.plugin.run.load_run import Load
from pytest_ipload.plugin.run.load_test import LoadTest
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.verdict.conclusion import Conclusion
from pytest_ipload.verdict.shard_group import LoadAborted
from pytest_ipload.verdict.threshold.config import ThresholdConfig


class CapacityTest(LoadTest):
    """Runs the rounds of a search."""

    def __init__(self, item: pytest.Function, state: SessionState, plan: CapacityPlan) -> None:
        """Read and check the settings. Raises IploadError."""
        self._plan = plan
        self._last: dict[str, Load] = {}
        """The last load of each version: it has the users."""
        self._surroundings = SharedSurroundings()
        self._is_broken_off = False
        super().__init__(item, state)
        self._turn = first_turn(plan, state.settings.against is not None)
        self._rounds = [self._turn]
        self._place = LoadPlace.of(state, self._surroundings)

    def _judged_thresholds(self) -> list[ThresholdConfig]:
        own = [config for config in self._plan.judged if not config.is_implied]
        return judged_by([*own, *given_thresholds(self._item, self._state)], self._profile, self._state)

    def _all_rounds(self) -> Iterator[SearchTurn]:
        while self._conclusion is None:
            yield self._turn

    def _keep(self, conclusion: Conclusion) -> None:
        if conclusion.following is not None:
            self._turn = SearchTurn.from_text(conclusion.following)
        super()._keep(conclusion)

    def _profile_of(self, round_note: Any) -> LoadProfile:
        return profile_in(self._turn, super()._profile_of(self._turn))

    def _request_in(self, round_note: Any, request: LoadRequest) -> LoadRequest:
        turn = self._turn
        return replace(
            request,
            thresholds=[] if turn.is_rest else request.thresholds,
            holds_users=True,
            search=turn.to_text(),
            shown_round=turn.shown,
            after=self._last.get(turn.role),
            place=self._place,
            widest=super()._profile_of(turn),
        )

    def _prepared_load(self, round_note: Any) -> Load:
        load = self._last[self._turn.role] = super()._prepared_load(round_note)
        return load

    def run(self) -> None:
        """Run the search; raises what ended it."""
        __tracebackhide__ = True
        if self._group is None:
            self._surroundings.freeze()
        super().run()

    def _join(self, group: LoadGroup, load: Load) -> None:
        search = Search(partial(self._run_beside, group), self._shard.abort)
        group.add(self._item.nodeid, load, self._hand_in, self._shard.break_down, search)

    def _run_beside(self, group: LoadGroup, start_at_ns: int | None) -> None:
        """Run all rounds while other loads run, in a thread of the group; raises what ended them."""
        load = self._started_load()
        self._shard.on_break_off = self._break_off
        try:
            load.run(start_at_ns)
            while self._conclusion is None:
                if self._is_broken_off:
                    self._shard.hand_in(self._part(load))
                    self._shard.abort("the session ends")
                    break
                group.go_on(self._item.nodeid, load)
                self._keep(self._shard.conclude(self._part(load)))
                if self._conclusion is None:
                    load = self._next_beside(group, load)
                    load.run()
        except LoadAborted:
            if not self._is_broken_off:
                raise

    def _next_beside(self, group: LoadGroup, load: Load) -> Load:
        """The next load, whose users are set up."""
        self._earlier.append(load)
        following = self._load = self._prepared_load(self._turn)
        group.go_on(self._item.nodeid, following)
        following.set_up()
        self._shard.on_break_off = self._break_off
        return following

    def _break_off(self, reason: str) -> None:
        """The session ends: no round is waited for, since the others of the group hand in after this one."""
        self._is_broken_off, load = True, self._started_load()
        load.executor.ask_to_stop(reason, hurry=True)
        if load.executor.is_through or not load.has_begun:  # else what it measured is handed in first
            self._shard.abort(reason)

    def _tear_down(self) -> None:
        __tracebackhide__ = True
        with closing(self._surroundings):
            for load in self._earlier:  # the last one of each version has its users
                load.executor.close(hurry=not load.executor.is_through)
            super()._tear_down()


def profile_in(turn: SearchTurn, profile: LoadProfile) -> LoadProfile:
    """The profile of one load of a search; ``profile`` is that of its highest round."""
    profile = replace(profile, duration=turn.duration_s, warmup=turn.settle_s)
    if turn.plan.by == USERS:
        return replace(profile, users=max(1, round(turn.level)))
    return replace(profile, arrival_rate=turn.level)
