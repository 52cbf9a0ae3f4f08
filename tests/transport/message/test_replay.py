"""Played back: http.client and urllib3 read what was received before, and send nothing."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests import PreparedRequest
from requests.cookies import RequestsCookieJar
from support.replies import LAST, chunk, chunked, head, reply
from support.stock import read_stock
from urllib3.connection import HTTPConnection

from pytest_ipload.transport.message.replay import ReplaySocket, replayed_response, request_bytes


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(2)
        yield ours, theirs


def through_http_client(sock: ReplaySocket, method: str = "GET") -> Any:
    connection = HTTPConnection("host.test")
    connection.sock = cast(Any, sock)
    connection.request(method, "/", preload_content=False)
    response = connection.getresponse()
    connection.sock = None
    return response


def test_what_was_received_is_played_and_then_the_socket_goes_on(pair: tuple[socket.socket, socket.socket]) -> None:
    data = reply(b"hello, world")
    for place in range(len(data)):
        pair[1].sendall(data[place:])
        sock = ReplaySocket(data[:place], real=pair[0])
        response = through_http_client(sock)
        assert response.read() == b"hello, world"
        assert b"".join(sock.sent).startswith(b"GET / HTTP/1.1\r\n")
    pair[0].setblocking(False)
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)  # nothing was sent


def test_the_end_of_the_socket_is_the_end(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    assert through_http_client(ReplaySocket(head() + b"until the end", real=pair[0])).read() == b"until the end"


def test_without_a_socket_the_end_follows() -> None:
    with ReplaySocket(b"abc").makefile("rb") as file:
        assert file.read() == b"abc"
        assert file.read() == b""


def test_an_error_follows_what_was_received(pair: tuple[socket.socket, socket.socket]) -> None:
    error = ConnectionResetError(104, "Connection reset by peer")
    with ReplaySocket(b"ab\ncd", real=pair[0], error=error).makefile("rb") as file:
        assert file.readline() == b"ab\n"
        assert file.read(2) == b"cd"
        with pytest.raises(ConnectionResetError) as raised:
            file.read(1)
    assert raised.value is error


def test_sending_raises_what_sending_raised() -> None:
    error = BrokenPipeError(32, "Broken pipe")
    sock = ReplaySocket(send_error=error)
    with pytest.raises(BrokenPipeError) as raised:
        sock.sendall(b"x")
    assert raised.value is error
    assert sock.sent == []


def test_it_stands_for_the_real_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    sock = ReplaySocket(real=ours)
    assert sock.fileno() == ours.fileno()
    sock.settimeout(1.5)
    assert ours.gettimeout() == 1.5
    sock.shutdown(socket.SHUT_RDWR)
    assert theirs.recv(1) == b""
    sock.close()
    assert ours.fileno() == -1


def test_alone_it_stands_for_no_socket() -> None:
    sock = ReplaySocket()
    assert sock.fileno() == -1
    sock.settimeout(1)
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def test_the_real_socket_stays_open_when_the_file_is_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    ReplaySocket(b"x", real=pair[0]).makefile("rb").close()
    pair[1].sendall(b"y")
    assert pair[0].recv(1) == b"y"


def test_the_file_is_a_buffered_reader_as_http_client_uses_one() -> None:
    file = ReplaySocket(b"line\nrest").makefile("rb")
    assert isinstance(file, io.BufferedReader)
    assert file.peek(1) == b"line\nrest"
    file.close()


# --- requests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "kwargs", "expected"),
    [
        ("GET", {}, b"GET /a?b=1 HTTP/1.1\r\nHost: host.test:81\r\nAccept-Encoding: identity\r\nX-A: b\r\n\r\n"),
        (
            "POST",
            {"data": b"12"},
            b"POST /a?b=1 HTTP/1.1\r\nHost: host.test:81\r\nAccept-Encoding: identity\r\nX-A: b\r\n"
            b"Content-Length: 2\r\n\r\n12",
        ),
        (
            "POST",
            {"data": "\xe4"},
            b"POST /a?b=1 HTTP/1.1\r\nHost: host.test:81\r\nAccept-Encoding: identity\r\nX-A: b\r\n"
            b"Content-Length: 2\r\n\r\n\xc3\xa4",
        ),
    ],
)
def test_a_request_is_written_down_as_urllib3_sends_it(method: str, kwargs: dict[str, Any], expected: bytes) -> None:
    request = PreparedRequest()
    request.prepare(
        method=method,
        url="http://host.test:81/a?b=1",
        headers={"X-A": "b"},
        cookies=RequestsCookieJar(),
        **kwargs,
    )
    written = request_bytes(request, HTTPConnection("host.test", 81))
    assert without_agent(written) == expected


def without_agent(data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(b"User-Agent: python-urllib3/"))


def test_a_body_of_which_nobody_said_the_length_is_sent_in_chunks() -> None:
    request = PreparedRequest()
    request.prepare(method="POST", url="http://host.test/", headers={}, data=b"abc", cookies=RequestsCookieJar())
    del request.headers["Content-Length"]
    written = request_bytes(request, HTTPConnection("host.test"))
    assert b"\r\nTransfer-Encoding: chunked\r\n" in written
    assert written.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


# --- replies -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=20), max_size=3), st.booleans(), st.sampled_from(["GET", "HEAD"]))
def test_a_replayed_response_is_urllib3s(parts: list[bytes], is_chunked: bool, method: str) -> None:
    fields = ("Set-Cookie: a=1", "Set-Cookie: b=2", "X-A: b")
    data = chunked(*map(chunk, parts), LAST, headers=fields) if is_chunked else reply(b"".join(parts), *fields)
    expected, replayed = read_stock(data, method)[0], replayed_response(data, method, "/a?b")
    assert replayed.tell() == 0
    assert (replayed.status, replayed.reason, replayed.version) == (expected.status, expected.reason, expected.version)
    assert list(replayed.headers.items()) == list(expected.headers.items())
    assert replayed.read() == expected.read() == (b"" if method == "HEAD" else b"".join(parts))
    assert replayed.geturl() == "/a?b"
    replayed.close()
