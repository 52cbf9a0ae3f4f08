"""Replies in chunks, right and wrong."""

from __future__ import annotations

import pytest
from requests.exceptions import ChunkedEncodingError, ConnectionError
from support.differential import Case, assert_same, call, cut, fails, get, replies, times_out
from support.replies import LAST, chunk, chunked, head, reply
from support.scripted_server import OK, Do, Pause

SIZES = ["5", "05", "00000000000005", "5 ", "5;", "5;a", '5;a="b"', '5 ; a = "b;c"', "5\t", "+5", " 5", "0x5", "0_5"]
WRONG_SIZES = ["", "xyz", "5 5", "g", ";a", "²", "5,5"]
CODINGS = [
    "Chunked",
    "CHUNKED",
    " chunked ",
    "gzip, chunked",
    "chunked, gzip",
    "identity",
    "chunked, chunked",
    "chunke",
]
CODINGS += ["", "xchunked", '"chunked"', "identity, chunked", "chunked;q=1", "chunked,"]

CASES = {
    "one chunk": replies(chunked(chunk(b"hello"), LAST)),
    "no chunk": replies(chunked(LAST)),
    "many chunks": replies(chunked(*(chunk(b"%d," % number) for number in range(200)), LAST)),
    "1 MiB in chunks": replies(
        chunked(*[chunk(b"0123456789abcdef" * 4096)] * 16, LAST, headers=("Content-Type: text/plain; charset=ascii",))
    ),
    "upper-case size": replies(chunked(b"1A\r\n" + b"x" * 26 + b"\r\n", LAST)),
    "lower-case size": replies(chunked(b"1a\r\n" + b"x" * 26 + b"\r\n", LAST)),
    **{f"size {size!r}": replies(chunked(size.encode("latin-1"), b"\r\nhello\r\n", LAST), Do.CLOSE) for size in SIZES},
    **{
        f"size {size!r}": fails(ChunkedEncodingError, chunked(size.encode("latin-1"), b"\r\nhello\r\n", LAST), Do.CLOSE)
        for size in WRONG_SIZES
    },
    "negative size": fails(ValueError, chunked(b"-5", b"\r\nhello\r\n", LAST), Do.CLOSE),
    "size absurd": fails(ChunkedEncodingError, chunked(b"f" * 15, b"\r\nhello\r\n"), Do.CLOSE),
    "size too long a line": fails(
        ChunkedEncodingError, chunked(b"5;" + b"a" * 70000, b"\r\nhello\r\n", LAST), Do.CLOSE
    ),
    "extension of the last chunk": replies(chunked(chunk(b"hello"), b"0;a=b\r\n\r\n")),
    "last chunk of many noughts": replies(chunked(chunk(b"hello"), b"0000\r\n\r\n")),
    "a trailer": replies(chunked(chunk(b"hello"), b"0\r\nX-Sum: 1\r\n\r\n")),
    "trailers": replies(chunked(chunk(b"hello"), b"0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\nbad line\r\n\r\n")),
    "a long trailer": fails(
        ChunkedEncodingError, chunked(chunk(b"hello"), b"0\r\nX-Sum: " + b"1" * 70000 + b"\r\n\r\n"), Do.CLOSE
    ),
    "many trailers": replies(chunked(chunk(b"hello"), b"0\r\n" + b"X-Sum: 1\r\n" * 300 + b"\r\n")),
    "a trailer, then no end": replies(chunked(chunk(b"hello"), b"0\r\nX-Sum: 1\r\n"), Do.CLOSE),
    "cut off in a trailer": replies(chunked(chunk(b"hello"), b"0\r\nX-Su"), Do.CLOSE),
    "bare line feeds": fails(ChunkedEncodingError, chunked(b"5\nhello\n0\n\n"), Do.CLOSE),
    "line feed after the size": replies(chunked(b"5\nhello\r\n", LAST)),
    "no line end after the data": fails(ChunkedEncodingError, chunked(b"5\r\nhello", LAST), Do.CLOSE),
    "wrong line end after the data": replies(chunked(b"5\r\nhelloXX0\r\n\r\n"), Do.CLOSE),
    "data longer than its size": fails(ChunkedEncodingError, chunked(b"4\r\nhello\r\n", LAST), Do.CLOSE),
    "data shorter than its size": fails(ChunkedEncodingError, chunked(b"6\r\nhello\r\n", LAST), Do.CLOSE),
    "no last chunk": fails(ChunkedEncodingError, chunked(chunk(b"hello")), Do.CLOSE),
    "no last line end": replies(chunked(chunk(b"hello"), b"0\r\n"), Do.CLOSE),
    "half a last line end": replies(chunked(chunk(b"hello"), b"0\r\n\r"), Do.CLOSE),
    "last size without its line end": replies(chunked(chunk(b"hello"), b"0"), Do.CLOSE),
    "cut off before the first size": fails(ChunkedEncodingError, chunked(), Do.CLOSE),
    "cut off in a size": fails(ChunkedEncodingError, chunked(chunk(b"hello"), b"1"), Do.CLOSE),
    "cut off after a size": fails(ChunkedEncodingError, chunked(chunk(b"hello"), b"1\r\n"), Do.CLOSE),
    "cut off in the data": fails(ChunkedEncodingError, chunked(chunk(b"hello"), b"10\r\nhel"), Do.CLOSE),
    "half closed in the data": fails(ChunkedEncodingError, chunked(chunk(b"hello"), b"10\r\nhel"), Do.HALF_CLOSE),
    "cut off after the data": fails(ChunkedEncodingError, chunked(b"5\r\nhello"), Do.CLOSE),
    "reset in the data": fails(ChunkedEncodingError, chunked(chunk(b"hello"), b"10\r\nhel"), Pause(0.01), Do.RESET),
    "reset instead of a chunk": fails(ChunkedEncodingError, chunked(chunk(b"hello")), Pause(0.01), Do.RESET),
    "stall in the data": times_out(ConnectionError, chunked(chunk(b"hello"), b"10\r\nhel"), Do.STALL),
    "stall in a size": times_out(ConnectionError, chunked(chunk(b"hello"), b"1"), Do.STALL),
    "stall instead of the last line end": times_out(ConnectionError, chunked(chunk(b"hello"), b"0\r\n"), Do.STALL),
    "slow, though each gap is within the timeout": Case(
        [(chunked(chunk(b"a")), Pause(0.1), chunk(b"b"), Pause(0.1), chunk(b"c"), Pause(0.1), LAST)],
        [get(timeout=0.25)],
    ),
    **{
        f"coding {coding!r}, closed": replies(head(f"Transfer-Encoding: {coding}") + chunk(b"hello") + LAST, Do.CLOSE)
        for coding in CODINGS
    },
    **{
        f"coding {coding!r}, kept": replies(head(f"Transfer-Encoding: {coding}") + chunk(b"hello") + LAST)
        for coding in ("Chunked", "CHUNKED")
    },
    "coding in two headers": replies(
        head("Transfer-Encoding: gzip", "Transfer-Encoding: chunked") + chunk(b"hello") + LAST, Do.CLOSE
    ),
    "coding twice": replies(head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + chunk(b"hello") + LAST),
    "chunked and a length": replies(chunked(chunk(b"hello"), LAST, headers=("Content-Length: 5",))),
    "a length and chunked": replies(
        head("Content-Length: 3", "Transfer-Encoding: chunked") + chunk(b"hello") + LAST, Do.CLOSE
    ),
    "chunked and a bad length": replies(chunked(chunk(b"hello"), LAST, headers=("Content-Length: x",))),
    "another reply after it": Case([(chunked(chunk(b"hello"), LAST),), (chunked(chunk(b"x"), LAST),)], [get(), get()]),
    "chunked to POST": Case([(chunked(chunk(b"hello"), LAST),), OK], [call("POST", data=b"x"), get()]),
    "chunked 404": replies(chunked(chunk(b"hello"), LAST, status="404 Not Found")),
}

# See test_differential_framing.
MORE = {
    "more behind it": replies(chunked(chunk(b"hello"), LAST) + b"and more"),
    "a reply behind it": replies(chunked(chunk(b"hello"), LAST) + reply(b"nobody asked")),
    "more behind it, closed": replies(chunked(chunk(b"hello"), LAST) + b"and more", Do.CLOSE),
    "a line end behind it": replies(chunked(chunk(b"hello"), LAST) + b"\r\n"),
}

ALL = CASES | MORE


@pytest.mark.parametrize("name", ALL)
def test_chunks_are_read_as_requests_reads_them(name: str) -> None:
    assert_same(name, ALL[name])


@pytest.mark.parametrize("name", [name for name in CASES if "stall" not in name and "slow" not in name])
def test_segments_make_no_difference(name: str) -> None:
    assert_same(name, cut(CASES[name], 7, seed=len(name)), "cut")
