"""A connected socket as the fast path uses it: few system calls, and the kernel's own time of arrival.

Python's timeouts make a socket non-blocking and poll it before each call. Linux can keep the time itself
(SO_RCVTIMEO, SO_SNDTIMEO), on a blocking socket and without a poll. It can also say when data arrived
(SO_TIMESTAMPNS): a thread that had to wait for its turn reads its reply late, the time of arrival does not change.
Where the system has neither, Python's timeouts and the clock after reading take their place.
"""

from __future__ import annotations

import contextlib
import functools
import select
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from typing import Any, Protocol

from urllib3.util.wait import wait_for_read

from pytest_ipload.base.real_time import monotonic
from pytest_ipload.base.units import NS_PER_S, US_PER_S
from pytest_ipload.transport.connect.tls_socket import (
    MOST_AT_ONCE,
    RECORD_BYTES,
    TELLS_RESETS,
    TlsSocket,
    as_ssl_has_it,
)

READ_BYTES = 16384
"""Bytes per read. Most responses are smaller, and Python allocates all of it before each read."""

# Linux' number, the same on all architectures that Debian builds for; Python has no name for it before 3.14.
_SO_TIMESTAMPNS = 35
_ANCILLARY_BYTES = 64
_TIMEVAL = struct.Struct("ll")
TIMESPEC = struct.Struct("qq")
"""A time of arrival as the kernel writes it: seconds and nanoseconds of the wall clock."""
_NO_LIMIT = _TIMEVAL.pack(0, 0)
_UNSET = -1.0


class FastSocket(Protocol):
    """What an exchange needs of a connected socket."""

    timeout: float | None
    """Seconds that each send and each receive may take, as they are set now; None: no limit."""

    @property
    def send(self) -> Callable[[bytes], object]:
        """Send all of it."""

    def unread(self) -> object:
        """Whether bytes, or the end of the stream, can be read now."""

    def set_timeout(self, timeout: float | None) -> None:
        """Let each send and receive take this many seconds, above 0; None means unlimited."""

    def relax(self) -> None:
        """Return the socket to code that sets Python's timeouts on it."""

    def receive(self, limit: int = READ_BYTES) -> bytes:
        """Some bytes, or none at the end of the stream. Raises OSError; a timeout is a TimeoutError or EAGAIN's."""

    def receive_into(self, buffer: memoryview) -> int:
        """The same into a buffer: the number of bytes, 0 at the end of the stream."""

    stamp: bytes | None
    """When the last data that ``receive`` returned had arrived, as the kernel writes it; None if unknown."""


def open_fast_socket(sock: Any) -> FastSocket:
    """The wire for the socket of an open connection."""
    if isinstance(sock, TlsSocket):
        return TlsFastSocket(sock)
    return TimestampingSocket(sock) if type(sock) is socket.socket and kernel_keeps_time() else PlainFastSocket(sock)


class PlainFastSocket:
    """A socket with Python's timeouts. It does not report when data arrived."""

    def __init__(self, sock: socket.socket) -> None:
        look = _look_at(sock)
        self.unread = (lambda: sock.pending() or look()) if isinstance(sock, ssl.SSLSocket) else look
        self.timeout: float | None = _UNSET
        self.stamp: bytes | None = None
        self.send: Callable[[bytes], None] = sock.sendall
        self._sock = sock
        self._receive = sock.recv

    def set_timeout(self, timeout: float | None) -> None:
        self._sock.settimeout(timeout)
        self.timeout = timeout

    def relax(self) -> None:
        self.timeout = _UNSET

    def receive(self, limit: int = READ_BYTES) -> bytes:
        return self._receive(limit)

    def receive_into(self, buffer: memoryview) -> int:
        return self._sock.recv_into(buffer)


class TimestampingSocket:
    """A plain TCP socket on Linux."""

    __slots__ = ("_receive", "_sock", "send", "stamp", "timeout", "unread")

    def __init__(self, sock: socket.socket) -> None:
        self.unread = _look_at(sock)
        self.timeout: float | None = _UNSET
        self.send: Callable[[bytes], None] = sock.sendall
        self._sock = sock
        self._receive = sock.recvmsg
        self.stamp: bytes | None = None
        ask_for_arrival_times(sock)

    def set_timeout(self, timeout: float | None) -> None:
        self._sock.settimeout(None)
        limit = _timeval(timeout)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self.timeout = timeout

    def relax(self) -> None:
        if self.timeout != _UNSET:
            self.timeout = _UNSET
            # A socket that fails here fails whoever uses it next, who can say more about it.
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _NO_LIMIT)
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _NO_LIMIT)

    def receive(self, limit: int = READ_BYTES) -> bytes:
        receive = self._receive  # found faster than as a method
        data, ancillary, _, _ = receive(limit, _ANCILLARY_BYTES)
        self.stamp = ancillary[0][2] if ancillary else None
        return data

    def receive_into(self, buffer: memoryview) -> int:
        length, ancillary, _, _ = self._sock.recvmsg_into([buffer], _ANCILLARY_BYTES)
        self.stamp = ancillary[0][2] if ancillary else None
        return length


