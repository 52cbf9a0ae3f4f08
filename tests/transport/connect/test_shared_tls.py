"""One thread reads a TLS connection while another one writes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from support.certificates import Certificates

from pytest_ipload.transport.connect.shared_tls import SharedTls, SharedTlsSocket


@contextlib.contextmanager
def connected(certificates: Certificates) -> Iterator[tuple[SharedTlsSocket, ssl.SSLSocket]]:
    """Both ends of a connection."""
    near, far = socket.socketpair()
    served: list[ssl.SSLSocket] = []
    serve = certificates.server_context().wrap_socket
    thread = threading.Thread(target=lambda: served.append(serve(far, server_side=True)))
    thread.start()
    context = ssl.create_default_context(cafile=certificates.ca)
    with SharedTls(context).wrap_socket(near, server_hostname="127.0.0.1") as client:
        thread.join()
        with served[0] as server:
            yield client, server


def test_a_reader_that_waits_keeps_no_writer(certificates: Certificates) -> None:
    with connected(certificates) as (client, server):
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(client.recv(5)))
        reader.start()
        whole = bytes(range(256)) * 4096  # more than the socket takes at once
        writer = threading.Thread(target=client.sendall, args=(whole,))
        writer.start()
        received = b""
        while len(received) < len(whole):
            received += server.recv(65536)
        assert received == whole
        assert got == []
        server.sendall(b"reply")
        reader.join()
        writer.join()
        assert got == [b"reply"]


def test_its_timeout_and_its_end(certificates: Certificates) -> None:
    with connected(certificates) as (client, server):
        client.settimeout(0.01)
        with pytest.raises(TimeoutError, match="timed out"):
            client.recv(1)
        client.settimeout(None)
        server.shutdown(socket.SHUT_RDWR)
        assert client.recv(1) == b""
