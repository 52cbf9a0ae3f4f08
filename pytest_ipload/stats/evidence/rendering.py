"""Kept requests and replies as text: decoded, cut, and without secrets."""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from urllib.parse import quote, quote_plus, unquote_plus

from pytest_ipload.base.masking import HIDDEN, masked, names_secret, secret_values
from pytest_ipload.base.process_environment import ENVIRONMENT
from pytest_ipload.base.traceparent import HEADER, trace_id_of
from pytest_ipload.base.units import NS_PER_MS, NS_PER_S
from pytest_ipload.stats.evidence.evidence import BODY_BYTES, Evidence, Exchange, Message, MessageText
from pytest_ipload.stats.evidence.keeper import Kept

_SHORTEST_SECRET = 6
"""A shorter value is masked only where its name stands: elsewhere it may be an ordinary word."""
_MOST_SECRETS = 200
_SHORTEST_PIECE = 4
"""Of a secret that is cut off at the end of what is kept of a body."""
_LONGEST_LINE = 2048
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_TEXT_TYPE = re.compile(r"text/|[\w.+/-]*(json|xml|javascript|graphql|yaml|csv|x-www-form-urlencoded)", re.IGNORECASE)
_ALIKE = re.compile(r"[A-Za-z0-9_.~-]*")
"""A text that is written alike everywhere."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]")
_COOKIE = re.compile(r"(?i)(set-)?cookie2?\Z")


def evidence_of(kind: str, kept: Kept, origin_ns: int, origin_unix: float) -> Evidence:
    """A kept request as it is reported. The load began at ``origin_ns``, in Unix seconds at ``origin_unix``."""
    sample, exchange = kept.sample, kept.exchange or Exchange(None, None)
    t_s = (sample.started_ns - origin_ns) / NS_PER_S
    hide = _Hiding(exchange)
    problem = sample.problem
    return Evidence(
        name=sample.name,
        kind=kind,
        at=datetime.fromtimestamp(origin_unix + t_s, timezone.utc).isoformat(timespec="milliseconds"),
        t_s=round(t_s, 6),
        user=kept.user,
        iteration=kept.iteration,
        source_address=sample.source_address,
        status=sample.status or None,
        latency_ms=round(sample.latency_ns / NS_PER_MS, 3),
        connect_ms=_milliseconds(sample.connect_ns),
        tls_ms=_milliseconds(sample.tls_ns),
        first_byte_ms=_milliseconds(sample.first_byte_ns),
        redirects=sample.redirects or None,
        redirected_from=None if exchange.redirected_from is None else _line(exchange.redirected_from, hide),
        trace_id=_trace_id(exchange),
        error=None if problem is None else _line(f"{problem.type}: {problem.message}", hide),
        request=None if exchange.request is None else _text_of(exchange.request, hide),
        reply=None if exchange.reply is None else _text_of(exchange.reply, hide),
    )


def _milliseconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else round(nanoseconds / NS_PER_MS, 3)


def _trace_id(exchange: Exchange) -> str | None:
    headers = () if exchange.request is None else exchange.request.headers
    return next((trace_id_of(value) for name, value in headers if name.lower() == HEADER), None)


def _line(text: str, hide: Callable[[str], str]) -> str:
    return _cut(hide(masked(text)), _LONGEST_LINE)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}..."


def _text_of(message: Message, hide: _Hiding) -> MessageText:
    body = None if message.body is None else _body_text(message, hide)
    return MessageText(
        _line(message.line, hide),
        [_line(f"{name}: {HIDDEN if names_secret(name) else value}", hide) for name, value in message.headers],
        body,
        message.length,
    )


def _body_text(message: Message, hide: _Hiding) -> str:
    """The beginning of a body as text without secrets; of a binary one, its length and type."""
    assert message.body is not None
    named = {name.lower(): value for name, value in message.headers}
    content_type = named.get("content-type", "")
    text = _decoded(_inflated(message.body, named.get("content-encoding", "")), content_type)
    if text is None:
        kind = f" of {masked(content_type)}" if content_type else ""
        return hide(f"({len(message.body) if message.length is None else message.length} bytes{kind})")
    if "x-www-form-urlencoded" in content_type:
        text = masked(f"&{text}")[1:]  # so that the first field is a parameter like the others
    else:
        text = masked(text)
    text = hide(text)
    is_cut = message.length is None or message.length > len(message.body)
    return _cut(hide.cut_off(text) if is_cut else text, BODY_BYTES)


def _inflated(body: bytes, coding: str) -> bytes:
    """The body without gzip, if it has it: that of a reply was undone when it was read."""
    if coding.lower() in ("gzip", "x-gzip", "deflate") and body[:1] in (b"\x1f", b"\x78"):
        with suppress(zlib.error):
            return zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(body, 2 * BODY_BYTES)
    return body


def _decoded(body: bytes, content_type: str) -> str | None:
    """The text of a body that may end in the middle of a character; None if it is binary."""
    named = _CHARSET.search(content_type)
    is_text = _TEXT_TYPE.match(content_type) is not None
    try:
        decoder = codecs.getincrementaldecoder(_charset(named[1]) if named else "utf-8")
        text = decoder("replace" if is_text else "strict").decode(body)
    except (LookupError, ValueError, TypeError, AssertionError):  # a charset that does not exist, or fails
        if not is_text:
            return None
        text = body.decode("utf-8", "replace")
    return None if _UNPRINTABLE.search(text) and not is_text else text


def _charset(name: str) -> str:
    """A charset of text. LookupError for what Python knows besides: to unpack with zlib, or to undo escapes."""
    _ = b" ".decode(name, "ignore")
    if "escape" in codecs.lookup(name).name:
        raise LookupError(name)
    return name


class _Hiding:
    """Hides the secrets of an exchange wherever else they stand in it, as in a reply that repeats the request."""

    def __init__(self, exchange: Exchange) -> None:
        found: dict[str, None] = {}
        for message in (exchange.request, exchange.reply):
            for value in () if message is None else _secrets_of(message):
                if len(value) >= _SHORTEST_SECRET and HIDDEN not in value:
                    found[value] = None
        forms = {form for value in list(found)[:_MOST_SECRETS] for form in _forms_of(value)}
        self._secrets = sorted((form for form in forms if len(form) >= _SHORTEST_SECRET), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without them, and without what scenario files have read of the environment."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return ENVIRONMENT.hide(text)

    def cut_off(self, text: str) -> str:
        """A text that ends somewhere, without the beginning of one of them at its end."""
        for secret in (*self._secrets, *ENVIRONMENT.forms):
            for length in range(min(len(secret) - 1, len(text)), _SHORTEST_PIECE - 1, -1):
                if text.endswith(secret[:length]):
                    return text[:-length] + HIDDEN
        return text


def _forms_of(secret: str) -> Iterator[str]:
    """A secret as it was found, and as URLs, JSON and HTML write it."""
    if _ALIKE.fullmatch(secret):
        yield secret
        return
    for plain in (secret, unquote_plus(secret), _without_escapes(secret)):
        yield plain
        yield from (quote(plain, errors="replace"), quote(plain, "", errors="replace"))
        yield from (quote_plus(plain, errors="replace"), html.escape(plain))
        yield from (json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1])


def _without_escapes(text: str) -> str:
    """A text of JSON as it is meant."""
    with suppress(ValueError):
        if "\\" in text and isinstance(meant := json.loads(f'"{text}"'), str):
            return meant
    return text


def _secrets_of(message: Message) -> list[str]:
    found = list(secret_values(message.line))
    for name, value in message.headers:
        if _COOKIE.match(name):
            pairs = [value.partition(";")[0]] if name.lower().startswith("set-") else value.split(";")
            found += [pair.partition("=")[2].strip().strip('"') for pair in pairs]
        elif names_secret(name):
            found += [value, *_credentials(value)]
        else:
            found += secret_values(value)
    content_type = next((value for name, value in message.headers if name.lower() == "content-type"), "")
    text = None if message.body is None else _decoded(message.body, content_type)
    return found if text is None else [*found, *secret_values(f"&{text}")]


def _credentials(value: str) -> list[str]:
    """What follows the scheme in an Authorization header, and a password in it."""
    scheme, _, rest = value.partition(" ")
    rest = rest.strip()
    if scheme.lower() != "basic":
        return [rest]
    with suppress(binascii.Error, ValueError):
        return [rest, base64.b64decode(rest).decode("utf-8", "replace").partition(":")[2]]
    return [rest]
