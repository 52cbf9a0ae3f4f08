"""One load of a search, on its way between processes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_ipload.capacity.search_plan import CapacityPlan
from pytest_ipload.capacity.search_round import Rest
from pytest_ipload.capacity.search_turn import SearchTurn, look_s
from pytest_ipload.capacity.searches import first_turn
from pytest_ipload.verdict.rounds import BASE, CURRENT

PLAN = CapacityPlan.parse(["p95 < 100ms"], start="50/s", up_to="800/s", step="2s")
REST = Rest(level=10.0, latency_ms=5.0, longest_s=6.0)


def test_a_turn_survives_the_way_to_another_process() -> None:
    turn = first_turn(PLAN, against=True)
    resting = replace(turn, request=replace(turn.request, rest=REST), look_s=0.5, role=CURRENT)
    for each in (turn, resting):
        assert SearchTurn.from_text(each.to_text()) == each


def test_a_round_and_the_trickle_before_it() -> None:
    turn = first_turn(PLAN, against=False)
    assert (turn.role, turn.level, turn.settle_s, turn.is_rest) == (CURRENT, 50, PLAN.settle_s, False)
    resting = replace(turn, request=replace(turn.request, rest=REST), look_s=0.5)
    assert (resting.level, resting.settle_s, resting.duration_s, resting.is_rest) == (10, 0, 0.5, True)


def test_the_base_version_comes_first() -> None:
    assert first_turn(PLAN, against=True).role == BASE


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"plan": 1}', "null"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a turn of a capacity search"):
        SearchTurn.from_text(text)


@pytest.mark.parametrize(("rested_s", "expected"), [(0.0, 1.0), (5.5, 0.5), (6.0, 0.5)])
def test_looks_at_the_target_fit_into_its_rest(rested_s: float, expected: float) -> None:
    assert look_s(PLAN, REST, rested_s) == expected


def test_a_look_lasts_for_some_iterations() -> None:
    assert look_s(PLAN, replace(REST, level=2.0), 0.0) == 2.5
