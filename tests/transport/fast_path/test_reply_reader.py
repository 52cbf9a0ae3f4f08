"""A reply that comes in parts is the same as one that comes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.replies import LAST, chunk, chunked, head, reply
from support.stock import read_stock

from pytest_ipload.transport.connect.socket_io import READ_BYTES
from pytest_ipload.transport.fast_path.reply_reader import ReplyReader, UnusualReply
from pytest_ipload.transport.message.reply_head import ReplyHeads

HEADS = ReplyHeads()


class FakeWire:
    """Gives the pieces one after the other, or raises those that are exceptions; then the end."""

    timeout: float | None = None
    stamp: bytes | None = None
    send: Callable[[bytes], None]
    unread: Callable[[], object]

    def __init__(self, pieces: Iterable[bytes | OSError]) -> None:
        self.pieces = list(pieces)
        self.limits: list[int] = []

    def set_timeout(self, timeout: float | None) -> None:
        self.timeout = timeout

    def relax(self) -> None:
        pass

    def receive(self, limit: int = READ_BYTES) -> bytes:
        self.limits.append(limit)
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if isinstance(piece, OSError):
            raise piece
        if len(piece) > limit:
            self.pieces.insert(0, piece[limit:])
        return piece[:limit]

    def receive_into(self, buffer: memoryview) -> int:
        data = self.receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def read(*pieces: bytes, is_head: bool = False) -> tuple[int, bytes]:
    """The status and the body; UnusualReply if there is anything left."""
    first, *others = pieces
    wire = FakeWire(others)
    reader = ReplyReader(wire, first)
    parsed, body = reader.read(HEADS, is_head=is_head)
    assert reader.all_received() == b"".join(pieces)
    return parsed.status, body


REPLIES = {
    "length": reply(b"hello"),
    "empty": reply(b""),
    "no content": head("X-A: b", status="204 No Content"),
    "not found": reply(b"what?", status="404 Not Found"),
    "line ends in the body": reply(b"\r\n\r\n\r\n"),
    "chunks": chunked(chunk(b"hello "), chunk(b"world"), LAST),
    "one chunk": chunked(chunk(b"x" * 40), LAST),
    "no chunks": chunked(LAST),
    "chunks that look like ends": chunked(chunk(b"0\r\n\r\n"), chunk(b"\r\n"), LAST),
    "upper-case size": chunked(b"A\r\n0123456789\r\n", LAST),
    "padded size": chunked(b"0005\r\nhello\r\n", b"000\r\n\r\n"),
    "extensions": chunked(b"5;a=b;c\r\nhello\r\n", b"0;last\r\n\r\n"),
    "trailers": chunked(chunk(b"hello"), b"0\r\nX-Sum: 1\r\nX-More:\r\n\r\n"),
}
BODIES = {
    "length": b"hello", "empty": b"", "no content": b"", "not found": b"what?", "chunks": b"hello world",
    "line ends in the body": b"\r\n\r\n\r\n", "one chunk": b"x" * 40, "no chunks": b"", "extensions": b"hello",
    "chunks that look like ends": b"0\r\n\r\n\r\n", "upper-case size": b"0123456789", "padded size": b"hello",
    "trailers": b"hello",
}  # fmt: skip


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_that_is_cut_anywhere_is_the_same(name: str) -> None:
    data = REPLIES[name]
    whole = read(data)
    assert whole[1] == BODIES[name]
    for place in range(len(data)):  # 0: nothing had come before
        assert read(data[:place], data[place:]) == whole, place
    assert read(*(data[place : place + 1] for place in range(len(data)))) == whole


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5), st.booleans(), st.data())
def test_any_body_is_read_as_urllib3_reads_it(parts: list[bytes], is_chunked: bool, data: st.DataObject) -> None:
    whole = chunked(*map(chunk, parts), LAST) if is_chunked else reply(b"".join(parts))
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6).map(sorted))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    response, _ = read_stock(whole)
    first, *others = [pieces[0], *filter(None, pieces[1:])]
    assert read(first, *others) == (200, response.read())


UNUSUAL = {
    "end in the head": head("Content-Length: 5")[:-1],
    "end in the body": reply(b"hello")[:-1],
    "end before the body": head("Content-Length: 5"),
    "unusual head": head(version="HTTP/1.0") + b"hello",
    "no http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "end in a size": chunked(b"5"),
    "end in a chunk": chunked(b"5\r\nhel"),
    "end behind a chunk": chunked(chunk(b"hello")),
    "end in the trailers": chunked(LAST)[:-2] + b"X-A: b\r\n",
    "no size": chunked(b"\r\nhello\r\n", LAST),
    "bad size": chunked(b"five\r\nhello\r\n", LAST),
    "signed size": chunked(b"+5\r\nhello\r\n", LAST),
    "size with a sign of Python's": chunked(b"1_0\r\n0123456789abcdef\r\n", LAST),
    "absurd size": chunked(b"1" * 16 + b"\r\n"),
    "space behind the size": chunked(b"5 \r\nhello\r\n", LAST),
    "bare line feed": chunked(b"5\nhello\n0\n\n"),
    "control character in an extension": chunked(b"5;\x00\r\nhello\r\n", LAST),
    "chunk longer than its size": chunked(b"5\r\nhello!\r\n", LAST),
    "no line end behind a chunk": chunked(b"5\r\nhelloXX", LAST),
    "line without end": chunked(b"5;" + b"x" * 9000),
    "trailer that is none": chunked(chunk(b"hello"), b"0\r\nno colon\r\n\r\n"),
    "many trailers": chunked(b"0\r\n" + b"X-A: b\r\n" * 101 + b"\r\n"),
    "head without end": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 10000,
}


@pytest.mark.parametrize("size", [3, 7, 100_000])
@pytest.mark.parametrize("name", UNUSUAL)
def test_what_http_client_has_to_read_is_given_back_whole(name: str, size: int) -> None:
    data = UNUSUAL[name]
    wire = FakeWire(data[place : place + size] for place in range(0, len(data), size))
    reader = ReplyReader(wire, b"")
    with pytest.raises(UnusualReply):
        reader.read(HEADS, is_head=False)
    left = b"".join(piece for piece in wire.pieces if isinstance(piece, bytes))
    assert reader.all_received() + left == data


@pytest.mark.parametrize(
    "data",
    [
        reply(b"hello"),
        reply(b""),
        head("X-A: b", status="204 No Content"),
        chunked(chunk(b"hello"), LAST),
    ],
)
def test_bytes_behind_the_end_are_unusual(data: bytes) -> None:
    for extra in (b"x", b"\r\n", data):
        wire = FakeWire([data + extra])
        reader = ReplyReader(wire, b"")
        with pytest.raises(UnusualReply):
            reader.read(HEADS, is_head=False)
        assert reader.all_received() == data + extra


@pytest.mark.parametrize("fields", [("Content-Length: 5",), ("Transfer-Encoding: chunked",)])
def test_a_reply_to_head_ends_with_its_head(fields: tuple[str, ...]) -> None:
    assert read(head(*fields), is_head=True) == (200, b"")
    with pytest.raises(UnusualReply):
        read(head(*fields) + b"hello", is_head=True)


@pytest.mark.parametrize("data", [reply(b"hello"), chunked(chunk(b"hello"), LAST)])
def test_an_error_passes_and_what_came_before_it_is_kept(data: bytes) -> None:
    for place in range(1, len(data)):
        error = TimeoutError("timed out")
        reader = ReplyReader(FakeWire([data[:place], error]), b"")
        with pytest.raises(TimeoutError) as raised:
            reader.read(HEADS, is_head=False)
        assert raised.value is error
        assert reader.all_received() == data[:place]


def test_a_large_body_is_received_into_its_own_memory() -> None:
    body = bytes(1_000_000)
    wire = FakeWire([reply(body)])
    reader = ReplyReader(wire, b"")
    assert reader.read(HEADS, is_head=False)[1] == body
    assert len(wire.limits) == 2
    assert reader.all_received() == reply(body)


def test_a_large_chunk_is_read_in_large_but_bounded_steps() -> None:
    body = bytes(1_000_000)
    wire = FakeWire([chunked(chunk(body), LAST)])
    assert ReplyReader(wire, b"").read(HEADS, is_head=False)[1] == body
    assert max(wire.limits) == 1 << 18
    assert len(wire.limits) < 10


@pytest.mark.parametrize("error", [None, TimeoutError("timed out")])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_of_a_large_body_that_is_cut_short_nothing_is_lost(is_chunked: bool, error: OSError | None) -> None:
    body = b"0123456789" * 20_000
    data = (chunked(chunk(body), LAST) if is_chunked else reply(body))[:150_000]
    reader = ReplyReader(FakeWire([data[:90_000], data[90_000:], *([error] if error else [])]), b"")
    with pytest.raises(TimeoutError if error else UnusualReply):
        reader.read(HEADS, is_head=False)
    assert reader.all_received() == data


def test_a_length_that_does_not_fit_into_memory_is_left_to_http_client() -> None:
    data = head("Content-Length: 999999999999999999") + b"hello"
    reader = ReplyReader(FakeWire([data]), b"")
    with pytest.raises(UnusualReply):
        reader.read(HEADS, is_head=False)
    assert reader.all_received() == data


def test_no_more_is_asked_for_than_belongs_to_the_body() -> None:
    """What comes behind it stays on the socket, where the next probe of the connection finds it."""
    data = reply(b"hello")
    wire = FakeWire([data[:-1], data[-1:] + b"extra"])
    assert ReplyReader(wire, b"").read(HEADS, is_head=False)[1] == b"hello"
    assert wire.pieces == [b"extra"]


def test_the_times_are_those_of_the_first_bytes_and_of_the_heads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    data, clock = reply(b"hello"), iter(range(10, 100, 10))
    monkeypatch.setattr("pytest_ipload.transport.fast_path.reply_reader.perf_counter_ns", lambda: next(clock))
    reader = ReplyReader(FakeWire([data[:3], data[3:-2], data[-2:]]), b"")
    reader.read(HEADS, is_head=False)
    assert (reader.first_byte_ns, reader.head_ended_ns) == (10, 20)
