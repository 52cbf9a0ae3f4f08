"""A forwarding HTTP proxy on loopback, with CONNECT, that remembers its peers."""

from __future__ import annotations

import contextlib
import selectors
import socket
import socketserver
import threading
from types import TracebackType
from urllib.parse import urlsplit


class RecordingProxy(socketserver.ThreadingTCPServer):
    """A context manager. ``peers`` are the addresses its clients came from, ``requests`` their request lines."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.peers: list[str] = []
        self.requests: list[str] = []
        self.stopping = False
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name="recording-proxy")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> RecordingProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopping = True
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(socketserver.StreamRequestHandler):
    server: RecordingProxy

    def handle(self) -> None:
        self.request.settimeout(5)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.request.recv(1)
            if not byte:
                return
            head += byte
        line, _, headers = head.partition(b"\r\n")
        method, target, version = line.decode("latin-1").split()
        self.server.peers.append(self.client_address[0])
        self.server.requests.append(f"{method} {target}")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), 5) as upstream:
                self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._relay(upstream)
        else:
            url = urlsplit(target)
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            with socket.create_connection((url.hostname or "", url.port or 80), 5) as upstream:
                upstream.sendall(f"{method} {path} {version}\r\nConnection: close\r\n".encode("latin-1") + headers)
                self._relay(upstream)

    def _relay(self, upstream: socket.socket) -> None:
        """Copy bytes both ways until one side is done or the proxy stops."""
        other = {self.request: upstream, upstream: self.request}
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
            for sock in other:
                selector.register(sock, selectors.EVENT_READ)
            while not self.server.stopping:
                for key, _ in selector.select(0.02):
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    data = source.recv(65536)
                    if not data:
                        return
                    other[source].sendall(data)
