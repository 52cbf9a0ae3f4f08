"""TLS sockets whose records pass through memory: Python's socket sends and receives them, and TLS only codes them.

An ``ssl.SSLSocket`` lets OpenSSL read and write the socket itself. That takes seven system calls and a wait for each
reply, as OpenSSL reads a record's length and its content apart and Python looks at the socket before each call. It also
hides when the bytes arrived, and has no use for the kernel's timeouts. With the records in memory, a request over TLS
makes the system calls that one without TLS makes.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast

from pytest_ipload.base.real_time import monotonic

Result = TypeVar("Result")

RECORD_BYTES = (1 << 14) + 1024
"""Bytes of a socket that hold any one record: its content, of 16 KiB at most, and what TLS adds (RFC 8446, 5.2)."""
MOST_AT_ONCE = 1 << 15
"""Bytes that are encrypted, or received, before they are handed on. The memory for them is kept with the connection."""
TELLS_RESETS = sys.version_info >= (3, 12, 3) or (3, 11, 9) <= sys.version_info < (3, 12)
"""Whether Python's ``ssl`` says so when a connection is reset after the handshake; else that is an end of the stream
(https://github.com/python/cpython/issues/115627)."""


class TlsSocket(ssl.SSLSocket):
    """An ``ssl.SSLSocket`` that reads and writes memory, which is filled and emptied as need be.

    Made by ``open_tls_socket``.
    """

    incoming: ssl.MemoryBIO
    """Records that were received, and not decrypted yet."""
    outgoing: ssl.MemoryBIO
    """Records that are to be sent."""
    _unsent: bytes
    """The rest of records that the socket did not take."""
    _owed: int
    """Bytes that were encrypted by a ``send`` that could not send them all: it has to be repeated, and counts them."""
    _is_open: bool
    """Whether the handshake is over."""

    def shake_hands(self, session: ssl.SSLSession | None) -> None:
        """Agree with the server; raises what ``ssl.SSLSocket.do_handshake`` raises."""
        self._unsent, self._owed, self._is_open = b"", 0, False
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        made: Any = self.context.wrap_bio(
            self.incoming, self.outgoing, server_hostname=self.server_hostname, session=session
        )
        # What OpenSSL has of the connection, in either class: all of SSLSocket's methods ask it.
        self._sslobj = made._sslobj
        self._sslobj.owner = self
        self.do_handshake()
        self._is_open = True

    @property
    def below(self) -> Any:
        """The socket under TLS: the methods that ``ssl.SSLSocket`` replaces."""
        return super(ssl.SSLSocket, self)

    @property
    def coder(self) -> Any:
        """What decrypts by its ``read`` and encrypts by its ``write``."""
        return self._sslobj

    def pending(self) -> int:
        """As in ``ssl``; what has not been decrypted yet counts, too, as a look at the socket no longer finds it."""
        return super().pending() or self.incoming.pending

    def do_handshake(self, block: bool = False) -> None:
        self._when_possible(super().do_handshake)
        self._flush()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        return self._when_possible(functools.partial(super().read, len, buffer))

    def write(self, data: Any) -> int:
        return self._send(super().write, data)

    def send(self, data: Any, flags: int = 0) -> int:
        return self._send(super().send, data, flags)

    def shutdown(self, how: int) -> None:
        self.below.shutdown(how)  # a thread that reads meanwhile comes to an end, and TLS is needed for that

    def unwrap(self) -> socket.socket:
        self._when_possible(super().unwrap)
        self._flush()
        return self

    def _send(self, call: Callable[..., int], data: Any, *flags: int) -> int:
        if not self._owed:
            beginning = memoryview(data).cast("B")[:MOST_AT_ONCE]
            self._owed = self._when_possible(functools.partial(call, beginning, *flags))
        self._flush()
        sent, self._owed = self._owed, 0
        return sent

    def _when_possible(self, call: Callable[[], Result]) -> Result:
        """The call's result, when all that it needs has been received: in one timeout, however many pieces that is."""
        until, limit = None, self.gettimeout()
        try:
            while True:
                try:
                    return call()
                except ssl.SSLWantReadError:
                    self._flush()
                    if limit and until is not None:
                        left = until - monotonic()
                        if left <= 0:
                            raise TimeoutError("The operation timed out") from None
                        self.settimeout(left)
                    elif limit:
                        until = monotonic() + limit
                    self._fill()
                except ssl.SSLError:
                    with contextlib.suppress(OSError):
                        self._flush()  # the alert that tells the server why
                    raise
        finally:
            if until is not None:
                with contextlib.suppress(OSError):  # it was closed meanwhile
                    self.settimeout(limit)

    def _flush(self) -> None:
        if self.outgoing.pending:
            self._unsent += self.outgoing.read()
        try:
            while self._unsent:
                self._unsent = self._unsent[self.below.send(self._unsent) :]
        except BlockingIOError as error:
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)") from error
        except ConnectionError as error:
            raise (as_ssl_has_it(error) if self._is_open else error) from None

    def _fill(self) -> None:
        try:
            data = self.below.recv(RECORD_BYTES)
        except ConnectionResetError:
            if TELLS_RESETS or not self._is_open:
                raise
            data = b""
        except BlockingIOError as error:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)") from error
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()


def as_ssl_has_it(error: ConnectionError) -> OSError:
    """What Python's ``ssl`` raises where a connection turns out to be broken by sending."""
    return error if TELLS_RESETS else ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol")


class TlsSocketContext:
    """Stands in for a context where urllib3 opens a connection, and makes a ``TlsSocket`` where that is possible."""

    plain: ssl.SSLContext

    def __init__(self, plain: ssl.SSLContext) -> None:
        vars(self)["plain"] = plain

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.plain, name, value)

    def wrap_socket(self, sock: socket.socket, server_hostname: str | None = None) -> Any:
        """Shake hands; raises what ``ssl.SSLContext.wrap_socket`` raises."""
        return open_tls_socket(self.plain, sock, server_hostname)


def open_tls_socket(
    context: ssl.SSLContext, sock: socket.socket, server_hostname: str | None, session: ssl.SSLSession | None = None
) -> Any:
    """Shake hands on a connected socket; raises what ``ssl.SSLContext.wrap_socket`` raises.

    The result is a ``TlsSocket``, or what the context makes where it is not Python's own or was hooked into.
    """
    if type(sock) is not socket.socket or sock.gettimeout() == 0 or not _makes_stock_sockets(context):
        if session is None:  # not every kind of context knows sessions
            return context.wrap_socket(sock, server_hostname=server_hostname)
        return context.wrap_socket(sock, server_hostname=server_hostname, session=session)
    made: TlsSocket = cast(Any, TlsSocket)._create(
        sock=sock, context=context, server_hostname=server_hostname, do_handshake_on_connect=False
    )
    try:
        made.shake_hands(session)
    except BaseException:
        made.close()
        raise
    return made


def _makes_stock_sockets(context: ssl.SSLContext) -> bool:
    hook: object = vars(ssl.SSLContext).get("wrap_socket")
    return (
        type(context) is ssl.SSLContext
        and context.sslsocket_class is ssl.SSLSocket
        and type(hook) is FunctionType  # a wrapper of another class may show the code of what it wraps
        and hook.__code__.co_filename == ssl.__file__
    )
