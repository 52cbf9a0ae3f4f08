"""From the bytes of a stream to its events, in whatever pieces the bytes come.

Server-sent events are parsed by the rules of https://html.spec.whatwg.org/multipage/server-sent-events.html, a stream
of JSON values by lines (NDJSON, JSON Lines) or by records (RFC 7464). A line end is one byte in UTF-8 and no part of
any other character, so lines are split as bytes, many at a time, and only whole events are decoded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

SSE, JSON_LINES, JSON_SEQUENCE = "sse", "json-lines", "json-seq"
FORMATS = (SSE, JSON_LINES, JSON_SEQUENCE)
MESSAGE = "message"
"""The type of an event that does not name one."""

_BOM = b"\xef\xbb\xbf"
_RECORD = b"\x1e"


class Event(NamedTuple):
    """One event of a stream."""

    data: str
    """Its data lines, joined by line feeds; of JSON lines, the line."""
    event: str = MESSAGE
    """Its type."""
    id: str = ""
    """The last id that the stream has named so far; empty without one."""

    def json(self) -> Any:
        """The data as JSON. Raises ``json.JSONDecodeError``, a ``ValueError``."""
        return json.loads(self.data)


_new = tuple.__new__  # what the constructor of a NamedTuple calls when it has sorted out its arguments


class StreamParser(Protocol):
    """Makes events of bytes."""

    retry_ms: int | None
    """How long to wait before connecting again, as the stream says; None if it does not."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that are complete with these bytes."""

    def end(self) -> list[Event]:
        """The events that are complete because nothing more comes."""


class _Lines:
    """Bytes that wait for the end of their line, event or record."""

    def __init__(self, end: bytes) -> None:
        self._end = end
        self._waiting = bytearray()

    def complete(self, data: bytes) -> bytes | None:
        """All bytes up to the last end, without that one; None if there is none yet."""
        waiting, end = self._waiting, self._end
        if not waiting:
            last = data.rfind(end)
            if last >= 0:
                waiting += data[last + len(end) :]
                return data[:last]
            waiting += data
            return None
        looked_at = max(0, len(waiting) - len(end) + 1)  # a large event in small pieces is not searched each time
        waiting += data
        last = waiting.rfind(end, looked_at)
        if last < 0:
            return None
        found = bytes(waiting[:last])
        del waiting[: last + len(end)]
        return found

    def rest(self) -> bytes:
        """What still waits."""
        found = bytes(self._waiting)
        self._waiting.clear()
        return found


class SseParser:
    """Server-sent events."""

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self._lines = _Lines(b"\n\n")
        self._last_id = ""
        self._head: bytes | None = b""
        """The first bytes, as long as they may be a byte order mark; None afterwards."""
        self._skips_line_feed = False
        """Whether the last byte was a carriage return: a line feed that follows belongs to it."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that are complete with these bytes."""
        if self._head is not None:
            data = self._without_mark(self._head + data)
        if b"\r" in data or self._skips_line_feed:
            data = self._with_line_feeds(data)
        found = self._lines.complete(data)
        if found is None:
            return []
        events: list[Event] = []
        for block in found.split(b"\n\n"):
            if block.startswith(b"data: ") and b"\n" not in block:  # as nearly all are
                events.append(_new(Event, (block[6:].decode("utf-8", "replace"), MESSAGE, self._last_id)))
            elif (event := self._event(block)) is not None:
                events.append(event)
        return events

    def end(self) -> list[Event]:
        """None: an event without an empty line behind it is incomplete, and dropped."""
        self._lines.rest()
        return []

    def _without_mark(self, data: bytes) -> bytes:
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._head = data
            return b""
        self._head = None
        return data.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        if not data:
            return data
        if self._skips_line_feed:
            data = data.removeprefix(b"\n")
        self._skips_line_feed = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _event(self, block: bytes) -> Event | None:
        """The event of a block of lines; None if it has no data."""
        kind, lines = "", []
        for line in block.decode("utf-8", "replace").split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                lines.append(value)
            elif field == "event":
                kind = value
            elif field == "id" and "\0" not in value:
                self._last_id = value
            elif field == "retry" and value.isascii() and value.isdigit():
                self.retry_ms = int(value)
        return Event("\n".join(lines), kind or MESSAGE, self._last_id) if lines else None


class JsonLinesParser:
    """One JSON value a line. Empty lines are none; the last line needs no end."""

    retry_ms: int | None = None

    def __init__(self) -> None:
        self._lines = _Lines(b"\n")

    def feed(self, data: bytes) -> list[Event]:
        """The events that are complete with these bytes."""
        found = self._lines.complete(data)
        return [] if found is None else _of_lines(found)

    def end(self) -> list[Event]:
        """The last line."""
        return _of_lines(self._lines.rest())


class JsonSequenceParser:
    """Records of RFC 7464: a record separator, a JSON value, a line feed. The value may have several lines."""

    retry_ms: int | None = None

    def __init__(self) -> None:
        self._lines = _Lines(b"\n")
        self._begun = b""

    def feed(self, data: bytes) -> list[Event]:
        """The events that are complete with these bytes."""
        found = self._lines.complete(data)
        return [] if found is None else [*self._records(found + b"\n")]

    def end(self) -> list[Event]:
        """What was begun: the last record."""
        last, self._begun = self._begun + self._lines.rest(), b""
        return [event for part in last.split(_RECORD) for event in _whole(part)]

    def _records(self, found: bytes) -> list[Event]:
        events: list[Event] = []
        for line in found.splitlines(keepends=True):
            before, separator, rest = line.rpartition(_RECORD)
            if separator:  # what was begun is not continued
                events += [event for part in (self._begun + before).split(_RECORD) for event in _whole(part)]
                self._begun = b""
            self._begun += rest
            if _is_json(self._begun):
                events += _whole(self._begun)
                self._begun = b""
        return events


def _of_lines(found: bytes) -> list[Event]:
    return [
        _new(Event, (text, MESSAGE, ""))
        for line in found.split(b"\n")
        if (text := line.decode("utf-8", "replace").strip("\ufeff \t\r"))
    ]


def _whole(record: bytes) -> list[Event]:
    text = record.decode("utf-8", "replace").strip()
    return [Event(text)] if text else []


def _is_json(record: bytes) -> bool:
    try:
        json.loads(record)
    except ValueError:
        return False
    return True


_PARSERS: Mapping[str, Callable[[], StreamParser]] = MappingProxyType(
    {SSE: SseParser, JSON_LINES: JsonLinesParser, JSON_SEQUENCE: JsonSequenceParser}
)
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "text/event-stream": SSE,
        **dict.fromkeys(
            (
                "application/x-ndjson",
                "application/ndjson",
                "application/jsonl",
                "application/x-jsonl",
                "application/jsonlines",
                "application/x-jsonlines",
                "application/json-lines",
                "application/stream+json",
                "application/x-json-stream",
            ),
            JSON_LINES,
        ),
        "application/json-seq": JSON_SEQUENCE,
    }
)
TYPES_HELP = "text/event-stream, application/x-ndjson, application/jsonl, application/json-seq"
"""The usual content types of streams."""


def format_of(content_type: str | None) -> str | None:
    """The format of a stream of this content type; None if it is not that of a stream."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return _TYPES.get(media_type) or (JSON_SEQUENCE if media_type.endswith("+json-seq") else None)


def parser_of(name: str) -> StreamParser:
    """A parser for a format."""
    return _PARSERS[name]()
