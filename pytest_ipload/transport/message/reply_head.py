"""The heads of ordinary HTTP/1.1 replies.

Grammar of what is read here (RFC 9112, less what is deprecated in it)::

    head        = status-line 1*( CRLF field )
    status-line = "HTTP/1.1 " status [ SP [ reason ] ]
    status      = ("2" / "3" / "4" / "5") 2DIGIT
    reason      = printable ASCII that does not begin with a space
    field       = token ":" value            ; value: no control character but the tab

and of its fields at most one each of Content-Length, Transfer-Encoding, Content-Encoding and Connection, and no
Set-Cookie2; either a Content-Length of digits or exactly ``Transfer-Encoding: chunked``. Any other head is left to
``http.client``, which knows what to do about it: this reader must never see something in a reply that http.client
would not.
"""

from __future__ import annotations

import re
from typing import Any

from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3 import HTTPHeaderDict

LONGEST_HEAD = 32768
"""A longer head is not ordinary; http.client has limits of its own."""
_MOST_FIELDS = 99  # http.client refuses more
_ORDINARY = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: ([!-~][ -~]*)?)?((?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\xa0-\xff]*)+)"
)
_DIGITS = re.compile(r"[0-9]{1,18}")
# Cookies whose names and values need no thought: no quotes, no spaces.
_VALUE = "[A-Za-z0-9_.~+/%=!*|:-]*"
_PLAIN_COOKIE = re.compile(rf"([A-Za-z0-9_.-]+)=({_VALUE})((?:;.*)?)", re.DOTALL)
EXPIRES = re.compile(r";\s*(expires|max-age)\s*=", re.IGNORECASE)
"""The attributes of a cookie that expires."""
_match_value = re.compile(_VALUE.encode()).match
_SET_COOKIE = re.compile(rf"\r\nset-cookie:[ \t]*[A-Za-z0-9_.-]+=({_VALUE})(?=;|\r\n)".encode(), re.IGNORECASE)
_BODILESS = (204, 304)
_REDIRECTS = (301, 302, 303, 307, 308)
_SINGLE = ("content-length", "transfer-encoding", "content-encoding", "connection")
_REMEMBERED_HEADS = 512
REMEMBERED_LENGTH = 2048
"""Longer heads are not kept."""
_new = object.__new__

CookieForm = tuple[tuple[str, str], ...]
"""The names and the attributes of plain cookies, in the order of their lines."""
_Cut = tuple[tuple[bytes, ...], tuple[tuple[int, str, str, str], ...]]
"""A head in pieces, with the value of a cookie between each two; and for each of these: the field's place and name,
and what is before and behind the value."""


