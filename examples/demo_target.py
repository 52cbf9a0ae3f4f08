"""A small HTTP server as a target for load tests: everything the examples need, standard library only.

To run it until Ctrl-C::

    python examples/demo_target.py --port 8000

From Python, in a separate process, so that server and load do not share an interpreter::

    with running_target() as target:
        print(target.url)

``GET /`` lists the routes. ``GET /stats`` returns requests and connections by peer address.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from subprocess import PIPE, Popen, TimeoutExpired
from typing import Any
from urllib.parse import parse_qsl

MAX_SLEEP_MS, MAX_REDIRECTS = 10_000, 20
MAX_BYTES = 1_000_000  # of a body, sent or received
START_LIMIT_S, STOP_LIMIT_S = 20.0, 5.0
READY = "demo target on "


class BadRequest(Exception):
    """The client's input is invalid; the text says what is valid."""


@dataclass(frozen=True)
class Request:
    """One complete request. ``connection`` is the sequence number of its connection."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    address: str
    port: int
    connection: int

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object."""
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise BadRequest("the body is not JSON") from None
        if not isinstance(value, dict):
            raise BadRequest("the body is not a JSON object")
        return value

    def cookies(self) -> dict[str, str]:
        """The cookies the client sent."""
        pairs = (part.strip().partition("=") for part in self.headers.get("cookie", "").split(";"))
        return {name: value for name, equals, value in pairs if equals}


@dataclass(frozen=True)
class Reply:
    """One reply: ``body`` is sent as JSON, unless it is bytes already."""

    body: object
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


LOGIN_FIRST = Reply({"error": "POST /login first"}, 401)


def found(location: str, *headers: tuple[str, str]) -> Reply:
    return Reply({"location": location}, 302, (("Location", location), *headers))


def whole_number(text: str, what: str, low: int, high: int) -> int:
    """``text`` as a number from ``low`` to ``high``."""
    if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise BadRequest(f"{what} is a whole number from {low} to {high}, not {text!r}")
    return int(text)


