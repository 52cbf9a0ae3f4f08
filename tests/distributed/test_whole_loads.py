"""Loads that run whole on one worker, when the session is ended meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.plugins import OTHER_PLUGINS

from pytest_ipload.distributed import whole_loads
from pytest_ipload.distributed.protocol.slots import WHOLE_KEY
from pytest_ipload.distributed.whole_loads import WholeLoads, WorkerLoads

RESULTS = [{"verdict": "invalid"}]


class Channel:
    """One end: what it sends is kept, or received at once at the other end."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.say: Callable[[Any], object] = print
        self.other: Channel | None = None
        self.is_closed = False

    def setcallback(self, callback: Callable[[Any], object], endmarker: object) -> None:
        self.say = callback

    def send(self, message: tuple[str, dict[str, Any]]) -> None:
        if self.is_closed:
            raise OSError("closed")
        self.sent.append(message[0])
        if self.other is not None:
            self.other.say(message)


class Node:
    """xdist's controller of a worker."""

    def __init__(self, name: str, worker: WorkerLoads | None) -> None:
        self.channel = Channel()
        self.gateway = self
        self.id = name
        self.workerinput: dict[str, Any] = {}
        self.worker = worker

    def newchannel(self) -> Channel:
        return self.channel


class Pair:
    """A worker and its controller."""

    def __init__(self, unreported: tuple[str, list[dict[str, Any]]] | None = None) -> None:
        self.kept: list[tuple[Any, ...]] = []
        self.controller = WholeLoads(lambda *fields: self.kept.append(fields))
        self.node = Node("gw0", None)
        self.controller.attach(self.node)
        own = self.node.workerinput[WHOLE_KEY]
        end = Channel()
        end.other, own.other = own, end
        self.end = end
        self.worker = WorkerLoads(end, lambda reason: unreported)
        self.stops: list[str] = []

    def stop(self, reason: str, *, hurry: bool) -> None:
        assert hurry
        self.stops.append(reason)

    def finish(self) -> None:
        """The session is being ended."""
        hook = self.controller.pytest_sessionfinish()
        next(hook)
        with pytest.raises(StopIteration):
            hook.send(None)


def test_a_worker_that_runs_no_load_says_so_and_begins_none() -> None:
    pair = Pair()
    pair.finish()
    assert (pair.kept, pair.end.sent) == ([], ["over"])
    with pytest.raises(KeyboardInterrupt, match="the session ended"), pair.worker.going_on(pair.stop):
        pytest.fail("it began")


def test_what_loads_before_have_measured_is_delivered() -> None:
    pair = Pair(("test_it", RESULTS))
    pair.finish()
    assert pair.kept == [("test_it", "gw0", "call", "", RESULTS)]


def test_a_load_that_runs_is_ended_and_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair()

    def run() -> None:
        with pair.worker.going_on(pair.stop):
            monkeypatch.setattr(whole_loads, "_LAST_RESULTS_S", (0.0,))
            pair.finish()  # it waits for what is not there yet
            assert (pair.stops, pair.end.sent) == (["the session ended"], ["busy"])

    with pytest.raises(KeyboardInterrupt, match="the session ended"):
        run()
    pair.worker.deliver("test_it", "call", "why", RESULTS)
    pair.worker.phase_over()
    assert (pair.end.sent, pair.kept) == (["busy", "results", "over"], [("test_it", "gw0", "call", "why", RESULTS)])


def test_loads_that_run_together_are_all_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_loads, "_LAST_RESULTS_S", (0.0,))
    pair = Pair()
    with pair.worker.held():
        with pytest.raises(KeyboardInterrupt), pair.worker.going_on(pair.stop):
            pair.finish()
        for nodeid in ("test_one", "test_two"):
            pair.worker.deliver(nodeid, "call", "why", RESULTS)
            pair.worker.phase_over()
        assert pair.end.sent == ["busy", "results", "results"]
    assert pair.end.sent[3:] == ["over"]
    assert [kept[0] for kept in pair.kept] == ["test_one", "test_two"]


def test_one_that_control_c_has_ended_in_the_worker_is_not_interrupted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_loads, "_LAST_RESULTS_S", (0.0,))
    pair = Pair()
    with pytest.raises(KeyboardInterrupt), pair.worker.going_on(pair.stop):
        raise KeyboardInterrupt
    pair.finish()
    assert (pair.stops, pair.end.sent) == ([], ["busy"])
    pair.worker.phase_over()
    assert pair.end.sent == ["busy", "over"]


def test_workers_that_are_gone_are_not_waited_for() -> None:
    pair = Pair()
    pair.end.other = None  # nobody answers
    pair.node.channel.other = None
    pair.controller.pytest_testnodedown(pair.node)
    pair.finish()
    pair.controller.attach(pair.node)
    pair.node.channel.is_closed = True
    pair.node.channel.say("closed")
    pair.node.channel.say("nonsense")
    assert pair.kept == []


def test_without_a_controller_no_load_goes_on() -> None:
    pair = Pair()
    load = pair.worker.going_on(pair.stop)
    load.__enter__()
    pair.end.say("closed")
    assert pair.stops == ["the controller is gone"]
    with pytest.raises(KeyboardInterrupt, match="the controller is gone"):
        load.__exit__(None, None, None)


LOADS = """
import pathlib, time
import pytest

def visit(user):
    with user.measure("VISIT"):
        time.sleep(0.01)
    if user.iteration == 10:
        pathlib.Path(PLACE).touch()

PLACE = "reached"

def test_starts_one(ipload):
    ipload.run(lambda user: None)
    ipload.run(visit, users=2, duration="60s")

@pytest.mark.ipload(users=2, duration="60s")
def test_load(ipload_user):
    visit(ipload_user)
"""


@pytest.mark.usefixtures("xdist")
@pytest.mark.parametrize(
    ("options", "is_terminal", "loads"),
    [([], False, ["test_starts_one"] * 2), (["--ipload-concurrent"], True, ["test_load"] + ["test_starts_one"] * 2)],
    ids=["the controller gets it", "all get it, each load test on one worker"],
)
def test_control_c_keeps_what_was_measured(
    tmp_path: Path, options: list[str], is_terminal: bool, loads: list[str]
) -> None:
    source = LOADS.replace('"reached"', '__import__("os").environ["PYTEST_XDIST_WORKER"]')
    (tmp_path / "test_it.py").write_text(source)
    without = [f"-pno:{name}" for name in ("cacheprovider", *OTHER_PLUGINS) if name != "xdist"]
    reports = ["--ipload-json=out.json", "--ipload-summary=out.md", "--ipload-html=out.html", "--ipload-pin=off"]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n2", *without, *reports, *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        expected = 2 if options else 1
        give_up = time.monotonic() + 60
        while len(list(tmp_path.glob("gw?"))) < expected and time.monotonic() < give_up:
            time.sleep(0.01)
        (os.killpg if is_terminal else os.kill)(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    tests = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["tests"]
    assert sorted(test["nodeid"].partition("::")[2] for test in tests) == loads
    broken_off = [test for test in tests if test["verdict"] == "invalid"]
    assert {test["reason"] for test in broken_off} == {"the load was aborted by KeyboardInterrupt"}
    assert [test["requests"] >= 10 for test in broken_off] == [True] * expected
    for text in (output, (tmp_path / "out.md").read_text(), (tmp_path / "out.html").read_text()):
        assert all(name in text for name in loads)
