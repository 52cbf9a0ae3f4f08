"""Which worker may run a load of ``ipload.run``."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_ipload.distributed.controller.load_queue import LoadQueue
from pytest_ipload.distributed.protocol.time_limits import Timing


class Queue(LoadQueue):
    def __init__(self) -> None:
        self.began: list[str] = []
        self.runs: dict[str, bool | None] = {}
        self.now = 0.0
        super().__init__(self.began.append, self.runs.get, Timing(heartbeat=3, silence=20), lambda: self.now)


@pytest.fixture
def queue() -> Queue:
    return Queue()


def after(queue: Queue, *events: tuple[str, Any]) -> list[str]:
    for kind, worker in events:
        getattr(queue, kind)(worker)
    return queue.began


def test_one_loads_at_a_time_in_the_order_of_requests(queue: Queue) -> None:
    assert after(queue, ("request", "a"), ("request", "b"), ("request", "c")) == ["a"]
    assert after(queue, ("release", "a")) == ["a", "b"]
    assert after(queue, ("request", "a"), ("release", "b"), ("release", "c")) == ["a", "b", "c", "a"]


def test_a_worker_that_no_longer_waits_is_passed_over(queue: Queue) -> None:
    events = [("request", name) for name in "abc"]
    assert after(queue, *events, ("release", "b"), ("release", "b"), ("release", "a")) == ["a", "c"]


@pytest.mark.parametrize(("can_run", "seconds"), [(False, 3), (None, 3), (True, 20)])
def test_one_that_hangs_gives_its_place_to_the_next(queue: Queue, can_run: bool | None, seconds: float) -> None:
    queue.runs["a"] = can_run
    after(queue, ("request", "a"), ("request", "b"))
    queue.now = 1.0
    after(queue, ("beat", "a"), ("beat", "b"))
    queue.now = 1.0 + seconds
    assert queue.look()
    assert queue.began == ["a"]
    queue.now += 0.1
    assert not queue.look()
    assert after(queue, ("beat", "a"), ("release", "a")) == ["a", "b"]


def test_one_that_hangs_alone_keeps_its_place(queue: Queue) -> None:
    after(queue, ("request", "a"))
    queue.now = 100.0
    assert not queue.look()
    assert after(queue, ("request", "b")) == ["a"]
