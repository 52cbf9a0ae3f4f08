"""Checks that this machine can do what the session's settings need, before anything is collected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import pytest

from pytest_ipload.addresses.spec import check_text
from pytest_ipload.base.errors import IploadError
from pytest_ipload.base.units import format_duration
from pytest_ipload.load.generator.resource_limits import ensure_open_files
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.settings.combination import origin_in_profile
from pytest_ipload.settings.session_settings import SessionSettings
from pytest_ipload.transport.curl.libcurl import check_http_version

_INI_KEY = "ini key ipload_{}"
LONGEST_WAIT_S = 48 * 3600
"""For the common start of segments."""


def check_session(state: SessionState, *, loads_elsewhere: bool = False) -> None:
    """Raise ``pytest.UsageError`` for pools and numbers of users that cannot work here.

    If other hosts run the load, this host's limits do not matter: pools are checked here as far as possible, and each
    host checks its addresses, and its limits, when a load test is set up.

    A pool in the ini file is only parsed: the file is shared with machines that run no load tests and need not have
    its addresses. Its addresses are checked when the first load test is set up.
    """
    if loads_elsewhere:
        _check_texts(state)
        return
    settings = state.settings
    with _refusing("ini key ipload_pools"):
        for name in _named_pools(state):  # each has to be valid, whether a test uses it or not
            state.pools.get(name)
    for name, values in _places(settings):
        if "users" in values and not settings.disabled:
            try:
                ensure_open_files(values["users"], f"{name.format('users')}={values['users']}")
            except IploadError as error:
                raise pytest.UsageError(str(error)) from None
        if "http" in values:
            with _refusing(name.format("http")):
                check_http_version(values["http"])
        if "pool" in values:
            with _refusing(name.format("pool")):
                (state.pools.get if name == _INI_KEY else state.pools.usable)(values["pool"])


def _places(settings: SessionSettings) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where values come from: how to name the place of a key, and the values."""
    yield "--ipload-{}", settings.command_line
    yield origin_in_profile(str(settings.profile_name), "{}"), settings.profile
    yield _INI_KEY, settings.ini


def check_baselines(state: SessionState) -> None:
    """Raise ``pytest.UsageError`` if the saved runs to compare with do not exist or cannot be read."""
    with _refusing("--ipload-compare"):
        _ = state.baselines


def check_start(start_at: float, now: float) -> None:
    """Raise ``pytest.UsageError`` for a time so far away that it must be a mistake: the session would wait for it."""
    if start_at - now > LONGEST_WAIT_S:
        raise pytest.UsageError(
            f"--ipload-start-at: {moment(start_at)} is {format_duration(start_at - now)} from now; give a time within "
            f"the next {LONGEST_WAIT_S // 3600} hours"
        )


def start_header(start_at: float, now: float) -> str:
    """When loads begin. A time in the past is not a common start: segments with it begin as soon as they can."""
    if start_at < now:
        return (
            f"ipload: WARNING: --ipload-start-at: {moment(start_at)} was {format_duration(now - start_at)} ago: loads "
            "begin at once, each segment when it is ready"
        )
    return f"ipload: no load begins before {moment(start_at)}, {format_duration(start_at - now)} from now"


def moment(seconds: float) -> str:
    """Unix seconds as people read them."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _check_texts(state: SessionState) -> None:
    with _refusing("ini key ipload_pools"):
        named = _named_pools(state)
        for spec in named.values():
            check_text(spec)
    for name, values in _places(state.settings):
        with _refusing(name.format("pool")):
            if "pool" in values and values["pool"].strip() not in named:
                check_text(values["pool"])


def _named_pools(state: SessionState) -> dict[str, str]:
    return state.pools.named if state.settings.named_pools else {}


@contextmanager
def _refusing(setting: str) -> Iterator[None]:
    """Turn an error in a setting into a usage error that names it."""
    try:
        yield
    except IploadError as error:
        raise pytest.UsageError(f"{setting}: {error}") from None
