from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.load.profile import LoadProfile
from pytest_ipload.load.schedule import Pacer, draw, planned_end, user_slots

seconds = st.floats(min_value=0, max_value=3600, allow_nan=False)


def test_users_start_evenly_over_the_ramp_up_and_leave_evenly_over_the_ramp_down() -> None:
    profile = LoadProfile(users=4, duration=10, ramp_up=2, ramp_down=4)
    slots = user_slots(profile)
    assert [slot.start for slot in slots] == [0, 0.5, 1.0, 1.5]
    assert [slot.stop for slot in slots] == [13, 14, 15, 16]
    assert planned_end(profile) == 16


def test_without_a_duration_only_iterations_end_a_user() -> None:
    profile = LoadProfile(users=2, iterations=3)
    assert [slot.stop for slot in user_slots(profile)] == [None, None]
    assert planned_end(profile) is None


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


@given(low=seconds, more=seconds, fraction=st.floats(0, 1))
def test_a_drawn_value_lies_in_its_span(low: float, more: float, fraction: float) -> None:
    value = draw((low, low + more), fraction)
    assert low <= value <= low + more or value == pytest.approx(low + more)


class TestPacer:
    def test_without_pacing_the_think_time_counts_from_the_end_of_the_iteration_and_nothing_is_planned(self) -> None:
        pacer = Pacer(1.0, (0, 0), (0.5, 1.5))
        assert pacer.first() == 1.0
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
