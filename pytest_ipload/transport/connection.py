"""Connections that leave from a chosen source address, are timed, and can be interrupted from another thread."""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import ipaddress
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any, cast

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from pytest_ipload.addresses.binding import bind_source
from pytest_ipload.errors import (
    OpenFilesExhausted,
    SourceAddressError,
    SourceFamilyMismatch,
    SourceNotLocal,
    SourceNotUsable,
    SourcePortsExhausted,
)
from pytest_ipload.transport.binding import Binding, Hop, ThreadState

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]


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
        self.connected_ns = 0

    # Private in urllib3, and the only place where bind() and connect() can be told apart: the same errno from both
    # means different things. Public ways (source_address, socket_options) pass through one call that hides this.
    # tests/transport/test_connection.py notices when urllib3 does not call it any more.
    def _new_conn(self) -> socket.socket:
        hop = self.binding.thread.hop or Hop()
        hop.fault = None  # of an attempt before this one, if the adapter retries
        started = perf_counter_ns()
        try:
            sock = self._dial(hop)
        except NewConnectionError as error:
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

    def _dial(self, hop: Hop) -> socket.socket:
        """Try the destination's addresses in turn; raise the own side's fault if there is one, else the last error."""
        failures: list[Exception] = []
        for info in self._destinations():
            source = self.binding.sources.get(info[0])
            if source is not None:
                hop.source_address = source
            attempt = _Attempt(self, source, info)
            try:
                return attempt.connect()
            except OSError as error:
                failures.append(attempt.explain(error))
                if attempt.step == "bind":
                    break  # another destination would not help
        if not failures:
            raise NewConnectionError(self, "Failed to establish a new connection: getaddrinfo returns an empty list")
        try:
            raise next((each for each in failures if isinstance(each, SourceAddressError)), failures[-1])
        finally:
            failures.clear()  # else the exception and this frame would keep each other alive

    def _destinations(self) -> Sequence[AddressInfo]:
        # _dns_host is private too: the name as it was given, with the trailing dot that ``host`` drops.
        name = self._dns_host.strip("[]")
        try:
            name.encode("idna")
        except UnicodeError:
            raise LocationParseError(f"{name!r}, label empty or too long") from None
        sources = self.binding.sources
        family = next(iter(sources)) if len(sources) == 1 else allowed_gai_family()
        try:
            return socket.getaddrinfo(name, self.port, family, socket.SOCK_STREAM)
        except socket.gaierror as error:
            if len(sources) == 1:
                self._raise_family_mismatch(name, sources[family])
            raise NameResolutionError(self.host, self, error) from error

    def _raise_family_mismatch(self, name: str, source: str) -> None:
        """Raise SourceFamilyMismatch if the name has addresses, though none of the source's family."""
        with contextlib.suppress(socket.gaierror):
            infos = socket.getaddrinfo(name, self.port, 0, socket.SOCK_STREAM)
            others = ", ".join(dict.fromkeys(str(info[4][0]) for info in infos))
            own = ipaddress.ip_address(source).version
            other = 10 - own
            raise SourceFamilyMismatch(
                self,
                f"source {source} is IPv{own} but {name!r} has only IPv{other} addresses ({others}); "
                f"add an IPv{other} source to the pool or use a target name with an IPv{own} address",
            ) from None


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


