"""Which processes of this host serve a target."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pytest_ipload.explain.local_target import TargetNotFound, chosen, family_of, serving, target_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

_FORKS = """
import os, socket, sys, time
listener = socket.create_server(("127.0.0.1", 0))
child = os.fork()
if child:
    print(listener.getsockname()[1], child, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def served() -> Iterator[tuple[int, int, int]]:
    """A port, the process that listens there, and its child."""
    command = [sys.executable, "-c", _FORKS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port, child = map(int, process.stdout.readline().split())
        yield port, process.pid, child


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000/shop", ("127.0.0.1", 8000)),
        ("http://localhost:8000", ("127.0.0.1", 8000)),
        ("https://[::1]", ("::1", 443)),
        ("http://192.0.2.1:8000", None),
        ("http://shop.test", None),
        ("ftp://127.0.0.1", None),
    ],
)
def test_whether_a_url_leads_to_this_host(url: str, expected: tuple[str, int] | None) -> None:
    assert target_of(url) == expected


def test_the_listener_and_its_workers_are_found(served: tuple[int, int, int]) -> None:
    port, listener, worker = served
    assert serving({port}) == sorted([listener, worker])
    assert chosen([listener], {port}) == sorted([listener, worker])
    assert family_of([worker]) == [worker]


def test_of_two_named_processes_each_serves_its_own_port(served: tuple[int, int, int]) -> None:
    port, listener, worker = served
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert chosen([other.pid, listener], {port}) == sorted([listener, worker])
        assert chosen([other.pid], {port}) == [other.pid]
        assert other.stdin is not None
        other.stdin.close()


def test_a_server_in_the_tests_own_process_cannot_be_told_from_the_load() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(TargetNotFound, match="runs in this process"),
    ):
        serving({listener.getsockname()[1]})


def test_what_does_not_run_is_named(served: tuple[int, int, int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TargetNotFound, match=rf"no process .* listens at port {port}; --ipload-explain=PID"):
        serving({port})
    with pytest.raises(TargetNotFound, match="process 2147483646 does not run"):
        chosen([2**31 - 2], {port})
    assert os.getpid() not in family_of([os.getpid()])
