"""The profile of a load test: from its settings, and from plugins that change them."""

from __future__ import annotations

import pytest

from pytest_ipload.base.errors import SettingError
from pytest_ipload.plugin.hook_calls import ERRORS, raised, whose
from pytest_ipload.plugin.items.markers import MARKER
from pytest_ipload.plugin.session_state import SessionState, state_of
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.resolution import Given, changes, resolve


def profile_of_test(item: pytest.Item, state: SessionState, base_url: str | None = None) -> LoadProfile:
    """The profile of a load test with the markers that it has; see ``profile_of``."""
    return profile_of(item, state, [(mark.kwargs, mark.args) for mark in item.iter_markers(MARKER)], base_url)


def profile_of(
    item: pytest.Item,
    state: SessionState,
    given: Given,
    base_url: str | None = None,
    place: str = f"marker {MARKER}",
) -> LoadProfile:
    """The profile of a load of a test, from all sources and after the changes of plugins.

    ``given`` are the settings of the load itself, at this ``place``; ``base_url`` is the fixture's, used if no setting
    gives one. Raises SettingError when settings are wrong or contradict each other, and, naming the plugin, when one
    changes them to invalid ones.
    """
    profile = resolve(state.settings, given, item.nodeid, place=place, base_url=base_url)
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
        return resolve(state.settings, given, item.nodeid, place=place, hook=set_by_hook, base_url=base_url)
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
