"""Conversations with a server, made up by hypothesis from a grammar of replies, right and wrong."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import brotli  # type: ignore[import-untyped]  # it has no types
from hypothesis import strategies as st
from support.differential import CONTENDERS, Call, Case, Manner, differences, play, split, stock
from support.replies import LAST, chunk, head
from support.scripted_server import OK, Do, Reply, Step

Draw = Callable[..., Any]


@dataclass(frozen=True)
class Exchange:
    """One call, and the reply to its first request; what a redirect leads to is nothing special."""

    method: str
    path: str
    stream: bool
    follow: bool
    reply: Sequence[Step]

    def script(self) -> Iterator[Reply]:
        """The replies of it."""
        yield self.reply
        if self.follow and _LOCATION in b"".join(step for step in self.reply if isinstance(step, bytes)):
            yield (head("Content-Length: 2"),) if self.method == "HEAD" else OK

    def call(self) -> Call:
        """The call of it."""
        body = {"json": {"a": 1}} if self.method == "POST" else {}
        return lambda session, stage: session.request(
            self.method, stage.url(self.path), stream=self.stream, allow_redirects=self.follow, **body
        )


@dataclass(frozen=True)
class Conversation:
    """Some exchanges of one session; its ``repr`` is all that is needed to play it again."""

    contender: str
    exchanges: Sequence[Exchange]
    manner: Manner

    def differences(self) -> dict[str, tuple[str | None, str | None]]:
        """What a load session shows otherwise than a stock session, each time that it is tried.

        Threads of a busy machine may let segments meet, or a connection be closed early, in one of two runs. That is
        no difference, and it does not come again.
        """
        case = Case(
            [reply for each in self.exchanges for reply in each.script()], [each.call() for each in self.exchanges]
        )
        found: dict[str, tuple[str | None, str | None]] = {}
        for _ in range(3):
            found = differences(play(case, stock, self.manner), play(case, CONTENDERS[self.contender], self.manner))
            if not found:
                break
        return found


STATUSES = ["200 OK"] * 8 + ["201 Created", "206 Partial", "404 Not Found", "401 No", "500 Oops", "200", "299 \xe4"]
BODILESS = ["204 No Content", "304 Not Modified"]
VERSIONS = ["HTTP/1.1"] * 15 + ["HTTP/1.0"]
BODIES = [
    b"",
    b"hello",
    b'{"a": ["\xc3\xa4", 1.5, null]}',
    b"a\nb\r\nc\n",
    b"\xff\xfe\x00",
    bytes(range(256)),
    b"x" * 9000,
]
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, mtime=0),
    "deflate": zlib.compress,
    "br": brotli.compress,
    "identity": lambda body: body,
    "GZIP": lambda body: gzip.compress(body, mtime=0),
}
HEADERS = {
    "Content-Type": ["text/plain", "text/html; charset=utf-8", "application/json", "text/plain; charset=latin-1", ""],
    "Set-Cookie": [
        "a=1",
        "a=2",
        "a=1; Path=/x",
        "b=1; HttpOnly; SameSite=Lax",
        "c=1; Max-Age=60",
        "a=; Max-Age=0",
        "d=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT",
        'e="q; r"; Secure',
    ],
    "Connection": ["keep-alive", "close", "Close", "keep-alive, close", "upgrade"],
    "Keep-Alive": ["timeout=5"],
    "Link": ['</a>; rel="next"', "<http://x/>; rel=prev; title=\xe4"],
    "X-One": ["1", "", "a, b", "\xe4\xff", "a  b\tc", ":", "=?utf-8?q?x?="],
    "x-one": ["2"],
    "Server": ["x/1.0 (y)"],
    "Vary": ["Accept", "*"],
    "ETag": ['"a"', 'W/"b"'],
    "Date": ["Tue, 15 Nov 1994 08:12:31 GMT"],
}
EXTENSIONS = [b"", b"", b"", b";a", b';a="b"', b" ;a=b", b" "]
TRAILERS = [b"", b"", b"X-Sum: 1\r\n", b"A: 1\r\nSet-Cookie: t=1\r\n"]
INTERIM = [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\nX-Early: 1\r\nSet-Cookie: early=1\r\n\r\n"]
WEDGES = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"\x00",
        b"\xff",
        b"\x85",
        b"0",
        b"-",
        b",",
        b";",
        b"\r\n\r\n",
        b"\r\n ",
    ),
    *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"no colon\r\n"),
    *(b"HTTP/1.1 103 Early\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"Content-Encoding: gzip\r\n"),
]
_LOCATION = b"\r\nLocation: "
ENDS = [Do.CLOSE, Do.CLOSE, Do.HALF_CLOSE, Do.RESET]


@st.composite
def header_lines(draw: Draw) -> list[str]:
    """Some headers, oddly written."""
    names = draw(st.lists(st.sampled_from(list(HEADERS)), max_size=5))
    return [_line(draw, name, draw(st.sampled_from(HEADERS[name]))) for name in names]


def _line(draw: Draw, name: str, value: str) -> str:
    written = draw(st.sampled_from([name, name, name.lower(), name.upper(), name.swapcase()]))
    colon, space = draw(st.sampled_from([": ", ": ", ":", ":  ", ":\t"])), draw(st.sampled_from(["", "", " "]))
    return f"{written}{colon}{value}{space}"


@st.composite
def framed(draw: Draw, body: bytes) -> tuple[list[str], bytes, bool]:
    """The headers that say where the body ends, the body as it is sent, and whether closing ends it."""
    kind = draw(st.sampled_from(["length", "length", "length", "chunked", "chunked", "close"]))
    if kind == "close":
        return [], body, True
    if kind == "length":
        return [_line(draw, "Content-Length", str(len(body)))], body, False
    places = sorted(draw(st.sets(st.integers(1, max(1, len(body) - 1)), max_size=4)) | {0, len(body)})
    pieces = [body[start:end] for start, end in pairwise(places) if start < end <= len(body)]
    sent = b"".join(_chunk(draw, piece) for piece in pieces)
    trailer = draw(st.sampled_from(TRAILERS))
    last = b"0" + draw(st.sampled_from(EXTENSIONS)) + b"\r\n" + trailer + b"\r\n" if trailer else LAST
    return (
        [_line(draw, "Transfer-Encoding", draw(st.sampled_from(["chunked", "chunked", "Chunked"])))],
        sent + last,
        False,
    )


def _chunk(draw: Draw, piece: bytes) -> bytes:
    size, _, rest = chunk(piece).partition(b"\r\n")
    written = draw(st.sampled_from([size, size.upper(), b"00" + size]))
    return b"%b%b\r\n%b" % (written, draw(st.sampled_from(EXTENSIONS)), rest)


@st.composite
def well_formed(draw: Draw, method: str) -> tuple[bytes, bool]:
    """The bytes of a reply, and whether the server has to close behind it."""
    lines = draw(header_lines())
    status = draw(st.sampled_from([*STATUSES, *BODILESS]))
    body = draw(st.sampled_from(BODIES))
    if draw(st.integers(0, 3)) == 0:
        encoding = draw(st.sampled_from(list(ENCODINGS)))
        lines.append(_line(draw, "Content-Encoding", encoding))
        body = ENCODINGS[encoding](body)
    framing, sent, closes = draw(framed(body))
    if status in BODILESS:
        framing, sent, closes = [], b"", False
    if method == "HEAD":
        sent, closes = b"", False
    if draw(st.integers(0, 5)) == 0 and status not in BODILESS:
        status = draw(st.sampled_from(["301 Moved", "302 Found", "303 Other", "307 Again", "308 For Ever"]))
        lines.append("Location: " + draw(st.sampled_from(["/b", "../c?d=e", "http://localhost:{port}/f", "#g"])))
    place = draw(st.integers(0, len(lines)))
    version = draw(st.sampled_from(VERSIONS))
    closes = closes or (version == "HTTP/1.0" and sent.endswith(b"\r\n\r\n"))  # there are no chunks in it
    first = head(*lines[:place], *framing, *lines[place:], status=status, version=version)
    interim = draw(st.sampled_from(INTERIM)) if draw(st.integers(0, 9)) == 0 else b""
    return interim + first + sent, closes


@st.composite
def damaged(draw: Draw, data: bytes) -> bytes:
    """The same bytes with some changes, mostly where the head is."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(0, 8))
        kind = draw(st.sampled_from(["wedge", "replace", "delete", "cut off", "repeat"]))
        if kind == "cut off":
            data = data[:start]
        elif kind == "repeat":
            data = data[:start] + data[start : start + length] + data[start:]
        else:
            new = b"" if kind == "delete" else draw(st.sampled_from(WEDGES) | st.binary(min_size=1, max_size=3))
            data = data[:start] + new + data[start + (0 if kind == "wedge" else length) :]
    return data


