"""Checks of what the session's settings ask of this machine, before anything is collected."""

from __future__ import annotations

import pytest

from pytest_ipload.errors import IploadError
from pytest_ipload.load.limits import ensure_open_files
from pytest_ipload.shape import COMMAND_LINE, INI
from pytest_ipload.state import SessionState


def check_session(state: SessionState) -> None:
    """Raise ``pytest.UsageError`` for pools and numbers of users that cannot work here.

    A pool in the ini file is only parsed: the file is shared with machines that run no load tests and need not have
    its addresses. Its addresses are tried when the first load test is set up.
    """
    settings = state.settings
    _check_named_pools(state)
    for origin, values in ((COMMAND_LINE, settings.command_line), (INI, settings.ini)):
        name = "--ipload-{}" if origin == COMMAND_LINE else "ini key ipload_{}"
        if "users" in values and not settings.disabled:
            try:
                ensure_open_files(values["users"], f"{name.format('users')}={values['users']}")
            except IploadError as error:
                raise pytest.UsageError(str(error)) from None
        if "pool" in values:
            try:
                (state.pools.usable if origin == COMMAND_LINE else state.pools.get)(values["pool"])
            except IploadError as error:
                raise pytest.UsageError(f"{name.format('pool')}: {error}") from None


def _check_named_pools(state: SessionState) -> None:
    """Each named pool has to be readable, whether a test uses it or not."""
    try:
        for name in state.pools.named if state.settings.named_pools else ():
            state.pools.get(name)
    except IploadError as error:
        raise pytest.UsageError(f"ini key ipload_pools: {error}") from None
