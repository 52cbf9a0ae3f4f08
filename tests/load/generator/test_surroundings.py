"""What loads change in their process, with the changes themselves replaced."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_ipload.load.generator import surroundings
from pytest_ipload.load.generator.surroundings import SharedSurroundings, Surroundings


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to the process."""
    done: list[str] = []

    @contextmanager
    def pinned(cpu: int | None) -> Iterator[str | None]:
        done.append(f"pin to {cpu}")
        yield "forbidden"
        done.append("unpin")

    monkeypatch.setattr(surroundings, "pinned", pinned)
    for name in ("collect", "freeze", "unfreeze"):
        monkeypatch.setattr(gc, name, lambda name=name: done.append(name))
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 0)
    return done


def test_one_load_changes_them_for_itself(log: list[str]) -> None:
    own = Surroundings()
    with own.pinned(1) as problem, own.frozen():
        assert problem == "forbidden"
    assert log == ["pin to 1", "collect", "freeze", "unfreeze", "unpin"]


def test_loads_that_run_together_change_them_once(log: list[str]) -> None:
    shared = SharedSurroundings()
    with shared.pinned(1) as one, shared.pinned(1) as other:
        shared.freeze()
        with shared.frozen(), shared.frozen():
            pass
    assert (one, other) == ("forbidden", "forbidden")
    assert log == ["pin to 1", "collect", "freeze"]
    shared.close()
    assert log[3:] == ["unfreeze", "unpin"]
    shared.close()
    assert len(log) == 5


def test_what_a_project_has_frozen_stays_so(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 1)
    with Surroundings().frozen():
        pass
    assert log == ["collect"]
