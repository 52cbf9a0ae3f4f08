"""One request and some work of the test's own in each iteration. Users and duration: on the command line."""

from __future__ import annotations

import os
import time

import pytest

from pytest_ipload import LoadSession

BURN_S = float(os.environ["BENCHMARK_BURN_S"])


@pytest.mark.ipload_threshold("p95 < 5s", "error_rate < 1%")
def test_work(ipload_session: LoadSession) -> None:
    r = ipload_session.get("/small")
    assert r.status_code == 200
    until = time.thread_time() + BURN_S
    while time.thread_time() < until:
        pass


@pytest.mark.ipload(pacing="50ms")
@pytest.mark.ipload_threshold("p95 < 5s", "error_rate < 1%")
def test_paced(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/small").status_code == 200
