from __future__ import annotations

import re
from typing import Any

import pytest
from support.searches import EXPRESSION, Answers, holds_up_to, outcome, plan, run_search, users_plan

from pytest_ipload.capacity.capacity_result import CapacityResult
from pytest_ipload.capacity.search_round import CONFIRMING, FAILS, GENERATOR_LIMITED, HOLDS, RoundOutcome, RoundRequest
from pytest_ipload.capacity.search_verdict import remarks_on


def found(answer: Answers, **keys: Any) -> CapacityResult:
    return run_search(plan(**keys), answer).search.result()


def limited_above(level: float) -> Answers:
    """A generator that is the limit there, and a target without one."""

    def answer(request: RoundRequest) -> RoundOutcome:
        return outcome(GENERATOR_LIMITED, reason="too busy") if request.level > level else outcome(HOLDS)

    return answer


@pytest.mark.parametrize(
    ("at_least", "verdict"),
    [(None, "passed"), (300, "passed"), (370, "passed"), (400, "undecided"), (420, "undecided"), (500, "failed")],
)
def test_the_promise_below_inside_and_above_the_interval(at_least: float | None, verdict: str) -> None:
    result = found(holds_up_to(412), at_least=at_least)
    assert 370 < (result.low or 0) < 400
    assert 420 < (result.high or 0) < 450
    assert result.verdict == verdict


@pytest.mark.parametrize(
    ("answer", "keys", "reason"),
    [
        (
            holds_up_to(412),
            {"at_least": "300/s"},
            "capacity 416/s, at least 300/s promised (95 % CI 381-438/s, limited by p95 < 200ms, 14 rounds)",
        ),
        (
            holds_up_to(1e9),
            {"up_to": "100/s"},
            "capacity 100/s or more (95 % confident of 100/s, not tried above up_to='100/s', 4 rounds)",
        ),
        (
            lambda request: outcome(FAILS),
            {"at_least": "40/s"},
            "capacity below 0.195/s: no round held, at least 40/s promised (limited by p95 < 200ms, 9 rounds)",
        ),
        (
            lambda request: outcome(HOLDS),
            {"max_rounds": 3},
            "capacity unknown, above 200/s (3 rounds, stopped: after 3 rounds, the maximum (max_rounds))",
        ),
        (
            limited_above(30),
            {},
            "capacity unknown: the generator was the limit at 50/s (too busy); no round of the target was measured",
        ),
        (
            limited_above(120),
            {"at_least": "150/s"},
            "capacity unknown: the generator was the limit at 130/s (too busy); the expressions held up to 119/s",
        ),
        (
            limited_above(120),
            {"at_least": "60/s"},
            "capacity unknown: the generator was the limit at 130/s (too busy); the expressions held up to 119/s, "
            "which is the promise: to test no more than that, set up_to='118.9/s'; to find the capacity, give the "
            "generator more",
        ),
    ],
)
def test_the_reason_says_what_was_measured_first(answer: Answers, keys: dict[str, Any], reason: str) -> None:
    assert found(answer, **keys).reason == reason


def test_users_are_counted() -> None:
    result = run_search(users_plan(at_least=3), holds_up_to(7)).search.result()
    assert result.reason.startswith("capacity 7 users, at least 3 users promised (95 % CI ")
    assert (result.by, result.verdict) == ("users", "passed")


def test_the_expression_near_the_capacity_is_the_one_that_limits_it() -> None:
    def answer(request: RoundRequest) -> RoundOutcome:
        if request.level > 700:
            return outcome(FAILS, threshold="error_rate < 1%")
        return outcome(FAILS if request.level > 412 else HOLDS)

    assert found(answer).threshold == EXPRESSION


def test_a_generator_that_fails_as_often_as_the_target_makes_it_invalid() -> None:
    """Every other round that does not hold is the generator's, and goes well when it is repeated."""

    def answer(request: RoundRequest) -> RoundOutcome:
        calls.append(request.level)
        is_first = calls.count(request.level) == 1
        if request.level > 412:
            return outcome(FAILS)
        return outcome(GENERATOR_LIMITED if is_first and request.kind != CONFIRMING else HOLDS)

    calls: list[float] = []
    result = found(answer)
    assert (result.rate, result.high, result.limited_by, result.verdict) == (None, None, "generator", "invalid")
    assert result.low is not None


def test_what_a_round_is_too_short_to_show_is_left_off_the_lower_end() -> None:
    """A queue that grows by 3 % a second takes 93 s to the limit of 2.8 s: all rounds of 93 s hold."""
    usual, short = found(holds_up_to(412)), run_search(plan("p95 < 2800ms"), holds_up_to(412)).search.result()
    assert (short.rate, short.high) == (usual.rate, usual.high)
    assert short.low == pytest.approx((usual.low or 0) / (1 + 2.8 / 93), rel=1e-3)


def test_an_interval_that_is_much_wider_than_requested_is_remarked_on() -> None:
    its_plan = plan(precision="1%", max_rounds=12)
    (remark,) = remarks_on(its_plan, run_search(its_plan, holds_up_to(412, 0.2)).search.result())
    assert re.match(r"the interval is ±[\d.]+ %, wider than precision=1%", remark)
    assert remarks_on(plan(), found(holds_up_to(412))) == []


def test_plain_values_have_what_is_known() -> None:
    values = found(holds_up_to(412), at_least="300/s").as_dict()
    assert (values["by"], values["limited_by"], values["verdict"], values["at_least"]) == (
        "rate",
        "threshold",
        "passed",
        300,
    )
    assert values["low"] < values["rate"] < values["high"]
    assert "stopped" not in values
    first, *_, last = values["rounds"]
    assert first == {
        "number": 1,
        "kind": "doubling",
        "rate": 50.0,
        "settle_s": 3.0,
        "measured_s": 10.0,
        "state": "holds",
        "p50_ms": 10.0,
    }
    assert last["kind"] == "confirming"
    of_users = run_search(users_plan(), holds_up_to(7)).search.result().as_dict()
    assert of_users["rounds"][0]["users"] == 1
    limited = found(limited_above(120)).as_dict()
    assert "rate" not in limited
    assert "high" not in limited
