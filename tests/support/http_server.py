"""An HTTP(S) server on loopback that remembers who asked for what, and can misbehave on request."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import brotli  # type: ignore[import-untyped]  # it has no types

NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c0"


@dataclass(frozen=True)
class Hit:
    """One request as the server saw it."""

    peer: str
    port: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class RecordingServer(ThreadingHTTPServer):
    """A context manager: ``with RecordingServer() as server: session.get(server.url("/"))``.

    ``hits`` are the requests, ``connections`` the peers (address, port) in the order of their coming.
    """

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host = host
        super().__init__((host, 0), _Handler)
        self.tls = tls
        self.hits: list[Hit] = []
        self.connections: list[tuple[str, int]] = []
        self.released = threading.Event()
        """Set when the server stops: whoever is silent may go."""
        self.stalls_since: float | None = None
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name="recording-server")

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the name server for its own name.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.host, int(self.server_address[1])

    @property
    def port(self) -> int:
        return self.server_port

    @property
    def peers(self) -> list[str]:
        """The peer address of each request."""
        return [hit.peer for hit in self.hits]

    def url(self, path: str = "/", host: str | None = None) -> str:
        name = host or self.host
        name = f"[{name}]" if ":" in name else name
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}{path}"

    def record(self, hit: Hit) -> None:
        with self._lock:
            self.hits.append(hit)

    def __enter__(self) -> RecordingServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.released.set()
        self.shutdown()
        self._thread.join()
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self.server_close()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: TLS's handshake, then one request after the other."""
        with self._lock:
            self.connections.append((client_address[0], client_address[1]))
            self._sockets.add(request)
        sock = request
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(request, server_side=True)
                with self._lock:
                    self._sockets.add(sock)
            _Handler(sock, client_address, self)
        finally:
            with self._lock:
                self._sockets -= {request, sock}
            sock.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: RecordingServer

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self._read_body()
        target = self.path
        self.server.record(
            Hit(self.client_address[0], self.client_address[1], self.command, target, dict(self.headers), body)
        )
        for pattern, route in _ROUTES:
            match = pattern.fullmatch(urlsplit(target).path)
            if match:
                route(self, body, *match.groups())
                break
        else:
            self.reply(404, b"nothing here")
        self.wfile.flush()

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        if self.close_connection:
            headers = {"Connection": "close", **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.head(status, {"Content-Length": str(len(body)), **named})
        if self.command != "HEAD":
            self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "Thu, 01 Jan 1970 00:00:00 GMT"  # replies of two servers compare equal

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _hello(handler: _Handler, body: bytes) -> None:
    handler.reply(200, b"hello", Content_Type="text/plain; charset=utf-8")


def _status(handler: _Handler, body: bytes, status: str) -> None:
    handler.reply(int(status), b"" if status in ("204", "304") else b"status " + status.encode())


def _redirect(handler: _Handler, body: bytes, left: str) -> None:
    if left == "0":
        handler.reply(200, b"arrived")
    else:
        handler.reply(302, b"on", Location=f"/redirect/{int(left) - 1}")


def _redirect_to(handler: _Handler, body: bytes) -> None:
    query = handler.query()
    handler.reply(int(query.get("status", 302)), b"", Location=unquote(query["url"]))


def _set_cookie(handler: _Handler, body: bytes, name: str, value: str) -> None:
    handler.reply(302, b"", Location="/cookies", Set_Cookie=f"{name}={value}; Path=/")


def _cookies(handler: _Handler, body: bytes) -> None:
    handler.reply(200, handler.headers.get("Cookie", "").encode())


def _echo(handler: _Handler, body: bytes) -> None:
    headers = {name: value for name, value in handler.headers.items() if name not in ("Host", "Proxy-Connection")}
    seen = {"method": handler.command, "target": handler.path, "headers": headers, "body": body.decode("latin-1")}
    handler.reply(200, json.dumps(seen).encode(), Content_Type="application/json")


def _encoded(encoding: str, encode: Callable[[bytes], bytes]) -> Callable[[_Handler, bytes], None]:
    def route(handler: _Handler, body: bytes) -> None:
        handler.reply(200, encode(b"compressed " * 50), Content_Encoding=encoding)

    return route


def _chunked(handler: _Handler, body: bytes) -> None:
    handler.head(200, {"Transfer-Encoding": "chunked"})
    for part in (b"one ", b"two ", b"three"):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.flush()
    handler.wfile.write(b"0\r\n\r\n")


def _close(handler: _Handler, body: bytes) -> None:
    handler.reply(200, b"goodbye", Connection="close")


def _until_close(handler: _Handler, body: bytes) -> None:
    handler.close_connection = True
    handler.head(200, {})
    handler.wfile.write(b"all there is")


def _truncated(handler: _Handler, body: bytes) -> None:
    handler.close_connection = True
    handler.head(200, {"Content-Length": "1000"})
    handler.wfile.write(b"only this")


def _dropped(handler: _Handler, body: bytes) -> None:
    handler.close_connection = True


def _silent(handler: _Handler, body: bytes) -> None:
    handler.server.released.wait()
    handler.close_connection = True


def _half(handler: _Handler, body: bytes, how: str) -> None:
    """A head and half a body, then silence; the body's end is its length or the end of the connection."""
    handler.close_connection = True
    handler.head(200, {"Content-Length": "1000"} if how == "length" else {"Connection": "close"})
    handler.wfile.write(b"half a body")
    handler.wfile.flush()
    handler.server.released.wait()


def _slow(handler: _Handler, body: bytes, before_ms: str, between_ms: str) -> None:
    """Waits before the head, and again before the body."""
    time.sleep(int(before_ms) / 1000)
    handler.head(200, {"Content-Length": "4"})
    handler.wfile.flush()
    time.sleep(int(between_ms) / 1000)
    handler.wfile.write(b"body")


def _stalling(handler: _Handler, body: bytes, period_ms: str, stall_ms: str) -> None:
    """Answers nobody in the first part of each period, counted from the first request of this kind."""
    server, now = handler.server, time.perf_counter()
    if server.stalls_since is None:
        server.stalls_since = now
    into = (now - server.stalls_since) % (int(period_ms) / 1000)
    time.sleep(max(0.0, int(stall_ms) / 1000 - into))
    handler.reply(200, b"at last")


def _basic(handler: _Handler, body: bytes) -> None:
    if handler.headers.get("Authorization") == "Basic dXNlcjpwYXNz":  # user:pass
        handler.reply(200, b"welcome")
    else:
        handler.reply(401, b"who?", WWW_Authenticate='Basic realm="test"')


def _digest(handler: _Handler, body: bytes) -> None:
    if handler.headers.get("Authorization", "").startswith('Digest username="user"'):
        handler.reply(200, b"welcome")
    else:
        handler.reply(401, b"who?", WWW_Authenticate=f'Digest realm="test", nonce="{NONCE}", qop="auth"')


_ROUTES: list[tuple[re.Pattern[str], Callable[..., None]]] = [
    (re.compile(pattern), route)
    for pattern, route in (
        ("/|/hello.*", _hello),
        (r"/status/(\d+)", _status),
        (r"/redirect/(\d+)", _redirect),
        ("/redirect-to", _redirect_to),
        (r"/cookies/set/(\w+)/(\w+)", _set_cookie),
        ("/cookies", _cookies),
        ("/echo.*", _echo),
        ("/gzip", _encoded("gzip", lambda data: gzip.compress(data, mtime=0))),
        ("/deflate", _encoded("deflate", zlib.compress)),
        ("/br", _encoded("br", brotli.compress)),
        ("/broken-gzip", _encoded("gzip", lambda data: b"this is not gzip")),
        ("/chunked", _chunked),
        ("/close", _close),
        ("/until-close", _until_close),
        ("/truncated", _truncated),
        ("/dropped", _dropped),
        ("/silent", _silent),
        ("/half/(length|close)", _half),
        (r"/slow/(\d+)/(\d+)", _slow),
        (r"/stalling/(\d+)/(\d+)", _stalling),
        ("/basic", _basic),
        ("/digest", _digest),
    )
]
