"""The profile of a load test: from its settings, and from plugins that change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.base.errors import SettingError
from pytest_ipload.plugin.hook_calls import ERRORS, raised, whose
from pytest_ipload.plugin.items.markers import CAPACITY_MARKER, MARKER
from pytest_ipload.plugin.session_state import SessionState, state_of
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.resolution import Given, changes, resolve
from pytest_ipload.settings.session_settings import SessionSettings

if TYPE_CHECKING:
    from pytest_ipload.capacity.search_plan import CapacityPlan


def profile_of_test(item: pytest.Item, state: SessionState, base_url: str | None = None) -> LoadProfile:
    """The profile of a load test with the markers that it has; see ``profile_of``.

    That of a capacity search is the profile of its highest round.
    """
    given = markers_of(item)
    plan = capacity_plan_of(item, state)
    if plan is None:
        return profile_of(item, state, given, base_url)
    return profile_of_search(item, state, plan, given, base_url)


def markers_of(item: pytest.Item) -> list[tuple[Mapping[str, Any], tuple[Any, ...]]]:
    """Keywords and positional arguments of the item's markers, the nearest first."""
    return [(mark.kwargs, mark.args) for mark in item.iter_markers(MARKER)]


def capacity_plan_of(item: pytest.Item, state: SessionState) -> CapacityPlan | None:
    """The capacity search of a load test; None if it has none. Raises SettingError."""
    if item.get_closest_marker(CAPACITY_MARKER) is None:
        return None
    from pytest_ipload.plugin.items.capacity_marker import capacity_plan

    return capacity_plan(item, state, markers_of(item))


def profile_of_search(
    item: pytest.Item,
    state: SessionState,
    plan: CapacityPlan,
    given: Given,
    base_url: str | None = None,
    place: str = f"marker {MARKER}",
) -> LoadProfile:
    """The profile of a capacity search's highest round. Raises SettingError."""
    from pytest_ipload.plugin.items.capacity_marker import search_settings, without_shape

    given = list(given)
    own = search_settings(plan, [kwargs for kwargs, _ in given])
    return profile_of(item, state, [(own, ()), *given], base_url, place, without_shape(state.settings))


def profile_of(
    item: pytest.Item,
    state: SessionState,
    given: Given,
    base_url: str | None = None,
    place: str = f"marker {MARKER}",
    settings: SessionSettings | None = None,
) -> LoadProfile:
    """The profile of a load of a test, from all sources and after the changes of plugins.

    ``given`` are the settings of the load itself, at this ``place``; ``base_url`` is the fixture's, used if no setting
    gives one; ``settings`` are those of the session, if only some of them apply. Raises SettingError when settings are
    wrong or contradict each other, and, naming the plugin, when one changes them to invalid ones.
    """
    settings = settings or state.settings
    profile = resolve(settings, given, item.nodeid, place=place, base_url=base_url)
    hook = item.ihook.pytest_ipload_profile
    if not hook.get_hookimpls():
        return profile
    try:
        answer = hook(config=item.config, item=item, profile=profile)
    except pytest.exit.Exception:
        raise
    except ERRORS as error:
        raise SettingError(raised(hook, error)) from None
    if answer is None:
        return profile
    if not isinstance(answer, LoadProfile):
        raise SettingError(
            f"{whose(hook)}: returned {answer!r:.100}; return None, or a profile made by dataclasses.replace()"
        )
    try:
        set_by_hook = changes(profile, answer)
        return resolve(settings, given, item.nodeid, place=place, hook=set_by_hook, base_url=base_url)
    except ValueError as error:
        raise SettingError(f"{whose(hook)}: {error}") from None


def start_after_of(item: pytest.Item) -> float:
    """How long after the start of the group that it runs in a load begins, in seconds; 0 if its settings are invalid.

    Then its set-up reports that.
    """
    try:
        return profile_of_test(item, state_of(item.config)).start_after or 0.0
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException:  # pytest's outcomes do not derive from Exception
        return 0.0
