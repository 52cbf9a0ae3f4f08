"""Which parts have grown, and that noise names none: seeded simulations of the shares of functions by second."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from support.recorded_stacks import (
    LOCK,
    ONE_SLOW_FOR_ANOTHER_REASON,
    SLOW_IN_6_OF_12,
    SLOW_IN_8_OF_12,
    UNCHANGED,
    UNCHANGED_BUT_SLOWER,
    Recorded,
)

from pytest_ipload.stats.share_growth import can_decide, grown, grown_in_time

FUNCTIONS = ["render", "load_cart", "price_of", "log", "auth", "db"]
USUAL = (30.0, 25.0, 5.0, 10.0, 20.0, 10.0)
SLOW = (30.0, 25.0, 90.0, 10.0, 20.0, 10.0)


def second(generator: random.Random, weights: Sequence[float], samples: int = 60) -> Counter[str]:
    """The samples of one second: its own mixture, around the usual one, as seconds differ by more than chance."""
    mixture = [weight * generator.lognormvariate(0, 0.3) for weight in weights]
    return Counter(generator.choices(FUNCTIONS, mixture, k=generator.randint(samples // 2, samples)))


def named(seed: int, slow: Sequence[float], seconds: tuple[int, int] = (8, 6)) -> list[str]:
    generator = random.Random(seed)
    good = [second(generator, USUAL) for _ in range(seconds[0])]
    bad = [second(generator, slow) for _ in range(seconds[1])]
    return [each.part for each in grown(good, bad, seed)]


def test_an_unchanged_service_names_nothing() -> None:
    assert sum(bool(named(seed, USUAL)) for seed in range(20)) <= 2


@pytest.mark.parametrize("seconds", [(8, 6), (2, 12), (12, 2), (5, 5)])
def test_a_slow_function_is_named_first(seconds: tuple[int, int]) -> None:
    found = [named(seed, SLOW, seconds) for seed in range(12)]
    assert sum(each[:1] == ["price_of"] for each in found) >= 11


def test_rounds_of_two_versions_can_differ_beyond_noise_from_five_on() -> None:
    assert can_decide(5, 5)
    assert can_decide(4, 4)
    assert not can_decide(3, 3)
    assert not can_decide(0, 20)


def test_shares_and_interval() -> None:
    [found] = grown([Counter(a=90, b=10)] * 6, [Counter(a=50, b=50)] * 6)
    assert found.part == "b"
    assert (found.share_before, found.share_after) == pytest.approx((0.1, 0.5))
    assert (found.low, found.high) == pytest.approx((0.4, 0.4))
    assert (found.samples_before, found.samples_after) == (60, 300)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ([Counter(a=1)] * 8, [Counter(b=1)] * 8),  # too few samples
        ([Counter(a=30)] * 8, [Counter(a=9, b=2)] * 8),  # too few of what grew
        ([Counter(a=900, b=100)] * 8, [Counter(a=890, b=110)] * 8),  # certain, and too little to explain anything
        ([Counter(a=90)] * 3, [Counter(b=90)] * 3),  # too few seconds
        ([], []),
    ],
)
def test_nothing_is_named_without_enough_to_say_so(good: list[Counter[str]], bad: list[Counter[str]]) -> None:
    assert grown(good, bad) == []


def test_an_hour_of_seconds_that_are_slow_now_and_then() -> None:
    seconds = [(number % 7 in (2, 3), Counter(a=9, b=4 if number % 7 in (2, 3) else 1)) for number in range(3600)]
    assert [each.part for each in grown_in_time(seconds)] == ["b"]


def test_a_long_load_is_judged_by_joined_seconds() -> None:
    good, bad = [Counter(a=9, b=1)] * 2000, [Counter(a=5, b=5)] * 2000
    assert [each.part for each in grown(good, bad)] == ["b"]


@pytest.mark.parametrize("slow", [{3, 4, 5, 9, 10, 11}, {4, 5, 6}, {8, 9, 10, 11}])
def test_a_service_of_two_functions_may_be_slow_now_and_then(slow: set[int]) -> None:
    """What one function gains, the other one loses: at other times, that one grows as much."""
    seconds = [(number in slow, Counter(a=40, b=30) if number in slow else Counter(a=60)) for number in range(12)]
    assert [each.part for each in grown_in_time(seconds)] == ["b"]


def test_a_service_that_changes_while_it_runs_is_not_slow_because_of_that() -> None:
    """The share of ``b`` rises all the time, and the slow seconds are among the later ones."""
    seconds = [(number in {14, 15, 16, 17}, Counter(a=100 - 4 * number, b=4 * number)) for number in range(20)]
    assert grown_in_time(seconds) == []
    good, bad = ([each for is_slow, each in seconds if is_slow is wanted] for wanted in (False, True))
    assert [each.part for each in grown(good, bad)] == ["b"]


@pytest.mark.parametrize(
    ("recorded", "function"),
    [
        pytest.param(SLOW_IN_6_OF_12, "count_price", id="computes"),
        pytest.param(SLOW_IN_8_OF_12, "count_price", id="computes-in-part-of-a-second"),
        pytest.param(ONE_SLOW_FOR_ANOTHER_REASON, "count_price", id="one-slow-for-another-reason"),
        pytest.param(LOCK, "price_of", id="waits-for-a-lock"),
    ],
)
def test_what_others_lose_does_not_hide_what_grew_in_a_recorded_load(recorded: Recorded, function: str) -> None:
    assert [each.part for each in grown_in_time(recorded.observations())] == [function]


@pytest.mark.parametrize("recorded", [UNCHANGED, UNCHANGED_BUT_SLOWER], ids=["unchanged", "slower-at-the-end"])
def test_nothing_is_named_in_a_recorded_load_of_an_unchanged_service(recorded: Recorded) -> None:
    assert grown_in_time(recorded.observations()) == []


def test_a_consequence_is_left_out() -> None:
    """Where one function takes the processor, others grow too: by less."""
    quick, slow = Counter(a=80, b=10, c=10), Counter(a=30, b=50, c=20)
    assert [each.part for each in grown([quick] * 6, [slow] * 6)] == ["b"]
