from __future__ import annotations

from typing import Any

import pytest
from support.searches import plan

from pytest_ipload.base.errors import SettingError
from pytest_ipload.capacity.search_plan import CapacityPlan


def test_the_marker_of_the_documents() -> None:
    its_plan = CapacityPlan.parse(
        ["p95<200ms", "error_rate < 1%"],
        at_least="300/s",
        start="50/s",
        up_to="2000/s",
        step="10s",
        precision="5%",
    )
    assert its_plan == CapacityPlan(
        expressions=("p95 < 200ms", "error_rate < 1%"), at_least=300, start=50, up_to=2000, step_s=10, settle_s=3
    )
    assert its_plan.describe() == (
        "capacity by p95 < 200ms, error_rate < 1%: 50/s to 2 000/s, at least 300/s; about 13 rounds in 4m29s, "
        "at most 24 in 13m33s; ends early at ±5 %"
    )


@pytest.mark.parametrize(
    ("keys", "start", "up_to"),
    [
        ({}, 10, 10240),
        ({"at_least": "300/s"}, 75, 76800),
        ({"up_to": "320/s"}, 10, 320),
        ({"at_least": "300/s", "up_to": 400}, 75, 400),
        ({"start": "60/m", "up_to": "2/s"}, 1, 2),
        ({"max_rate": 400.0, "up_to": "500/s"}, 15.625, 400),
        ({"max_rate": 5.0}, 5, 5),
        ({"by": "users"}, 1, 64),
        ({"by": "users", "at_least": 50, "max_rate": 5.0}, 12, 768),
        ({"by": "users", "at_least": 2, "start": None}, 1, 64),
    ],
)
def test_what_is_not_given_follows_from_the_rest(keys: dict[str, Any], start: float, up_to: float) -> None:
    its_plan = CapacityPlan.parse(["p95 < 200ms"], **keys)
    assert (its_plan.start, its_plan.up_to) == (start, up_to)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"at_leest": "3/s"},
            "unknown key 'at_leest' (did you mean 'at_least'?); known: at_least, start, up_to, step, ",
        ),
        (
            {"start": "0.1/s"},
            "start=0.1/s is too low for step=10s: a round, of at most 3 steps, would have fewer than 5",
        ),
        ({"at_least": "300"}, "at_least '300' is not a rate; a rate is a number per unit of time, as in 100/s or 30/m"),
        ({"start": "0/s"}, "start '0/s' is out of range"),
        ({"step": "10"}, "step '10' is not a duration"),
        ({"step": "100ms"}, "step '100ms' is too short; give at least 200ms"),
        ({"settle": -1}, "settle -1 is not a duration"),
        ({"precision": "5"}, "precision '5' is not a percentage"),
        ({"precision": 5}, "precision 5 is out of range; give a precision from 0.5 % to 50 %, as in '5%'"),
        ({"precision": True}, "precision True is not a percentage"),
        ({"by": "user"}, "by 'user' is unknown; allowed: 'rate', 'users'"),
        ({"by": ["users"]}, "by ['users'] is unknown; allowed: 'rate', 'users'"),
        ({"by": "users", "start": "50/s"}, "start '50/s' is not a whole number"),
        ({"max_rounds": 2}, "max_rounds 2 is too few; a search takes at least 3 rounds, and usually 14"),
        ({"max_time": 0}, "max_time 0 must be greater than 0"),
        ({"max_time": "10s"}, "max_time=10s is too short: the first round takes 23s, and a search "),
        (
            {"at_least": "300/s", "up_to": "200/s"},
            "at_least=300/s is above up_to, 200/s: no round may be there; lower at_least, or raise up_to",
        ),
        ({"start": "300/s", "up_to": "200/s"}, "start=300/s is above up_to, 200/s"),
        (
            {"at_least": "300/s", "max_rate": 200.0},
            "at_least=300/s is above the maximum rate (--ipload-max-rate), 200/s",
        ),
        ({"by": "users", "at_least": 9, "up_to": 8}, "at_least=9 is above up_to, 8"),
    ],
)
def test_a_key_that_is_wrong_is_named(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as raised:
        CapacityPlan.parse(["p95 < 200ms"], **keys)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            "p95 > 200ms",
            "it fails at low loads and holds at high ones; write a limit that is exceeded when the load is",
        ),
        ("p95 < 0ms", "threshold 'p95 < 0ms': it can never hold; write <= to allow the limit itself"),
        ("check_rate > 100%", "it can never hold; write >= to allow"),
        ("errors < 5", "rounds differ in length, so it would be stricter in longer ones; give a share"),
        ("error_rate >= 1%", "it fails at low loads and holds at high ones"),
        ("rps > 300", "rps grows with the load, so it cannot limit the capacity; give the rate that has to be reached"),
        ("ip_pool_usage < 50%", "ip_pool_usage says nothing about the target; give a time or an error rate"),
        ("p95 < 200", "'200' is not a duration"),
        (200, "threshold 200: expected a text such as 'p95 < 200ms'"),
        (None, "no expression given; give what has to hold, as in 'p95 < 200ms', 'error_rate < 1%'"),
    ],
)
def test_an_expression_that_cannot_limit_the_capacity_is_refused(expression: object, message: str) -> None:
    with pytest.raises(SettingError) as raised:
        CapacityPlan.parse([] if expression is None else [expression])
    assert message in str(raised.value)


