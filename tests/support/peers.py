"""Small servers that say, and remember, which address a connection or a datagram came from."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from socketserver import BaseRequestHandler, StreamRequestHandler, ThreadingTCPServer, ThreadingUDPServer
from types import TracebackType
from typing import Any

Dialogue = Callable[[StreamRequestHandler], object]
"""What a server does with a connection."""


def tell_address(handler: StreamRequestHandler) -> None:
    """Answer each line with the client's address."""
    for _ in handler.rfile:
        handler.wfile.write(handler.client_address[0].encode() + b"\n")


class PeerServer:
    """A TCP server, or with ``datagrams`` a UDP one that answers with the address; ``peers`` are who came."""

    def __init__(self, dialogue: Dialogue = tell_address, host: str = "127.0.0.1", *, datagrams: bool = False) -> None:
        self.peers: list[str] = []
        peers = self.peers

        class Stream(StreamRequestHandler):
            def handle(self) -> None:
                peers.append(self.client_address[0])
                dialogue(self)

        class Datagram(BaseRequestHandler):
            def handle(self) -> None:
                peers.append(self.client_address[0])
                self.request[1].sendto(self.client_address[0].encode(), self.client_address)

        kind: Any = ThreadingUDPServer if datagrams else ThreadingTCPServer
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server: Any = type("Server", (kind,), {"address_family": family, "daemon_threads": True})
        self._server = server((host, 0), Datagram if datagrams else Stream)
        self.port = int(self._server.server_address[1])
        self.address = (host, self.port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="peer-server")

    def __enter__(self) -> PeerServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
