"""Whole loads whose bodies use clients of their own, and the setting ``bind_sockets``."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.peers import PeerServer
from support.whole_run import WholeRun, whole_run

from pytest_ipload.transport.connect import socket_patch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")

ASK = """
    import socket

    def ask(port):
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"\\n")
            return sock.recv(100).decode().strip()
"""


@pytest.fixture
def server() -> Iterator[PeerServer]:
    with PeerServer() as running:
        yield running


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    """After each of these runs, however it ended, Python's sockets are as they were."""
    before = [vars(place).get(name) for place, name, _ in socket_patch._places()]
    yield
    assert [vars(place).get(name) for place, name, _ in socket_patch._places()] == before
    assert not [each for each in threading.enumerate() if each.name.startswith("ipload-user")]


def run(pytester: pytest.Pytester, source: str, *args: str, **outcomes: int) -> tuple[WholeRun, list[dict[str, Any]]]:
    run = whole_run(pytester, ASK + source, "--ipload-json=out.json", *args, conftest=None, **outcomes)
    return run, json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["tests"]


def test_users_are_bound_and_all_others_are_not(pytester: pytest.Pytester, server: PeerServer) -> None:
    source = f"""
    PORT = {server.port}

    @pytest.fixture(scope="module")
    def shared():
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as executor:
            assert executor.submit(ask, PORT).result() == "127.0.0.1"
            yield executor

    @pytest.fixture
    def visitor(ipload_user):
        assert ask(PORT) == ipload_user.source_address
        yield ipload_user
        assert ask(PORT) == ipload_user.source_address

    def test_before():
        assert ask(PORT) == "127.0.0.1"

    @pytest.mark.ipload(users=3, iterations=2, pool="127.0.8.1-127.0.8.3")
    def test_load(visitor, shared):
        seen = [ask(PORT)]
        thread = threading.Thread(target=lambda: seen.append(ask(PORT)))
        thread.start()
        thread.join()
        assert set(seen) == {{visitor.source_address}}
        assert shared.submit(ask, PORT).result() == "127.0.0.1"

    def test_after():
        assert ask(PORT) == "127.0.0.1"
    """
    _, [test] = run(pytester, source, passed=3)
    rows = {row["source_address"]: row["connections"] for row in test["by_source"]}
    assert rows == {f"127.0.8.{number}": 6 for number in (1, 2, 3)}


def test_threads_that_a_load_has_left_running_open_nothing_more_and_change_nothing_for_others(
    pytester: pytest.Pytester, server: PeerServer
) -> None:
    source = f"""
    import _thread

    go_on, ended, seen = threading.Event(), threading.Semaphore(0), []

    def linger(*_):
        assert go_on.wait(10)
        try:
            seen.append(ask({server.port}))
        except Exception as error:
            seen.append(type(error).__name__)
        ended.release()

    @pytest.mark.ipload(users=1, pool="127.0.8.1")
    def test_load(ipload_user):
        threading.Thread(target=linger, name="lingers").start()
        _thread.start_new_thread(linger, (None,))

    def test_after():
        assert ask({server.port}) == "127.0.0.1"
        go_on.set()
        for _ in range(2):
            assert ended.acquire(timeout=10)
        assert seen == ["LoadEnded"] * 2
        for _ in range(1000):
            if "connect" not in vars(socket.socket):
                break
            threading.Event().wait(0.01)
        assert "connect" not in vars(socket.socket)
    """
    run(pytester, source, passed=2)


def test_a_shared_fixture_that_a_user_sets_up_late_is_no_users(pytester: pytest.Pytester, server: PeerServer) -> None:
    source = f"""
    @pytest.fixture(scope="module")
    def late():
        seen = [ask({server.port})]
        thread = threading.Thread(target=lambda: seen.append(ask({server.port})))
        thread.start()
        thread.join()
        return seen

    @pytest.mark.ipload(users=2, pool="127.0.8.1-127.0.8.2")
    def test_load(ipload_user, request):
        assert request.getfixturevalue("late") == ["127.0.0.1"] * 2
        assert ask({server.port}) == ipload_user.source_address
    """
    run(pytester, source, passed=1)


def test_with_session_only_the_sessions_sockets_are_bound(pytester: pytest.Pytester, server: PeerServer) -> None:
    source = f"""
    @pytest.mark.ipload(users=2, pool="127.0.8.1-127.0.8.2", bind_sockets="session")
    def test_load(ipload_user):
        assert ask({server.port}) == "127.0.0.1"
        with ipload_user.create_connection(("127.0.0.1", {server.port})) as sock:
            assert sock.getsockname()[0] == ipload_user.source_address
    """
    _, [test] = run(pytester, source, passed=1)
    assert test["profile"]["bind_sockets"] == "session"
    assert {row["source_address"]: row["connections"] for row in test["by_source"]} == {"127.0.8.1": 1, "127.0.8.2": 1}


