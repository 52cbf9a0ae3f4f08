"""What the connections of one session have in common: where they leave from, where they may go, and their end."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import socket
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from requests import Response

from pytest_ipload.addresses.host.own_listeners import Targets
from pytest_ipload.addresses.source_address import SourceAddress
from pytest_ipload.base.errors import SettingError, TargetNotAllowed
from pytest_ipload.stats.evidence.evidence import Exchange
from pytest_ipload.stats.sample import Problem
from pytest_ipload.transport.allowed_hosts import AllowedHosts
from pytest_ipload.transport.connect.reply_queue import ReplyQueue
from pytest_ipload.transport.connect.socket_patch import here
from pytest_ipload.transport.connect.tls_sessions import TlsSessions
from pytest_ipload.transport.generator_errors import LoadEnded

Method = TypeVar("Method", bound=Callable[..., Any])
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Hop:
    """The measurements of one exchange with a server: a request has several when it is redirected."""

    __slots__ = (
        "connect_ns",
        "connections",
        "ended_ns",
        "fault",
        "fault_text",
        "first_byte_ns",
        "is_tls",
        "retries",
        "source_address",
        "started_ns",
        "tls_ns",
    )

    def __init__(self) -> None:
        self.started_ns = 0
        self.ended_ns = 0
        self.connections = 0
        self.connect_ns: int | None = None
        """From looking up the name to the end of TCP's handshake."""
        self.tls_ns: int | None = None
        """Of TLS's handshake; absent behind a proxy, where it cannot be separated from the proxy's own work."""
        self.is_tls = False
        """Whether the last connection opened for it begins with a TLS handshake, or has one inside a proxy's tunnel."""
        self.first_byte_ns: int | None = None
        """From the start to the first byte of the reply; only where the connection was opened for this exchange."""
        self.source_address: str | None = None
        self.fault: str | None = None
        """The own side's fault that stopped the last attempt to connect, and what it says."""
        self.fault_text = ""
        self.retries = 0
        """How often the request was sent again, because a kept connection had gone stale."""


@dataclass
class Fallback:
    """What the fast path leaves to requests and urllib3: a whole reply, or a connection amid an exchange."""

    hop: Hop
    response: Response | None = None
    conn: Any = None


def opening_of(hops: Iterable[Hop]) -> tuple[int, int] | None:
    """Connecting and TLS of all connections opened in these hops; None if that of one of them is unknown."""
    connecting = handshaking = 0
    for hop in hops:
        if not hop.connections:
            continue
        if hop.connections > 1 or hop.connect_ns is None or (hop.is_tls and hop.tls_ns is None):
            return None
        connecting += hop.connect_ns
        handshaking += hop.tls_ns or 0
    return connecting, handshaking


class ThreadState(threading.local):
    """What the thread that uses a session is doing: the current hop, and the list that gathers a call's hops."""

    hop: Hop | None = None
    hops: list[Hop] | None = None
    fall_back: Fallback | None = None
    interrupted: Hop | None = None
    """The exchange of the fast path in which something was raised from outside, until it is recorded."""
    wants_arrivals = False
    """Whether the call wants to know when each piece of its reply comes."""
    most_reply: int | None = None
    """Bytes that the body of a reply may have; see ``reply_limit``."""

    def take_connection(self) -> Any:
        """The connection that was handed over, once; None without one."""
        if self.fall_back is None:
            return None
        conn, self.fall_back.conn = self.fall_back.conn, None
        return conn

    def drop_hand_over(self) -> None:
        """Close what was handed over and not taken, if anything."""
        conn = self.take_connection()
        if conn is not None:
            conn.close()
        self.fall_back = None


