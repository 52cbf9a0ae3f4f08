"""Meant to fail: the server takes 50 ms, the threshold allows 20. ``pytest examples/too_slow.py`` shows a red test."""

from __future__ import annotations

import pytest

from pytest_ipload import LoadSession


@pytest.mark.ipload(users=10, iterations=5)
@pytest.mark.ipload_threshold("p95 < 20ms")
def test_too_slow(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/slow?ms=50").ok
