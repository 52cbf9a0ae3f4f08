"""The profile of a load test: from its settings, and from plugins that change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_ipload.base.errors import SettingError
from pytest_ipload.plugin.hook_calls import changed_by_plugins
from pytest_ipload.plugin.items.markers import MARKER
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.resolution import marker_settings, resolve


def load_settings(item: pytest.Item) -> dict[str, Any]:
    """The merged keywords of the item's markers. Raises SettingError naming marker, key and what is allowed."""
    try:
        return marker_settings((mark.kwargs, mark.args) for mark in item.iter_markers(MARKER))
    except ValueError as error:
        raise SettingError(f"marker {MARKER}: {error}") from None


def profile_of(item: pytest.Item, state: SessionState, marker: Mapping[str, Any], base_url: str | None) -> LoadProfile:
    """The profile of a test, from all sources; ``base_url`` is the fixture's, used if no setting gives one.

    Raises SettingError when settings contradict each other, or a plugin changes them to invalid ones.
    """

    def resolved(changes: Mapping[str, Any]) -> LoadProfile:
        try:
            values, origins = resolve(state.settings, marker, item.nodeid, changes)
        except ValueError as error:
            raise SettingError(str(error)) from None
        if values.get("base_url") is None and base_url is not None:
            values["base_url"], origins["base_url"] = base_url, "base_url fixture"
        return LoadProfile(**values, origins=origins)

    return changed_by_plugins(item, resolved({}), resolved)
