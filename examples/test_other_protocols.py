"""Measure any protocol: a line-based one over TCP and a query over UDP, each from the user's own address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import (
    DatagramRequestHandler,
    StreamRequestHandler,
    ThreadingTCPServer,
    ThreadingUDPServer,
)

import pytest

from pytest_ipload import VirtualUser

Address = tuple[str, int]


class PingHandler(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(b"PONG\n" if line == b"PING\n" else b"WHAT?\n")


class WhoAmIHandler(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.client_address[0].encode())


class PingServer(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 1024


@contextmanager
def serving(server: ThreadingTCPServer | ThreadingUDPServer) -> Iterator[Address]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        yield "127.0.0.1", int(server.socket.getsockname()[1])
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def ping_server() -> Iterator[Address]:
    """The address of a TCP server for all users."""
    with serving(PingServer(("127.0.0.1", 0), PingHandler)) as address:
        yield address


@pytest.fixture(scope="session")
def who_server() -> Iterator[Address]:
    """The address of a UDP server for all users."""
    with serving(ThreadingUDPServer(("127.0.0.1", 0), WhoAmIHandler)) as address:
        yield address


@pytest.fixture
def connection(ipload_user: VirtualUser, ping_server: Address) -> Iterator[socket.socket]:
    """One connection per user, bound to the user's lease."""
    with ipload_user.create_connection(ping_server, timeout=10) as connected:
        yield connected


# Each pytest-xdist worker has its own server, on purpose. Without the suppressed check, such a load would be invalid.
@pytest.mark.ipload(users=10, iterations=10, suppress_health_check=["different-targets"])
@pytest.mark.ipload_threshold("p95{PING} < 2s")
def test_tcp(connection: socket.socket, ipload_user: VirtualUser) -> None:
    with ipload_user.measure("PING"):
        connection.sendall(b"PING\n")
        assert connection.recv(64) == b"PONG\n"


@pytest.fixture
def datagrams(ipload_user: VirtualUser) -> Iterator[socket.socket]:
    """One socket per user, bound to the user's lease."""
    with ipload_user.create_datagram_socket() as opened:
        opened.settimeout(10)
        yield opened


@pytest.mark.ipload(users=10, iterations=10)
@pytest.mark.ipload_threshold("p95{WHO AM I} < 2s")
def test_udp(datagrams: socket.socket, ipload_user: VirtualUser, who_server: Address) -> None:
    with ipload_user.measure("WHO AM I"):
        datagrams.sendto(b"?", who_server)
        seen = datagrams.recv(64).decode()
    assert seen == (ipload_user.source_address or "127.0.0.1")
