"""A server of metrics whose replies a test chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROCESS = """\
# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total {cpu}
process_resident_memory_bytes {rss}
process_open_fds 12.0
process_start_time_seconds {started}
app_requests_total{{path="/"}} 9
"""


class MetricsServer:
    """Replies with ``reply(path)``: a status and a text; None for no reply at all."""

    def __init__(self) -> None:
        self.reply: Callable[[str], tuple[int, str] | None] = lambda path: (404, "")
        self.requests: list[tuple[str, dict[str, str]]] = []
        """Each with its path and its headers."""
        self.closing = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.requests.append((self.path, dict(self.headers.items())))
                found = owner.reply(self.path)
                if found is None:
                    owner.closing.wait(30)
                    return
                status, text = found
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self) -> None:
        """Until ``stop``."""
        self._server.serve_forever(poll_interval=0.01)

    def stop(self) -> None:
        """No more replies."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def metrics_server() -> Iterator[MetricsServer]:
    """A server for as long as a test needs it."""
    server = MetricsServer()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
