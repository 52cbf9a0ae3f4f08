"""What loads that a test starts itself have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_ipload.base.errors import SettingError
from pytest_ipload.load.scenario import Body, is_coroutine_function, scenario_of
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_thread import Scenario
from pytest_ipload.plugin.fixtures.per_user import multiplied_by
from pytest_ipload.plugin.run.load_request import MakeScenario
from pytest_ipload.plugin.session_state import state_of


def scenario_for(
    request: pytest.FixtureRequest, body: Body | Mapping[Body, int], place: str
) -> tuple[MakeScenario, bool]:
    """What the users of a load do that a test starts itself, and whether each has an event loop. Raises SettingError.

    ``place`` is what the test calls.
    """
    try:
        scenario = scenario_of(body)
    except ValueError as error:
        raise SettingError(f"{place}: {error}") from None
    if state_of(request.config).settings.segment is not None:
        raise SettingError(
            f"{place}: a load that a test starts and judges itself cannot be divided into segments; mark the "
            "test with @pytest.mark.ipload, or leave it out of this run"
        )
    if problem := multiplied_by(request.node.obj):
        raise SettingError(f"{place}: {problem}")
    is_async = any(map(is_coroutine_function, body if isinstance(body, Mapping) else [body]))

    def make_scenario(user: VirtualUser) -> Scenario:
        if is_async:
            user.coroutines.open_loop()  # else its first iteration would
        return scenario

    return make_scenario, is_async


def base_url_of_load(request: pytest.FixtureRequest, settings: Mapping[str, Any]) -> str | None:
    """The value of the fixture ``base_url``, where no setting gives another."""
    is_given = state_of(request.config).settings.value("base_url") is not None or "base_url" in settings
    return None if is_given else base_url_fixture(request)


def base_url_fixture(request: pytest.FixtureRequest) -> str | None:
    """The value of a fixture named ``base_url`` (pytest-base-url's, or the project's own); None without one."""
    try:
        value = request.getfixturevalue("base_url")
    except pytest.FixtureLookupError as error:
        if error.argname != "base_url":  # there is one, and a fixture that it uses is missing
            raise
        return None
    return str(value) if value else None
