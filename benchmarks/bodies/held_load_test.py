"""Users who make one request and then wait with an open connection. Users and duration come from the command line."""

from __future__ import annotations

import pytest

from pytest_ipload import LoadSession


@pytest.mark.ipload(think_time="1h")
def test_held(ipload_session: LoadSession) -> None:
    r = ipload_session.get("/small")
    assert r.status_code == 200
