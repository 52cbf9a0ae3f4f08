"""A web shop that remembers its requests: a login with a CSRF token, items, orders, a logout."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs


class Seen(NamedTuple):
    """A request as it came; ``who`` is the name in the session's cookie."""

    who: str
    line: str
    headers: dict[str, str]
    body: str


class ShopServer(ThreadingHTTPServer):
    """The shop, and all that it has seen."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def of(self, who: str) -> list[tuple[str, str]]:
        """Request line and body of the requests of one user, in order."""
        return [(each.line, each.body) for each in self.seen if each.who == who]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: ShopServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        cookie = re.search(r"user=([\w-]+)", self.headers.get("Cookie", ""))
        form = parse_qs(body)
        who = cookie[1] if cookie else form.get("name", ["?"])[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            self.server.seen.append(Seen(who, f"{self.command} {self.path}", headers, body))
        status, content, more = self._reply(form)
        data = content.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def _reply(self, form: dict[str, list[str]]) -> tuple[int, str, dict[str, str]]:
        path = self.path.partition("?")[0]
        json_type = {"Content-Type": "application/json"}
        if path == "/login" and self.command == "GET":
            return 200, '<input name="csrf" value="token-42">', {"Content-Type": "text/html"}
        if path == "/login":
            if form.get("csrf") != ["token-42"]:
                return 403, "{}", json_type
            return 303, "", {"Set-Cookie": f"user={form['name'][0]}; Path=/", "Location": "/items"}
        if path == "/items":
            items: list[dict[str, Any]] = [{"id": 7, "name": "tea", "stock": 3}, {"id": 8, "name": "cake", "stock": 0}]
            return 200, json.dumps({"items": items}), json_type
        if path.startswith("/items/"):
            return 200, json.dumps({"id": int(path.rpartition("/")[2]), "price": 2.5}), json_type
        if path == "/orders":
            return 201, json.dumps({"order": "A-1"}), {**json_type, "Location": "/orders/A-1"}
        return (200, "{}", json_type) if path in ("/logout", "/orders/A-1") else (404, "{}", json_type)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def running_shop() -> Iterator[ShopServer]:
    """A shop in this process."""
    with ShopServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
