"""A TLS server that sees which handshakes resumed a session."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading


class HandshakeServer:
    """Answers one request on each connection; ``resumed`` says of each whether its handshake resumed a session."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.resumed: list[bool] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), plain, self.context.wrap_socket(plain, server_side=True) as sock:
                sock.recv(65536)
                self.resumed.append(bool(sock.session_reused))
                sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    def __enter__(self) -> HandshakeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
