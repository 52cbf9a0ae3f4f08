"""Loads of a fixed size, to see what grows with names, sources and workers."""

from __future__ import annotations

import os

import pytest

from pytest_ipload import Iteration, LoadSession, VirtualUser

NAMES = int(os.environ.get("BENCHMARK_NAMES", "1"))
SAMPLES = 10
"""Of one iteration."""


@pytest.mark.ipload(users=20, total_iterations=20_000)
@pytest.mark.ipload_threshold("p95 < 5s", "error_rate < 1%")
def test_names(ipload_user: VirtualUser, ipload_iteration: Iteration) -> None:
    """Samples without requests; all names are used equally often."""
    first = ipload_iteration.number * SAMPLES + ipload_user.index * 37
    for number in range(first, first + SAMPLES):
        with ipload_user.measure(f"name {number % NAMES}"):
            pass


@pytest.mark.ipload(users=50, total_iterations=20_000)
@pytest.mark.ipload_threshold("p95 < 5s", "error_rate < 1%")
def test_sources(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/small").status_code == 200
