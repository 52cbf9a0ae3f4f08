"""Connections that leave from a chosen source address, are timed, and can be interrupted from another thread."""

from __future__ import annotations

import contextlib
import functools
import http.client
import socket
import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, cast

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from pytest_ipload.transport.binding import Binding, Hop, ThreadState
from pytest_ipload.transport.dial import Dialer


class _TimedReply(http.client.HTTPResponse):
    """Notes where the request left from and, where a connection was opened for it, when the first byte came back."""

    def __init__(self, thread: ThreadState, local_address: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._thread = thread
        self._local_address = local_address

    def begin(self) -> None:
        hop = self._thread.hop
        if hop is not None:
            hop.source_address = self._local_address
            if hop.connections:
                cast(Any, self.fp).peek(1)  # the socket's buffered reader waits for bytes and leaves them there
                hop.first_byte_ns = perf_counter_ns() - hop.started_ns
        super().begin()


class SourceHTTPConnection(HTTPConnection):
    """An HTTP connection of a session, bound as the session's ``Binding`` says."""

    def __init__(self, *args: Any, binding: Binding, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.binding = binding
        self.sources = binding.group(self.source_address and self.source_address[0])
        """The addresses to leave from: urllib3 keeps a pool of connections for each first one."""
        self.connected_ns = 0

    # Private in urllib3, and the only place where bind() and connect() can be told apart: the same errno from both
    # means different things. Public ways (source_address, socket_options) pass through one call that hides this.
    # tests/transport/test_connection.py notices when urllib3 does not call it any more.
    def _new_conn(self) -> socket.socket:
        hop = self.binding.thread.hop or Hop()
        hop.fault = None  # of an attempt before this one, if the adapter retries
        started = perf_counter_ns()
        # _dns_host is private too: the name as it was given, with the trailing dot that ``host`` drops.
        dialer = Dialer(self, self.binding, self.sources, self._dns_host.strip("[]"), self.port or 0)
        dialer.options, dialer.timeout = self.socket_options or (), self.timeout
        try:
            sock = dialer.dial()
        except NewConnectionError as error:
            hop.source_address = dialer.source
            hop.fault = getattr(error, "fault", None)
            hop.fault_text = str(error).removeprefix(f"{self}: ")
            raise
        self.connected_ns = perf_counter_ns()
        hop.source_address = sock.getsockname()[0]
        # http.client makes its replies with this, for keep-alive connections also those of later requests.
        self.response_class = cast(Any, functools.partial(_TimedReply, self.binding.thread, hop.source_address))
        hop.connections += 1
        hop.connect_ns, hop.tls_ns, hop.first_byte_ns = self.connected_ns - started, None, None
        sys.audit("http.client.connect", self, self.host, self.port)  # as urllib3 does
        return sock


class SourceHTTPSConnection(SourceHTTPConnection, HTTPSConnection):
    """The same under TLS."""

    _plain: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        # TLS takes the socket's descriptor over before its handshake and shows the new socket only afterwards. A
        # second descriptor for the time between lets interrupt() reach it. Without one the handshake's timeout helps.
        with contextlib.suppress(OSError):
            self._plain = sock.dup()
            self.binding.watch(self._plain)
        return sock

    def connect(self) -> None:
        """As in urllib3."""
        try:
            super().connect()
        finally:
            if self._plain is not None:
                self._plain.close()
                self._plain = None
        hop = self.binding.thread.hop
        if hop is not None and self.proxy is None:
            hop.tls_ns = perf_counter_ns() - self.connected_ns
        # Under TLS to a proxy and TLS to the target, the socket is one level deeper.
        sock = getattr(self.sock, "socket", self.sock)
        if isinstance(sock, socket.socket):
            self.binding.watch(sock)


class SourceHTTPConnectionPool(HTTPConnectionPool):
    """A pool of ``SourceHTTPConnection``; it hands ``binding`` on to them."""

    ConnectionCls = SourceHTTPConnection


class SourceHTTPSConnectionPool(HTTPSConnectionPool):
    """A pool of ``SourceHTTPSConnection``."""

    ConnectionCls = SourceHTTPSConnection


def pool_classes(binding: Binding) -> dict[str, Callable[..., HTTPConnectionPool]]:
    """What urllib3's ``PoolManager.pool_classes_by_scheme`` needs so that all its connections use ``binding``."""
    return {
        "http": functools.partial(SourceHTTPConnectionPool, binding=binding),
        "https": functools.partial(SourceHTTPSConnectionPool, binding=binding),
    }
