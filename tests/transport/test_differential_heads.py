"""Heads of replies: status lines and headers, as they should be and as they are."""

from __future__ import annotations

import pytest
from requests.exceptions import ChunkedEncodingError, ConnectionError
from support.differential import Case, assert_same, call, cut, fails, get, replies
from support.replies import head, reply
from support.scripted_server import Do

STATUS_LINES = [
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200",
    "HTTP/1.1 200 ",
    "HTTP/1.1 200  Two  spaces  ",
    "HTTP/1.1 200 Grün",
    "HTTP/1.1 200 \x80\xff",
    "HTTP/1.1 200 a\tb",
    "HTTP/1.1\t200\tOK",
    "HTTP/1.1  200 OK",
    " HTTP/1.1 200 OK",
    "HTTP/1.10 200 OK",
    "HTTP/1.2 200 OK",
    "HTTP/1.15 200 OK",
    "HTTP/1. 200 OK",
    "HTTP/0.9 200 OK",
    "HTTP/1.1/x 200 OK",
    "HTTP/1.1 +200 OK",
    "HTTP/1.1 0200 OK",
    "HTTP/1.1 2_00 OK",
    "HTTP/1.1 600 Beyond",
    "HTTP/1.1 999 Custom",
    "HTTP/1.1 599 Last",
    "HTTP/1.1 404 Not Found",
    "HTTP/1.1 500 Internal Server Error",
    "HTTP/1.1 418 I'm a teapot",
]

NO_STATUS_LINES = [
    "http/1.1 200 OK",
    "HTTP/1 200 OK",
    "HTTP/2.0 200 OK",
    "HTTP/2 200",
    "HTTP/3 200 OK",
    "HTTP/ 200 OK",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 099 OK",
    "HTTP/1.1 000 OK",
    "HTTP/1.1 -200 OK",
    "HTTP/1.1 abc OK",
    "HTTP/1.1 2_0 OK",
    "HTTP/1.1 200OK",
    "HTTP/1.1 ²00 OK",
    "HTTP/1.1",
    "HTTP/1.1 ",
    "HTTP",
    "ICY 200 OK",
    "SSH-2.0-OpenSSH_9.2",
    "\x00\x01\x02\x03",
    "200 OK",
    "",
    "\r",
]

HEADERS = {
    "none": (),
    "ordinary": ("Server: x", "Content-Type: application/json", "X-One: 1"),
    "upper case": ("SERVER: X", "CONTENT-TYPE: TEXT/HTML"),
    "odd case": ("sErVeR: x", "cOnTeNt-tYpE: text/html"),
    "no space": ("Server:x", "X-One:1"),
    "many spaces": ("Server:     x     ", "X-One:\t 1 \t"),
    "inner spaces": ("Server: a  b\tc",),
    "space before the colon": ("Server : x", "X-One: 1"),
    "tab before the colon": ("Server\t: x",),
    "empty value": ("Server:", "X-One: ", "X-Two:   "),
    "colons in the value": ("Server: a:b:c", "X-Time: 12:00:00"),
    "twice": ("X-One: 1", "X-One: 2"),
    "twice, cases differ": ("X-One: 1", "x-one: 2", "X-ONE: 3"),
    "twice, another between": ("X-One: 1", "Y: 2", "X-One: 3"),
    "twice, one empty": ("X-One: ", "X-One: 1"),
    "list": ("Vary: a, b", "Vary: c"),
    "latin-1": ("X-Name: Jürgen", "X-Bytes: \x80\xff"),
    "latin-1 in the name": ("X-Näme: 1",),
    "utf-8": ("X-Name: J\xc3\xbcrgen",),
    "control character": ("X-One: a\x01b", "X-Two: 2"),
    "null": ("X-One: a\x00b",),
    "unusual line ends in the value": ("X-One: a\x0bb\x0cc\x85d\x1ce", "X-Two: 2"),
    "no colon": ("nonsense", "X-One: 1"),
    "no colon, later": ("X-One: 1", "nonsense", "X-Two: 2"),
    "colon only": (":", "X-One: 1"),
    "no name": (": 1", "X-One: 1"),
    "odd names": ("X One: 1", "X(One): 2", "X@One: 3"),
    "folded": ("X-One: 1", " more", "\tand more", "X-Two: 2"),
    "folded first": (" more", "X-One: 1"),
    "folded to an empty value": ("X-One:", " 1"),
    "empty folded line": ("X-One: 1", " ", "X-Two: 2"),
    "a length that is folded": ("X-One: 1", "Transfer-Encoding:", " identity"),
    "carriage return within": ("X-One: a\rb", "X-Two: 2"),
    "carriage return at the end": ("X-One: a\r", "X-Two: 2"),
    "from line": ("From x@y", "X-One: 1"),
    "encoded word": ("X-One: =?utf-8?q?J=C3=BCrgen?=",),
    "100 headers": tuple(f"X-{number}: {number}" for number in range(95)),
    "long value": (f"X-One: {'a' * 60000}",),
    "long name": (f"{'X' * 5000}: 1",),
    "quoted": ('X-One: "a, b"', 'X-One: "c\\"d"'),
    "links": ('Link: </a>; rel="next"; title=x, <http://other/b>; rel=prev', "Link: <c>"),
    "link of nothing": ("Link: ", "Link: nonsense"),
    "length in capitals": ("CONTENT-TYPE: text/plain",),
    "refresh and location": ("Refresh: 0; url=/x", "Location: /x"),
    "retry-after": ("Retry-After: 1",),
    "www-authenticate": ('WWW-Authenticate: Basic realm="x"', "WWW-Authenticate: Digest"),
    "date and age": ("Date: Tue, 15 Nov 1994 08:12:31 GMT", "Age: 12", "Expires: -1"),
}

