from __future__ import annotations

import math
from bisect import bisect_left
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_ipload.load.schedule import Pacer, arrival_times, arrivals_before, draw, rates_end, user_slots
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.parsing import as_stages
from pytest_ipload.settings.stages import Stages

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


def staged(text: str, **settings: Any) -> LoadProfile:
    stages = as_stages(text)
    if stages.are_rates:
        return LoadProfile(stages=stages, arrival_rate=stages.peak, **settings)
    return LoadProfile(stages=stages, users=math.ceil(stages.peak), **settings)


def level(stages: Stages, t: float) -> float:
    """What the stages say at a time, straight from their definition."""
    begin = before = 0.0
    for seconds, target in stages.segments:
        if t < begin + seconds:
            return before + (target - before) * (t - begin) / seconds
        begin, before = begin + seconds, target
    return before


segments = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), min_size=1, max_size=6)


class TestStages:
    def test_users_come_and_go_first_come_first_gone(self) -> None:
        slots = user_slots(staged("10s:5,5s:5,10s:2,0s:4,5s:0"))
        assert [slot.start for slot in slots] == [0, 2, 4, 6, 8, 25, 25]
        assert [slot.stop for slot in slots] == pytest.approx([18 + 1 / 3, 21 + 2 / 3, 25, 26.25, 27.5, 28.75, 30])
        assert [slot.index for slot in slots] == list(range(7))

    def test_a_stage_without_time_is_a_jump(self) -> None:
        slots = user_slots(staged("0s:3,5s:3"))
        assert [(slot.start, slot.stop) for slot in slots] == [(0, 5)] * 3

    def test_who_is_left_at_the_end_leaves_at_the_end(self) -> None:
        assert {slot.stop for slot in user_slots(staged("2s:2,3s:7"))} == {5}

    @given(segments, st.floats(0, 1))
    def test_there_are_as_many_users_as_the_stages_say(
        self, segments: list[tuple[float, float]], fraction: float
    ) -> None:
        assume(any(seconds for seconds, _ in segments) and any(target for _, target in segments))
        stages = as_stages(segments)
        slots = user_slots(LoadProfile(stages=stages, users=math.ceil(stages.peak)))
        assert all(slot.stop is not None and slot.start <= slot.first for slot in slots)
        assert all(slot.stop is not None and slot.start <= slot.stop <= stages.seconds for slot in slots)
        t = stages.seconds * fraction * 0.999
        there = sum(1 for slot in slots if slot.start <= t and slot.stop is not None and t < slot.stop)
        said = level(stages, t)
        # At the very moment of a change both are right.
        assert math.ceil(said - 1e-6) <= there + 1e-6
        assert there <= math.floor(said + 1e-6) + 1

    def test_paced_users_of_stages_are_out_of_phase(self) -> None:
        slots = user_slots(staged("0s:4,10s:4", pacing=(1.0, 1.0)))
        assert [slot.first for slot in slots] == [0, 0.25, 0.5, 0.75]


def integral(profile: LoadProfile, t: float) -> float:
    """Of the rate, from 0 to t, by the trapezoids of its corners."""
    rate = profile.arrival_rate or 0.0
    corners = [(0.0, 0.0)]
    if profile.stages is not None:
        for seconds, target in profile.stages.segments:
            corners.append((corners[-1][0] + seconds, target))
    else:
        ends = (profile.ramp_up, profile.ramp_up + (profile.duration or 0.0))
        corners = [(0.0, 0.0), (ends[0], rate), (ends[1], rate), (ends[1] + profile.ramp_down, 0.0)]
    area = 0.0
    for (begin, low), (end, high) in pairwise(corners):
        part = min(t, end) - begin
        if end > begin and part > 0:
            area += part * (low + low + (high - low) * part / (end - begin)) / 2
    return area


