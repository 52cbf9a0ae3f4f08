from __future__ import annotations

import math

import pytest

from pytest_ipload.base.errors import SettingError
from pytest_ipload.capacity.capacity_change import (
    CapacityLimit,
    difference,
    is_capacity_limit,
    judge_saved,
    judge_versions,
)
from pytest_ipload.capacity.capacity_result import CapacityResult, LimitedBy

TEN_PERCENT = CapacityLimit.parse("capacity:10%")


def capacity(
    rate: float | None, half: float = 0.05, *, by: str = "rate", limited_by: LimitedBy = "threshold"
) -> CapacityResult:
    """A result with so wide an interval; without a rate no round held, or the generator was the limit."""
    low = None if rate is None else rate / (1 + half)
    high = 50.0 if rate is None else rate * (1 + half)
    return CapacityResult(
        by=by,
        rate=rate,
        low=300.0 if limited_by == "generator" else low,
        high=high if limited_by == "threshold" else None,
        limited_by=limited_by,
        threshold="p95 < 200ms",
        verdict="passed",
        reason="",
    )


def test_the_interval_of_a_difference() -> None:
    found = difference(capacity(360), capacity(400))
    assert found is not None
    assert found.change == pytest.approx(-0.1)
    half = math.sqrt(2) * math.log(1.05)
    assert (found.low, found.high) == pytest.approx((0.9 * math.exp(-half) - 1, 0.9 * math.exp(half) - 1))
    assert difference(capacity(None), capacity(400)) is None
    assert difference(capacity(40, by="users"), capacity(400)) is None
    unbounded = difference(capacity(2000, limited_by="up_to"), capacity(2000, limited_by="up_to"))
    assert unbounded is not None
    assert (unbounded.low, unbounded.high) == (-1, math.inf)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("current", "base", "regressed", "undecided"),
    [
        (capacity(300), capacity(400), True, False),
        (capacity(359), capacity(400), True, False),
        (capacity(359, 0.12), capacity(400), False, True),
        (capacity(361), capacity(400), False, False),
        (capacity(361, 0.3), capacity(400), False, False),
        (capacity(400), capacity(400), False, False),
        (capacity(500), capacity(400), False, False),
        (capacity(300, 0.4), capacity(400), False, True),
        (capacity(None), capacity(400), True, False),
        (capacity(2000, limited_by="up_to"), capacity(400), False, False),
        (capacity(400), capacity(2000, limited_by="up_to"), True, False),
        (capacity(2000, limited_by="up_to"), capacity(2000, limited_by="up_to"), False, False),
        (capacity(30, by="users"), capacity(40, by="users"), True, False),
    ],
)
def test_a_version_regressed_if_it_is_lower_by_more_than_the_limit_and_by_more_than_noise(
    current: CapacityResult, base: CapacityResult, regressed: bool, undecided: bool, strict: bool
) -> None:
    comparison = judge_versions(TEN_PERCENT, current, base, strict=strict)
    assert comparison is not None
    assert (comparison.regressed, comparison.undecided) == (regressed, undecided)
    assert comparison.passed == (not regressed and not (undecided and strict))
    assert (comparison.metric, comparison.limit) == ("capacity", "capacity:10%")
    described = judge_versions(None, current, base)
    assert described is not None
    assert (described.passed, described.limit) == (True, None)


def test_the_message_has_the_change_and_its_interval() -> None:
    comparison = judge_versions(TEN_PERCENT, capacity(340, 0.03), capacity(412, 0.04))
    assert comparison is not None
    assert comparison.message == (
        "capacity 340/s, 17.5 % below the baseline's 412/s (limit -10 %; 95 % CI of the change -21.4 % to -13.3 %)"
    )
    of_users = judge_versions(None, capacity(30, by="users"), capacity(40, by="users"))
    assert of_users is not None
    assert of_users.message.startswith("capacity 30 users, 25 % below the baseline's 40 users (95 % CI of the change")


def test_what_the_generator_limited_is_not_compared() -> None:
    limited = capacity(None, limited_by="generator")
    assert judge_versions(TEN_PERCENT, limited, capacity(400)) is None
    assert judge_versions(TEN_PERCENT, capacity(400), limited) is None
    assert judge_saved(TEN_PERCENT, limited, [capacity(400)] * 9) is None
    assert judge_saved(TEN_PERCENT, capacity(400), [limited]) is None


@pytest.mark.parametrize(
    ("current", "saved", "regressed", "undecided"),
    [
        (capacity(300), [capacity(400)] * 9, True, False),
        (capacity(370), [capacity(400)] * 9, False, False),
        (capacity(300), [capacity(400)] * 7, False, True),
        (capacity(300), [capacity(400)] * 7 + [capacity(4, by="users")] * 9, False, True),
        (capacity(None), [capacity(400)] * 9, True, False),
    ],
)
def test_saved_runs_are_compared_as_any_value_is(
    current: CapacityResult, saved: list[CapacityResult], regressed: bool, undecided: bool
) -> None:
    comparison = judge_saved(TEN_PERCENT, current, saved)
    assert comparison is not None
    assert (comparison.regressed, comparison.undecided, comparison.unit) == (regressed, undecided, "1/s")
    described = judge_saved(None, current, saved)
    assert described is not None
    assert not described.regressed


@pytest.mark.parametrize(
    ("text", "normal", "relative", "floor"),
    [
        ("capacity:10%", "capacity:10%", 0.1, None),
        (" capacity : 10%, 20/s", "capacity:10%,20/s", 0.1, 20),
        ("capacity:0%,5", "capacity:0%,5", 0.0, 5),
    ],
)
def test_a_limit_is_read(text: str, normal: str, relative: float, floor: float | None) -> None:
    limit = CapacityLimit.parse(text)
    assert (limit.text, limit.relative, limit.floor) == (normal, relative, floor)
    assert CapacityLimit.parse(limit.text) == limit
    assert is_capacity_limit(text)


@pytest.mark.parametrize("text", ["capacity", "capacity:10", "capacity:200%", "capacity:10%,5ms", "capacity:1%,2/s,3"])
def test_a_limit_that_is_wrong_says_how_it_is_written(text: str) -> None:
    with pytest.raises(SettingError, match=rf"limit '{text}': .*(10%|100%|percentage)"):
        CapacityLimit.parse(text)
    assert not is_capacity_limit("p95:10%")
