"""Heads: what is read here, is read as http.client and urllib3 read it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from support.replies import head
from support.stock import read_stock
from urllib3.exceptions import HTTPError

from pytest_ipload.transport.message import reply_head as heads_module
from pytest_ipload.transport.message.reply_head import Head, ReplyHeads, parse_head

LENGTH = "Content-Length: 5"


def parse(*fields: str, status: str = "200 OK", version: str = "HTTP/1.1") -> Head | None:
    return parse_head(head(*fields, status=status, version=version)[:-4])


def ordinary(*fields: str, status: str = "200 OK") -> Head:
    parsed = parse(*fields, status=status)
    assert parsed is not None
    return parsed


# --- compared with http.client and urllib3 -------------------------------------------------------------------------

NAMES = [
    "Content-Length", "content-length", "Transfer-Encoding", "Connection", "connection", "Content-Encoding",
    "Content-Type", "Set-Cookie", "set-cookie", "Set-Cookie2", "Location", "Keep-Alive", "Upgrade", "Trailer", "X-A",
    "x-a", "From", "X!#$%&'*+-.^_`|~", "MIME-Version", "Subject", "Content-Transfer-Encoding",
]  # fmt: skip
VALUES = [
    "5", "0", "05", "5, 5", "-1", "+5", "chunked", "Chunked", "identity", "gzip, chunked", "close", "keep-alive",
    "Close, TE", "gzip", "x-gzip", "GZIP", "br", "text/html", "text/html; charset=utf-8", "application/json", "a=1",
    "a=1; Path=/", "", "a:b", "boundary=x", "multipart/mixed; boundary=x", "=?utf-8?q?a?=", "\xe4\xf6", "\xa0",
]  # fmt: skip
SPACES = st.sampled_from(["", " ", "\t", "  ", " \t "])
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=12)


@st.composite
def field_lines(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(NAMES) | st.text("AZaz09-_!'", min_size=1, max_size=5))
    value = draw(st.sampled_from(VALUES) | TEXT)
    return f"{name}:{draw(SPACES)}{value}{draw(SPACES)}"


STATUSES = st.builds(
    "{}{}".format,
    st.sampled_from([200, 201, 204, 206, 301, 302, 304, 400, 404, 500, 599]) | st.integers(100, 999),
    st.sampled_from(["", " ", " OK", " Not Found", "  two", " trailing  ", " a\tb"]) | TEXT,
)


@settings(deadline=None, max_examples=300)
@given(STATUSES, st.lists(field_lines(), max_size=5), st.sampled_from([LENGTH, "Transfer-Encoding: chunked", None]))
def test_what_is_read_here_is_read_as_by_http_client(status: str, fields: list[str], framing: str | None) -> None:
    data = head(*fields, *([framing] if framing else ()), status=status)
    parsed = parse_head(data[:-4])
    if parsed is not None:
        assert_read_as_by_http_client(parsed, data)


@settings(deadline=None, max_examples=300)
@given(st.lists(field_lines(), max_size=3))
def test_no_line_end_is_understood_in_another_way(fields: list[str]) -> None:
    for end in ("\n", "\r", "\r\r\n", "\r\n ", "\x0b", "\x0c", "\x1c", "\x85", "\x00"):
        data = (end.join(["HTTP/1.1 200 OK", LENGTH, *fields]) + "\r\n\r\n").encode("latin-1")
        parsed = parse_head(data[: data.index(b"\r\n\r\n")])
        if parsed is not None:
            assert_read_as_by_http_client(parsed, data)


def assert_read_as_by_http_client(parsed: Head, data: bytes) -> None:
    response, keeps = read_stock(data)
    assert (parsed.status, parsed.reason) == (response.status, response.reason)
    message: Any = response._original_response.msg  # type: ignore[attr-defined]  # requests reads cookies from it, too
    assert list(parsed.items) == message.items()
    assert list(parsed.headers().items()) == list(CaseInsensitiveDict(response.headers).items())
    assert parsed.encoding() == get_encoding_from_headers(CaseInsensitiveDict(response.headers))
    assert parsed.keeps_open == keeps
    assert parsed.set_cookies == tuple(message.get_all("Set-Cookie", ()))
    assert message.get_all("Set-Cookie2") is None
    if parsed.length is None:
        assert response.chunked
        assert response._original_response.chunked  # type: ignore[attr-defined]  # else the connection would be closed
    else:
        assert not response.chunked
        assert response.length_remaining == parsed.length
    assert parsed.content_encoding == response.headers.get("content-encoding", "").lower()
    response.close()


# --- tables --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "fields", "length"),
    [
        ("200 OK", (LENGTH,), 5),
        ("200 OK", ("Content-Length:5",), 5),
        ("200 OK", ("content-length: 0005\t",), 5),
        ("200", (LENGTH,), 5),
        ("200 ", (LENGTH,), 5),
        ("299 Anything (goes)!", (LENGTH, "X-Empty:"), 5),
        ("200 OK", ("Transfer-Encoding: chunked",), None),
        ("200 OK", ("transfer-encoding:Chunked", "Connection: keep-alive"), None),
        ("204 No Content", ("X-A: b",), 0),
        ("204 No Content", (LENGTH,), 0),
        ("304 Not Modified", (LENGTH,), 0),
        ("302 Found", ("Location: /x", "Content-Length: 0"), 0),
        ("503 Service Unavailable", ("Set-Cookie: a=1", "Set-Cookie: b=2", LENGTH), 5),
        ("404 Not Found", ("X-High: \xa0\xff", LENGTH), 5),
    ],
)
def test_ordinary_heads_are_read(status: str, fields: tuple[str, ...], length: int | None) -> None:
    parsed = ordinary(*fields, status=status)
    assert (parsed.status, parsed.length) == (int(status[:3]), length)
    assert parsed.keeps_open


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 5",
        b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5",
        b"HTTP/1.1 600 OK\r\nContent-Length: 5",
        b"HTTP/1.1 20 OK\r\nContent-Length: 5",
        b"HTTP/1.1 200  OK\r\nContent-Length: 5",
        b"HTTP/1.1 200 \xc3\xa4\r\nContent-Length: 5",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 5",
        b"HTTP/1.1 200 OK\nContent-Length: 5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\nX-A: b",
        b"HTTP/1.1 200 OK\r\nContent-Length : 5",
        b"HTTP/1.1 200 OK\r\n Content-Length: 5",
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\nContent-Length: 5",
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 5",
        b"HTTP/1.1 200 OK\r\nX-A: \x80\r\nContent-Length: 5",
        b"HTTP/1.1 200 OK\r\nX-A: \x00\r\nContent-Length: 5",
        b"HTTP/1.1 200 OK\r\nX-A: b",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5",
        b"HTTP/1.1 200 OK\r\nContent-Length:",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 19,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\nConnection: keep-alive",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie2: a=1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5" + b"\r\nX-A: b" * 100,
    ],
)
def test_any_other_head_is_left_to_http_client(data: bytes) -> None:
    assert parse_head(data) is None


def test_the_most_fields_that_http_client_takes_are_read() -> None:
    assert len(ordinary(LENGTH, *["X-A: b"] * 98).items) == 99


@pytest.mark.parametrize(
    ("value", "keeps"), [("keep-alive", True), ("", True), ("close", False), ("Keep-Alive, CLOSE", False)]
)
def test_the_connection_is_kept_unless_it_says_close(value: str, keeps: bool) -> None:
    assert ordinary(LENGTH, f"Connection: {value}").keeps_open is keeps


@pytest.mark.parametrize(
    ("status", "fields", "is_special", "is_redirect"),
    [
        ("200 OK", (), False, False),
        ("302 Found", (), False, False),
        ("302 Found", ("Location: /x",), True, True),
        ("201 Created", ("Location: /x",), False, False),
        ("200 OK", ("Set-Cookie: a=1",), True, False),
        ("200 OK", ("Content-Encoding: identity",), True, False),
        ("200 OK", ("Content-Encoding:",), False, False),
    ],
)
def test_a_head_says_whether_there_is_more_to_do(
    status: str, fields: tuple[str, ...], is_special: bool, is_redirect: bool
) -> None:
    parsed = ordinary(LENGTH, *fields, status=status)
    assert (parsed.is_special, parsed.is_redirect) == (is_special, is_redirect)


def test_each_response_has_a_header_of_its_own() -> None:
    parsed = ordinary(LENGTH)
    parsed.headers()["X-Mine"] = "1"
    assert dict(parsed.headers()) == {"Content-Length": "5"}


def test_the_encoding_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with_type, without = ordinary(LENGTH, "Content-Type: text/html"), ordinary(LENGTH)
    assert (with_type.encoding(), without.encoding()) == ("ISO-8859-1", None)
    monkeypatch.setattr(heads_module, "get_encoding_from_headers", lambda headers: pytest.fail("asked again"))
    assert (with_type.encoding(), without.encoding()) == ("ISO-8859-1", None)


# --- remembered ----------------------------------------------------------------------------------------------------


def test_the_same_bytes_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, data = ReplyHeads(), head(LENGTH)[:-4]
    first = heads[data]
    monkeypatch.setattr(heads_module, "parse_head", lambda head: pytest.fail("parsed again"))
    assert first is not None
    assert heads[bytes(bytearray(data))] is first


def test_what_is_not_ordinary_is_not_remembered() -> None:
    heads = ReplyHeads()
    assert heads[b"SSH-2.0"] is None
    assert len(heads) == 0


def test_memory_is_bounded() -> None:
    heads, most = ReplyHeads(), 0
    for number in range(5000):
        assert heads[head(LENGTH, f"X-Number: {number}")[:-4]] is not None
        most = max(most, len(heads))
    assert 256 < most <= 512
    long = ReplyHeads()
    assert long[head(LENGTH, f"X-Long: {'x' * 3000}")[:-4]] is not None
    assert len(long) == 0


def attributes_of(parsed: Head | None) -> dict[str, object] | None:
    return None if parsed is None else {name: getattr(parsed, name) for name in Head.__slots__}


COOKIES = ["a=1; Path=/", "b=xyz", "c=; HttpOnly", "d=1; Max-Age=5", "a=other", "e", 'f="1 2"', "g=1 ", ""]
VALUES = ["", "1", "longer-value", "a=b", "1;", "1; Path=/x", "1 2", '"1"', "1\r\nX-A: b", "\xfc"]


@pytest.mark.parametrize("before", COOKIES)
@pytest.mark.parametrize("other", COOKIES)
def test_a_head_with_other_cookies_is_the_one_that_would_be_parsed(before: str, other: str) -> None:
    first = ordinary(f"Set-Cookie: {before}", LENGTH, f"SET-COOKIE:{other}", "X-A: b")
    for value in VALUES:
        data = first.raw.replace(b"=1", f"={value}".encode("latin-1")).replace(b"xyz", value.encode("latin-1"))
        found = first.with_other_cookies(data + b"body")
        assert found is None or attributes_of(found) == attributes_of(parse_head(found.raw[:-4]))
        assert found is None or found.raw == data
    assert first.with_other_cookies(first.raw[:-1]) is None
    assert first.with_other_cookies(first.raw.replace(b"X-A", b"X-B")) is None


def test_only_values_of_plain_cookies_are_cut_out() -> None:
    found = ordinary("Set-Cookie: a=1; Path=/", "set-cookie: b=2", LENGTH)
    data = head("Set-Cookie: a=new; Path=/", "set-cookie: b=", LENGTH)
    other = found.with_other_cookies(data)
    assert other is not None
    assert (other.set_cookies, other.cookie_values) == (("a=new; Path=/", "b="), ("new", ""))
    for lines in (['Set-Cookie: a="1"'], ["Set-Cookie: a=1", "Set-Cookie: b"], []):
        assert ordinary(*lines, LENGTH).with_other_cookies(head(*lines, LENGTH)) is None


def test_stock_refuses_what_has_two_lengths() -> None:
    """The reference of these tests is the real thing: it raises where urllib3 raises."""
    with pytest.raises(HTTPError):
        read_stock(head("Content-Length: 5", "Content-Length: 6"))