class TestArrivals:
    def test_at_a_constant_rate_they_are_evenly_spaced_from_the_start_on(self) -> None:
        due = list(arrival_times(LoadProfile(arrival_rate=10.0, duration=2.0)))
        assert due == pytest.approx([number / 10 for number in range(20)])

    def test_they_end_with_the_shared_iterations(self) -> None:
        due = list(arrival_times(LoadProfile(arrival_rate=2.0, total_iterations=3)))
        assert due == pytest.approx([0, 0.5, 1])
        assert len(list(arrival_times(LoadProfile(arrival_rate=2.0, total_iterations=300, duration=1.0)))) == 2

    def test_ramps_are_linear(self) -> None:
        profile = LoadProfile(arrival_rate=10.0, ramp_up=2.0, duration=1.0, ramp_down=2.0)
        due = list(arrival_times(profile))
        assert len(due) == 30
        assert due[:3] == pytest.approx([0, math.sqrt(0.4), math.sqrt(0.8)])
        assert [bisect_left(due, t - 1e-9) for t in (1, 2, 3, 4, 5)] == [3, 10, 20, 28, 30]

    @pytest.mark.parametrize(("rate", "seconds"), [(2000.0, 20), (7.0, 13), (333.3, 10), (20000.0, 3)])
    def test_each_second_has_its_rate_within_one(self, rate: float, seconds: int) -> None:
        due = list(arrival_times(LoadProfile(arrival_rate=rate, duration=float(seconds))))
        marks = [bisect_left(due, second - 1e-9) for second in range(seconds + 1)]
        assert all(abs(after - before - rate) <= 1 for before, after in pairwise(marks))
        assert len(due) == math.ceil(rate * seconds - 1e-6)

    @given(segments, st.integers(0, 3))
    def test_they_follow_the_integral_of_the_rate(self, segments: list[tuple[float, float]], place: int) -> None:
        assume(any(seconds for seconds, _ in segments) and any(target for _, target in segments))
        stages = as_stages(segments)
        profile = LoadProfile(stages=stages, arrival_rate=stages.peak)
        due = list(arrival_times(profile))
        assert due == sorted(due)
        assert len(due) == math.ceil(integral(profile, stages.seconds) - 1e-6)
        for number, t in enumerate(due):
            assert integral(profile, t) == pytest.approx(number, abs=1e-5)

    @given(
        rate=st.floats(0.1, 50),
        duration=st.floats(0.1, 20),
        ramp_up=st.sampled_from([0.0, 1.0, 3.3]),
        ramp_down=st.sampled_from([0.0, 2.0]),
        until=st.floats(0, 30),
        total=st.none() | st.integers(1, 300),
        arrivals=st.sampled_from(["constant", "poisson"]),
    )
    def test_the_number_before_a_time_is_counted_without_making_them(
        self,
        rate: float,
        duration: float,
        ramp_up: float,
        ramp_down: float,
        until: float,
        total: int | None,
        arrivals: str,
    ) -> None:
        profile = LoadProfile(
            arrival_rate=rate,
            duration=duration,
            ramp_up=ramp_up,
            ramp_down=ramp_down,
            total_iterations=total,
            arrivals=arrivals,
        )
        due = list(arrival_times(profile))
        low, high = (sum(1 for t in due if t < until + shift) for shift in (-1e-6, 1e-6))
        assert low <= arrivals_before(profile, until) <= high

    def test_the_number_before_a_time_of_a_load_without_end(self) -> None:
        assert arrivals_before(LoadProfile(arrival_rate=10.0, total_iterations=5), 0.3) == 3
        assert arrivals_before(LoadProfile(arrival_rate=10.0, total_iterations=5), 30) == 5


class TestPoissonArrivals:
    def make(self, seed: int, rate: float = 100.0, duration: float = 100.0, **settings: Any) -> list[float]:
        profile = LoadProfile(arrival_rate=rate, duration=duration, arrivals="poisson", seed=seed, **settings)
        return list(arrival_times(profile))

    def test_the_seed_decides(self) -> None:
        assert self.make(1) == self.make(1)
        assert self.make(1) != self.make(2)

    def test_gaps_are_exponential_and_counts_vary_as_much_as_they_should(self) -> None:
        counts, gaps = [], []
        for seed in range(20):
            due = self.make(seed)
            counts.append(len(due))
            gaps += [after - before for before, after in pairwise(due)]
        mean = sum(gaps) / len(gaps)
        assert mean == pytest.approx(0.01, rel=0.02)
        assert sum((gap - mean) ** 2 for gap in gaps) / len(gaps) == pytest.approx(0.0001, rel=0.05)
        assert sum(1 for gap in gaps if gap > 0.01) / len(gaps) == pytest.approx(math.exp(-1), rel=0.02)
        # 10 000 are expected each time, with a standard deviation of 100.
        deviation = math.sqrt(sum((count - 10_000) ** 2 for count in counts) / len(counts))
        assert 60 < deviation < 150

    def test_a_ramp_thins_them(self) -> None:
        due = self.make(3, ramp_up=100.0)
        halves = [sum(1 for t in due if begin <= t < begin + 50) for begin in (0, 50, 100, 150)]
        assert halves == pytest.approx([1250, 3750, 5000, 5000], rel=0.1)

    def test_a_load_without_end_has_them_too(self) -> None:
        profile = LoadProfile(arrival_rate=10.0, total_iterations=1000, arrivals="poisson")
        assert len(list(islice(arrival_times(profile), 2000))) == 1000


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


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"users": 4, "duration": 5.0, "ramp_up": 1.0, "ramp_down": 2.0}, 8.0),
        ({"users": 4, "duration": 5.0, "total_iterations": 3}, 5.0),
        ({"users": 4, "total_iterations": 3}, None),
        ({"arrival_rate": 10.0, "duration": 5.0}, 5.0),
        ({"arrival_rate": 0.5, "total_iterations": 2}, 4.0),
        ({"arrival_rate": 10.0, "total_iterations": 20, "duration": 5.0}, 2.0),
        ({"arrival_rate": 10.0, "total_iterations": 50, "duration": 5.0}, 5.0),
        ({"arrival_rate": 10.0, "total_iterations": 80, "duration": 5.0}, 5.0),
        ({"arrival_rate": 10.0, "total_iterations": 20, "arrivals": "poisson"}, 2.0),
        ({"arrival_rate": 10.0, "total_iterations": 15, "ramp_up": 2.0}, 2.5),
    ],
)
def test_until_when_rates_are_counted(settings: dict[str, Any], expected: float | None) -> None:
    assert rates_end(LoadProfile(**settings)) == (None if expected is None else pytest.approx(expected))
