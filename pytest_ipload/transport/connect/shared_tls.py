"""A TLS connection that one thread reads while another one writes.

OpenSSL forbids that for one connection, and Python allows it before 3.13: about one in fifty handshakes of a WebSocket,
whose client reads in a thread of its own, then waits for a reply that has come. Here the calls of OpenSSL take turns
and never wait; the waiting is for the socket.
"""

from __future__ import annotations

import functools
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from urllib3.util.wait import wait_for_read, wait_for_write

from pytest_ipload.base.real_time import monotonic

Result = TypeVar("Result")


class SharedTlsSocket(ssl.SSLSocket):
    """After its handshake, ``recv`` and ``sendall`` may be called at the same time; ``websockets`` uses no others."""

    _turns: threading.Lock
    _limit: float | None

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        self._turns, self._limit = threading.Lock(), self.gettimeout()
        super().settimeout(0.0)

    def settimeout(self, value: float | None) -> None:
        if "_limit" in vars(self):
            self._limit = value
        else:
            super().settimeout(value)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Some bytes; none at the end of the stream."""
        return self._when_possible(functools.partial(ssl.SSLSocket.recv, self, buflen, flags))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it."""
        with memoryview(data) as view, view.cast("B") as rest:
            sent = 0
            while sent < len(rest):
                sent += self._when_possible(functools.partial(ssl.SSLSocket.send, self, rest[sent:], flags))

    def _when_possible(self, call: Callable[[], Result]) -> Result:
        if "_limit" not in vars(self):  # ssl looks at the socket before the handshake
            return call()
        limit = self._limit
        until = None if limit is None else monotonic() + limit
        while True:
            wait: Callable[..., bool]
            try:
                with self._turns:
                    return call()
            except ssl.SSLWantReadError:
                wait = wait_for_read
            except ssl.SSLWantWriteError:
                wait = wait_for_write
            left = None if until is None else max(0.0, until - monotonic())
            if not wait(self, left):
                raise TimeoutError("timed out")


class SharedTls:
    """Wraps sockets as an ``ssl.SSLContext`` does, for a client of ``websockets``."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_socket(self, sock: socket.socket, server_hostname: str | None = None) -> SharedTlsSocket:
        """Shake hands; raises what ``ssl.SSLContext.wrap_socket`` raises."""
        kind = cast(Any, SharedTlsSocket)
        return cast(SharedTlsSocket, kind._create(sock=sock, context=self._context, server_hostname=server_hostname))
