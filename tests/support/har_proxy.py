"""A proxy on loopback that records all that goes through it as HAR, as mitmproxy does."""

from __future__ import annotations

import base64
import http.client
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from support.running_server import RunningServer


class HarProxy(RunningServer):
    """A context manager for plain HTTP; ``har()`` is the recording."""

    daemon_threads = False
    block_on_close = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.entries: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def har(self) -> dict[str, Any]:
        """HAR 1.2."""
        creator = {"name": "har-proxy", "version": "1"}
        return {"log": {"version": "1.2", "creator": creator, "pages": [], "entries": list(self.entries)}}


class _Handler(BaseHTTPRequestHandler):
    server: HarProxy
    protocol_version = "HTTP/1.0"
    timeout = 10

    def do_GET(self) -> None:
        started, clock = datetime.now(timezone.utc), time.perf_counter()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        if url.hostname != "127.0.0.1":
            self.send_error(403)
            return
        connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=10)
        sent = [(key, value) for key, value in self.headers.items() if not key.lower().startswith("proxy-")]
        connection.request(self.command, url._replace(scheme="", netloc="").geturl(), body or None, dict(sent))
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        received = reply.getheaders()
        self.server.entries.append(self._entry(started, clock, sent, body, reply.status, received, content))
        self.send_response(reply.status)
        for key, value in received:
            if key.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_OPTIONS = do_GET

    def _entry(
        self, started: datetime, clock: float, sent: list[tuple[str, str]], body: bytes, status: int,
        received: list[tuple[str, str]], content: bytes,
    ) -> dict[str, Any]:  # fmt: skip
        request: dict[str, Any] = {"method": self.command, "url": self.path, "headers": named(sent)}
        if body:
            request["postData"] = {"mimeType": self.headers.get("Content-Type", ""), "text": body.decode()}
        mime = next((value for key, value in received if key.lower() == "content-type"), "")
        shown: dict[str, Any] = {"size": len(content), "mimeType": mime, "text": content.decode("utf-8", "replace")}
        if "json" in mime:  # some recorders write it like this
            shown |= {"text": base64.b64encode(content).decode(), "encoding": "base64"}
        return {
            "startedDateTime": started.isoformat(),
            "time": (time.perf_counter() - clock) * 1000,
            "request": request,
            "response": {"status": status, "headers": named(received), "content": shown, "redirectURL": ""},
        }

    def log_message(self, format: str, *args: Any) -> None:
        pass


def named(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Pairs as HAR writes them."""
    return [{"name": key, "value": value} for key, value in pairs]
