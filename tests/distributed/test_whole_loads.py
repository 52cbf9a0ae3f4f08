"""Loads that run whole on one worker, when the session is ended meanwhile."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from support.plugins import OTHER_PLUGINS
from support.whole_run import whole_run

from pytest_ipload.distributed import whole_loads
from pytest_ipload.distributed.protocol.slots import QUEUE_KEY, WHOLE_KEY
from pytest_ipload.distributed.whole_loads import WholeLoads, WorkerLoads


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.001)


def raise_in(thread: threading.Thread, error: type[BaseException]) -> None:
    """As the signal of pytest-timeout does in the main thread."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(error))


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

    def __init__(self, unreported: tuple[str, list[dict[str, Any]]] | None = None, *, one_by_one: bool = False) -> None:
        self.kept: list[tuple[Any, ...]] = []
        self.unreported = unreported
        self.node = Node("gw0", None)
        self.join(WholeLoads(lambda *fields: self.kept.append(fields), one_by_one=one_by_one))
        self.stops: list[str] = []

    def join(self, controller: WholeLoads) -> None:
        """Connect the worker with a controller."""
        self.controller = controller
        self.node.channel = Channel()
        self.controller.attach(self.node)
        own = self.node.workerinput[WHOLE_KEY]
        end = Channel()
        end.other, own.other = own, end
        self.end = end
        self.worker = WorkerLoads(end, lambda reason: self.unreported, self.node.workerinput.get(QUEUE_KEY))

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


def two_workers() -> tuple[Pair, Pair]:
    first, second = Pair(one_by_one=True), Pair(one_by_one=True)
    second.node.id = "gw1"
    second.join(first.controller)
    return first, second


def test_loads_of_two_workers_wait_for_each_other() -> None:
    first, second = two_workers()
    order: list[str] = []

    def load() -> None:
        with second.worker.alone() as seconds:
            assert seconds > 0
            order.append("second")

    with first.worker.alone(), first.worker.alone():  # of one test: no reason to wait
        waiting = threading.Thread(target=load, daemon=True)
        waiting.start()
        until(lambda: "request" in second.end.sent)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]
    assert [first.end.sent[0], first.end.sent[-1]] == ["request", "release"]
    until(lambda: not [each for each in threading.enumerate() if each.name == "ipload-beat"])
    first.controller.pytest_unconfigure()


@pytest.mark.parametrize("how", ["the session ends", "an exception"])
def test_a_wait_ends_with_the_session_and_with_an_exception(how: str) -> None:
    first, second = two_workers()
    ended: list[BaseException] = []

    def load() -> None:
        try:
            with second.worker.alone():
                pytest.fail("it began")
        except BaseException as error:
            ended.append(error)

    with first.worker.alone():
        waiting = threading.Thread(target=load, daemon=True)
        waiting.start()
        until(lambda: "request" in second.end.sent)
        if how == "the session ends":
            second.end.say(("break_off", {"reason": "the session ended"}))
        else:
            until(lambda: bool(second.worker._changed._waiters))  # type: ignore[attr-defined]  # of the condition
            raise_in(waiting, TimeoutError)  # once: a second one could reach the condition's own clean-up
            while waiting.is_alive():
                with second.worker._changed:
                    second.worker._changed.notify_all()
                waiting.join(0.01)
        waiting.join(10)
    assert [type(each) for each in ended] == [KeyboardInterrupt if how == "the session ends" else TimeoutError]
    assert second.end.sent[-1] == "release"
    with first.worker.alone():
        pass
    first.controller.pytest_unconfigure()


def test_an_answer_to_a_request_that_was_withdrawn_counts_no_more() -> None:
    pair = Pair(one_by_one=True)
    pair.end.other = None
    began = threading.Event()

    def load() -> None:
        with pair.worker.alone():
            began.set()

    waiting = threading.Thread(target=load, daemon=True)
    waiting.start()
    until(lambda: "request" in pair.end.sent)
    pair.end.say(("begin", {"number": 0}))
    assert not began.wait(0.05)
    pair.end.say(("begin", {"number": 1}))
    assert began.wait(10)
    waiting.join(10)


def test_without_a_queue_no_load_waits() -> None:
    pair = Pair()
    with pair.worker.alone() as seconds:
        assert (seconds, pair.end.sent) == (0.0, [])


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