class OpenedConnections:
    """How many connections were opened from each source address, besides those of requests. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def add(self, source: str) -> None:
        """Count one."""
        with self._lock:
            self._counts[source] = self._counts.get(source, 0) + 1

    def by_source(self) -> Mapping[str, int]:
        """The counts so far."""
        with self._lock:
            return dict(self._counts)


def bound_by_itself(method: Method) -> Method:
    """A method of something that has a ``binding``: the sockets of a user's own session do not pass through the patch.

    Those of other sessions in a user's thread do, as those of any client.
    """

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        owner = here.owner
        if owner is None or self.binding.opened is None:
            return method(self, *args, **kwargs)
        here.owner = None
        try:
            return method(self, *args, **kwargs)
        finally:
            here.owner = owner

    return cast(Method, run)


class Binding:
    """What all connections of one session share: source addresses, allowed hosts, and the sockets that are open.

    ``sources`` has at most one address per family; the one of the destination's family is used. Without any, the
    operating system chooses. ``resumes_tls``: whether new connections resume TLS sessions. Raises SettingError.
    """

    def __init__(
        self,
        sources: Sequence[str | SourceAddress] = (),
        guard: AllowedHosts | None = None,
        *,
        resumes_tls: bool = False,
    ) -> None:
        self.guard = guard
        self._restore(resumes_tls)
        self.rebind(sources)

    def _restore(self, resumes_tls: bool) -> None:
        self.ended = False
        self.thread = ThreadState()
        self.sources: Mapping[int, str] = {}
        """The addresses that new requests leave from, by address family."""
        self.source_address: str | None = None
        """The first of them."""
        self.freebind: frozenset[str] = frozenset()
        """Those of them that are bound with the free-bind option."""
        self.tls_sessions = TlsSessions() if resumes_tls else None
        """Those that may be resumed; None where each connection begins with a full handshake."""
        self.targets: Targets | None = None
        """Where the targets are recorded, if they are needed."""
        self.opened: OpenedConnections | None = None
        """Where connections are counted that are not opened for a request; None outside of loads."""
        self.fail_request: Callable[[int, int, Problem, Callable[[], Exchange]], None] | None = None
        """Makes a recorded request of these times a failed one, with what was exchanged; None outside of loads."""
        self.queue: ReplyQueue | None = None
        """Where replies are waited for, in a load of many users; None: each thread waits for its own."""
        self._groups: dict[str, Mapping[int, str]] = {}
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def __getstate__(self) -> tuple[Any, ...]:
        sources = tuple(SourceAddress(each, each in self.freebind) for each in self.sources.values())
        return sources, self.guard, self.tls_sessions is not None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        sources, self.guard, resumes_tls = state
        self._restore(resumes_tls)
        self.rebind(sources)

    def rebind(self, sources: Sequence[str | SourceAddress]) -> None:
        """Leave from these addresses from now on. Connections that are open stay bound, for when they come again."""
        given = [each if isinstance(each, SourceAddress) else SourceAddress.parse(each) for each in sources]
        self.sources = _by_family([source.address for source in given])
        both = zip(self.sources.values(), given, strict=True)
        self.freebind |= {address for address, source in both if source.freebind}
        self.source_address = next(iter(self.sources.values()), None)
        if self.source_address is not None:
            self._groups[self.source_address] = self.sources

    def group(self, first: str | None) -> Mapping[int, str]:
        """The addresses that go with a first one, by address family; none for None."""
        return {} if first is None else self._groups[first]

    def check(self, url: str | None, *, is_redirected: bool = False) -> None:
        """Raise TargetNotAllowed or LoadEnded if no request may be sent there."""
        if self.guard is not None:
            try:
                self.guard.check(url or "")
            except TargetNotAllowed as error:
                error.at_run_time = is_redirected
                raise
        self.check_running()

    def check_address(self, host: str, address: str) -> None:
        """Raise TargetNotAllowed if ``host`` is allowed, but not when it is at this address."""
        if self.guard is not None:
            self.guard.check_address(host, address)

    def check_running(self) -> None:
        """Raise LoadEnded after an interruption."""
        if self.ended:
            raise LoadEnded("the load has ended: this session was interrupted and sends no more requests")

    def watch(self, sock: socket.socket) -> None:
        """Let ``interrupt`` end what blocks on this socket."""
        with self._lock:
            self._sockets.add(sock)
        if self.ended:
            _shut_down(sock)

    def interrupt(self) -> None:
        """Shut down every open socket and refuse further requests. For other threads; may be called again.

        A thread that blocks on connecting, sending or receiving continues at once, with an error. One that waits for
        the name server does not.
        """
        self.ended = True
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            _shut_down(sock)

    def resume(self) -> None:
        """Allow requests again, on new connections: what was interrupted is over, and the user's teardown begins."""
        self.ended = False


def _by_family(sources: Sequence[str]) -> dict[int, str]:
    chosen: dict[int, str] = {}
    for text in sources:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise SettingError(f"source address {text!r} is not an IP address, as in 10.0.0.7 or fd00::7") from None
        if address.is_unspecified:
            raise SettingError(
                f"source address {text!r} is not a usable source address; leave it out to let the OS choose"
            )
        family = _FAMILIES[address.version]
        if family in chosen:
            raise SettingError(
                f"source addresses {chosen[family]} and {text} are both IPv{address.version}; "
                "give at most one per family"
            )
        chosen[family] = str(address)
    return chosen


def _shut_down(sock: socket.socket) -> None:
    try:
        # Not sock.shutdown(): under TLS that drops the TLS state, which the blocked thread is using.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        # Not connected yet, or not any more. Without a timeout, a connect() that is about to start returns at once.
        with contextlib.suppress(OSError):
            sock.settimeout(0)
