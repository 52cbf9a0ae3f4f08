"""Where a reply ends: lengths, connections that close, interim replies, replies without a body.

On purpose not as in requests: a connection on which a 1xx came in the place of a reply is not used again. Those cases
are in test_session_samples.py.
"""

from __future__ import annotations

import pytest
from requests.exceptions import ChunkedEncodingError, ConnectionError, InvalidHeader, ReadTimeout
from support.differential import Case, assert_same, call, cut, do, fails, get, replies, times_out
from support.replies import LAST, chunk, chunked, head, reply
from support.scripted_server import OK, Do, Pause

LENGTHS = [
    "5",
    "0005",
    "+5",
    "-5",
    "-0",
    "five",
    "",
    " ",
    "5, 5",
    "5,",
    ",5",
    "5;5",
    "5 5",
    "1e1",
    "0x5",
    "0_5",
    "²",
    "5.0",
]
CONNECTIONS = [
    "Close",
    "CLOSE",
    "keep-alive",
    "Keep-Alive",
    "keep-alive, close",
    "close, keep-alive",
    "closed",
    "upgrade",
]

CASES = {
    "length 0": replies(reply(b"")),
    "length": replies(reply(b"hello")),
    "length 1 MiB": replies(reply(b"0123456789abcdef" * 65536, "Content-Type: text/plain; charset=ascii")),
    **{
        f"length {length!r} and closed": replies(head(f"Content-Length: {length}") + b"hello", Do.CLOSE)
        for length in (*LENGTHS, "\t5\t", "5\x0b")
    },
    "length of two": fails(InvalidHeader, head("Content-Length: 5, 6") + b"hello", Do.CLOSE),
    "length twice, equal": replies(head("Content-Length: 5", "content-length: 5") + b"hello"),
    "length twice, different": fails(
        InvalidHeader, head("Content-Length: 5", "Content-Length: 6") + b"hello!", Do.CLOSE
    ),
    "length absurd": fails(ChunkedEncodingError, head(f"Content-Length: {10**15}") + b"hello", Do.CLOSE),
    "length of 5000 digits": replies(head(f"Content-Length: {'9' * 5000}") + b"hello", Do.CLOSE),
    "less than the length": fails(ChunkedEncodingError, head("Content-Length: 9") + b"hello", Do.CLOSE),
    "less than the length, half closed": fails(
        ChunkedEncodingError, head("Content-Length: 9") + b"hello", Do.HALF_CLOSE
    ),
    "nothing of the body": fails(ChunkedEncodingError, head("Content-Length: 9"), Do.CLOSE),
    "reset in the body": fails(ChunkedEncodingError, head("Content-Length: 9") + b"hello", Pause(0.01), Do.RESET),
    "reset before the body": fails(ChunkedEncodingError, head("Content-Length: 9"), Pause(0.01), Do.RESET),
    "stall in the body": times_out(ConnectionError, head("Content-Length: 9") + b"hello", Do.STALL),
    "stall before the body": times_out(ConnectionError, head("Content-Length: 9"), Do.STALL),
    "slow, though each gap is within the timeout": Case(
        [(b"HTTP/1.1 200 OK\r\n", Pause(0.1), b"Content-Length: 4\r\n\r\n", Pause(0.1), b"ab", Pause(0.1), b"cd")],
        [get(timeout=0.25)],
    ),
    "until it closes": replies(head("Content-Type: text/plain") + b"hello", Do.CLOSE),
    "until it half closes": replies(head() + b"hello", Do.HALF_CLOSE),
    "until it closes, empty": replies(head(), Do.CLOSE),
    "until it closes, said to be kept": replies(head("Connection: keep-alive") + b"hello", Do.CLOSE),
    "until it closes, in pieces": replies(head() + b"hello", Pause(0.01), b" world", Do.CLOSE),
    "until it is reset": fails(ChunkedEncodingError, head() + b"hello", Pause(0.01), Do.RESET),
    "stall before it closes": times_out(ConnectionError, head() + b"hello", Do.STALL),
    "closed after the reply, unannounced": replies(reply(), Do.CLOSE),
    "half closed after the reply": replies(reply(), Do.HALF_CLOSE),
    "reset after the reply": replies(reply(), Do.RESET),
    "closed by the client only": replies(reply(b"hello", "Connection: close"), Do.STALL),
    "closed in place of the second reply": Case([OK, (Do.CLOSE,)], [get(), get()], [ConnectionError]),
    "reset in place of the second reply": Case([OK, (Do.RESET,)], [get(), get()], [ConnectionError]),
    "closed in place of the second reply to a POST": Case(
        [OK, (Do.CLOSE,)], [get(), call("POST", data=b"x")], [ConnectionError]
    ),
    **{
        f"connection {value!r}": replies(reply(b"hello", f"Connection: {value}"))
        for value in (*CONNECTIONS, "x-close", "", "  close  ", '"close"', "close;x")
    },
    "connection twice, close last": replies(reply(b"hello", "Connection: keep-alive", "Connection: close")),
    "connection twice, close first": replies(reply(b"hello", "Connection: close", "Connection: keep-alive")),
    "keep-alive header": replies(reply(b"hello", "Keep-Alive: timeout=5, max=100")),
    "proxy-connection": replies(reply(b"hello", "Proxy-Connection: close")),
    "close and chunked": replies(chunked(chunk(b"hello"), LAST, headers=("Connection: close",))),
    "1.0": replies(reply(b"hello", version="HTTP/1.0"), Do.CLOSE),
    "1.0, not closed": replies(reply(b"hello", version="HTTP/1.0")),
    "1.0 kept": replies(reply(b"hello", "Connection: keep-alive", version="HTTP/1.0")),
    "1.0 kept by another header": replies(reply(b"hello", "Keep-Alive: timeout=5", version="HTTP/1.0")),
    "1.0 kept, as for a proxy": replies(reply(b"hello", "Proxy-Connection: Keep-Alive", version="HTTP/1.0")),
    "1.0 until it closes": replies(head(version="HTTP/1.0") + b"hello", Do.CLOSE),
    "1.0 chunked": replies(chunked(chunk(b"hello"), LAST, version="HTTP/1.0"), Do.CLOSE),
    "0.9": fails(ConnectionError, b"<html>hello</html>", Do.CLOSE),
    "100 first": replies(head(status="100 Continue") + reply()),
    "100 first, alone": replies(head(status="100 Continue"), Pause(0.01), reply()),
    "100 first, with headers": replies(head("X-Early: 1", "Set-Cookie: early=1", status="100 Continue") + reply()),
    "100 first, of two lines only": fails(ConnectionError, b"HTTP/1.1 100 Continue\r\n" + reply(), Do.CLOSE),
    "100 many times": replies(head(status="100 Continue") * 5 + reply()),
    "100 only": fails(ConnectionError, head(status="100 Continue"), Do.CLOSE),
    "100 and a stall": times_out(ReadTimeout, head(status="100 Continue"), Do.STALL),
    "101": replies(head("Connection: Upgrade", "Upgrade: echo", status="101 Switching Protocols"), Do.CLOSE),
    "204": replies(head(status="204 No Content")),
    "304": replies(head('ETag: "a"', status="304 Not Modified")),
    "304 with a length, as to HEAD": replies(head("Content-Length: 5", status="304 Not Modified")),
    "204 with an encoding": replies(head("Content-Encoding: gzip", status="204 No Content")),
    "HEAD, then GET": Case([(head("Content-Length: 2"),), OK], [call("HEAD"), get()]),
    "no header at all, closed": replies(b"HTTP/1.1 200 OK\r\n\r\nhello", Do.CLOSE),
    "nothing": fails(ConnectionError, Do.CLOSE),
    "nothing, reset": fails(ConnectionError, Do.RESET),
    "nothing, half closed": fails(ConnectionError, Do.HALF_CLOSE),
    "stall": times_out(ReadTimeout, Do.STALL),
    "stall in the head": times_out(ReadTimeout, b"HTTP/1.1 200 OK\r\nContent-", Do.STALL),
    "stall on a kept connection": Case([OK, (Do.STALL,), OK], [get(), get(timeout=0.1), get()], [ReadTimeout]),
    "end in the status line": fails(ConnectionError, b"HTTP/1.1 20", Do.CLOSE),
    "end in a header": replies(b"HTTP/1.1 200 OK\r\nContent-Le", Do.CLOSE),
    "end before the empty line": replies(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", Do.CLOSE),
    "end in the empty line": replies(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r", Do.CLOSE),
    "reset in the head": fails(ConnectionError, b"HTTP/1.1 200 OK\r\nContent-Le", Pause(0.01), Do.RESET),
    "closed session, used again": Case([OK, OK], [get(), do(lambda s: s.close()), get()]),
}

# Behind the end. What a client gets hold of depends on the segments, for requests too: so these come in one.
MORE = {
    "more than length 4": replies(head("Content-Length: 4") + b"hello", Do.CLOSE),
    "more than length 0": replies(head("Content-Length: 0") + b"hello", Do.CLOSE),
    "more than the length": replies(reply(b"hello") + b" and more"),
    "more than the length, in a later segment, and closed": replies(
        head("Content-Length: 5") + b"he", b"llo and more", Do.CLOSE
    ),
    "another reply behind it": replies(reply(b"hello") + reply(b"nobody asked")),
    "line end behind it": replies(reply(b"hello") + b"\r\n"),
    "more than the length, and closed": replies(reply(b"hello") + b" and more", Do.CLOSE),
    "103 first, in front of a close": replies(head(status="103 Early Hints") + head() + b"hello", Do.CLOSE),
    **{
        f"{status.partition(' ')[0]} {what}": replies(head(*headers, status=status) + body)
        for status in ("204 No Content", "304 Not Modified", "205 Reset Content")
        for what, headers, body in (
            ("with length 0", ("Content-Length: 0",), b""),
            ("with a body", ("Content-Length: 5",), b"hello"),
            ("chunked", ("Transfer-Encoding: chunked",), chunk(b"hello") + LAST),
        )
    },
    "204 with a body until it closes": replies(head(status="204 No Content") + b"hello", Do.CLOSE),
    **{
        f"HEAD, {what}": Case([(head(*headers) + body,)], [call("HEAD")])
        for what, headers, body in (
            ("length", ("Content-Length: 5",), b""),
            ("no length", (), b""),
            ("bad length", ("Content-Length: x",), b""),
            ("chunked", ("Transfer-Encoding: chunked",), b""),
            ("gzip", ("Content-Encoding: gzip", "Content-Length: 5"), b""),
            ("close", ("Connection: close", "Content-Length: 5"), b""),
            ("a body in spite of it", ("Content-Length: 5",), b"hello"),
        )
    },
}

LEFT_OVER = {
    "more than the length, in a later segment, and reset": replies(
        head("Content-Length: 5") + b"he", b"llo and more", Do.RESET
    ),
    "more, later, and reset": Case(
        [(reply(), Do.HOLD, b"HTTP/1.1 408 Too late\r\n\r\n", Do.RESET)], [get(), lambda _, at: at.server.release()]
    ),
}

ALL = CASES | MORE
WAITING = ("stall", "slow", "MiB")


@pytest.mark.parametrize("name", ALL)
def test_a_reply_ends_where_it_does_for_requests(name: str) -> None:
    assert_same(name, ALL[name])


@pytest.mark.parametrize("name", [name for name in CASES if not any(word in name for word in WAITING)])
def test_segments_make_no_difference(name: str) -> None:
    assert_same(name, cut(CASES[name], 5, seed=len(name)), "cut")


# The next request cannot be sent, and what is left on the connection could be taken for its reply.
@pytest.mark.parametrize("name", LEFT_OVER)
def test_what_is_left_on_a_connection_that_was_reset_is_no_reply(name: str) -> None:
    assert_same(name, LEFT_OVER[name], "cold")
