"""Thresholds on latency, throughput and errors. Without a threshold on errors, no iteration may fail."""

from __future__ import annotations

import pytest

from pytest_ipload import Iteration, LoadSession, VirtualUser


@pytest.mark.ipload(users=10, iterations=5)
@pytest.mark.ipload_threshold("p95 < 2s", "p95{GET /bytes/*} < 2s", "max{POST /echo} < 10s")
def test_by_request_name(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/bytes/10").ok
    assert ipload_session.get("/bytes/1000").ok
    assert ipload_session.post("/echo", json={"a": 1}).ok


@pytest.mark.ipload(users=10, iterations=5)
@pytest.mark.ipload_threshold("p95{step:look around} < 4s", "iteration.p95 < 5s")
def test_by_step_and_by_iteration(ipload_session: LoadSession, ipload_user: VirtualUser) -> None:
    with ipload_user.step("look around"):
        assert ipload_session.get("/").ok
        assert ipload_session.get("/slow?ms=10").ok


@pytest.mark.ipload(users=10, iterations=10)
@pytest.mark.ipload_threshold("rps > 1", "requests >= 1")
def test_by_throughput(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/whoami").ok


@pytest.mark.ipload(users=10, iterations=20)
@pytest.mark.ipload_threshold("error_rate < 60%", "p95 < 2s")
def test_a_server_that_may_fail_now_and_then(ipload_session: LoadSession, ipload_iteration: Iteration) -> None:
    every_tenth = ipload_iteration.number % 10 == 9
    ipload_session.get("/status/503" if every_tenth else "/status/200", name="GET /status")
