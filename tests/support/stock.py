"""A stock session of requests whose connections lead nowhere: what it sends is caught, and what it hears is given."""

from __future__ import annotations

import io
from typing import Any, cast

import requests
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import BaseHTTPResponse

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class FakeSocket:
    """A socket that keeps what is sent, and gives the bytes it was made with, and then the end."""

    def __init__(self, received: bytes, sent: list[bytes]) -> None:
        self._received = received
        self._sent = sent

    def sendall(self, data: Any) -> None:
        self._sent.append(bytes(data))

    def makefile(self, *args: Any, **kwargs: Any) -> io.BytesIO:
        return io.BytesIO(self._received)

    def settimeout(self, timeout: float | None) -> None:
        pass

    def close(self) -> None:
        pass


class StockSession(requests.Session):
    """``sent`` is what was sent so far; each reply is ``reply``, on a new connection."""

    def __init__(self, reply: bytes = EMPTY) -> None:
        super().__init__()
        self.trust_env = False
        self.reply = reply
        self.sent: list[bytes] = []
        adapter = HTTPAdapter()
        adapter.poolmanager.pool_classes_by_scheme = {"http": self._pool(False), "https": self._pool(True)}
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def _pool(self, tls: bool) -> Any:
        outer = self

        def connect(connection: Any) -> None:
            connection.sock = FakeSocket(outer.reply, outer.sent)
            connection.is_verified = True

        base = HTTPSConnection if tls else HTTPConnection
        connection = type("Connection", (base,), {"connect": connect, "is_connected": False})
        pool = HTTPSConnectionPool if tls else HTTPConnectionPool
        return type("Pool", (pool,), {"ConnectionCls": connection})

    def send_and_catch(self, method: str, url: str, **kwargs: Any) -> tuple[bytes, PreparedRequest]:
        """Make a call; what was sent for it, and the request that it was made from."""
        del self.sent[:]
        response = self.request(method, url, allow_redirects=False, **kwargs)
        return b"".join(self.sent), response.request


def read_stock(reply: bytes, method: str = "GET") -> tuple[BaseHTTPResponse, bool]:
    """How http.client and urllib3 read a reply, none of whose body was read; and whether the connection is kept."""
    connection = HTTPConnection("host.test")
    connection.sock = cast(Any, FakeSocket(reply, []))
    connection.request(method, "/", preload_content=False, decode_content=False)
    response = connection.getresponse()
    keeps = connection.sock is not None
    connection.sock = None
    return response, keeps