def test_a_round_is_judged_with_confidence_where_that_is_possible_and_ended_early() -> None:
    judged = plan("p95 < 200ms", "mean < 1s", "check_rate > 99%", "target.cpu.mean{api} < 80%").judged
    assert [(each.threshold.text, each.confidence, each.abort_on_fail) for each in judged] == [
        ("p95 < 200ms", 0.95, True),
        ("mean < 1s", None, True),
        ("check_rate > 99%", 0.95, True),
        ("target.cpu.mean{api} < 80%", None, False),
        ("error_rate == 0%", None, True),
    ]
    assert all(each.delay == 5.5 for each in judged if each.abort_on_fail)
    assert [each.threshold.text for each in plan("error_rate < 1%").judged] == ["error_rate < 1%"]


@pytest.mark.parametrize(
    ("expression", "level", "length", "seconds"),
    [
        ("p95 < 200ms", 50, 1, 10),
        ("p95 < 200ms", 10, 1, 20),
        ("p95 < 200ms", 10, 2, 40),
        ("p95 < 200ms", 1, 1, 30),
        ("p99 < 200ms", 50, 1, 20),
        ("error_rate < 1%", 25, 1, 15.212),
        ("max < 200ms", 1, 1, 10),
    ],
)
def test_a_round_at_a_low_rate_is_longer_to_have_enough_samples(
    expression: str, level: float, length: float, seconds: float
) -> None:
    assert plan(expression, start=1).measured_s(level, length) == seconds
    assert plan(expression, by="users", start=1, up_to=9).measured_s(level, length) == 10 * length


def test_more_precision_takes_more_rounds_and_time() -> None:
    plans = [plan(precision=precision, at_least=400) for precision in ("20%", "5%", "2%", "1%")]
    assert [each.planned_rounds() for each in plans] == [11, 13, 37, 65]
    assert [each.max_rounds for each in plans] == [20, 24, 72, 128]
    assert all(each.planned_s() < each.longest() for each in plans)
    assert plan(max_time="90s").longest() == 90


def test_a_step_that_is_short_for_its_limit_is_remarked_on() -> None:
    assert plan("p95 < 200ms").remarks() == []
    (remark,) = plan("p95 < 2s").remarks()
    assert remark.startswith(
        "step=10s is short for a limit of 2.00 s: at a rate 5 % above the capacity, a queue takes 37"
    )
    assert remark.endswith("use a step of 13s or more")
    assert plan("p95 < 2s", step="13s").remarks() == []


@pytest.mark.parametrize(
    ("keys", "seconds"), [({}, 10), ({"step": "2s"}, 6), ({"step": "4s"}, 6.8), ({"precision": "2%"}, 17)]
)
def test_a_round_near_the_capacity_is_long_enough_for_a_queue_to_show(keys: dict[str, Any], seconds: float) -> None:
    assert plan(**keys).measured_s(400, is_near=True) == seconds
    assert plan(**keys).measured_s(400) == plan(**keys).step_s
    assert plan(**{**keys, "by": "users", "start": 1, "up_to": 9}).measured_s(9, is_near=True) == plan(**keys).step_s


def test_levels_are_written_with_four_digits() -> None:
    rates, users = plan(), plan(by="users", start=1, up_to=64)
    assert [rates.rounded(level) for level in (412.345, 0.0123456, 1e9)] == [412.3, 0.01235, 2000]
    assert [rates.rounded_down(level) for level in (412.39, 752.8, 0.0123456)] == [412.3, 752.8, 0.01234]
    assert [rates.rounded_up(level) for level in (412.31, 752.8, 0.0123456)] == [412.4, 752.8, 0.01235]
    assert [users.rounded(level) for level in (0.2, 7.6, 99)] == [1, 8, 64]
    assert [users.rounded_down(level) for level in (0.2, 7.6)] == [1, 7]
    assert [rates.format(412.3), users.format(1), users.format(40)] == ["412/s", "1 user", "40 users"]
    assert [rates.as_setting(1e6), rates.as_setting(412.3), users.as_setting(40)] == ["'1000000/s'", "'412.3/s'", "40"]
