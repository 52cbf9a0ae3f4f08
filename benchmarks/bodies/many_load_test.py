"""Users without think time, whose connections are open when the load begins. The rest comes from the command line."""

from __future__ import annotations

import pytest

from pytest_ipload import LoadSession


@pytest.fixture
def connected(ipload_session: LoadSession) -> LoadSession:
    """The user's session, with an open connection."""
    ipload_session.get("/small")
    return ipload_session


@pytest.mark.ipload(suppress_health_check=["users-not-reached"])
def test_get(connected: LoadSession) -> None:
    r = connected.get("/small")
    assert r.status_code == 200
