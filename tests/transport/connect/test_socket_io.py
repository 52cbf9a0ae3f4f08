"""The socket below an exchange: timeouts that the kernel keeps, times of arrival, TLS."""

from __future__ import annotations

import contextlib
import functools
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.certificates import Certificates
from support.replies import reply
from support.scripted_server import Do, ScriptedServer

from pytest_ipload.transport.connect import socket_io as wire_module
from pytest_ipload.transport.connect.socket_io import (
    FastSocket,
    PlainFastSocket,
    TimestampingSocket,
    TlsFastSocket,
    arrival_ns,
    ask_for_arrival_times,
    kernel_keeps_time,
    open_fast_socket,
)
from pytest_ipload.transport.connect.tls_socket import TlsSocket, open_tls_socket

Pair = tuple[socket.socket, socket.socket]
kernel_only = pytest.mark.skipif(not kernel_keeps_time(), reason="needs a kernel that keeps time (64-bit Linux)")
TIMEVAL = struct.Struct("ll")
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def without_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "kernel_keeps_time", lambda: False)


KINDS: list[Any] = [pytest.param(TimestampingSocket, marks=kernel_only), PlainFastSocket]


def receive_buffer_timeout(sock: socket.socket, option: int = socket.SO_RCVTIMEO) -> tuple[int, int]:
    seconds, microseconds = TIMEVAL.unpack(sock.getsockopt(socket.SOL_SOCKET, option, TIMEVAL.size))
    return seconds, microseconds


def wait_until_readable(sock: socket.socket) -> None:
    assert select.select([sock], [], [], 5)[0]


# --- timeouts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_receive_ends_after_its_time(kind: Callable[[socket.socket], FastSocket], pair: Pair) -> None:
    wire = kind(pair[0])
    for timeout in (0.05, 0.1):
        wire.set_timeout(timeout)
        assert wire.timeout == timeout
        started = time.perf_counter()
        with pytest.raises((TimeoutError, BlockingIOError)):
            wire.receive()
        assert timeout * 0.9 <= time.perf_counter() - started < timeout + 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_send_ends_after_its_time(kind: Callable[[socket.socket], FastSocket], pair: Pair) -> None:
    wire = kind(pair[0])
    wire.set_timeout(0.05)
    with pytest.raises((TimeoutError, BlockingIOError)):
        wire.send(bytes(50_000_000))


@pytest.mark.parametrize("kind", KINDS)
def test_without_limit_it_waits(kind: Callable[[socket.socket], FastSocket], pair: Pair) -> None:
    wire = kind(pair[0])
    wire.set_timeout(0.01)
    wire.set_timeout(None)
    assert (wire.timeout, pair[0].gettimeout()) == (None, None)
    pair[1].sendall(b"hello")
    assert wire.receive() == b"hello"


@pytest.mark.parametrize("kind", KINDS)
def test_at_most_so_much_is_received_and_nothing_at_the_end(
    kind: Callable[[socket.socket], FastSocket], pair: Pair
) -> None:
    wire = kind(pair[0])
    wire.set_timeout(5)
    pair[1].sendall(b"hello")
    pair[1].close()
    assert [wire.receive(2), wire.receive(2), wire.receive(2), wire.receive(2)] == [b"he", b"ll", b"o", b""]


@kernel_only
@pytest.mark.parametrize(
    ("timeout", "value"),
    [
        (None, (0, 0)), (1e-9, (0, 1)), (0.25, (0, 250_000)), (1, (1, 0)), (1.5, (1, 500_000)),
        (0.9999999, (1, 0)), (30, (30, 0)), (999_999.5, (999_999, 500_000)),
    ],
)  # fmt: skip
def test_the_kernel_is_told_the_time(pair: Pair, timeout: float | None, value: tuple[int, int]) -> None:
    assert TIMEVAL.unpack(wire_module._timeval(timeout)) == value
    wire = TimestampingSocket(pair[0])
    wire.set_timeout(timeout)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        seconds, microseconds = receive_buffer_timeout(pair[0], option)
        told = value[0] + value[1] / 1e6
        assert told <= seconds + microseconds / 1e6 <= told + 0.011  # the kernel counts in ticks
    assert pair[0].gettimeout() is None


@kernel_only
def test_after_relaxing_pythons_timeouts_hold_again(pair: Pair) -> None:
    wire = TimestampingSocket(pair[0])
    wire.set_timeout(0.01)
    wire.relax()
    assert wire.timeout not in (0.01, None)
    assert receive_buffer_timeout(pair[0]) == receive_buffer_timeout(pair[0], socket.SO_SNDTIMEO) == (0, 0)
    pair[0].settimeout(0.1)
    started = time.perf_counter()
    with pytest.raises(TimeoutError, match="timed out"):
        pair[0].recv(1)
    assert time.perf_counter() - started >= 0.09


