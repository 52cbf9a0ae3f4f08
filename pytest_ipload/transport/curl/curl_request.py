"""A request as libcurl takes it, made from the bytes that HTTP/1.1 would send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from requests import PreparedRequest
from urllib3.util.request import body_to_chunks

from pytest_ipload.transport.connect.tls import Cert, Verify, ca_location, cert_files
from pytest_ipload.transport.foreign_hooks import StockHTTPConnection, StockHTTPSConnection
from pytest_ipload.transport.message.replay import request_bytes

_OF_THE_CONNECTION = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
"""Fields that HTTP/2 and HTTP/3 forbid (RFC 9113, 8.2.2)."""
_ADDED = (b"accept", b"content-type", b"expect", b"user-agent")
"""Fields that libcurl adds, unless the request says otherwise."""


class TlsFiles(NamedTuple):
    """How a server is verified, and what the client shows to it."""

    ca: str | None
    """A file or a directory of CA certificates; None: the server is not verified."""
    certificate: str | None
    key: str | None

    @classmethod
    def of(cls, verify: Verify, cert: Cert) -> TlsFiles:
        """What requests means by ``verify`` and ``cert``. Raises OSError, in requests' words, if a file is missing."""
        return cls(ca_location(verify), *cert_files(cert))


class CurlRequest(NamedTuple):
    """All of a request but its body."""

    origin: str
    """Scheme, host and port."""
    method: str
    target: str
    headers: tuple[bytes, ...]
    tls: TlsFiles
    length: int
    """Of the body, as the header says; -1 if it does not."""

    @classmethod
    def of_head(cls, origin: str, head: bytes, tls: TlsFiles) -> CurlRequest:
        """The request with this head of HTTP/1.1, which ends before the empty line."""
        first, *lines = head.split(b"\r\n")
        method, target, _ = first.decode("latin-1").split(" ")
        headers, names, length = [], set(), -1
        for line in lines:
            name, _, value = line.partition(b":")
            lower, value = name.lower(), value.strip(b" \t")
            if lower == b"content-length":
                length = int(value)
            if lower not in _OF_THE_CONNECTION:
                names.add(lower)
                headers.append(b"%b: %b" % (name, value) if value else name + b";")
        headers += [name + b":" for name in _ADDED if name not in names]
        return cls(origin, method, target, tuple(headers), tls, length)

    @classmethod
    def of_prepared(cls, request: PreparedRequest, tls: TlsFiles) -> CurlRequest:
        """The request that urllib3 would send for this one."""
        parts = urlsplit(request.url or "")
        connection = StockHTTPSConnection if parts.scheme == "https" else StockHTTPConnection
        bare = request.copy()
        bare.body = None  # what the header says of it stays
        head = request_bytes(bare, connection(parts.hostname or "", parts.port)).partition(b"\r\n\r\n")[0]
        return cls.of_head(origin_of(request.url or ""), head, tls)


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, without a user's name."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class BodyReader:
    """Reads the body of a request piece by piece: a file, or what can be iterated over."""

    def __init__(self, body: Any, method: str) -> None:
        chunks: Any = body_to_chunks(body, method, 1 << 16).chunks
        self._chunks: Iterator[Any] = iter(chunks)
        self._rest = memoryview(b"")

    def read(self, limit: int) -> bytes:
        """At most ``limit`` bytes; none at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk.encode() if isinstance(chunk, str) else bytes(chunk))
        data, self._rest = bytes(self._rest[:limit]), self._rest[limit:]
        return data
