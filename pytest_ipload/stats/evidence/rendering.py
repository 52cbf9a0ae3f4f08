"""Kept requests and replies as text: decoded, cut, and without secrets."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from urllib.parse import unquote_plus

from pytest_ipload.base.masking import HIDDEN, masked, names_secret, secret_values
from pytest_ipload.base.process_environment import ENVIRONMENT
from pytest_ipload.base.traceparent import HEADER, trace_id_of
from pytest_ipload.base.units import NS_PER_MS, NS_PER_S
from pytest_ipload.stats.evidence.evidence import BODY_BYTES, Evidence, Exchange, Message, MessageText
from pytest_ipload.stats.evidence.keeper import Kept

_SHORTEST_SECRET = 6
"""A shorter value is masked only where its name stands: elsewhere it may be an ordinary word."""
_MOST_SECRETS = 200
_LONGEST_LINE = 2048
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_TEXT_TYPE = re.compile(r"text/|[\w.+/-]*(json|xml|javascript|graphql|yaml|csv|x-www-form-urlencoded)", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]")
_COOKIE = re.compile(r"(?i)(set-)?cookie2?\Z")


def evidence_of(kind: str, kept: Kept, origin_ns: int, origin_unix: float) -> Evidence:
    """A kept request as it is reported. The load began at ``origin_ns``, in Unix seconds at ``origin_unix``."""
    sample, exchange = kept.sample, kept.exchange or Exchange(None, None)
    t_s = (sample.started_ns - origin_ns) / NS_PER_S
    of_exchange = _hiding(exchange)

    def hide(text: str) -> str:
        return ENVIRONMENT.hide(of_exchange(text))

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


def _text_of(message: Message, hide: Callable[[str], str]) -> MessageText:
    body = None if message.body is None else _body_text(message)
    return MessageText(
        _line(message.line, hide),
        [_line(f"{name}: {HIDDEN if names_secret(name) else value}", hide) for name, value in message.headers],
        None if body is None else hide(body),
        message.length,
    )


def _body_text(message: Message) -> str:
    """The beginning of a body as text without secrets; of a binary one, its length and type."""
    assert message.body is not None
    named = {name.lower(): value for name, value in message.headers}
    content_type = named.get("content-type", "")
    text = _decoded(_inflated(message.body, named.get("content-encoding", "")), content_type)
    if text is None:
        kind = f" of {masked(content_type)}" if content_type else ""
        return f"({len(message.body) if message.length is None else message.length} bytes{kind})"
    if "x-www-form-urlencoded" in content_type:
        text = masked(f"&{text}")[1:]  # so that the first field is a parameter like the others
    else:
        text = masked(text)
    return _cut(text, BODY_BYTES)


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
        decoder = codecs.getincrementaldecoder(named[1] if named else "utf-8")("replace" if is_text else "strict")
        text = str(decoder.decode(body))
    except (LookupError, ValueError, TypeError, AssertionError):  # a charset that does not exist, or is none of text
        if not is_text:
            return None
        text = body.decode("utf-8", "replace")
    return None if _UNPRINTABLE.search(text) and not is_text else text


def _hiding(exchange: Exchange) -> Callable[[str], str]:
    """Hides the secrets of this exchange wherever else they stand in it, as in a reply that repeats the request."""
    found: dict[str, None] = {}
    for message in (exchange.request, exchange.reply):
        for value in () if message is None else _secrets_of(message):
            for form in (value, unquote_plus(value)):
                if len(form) >= _SHORTEST_SECRET and HIDDEN not in form:
                    found[form] = None
    secrets = sorted(list(found)[:_MOST_SECRETS], key=len, reverse=True)

    def hide(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, HIDDEN)
        return text

    return hide


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
