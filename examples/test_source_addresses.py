"""Each user leaves from its own source address, and the server sees it. On Linux, all of 127.0.0.0/8 is local."""

from __future__ import annotations

import sys

import pytest

from pytest_ipload import LoadSession, VirtualUser

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="127.0.1.0/28 is local on Linux only")


@pytest.mark.ipload(users=14, iterations=3, pool="127.0.1.0/28")
def test_the_server_sees_the_users_own_address(ipload_session: LoadSession, ipload_user: VirtualUser) -> None:
    response = ipload_session.get("/whoami")
    assert response.json()["address"] == ipload_user.source_address
    assert response.source_address == ipload_user.source_address
