"""The sockets of libcurl's connections: made, bound, held to the allowed hosts and connected as all others are."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from pytest_ipload.transport.connect.binding import Binding, bound_by_itself
from pytest_ipload.transport.connect.dial import Attempt, Dialer

_KIND = 0xF  # the rest of libcurl's socket type are flags such as SOCK_CLOEXEC
_REFUSED = -1
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))


class KeptSockets:
    """The sockets of connections that libcurl holds open.

    libcurl uses a duplicate of each. The one here lets the binding interrupt it, and keeps the connection open until
    it is closed too: ``prune`` looks which of them libcurl has closed.
    """

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}

    def add(self, descriptor: int, sock: socket.socket) -> None:
        """libcurl's duplicate has this descriptor."""
        self._sockets[descriptor] = sock

    def prune(self) -> None:
        """Close those whose duplicates are closed."""
        for descriptor, sock in list(self._sockets.items()):
            try:
                is_open = os.fstat(descriptor).st_ino == os.fstat(sock.fileno()).st_ino
            except OSError:
                is_open = False
            if not is_open:
                self._sockets.pop(descriptor).close()

    def close(self) -> None:
        """Close all."""
        while self._sockets:
            self._sockets.popitem()[1].close()


class Opener:
    """What libcurl calls back during one transfer: to open sockets, and before it sends the request.

    Nothing may be raised through libcurl: ``raised`` is raised when it has returned.
    """

    def __init__(self, pycurl: Any, binding: Binding, sources: Mapping[int, str], kept: KeptSockets) -> None:
        self._already_connected, self._ok = pycurl.SOCKOPT_ALREADY_CONNECTED, pycurl.SOCKOPT_OK
        self._go, self._stop = pycurl.PREREQFUNC_OK, pycurl.PREREQFUNC_ABORT
        self.binding = binding
        self._kept = kept
        self._sock: socket.socket | None = None
        self.sources = sources
        self.failures: list[Exception] = []
        """Why sockets could not be connected, in urllib3's exceptions."""
        self.raised: BaseException | None = None
        self.opened = 0
        """Connections that were opened."""
        self.sent = 0
        """How often the request was about to be sent: more than once if a kept connection turned out to be closed."""
        self.local_address: str | None = None
        self.dialer = Dialer("", binding, sources, "", 0)
        self._method = ""

    @property
    def is_refused(self) -> bool:
        """Whether libcurl did not take the last socket: it could not duplicate it."""
        return self._sock is not None

    def begin(self, version: str, host: str, port: int, method: str, timeout: float | None) -> None:
        """Prepare for transfers like this one."""
        self.dialer = Dialer(f"HTTP/{version} connection to {host}:{port}", self.binding, self.sources, host, port)
        self.dialer.timeout = timeout
        self._method = method

    def forget(self) -> None:
        """Forget what was noted of the last transfer."""
        if self._sock is not None:
            self._sock.close()
        self.failures, self.raised, self.local_address, self._sock = [], None, None, None
        self.opened = self.sent = 0

    def open(self, purpose: int, address: Any) -> Any:
        """A socket that is connected to this address (for QUIC: a datagram socket), or a number for none."""
        if self.raised is not None:
            return _REFUSED
        try:
            return self._connected(address)
        except BaseException as error:
            self.raised = error
            return _REFUSED

    @bound_by_itself
    def _connected(self, address: Any) -> Any:
        dialer, family = self.dialer, address.family
        self.binding.check_running()
        self.binding.check_address(dialer.host, address.addr[0])
        self._kept.prune()
        source = self.sources.get(family)
        dialer.source = source or dialer.source
        attempt = Attempt(dialer, source, (family, address.socktype & _KIND, address.protocol, "", address.addr))
        try:
            if source is None and self.sources:
                dialer.raise_family_mismatch(next(iter(self.sources.values())))
            sock = self._sock = attempt.connect()
        except OSError as error:
            self.failures.append(attempt.explain(error))
            return _REFUSED
        except Exception as error:  # the source address is of another family, or the kernel used another one
            self.failures.append(error)
            return _REFUSED
        if self.binding.targets is not None:
            self.binding.targets.add(*address.addr[:2])
        self.opened += 1
        return sock

    def adopt(self, descriptor: int, purpose: int) -> int:
        """libcurl has its duplicate of the socket."""
        sock, self._sock = self._sock, None
        if sock is None:
            return int(self._ok)
        self._kept.add(descriptor, sock)
        return int(self._already_connected if sock.type == socket.SOCK_STREAM else self._ok)

    def before_send(self, address: str, local_address: str, port: int, local_port: int) -> int:
        """The connection is there. A request that a closed connection swallowed is sent again if it may be."""
        self.sent += 1
        self.local_address = local_address
        return int(self._go if self.sent == 1 or self._method in IDEMPOTENT else self._stop)
