"""The marker of a capacity search: its plan, and the profile of its loads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any

import pytest

from pytest_ipload.base.errors import SettingError
from pytest_ipload.capacity.search_plan import CapacityPlan
from pytest_ipload.capacity.search_round import USERS
from pytest_ipload.plugin.items.markers import CAPACITY_MARKER
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.settings.resolution import Given, marker_settings
from pytest_ipload.settings.session_settings import SessionSettings

_SHAPE = ("iterations", "total_iterations", "duration", "ramp_up", "ramp_down", "stages", "arrival_rate", "warmup")
"""What the search itself decides."""
_OF_RATES, _OF_USERS = ("pacing", "think_time"), ("users", "max_users", "arrivals")
"""What a search for a rate, or for users, decides besides that, or has no use for."""
_OF_SESSION = (*_SHAPE, "users", "max_users", "pacing", "think_time", "arrivals", "start_after", "set_up")
"""What command line and ini say of other loads, which does not concern a search."""
_FEWEST_USERS, _MOST_USERS, _FIRST_USERS = 50, 500, 10
_SPARE = 2.0
"""Times the users that are busy if each iteration takes as long as it may: else too few users would look like a slow
target, and the generator would be the limit."""
_USUAL_LATENCY_S = 1.0


def capacity_plan(item: pytest.Item, state: SessionState, given: Given) -> CapacityPlan | None:
    """The search that a load test's marker asks for; None without one. Raises SettingError.

    ``given`` are the settings of its load.
    """
    mark = item.get_closest_marker(CAPACITY_MARKER)
    if mark is None or state.settings.disabled:
        return None
    return plan_of(mark.args, mark.kwargs, state, given, f"marker {CAPACITY_MARKER}")


def plan_of(
    expressions: Sequence[Any], keys: Mapping[str, Any], state: SessionState, given: Given, place: str
) -> CapacityPlan:
    """The plan from its arguments, within the session's highest rate. Raises SettingError naming the ``place``."""
    _refuse_sessions_that_cannot_search(state.settings, place)
    max_rate = state.settings.value("max_rate") or marker_settings(given).get("max_rate")
    try:
        plan = CapacityPlan.parse(expressions, max_rate=max_rate, **keys)
    except SettingError as error:
        raise SettingError(f"{place}: {error}") from None
    _check_given(given, plan, place)
    return plan


def _refuse_sessions_that_cannot_search(settings: SessionSettings, place: str) -> None:
    for option, value in (("--ipload-segment", settings.segment), ("--ipload-rounds", settings.rounds)):
        if value is not None:
            raise SettingError(
                f"{place}: a search decides after each of its rounds what comes next, so it cannot be combined with "
                f"{option}={value}; leave the test out of this run (--deselect), or remove the option"
            )


def _check_given(given: Given, plan: CapacityPlan, place: str) -> None:
    decided = (*_SHAPE, *(_OF_USERS if plan.by == USERS else _OF_RATES))
    for kwargs, _ in given:
        for key in decided:
            if kwargs.get(key) is not None:
                raise SettingError(
                    f"{key}={kwargs[key]!r} and {place.removeprefix('marker ')} contradict each other: the search "
                    "decides how long its rounds last, and how high their load is; remove it"
                )


def search_settings(plan: CapacityPlan, given: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of the search's highest round, as those of a marker. ``given`` are the test's own."""
    own = {key for kwargs in given for key in kwargs}
    found: dict[str, Any] = {"duration": plan.settle_s + plan.step_s, "warmup": plan.settle_s}
    if plan.by == USERS:
        return {**found, "users": round(plan.up_to)}
    found["arrival_rate"] = plan.up_to
    if "max_users" not in own and "users" not in own:
        most = ceil(plan.up_to * _longest_latency_s(plan) * _SPARE)
        found["max_users"] = max(_FEWEST_USERS, min(_MOST_USERS, most))
        found["users"] = _FIRST_USERS
    return found


def without_shape(settings: SessionSettings) -> SessionSettings:
    """The session's settings without what a search decides."""

    def rest(source: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in source.items() if key not in _OF_SESSION}

    return settings._replace(
        command_line=rest(settings.command_line), profile=rest(settings.profile), ini=rest(settings.ini)
    )


def _longest_latency_s(plan: CapacityPlan) -> float:
    """The highest limit for a time among the thresholds."""
    limits = [config.threshold.limit for config in plan.judged if config.threshold.unit == "duration"]
    return max(limits, default=_USUAL_LATENCY_S)
