"""Requests as bytes, prepared once: what requests and urllib3 would send, with the parts that change cut out.

requests prepares one request of each kind and urllib3 writes it down; what differs between two requests of the kind
(the target, the cookies, the length and the bytes of the body) is put in its place later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from requests import PreparedRequest
from requests.cookies import RequestsCookieJar
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict

from pytest_ipload.transport.foreign_hooks import StockHTTPConnection, StockHTTPSConnection
from pytest_ipload.transport.message.json_text import json_bytes
from pytest_ipload.transport.message.replay import request_bytes

NONE, JSON, FORM, RAW = "none", "json", "form", "raw"
_SAMPLES: dict[str, dict[str, Any]] = {
    NONE: {},
    JSON: {"json": {"a": 1}},
    FORM: {"data": {"a": "b"}},
    RAW: {"data": b"a"},
}


class Body(NamedTuple):
    """The body of a request."""

    kind: str
    """What it is made from, which decides about its Content-Type."""
    shown: str | bytes | None
    """As ``PreparedRequest.body`` has it."""
    encoded: bytes
    """As it is sent."""


_new_body: Any = tuple.__new__  # half of what the class takes to call
NO_BODY = Body(NONE, None, b"")

# URLs that requests and urllib3 send as they are: lower-case host, no userinfo, no escapes, no dot segments.
_UNTOUCHED = re.compile(
    r"(https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?)"
    r"((?:/(?!\.)[A-Za-z0-9\-._~!$&'()*+,;=:@]*)+)"
    r"(\?[A-Za-z0-9\-._~!$&'()*+,;=:@/?]+)?"
)
_SCALARS = (str, bytes, int, float, bool, type(None))


@dataclass(frozen=True)
class Target:
    """A URL, resolved: ``origin`` (scheme, host and port), ``path`` without and ``target`` with the query."""

    url: str
    origin: str
    path: str
    target: bytes

    @property
    def where(self) -> str:
        """The URL without its query."""
        return self.origin + self.path

    @classmethod
    def of(cls, url: str) -> Target:
        """Raises what requests raises for a URL that cannot be used."""
        match = _UNTOUCHED.fullmatch(url)
        if match is not None:
            origin, path, query = match.groups()
            return cls(url, origin, path, f"{path}{query or ''}".encode())
        request = PreparedRequest()
        request.prepare_url(url, None)
        parts = urlsplit(request.url or "")
        return cls(
            request.url or "", f"{parts.scheme}://{parts.netloc}", parts.path or "/", request.path_url.encode("latin-1")
        )


def encode_body(data: Any, json: Any) -> Body | None:
    """The body that requests would send; None for one that requests has to make itself.

    Raises ValueError and TypeError for what is not JSON.
    """
    if data is None:
        if json is None:
            return NO_BODY
        encoded = json_bytes(json)
        body: Body = _new_body(Body, (JSON, encoded, encoded))
        return body
    if isinstance(data, bytes) and data:
        return Body(RAW, data, data)
    if isinstance(data, str) and data:
        return Body(RAW, data, data.encode())
    if type(data) is dict and data:
        form = encode_form(data)
        return Body(FORM, form, form.encode()) if form else None  # one without a pair is sent in chunks
    return encode_body(None, json) if type(data) in (bytes, str, dict) else None  # an empty one is none


def encode_form(data: dict[Any, Any]) -> str | None:
    """Plain values, or lists of them, in the form of a query as requests writes it; None for anything else."""
    pairs: list[tuple[Any, Any]] = []
    for key, value in data.items():
        values = value if type(value) is list else [value]
        if type(key) is not str or any(type(each) not in _SCALARS for each in values):
            return None
        pairs += [(key, each) for each in values if each is not None]
    return urlencode(pairs)


class Template:
    """What the requests of one kind have in common: method, origin, header and kind of body."""

    def __init__(self, prepared: PreparedRequest, lines: list[bytes], fields: int, kind: str) -> None:
        """``lines`` are the header's as they are sent, and ``fields`` of ``prepared``'s come before the cookies."""
        self.kind = kind
        self._prepared = prepared
        self._fields = fields
        self.has_own_cookies = "Cookie" in prepared.headers
        self._host = prepared.headers.get("Host")
        split = len(lines) - (len(prepared.headers) - fields)
        self._method = (prepared.method or "").encode() + b" "
        self._before = b"".join(line + b"\r\n" for line in (b" HTTP/1.1", *lines[:split]))
        self._length, self._after = b"", b"\r\n".join([*lines[split:], b"", b""])
        if kind != NONE:
            self._length, self._after = b"Content-Length: ", b"\r\n".join([b"", *lines[split + 1 :], b"", b""])

    @classmethod
    def make(cls, method: str, target: Target, header: Any, auth: Any, kind: str) -> Template | None:
        """The template of requests like this one; ``header`` is complete but for what ``auth`` and the body add to it.

        None if the header fixes what is to be variable. Raises what requests and urllib3 raise.
        """
        prepared = PreparedRequest()
        prepared.prepare(
            method=method, url=target.url, headers=header, auth=auth, cookies=RequestsCookieJar(), **_SAMPLES[kind]
        )
        if "@" in target.origin or any(name in header for name in ("Content-Length", "Transfer-Encoding")):
            return None
        parts = urlsplit(target.origin)
        connection = StockHTTPSConnection if parts.scheme == "https" else StockHTTPConnection
        head = request_bytes(prepared, connection(parts.hostname or "", parts.port)).partition(b"\r\n\r\n")[0]
        first, *lines = head.split(b"\r\n")
        ours = lines[len(lines) - (len(prepared.headers) - len(header)) :]
        has_length = bool(ours) and ours[0].startswith(b"Content-Length: ")
        if first != b"%b %b HTTP/1.1" % (method.encode(), target.target) or (kind != NONE and not has_length):
            return None
        return cls(prepared, lines, len(header), kind)

    def where(self, target: Target) -> str:
        """What cookies depend on: the URL without its query, and the Host field if the header has one."""
        return target.where if self._host is None else f"{target.where} {self._host!r}"

    def head(self, target: Target, cookies: str | None) -> bytes:
        """The head of a request up to the length of its body; all of it, if there is no body.

        Raises ValueError if the cookies are more than one line, or not Latin-1.
        """
        field = b""
        if cookies is not None:
            if "\r" in cookies or "\n" in cookies:
                raise ValueError(f"invalid cookies {cookies!r}")
            field = b"Cookie: " + cookies.encode("latin-1") + b"\r\n"
        return b"".join((self._method, target.target, self._before, field, self._length or self._after))

    def with_body(self, head: bytes, body: Body) -> bytes:
        """The whole request. ``head`` is what ``head`` returned."""
        return self.sized(head, len(body.encoded)) + body.encoded

    def sized(self, head: bytes, length: int) -> bytes:
        """The head with the length of the body in it. ``head`` is what ``head`` returned."""
        return b"%b%d%b" % (head, length, self._after) if self._length else head

    def request(self, target: Target, cookies: str | None, body: Body) -> PreparedRequest:
        """The same as requests would have prepared it."""
        request = self._prepared.copy()
        request.url = target.url
        request.body = body.shown
        request.hooks = default_hooks()  # the copy's are shared with the original
        fields = list(request.headers.items())
        if cookies is not None:
            fields.insert(self._fields, ("Cookie", cookies))
        request.headers = CaseInsensitiveDict(fields)
        if self.kind != NONE:
            request.headers["Content-Length"] = str(len(body.encoded))
        return request
