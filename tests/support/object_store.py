"""An object store on loopback: PUT and GET by name, and it can misbehave on request."""

from __future__ import annotations

import hashlib
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ObjectStore(ThreadingHTTPServer):
    """``objects`` are the contents by path; see ``store`` for how to start it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        """Method, target and headers of each request."""
        self.statuses: list[int] = []
        """What the next requests are answered with, without being served."""
        self.truncates = 0
        """How many of the next replies to GET end early."""

    def url(self, path: str = "", user: str = "") -> str:
        """The URL of an object."""
        return f"http://{user}{'@' if user else ''}127.0.0.1:{self.server_port}{path}"


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """One that runs meanwhile."""
    store = ObjectStore()
    thread = threading.Thread(target=store.serve_forever, args=(0.01,), name="object-store")
    thread.start()
    try:
        yield store
    finally:
        store.shutdown()
        thread.join()
        store.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ObjectStore

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_refused():
            return
        if self.headers["Content-MD5"] != b64encode(hashlib.md5(content).digest()).decode():
            self._answer(400)
            return
        self.server.objects[self.path.partition("?")[0]] = content
        self._answer(201)

    def do_GET(self) -> None:
        if self._is_refused():
            return
        content = self.server.objects.get(self.path.partition("?")[0])
        if content is None:
            self._answer(404)
        elif self.server.truncates > 0:
            self.server.truncates -= 1
            self._answer(200, content, len(content) + 10)
            self.close_connection = True
        else:
            self._answer(200, content)

    def _is_refused(self) -> bool:
        self.server.seen.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}))
        if not self.server.statuses:
            return False
        self._answer(self.server.statuses.pop(0))
        return True

    def _answer(self, status: int, content: bytes = b"", length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)