class Head:
    """The head of one reply. It is shared by replies with the same bytes, so nobody changes it."""

    __slots__ = (
        "_cut",
        "_encoding",
        "_has_repeated",
        "_made_of",
        "content_encoding",
        "cookie_form",
        "cookie_values",
        "is_redirect",
        "is_special",
        "items",
        "keeps_open",
        "length",
        "raw",
        "reason",
        "set_cookies",
        "status",
    )

    def __init__(self, status: int, reason: str, items: tuple[tuple[str, str], ...]) -> None:
        """Raises ValueError if the head is not ordinary after all."""
        self.status = status
        self.reason = reason
        self.items = items
        """The header fields as they came."""
        lower = [name.lower() for name, _ in items]
        if any(lower.count(name) > 1 for name in _SINGLE):
            raise ValueError("a field that must not be repeated is")
        if "set-cookie2" in lower:
            raise ValueError("an obsolete kind of cookies")
        self._has_repeated = len(set(lower)) < len(lower)
        fields = dict(zip(lower, (value for _, value in items), strict=True))
        self.length = self._body_length(status, fields)
        """Bytes of the body; None: chunked."""
        self.keeps_open = "close" not in fields.get("connection", "").lower()
        self.content_encoding = fields.get("content-encoding", "").lower()
        self.set_cookies = tuple(value for name, (_, value) in zip(lower, items, strict=True) if name == "set-cookie")
        form, values = _plain_cookies(self.set_cookies) if self.set_cookies else (None, ())
        self.cookie_form: CookieForm | None = form
        """What its cookies are but for ``cookie_values``; None if not all of them are plain, or if one expires."""
        self.cookie_values: tuple[str, ...] = values
        self.is_redirect = status in _REDIRECTS and "location" in fields
        self.raw = b""
        """The bytes that it was read from, with the empty line behind them; of HTTP/1.1 only."""
        self.is_special = bool(self.is_redirect or self.set_cookies or self.content_encoding)
        """Whether there is more to do with the reply than to hand it on."""
        self._encoding: str | bool | None = False
        self._made_of: dict[str, Any] | None = None
        """What is in a header that was made: to copy it takes a fraction of the time that making one takes."""
        self._cut: _Cut | None = None

    @staticmethod
    def _body_length(status: int, fields: dict[str, str]) -> int | None:
        return _length(status, fields)

    def headers(self) -> CaseInsensitiveDict[str]:
        """The header as a response has it: the values of a repeated field are joined, as urllib3 joins them."""
        if self._made_of is None:
            self._made_of = vars(CaseInsensitiveDict(HTTPHeaderDict(self.items) if self._has_repeated else self.items))
        header = _new(CaseInsensitiveDict)
        for name, value in self._made_of.items():
            setattr(header, name, value.copy())
        return header

    def cut_out_cookies(self) -> None:
        """Find the values of its cookies in ``raw``, for ``with_other_cookies``."""
        found = list(_SET_COOKIE.finditer(self.raw))
        places = [place for place, (name, _) in enumerate(self.items) if name.lower() == "set-cookie"]
        if len(found) != len(places):
            return
        ends = [0, *(match.end() for match in found)]
        starts = [*(match.start(1) for match in found), len(self.raw)]
        fields = []
        for place, match in zip(places, found, strict=True):
            field, line = self.items[place]
            name, _, rest = line.partition("=")
            fields.append((place, field, f"{name}=", rest[len(match[1]) :]))
        self._cut = tuple(self.raw[end:start] for end, start in zip(ends, starts, strict=True)), tuple(fields)

    def with_other_cookies(self, received: bytes) -> Head | None:
        """The head of another reply that differs in the values of cookies only; None if it is any other.

        A server that sets a cookie anew in each reply never sends the same head twice.
        """
        if self._cut is None:
            return None
        (*pieces, last), fields = self._cut
        position, values, items, lines = 0, [], list(self.items), []
        for piece, (place, field, before, behind) in zip(pieces, fields, strict=True):
            if not received.startswith(piece, position):
                return None
            position += len(piece)
            end = _match_value(received, position).end()  # type: ignore[union-attr]  # it may be empty: it matches
            value = received[position:end].decode()
            line = f"{before}{value}{behind}"
            values.append(value)
            lines.append(line)
            items[place] = field, line
            position = end
        if not received.startswith(last, position):
            return None
        other = _new(Head)
        other.status, other.reason, other.length = self.status, self.reason, self.length
        other.keeps_open, other.content_encoding = self.keeps_open, self.content_encoding
        other.is_redirect, other.is_special, other.cookie_form = self.is_redirect, True, self.cookie_form
        other._has_repeated, other._encoding, other._cut = self._has_repeated, self._encoding, self._cut
        other._made_of = None
        other.items, other.set_cookies = tuple(items), tuple(lines)
        other.cookie_values = () if self.cookie_form is None else tuple(values)
        other.raw = received[: position + len(last)]
        return other

    def encoding(self) -> str | None:
        """The encoding of the text, as requests takes it from the header."""
        if self._encoding is False:
            self._encoding = get_encoding_from_headers(self.headers())
        return self._encoding  # type: ignore[return-value]  # False is gone


def _plain_cookies(lines: tuple[str, ...]) -> tuple[CookieForm | None, tuple[str, ...]]:
    matches = [_PLAIN_COOKIE.fullmatch(line) for line in lines]
    found = [match.groups() for match in matches if match is not None]
    is_plain = len({name for name, _, _ in found}) == len(lines) and not any(map(EXPIRES.search, lines))
    if not is_plain:
        return None, ()
    return tuple((name, attributes) for name, _, attributes in found), tuple(value for _, value, _ in found)


def _length(status: int, fields: dict[str, str]) -> int | None:
    transfer, length = fields.get("transfer-encoding"), fields.get("content-length")
    if transfer is not None:
        if length is not None or status in _BODILESS or transfer.lower() != "chunked":
            raise ValueError("an unusual Transfer-Encoding")
        return None
    if status in _BODILESS and length is None:
        return 0
    if length is None or not _DIGITS.fullmatch(length.strip(" \t")):
        raise ValueError("no usable Content-Length")
    return 0 if status in _BODILESS else int(length)


def parse_head(head: bytes) -> Head | None:
    """The head in these bytes (up to, not with, the empty line); None if it is not ordinary."""
    match = _ORDINARY.fullmatch(head) if len(head) <= LONGEST_HEAD else None
    if match is None:
        return None
    status, reason, fields = match.groups()
    lines = fields.decode("latin-1").split("\r\n")[1:]
    if len(lines) > _MOST_FIELDS:
        return None
    items = tuple((name, value.lstrip(" \t")) for name, _, value in (line.partition(":") for line in lines))
    try:
        parsed = Head(int(status), (reason or b"").decode("ascii").rstrip(" "), items)
    except ValueError:
        return None
    parsed.raw = head + b"\r\n\r\n"
    if parsed.set_cookies:
        parsed.cut_out_cookies()
    return parsed


class ReplyHeads(dict[bytes, "Head | None"]):
    """Heads by their bytes, as ``parse_head`` reads them, None for those that are not ordinary.

    Within a second, most replies of one kind begin with the same bytes: they are parsed once. Thread-safe.
    """

    def __missing__(self, head: bytes) -> Head | None:
        parsed = parse_head(head)
        if parsed is not None:
            self.remember(head, parsed)
        return parsed

    def remember(self, head: bytes, parsed: Head) -> None:
        """Keep a head that was parsed, unless it is very long."""
        if len(head) <= REMEMBERED_LENGTH:
            if len(self) >= _REMEMBERED_HEADS:
                self.clear()
            self[head] = parsed
