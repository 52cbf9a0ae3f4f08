"""Reads a response that arrives in several parts."""

from __future__ import annotations

import io
import re
import sys

from pytest_ipload.base.real_time import perf_counter_ns
from pytest_ipload.transport.connect.socket_io import READ_BYTES, FastSocket
from pytest_ipload.transport.fast_path.body_buffer import read_bytes
from pytest_ipload.transport.message.reply_head import LONGEST_HEAD, Head, ReplyHeads

_LARGEST_READ = 1 << 18
_LARGE = 1 << 16
"""With more than this still to come, a body goes into memory of its own at once."""
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t -~]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\xa0-\xff]*")
_LONGEST_LINE, _MOST_TRAILERS = 4096, 100
_UNLIMITED = sys.maxsize
_LONGEST_FRAMING = 2 * LONGEST_HEAD
"""Bytes of a reply besides its body: of its head, and of the lines between chunks of a usual size."""
_STATUS_LINE = b"HTTP/1.1 "
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class UnusualReply(Exception):
    """A reply that http.client has to read."""


class ReplyReader:
    """Reads one reply from a wire. Whatever ends the reading, ``all_received`` is all that came."""

    def __init__(self, wire: FastSocket, received: bytes, most: int | None = None) -> None:
        """``most`` is how many bytes the body may have: one that may be larger is left to requests."""
        self.received = bytearray(received)
        """What came, but for the parts of the body that are kept elsewhere."""
        self._elsewhere: list[list[int]] = []
        """Where in ``received`` these would be, and how many bytes they are."""
        self._body: bytes | io.BytesIO = b""
        self._most = _UNLIMITED if most is None else most + _LONGEST_FRAMING
        self.first_byte_ns = self.head_ended_ns = 0
        """When the first bytes and the end of the head were read, by ``perf_counter_ns``."""
        self._wire = wire

    def read(self, heads: ReplyHeads, *, is_head: bool) -> tuple[Head, bytes]:
        """The head and the body, without its transfer coding.

        Raises UnusualReply, and OSError when receiving fails.
        """
        if not self.received:
            self._receive()
        self.first_byte_ns = perf_counter_ns()
        end = self._find(b"\r\n\r\n", 0, LONGEST_HEAD)
        self.head_ended_ns = perf_counter_ns()
        head = heads[bytes(self.received[:end])]
        if head is None:
            raise UnusualReply
        start = end + 4
        if head.length is None and not is_head:
            return head, self._chunks(start)
        length = 0 if is_head else head.length or 0
        if start + length - len(self.received) > _LARGE:
            return head, self._large_body(start, length)
        while (missing := start + length - len(self.received)) > 0:
            self._receive(min(missing, _LARGEST_READ))
        self._expect_end(start + length)
        return head, bytes(memoryview(self.received)[start:])

    @property
    def is_apart(self) -> bool:
        """Whether the body, or some of it, is not in ``received``."""
        return bool(self._elsewhere)

    def all_received(self) -> bytes:
        """Everything that came, in its order."""
        body = self._body if isinstance(self._body, bytes) else self._body.getvalue()
        parts, received, end, taken = [], bytes(self.received), 0, 0
        for position, length in self._elsewhere:
            parts += [received[end:position], body[taken : taken + length]]
            end, taken = position, taken + length
        return b"".join([*parts, received[end:]])

    def _large_body(self, start: int, length: int) -> bytes:
        """A body of known length."""
        if length > self._most:
            raise UnusualReply
        first = bytes(memoryview(self.received)[start:])
        try:
            body, error = read_bytes(first, self._wire, length)
        except MemoryError:
            raise UnusualReply from None
        del self.received[start:]
        self._body = body
        self._elsewhere.append([start, len(body)])
        if len(body) < length:
            raise UnusualReply if error is None else error
        return body

    def _chunks(self, position: int) -> bytes:
        """The body in chunked coding (RFC 9112, 7.1) that begins at this position."""
        received, body = self.received, io.BytesIO()
        self._body = body
        while True:
            end = self._find(b"\r\n", position, _LONGEST_LINE)
            match = _SIZE_LINE.fullmatch(received, position, end)
            if match is None:
                raise UnusualReply
            size, position = int(match[1], 16), end + 2
            if size == 0:
                self._expect_end(self._trailers(position))
                return body.getvalue()
            self._take(position, size, body)
            while len(received) < position + 2:
                self._receive()
            if received[position : position + 2] != b"\r\n":
                raise UnusualReply
            position += 2

    def _take(self, position: int, size: int, body: io.BytesIO) -> None:
        """Move the content of a chunk, which begins at this position, from what has come and will come to the body."""
        here = self.received[position : position + size]
        part = [position, body.write(here)]
        self._elsewhere.append(part)
        del self.received[position : position + len(here)]
        while (missing := size - part[1]) > 0:
            data = self._wire.receive(max(READ_BYTES, min(missing + 2, _LARGEST_READ)))
            if not data:
                raise UnusualReply
            part[1] += body.write(data if len(data) <= missing else memoryview(data)[:missing])
            self.received += memoryview(data)[missing:]
            self._limit(body)
        self._limit(body)

    def _limit(self, body: io.BytesIO) -> None:
        if body.tell() > self._most:
            raise UnusualReply

    def _trailers(self, position: int) -> int:
        """The position behind the trailer fields, which nobody reads, and the empty line."""
        for _ in range(_MOST_TRAILERS):
            end = self._find(b"\r\n", position, _LONGEST_LINE)
            if end == position:
                return end + 2
            if not _TRAILER.fullmatch(self.received, position, end):
                break
            position = end + 2
        raise UnusualReply

    def _find(self, mark: bytes, position: int, limit: int) -> int:
        """The position of the mark, which must come within so many bytes from ``position``."""
        searched = position
        while (found := self.received.find(mark, searched)) < 0:
            # http.client takes a line feed alone for the end of a line, and would not wait for more.
            if len(self.received) - position > limit or _BARE_LINE_FEED.search(self.received, searched):
                raise UnusualReply
            if not position and not self.received.startswith(_STATUS_LINE[: len(self.received)]):
                raise UnusualReply
            searched = max(position, len(self.received) - len(mark) + 1)
            self._receive()
        return found

    def _expect_end(self, position: int) -> None:
        if len(self.received) != position:
            raise UnusualReply  # unsolicited bytes

    def _receive(self, limit: int = READ_BYTES) -> None:
        data = self._wire.receive(limit)
        if not data:
            raise UnusualReply
        self.received += data
        if len(self.received) > self._most:
            raise UnusualReply
