from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ipload.load.generator import affinity
from pytest_ipload.plugin.session_state import Pools, SessionState
from pytest_ipload.settings.session_settings import SessionSettings


@pytest.mark.parametrize(
    ("pin", "number", "count", "workers"),
    [
        ("auto", 0, 1, 1),
        ("auto", 1, 3, 1),
        ("auto", 0, 4, 2),
        ("auto", 3, 4, 2),
        ("auto", 1, 4, 1),
        ("auto", 5, 7, 2),
        ("auto", 6, 7, 3),
        (2, 0, 1, 1),
        (2, 1, 4, 4),
    ],
)
def test_workers_share_a_cpu_that_is_named_or_when_there_are_more_of_them_than_cpus(
    monkeypatch: pytest.MonkeyPatch, pin: int | str, number: int, count: int, workers: int
) -> None:
    monkeypatch.setattr(affinity, "usable_cpus", lambda: 3)
    settings = SessionSettings({}, {}, (), (), disabled=False, pin=pin)
    state = SessionState(settings, Pools(Path(), settings, (number, count)))
    assert state.workers_on_cpu == workers
    if pin == "auto":
        cpus = [affinity.choose_cpu(range(3), other) for other in range(count)]
        assert cpus.count(cpus[number]) == workers
