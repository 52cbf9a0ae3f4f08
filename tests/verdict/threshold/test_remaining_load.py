from __future__ import annotations

from typing import Any

import pytest

from pytest_ipload.load.schedule import arrivals_before
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.parsing import as_stages
from pytest_ipload.verdict.threshold.remaining_load import Plan


@pytest.mark.parametrize(
    ("settings", "iterations", "ends_s"),
    [
        ({"users": 5}, 5, None),
        ({"users": 5, "iterations": 20}, 100, None),
        ({"users": 5, "total_iterations": 70}, 70, None),
        ({"users": 5, "iterations": 20, "duration": 60.0}, 100, 60.0),
        ({"users": 5, "duration": 60.0}, None, 60.0),
        ({"users": 5, "duration": 60.0, "ramp_up": 10.0, "ramp_down": 5.0}, None, 75.0),
        ({"users": 5, "duration": 60.0, "pacing": (2.0, 4.0)}, 5 * 31, 60.0),
        ({"arrival_rate": 10.0, "duration": 60.0}, 600, 60.0),
        ({"arrival_rate": 10.0, "total_iterations": 70}, 70, None),
        ({"arrival_rate": 10.0, "duration": 60.0, "total_iterations": 70}, 70, 60.0),
    ],
)
def test_it_says_how_many_iterations_there_are_at_most(
    settings: dict[str, Any], iterations: int | None, ends_s: float | None
) -> None:
    plan = Plan.of(LoadProfile(**settings))
    assert (plan.iterations, plan.ends_s) == (iterations, ends_s)


def test_of_poisson_arrivals_there_are_hardly_ever_more() -> None:
    profiles = [LoadProfile(arrival_rate=10.0, duration=60.0, arrivals="poisson", seed=seed) for seed in range(50)]
    bounds = {Plan.of(profile).iterations for profile in profiles}
    assert bounds == {600 + 147 + 6}
    assert max(arrivals_before(profile, 60.0) for profile in profiles) < 753


def test_the_judged_part_is_what_the_warm_up_leaves() -> None:
    assert Plan.of(LoadProfile(duration=60.0, warmup=10.0)).judged_s == 50.0
    assert Plan().judged_s is None


@pytest.mark.parametrize(
    ("settings", "judged_s", "growth"),
    [
        ({"users": 10, "duration": 60.0}, 5.0, 1.0),  # all are there
        ({"users": 1000, "duration": 30.0, "ramp_up": 30.0}, 30.0, 2.0),  # half of them on average, then all
        ({"users": 1000, "duration": 30.0, "ramp_up": 30.0, "warmup": 30.0}, 5.0, 1.0),
        ({"users": 1000, "duration": 30.0, "ramp_up": 30.0}, 70.0, 1.0),  # it is over
        ({"users": 1000, "duration": 30.0, "ramp_down": 30.0}, 30.0, 1.0),  # fewer and fewer
    ],
)
def test_it_says_how_many_more_users_are_still_to_come(
    settings: dict[str, Any], judged_s: float, growth: float
) -> None:
    assert Plan.of(LoadProfile(**settings)).growth(judged_s) == pytest.approx(growth, rel=0.01)


def test_stages_are_users_who_come_and_leave() -> None:
    plan = Plan.of(LoadProfile(users=100, stages=as_stages("10s:10,10s:100,10s:0")))
    assert plan.iterations is None
    assert plan.growth(10.0) > 5