def test_another_value_is_an_error(pytester: pytest.Pytester) -> None:
    source = "\n    @pytest.mark.ipload(bind_sockets='none')\n    def test_load(ipload_user): pass\n"
    result, _ = run(pytester, source, errors=1)
    result.expect_lines("*bind_sockets: *'none'*all*session*")


def test_without_a_pool_the_system_chooses_and_connections_are_counted(
    pytester: pytest.Pytester, server: PeerServer
) -> None:
    source = f"""
    @pytest.mark.ipload(users=2, iterations=2)
    def test_load(ipload_user):
        assert ask({server.port}) == "127.0.0.1"
    """
    _, [test] = run(pytester, source, passed=1)
    [row] = test["by_source"]
    assert (row["source_address"], row["users"], row["connections"], row["requests"]) == ("127.0.0.1", 2, 4, 0)


def test_a_lease_for_each_iteration_is_that_of_its_sockets(pytester: pytest.Pytester, server: PeerServer) -> None:
    source = f"""
    @pytest.mark.ipload(users=1, iterations=3, pool="127.0.8.1-127.0.8.3", ip_binding="iteration")
    def test_load(ipload_user):
        assert ask({server.port}) == ipload_user.source_address
    """
    run(pytester, source, passed=1)
    assert sorted(server.peers) == ["127.0.8.1", "127.0.8.2", "127.0.8.3"]


def test_a_host_that_is_not_allowed_ends_the_load_as_it_does_for_the_session(pytester: pytest.Pytester) -> None:
    source = """
    @pytest.mark.ipload(users=2, duration="20s")
    def test_load(ipload_user):
        socket.create_connection(("shop.example.com", 80))
    """
    result, [test] = run(pytester, source, errors=1)
    assert test["verdict"] == "error"
    assert "'shop.example.com' is not in ipload_allowed_hosts; load was not sent" in test["reason"]
    assert result.result.duration < 15


@pytest.mark.untraced
def test_a_client_that_waits_for_ever_is_interrupted_and_torn_down(
    pytester: pytest.Pytester, server: PeerServer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = f"""
    @pytest.fixture
    def visitor(ipload_user):
        yield
        ask({server.port})

    @pytest.mark.ipload(users=2, duration="100ms", graceful_stop="100ms")
    def test_load(visitor):
        with socket.create_connection(("127.0.0.1", {silent.getsockname()[1]})) as sock:
            sock.recv(1)
    """
        _, [test] = run(pytester, source, failed=1)
    assert test["generator"]["interrupted_iterations"] == test["failed_iterations"] == 2
    assert not [note for note in test["generator"]["notes"] if "unstoppable" in note]
    assert len(server.peers) == 2


def test_ctrl_c_leaves_nothing_behind(pytester: pytest.Pytester, server: PeerServer) -> None:
    source = f"""
    @pytest.mark.ipload(users=2, iterations=2)
    def test_load(ipload_user):
        ask({server.port})
        raise KeyboardInterrupt
    """
    result, _ = run(pytester, source)
    assert result.result.ret == pytest.ExitCode.INTERRUPTED


def test_loads_inside_of_tests_and_of_users_are_counted(pytester: pytest.Pytester, server: PeerServer) -> None:
    source = f"""
    def test_nested(ipload):
        def outer(user):
            inner = ipload.run(lambda other: seen.append(ask({server.port})), pool="127.0.8.9")
            assert inner.verdict == "passed"
            seen.append(ask({server.port}))

        seen = []
        assert ipload.run(outer, pool="127.0.8.8").verdict == "passed"
        assert seen == ["127.0.8.9", "127.0.8.8"]
        assert ask({server.port}) == "127.0.0.1"
    """
    run(pytester, source, passed=1)


def test_a_fault_of_the_own_side_does_not_count_against_the_target(pytester: pytest.Pytester) -> None:
    source = """
    import requests

    @pytest.mark.ipload(users=1, iterations=2, pool="203.0.113.7")
    def test_load(ipload_user):
        with ipload_user.measure("GET"):
            requests.get("http://127.0.0.1:9/")
    """
    _, [test] = run(pytester, source, "--ipload-pool-check=off", failed=1)
    assert (test["verdict"], test["requests"]) == ("invalid", 0)
    assert test["generator"]["faults"] == {"source-not-local": 2}


@pytest.mark.parametrize(
    ("marker", "line", "fires"),
    [
        ("", "requests.get(URL)", True),
        ("", "with ipload_user.measure('GET'): requests.get(URL)", False),
        ("bind_sockets='session'", "with ipload_user.measure('GET'): requests.get(URL)", True),
    ],
)
def test_bare_calls_are_noted_unless_they_are_bound_and_timed(
    pytester: pytest.Pytester, demo_url: str, marker: str, line: str, fires: bool
) -> None:
    source = f"""
    import requests

    URL = {demo_url!r} + "/whoami"

    @pytest.mark.ipload({marker})
    def test_load(ipload_user):
        {line}
    """
    _, [test] = run(pytester, source, passed=1)
    assert [note.partition(":")[0] for note in test["generator"]["notes"]] == ["bare-calls"] * fires
