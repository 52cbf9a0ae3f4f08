from __future__ import annotations

import json
from typing import Any

import pytest
from support.saved_runs import result

from pytest_ipload.baselines.comparability import differences, of_result, only_counted
from pytest_ipload.settings.stages import Stages

USUAL: dict[str, Any] = {"duration": 30.0, "iterations": None}


def profile(**settings: Any) -> Any:
    return only_counted(json.loads(json.dumps(of_result(result(**{**USUAL, **settings})))))


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"users": 50}, "users 50, here 2"),
        ({"duration": 60.0}, "duration_s 60.0, here 30.0"),
        ({"iterations": 5}, "iterations 5, here not set"),
        ({"total_iterations": 5}, "total_iterations 5, here not set"),
        ({"ramp_up": 1.0}, "ramp_up_s 1.0, here 0.0"),
        ({"ramp_down": 1.0}, "ramp_down_s 1.0, here 0.0"),
        ({"warmup": 1.0}, "warmup_s 1.0, here 0.0"),
        ({"max_rate": 5.0}, "max_rate 5.0, here not set"),
        ({"think_time": (0.1, 0.3)}, "think_time_s [0.1, 0.3], here [0.0, 0.0]"),
        ({"pacing": (1.0, 1.0)}, "pacing_s [1.0, 1.0], here [0.0, 0.0]"),
        ({"ip_binding": "request"}, "ip_binding request, here user"),
        ({"duration": None, "stages": Stages(((1.0, 2.0),), False)}, "stages [[1.0, 2.0]], here not set"),
        ({"start_after": 9.0}, "start_after_s 9.0, here not set"),
        ({"arrival_rate": 9.0}, "arrival_rate 9.0, here not set"),
    ],
)
def test_what_makes_another_load_counts(settings: dict[str, Any], difference: str) -> None:
    assert difference in differences(profile(**settings), profile())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"seed": 7},
        {"timeout": 1.0},
        {"graceful_stop": 1.0},
        {"pool": "127.0.0.1"},
        {"base_url": "http://a.test"},
        {"suppress_health_check": ("late-starts",)},
        {"origins": {"users": "marker"}},
    ],
)
def test_what_makes_the_same_load_from_or_to_elsewhere_does_not_count(settings: dict[str, Any]) -> None:
    assert differences(profile(**settings), profile()) == []


def test_the_number_of_processes_counts() -> None:
    alone, shared = result(), {**result(), "shards": [{}, {}]}
    assert differences(of_result(alone), of_result(shared)) == ["processes 1, here 2"]


def test_the_group_that_it_ran_in_counts() -> None:
    alone, shop = of_result(result()), of_result({**result(), "together": "shop"})
    assert differences(alone, shop) == ["together not set, here shop"]
    assert differences(shop, shop) == []


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://user:secret@a.test:8000/x", "a.test"),
        ("https://[::1]:8000", "::1"),
        ("http://[::1", None),
        ("nonsense", None),
        (None, None),
    ],
)
def test_of_the_base_url_only_the_host_is_kept(url: str | None, host: str | None) -> None:
    kept = profile(base_url=url)
    assert kept.get("host") == host
    assert "secret" not in str(kept)
