"""What plugins answer, checked: by tables, without loads."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from pytest_ipload.base.errors import SettingError
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.plugin.hook_calls import UserHooks, whose
from pytest_ipload.plugin.items.marker_settings import profile_of
from pytest_ipload.plugin.session_state import state_of
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.parsing import as_stages
from pytest_ipload.settings.stages import Stages

WRITTEN = "10s:50,20s:0"
WAVE = as_stages(WRITTEN)


def changed(pytester: pytest.Pytester, marker: dict[str, Any], ini: str = "", **settings: Any) -> LoadProfile:
    """The profile of a test whose plugin sets these."""
    pytester.makeini(f"[pytest]\n{ini}")
    item = pytester.getitem("def test_func(): pass")
    plugin = ModuleType("shop_plugin")
    vars(plugin)["pytest_ipload_profile"] = lambda profile: replace(profile, **settings)
    item.config.pluginmanager.register(plugin)
    return profile_of(item, state_of(item.config), [(marker, ())])


@pytest.mark.parametrize(
    ("marker", "settings", "expected"),
    [
        ({"users": 3}, {"users": 4}, {"users": 4}),
        ({"users": 3}, {"users": "4", "timeout": "2s"}, {"users": 4, "timeout": 2.0}),
        ({}, {"think_time": (0.1, 0.3), "pacing": "1s"}, {"think_time": (0.1, 0.3), "pacing": (1.0, 1.0)}),
        ({}, {"timeout": None}, {"timeout": None}),
        ({"duration": 5.0}, {"duration": None, "iterations": 3}, {"duration": None, "iterations": 3}),
        ({"stages": WRITTEN}, {"users": 5}, {"users": 5, "stages": Stages(((10.0, 5.0), (20.0, 0.0)), False)}),
        ({"stages": WRITTEN}, {"stages": WAVE.scaled(2.0)}, {"users": 100, "stages": WAVE.scaled(2.0)}),
        # The plugin says nothing of users: it keeps those that it was given.
        ({"stages": WRITTEN}, {"stages": None, "duration": 5.0}, {"users": 50, "stages": None, "duration": 5.0}),
        ({"stages": WRITTEN}, {"stages": None, "iterations": 2}, {"users": 50, "duration": None, "iterations": 2}),
        (
            {"arrival_rate": 10.0, "duration": 5.0},
            {"arrival_rate": 20.0, "max_users": 7},
            {"arrival_rate": 20.0, "max_users": 7, "users": 1},
        ),
        (
            {"arrival_rate": 10.0, "duration": 5.0},
            {"arrival_rate": None, "max_users": None, "users": 3},
            {"arrival_rate": None, "max_users": None, "users": 3},
        ),
        ({"users": 3}, {}, {"users": 3}),
        ({"users": 3}, {"origins": {"users": "elsewhere"}}, {"users": 3}),
    ],
)
def test_what_a_plugin_changes(
    pytester: pytest.Pytester, marker: dict[str, Any], settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    profile = changed(pytester, marker, "ipload_duration = 1m" if "stages" in marker else "", **settings)
    assert {name: getattr(profile, name) for name in expected} == expected
    for name in settings:
        if name != "origins":
            assert profile.origins[name] == "hook"
    assert profile.origins["seed"] == "default"
    assert profile.origins["users"] in ("hook", "marker", "default")


def test_health_checks_that_a_plugin_suppresses_are_all_of_them(pytester: pytest.Pytester) -> None:
    marker, ini = {"suppress_health_check": ("few-ports",)}, "ipload_suppress_health_check = late-starts"
    profile = changed(pytester, marker, ini, suppress_health_check=("bare-calls",))
    assert profile.suppress_health_check == ("bare-calls",)  # of marker and ini, it has seen both


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"users": 2.5}, "users: 2.5 is not a whole number"),
        ({"seed": None}, "seed: None is not a whole number"),
        ({"think_time": (1.0,)}, r"think_time: \(1.0,\) is not a duration"),
        ({"think_time": (1.0, -1.0)}, "-1.0 is not a duration"),
        ({"stages": Stages((), False)}, r"\(\) mixes users and rates"),
        ({"stages": Stages(((1.0, -1.0),), False)}, "-1.0 is not a valid stage target"),
        ({"pool": 5}, "pool: 5 must be a non-empty string"),
        ({"ip_order": "best"}, "ip_order: 'best' is unknown"),
    ],
)
def test_what_a_plugin_cannot_set(pytester: pytest.Pytester, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingError, match=rf"^hook pytest_ipload_profile of shop_plugin: .*{complaint}"):
        changed(pytester, {}, **settings)


def test_all_plugins_are_named_if_nobody_knows_which_it_was(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig()
    for name in ("one", "two"):
        plugin = ModuleType(name)
        vars(plugin)["pytest_ipload_result"] = lambda: None
        config.pluginmanager.register(plugin)
    assert whose(config.hook.pytest_ipload_result) == "hook pytest_ipload_result of one or two"
    assert whose(config.hook.pytest_ipload_result, ValueError()) == "hook pytest_ipload_result of one or two"


def test_a_life_with_hooks_is_the_same_life_for_its_iterations() -> None:
    log: list[str] = []

    class Scenario:
        def set_up(self) -> None:
            log.append("set up")

        def iterate(self, iteration: Iteration) -> None:
            log.append(f"iteration {iteration.number}")

        def tear_down(self) -> None:
            log.append("torn down")
            raise RuntimeError("of the life")

    item: Any = None
    start: Any = lambda user, item: log.append("start")  # noqa: E731
    stop: Any = lambda user, item: log.append("stop")  # noqa: E731
    user = VirtualUser(0, seed=0, source_addresses=(), record=lambda sample: None)
    inner = Scenario()
    life = UserHooks(item, start, stop).round(inner, user)
    assert life.iterate == inner.iterate  # nothing in between
    life.set_up()
    life.iterate(Iteration(0, user))
    with pytest.raises(RuntimeError, match="of the life"):
        life.tear_down()
    assert log == ["set up", "start", "iteration 0", "stop", "torn down"]
