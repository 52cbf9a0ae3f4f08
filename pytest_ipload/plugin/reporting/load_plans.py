"""The load plans that ``--collect-only -v`` prints."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest

from pytest_ipload.base.errors import IploadError
from pytest_ipload.base.masking import masked
from pytest_ipload.base.text import counted
from pytest_ipload.base.units import format_setting, format_span
from pytest_ipload.plugin.fixtures.body_mix import mix_of
from pytest_ipload.plugin.items.item_kind import SETTING_PLACES
from pytest_ipload.plugin.items.marker_settings import capacity_plan_of, profile_of_test
from pytest_ipload.plugin.items.markers import is_load_test, together_name
from pytest_ipload.plugin.items.thresholds import given_thresholds
from pytest_ipload.plugin.options.capacity import Capacity
from pytest_ipload.plugin.session_state import SessionState, state_of
from pytest_ipload.settings.combination import MARKER
from pytest_ipload.settings.load_profile import LoadProfile


def print_plans(session: pytest.Session) -> None:
    """Print the plan of each collected load test."""
    items = [item for item in session.items if is_load_test(item)]
    if not items:
        return
    terminal: Any = session.config.pluginmanager.get_plugin("terminalreporter")  # it exists: it provides -v
    terminal.section("load plans")
    for item in items:
        terminal.write_line(f"{item.nodeid}: {plan_of(item, state_of(session.config))}")


def plan_of(item: pytest.Item, state: SessionState) -> str:
    """One line: users, time, addresses, thresholds, each with its origin; or what is wrong."""
    try:
        profile = _with_places(profile_of_test(item, state), item)
        thresholds, search = given_thresholds(item, state), capacity_plan_of(item, state)
        pool = state.pools.get(profile.pool)
        mix = mix_of(item) if isinstance(item, pytest.Function) else None
    except IploadError as error:
        return f"error: {error}"
    source = "source address chosen by the system"
    if profile.pool is not None:
        source = _origin(profile, "pool", counted(pool.size, "source address"))
    parts = [source]
    if search is None:
        parts = [*_height(profile), *_times(profile), source]
    else:
        most = f"at most {counted(profile.most_users, 'user')}"
        parts = [search.describe(), *search.remarks(), most, source]
    if (group := together_name(item)) is not None:
        parts.append(f"together: {group}")
    if profile.base_url is not None:
        parts.append(_origin(profile, "base_url", profile.base_url))
    if mix is not None:
        parts.append(f"mix {mix}")
    if thresholds:
        parts.append("; ".join(judged.text for judged in thresholds))
    needs = Capacity.of(profile, pool, is_async=inspect.iscoroutinefunction(getattr(item, "obj", None)))
    parts.append(f"needs {needs}")
    if (shortage := needs.shortage()) is not None:
        parts.append(f"too few local ports for one target: {shortage}")
    return masked(", ".join(parts))


def _with_places(profile: LoadProfile, item: pytest.Item) -> LoadProfile:
    """The profile with the places in the scenario file as origins of what its marker gives."""
    places = getattr(getattr(item, "obj", None), SETTING_PLACES, {})
    origins = {key: places.get(key, origin) if origin == MARKER else origin for key, origin in profile.origins.items()}
    return replace(profile, origins=origins) if places else profile


def _height(profile: LoadProfile) -> list[str]:
    """How many users, and the maximum number of requests or iterations."""
    users = _origin(profile, "users", counted(profile.users, "user"))
    if profile.arrival_rate is None:
        parts = [users]
    else:
        peak = "up to " if profile.stages is not None else ""
        rate = f"{peak}{profile.arrival_rate:g} iterations/s, {profile.arrivals} arrivals"
        most = _origin(profile, "max_users", f"at most {counted(profile.most_users, 'user')}")
        parts = [_origin(profile, "arrival_rate", rate), f"{users} at the start", most]
    if profile.max_rate is not None:
        parts.append(_origin(profile, "max_rate", f"at most {profile.max_rate:g} requests/s"))
    return parts


def _times(profile: LoadProfile) -> list[str]:
    """How long the load lasts: by the clock, by iterations, or both."""
    parts = []
    if profile.stages is not None:
        parts.append(_origin(profile, "stages", f"stages {profile.stages} ({format_setting(profile.stages.seconds)})"))
    if profile.duration is not None:
        parts.append(_origin(profile, "duration", f"duration {format_setting(profile.duration)}"))
    parts += [
        _origin(profile, key, f"{key} {format_setting(getattr(profile, key))}")
        for key in ("ramp_up", "ramp_down", "warmup", "start_after")
        if getattr(profile, key)
    ]
    parts += [
        _origin(profile, key, f"{key} {format_span(getattr(profile, key))}")
        for key in ("think_time", "pacing")
        if getattr(profile, key)[1]
    ]
    if "set_up" in profile.origins and profile.origins["set_up"] != "default":
        parts.append(_origin(profile, "set_up", f"set_up {profile.set_up}"))
    if profile.total_iterations is not None:
        text = f"{counted(profile.total_iterations, 'iteration')} in all"
        parts.append(_origin(profile, "total_iterations", text))
    if profile.iterations_per_user is not None:
        text = f"{counted(profile.iterations_per_user, 'iteration')} per user"
        parts.append(_origin(profile, "iterations", text))
    return parts


def _origin(profile: LoadProfile, key: str, text: str) -> str:
    origin = profile.origins.get(key, "default")
    return text if origin == "default" else f"{text} ({origin})"
