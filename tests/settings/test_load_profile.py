from __future__ import annotations

from typing import Any

import pytest

from pytest_ipload.base.errors import SettingError
from pytest_ipload.settings.load_profile import LoadProfile


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ramp_down": 1.0}, "ramp_down needs a duration"),
        ({"duration": 5.0, "warmup": 5.0}, r"warmup=5s leaves nothing to judge: .* until 5s"),
        ({"duration": 5.0, "ramp_up": 1.0, "warmup": 7.0}, r"warmup=7s leaves nothing to judge: .* until 6s"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        LoadProfile(**settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 1),
        ({"iterations": 7}, 7),
        ({"duration": 1.0}, None),
        ({"total_iterations": 9}, None),
        ({"duration": 1.0, "iterations": 3}, 3),
    ],
)
def test_one_iteration_is_the_default_only_where_nothing_else_ends_the_load(
    settings: dict[str, Any], expected: int | None
) -> None:
    assert LoadProfile(**settings).iterations_per_user == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        ({"users": 2}, False),
        ({"iterations": 2}, False),
        ({"duration": 1.0}, False),
        ({"total_iterations": 1}, True),
    ],
)
def test_a_functional_test_runs_its_body_once(settings: dict[str, Any], expected: bool) -> None:
    assert LoadProfile(**settings).is_functional is expected


def test_the_report_names_seconds_and_origins_and_leaves_out_what_is_not_set() -> None:
    profile = LoadProfile(users=3, duration=2.0, think_time=(0.1, 0.3), origins={"users": "marker"})
    plain = profile.as_dict()
    assert plain["users"] == 3
    assert plain["duration_s"] == 2.0
    assert plain["think_time_s"] == [0.1, 0.3]
    assert plain["origins"] == {"users": "marker"}
    assert "pool" not in plain
    assert "iterations" not in plain


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"duration": 1.1, "ramp_down": 0.4, "warmup": 0.3}, 1.2), ({"iterations": 5, "warmup": 0.3}, None)],
)
def test_the_judged_part_by_the_plan_is_all_but_the_warm_up(settings: dict[str, Any], expected: float | None) -> None:
    assert LoadProfile(users=2, **settings).judged_seconds == expected