WAITING = """
import os, pathlib, signal, time

WORKER = os.environ["PYTEST_XDIST_WORKER"]

def visit(user):
    with open("log", "a") as log:
        print(WORKER, file=log)
    with user.measure("VISIT"):
        time.sleep(0.01)
    does()

def does():
    pass

def test_one(ipload):
    ipload.run(visit, users=2, duration="500ms")

def test_two(ipload):
    ipload.run(visit, users=2, duration="500ms")

{more}
"""


def run_waiting(pytester: pytest.Pytester, *options: str, more: str = "", seconds: str = "500ms") -> pytest.RunResult:
    pytester.makepyfile(test_it=WAITING.replace("{more}", dedent(more)).replace("500ms", seconds))
    return pytester.runpytest_subprocess("-n2", "--dist=load", "--ipload-json=out.json", *options, timeout=60)


def workers_in_order() -> list[str]:
    """Who loaded, one entry for each time that another one began."""
    return [name for name, _ in groupby(Path("log").read_text(encoding="utf-8").split())]


@pytest.mark.usefixtures("xdist")
def test_loads_of_ordinary_tests_run_one_at_a_time(pytester: pytest.Pytester) -> None:
    more = """
    import pytest

    @pytest.mark.ipload(users=2, iterations=1)
    def test_a_shared_load(ipload_user):
        with open("log", "a") as log:
            print("all", file=log)
    """
    run_waiting(pytester, more=more, seconds="1200ms").assert_outcomes(passed=3)
    assert sorted(workers_in_order()[:2]) == ["gw0", "gw1"]
    assert workers_in_order()[2:] == ["all"]
    tests = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
    notes = [str(note) for test in tests for note in test["generator"]["notes"]]
    assert ["waited-for-loads" in note for note in notes].count(True) == 1


LOST = """
def does():
    try:
        with open("pid", "x") as pid:
            pid.write(str(os.getpid()))
    except FileExistsError:
        return
    {how}
"""
WAKER = """
import os, pathlib, signal

def pytest_runtest_logreport(report):
    if report.when == "call" and "PYTEST_XDIST_WORKER" not in os.environ:
        os.kill(int(pathlib.Path("pid").read_text()), signal.SIGCONT)
"""


@pytest.mark.usefixtures("xdist")
def test_a_worker_that_dies_while_it_loads_lets_the_next_one_load(pytester: pytest.Pytester) -> None:
    result = run_waiting(pytester, "--max-worker-restart=0", more=LOST.format(how="os._exit(3)"))
    result.assert_outcomes(passed=1, failed=1)
    assert len(set(workers_in_order())) == 2


@pytest.mark.usefixtures("xdist")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what state a process is in")
def test_a_worker_that_is_stopped_while_it_loads_lets_the_next_one_load(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_IPLOAD_TEAM_TIMING", "beat=0.1,heartbeat=0.5")
    pytester.makeconftest(WAKER)  # or the session could not end
    run_waiting(pytester, more=LOST.format(how="os.kill(os.getpid(), signal.SIGSTOP)")).assert_outcomes(passed=2)
    assert len(set(workers_in_order())) == 2


@pytest.mark.usefixtures("xdist")
def test_control_c_ends_the_wait(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(WAITING.replace("{more}", "").replace("500ms", "60s"))
    without = [f"-pno:{name}" for name in ("cacheprovider", *OTHER_PLUGINS) if name != "xdist"]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n2", *without, "--ipload-pin=off"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        until((tmp_path / "log").exists, 60)
        began = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert time.monotonic() - began < 30


def test_a_test_that_ends_while_its_load_waits_says_so(pytester: pytest.Pytester) -> None:
    conftest = """
        from contextlib import contextmanager
        from pytest_ipload.plugin.session_state import state_of

        class Queue:
            @contextmanager
            def alone(self):
                raise TimeoutError("of the test")
                yield

            def phase_over(self): pass

        def pytest_sessionstart(session):
            state_of(session.config).whole_loads = Queue()
    """
    run = whole_run(pytester, "def test_it(ipload): ipload.run(print)", conftest=conftest, failed=1)
    run.expect_lines("*TimeoutError: of the test*", "the load had not begun: it waited for that of another worker's *")
