"""Connections that leave from a chosen source address, are timed, and can be interrupted from another thread."""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import queue
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from pytest_ipload.base.real_time import perf_counter_ns
from pytest_ipload.transport.connect.arrival_reader import ArrivalReader
from pytest_ipload.transport.connect.binding import Binding, Hop, ThreadState, bound_by_itself
from pytest_ipload.transport.connect.dial import Dialer, Sources
from pytest_ipload.transport.connect.reply_queue import QueuedSocket
from pytest_ipload.transport.connect.socket_io import FastSocket, open_fast_socket
from pytest_ipload.transport.connect.tls_sessions import ResumingContext
from pytest_ipload.transport.connect.tls_socket import TlsSocket, TlsSocketContext
from pytest_ipload.transport.foreign_hooks import (
    StockHTTPConnection,
    StockHTTPSConnection,
    connecting_is_hooked,
    replaced_connection_class,
)
from pytest_ipload.transport.message.replay import ReplaySocket

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection, HTTPSConnection
else:  # a recorder may have replaced urllib3's classes when this is imported
    HTTPConnection, HTTPSConnection = StockHTTPConnection, StockHTTPSConnection


def is_interim(status: int | None) -> bool:
    """Whether it is one of the interim replies, behind which the reply proper is still to come (RFC 9110, 15.2)."""
    return status is not None and 100 <= status < 200


