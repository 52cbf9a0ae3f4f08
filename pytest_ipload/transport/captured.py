"""What evidence keeps of a request and its reply. Runs only for those that are kept."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response

from pytest_ipload.stats.evidence.evidence import HEAD_BYTES, KEPT_BYTES, Exchange, Headers, Message

_MOST_FIELDS = 100


def captured(
    request: PreparedRequest | None, response: Response | None, first: PreparedRequest | None = None
) -> Exchange:
    """A request and its reply, their bodies cut. ``first`` is the first request of the call, before redirects."""
    came_from = None
    if first is not None and request is not None and first.url != request.url:
        came_from = f"{first.method} {first.url}"
    return Exchange(
        None if request is None else _request(request), None if response is None else _reply(response), came_from
    )


def _request(request: PreparedRequest) -> Message:
    parts = urlsplit(request.url or "")
    body: Any = request.body
    data, length = None, None
    if body is None:
        data, length = b"", 0
    elif isinstance(body, (str, bytes, bytearray)):
        data = body[:KEPT_BYTES].encode(errors="replace") if isinstance(body, str) else bytes(body[:KEPT_BYTES])
        length = len(body)
    headers = [(_text(name), _text(value)) for name, value in (request.headers or {}).items()]
    if not any(name.lower() == "host" for name, _ in headers):
        headers.insert(0, ("Host", parts.netloc.rpartition("@")[2]))
    return Message(f"{request.method} {request.path_url} HTTP/1.1", _bounded(headers), data, length)


def _reply(response: Response) -> Message:
    own = vars(response)
    content = own.get("_content")
    data, length = (content[:KEPT_BYTES], len(content)) if isinstance(content, bytes) else (None, None)
    version = getattr(response, "http_version", None) or "1.1"
    line = f"HTTP/{version} {response.status_code} {response.reason or ''}".rstrip()
    return Message(line, _bounded(_reply_headers(response)), data, length)


def _reply_headers(response: Response) -> Headers:
    """The header of a reply, with fields that came several times."""
    own = vars(response)
    received = own["head"].raw if "coded_body" in own else own.get("received")
    if isinstance(received, bytes):  # of the fast path, whose ``raw`` would be made of the whole reply
        lines = received[: received.find(b"\r\n\r\n")].decode("latin-1").split("\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    raw = getattr(response.raw, "headers", None) or response.headers
    return [(_text(name), _text(value)) for name, value in raw.items()]


def _bounded(headers: Headers) -> Headers:
    room, kept = HEAD_BYTES, []
    for name, value in headers[:_MOST_FIELDS]:
        room -= len(name) + len(value)
        kept.append((name[:HEAD_BYTES], value if room >= 0 else f"{value[:200]}..."))
    return kept


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