CASES = {
    **{
        f"status line {line!r}": replies(line.encode("latin-1") + b"\r\nContent-Length: 5\r\n\r\nhello", Do.CLOSE)
        for line in STATUS_LINES
    },
    **{
        f"no status line {line!r}": fails(
            ConnectionError, line.encode("latin-1") + b"\r\nContent-Length: 5\r\n\r\nhello", Do.CLOSE
        )
        for line in NO_STATUS_LINES
    },
    "no reason, kept": replies(reply().replace(b" OK", b"")),
    **{f"headers {name}": replies(reply(b"hello", *lines), Do.CLOSE) for name, lines in HEADERS.items()},
    **{
        f"headers {name}, kept": replies(head("Content-Length: 5", *lines) + b"hello")
        for name, lines in HEADERS.items()
        if name != "folded first"  # that would continue the length
    },
    "bare line feeds": replies(reply(b"hello", "X-One: 1").replace(b"\r\n", b"\n")),
    "bare line feeds, some": replies(b"HTTP/1.1 200 OK\r\nX-One: 1\nContent-Length: 5\r\n\nhello"),
    "bare line feed behind the status": replies(b"HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello"),
    "bare carriage returns": replies(b"HTTP/1.1 200 OK\rContent-Length: 5\r\rhello", Do.CLOSE),
    "two carriage returns": fails(
        ChunkedEncodingError, b"HTTP/1.1 200 OK\r\r\nContent-Length: 5\r\r\n\r\r\nhello", Do.CLOSE
    ),
    "empty line first": fails(ConnectionError, b"\r\n" + reply(), Do.CLOSE),
    "header line of 64 KiB": fails(
        ConnectionError, head(f"X-One: {'a' * 65600}", "Content-Length: 5") + b"hello", Do.CLOSE
    ),
    "status line of 64 KiB": fails(
        ConnectionError, head("Content-Length: 5", status=f"200 {'a' * 65600}") + b"hello", Do.CLOSE
    ),
    "101 headers": fails(ConnectionError, head(*[f"X-{number}: 1" for number in range(101)]), Do.CLOSE),
    "98 headers and the length": replies(reply(b"hello", *[f"X-{number}: 1" for number in range(98)])),
    "99 headers and the length": fails(ConnectionError, reply(b"hello", *[f"X-{number}: 1" for number in range(99)])),
    "100 headers and the length": fails(
        ConnectionError, reply(b"hello", *[f"X-{number}: 1" for number in range(100)]), Do.CLOSE
    ),
    "folded status line": replies(b"HTTP/1.1 200\r\n OK\r\nContent-Length: 5\r\n\r\nhello", Do.CLOSE),
    "folded length": replies(b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\nhello", Do.CLOSE),
    "space before the length's colon": replies(b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello", Do.CLOSE),
    "noise": fails(ConnectionError, bytes(range(256)) * 4, Do.CLOSE),
    "a request": fails(ConnectionError, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Do.CLOSE),
    "binary head": replies(b"HTTP/1.1 200 OK\r\nX-One: \xff\xfe\x00\r\nContent-Length: 5\r\n\r\nhello", Do.CLOSE),
    "same head, other body": Case([(reply(b"one"),), (reply(b"two"),)], [get(), get()]),
    "same head, other order": Case(
        [(reply(b"one", "A: 1", "B: 2"),), (reply(b"one", "B: 2", "A: 1"),)], [get(), get()]
    ),
    "status to POST": Case([(reply(status="201 Created"),)], [call("POST", data=b"x")]),
}

CUT = [name for name in CASES if "64 KiB" not in name and "long" not in name]


@pytest.mark.parametrize("name", CASES)
def test_a_head_is_read_as_requests_reads_it(name: str) -> None:
    assert_same(name, CASES[name])


@pytest.mark.parametrize("name", CUT)
def test_segments_make_no_difference(name: str) -> None:
    assert_same(name, cut(CASES[name], 5, seed=len(name)), "cut")
