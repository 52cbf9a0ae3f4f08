"""The schedulers that stand round xdist's, without processes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_ipload.distributed.controller.scheduler import EachScheduler, StandIn, TeamScheduler

pytestmark = pytest.mark.usefixtures("xdist")
IDS = ["test_a", "test_b", "test_load"]


class FakeTeam:
    """No load test is run."""

    def load_tests(self, name: str) -> list[int] | None:
        return [2]

    def load_tests_to_run(self, name: str) -> list[int]:
        return [2]

    def expects_workers(self, known: Collection[str]) -> bool:
        return False

    def take_over(self) -> None: ...
    def leave_out(self, name: str, why: str) -> None: ...
    def xdist_is_through_with(self, name: str) -> None: ...
    def report_tests(self) -> None: ...


class FakeNode:
    """A worker that notes what it is told."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name, spec="popen")
        self.workerinput = {"workercount": 2}
        self.shutting_down = False
        self.ran: list[int] = []

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        self.ran += indices

    def send_runtest_all(self) -> None:
        self.ran += range(len(IDS))

    def shutdown(self) -> None:
        self.shutting_down = True


class Config:
    """As much of pytest's as a scheduler asks for."""

    option = SimpleNamespace(tx=["popen", "popen"], maxschedchunk=None, debug=False)

    def getvalue(self, name: str) -> Any:
        return getattr(self.option, name)

    def getoption(self, name: str) -> Any:
        return getattr(self.option, name)


def scheduler_of(dist: str) -> TeamScheduler:
    inner = getattr(pytest.importorskip("xdist.scheduler"), f"{dist}Scheduling")(Config())
    return TeamScheduler(inner, FakeTeam(), SimpleNamespace(shouldstop=False))


@pytest.mark.parametrize("dist", ["Load", "LoadScope", "LoadFile", "LoadGroup", "WorkStealing"])
def test_attributes_are_those_of_xdists_scheduler(dist: str) -> None:
    scheduler: Any = scheduler_of(dist)
    inner = scheduler._inner
    assert scheduler.config is inner.config
    assert scheduler.log is inner.log
    assert isinstance(scheduler, type(inner))
    scheduler.failures_db = "of a plugin"
    assert inner.failures_db == "of a plugin"
    assert scheduler.failures_db == "of a plugin"
    scheduler.config = "another"
    assert inner.config == "another"
    del scheduler.failures_db
    assert not hasattr(inner, "failures_db")
    with pytest.raises(AttributeError, match="no_such"):
        _ = scheduler.no_such


def test_a_worker_is_found_in_what_xdists_scheduler_keeps_of_it() -> None:
    scheduler: Any = scheduler_of("Load")
    nodes = [FakeNode("gw0"), FakeNode("gw1")]
    for node in nodes:
        scheduler.add_node(node)
    for node in nodes:
        scheduler.add_node_collection(node, IDS)
    scheduler.schedule()
    assert set(scheduler.node2pending) == set(nodes)
    assert [scheduler.node2pending[node] for node in nodes] == [[0], [1]]


def test_a_stand_in_is_the_worker_to_others() -> None:
    node: Any = FakeNode("gw0")
    one: Any = StandIn(node, scheduler_of("Load"))
    assert (one, hash(one)) == (node, hash(node))
    assert one == StandIn(node, scheduler_of("Load"))
    assert one != FakeNode("gw0")
    one.note = "of a plugin"
    assert node.note == "of a plugin"


def each_after_two_crashes(pending: int) -> tuple[Any, list[FakeNode]]:
    """Two workers have crashed with so many tests left to each, and two others are about to replace them."""
    scheduler: Any = EachScheduler(pytest.importorskip("xdist.scheduler").EachScheduling(Config()))
    nodes: list[Any] = [FakeNode(f"gw{number}") for number in range(4)]
    for node in nodes[:2]:
        scheduler.add_node(node)
    for node in nodes[:2]:
        scheduler.add_node_collection(node, IDS)
    scheduler.schedule()
    for node in nodes[:2]:
        for place in range(len(IDS) - 1 - pending):
            scheduler.mark_test_complete(node, place)
        assert scheduler.remove_node(node) == IDS[len(IDS) - 1 - pending]
    for node in nodes[2:]:
        scheduler.add_node(node)
    assert scheduler.nodes == nodes[2:]
    return scheduler, nodes[2:]


def test_with_each_two_workers_may_be_replaced_at_a_time() -> None:
    scheduler, replacements = each_after_two_crashes(pending=2)
    for node in replacements:
        scheduler.add_node_collection(node, IDS)
        scheduler.schedule()
    assert [node.ran for node in replacements] == [[1, 2], [1, 2]]
    for node in replacements:
        scheduler.mark_test_complete(node, 1)
    assert scheduler.tests_finished


def test_with_each_a_replacement_without_tests_goes_home() -> None:
    scheduler, replacements = each_after_two_crashes(pending=0)
    scheduler.add_node_collection(replacements[0], IDS)
    scheduler.schedule()
    assert (replacements[0].ran, replacements[0].shutting_down) == ([], True)
    assert scheduler.remove_node(replacements[1]) is None  # it died before it had collected
    assert scheduler.nodes == []
