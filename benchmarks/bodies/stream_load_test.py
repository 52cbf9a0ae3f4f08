"""Users who read streams of events to their end. Users and iterations: on the command line."""

from __future__ import annotations

import os

import pytest

from pytest_ipload import LoadSession

EVENTS = int(os.environ["BENCHMARK_EVENTS"])


@pytest.mark.ipload(ramp_up="1s")
@pytest.mark.ipload_threshold("gap.p99 < 5s", "ttfe.p95 < 5s", "error_rate < 1%")
def test_stream(ipload_session: LoadSession) -> None:
    with ipload_session.events("POST", "/chat", json={"stream": True}, name="chat") as events:
        assert sum(1 for event in events if event.json()["choices"]) == EVENTS
