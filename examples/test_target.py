"""The target's own numbers: its processor time and memory, beside the load and in thresholds (Linux)."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from pytest_ipload import LoadSession

from .demo_target import Target

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="session")
def shop(running: Target, ipload_target: Callable[..., object]) -> Target:
    ipload_target("shop", pid=running.pid)  # the process and all its children
    return running


@pytest.mark.ipload(users=5, duration="1s", think_time="10ms")
@pytest.mark.ipload_threshold("target.cpu.mean{shop} < 200%", "target.rss.max{shop} < 500MB", "p95 < 2s")
def test_what_a_load_costs_the_target(shop: Target, ipload_session: LoadSession) -> None:
    assert ipload_session.get("/whoami").ok


@pytest.mark.ipload(users=5, duration="1s", think_time="10ms")
@pytest.mark.ipload_threshold("target.rss.growth{shop} < 100GB/h", "target.threads.max{shop} < 1000")
def test_that_it_does_not_leak(shop: Target, ipload_session: LoadSession) -> None:
    assert ipload_session.get("/whoami").ok