@kernel_only
def test_relaxing_what_was_never_tense_costs_no_call(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = TimestampingSocket(pair[0])
    monkeypatch.setattr(socket.socket, "setsockopt", lambda *args: pytest.fail("called"))
    wire.relax()


@kernel_only
def test_relaxing_a_broken_socket_is_left_to_its_next_user(pair: Pair) -> None:
    wire = TimestampingSocket(pair[0])
    wire.set_timeout(1)
    pair[0].close()
    wire.relax()
    assert wire.timeout != 1


def test_a_relaxed_plain_wire_sets_its_timeout_anew(pair: Pair) -> None:
    wire = PlainFastSocket(pair[0])
    wire.set_timeout(None)
    wire.relax()
    assert wire.timeout is not None
    assert wire.timeout < 0


# --- arrival -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stamped(pair: Pair) -> TimestampingSocket:
    """A wire whose data have times of arrival: the kernel begins to note them a moment after it was asked."""
    wire = TimestampingSocket(pair[0])
    wire.set_timeout(5)
    for _ in range(200):
        pair[1].sendall(b"x")
        wire.receive()
        if wire.stamp is not None:
            return wire
        time.sleep(0.005)
    pytest.fail("no time of arrival")


@kernel_only
def test_the_time_of_arrival_is_not_that_of_reading(stamped: TimestampingSocket, pair: Pair) -> None:
    before = time.time_ns()
    pair[1].sendall(b"hello")
    wait_until_readable(pair[0])
    arrived = time.time_ns()
    assert stamped.receive() == b"hello"
    assert stamped.stamp is not None
    assert before <= arrival_ns(stamped.stamp) <= arrived


@kernel_only
def test_at_the_end_there_is_no_time_of_arrival(stamped: TimestampingSocket, pair: Pair) -> None:
    pair[1].close()
    assert stamped.receive() == b""
    assert stamped.stamp is None


@kernel_only
def test_a_socket_that_keeps_no_times_is_none_the_worse(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "_SO_TIMESTAMPNS", 9999)
    ask_for_arrival_times(pair[0])
    wire = TimestampingSocket(pair[0])
    pair[1].sendall(b"hello")
    assert (wire.receive(), wire.stamp) == (b"hello", None)


def test_a_stamp_is_a_timespec() -> None:
    assert arrival_ns(struct.pack("qq", 1_800_000_000, 123_456_789)) == 1_800_000_000_123_456_789


# --- which kind ----------------------------------------------------------------------------------------------------


@kernel_only
def test_a_plain_socket_gets_the_kernels_wire(pair: Pair) -> None:
    assert type(open_fast_socket(pair[0])) is TimestampingSocket


@pytest.mark.usefixtures("without_kernel")
def test_elsewhere_it_gets_a_plain_one(pair: Pair) -> None:
    wire = open_fast_socket(pair[0])
    assert type(wire) is PlainFastSocket
    pair[1].sendall(b"x")
    assert (wire.receive(), wire.stamp) == (b"x", None)


def test_a_socket_of_another_class_gets_a_plain_one(pair: Pair) -> None:
    class Other(socket.socket):
        pass

    with Other(fileno=pair[0].detach()) as other:
        assert type(open_fast_socket(other)) is PlainFastSocket


@pytest.mark.parametrize("lack", ["platform", "32 bits", "option", "another size"])
def test_where_the_kernel_keeps_no_time_that_is_found_out(lack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    probe: Callable[[], bool] = kernel_keeps_time.__wrapped__
    if sys.platform == "linux" and struct.calcsize("l") == 8:
        assert probe()
    if lack == "platform":
        monkeypatch.setattr(sys, "platform", "darwin")
    elif lack == "32 bits":
        monkeypatch.setattr(struct, "calcsize", lambda code: 4)
    elif lack == "option":
        monkeypatch.setattr(wire_module, "_SO_TIMESTAMPNS", 9999)
    else:
        monkeypatch.setattr(socket.socket, "getsockopt", lambda *args: b"\x05\0\0\0\0\0\0\0")
    assert not probe()


# --- TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def connect(certificates: Certificates) -> Iterator[Callable[..., TlsSocket]]:
    """Connects to a server under TLS that plays a script."""
    opened: list[Any] = []

    def connect(*script: Any, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> TlsSocket:
        server = ScriptedServer(script, tls=certificates.server_context()).__enter__()
        context = ssl.create_default_context(cafile=certificates.ca)
        context.minimum_version = context.maximum_version = version
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        sock: TlsSocket = open_tls_socket(context, plain, "127.0.0.1")
        opened.extend((functools.partial(server.__exit__, None, None, None), sock.close))
        return sock

    yield connect
    for close in reversed(opened):
        close()


def exchange(wire: FastSocket, length: int, limit: int = 16384) -> tuple[bytes, list[bytes | None]]:
    """Ask, and read so many bytes; and the time of arrival after each read."""
    wire.send(GET)
    received, stamps = b"", []
    while len(received) < length:
        data = wire.receive(limit)
        assert data
        received += data
        stamps.append(wire.stamp)
    return received, stamps


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("limit", [1, 7, 16384])
def test_a_reply_in_several_records_is_read_without_waiting(
    connect: Callable[..., TlsSocket], version: ssl.TLSVersion, limit: int
) -> None:
    wire = open_fast_socket(connect((b"abc", b"defgh", b"ij"), (b"k" * 40_000,), version=version))
    assert type(wire) is TlsFastSocket
    wire.set_timeout(2)
    assert exchange(wire, 10, limit)[0] == b"abcdefghij"
    if limit > 1:
        assert exchange(wire, 40_000, limit * 100)[0] == b"k" * 40_000


@kernel_only
def test_session_tickets_are_not_taken_for_the_reply(
    connect: Callable[..., TlsSocket], stamped: TimestampingSocket
) -> None:
    """They come right behind the handshake, long before the first reply; the kernel notes when (``stamped``)."""
    sock = connect((b"first",), (b"second", b"third"))
    wire = TlsFastSocket(sock)
    wire.set_timeout(5)
    wait_until_readable(sock)  # the tickets are here; nothing was asked for yet
    before = time.time_ns()
    received, (stamp,) = exchange(wire, 5)
    assert received == b"first"
    assert stamp is None or before <= arrival_ns(stamp)


@kernel_only
def test_later_replies_have_times_of_arrival(connect: Callable[..., TlsSocket]) -> None:
    wire = TlsFastSocket(connect(*[(b"reply",)] * 300))
    wire.set_timeout(5)
    exchange(wire, 5)
    for _ in range(200):  # the kernel begins to note them a moment after it was asked
        before = time.time_ns()
        _, (stamp,) = exchange(wire, 5)
        if stamp is not None:
            assert before <= arrival_ns(stamp) <= time.time_ns()
            return
        time.sleep(0.005)
    pytest.fail("no time of arrival")


@pytest.mark.usefixtures("without_kernel")
def test_without_the_kernels_times_tls_has_none(connect: Callable[..., TlsSocket]) -> None:
    wire = TlsFastSocket(connect((b"first",), (b"second",)))
    wire.set_timeout(5)
    assert exchange(wire, 5) == (b"first", [None])
    assert exchange(wire, 6) == (b"second", [None])


def test_what_tls_waits_for_has_a_timeout(connect: Callable[..., TlsSocket]) -> None:
    sock = connect((b"x", Do.STALL))
    wire = TlsFastSocket(sock)
    wire.set_timeout(5)
    exchange(wire, 1)
    wire.set_timeout(0.05)
    with pytest.raises((TimeoutError, BlockingIOError)):
        wire.receive()
    wire.relax()
    assert wire.timeout not in (0.05, None)


def test_the_end_of_tls_is_nothing(connect: Callable[..., TlsSocket]) -> None:
    wire = TlsFastSocket(connect((reply(b""), Do.CLOSE)))
    wire.set_timeout(5)
    exchange(wire, len(reply(b"")))
    assert wire.receive() == b""


def test_the_end_of_tls_without_that_of_the_socket_is_one_each_time(certificates: Certificates) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname(), timeout=5)
    far, _ = listener.accept()
    ended = threading.Event()

    def serve() -> None:
        with certificates.server_context().wrap_socket(far, server_side=True) as server:
            server.recv(100)
            server.settimeout(0.01)
            with contextlib.suppress(OSError):
                server.unwrap()  # says that it is the end, and waits for the client to say so
            ended.wait(5)

    thread = threading.Thread(target=serve)
    thread.start()
    with listener, open_tls_socket(ssl.create_default_context(cafile=certificates.ca), near, "127.0.0.1") as sock:
        wire = TlsFastSocket(sock)
        wire.set_timeout(2)
        wire.send(GET)
        assert [wire.receive(), wire.receive(), wire.receive_into(memoryview(bytearray(9)))] == [b"", b"", 0]
        ended.set()
        thread.join()


def test_a_server_can_ask_for_a_certificate_behind_the_handshake(certificates: Certificates) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname(), timeout=5)
    far, _ = listener.accept()
    context = certificates.server_context(client_required=True)
    context.maximum_version, context.verify_mode = ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.CERT_OPTIONAL
    context.post_handshake_auth = True

    def serve() -> None:
        with context.wrap_socket(far, server_side=True) as server:
            server.settimeout(5)
            server.recv(100)
            server.verify_client_post_handshake()
            server.do_handshake()
            server.sendall(b"who")  # the client reads what it is asked for before this
            server.recv(100)
            server.sendall(b"known" if server.getpeercert(binary_form=True) else b"unknown")

    thread = threading.Thread(target=serve)
    thread.start()
    client = ssl.create_default_context(cafile=certificates.ca)
    client.post_handshake_auth = True
    client.load_cert_chain(*certificates.client)
    with listener, open_tls_socket(client, near, "127.0.0.1") as sock:
        wire = TlsFastSocket(sock)
        wire.set_timeout(5)
        assert exchange(wire, 3)[0] == b"who"
        assert exchange(wire, 5)[0] == b"known"
        thread.join()
