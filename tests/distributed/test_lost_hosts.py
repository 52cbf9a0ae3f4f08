"""What xdist and execnet are asked, and kept from, when a host is far away or gone: with stand-ins for both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_ipload.distributed.xdist_private import (
    cut_off,
    end_workers,
    is_elsewhere,
    neighbourhood,
    survive_lost_hosts,
)


@pytest.mark.parametrize(
    ("spec", "elsewhere"),
    [
        ("popen", False),
        ("4*popen", False),
        ("popen//python=/ssh=/bin/python", False),
        ("2*popen//via=a", True),
        ("ssh=user@host//python=python3", True),
        ("3*ssh=host", True),
        ("socket=10.0.0.1:8888", True),
        ("vagrant_ssh=box", True),
    ],
)
def test_a_specification_tells_whether_a_worker_is_elsewhere(spec: str, elsewhere: bool) -> None:
    assert is_elsewhere(spec) is elsewhere


@pytest.mark.usefixtures("xdist")
def test_workers_of_a_host_are_neighbours_whichever_way_they_are_reached() -> None:
    import execnet

    proxies = {name: execnet.XSpec(f"id={name}//ssh={host}") for name, host in (("a", "x"), ("b", "x"), ("c", "y"))}
    group = {name: SimpleNamespace(spec=spec) for name, spec in proxies.items()}
    specs = [execnet.XSpec(text) for text in ("popen//via=a", "popen//via=b", "ssh=x", "popen//via=c", "popen")]
    manager = SimpleNamespace(specs=specs, group=group)
    found = [neighbourhood(SimpleNamespace(nodemanager=manager, gateway=SimpleNamespace(spec=spec))) for spec in specs]
    assert found == [("x", 3), ("x", 3), ("x", 3), ("y", 1), ("", 1)]


class FastSocket:
    """The IO of a gateway: that of a process here, or of one behind a proxy, which may be silent."""

    def __init__(self, *, answers: bool = True, proxy: FastSocket | None = None) -> None:
        self.done: list[str] = []
        self.iochan = SimpleNamespace(gateway=SimpleNamespace(_io=proxy))
        self.over = threading.Event()
        self._answers = answers

    def kill(self) -> None:
        self.done.append("kill")
        if not self._answers:
            self.over.wait(30)

    def close_read(self) -> None:
        self.done.append("close_read")


def worker(io: FastSocket) -> Any:
    return SimpleNamespace(gateway=SimpleNamespace(_io=io))


class TestCuttingOff:
    def test_a_worker_is_killed_by_its_proxy(self) -> None:
        proxy = FastSocket()
        io = FastSocket(proxy=proxy)
        cut_off(worker(io))
        assert (io.done, proxy.done) == (["kill", "close_read"], [])

    def test_a_proxy_that_does_not_answer_is_ended_itself(self) -> None:
        proxy = FastSocket()
        io = FastSocket(answers=False, proxy=proxy)
        cut_off(worker(io), patience_s=0.05)
        io.over.set()
        assert proxy.done == ["kill", "close_read"]

    def test_a_worker_without_a_proxy_that_does_not_answer_is_left_alone(self) -> None:
        io = FastSocket(answers=False)
        cut_off(worker(io), patience_s=0.05)
        io.over.set()
        assert io.done[0] == "kill"


def test_a_worker_that_cannot_be_replaced_is_done_without() -> None:
    def clone(node: Any) -> str:
        node.gateway.spec.id = "gw4"
        if node.is_gone:
            raise OSError("connection already closed")
        return "clone"

    session = SimpleNamespace(_clone_node=clone)
    given_up: list[str] = []
    survive_lost_hosts(session, given_up.append)
    lost, crashed = (
        SimpleNamespace(gateway=SimpleNamespace(spec=SimpleNamespace(id=name)), is_gone=gone)
        for name, gone in (("gw2", True), ("gw3", False))
    )
    clone_node: Callable[[Any], Any] = session._clone_node
    assert clone_node(crashed) == "clone"
    assert given_up == []
    assert clone_node(lost) is lost
    assert given_up == ["gw4"]


class Manager:
    """xdist's; saying goodbye fails so often."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.goodbyes = 0
        self.group = SimpleNamespace(_gateways_to_join=["gone"])

    def teardown_nodes(self) -> None:
        self.goodbyes += 1
        if self.goodbyes <= self.failures:
            raise OSError("cannot send (already closed?)")


class TestTheEnd:
    def test_a_host_that_is_gone_keeps_nobody_from_ending_the_others(self) -> None:
        manager = Manager(failures=1)
        session = SimpleNamespace(nodemanager=manager)
        assert end_workers(session) is None
        assert (manager.goodbyes, manager.group._gateways_to_join) == (2, [])

    def test_it_is_not_tried_for_ever(self) -> None:
        manager = Manager(failures=100)
        session = SimpleNamespace(nodemanager=manager)
        assert end_workers(session) == "cannot send (already closed?)"
        assert manager.goodbyes < 10
        assert session.nodemanager is None  # xdist itself would try once more, and fail

    def test_a_session_without_workers(self) -> None:
        assert end_workers(SimpleNamespace(nodemanager=None)) is None
