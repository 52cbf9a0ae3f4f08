"""A capacity search: one request per iteration, with an optional CPU burn after it."""

from __future__ import annotations

import os
import time

import pytest

from pytest_ipload import LoadSession

BURN_S = float(os.environ["BENCHMARK_BURN_S"])


@pytest.mark.ipload_capacity(
    os.environ["BENCHMARK_LIMIT"],
    "error_rate < 1%",
    start=os.environ["BENCHMARK_START"],
    up_to=os.environ["BENCHMARK_UP_TO"],
    step=os.environ["BENCHMARK_STEP"],
)
def test_capacity(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/").ok
    until = time.thread_time() + BURN_S
    while time.thread_time() < until:
        pass
