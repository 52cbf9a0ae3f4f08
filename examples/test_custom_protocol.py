"""An action for a protocol of your own: a line-based key-value store, spoken over a connection per user."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from pytest_ipload import VirtualUser

Address = tuple[str, int]


class Store(StreamRequestHandler):
    """Answers ``SET key value``, ``GET key`` and ``WHO``, one line each."""

    values: ClassVar[dict[str, str]] = {}

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(self.answer(*line.decode().split()).encode() + b"\n")

    def answer(self, command: str, key: str = "", value: str = "") -> str:
        if command == "WHO":
            return f"+{self.client_address[0]}"
        if command == "SET":
            self.values[key] = value
        return f"+{self.values[key]}" if key in self.values else f"-no such key: {key}"


class StoreServer(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 1024


@pytest.fixture(scope="session")
def store() -> Iterator[Address]:
    """The address of a store for all users."""
    with StoreServer(("127.0.0.1", 0), Store) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        yield "127.0.0.1", int(server.socket.getsockname()[1])
        server.shutdown()
        thread.join()


class StoreError(Exception):
    """The store's answer is an error."""


class Ask:
    """Sends one command to the store.

    A package offers an action like this one by name, in its pyproject.toml:

        [project.entry-points."pytest_ipload.actions"]
        store = "my_package:Ask"
    """

    def __init__(self, address: Address) -> None:
        self.address = address

    def init(self, user: VirtualUser) -> None:
        """Once per user, not timed. An ordinary socket: it leaves from the user's address all the same."""
        self.connection = socket.create_connection(self.address, timeout=10)
        self.lines = self.connection.makefile("rwb")

    def do(self, user: VirtualUser, *, command: str) -> Mapping[str, Any]:
        """Timed. What it returns are its outputs; an exception makes the request a failed one."""
        self.lines.write(command.encode() + b"\n")
        self.lines.flush()
        line = self.lines.readline().decode().strip()
        if not line.startswith("+"):
            raise StoreError(line.removeprefix("-") or "the store has closed the connection")
        return {"answer": line.removeprefix("+")}

    def release(self, user: VirtualUser) -> None:
        """When the user leaves."""
        self.lines.close()
        self.connection.close()


@pytest.fixture
def ask(ipload_user: VirtualUser, store: Address) -> Ask:
    """Each user has its own."""
    return Ask(store)


# Each pytest-xdist worker has its own server, on purpose. Without the suppressed check, such a load would be invalid.
@pytest.mark.ipload(users=10, iterations=5, suppress_health_check=["different-targets"])
@pytest.mark.ipload_threshold("p95{SET} < 2s", "p95{GET} < 2s")
def test_store(ask: Ask, ipload_user: VirtualUser) -> None:
    key = f"cart-{ipload_user.index}"
    ipload_user.act(ask, "SET", command=f"SET {key} {ipload_user.iteration}")
    outputs = ipload_user.act(ask, "GET", command=f"GET {key}")
    assert outputs == {"answer": str(ipload_user.iteration)}
    outputs = ipload_user.act(ask, "WHO", command="WHO")
    assert outputs == {"answer": ipload_user.source_address or "127.0.0.1"}
