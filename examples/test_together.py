"""Load tests that run as one load: a probe whose latencies are judged, and the background load that causes them."""

from __future__ import annotations

import pytest

from pytest_ipload import LoadSession


@pytest.mark.ipload_together("shop")
@pytest.mark.ipload(arrival_rate="50/s", duration="1500ms", max_users=20)
def test_background(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/slow?ms=10").ok


@pytest.mark.ipload_together("shop")
@pytest.mark.ipload(users=1, duration="1s", start_after="500ms", pacing="50ms")
@pytest.mark.ipload_threshold("p95 < 2s")
def test_probe(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/whoami").ok
