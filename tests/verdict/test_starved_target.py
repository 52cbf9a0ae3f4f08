"""Whether a target was slow because others used the processor."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_ipload.stats.stacks import Place, StackSamples, packed
from pytest_ipload.verdict.slow_windows import SlowWindows
from pytest_ipload.verdict.starved_target import starvation

SLOW, GOOD = range(4), range(4, 10)
PLACE = Place("app.py", 5, "render", "", "")


def sampled(slow: tuple[float, float], good: tuple[float, float]) -> StackSamples:
    """Cores that were used and waited for, in slow half-seconds and in others."""
    processor = [*((window, *slow) for window in SLOW), *((window, *good) for window in GOOD)]
    return packed({window: Counter({PLACE: 9}) for window in range(10)}, processor=processor)


@pytest.mark.parametrize(
    ("slow", "good", "requests", "is_starved"),
    [
        pytest.param((0.2, 2.0), (0.4, 0.1), (50, 100), True, id="waits-and-does-what-it-did"),
        pytest.param((0.4, 2.0), (0.4, 0.1), (25, 100), False, id="waits-and-computes-more"),
        pytest.param((0.1, 0.0), (0.4, 0.1), (25, 100), False, id="does-not-wait"),
        pytest.param((0.2, 5.4), (0.4, 4.8), (50, 100), False, id="always-waits"),
        pytest.param((0.2, 2.0), (0.4, 0.1), (0, 100), False, id="no-request-ended"),
    ],
)
def test_it_is_starved_if_it_waits_for_a_processor_without_more_work(
    slow: tuple[float, float], good: tuple[float, float], requests: tuple[int, int], is_starved: bool
) -> None:
    ended = {**dict.fromkeys(SLOW, requests[0]), **dict.fromkeys(GOOD, requests[1])}
    windows = SlowWindows(frozenset(SLOW), frozenset(GOOD), requests=ended)
    found = starvation(sampled(slow, good), windows)
    assert bool(found) is is_starved
    if is_starved:
        assert found.startswith("threads waited for a processor (2.0 at a time, before 0.1)")


def test_where_the_system_does_not_tell_it_is_not() -> None:
    assert starvation(packed({0: Counter({PLACE: 9})}), SlowWindows(frozenset(SLOW), frozenset(GOOD))) == ""


def test_processor_times_of_two_parts_of_a_load_are_added() -> None:
    one = sampled((0.25, 1.0), (0.5, 0.0))
    assert one.merged(one).processor[0] == (0, 0.5, 2.0)
    assert one.merged(packed({})).processor == one.processor
