"""Sockets for http.client that play back what was received already."""

from __future__ import annotations

import io
import socket
from typing import Any, cast

from requests import PreparedRequest
from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection

from pytest_ipload.transport.foreign_hooks import StockHTTPConnection


class ReplaySocket:
    """In the place of a connection's socket while http.client sends a request again and reads its reply.

    What is sent goes to ``sent`` and nowhere else, or raises ``send_error``. What is received comes from ``received``;
    then ``error`` is raised or, without one, the real socket takes over.
    """

    def __init__(
        self,
        received: bytes = b"",
        *,
        real: socket.socket | None = None,
        send_error: OSError | None = None,
        error: OSError | None = None,
    ) -> None:
        self.real = real
        self.sent: list[bytes] = []
        self._received = received
        self._send_error = send_error
        self._error = error

    def sendall(self, data: Any) -> None:
        """As in ``socket``."""
        if self._send_error is not None:
            raise self._send_error
        self.sent.append(bytes(data))

    def makefile(self, mode: str, *args: Any, **kwargs: Any) -> io.BufferedReader:
        """As in ``socket``; http.client reads a reply from such a file."""
        tail = None if self.real is None else cast(io.RawIOBase, self.real.makefile("rb", buffering=0))
        return io.BufferedReader(_Playback(self._received, self._error, tail))

    def settimeout(self, timeout: float | None) -> None:
        """As in ``socket``."""
        if self.real is not None:
            self.real.settimeout(timeout)

    def fileno(self) -> int:
        """As in ``socket``."""
        return -1 if self.real is None else self.real.fileno()

    def shutdown(self, how: int) -> None:
        """As in ``socket``."""
        if self.real is not None:
            self.real.shutdown(how)

    def close(self) -> None:
        """As in ``socket``."""
        if self.real is not None:
            self.real.close()


class _Playback(io.RawIOBase):
    """Bytes, and then an error or the rest of a file."""

    def __init__(self, received: bytes, error: OSError | None, tail: io.RawIOBase | None) -> None:
        self._left = memoryview(received)
        self._error = error
        self._tail = tail

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._left:
            count = min(len(buffer), len(self._left))
            buffer[:count] = self._left[:count]
            self._left = self._left[count:]
            return count
        if self._error is not None:
            raise self._error
        return 0 if self._tail is None else cast(int, cast(Any, self._tail).readinto(buffer))

    def close(self) -> None:
        if self._tail is not None:
            self._tail.close()
        super().close()


def request_bytes(request: PreparedRequest, conn: HTTPConnection) -> bytes:
    """What urllib3 sends for a request whose body is bytes, a text or nothing.

    ``conn`` is a connection to its host that is not open: what it would send is caught.
    """
    sink = ReplaySocket()
    conn.sock = cast(Any, sink)
    chunked = not (request.body is None or "Content-Length" in request.headers)
    conn.request(
        request.method or "", request.path_url, cast(Any, request.body), cast(Any, request.headers), chunked=chunked
    )
    conn.close()
    return b"".join(sink.sent)


def replayed_response(received: bytes, method: str, target: str) -> BaseHTTPResponse:
    """urllib3's response made from the bytes of a whole reply, none of it read yet."""
    conn = StockHTTPConnection("")
    conn.sock = cast(Any, ReplaySocket(received))
    conn.request(method, target, preload_content=False, decode_content=False)
    response = conn.getresponse()
    conn.sock = None
    return response  # type: ignore[no-any-return]  # of a class that is looked up
