"""Any protocol can be measured: here, a line of text over TCP that is answered by another one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from pytest_ipload import VirtualUser


class PingHandler(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(b"PONG\n" if line == b"PING\n" else b"WHAT?\n")


class PingServer(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 1024


@pytest.fixture(scope="session")
def ping_server() -> Iterator[tuple[str, int]]:
    """The address of a server for all users."""
    with PingServer(("127.0.0.1", 0), PingHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def connection(ipload_user: VirtualUser, ping_server: tuple[str, int]) -> Iterator[socket.socket]:
    """One connection per user, from the user's own source address if it has one."""
    source = (ipload_user.source_address, 0) if ipload_user.source_address else None
    with socket.create_connection(ping_server, timeout=10, source_address=source) as connected:
        yield connected


@pytest.mark.ipload(users=10, iterations=10)
@pytest.mark.ipload_threshold("p95{PING} < 2s")
def test_ping(connection: socket.socket, ipload_user: VirtualUser) -> None:
    with ipload_user.measure("PING"):
        connection.sendall(b"PING\n")
        assert connection.recv(64) == b"PONG\n"
