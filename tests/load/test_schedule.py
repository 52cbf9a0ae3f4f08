from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.load.profile import LoadProfile
from pytest_ipload.load.schedule import Pacer, draw, user_slots

seconds = st.floats(min_value=0, max_value=3600, allow_nan=False)


def test_users_start_evenly_over_the_ramp_up_and_leave_evenly_over_the_ramp_down() -> None:
    profile = LoadProfile(users=4, duration=10, ramp_up=2, ramp_down=4)
    slots = user_slots(profile)
    assert [slot.start for slot in slots] == [0, 0.5, 1.0, 1.5]
    assert [slot.stop for slot in slots] == [13, 14, 15, 16]


def test_without_a_duration_only_iterations_end_a_user() -> None:
    profile = LoadProfile(users=2, iterations=3)
    assert [slot.stop for slot in user_slots(profile)] == [None, None]


@given(users=st.integers(1, 300), duration=seconds.filter(bool), ramp_up=seconds, ramp_down=seconds)
def test_every_user_has_the_whole_plateau(users: int, duration: float, ramp_up: float, ramp_down: float) -> None:
    slots = user_slots(LoadProfile(users=users, duration=duration, ramp_up=ramp_up, ramp_down=ramp_down))
    assert [slot.index for slot in slots] == list(range(users))
    starts = [slot.start for slot in slots]
    stops = [slot.stop or 0.0 for slot in slots]
    assert starts == sorted(starts)
    assert stops == sorted(stops)
    assert starts[0] == 0
    assert max(starts) <= ramp_up
    assert min(stops) >= ramp_up + duration
    assert stops[-1] == pytest.approx(ramp_up + duration + ramp_down)


def firsts(**settings: Any) -> list[float]:
    return [slot.first for slot in user_slots(LoadProfile(**settings))]


class TestFirstIterations:
    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({"users": 4, "pacing": (1, 1), "duration": 9}, [0, 0.25, 0.5, 0.75]),
            ({"users": 4, "pacing": (1, 3), "duration": 9}, [0, 0.5, 1, 1.5]),  # the mean counts
            ({"users": 4, "pacing": (0, 2), "iterations": 2}, [0, 0.25, 0.5, 0.75]),
            ({"users": 4, "pacing": (1, 1), "total_iterations": 4}, [0, 0.25, 0.5, 0.75]),
            ({"users": 4, "pacing": (1, 1), "iterations": 9, "ramp_up": 0.5}, [0, 0.25, 0.5, 0.75]),
            ({"users": 4, "pacing": (1, 1), "iterations": 9, "ramp_up": 1}, [0, 0.25, 0.5, 0.75]),
            ({"users": 4, "pacing": (1, 1), "iterations": 9, "ramp_up": 2}, [0, 0.5, 1.25, 1.75]),
            ({"users": 4, "pacing": (1, 1), "iterations": 9, "ramp_up": 4}, [0, 1.25, 2.5, 3.75]),
            ({"users": 3, "pacing": (3, 3), "iterations": 9, "ramp_up": 4.5}, [0, 2, 4]),
            ({"users": 1, "pacing": (1, 1), "duration": 9}, [0]),
        ],
    )
    def test_paced_users_take_turns_in_a_cycle(self, settings: dict[str, Any], expected: list[float]) -> None:
        assert firsts(**settings) == pytest.approx(expected)

    @given(
        users=st.integers(1, 200), cycle=st.floats(0.01, 100), ramp_up=st.one_of(st.just(0.0), st.floats(0.001, 1000))
    )
    def test_with_pacing_the_grids_of_all_users_are_one_even_grid(
        self, users: int, cycle: float, ramp_up: float
    ) -> None:
        slots = user_slots(LoadProfile(users=users, iterations=2, pacing=(cycle, cycle), ramp_up=ramp_up))
        phases = [slot.first * users / cycle for slot in slots]  # in parts of a cycle, one for each user
        assert phases == pytest.approx([round(phase) for phase in phases], abs=1e-4)
        assert sorted(round(phase) % users for phase in phases) == list(range(users))
        assert all(0 <= slot.first - slot.start <= cycle for slot in slots)
        if ramp_up <= cycle:
            assert [slot.first for slot in slots] == pytest.approx([cycle * slot.index / users for slot in slots])

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({"users": 1}, [0]),
            ({"users": 3}, [0, 0.0005, 0.001]),
            ({"users": 3, "iterations": 9, "think_time": (1, 2)}, [0, 0.0005, 0.001]),
            ({"users": 3, "pacing": (1, 1), "iterations": 1}, [0, 0.0005, 0.001]),  # there is no second cycle
            ({"users": 4, "duration": 0.01}, [0, 0.00025, 0.0005, 0.00075]),
            ({"users": 3, "duration": 9, "ramp_up": 3}, [0, 1, 2]),
            ({"users": 3, "duration": 9, "ramp_up": 0.0003}, [0, 0.0005, 0.001]),
            ({"users": 3, "total_iterations": 300}, [0, 0.0005, 0.001]),
            ({"users": 3, "total_iterations": 299}, [0, 0, 0]),
        ],
    )
    def test_without_pacing_users_who_start_at_once_come_one_after_the_other(
        self, settings: dict[str, Any], expected: list[float]
    ) -> None:
        assert firsts(**settings) == pytest.approx(expected)

    @pytest.mark.parametrize(("users", "longest"), [(50, 0.025), (2000, 1), (50_000, 1)])
    def test_the_last_one_does_not_wait_for_long(self, users: int, longest: float) -> None:
        assert 0.95 * longest < firsts(users=users)[-1] < longest


