"""What the body of a load test asks for, and what that says about its measurement before the load begins."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pytest_ipload.base.health_catalogue import HealthCheck, fired
from pytest_ipload.plugin.fixtures.placeholders import PerUser
from pytest_ipload.plugin.items.bare_calls import bare_calls, times_itself
from pytest_ipload.plugin.items.shared_values import unsafe_values
from pytest_ipload.settings.load_profile import LoadProfile


def asked_by(item: pytest.Function) -> dict[str, Any]:
    """The fixtures and parameters that the body uses, and the per-user fixtures."""
    parameters = inspect.signature(item.function).parameters
    # A shared fixture that the body does not receive (usefixtures, autouse) is not shared by users.
    return {name: value for name, value in item.funcargs.items() if name in parameters or isinstance(value, PerUser)}


def foreseen(item: pytest.Function, profile: LoadProfile, asked: Mapping[str, Any]) -> Iterator[HealthCheck]:
    """Health checks that fire before the load."""
    body = item.function
    if (calls := bare_calls(body)) and not (profile.bind_sockets == "all" and times_itself(body)):
        yield fired("bare-calls", f"the body uses {', '.join(calls)} itself")
    if profile.most_users > 1 and (shared := unsafe_values(asked)):
        values = ", ".join(f"{name!r} ({kind})" for name, kind in shared.items())
        yield fired("shared-fixture", f"all users share {values}")
