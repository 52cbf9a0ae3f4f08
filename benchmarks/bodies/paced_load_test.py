"""One paced request per iteration, with an optional CPU burn after it. Users and duration: on the command line."""

from __future__ import annotations

import os
import time

import pytest

from pytest_ipload import LoadSession

BURN_S = float(os.environ["BENCHMARK_BURN_S"])


@pytest.fixture
def session(ipload_session: LoadSession) -> LoadSession:
    """The user's session, which trusts the benchmark's certificate authority where there is one."""
    ipload_session.verify = os.environ.get("BENCHMARK_CA", True)
    return ipload_session


@pytest.mark.ipload(pacing=os.environ["BENCHMARK_PACING"])
@pytest.mark.ipload_threshold("p95 < 5s", "error_rate < 1%")
def test_paced(session: LoadSession) -> None:
    r = session.get("/small")
    assert r.status_code == 200
    until = time.thread_time() + BURN_S
    while time.thread_time() < until:
        pass