@given(low=seconds, more=seconds, fraction=st.floats(0, 1))
def test_a_drawn_value_lies_in_its_span(low: float, more: float, fraction: float) -> None:
    value = draw((low, low + more), fraction)
    assert low <= value <= low + more or value == pytest.approx(low + more)


class TestPacer:
    def test_without_pacing_the_think_time_counts_from_the_end_of_the_iteration_and_nothing_is_planned(self) -> None:
        pacer = Pacer(1.0, (0, 0), (0.5, 1.5))
        assert pacer.following(now=3.0, cycle_fraction=0.9, think_fraction=0.5) == (4.0, None)

    def test_with_pacing_a_quick_iteration_waits_for_its_cycle(self) -> None:
        pacer = Pacer(0.0, (1.0, 1.0), (0, 0))
        assert pacer.following(now=0.2, cycle_fraction=0, think_fraction=0) == (1.0, 1.0)
        assert pacer.following(now=1.3, cycle_fraction=0, think_fraction=0) == (2.0, 2.0)

    def test_with_pacing_a_slow_iteration_makes_the_next_ones_late_until_they_caught_up(self) -> None:
        pacer = Pacer(0.0, (1.0, 1.0), (0, 0))
        assert pacer.following(now=2.5, cycle_fraction=0, think_fraction=0) == (2.5, 1.0)
        assert pacer.following(now=2.6, cycle_fraction=0, think_fraction=0) == (2.6, 2.0)
        assert pacer.following(now=2.7, cycle_fraction=0, think_fraction=0) == (3.0, 3.0)

    @given(
        cycle=st.floats(0.001, 10), took=st.lists(st.floats(0, 30), min_size=1, max_size=50), fraction=st.floats(0, 1)
    )
    def test_no_iteration_starts_before_its_plan(self, cycle: float, took: list[float], fraction: float) -> None:
        pacer = Pacer(0.0, (cycle, cycle * 2), (0, 0))
        now, last_plan = 0.0, 0.0
        for duration in took:
            due, planned = pacer.following(now + duration, fraction, 0.5)
            assert planned is not None
            assert due >= planned > last_plan
            assert due >= now + duration
            now, last_plan = due, planned
