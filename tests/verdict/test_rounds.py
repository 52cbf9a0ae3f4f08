"""Rounds of a load: their order, and the one result of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.results import load_result
from support.samples import request

from pytest_ipload.base.health_catalogue import fired
from pytest_ipload.stats.sample import FAILED
from pytest_ipload.stats.stacks import Place, packed
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.result import GeneratorHealth, LoadResult
from pytest_ipload.verdict.rounds import BASE, CURRENT, Round, RoundNote, combine, plan_rounds


def rounds(*milliseconds: float, role: str = CURRENT, verdicts: Sequence[str] = ()) -> list[Round]:
    """One for each latency."""
    found = []
    for number, latency in enumerate(milliseconds):
        verdict = verdicts[number] if verdicts else "passed"
        reason = "" if verdict == "passed" else f"{verdict} in {number}"
        result = load_result([request(latency_ms=latency)] * 20, verdict=verdict, reason=reason)
        found.append(Round(RoundNote(number, len(milliseconds), role), result))
    return found


@pytest.mark.parametrize(
    ("count", "against", "roles"),
    [
        (1, False, [CURRENT]),
        (3, False, [CURRENT] * 3),
        (1, True, [BASE, CURRENT]),
        (3, True, [BASE, CURRENT, CURRENT, BASE, BASE, CURRENT]),
    ],
)
def test_two_targets_are_loaded_in_turns(count: int, against: bool, roles: list[str]) -> None:
    plan = plan_rounds(count, against)
    assert [note.role for note in plan] == roles
    assert [(note.number, note.count) for note in plan] == [(number, len(roles)) for number in range(len(roles))]
    assert [note.is_last for note in plan] == [*[False] * (len(roles) - 1), True]


@pytest.mark.parametrize("count", range(1, 12))
def test_neither_target_comes_earlier_on_the_whole(count: int) -> None:
    plan = plan_rounds(count, against=True)
    places = {role: sum(note.number for note in plan if note.role == role) for role in (CURRENT, BASE)}
    assert abs(places[CURRENT] - places[BASE]) <= 1
    assert sum(note.role == CURRENT for note in plan) == count


def chosen(result: LoadResult) -> float:
    assert result.latency.max_ms is not None
    return result.latency.max_ms


def test_the_numbers_are_those_of_the_median_round() -> None:
    result = combine(rounds(30, 10, 20), [])
    assert chosen(result) == 20
    assert result.comparisons is None
    assert result.rounds is not None
    assert [each.p95_ms for each in result.rounds] == pytest.approx([30, 10, 20], rel=1e-3)
    assert [each.role for each in result.rounds] == [CURRENT] * 3


def test_the_gravest_verdict_is_that_of_all() -> None:
    result = combine(rounds(30, 10, 20, verdicts=["failed", "passed", "passed"]), [])
    assert (result.verdict, result.reason, chosen(result)) == ("failed", "failed in 0", 30)
    result = combine(rounds(30, 10, 20, verdicts=["failed", "invalid", "passed"]), [])
    assert (result.verdict, result.reason) == ("invalid", "invalid in 1")


def test_a_regression_fails() -> None:
    both = [*rounds(*[20] * 5, role=BASE), *rounds(*[30] * 5)]
    result = combine(both, [CompareLimit.parse("p95:10%"), CompareLimit.parse("rps:10%")])
    assert result.verdict == "failed"
    assert result.reason.startswith("p95 30.0 ms, 50 % above the baseline's 20.0 ms")
    assert result.comparisons is not None
    assert [(each.metric, each.regressed) for each in result.comparisons] == [("p95", True), ("rps", False)]
    assert combine(both, [CompareLimit.parse("p95:60%")]).verdict == "passed"


def test_without_limits_nothing_is_judged() -> None:
    result = combine([*rounds(20, role=BASE), *rounds(300)], [])
    assert result.verdict == "passed"
    assert result.comparisons is not None
    assert [each.metric for each in result.comparisons] == ["p50", "p95", "p99", "rps"]
    assert not any(each.regressed for each in result.comparisons)


def test_the_base_may_fail_but_an_invalid_round_of_it_is_nothing_to_compare_with() -> None:
    limits = [CompareLimit.parse("p95:10%")]
    failed = rounds(*[20] * 4, role=BASE, verdicts=["failed"] * 4)
    assert combine([*failed, *rounds(*[20] * 4)], limits).verdict == "passed"
    invalid = rounds(20, 20, role=BASE, verdicts=["passed", "invalid"])
    result = combine([*invalid, *rounds(20, 20)], limits)
    assert (result.verdict, result.comparisons) == ("invalid", None)
    assert result.reason == "round 2, of the base target: invalid in 1"


def test_an_invalid_measurement_stays_invalid() -> None:
    both = [*rounds(*[20] * 4, role=BASE), *rounds(30, 30, 30, 30, verdicts=["passed", "invalid", "passed", "passed"])]
    result = combine(both, [CompareLimit.parse("p95:10%")])
    assert (result.verdict, result.reason) == ("invalid", "invalid in 1")


def test_a_base_that_answers_nothing_is_nothing_to_compare_with() -> None:
    dead = load_result([request(outcome=FAILED)] * 20, verdict="passed")
    base = [Round(each.note, dead) for each in rounds(1, 1, role=BASE)]
    result = combine([*rounds(10, 10), *base], [CompareLimit.parse("rps:10%")])
    assert (result.verdict, result.comparisons) == ("invalid", None)
    assert result.reason.endswith("all of its 20 requests failed, so there is nothing to compare with")


def test_broken_off_in_a_round_of_the_base_there_is_still_a_result() -> None:
    result = combine(rounds(20, role=BASE, verdicts=["invalid"]), [])
    assert result.verdict == "invalid"
    assert result.rounds is not None
    assert len(result.rounds) == 1


def test_each_limit_is_judged_also_two_of_one_metric() -> None:
    both = [*rounds(*[20] * 5, role=BASE), *rounds(*[30] * 5)]
    result = combine(both, [CompareLimit.parse("p95:60%"), CompareLimit.parse("p95:5ms")])
    assert [(each.limit, each.regressed) for each in result.comparisons or ()] == [
        ("p95:60%", False),
        ("p95:5ms", True),
    ]


def test_what_only_the_base_has_is_a_regression() -> None:
    nothing = [Round(RoundNote(number, 4, CURRENT), load_result([])) for number in range(4)]
    result = combine([*rounds(*[20] * 4, role=BASE), *nothing], [CompareLimit.parse("p95:10%")])
    assert (result.verdict, result.reason) == (
        "failed",
        "p95: no samples, the baseline's is 20.0 ms (limit +10 %)",
    )


def test_values_that_were_not_measured_are_not_compared() -> None:
    nothing = [Round(RoundNote(0, 2, BASE), load_result([]))]
    result = combine([*nothing, *rounds(20)], [CompareLimit.parse("p95:10%")])
    assert result.comparisons == []


def test_a_round_with_a_saturated_generator_proves_no_regression() -> None:
    both = [*rounds(*[20] * 5, role=BASE), *rounds(*[30] * 5)]
    saturated = GeneratorHealth.of([fired("generator-saturated", "its timer was late")])
    both[7] = replace(both[7], result=replace(both[7].result, generator=saturated))
    result = combine(both, [CompareLimit.parse("p95:10%")])
    assert result.verdict == "invalid"
    assert result.reason.startswith("generator-saturated: ")
    assert "p95 30.0 ms, 50 % above" in result.reason


def with_stacks(each: Round, slow: int) -> Round:
    place = Place("cart.py", 3, "price_of", "", "")
    return replace(each, stacks=packed({0: Counter({place: slow, place._replace(function="render"): 50})}))


def test_a_regression_names_the_functions_that_grew() -> None:
    base = [with_stacks(each, 2) for each in rounds(*[20] * 5, role=BASE)]
    current = [with_stacks(each, 60) for each in rounds(*[30] * 5)]
    explain = combine([*base, *current], [CompareLimit.parse("p95:10%")]).explain
    assert explain is not None
    assert (explain.kind, explain.metric) == ("versions", "p95")
    assert [line.function for line in explain.lines] == ["price_of"]
    assert combine([*base, *current], [CompareLimit.parse("p95:60%")]).explain is None