class _Attempt:
    """One destination address: open a socket, bind it, connect it; explain what went wrong."""

    def __init__(self, conn: SourceHTTPConnection, source: str | None, info: AddressInfo) -> None:
        self.step = "socket"
        self._conn = conn
        self._source = source
        self._family, self._kind, self._protocol, _, self._address = info

    def connect(self) -> socket.socket:
        """The connected socket. Raises OSError, and SourceNotUsable if the kernel used another source."""
        conn = self._conn
        sock = socket.socket(self._family, self._kind, self._protocol)
        try:
            for option in conn.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(Timeout.resolve_default_timeout(conn.timeout))
            if self._source is not None:
                self.step = "bind"
                bind_source(sock, self._source)
            self.step = "connect"
            conn.binding.watch(sock)
            sock.connect(self._address)
            used = sock.getsockname()[0]
            if self._source is not None and not _is_same(used, self._source):
                raise SourceNotUsable(
                    conn,
                    f"source address {self._source} is a broadcast or multicast address: "
                    f"the kernel used {used} instead; remove it from the pool",
                )
        except BaseException:
            sock.close()
            raise
        return sock

    def explain(self, error: OSError) -> Exception:
        """The exception that says what ``error`` means at this step."""
        meaning = self._meaning(error)
        meaning.__cause__ = error
        return meaning

    def _meaning(self, error: OSError) -> Exception:
        conn, source = self._conn, self._source
        if self.step == "socket" and error.errno in (errno.EMFILE, errno.ENFILE):
            return OpenFilesExhausted(
                conn, f"too many open files ({error}); raise the limit with 'ulimit -n', or use fewer users"
            )
        if isinstance(error, TimeoutError):
            return ConnectTimeoutError(conn, self._timeout_text())
        fault = self._source_fault(error.errno)
        if fault is not None:
            return fault
        if source is None:
            return NewConnectionError(conn, f"Failed to establish a new connection: {error}")
        if self.step == "bind":
            return SourceAddressError(conn, f"source address {source} cannot be bound: {error}")
        return NewConnectionError(
            conn, f"Failed to establish a new connection from source {source} to {self._address[0]}: {error}"
        )

    def _timeout_text(self) -> str:
        host, timeout = self._conn.host, self._conn.timeout
        if self._source is None:
            return f"Connection to {host} timed out. (connect timeout={timeout})"
        return (
            f"Connection to {host} from source {self._source} timed out (connect timeout={timeout}); "
            f"no SYN-ACK came back: is there a return route to {self._source}?"
        )

    def _source_fault(self, code: int | None) -> SourceAddressError | None:
        conn, source, step = self._conn, self._source, self.step
        if step == "bind" and code == errno.EADDRNOTAVAIL:
            return SourceNotLocal(
                conn,
                f"source address {source} is not an address of this host (bind: EADDRNOTAVAIL); add it with "
                f"'ip addr add {source}/{32 if self._family == socket.AF_INET else 128} dev lo' "
                "or remove it from the IP pool",
            )
        # Without a source, the same errno to an IPv6 address can mean that the host has no IPv6 at all.
        has_address = source is not None or self._family == socket.AF_INET
        if (step, code) == ("bind", errno.EADDRINUSE) or (
            (step, code) == ("connect", errno.EADDRNOTAVAIL) and has_address
        ):
            return SourcePortsExhausted(conn, self._exhausted_text(errno.errorcode[cast(int, code)]))
        if (step, code) == ("connect", errno.EINVAL) and source and ipaddress.ip_address(source).is_loopback:
            return SourceNotUsable(
                conn,
                f"source address {source} is a loopback address and can only reach this host, not {self._address[0]}",
            )
        return None

    def _exhausted_text(self, code: str) -> str:
        host, port = self._address[:2]
        target = f"[{host}]:{port}" if self._family == socket.AF_INET6 else f"{host}:{port}"
        source = f"source {self._source}" if self._source else "this host's own address"
        return (
            f"no free local port left for {source} -> {target} ({self.step}: {code}{_port_range()}); "
            "add source addresses, keep connections alive, or widen net.ipv4.ip_local_port_range"
        )


def _is_same(used: str, source: str) -> bool:
    """Whether two texts are the same address; the system writes an IPv6 zone by its name or its number."""
    return used == source or ipaddress.ip_address(used.partition("%")[0]) == ipaddress.ip_address(
        source.partition("%")[0]
    )


def _port_range() -> str:
    """Linux shows its range of local ports; elsewhere nothing is said about it."""
    try:
        low, high = _PORT_RANGE.read_text().split()
    except (OSError, ValueError):
        return ""
    return f"; range {low}-{high}"


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
