"""Checks of the session's settings before anything is collected, so that a mistake costs no time."""

from __future__ import annotations

import pytest

from pytest_ipload.errors import IploadError
from pytest_ipload.load.limits import ensure_open_files
from pytest_ipload.options import COMMAND_LINE, INI
from pytest_ipload.runner import session_thresholds
from pytest_ipload.state import SessionState


def check_session(state: SessionState) -> None:
    """Raise ``pytest.UsageError`` for thresholds, pools and numbers of users that cannot work.

    A pool in the ini file is only parsed: the file is shared with machines that run no load tests and need not have
    its addresses. Its addresses are tried when the first load test is set up.
    """
    settings = state.settings
    for origin, values in ((COMMAND_LINE, settings.command_line), (INI, settings.ini)):
        name = "--ipload-{}" if origin == COMMAND_LINE else "ini key ipload_{}"
        try:
            if "users" in values and not settings.disabled:
                ensure_open_files(values["users"], f"{name.format('users')}={values['users']}")
            if "pool" in values:
                (state.pools.usable if origin == COMMAND_LINE else state.pools.get)(values["pool"])
        except IploadError as error:
            raise pytest.UsageError(str(error)) from None
    try:
        session_thresholds(state)
    except ValueError as error:
        raise pytest.UsageError(f"threshold of the command line or the ini file: {error}") from None
