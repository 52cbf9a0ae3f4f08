"""Streams of events as bytes: the rules of the standards, and any pieces give the same events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_ipload.transport.message.stream_parsers import (
    JSON_LINES,
    JSON_SEQUENCE,
    SSE,
    Event,
    format_of,
    parser_of,
)


def events_of(name: str, pieces: Iterable[bytes]) -> list[Event]:
    """All events of a stream that comes in these pieces."""
    parser = parser_of(name)
    return [event for piece in pieces for event in parser.feed(piece)] + parser.end()


def by_the_book(data: bytes) -> list[Event]:
    """The standard's algorithm, line by line on the whole text."""
    *lines, _ = re.split("\r\n|\n|\r", data.decode("utf-8", "replace").removeprefix("\ufeff"))
    events, buffer, kind, last_id = [], "", "", ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if buffer:
                events.append(Event(buffer.removesuffix("\n"), kind or "message", last_id))
            buffer = kind = ""
        elif field == "data":
            buffer += value + "\n"
        elif field == "event":
            kind = value
        elif field == "id" and "\0" not in value:
            last_id = value
    return events


FRAGMENTS = (
    *(b"data: x", b"data:  two", b"data", b"data:", b"event: add", b"event:", b"id: 7", b"id", b"id: a\0b", b": note"),
    *(
        b"other: y",
        b"retry: 10",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"\xef\xbb\xbf",
        "é€😀".encode(),
        b"\xe2\x82",
    ),
)


@given(parts=st.lists(st.sampled_from(FRAGMENTS), max_size=30), data=st.data())
@example(parts=[b"\xef\xbb\xbf", b"data: x", b"\r\n\r\n"], data=None)
def test_server_sent_events_are_those_of_the_standard_in_any_pieces(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    places = sorted(data.draw(st.lists(st.integers(0, len(whole))))) if data is not None else range(len(whole))
    pieces = [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]
    assert events_of(SSE, pieces) == by_the_book(whole)


@given(
    values=st.lists(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))),
    name=st.sampled_from([JSON_LINES, JSON_SEQUENCE]),
    indent=st.sampled_from([None, 1]),
    data=st.data(),
)
def test_json_values_come_out_as_they_went_in_in_any_pieces(
    values: list[object], name: str, indent: int | None, data: st.DataObject
) -> None:
    start = "\x1e" if name == JSON_SEQUENCE else ""
    texts = [json.dumps(value, ensure_ascii=False, indent=indent if start else None) for value in values]
    whole = "".join(f"{start}{text}\n" for text in texts).encode("utf-8", "surrogatepass")
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    pieces = [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]
    assert [event.json() for event in events_of(name, pieces)] == values


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Event("YHOO\n+2\n10")]),
        (b": test\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third", [Event("first", id="1"), Event("second")]),
        (b"data\n\ndata\ndata\n\ndata:", [Event(""), Event("\n")]),
        (b"event: add\ndata: 73857293\n\ndata: x\n\n", [Event("73857293", "add"), Event("x")]),
        (b"event: add\n\ndata: x\r\r", [Event("x")]),
        (b"id: 3\n\ndata: x\n\n", [Event("x", id="3")]),
        (b"data: \xff\n\n", [Event("\ufffd")]),
    ],
)
def test_the_examples_of_the_standard(stream: bytes, expected: list[Event]) -> None:
    assert events_of(SSE, [stream]) == expected
    assert events_of(SSE, [stream[place : place + 1] for place in range(len(stream))]) == expected


def test_an_event_is_there_as_soon_as_its_empty_line_is() -> None:
    parser = parser_of(SSE)
    assert parser.feed(b"data: x\r\n\r") == [Event("x")]
    assert parser.feed(b"\ndata: y\n") == []
    assert parser.feed(b"\n") == [Event("y")]


def test_the_time_to_wait_before_connecting_again_is_kept() -> None:
    parser = parser_of(SSE)
    parser.feed(b"retry: 1500\nretry: soon\n\n")
    assert parser.retry_ms == 1500


def test_json_lines_have_no_empty_lines_and_the_last_one_needs_no_end() -> None:
    assert events_of(JSON_LINES, [b'{"a": 1}\r\n\n', b'{"a"', b": 2}"]) == [Event('{"a": 1}'), Event('{"a": 2}')]


def test_a_record_that_was_cut_off_does_not_swallow_the_next_one() -> None:
    assert events_of(JSON_SEQUENCE, [b'\x1e{"a": \n\x1e[1,\n 2]\n']) == [Event('{"a":'), Event("[1,\n 2]")]


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("text/event-stream; charset=utf-8", SSE),
        ("Application/X-NDJSON", JSON_LINES),
        ("application/jsonl", JSON_LINES),
        ("application/json-seq", JSON_SEQUENCE),
        ("application/geo+json-seq", JSON_SEQUENCE),
        ("application/json", None),
        ("", None),
        (None, None),
    ],
)
def test_the_content_type_tells_the_format(content_type: str | None, name: str | None) -> None:
    assert format_of(content_type) == name
