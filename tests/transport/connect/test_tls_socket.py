"""TLS sockets whose records pass through memory, as sockets of Python's own ``ssl``."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.certificates import Certificates

from pytest_ipload.transport.connect import tls_socket
from pytest_ipload.transport.connect.tls_socket import (
    MOST_AT_ONCE,
    TELLS_RESETS,
    TlsSocket,
    TlsSocketContext,
    open_tls_socket,
)

WHOLE = bytes(range(256)) * 1024
"""More than a record holds."""


@contextlib.contextmanager
def connected(certificates: Certificates) -> Iterator[tuple[TlsSocket, ssl.SSLSocket]]:
    """Both ends of a connection."""
    near, served, thread = begin(certificates)
    context = ssl.create_default_context(cafile=certificates.ca)
    with open_tls_socket(context, near, "127.0.0.1") as client:
        thread.join()
        with served[0] as server:
            yield client, server


def begin(certificates: Certificates) -> tuple[socket.socket, list[Any], threading.Thread]:
    """The client's end, before its handshake; what the server's end becomes, a socket or an error."""
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    listener.close()
    near.settimeout(5)
    far.settimeout(5)
    served: list[Any] = []

    def serve() -> None:
        try:
            served.append(certificates.server_context().wrap_socket(far, server_side=True))
        except OSError as error:
            served.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    return near, served, thread


def test_it_is_a_socket_of_ssl(certificates: Certificates) -> None:
    with connected(certificates) as (client, server):
        assert type(client) is TlsSocket
        assert client.version() == "TLSv1.3"
        assert client.cipher() == server.cipher()
        assert client.getpeercert(binary_form=True)
        assert client.getpeercert()["subjectAltName"] == (  # type: ignore[index]  # it was verified
            ("DNS", "localhost"),
            ("IP Address", "127.0.0.1"),
            ("IP Address", "0:0:0:0:0:0:0:1"),
        )
        assert client.server_hostname == "127.0.0.1"


def test_all_that_one_side_sends_comes_to_the_other(certificates: Certificates) -> None:
    with connected(certificates) as (client, server):
        for source, target in ((client, server), (server, client)):
            sender = threading.Thread(target=source.sendall, args=(WHOLE,))
            sender.start()
            received = b""
            while len(received) < len(WHOLE):
                received += target.recv(1000)
            sender.join()
            assert received == WHOLE
        client.write(b"written")
        assert server.recv(100) == b"written"
        server.sendall(b"read")
        buffer = bytearray(10)
        assert client.recv_into(buffer) == 4
        assert buffer[:4] == b"read"
        server.sendall(b"a line\nand more")
        with client.makefile("rb") as file:
            assert file.readline() == b"a line\n"


def test_what_nobody_has_read_yet_is_told(certificates: Certificates) -> None:
    with connected(certificates) as (client, server):
        assert not client.pending()
        server.sendall(b"one")
        assert client.recv(1) == b"o"
        assert client.pending()  # decrypted
        assert client.recv(10) == b"ne"
        assert not client.pending()
        server.sendall(b"two")
        server.sendall(b"three")
        client.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while client.incoming.pending < 2 * len(b"two"):  # both records
                client.incoming.write(client.below.recv(1000))
        assert client.pending()  # still encrypted


def test_a_socket_that_must_not_wait_says_what_it_waits_for(certificates: Certificates) -> None:
    with connected(certificates) as (client, server):
        client.settimeout(0.0)
        with pytest.raises(ssl.SSLWantReadError):
            client.recv(1)
        client.settimeout(0.01)
        with pytest.raises(TimeoutError, match="timed out"):
            client.recv(1)
        client.settimeout(5)
        server.sendall(b"x")
        assert client.recv(1) == b"x"


def test_the_end_is_an_end(certificates: Certificates) -> None:
    with connected(certificates) as (client, server):
        server.shutdown(socket.SHUT_RDWR)  # without the alert that TLS asks for, as most servers do it
        assert client.recv(1) == b""
    with connected(certificates) as (client, server):
        closing = threading.Thread(target=server.unwrap)
        closing.start()
        assert client.recv(1) == b""
        assert client.unwrap() is client
        closing.join()


def test_a_reset_is_what_it_is_to_ssl(certificates: Certificates) -> None:
    with connected(certificates) as (client, server):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        server.close()
        if TELLS_RESETS:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        else:
            assert client.recv(1) == b""


def test_a_thread_that_reads_ends_when_another_one_shuts_the_socket_down(certificates: Certificates) -> None:
    with connected(certificates) as (client, server):
        server.sendall(b"x")
        assert client.recv(1) == b"x"  # and the session tickets before it
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.append(client.recv(1)))
        reader.start()
        client.shutdown(socket.SHUT_RDWR)
        reader.join()
        assert received == [b""]


def test_a_send_that_was_too_long_can_be_repeated(certificates: Certificates) -> None:
    with connected(certificates) as (client, server):
        client.setblocking(False)
        sent = 0
        with contextlib.suppress(ssl.SSLWantWriteError):
            while sent < 100 * len(WHOLE):
                sent += client.send(WHOLE)
        assert 0 < sent < 100 * len(WHOLE)
        client.settimeout(5)
        received: list[bytes] = []

        def read() -> None:
            while data := server.recv(65536):
                received.append(data)

        reader = threading.Thread(target=read)
        reader.start()
        sent += client.send(WHOLE)  # the same again
        sent += client.send(b"end")
        client.shutdown(socket.SHUT_WR)
        reader.join()
        whole = b"".join(received)
        assert len(whole) == sent
        assert whole[-4:] == WHOLE[MOST_AT_ONCE - 1 : MOST_AT_ONCE] + b"end"


def test_pieces_of_a_record_have_one_timeout(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(certificates) as (client, server):
        now = iter((0.0, 5.0))
        monkeypatch.setattr(tls_socket, "monotonic", lambda: next(now))
        socket.socket.send(server, b"\x17\x03\x03\x01\x00")
        with pytest.raises(TimeoutError, match="timed out"):
            client.recv(1)
        assert client.gettimeout() == 5


def test_the_server_learns_why_it_was_refused(certificates: Certificates) -> None:
    near, served, thread = begin(certificates)
    with pytest.raises(ssl.SSLCertVerificationError, match="CERTIFICATE_VERIFY_FAILED"):
        open_tls_socket(ssl.create_default_context(cafile=certificates.other_ca), near, "127.0.0.1")
    thread.join()
    if isinstance(served[0], ssl.SSLSocket):  # TLS 1.3: the server is done before the client refuses it
        with served[0], pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
            served[0].recv(1)
    else:
        assert "UNKNOWN_CA" in str(served[0])


def test_a_handshake_has_one_timeout_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = socket.socketpair()
    now = iter((0.0, 5.0))
    monkeypatch.setattr(tls_socket, "monotonic", lambda: next(now))
    with near, far:
        near.settimeout(5)
        far.sendall(b"\x16\x03\x03")  # the beginning of a record
        with pytest.raises(TimeoutError, match="timed out"):
            open_tls_socket(ssl.create_default_context(), near, "127.0.0.1")


@pytest.mark.parametrize("lack", ["class of context", "class of sockets", "hook", "wrapper", "class of socket"])
def test_what_others_have_made_is_used_as_it_is(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, lack: str
) -> None:
    class OtherContext(ssl.SSLContext):
        pass

    class OtherTls(ssl.SSLSocket):
        pass

    class OtherSocket(socket.socket):
        pass

    near, served, thread = begin(certificates)
    kind = OtherContext if lack == "class of context" else ssl.SSLContext
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates.ca)
    seen: list[object] = []
    if lack == "class of sockets":
        context.sslsocket_class = OtherTls
    elif lack == "class of socket":
        near = OtherSocket(fileno=near.detach())
    elif lack == "hook":
        stock = ssl.SSLContext.wrap_socket

        def hook(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
            seen.append(self)
            return stock(self, *args, **kwargs)

        monkeypatch.setattr(ssl.SSLContext, "wrap_socket", hook)
    elif lack == "wrapper":
        monkeypatch.setattr(ssl.SSLContext, "wrap_socket", Wrapper(ssl.SSLContext.wrap_socket, seen))
    client = TlsSocketContext(context).wrap_socket(near, "127.0.0.1")
    thread.join()
    with client, served[0]:
        assert type(client) is (OtherTls if lack == "class of sockets" else ssl.SSLSocket)
    assert bool(seen) is (lack in ("hook", "wrapper"))


class Wrapper:
    """A wrapper as wrapt makes them: it shows the attributes of what it wraps."""

    def __init__(self, wrapped: Any, seen: list[object]) -> None:
        self._wrapped, self._seen = wrapped, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __get__(self, context: object, kind: object) -> Any:
        self._seen.append(context)
        return self._wrapped.__get__(context, kind)


def test_the_context_behind_it_can_be_read_and_set() -> None:
    context = ssl.create_default_context()
    stand_in: Any = TlsSocketContext(context)
    assert stand_in.verify_mode is ssl.CERT_REQUIRED
    stand_in.check_hostname = False
    assert context.check_hostname is False