@st.composite
def exchanges(draw: Draw) -> Exchange:
    """An exchange whose reply is right, or wrong in one way or another.

    Behind a wrong reply the server always hangs up, and redirects are not followed before it has: nobody may wait for
    what does not come, and nobody could say which of both is first.
    """
    method = draw(st.sampled_from(["GET", "GET", "GET", "HEAD", "POST"]))
    data, closes = draw(well_formed(method))
    ends = ENDS
    if _LOCATION in data:
        ends = [Do.CLOSE]  # a redirect stays whole: test_differential_redirects says what a broken one shows
    elif draw(st.integers(0, 2)) == 0:
        data, closes = draw(damaged(data)), True
    elif draw(st.integers(0, 7)) == 0:
        closes = True
    steps: list[Step] = list(_pieces(draw, data))
    if closes:
        steps.append(draw(st.sampled_from(ends)))
    path = draw(st.sampled_from(["/", "/", "/x/y", "/x?q=1"]))
    return Exchange(method, path, draw(st.integers(0, 9)) == 0, not closes, tuple(steps))


def _pieces(draw: Draw, data: bytes) -> list[bytes]:
    places = draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=4))
    return split(data, sorted(places))


def conversations() -> st.SearchStrategy[Conversation]:
    """Conversations of up to three exchanges, each looked at in another way."""
    manners = st.builds(Manner, warm=st.booleans(), late=st.booleans(), seed=st.integers(0, 999))
    several = st.lists(exchanges(), min_size=1, max_size=3).map(tuple)
    return st.builds(Conversation, st.sampled_from(["fast", "fast", "bound"]), several, manners)