class Site:
    """The handlers of all routes, and their state. Shared by the threads of all connections."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened = 0
        self._requests: Counter[str] = Counter()  # by peer address
        self._connections: Counter[str] = Counter()  # by peer address
        self._names: dict[str, str] = {}  # by session
        self._orders: Counter[str] = Counter()  # by session
        self._last_order = 0

    def open_connection(self) -> int:
        """The sequence number for a new connection."""
        with self._lock:
            self._opened += 1
            return self._opened

    def count(self, address: str, *, new_connection: bool) -> None:
        """Count a request from ``address``, and its connection if this is the first request on it."""
        with self._lock:
            self._requests[address] += 1
            self._connections[address] += new_connection

    def index(self, request: Request) -> Reply:
        return Reply({"routes": [f"{methods} {example}" for methods, example, _, _ in ROUTES]})

    def whoami(self, request: Request) -> Reply:
        return Reply({"address": request.address, "port": request.port, "connection": request.connection})

    def slow(self, request: Request) -> Reply:
        ms = whole_number(request.query.get("ms", ""), "ms", 0, MAX_SLEEP_MS)
        time.sleep(ms / 1000)
        return Reply({"slept_ms": ms})

    def status(self, request: Request, code: str) -> Reply:
        number = whole_number(code, "the status", 200, 599)
        return Reply({"status": number}, number)

    def cookies(self, request: Request) -> Reply:
        return Reply(request.cookies())

    def set_cookie(self, request: Request) -> Reply:
        cookie = "=".join(request.query.get(key, "") for key in ("name", "value"))
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+=[!#-+\--:<-\[\]-~]*", cookie, re.ASCII):
            raise BadRequest(f"name and value are plain ASCII without spaces, quotes and semicolons, not {cookie!r}")
        return found("/cookies", ("Set-Cookie", f"{cookie}; Path=/"))

    def redirect(self, request: Request, times: str) -> Reply:
        left = whole_number(times, "the number of redirects", 1, MAX_REDIRECTS) - 1
        return found(f"/redirect/{left}" if left else "/whoami")

    def redirect_to(self, request: Request) -> Reply:
        url = request.query.get("url", "")
        if not re.fullmatch("[!-~]+", url):
            raise BadRequest(f"url is plain ASCII, percent-encoded where needed, not {url!r}")
        return found(url)

    def echo(self, request: Request) -> Reply:
        shown = {name: getattr(request, name) for name in ("method", "path", "query", "headers")}
        return Reply({**shown, "body": request.body.decode("utf-8", "replace")})

    def some_bytes(self, request: Request, size: str) -> Reply:
        return Reply(b"x" * whole_number(size, "the number of bytes", 0, MAX_BYTES))

    def login(self, request: Request) -> Reply:
        name, session = request.json_object().get("name"), secrets.token_hex(16)
        if not isinstance(name, str) or not name:
            raise BadRequest('the body is a JSON object with a name, as in {"name": "x"}')
        with self._lock:
            self._names[session] = name
        return Reply({"name": name}, headers=(("Set-Cookie", f"session={session}; Path=/; HttpOnly"),))

    def logout(self, request: Request) -> Reply:
        session = request.cookies().get("session", "")
        with self._lock:
            name = self._names.pop(session, None)
            self._orders.pop(session, None)
        return Reply({"name": name}, headers=(("Set-Cookie", "session=; Path=/; Max-Age=0"),))

    def cart(self, request: Request) -> Reply:
        session = request.cookies().get("session", "")
        with self._lock:
            name, orders = self._names.get(session), self._orders[session]
        return Reply({"name": name, "orders": orders}) if name else LOGIN_FIRST

    def order(self, request: Request) -> Reply:
        item, session = request.json_object().get("item"), request.cookies().get("session", "")
        with self._lock:
            name = self._names.get(session)
            if name is None:
                return LOGIN_FIRST
            self._orders[session] += 1
            self._last_order += 1
            return Reply({"order": self._last_order, "name": name, "item": item}, 201)

    def stats(self, request: Request) -> Reply:
        with self._lock:
            opened = self._connections
            return Reply({a: {"requests": n, "connections": opened[a]} for a, n in sorted(self._requests.items())})

    def reset_stats(self, request: Request) -> Reply:
        with self._lock:
            self._requests, self._connections = Counter(), Counter()
        return Reply({"reset": True})


# Methods, an example, the pattern of the path, and the handler, which is called with the groups of the match.
ROUTES: tuple[tuple[str, str, str, Callable[..., Reply]], ...] = (
    ("GET", "/", "/", Site.index),
    ("GET", "/whoami", "/whoami", Site.whoami),
    ("GET", "/slow?ms=20", "/slow", Site.slow),
    ("ANY", "/status/503", "/status/([^/]*)", Site.status),
    ("GET", "/cookies", "/cookies", Site.cookies),
    ("GET", "/cookies/set?name=x&value=y", "/cookies/set", Site.set_cookie),
    ("GET", "/redirect/3", "/redirect/([^/]*)", Site.redirect),
    ("GET", "/redirect-to?url=/whoami", "/redirect-to", Site.redirect_to),
    ("ANY", "/echo", "/echo", Site.echo),
    ("GET", "/bytes/1000", "/bytes/([^/]*)", Site.some_bytes),
    ("POST", "/login", "/login", Site.login),
    ("POST", "/logout", "/logout", Site.logout),
    ("GET", "/cart", "/cart", Site.cart),
    ("POST", "/orders", "/orders", Site.order),
    ("GET", "/stats", "/stats", Site.stats),
    ("POST", "/stats/reset", "/stats/reset", Site.reset_stats),
)


def route(site: Site, request: Request) -> Reply:
    """The reply of the requested route."""
    for methods, _, pattern, answer in ROUTES:
        match = re.fullmatch(pattern, request.path)
        if match and (methods in ("ANY", request.method) or (methods, request.method) == ("GET", "HEAD")):
            return answer(site, request, *match.groups())
        if match:
            return Reply({"error": f"{request.path} takes {methods} only"}, 405, (("Allow", methods),))
    return Reply({"error": f"no such path: {request.path}; GET / lists the routes"}, 404)


class Server(ThreadingMixIn, TCPServer):
    """One thread per connection; a long listen queue, so that all users of a load can connect at once."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.site = Site()
        super().__init__((host, port), Handler)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients may disconnect at any time
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection: HTTP/1.1 with keep-alive."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "demo-target"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024  # head and body leave in one write: the second of two could wait for a delayed ACK

    def setup(self) -> None:
        super().setup()
        self.number, self.counted = self.server.site.open_connection(), False

    def __getattr__(self, name: str) -> Callable[[], None]:
        # The base class calls do_<METHOD>. Route all methods here, including unknown ones.
        if name.startswith("do_"):
            return self.respond
        raise AttributeError(name)

    def respond(self) -> None:
        keep_alive, self.close_connection = not self.close_connection, True
        try:
            request = self.read_request()  # if it fails, the start of the next one is unknown
            self.close_connection = not keep_alive
            if not request.path.startswith("/stats"):  # reading the statistics does not change them
                self.server.site.count(request.address, new_connection=not self.counted)
                self.counted = True
            reply = route(self.server.site, request)
        except BadRequest as error:
            reply = Reply({"error": str(error)}, 400)
        self.send(reply)

    def read_request(self) -> Request:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        body = b"".join(self.chunks()) if chunked else self.read_body(headers.get("content-length", "0"))
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        return Request(self.command, path, parameters, headers, body, *self.client_address[:2], self.number)

    def read_body(self, length: str) -> bytes:
        # Within reason, also read bodies that are too long: closing with unread bytes would destroy the reply.
        body = self.rfile.read(int(length)) if re.fullmatch("[0-9]{1,7}", length) else b""
        whole_number(length, "Content-Length", 0, MAX_BYTES)
        return body

    def chunks(self) -> Iterator[bytes]:
        left, size = MAX_BYTES, 1
        while size:
            text = self.rfile.readline(1024).partition(b";")[0].strip()
            if not re.fullmatch(b"[0-9A-Fa-f]{1,8}", text) or int(text, 16) > left:
                raise BadRequest(f"a chunk begins with its size in hexadecimal, at most {left:x}, not {text!r}")
            size = int(text, 16)
            left -= size
            yield self.rfile.read(size)
            self.rfile.readline(1024)

    def send(self, reply: Reply) -> None:
        if isinstance(reply.body, bytes):
            kind, body = "application/octet-stream", reply.body
        else:
            kind, body = "application/json", json.dumps(reply.body).encode() + b"\n"
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if reply.status not in (204, 304):  # these have no body
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if reply.status not in (204, 304) and self.command != "HEAD":
            self.wfile.write(body)

    def handle_expect_100(self) -> bool:
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a load test makes thousands of requests."""


@dataclass(frozen=True)
class Target:
    """A running demo target: its address without a slash at the end, and its process id."""

    url: str
    pid: int


@contextmanager
def running_target(host: str = "127.0.0.1") -> Iterator[Target]:
    """A demo target in a separate process, on a free port. It ends with the block, or with this process."""
    command = [sys.executable, __file__, "--host", host, "--until-stdin-closes"]
    # A new session shields it from Ctrl-C: the tests still log out while they stop.
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, start_new_session=True) as process:
        try:
            yield Target(listening_url(process), process.pid)
        finally:
            process.terminate()
            try:
                process.wait(STOP_LIMIT_S)
            except TimeoutExpired:
                process.kill()


def listening_url(process: Popen[str]) -> str:
    """The first line that the process prints."""
    assert process.stdout is not None
    watchdog = threading.Timer(START_LIMIT_S, process.kill)  # stops waiting if the line never comes
    watchdog.start()
    try:
        line = process.stdout.readline()
    finally:
        watchdog.cancel()
    if not line.startswith(READY):
        raise RuntimeError(f"the demo target did not start within {START_LIMIT_S:g} s; its errors are on stderr")
    return line.removeprefix(READY).strip()


def main() -> None:
    """Serve until SIGTERM, SIGINT or, if requested, the end of stdin."""
    parser = argparse.ArgumentParser(description="A small HTTP server to aim load tests at.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when stdin ends, as with a parent")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with Server(options.host, options.port) as server:
        if options.until_stdin_closes:
            threading.Thread(target=shut_down_after_stdin, args=(server,), daemon=True).start()
        print(READY + server.url, flush=True)
        server.serve_forever(poll_interval=0.1)


def shut_down_after_stdin(server: Server) -> None:
    while os.read(0, 4096):  # not sys.stdin.read(): its lock, held by this thread, would be fatal at the end
        pass
    server.shutdown()


if __name__ == "__main__":
    main()