class TlsFastSocket:
    """A socket under TLS: the same, and what it sends and receives is coded in memory."""

    def __init__(self, sock: TlsSocket) -> None:
        self._wire = wire = (TimestampingSocket if kernel_keeps_time() else PlainFastSocket)(sock.below)
        self._look = wire.unread
        coder = sock.coder
        self._decrypt: Callable[..., Any] = coder.read
        self._encrypt: Callable[[bytes | memoryview], int] = coder.write
        self._pending: Callable[[], int] = coder.pending
        self._incoming = sock.incoming
        self._outgoing = sock.outgoing
        self._read_out = sock.outgoing.read
        self._is_drained = False
        """Whether surely all that was received was read, too."""
        self.timeout: float | None = _UNSET
        self.stamp: bytes | None = None

    def unread(self) -> object:
        # What is encrypted may be no more than session tickets; urllib3 opens a new connection for these as well.
        return (not self._is_drained and (self._pending() or self._incoming.pending)) or self._look()

    def set_timeout(self, timeout: float | None) -> None:
        self._wire.set_timeout(timeout)
        self.timeout = timeout

    def relax(self) -> None:
        self._wire.relax()
        self.timeout = _UNSET
        self._is_drained = False

    def send(self, data: bytes) -> None:
        """All of it."""
        if len(data) <= MOST_AT_ONCE:
            self._send(data)
            return
        whole = memoryview(data)
        for start in range(0, len(whole), MOST_AT_ONCE):
            self._send(whole[start : start + MOST_AT_ONCE])

    def receive(self, limit: int = READ_BYTES) -> bytes:
        asked = limit if limit < READ_BYTES else READ_BYTES  # no record holds more, and Python allocates all of it
        data: bytes = self._read(asked)
        self._is_drained = bool(data) and not self._incoming.pending and (len(data) < asked or not self._pending())
        return data

    def receive_into(self, buffer: memoryview) -> int:
        length: int = self._read(len(buffer), buffer)
        self._is_drained = length > 0 and not self._incoming.pending and not self._pending()
        return length

    def _send(self, data: bytes | memoryview) -> None:
        while True:
            try:
                self._encrypt(data)
            except ssl.SSLWantReadError:  # the server wants to agree on something anew first
                self._fetch()
            else:
                self._flush()
                return

    def _read(self, limit: int, *buffer: memoryview) -> Any:
        if self._is_drained:
            self._fetch(limit)
        since = None
        while True:
            try:
                return self._decrypt(limit, *buffer)
            except ssl.SSLWantReadError:
                since = since or monotonic()
                if self.timeout and 0 < self.timeout < monotonic() - since:
                    raise TimeoutError("timed out") from None
                self._fetch(limit)
            except ssl.SSLEOFError:
                self._is_drained = False
                return 0 if buffer else b""

    def _flush(self) -> None:
        try:
            self._wire.send(self._read_out())
        except ConnectionError as error:
            raise as_ssl_has_it(error) from None

    def _fetch(self, limit: int = READ_BYTES) -> None:
        if self._outgoing.pending:
            self._flush()
        wire = self._wire
        try:
            data = wire.receive(RECORD_BYTES if limit <= READ_BYTES else MOST_AT_ONCE)
        except ConnectionResetError:
            if TELLS_RESETS:
                raise
            data = b""
        self.stamp = wire.stamp
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


def _look_at(sock: socket.socket) -> Callable[[], object]:
    """A ``FastSocket.unread`` for what the kernel holds.

    ``select.poll`` lets go of Python's lock, also for a call that does not wait. That is what is needed here: Linux
    switches to another thread at the end of a system call, and one that keeps the lock meanwhile makes all others run
    into it. A call that kept it (by ctypes) led to 1.5 switches a request instead of 1.0, with 50 threads on one core,
    and cost a fifth more.
    """
    if not hasattr(select, "poll"):
        return functools.partial(wait_for_read, sock, 0)
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return functools.partial(poll.poll, 0)


def ask_for_arrival_times(sock: socket.socket) -> None:
    """Let the kernel note when data arrives; where it does not, the times are absent."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


@functools.cache
def kernel_keeps_time() -> bool:
    """Whether sockets have SO_RCVTIMEO and SO_TIMESTAMPNS as 64-bit Linux has them."""
    if sys.platform != "linux" or struct.calcsize("l") != 8:
        return False
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(5, 0))
            return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.size) == _TIMEVAL.pack(5, 0)
        except OSError:
            return False


def _timeval(timeout: float | None) -> bytes:
    if timeout is None:
        return _NO_LIMIT
    microseconds = max(1, round(timeout * US_PER_S))  # 0 would mean no limit
    return _TIMEVAL.pack(*divmod(microseconds, US_PER_S))


def arrival_ns(stamp: bytes) -> int:
    """A wire's ``stamp`` in nanoseconds of ``time.time_ns``."""
    seconds, nanoseconds = TIMESPEC.unpack(stamp)
    return seconds * NS_PER_S + nanoseconds  # type: ignore[no-any-return]  # struct has no types
