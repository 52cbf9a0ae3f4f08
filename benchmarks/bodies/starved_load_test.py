"""Loads whose generator gets too little time. Shape: on the command line; limit, pacing: in the environment."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import pytest

from pytest_ipload import LoadSession, VirtualUser

LIMIT, PACING = os.environ["BENCHMARK_LIMIT"], os.environ["BENCHMARK_PACING"]
HELD_US = 40_000
BURN_S = 0.002
pytestmark = [
    pytest.mark.ipload_threshold(f"p95 < {LIMIT}", "error_rate == 0%"),
    *([pytest.mark.ipload(pacing=PACING)] if PACING else []),
]


def test_ordinary(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/x").status_code == 200


def test_burning(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/x").status_code == 200
    until = time.thread_time() + BURN_S
    while time.thread_time() < until:
        pass


def test_holding(ipload_session: LoadSession, ipload_user: VirtualUser) -> None:
    """One iteration in thirty sleeps without giving Python's lock away, as an extension in C may do."""
    assert ipload_session.get("/x").status_code == 200
    if ipload_user.random.random() < 1 / 30:
        ctypes.PyDLL(None).usleep(HELD_US)


def test_verifying(ipload_session: LoadSession) -> None:
    """Giving the authority with each call costs a new TLS context each time."""
    assert ipload_session.get("/x", verify=str(Path("ca.pem").resolve())).status_code == 200