class _TimedReply(http.client.HTTPResponse):
    """Notes where the request left from and, where a connection was opened for it, when the first byte came back."""

    arrivals: ArrivalReader | None = None
    """When its bytes came; only of the reply to a call that wants to know."""

    def __init__(self, thread: ThreadState, local_address: str, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._thread = thread
        self._local_address = local_address
        if thread.wants_arrivals:
            self.fp.close()
            self.arrivals = ArrivalReader(sock)
            self.fp = io.BufferedReader(self.arrivals)

    def begin(self) -> None:
        hop = self._thread.hop
        if hop is not None:
            hop.source_address = self._local_address
            if hop.connections and hop.first_byte_ns is None:
                cast(Any, self.fp).peek(1)  # the socket's buffered reader waits for bytes and leaves them there
                hop.first_byte_ns = perf_counter_ns() - hop.started_ns
        super().begin()


class SourceHTTPConnection(HTTPConnection):
    """An HTTP connection of a session, bound as the session's ``Binding`` says."""

    binding: Binding
    sources: Sources
    """The addresses to leave from: urllib3 keeps a pool of connections for each first one."""

    def __init__(self, *args: Any, binding: Binding | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if binding is not None:
            self.bind(binding)
        self.connected_ns = 0
        self.local_address: str | None = None
        self.wire: FastSocket | None = None
        """The open socket as the fast path uses it."""
        self.refusal: Exception | None = None
        """What ``connect`` raises, because a connection was tried for this request already."""

    def bind(self, binding: Binding) -> None:
        """Belong to a session. Done by the pool, before the connection is used."""
        self.binding = binding
        self.sources = binding.group(self.source_address and self.source_address[0])

    def __str__(self) -> str:
        """As in urllib3, which puts it into its messages."""
        return super().__str__().removeprefix("Source")

    # Private in urllib3, and the only place where bind() and connect() can be told apart: the same errno from both
    # means different things. Public ways (source_address, socket_options) pass through one call that hides this.
    # tests/transport/connect/test_connection.py notices when urllib3 does not call it any more.
    @bound_by_itself
    def _new_conn(self) -> socket.socket:
        hop = self.binding.thread.hop or Hop()
        hop.fault = None  # of an attempt before this one, if the adapter retries
        started = perf_counter_ns()
        sock = self._connect_hooked() if connecting_is_hooked() else self._dial(hop)
        self.connected_ns = perf_counter_ns()
        self.local_address = hop.source_address = sock.getsockname()[0]
        # http.client makes its replies with this, for keep-alive connections also those of later requests.
        self.response_class = cast(Any, functools.partial(_TimedReply, self.binding.thread, hop.source_address))
        hop.connections += 1
        hop.connect_ns, hop.tls_ns, hop.first_byte_ns = self.connected_ns - started, None, None
        sys.audit("http.client.connect", self, self.host, self.port)  # as urllib3 does
        return sock

    def _connect_hooked(self) -> socket.socket:
        """Connect as urllib3 does, because that was replaced, for example to resolve names differently."""
        sock = super()._new_conn()
        try:
            self.binding.check_address(self._dns_host.strip("[]"), sock.getpeername()[0])
        except BaseException:
            sock.close()
            raise
        self.binding.watch(sock)
        return sock

    def _dial(self, hop: Hop) -> socket.socket:
        # _dns_host is private too: the name as it was given, with the trailing dot that ``host`` drops.
        dialer = Dialer(self, self.binding, self.sources, self._dns_host.strip("[]"), self.port or 0)
        dialer.options, dialer.timeout = self.socket_options or (), self.timeout
        try:
            return dialer.dial()
        except Exception as error:
            hop.source_address = dialer.source
            if isinstance(error, NewConnectionError):
                hop.fault = getattr(error, "fault", None)
                hop.fault_text = str(error).removeprefix(f"{self}: ")
            raise

    def open_fast_socket(self, timeout: float | None) -> FastSocket:
        """Connect, for the fast path; ``timeout`` is in seconds. Raises what ``connect`` raises."""
        self.timeout = timeout
        self.connect()
        self.wire = self._open_wire()
        return self.wire

    def _open_wire(self) -> FastSocket:
        wire, queue = open_fast_socket(self.sock), self.binding.queue
        return wire if queue is None else QueuedSocket(wire, self.sock, queue)

    def fit_wire(self) -> FastSocket | None:
        """The wire, if the connection is open and nothing waits to be read on it; else it is closed, and None."""
        if not self.is_connected:
            self.close()
        elif self.wire is None:  # it was opened by http.client
            self.wire = self._open_wire()
        return self.wire

    def replay(self, sock: ReplaySocket) -> None:
        """Let http.client, which has to finish an exchange, start it again on this socket."""
        sock.real = self.sock
        self.sock = cast(Any, sock)

    def connect(self) -> None:
        """As in urllib3, or raises ``refusal``."""
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal
        super().connect()

    @property
    def is_connected(self) -> bool:
        """As in urllib3, where data that waits to be read means that the connection was dropped."""
        if isinstance(self.sock, ReplaySocket):
            return True
        if isinstance(self.sock, TlsSocket) and self.sock.pending():
            return False
        return super().is_connected and not (self.wire is not None and self.wire.unread())

    def request(self, *args: Any, **kwargs: Any) -> None:
        """As in urllib3."""
        if self.wire is not None:
            self.wire.relax()
        super().request(*args, **kwargs)

    def getresponse(self) -> Any:
        """As in urllib3, but that a connection on which the reply proper is still to come is not used again."""
        try:
            response = super().getresponse()
        finally:
            if isinstance(self.sock, ReplaySocket):
                self.sock = self.sock.real
        if is_interim(response.status):
            self.close()  # http.client passes 100 over and takes any other 1xx for the whole
        return response

    def close(self) -> None:
        """As in urllib3."""
        self.wire = None
        super().close()


class SourceHTTPSConnection(SourceHTTPConnection, HTTPSConnection):
    """The same under TLS."""

    _plain: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        if (hop := self.binding.thread.hop) is not None:
            hop.is_tls = True
        # TLS takes the socket's descriptor over before its handshake and shows the new socket only afterwards. A
        # second descriptor for the time between lets interrupt() reach it. Without one the handshake's timeout helps.
        with contextlib.suppress(OSError):
            self._plain = sock.dup()
            self.binding.watch(self._plain)
        return sock

    @bound_by_itself
    def connect(self) -> None:
        """As in urllib3."""
        sessions, context = self.binding.tls_sessions, self.ssl_context
        if context is not None:
            resumes = sessions if self.proxy is None else None
            own = resumes.context(context, self.host, self.port) if resumes else TlsSocketContext(context)
            self.ssl_context = cast(Any, own)
        try:
            super().connect()
        finally:
            if not isinstance(self.ssl_context, ResumingContext):
                self.ssl_context = context
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

    def close(self) -> None:
        """As in urllib3."""
        if isinstance(self.ssl_context, ResumingContext):
            self.ssl_context.keep(self.sock)
        super().close()


class IdleConnections:
    """The idle connections of a pool, last in first out: a ``queue.LifoQueue`` for urllib3, but without its lock."""

    def __init__(self, maxsize: int = 0) -> None:
        self._maxsize = maxsize
        self._connections: list[SourceHTTPConnection | None] = []  # a deque takes 0.7 KiB, for each user
        self.take = self._connections.pop
        """The last one; None for one that is to be made. Raises IndexError when all that may be kept are in use."""
        self.give = self._connections.append
        """Give back what was taken."""

    def get(self, block: bool = True, timeout: float | None = None) -> SourceHTTPConnection | None:
        """As in ``queue``, for pools that do not block."""
        try:
            return self._connections.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, conn: SourceHTTPConnection | None, block: bool = True, timeout: float | None = None) -> None:
        """As in ``queue``, for pools that do not block."""
        if len(self._connections) >= self._maxsize:
            raise queue.Full
        self._connections.append(conn)

    def qsize(self) -> int:
        """As in ``queue``."""
        return len(self._connections)


class Pool(HTTPConnectionPool):
    """What both pools have: connections of a session, kept in an ``IdleConnections``."""

    _is_tls = False

    def __init__(self, *args: Any, binding: Binding, **kwargs: Any) -> None:
        if not kwargs.get("block"):  # a pool that blocks needs a queue that does
            # urllib3 makes the queue with this while it starts; only the class attribute is documented.
            self.QueueCls = cast(Any, IdleConnections)
        self._binding = binding
        self._thread = binding.thread
        super().__init__(*args, **kwargs)

    def __str__(self) -> str:
        """As in urllib3, which puts it into its messages."""
        return super().__str__().removeprefix("Source")

    # Private in urllib3. Not done by the queue, which urllib3 also empties when a pool is dropped.
    def _get_conn(self, timeout: float | None = None) -> Any:
        """As in urllib3; but what the fast path of this thread handed over comes before all others."""
        conn = self._thread.take_connection()
        return super()._get_conn(timeout) if conn is None else conn

    @property
    def ConnectionCls(self) -> Any:  # type: ignore[override]  # a recorder's class comes and goes
        """The class of the pool's connections: the recorder's as long as one has replaced urllib3's."""
        own = SourceHTTPSConnection if self._is_tls else SourceHTTPConnection
        return replaced_connection_class(self._is_tls) or own

    def _new_conn(self) -> Any:
        conn: Any = super()._new_conn()
        if isinstance(conn, SourceHTTPConnection):
            conn.bind(self._binding)
        return conn

    def _put_conn(self, conn: Any) -> None:
        """As in urllib3, but a recorder's connection is not kept: it is for what it records, and nothing else."""
        if conn is None or isinstance(conn, SourceHTTPConnection):
            super()._put_conn(conn)
        else:
            conn.close()
            super()._put_conn(None)

    def exchange(self, *_: Any) -> Any:
        """None: requests makes the call. Pools of other versions of HTTP serve the fast path in their own way."""
        return None

    def new_connection(self) -> SourceHTTPConnection:
        """A connection that is not open yet."""
        # Private in urllib3, and the only way to get one with all that the pool knows: TLS settings, source, options.
        return cast(SourceHTTPConnection, self._new_conn())

    def open(self, conn: SourceHTTPConnection, timeout: float | None) -> FastSocket:
        """Open a new connection for the fast path; ``timeout`` is in seconds. Raises what urllib3 raises."""
        wire = conn.open_fast_socket(timeout)
        # Private in urllib3; it warns where a certificate was not verified.
        self._validate_conn(conn)
        return wire

    def give(self, conn: SourceHTTPConnection) -> None:
        """Take a connection back."""
        self._put_conn(conn)  # private in urllib3: it knows what to do when the pool is full, or closed meanwhile


class SourceHTTPConnectionPool(Pool):
    """A pool of ``SourceHTTPConnection``; it hands its binding on to them."""


class SourceHTTPSConnectionPool(Pool, HTTPSConnectionPool):  # type: ignore[override]  # urllib3 has a plain attribute
    """A pool of ``SourceHTTPSConnection``."""

    _is_tls = True


def pool_classes(binding: Binding) -> dict[str, Callable[..., HTTPConnectionPool]]:
    """What urllib3's ``PoolManager.pool_classes_by_scheme`` needs so that all its connections use ``binding``."""
    return {
        "http": functools.partial(SourceHTTPConnectionPool, binding=binding),
        "https": functools.partial(SourceHTTPSConnectionPool, binding=binding),
    }
