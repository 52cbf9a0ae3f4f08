"""Bodies of replies: encodings, character sets, JSON, and reading them bit by bit."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from typing import Any

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest
from requests.exceptions import ChunkedEncodingError, ConnectionError, ContentDecodingError, JSONDecodeError
from support.differential import Call, Case, Stage, assert_same, call, cut, fails, get, replies
from support.replies import LAST, chunk, chunked, head, reply
from support.scripted_server import OK, Do

TEXT = b"hello, hello, hello"
LARGE = random.Random(0).randbytes(200_000)
GZIP = gzip.compress(TEXT, mtime=0)
ZLIB = zlib.compress(TEXT)
RAW_DEFLATE = zlib.compress(TEXT)[2:-4]
BROTLI = brotli.compress(TEXT)
# A frame of one block that is not compressed: what is wanted is the way through the decoder, if there is one.
ZSTD = b"\x28\xb5\x2f\xfd\x20" + bytes([len(TEXT)]) + (len(TEXT) << 3 | 1).to_bytes(3, "little") + TEXT


def encoded(encoding: str, body: bytes) -> bytes:
    return reply(body, f"Content-Encoding: {encoding}", "Content-Type: text/plain")


def in_chunks(encoding: str, body: bytes) -> bytes:
    pieces = [chunk(piece) for piece in (body[:4], body[4:]) if piece]
    return chunked(*pieces, LAST, headers=(f"Content-Encoding: {encoding}",))


ENCODED = {
    "gzip": ("gzip", GZIP),
    "x-gzip": ("x-gzip", GZIP),
    "GZIP": ("GZIP", GZIP),
    "gzip with spaces": (" gzip ", GZIP),
    "deflate": ("deflate", ZLIB),
    "deflate without zlib's frame": ("deflate", RAW_DEFLATE),
    "br": ("br", BROTLI),
    "zstd": ("zstd", ZSTD),
    "identity": ("identity", TEXT),
    "of nothing": ("", TEXT),
    "unknown": ("sdch", TEXT),
    "gzip, gzip": ("gzip, gzip", gzip.compress(GZIP, mtime=0)),
    "deflate, gzip": ("deflate, gzip", gzip.compress(ZLIB, mtime=0)),
    "gzip, deflate": ("gzip,deflate", zlib.compress(GZIP)),
    "gzip of two members": ("gzip", GZIP + gzip.compress(b" and more", mtime=0)),
    "gzip with more behind it": ("gzip", GZIP + b"garbage"),
    "gzip cut off": ("gzip", GZIP[:-9]),
    "gzip cut off in its header": ("gzip", GZIP[:5]),
    "gzip without its sum": ("gzip", GZIP[:-8]),
    "deflate cut off": ("deflate", ZLIB[:-5]),
    "deflate with more behind it": ("deflate", ZLIB + b"garbage"),
    "br cut off": ("br", BROTLI[:-2]),
    "br, more or less": ("br", TEXT),
    "gzip of nothing": ("gzip", gzip.compress(b"", mtime=0)),
    "gzip, but empty": ("gzip", b""),
    "deflate, but empty": ("deflate", b""),
    "br, but empty": ("br", b""),
}
WRONG = {
    "six times gzip": (", ".join(["gzip"] * 6), GZIP),
    "gzip, unknown": ("gzip, sdch", GZIP),
    "gzip, identity": ("gzip, identity", GZIP),
    "gzip with a wrong sum": ("gzip", GZIP[:-8] + b"\0" * 8),
    "gzip, but plain": ("gzip", TEXT),
    "deflate, but plain": ("deflate", b"\xff" + TEXT),
    "gzip, gzip, but once": ("gzip, gzip", GZIP),
}

TYPES = {
    "no type": ((), "grüße".encode()),
    "text": (("Content-Type: text/plain",), "grüße".encode()),
    "text, latin-1": (("Content-Type: text/html",), "grüße".encode("latin-1")),
    "utf-8": (("Content-Type: text/html; charset=utf-8",), "grüße".encode()),
    "utf-8 in quotes": (('Content-Type: text/html; charset="utf-8"',), "grüße".encode()),
    "utf-8 in single quotes": (("Content-Type: text/html; charset='utf-8'",), "grüße".encode()),
    "UTF8": (("Content-Type: text/html;CHARSET=UTF8",), "grüße".encode()),
    "utf-16": (("Content-Type: text/html; charset=utf-16",), "grüße".encode("utf-16")),
    "wrong utf-8": (("Content-Type: text/html; charset=utf-8",), b"gr\xfc\xdfe"),
    "shift-jis": (("Content-Type: text/html; charset=shift_jis",), "日本".encode("shift_jis")),
    "unknown charset": (("Content-Type: text/html; charset=klingon",), b"hello"),
    "no charset": (("Content-Type: text/html; charset",), b"hello"),
    "empty charset": (("Content-Type: text/html; charset=",), b"hello"),
    "charset not first": (("Content-Type: text/html; a=b; charset=utf-8; c=d",), "grüße".encode()),
    "charset of a codec for bytes": (("Content-Type: text/html; charset=hex",), b"hello"),
    "charset of punycode": (("Content-Type: text/html; charset=idna",), b"hello"),
    "charset with a null": (("Content-Type: text/html; charset=a\x00b",), b"hello"),
    "two types": (("Content-Type: text/html", "Content-Type: application/json"), b"{}"),
    "json": (("Content-Type: application/json",), '{"ä": [1, 2.5, null, "ü"]}'.encode()),
    "json, utf-8 with mark": (("Content-Type: application/json",), b"\xef\xbb\xbf{}"),
    "json, utf-16": (("Content-Type: application/json",), '{"ä": 1}'.encode("utf-16")),
    "json, utf-32": (("Content-Type: application/json",), '{"ä": 1}'.encode("utf-32")),
    "json, latin-1": (("Content-Type: application/json; charset=latin-1",), '{"ä": 1}'.encode("latin-1")),
    "json, wrong": (("Content-Type: application/json",), b'{"a": 1'),
    "json, two": (("Content-Type: application/json",), b"{} {}"),
    "json, nothing": (("Content-Type: application/json",), b""),
    "json, not a number": (("Content-Type: application/json",), b"[NaN, Infinity]"),
    "binary": (("Content-Type: application/octet-stream",), bytes(range(256))),
    "xml": (("Content-Type: application/xml",), b"<?xml version='1.0' encoding='utf-8'?><a/>"),
    "lines": (("Content-Type: text/plain",), b"a\nb\r\nc\rd\x0be\x1cf\n\ng"),
    "lines, the last one ended": (("Content-Type: text/plain; charset=utf-8",), "ä\r\nö\r\n".encode()),
}


def reading(how: Callable[[Any], object], **kwargs: Any) -> Call:
    """A call with ``stream=True``, and what reading that way gives; the response itself is looked at as well."""

    def read(session: Any, stage: Stage) -> object:
        response = session.get(stage.url(), stream=True, **kwargs)
        return how(response), response

    return read


def read_held(session: Any, stage: Stage) -> object:
    """The head is there before the body is sent."""
    response = session.get(stage.url(), stream=True)
    stage.server.release()
    return response.content, response


def abandon(session: Any, stage: Stage) -> object:
    """Close without reading; the connection cannot be used again."""
    response = session.get(stage.url(), stream=True)
    response.close()
    return response.raw.closed


def read_partly(response: Any) -> object:
    pieces = response.iter_content(4)
    parts = [next(pieces, None), next(pieces, None)]
    response.close()
    return parts


def use_with(session: Any, stage: Stage) -> object:
    with session.get(stage.url(), stream=True) as response:
        return response.raw.read(5), response.raw.tell()


def set_encoding(session: Any, stage: Stage) -> object:
    response = session.get(stage.url())
    response.encoding = "latin-1"
    return response.text, response.encoding, response.json()


def set_attributes(session: Any, stage: Stage) -> object:
    """Everything of a response may be replaced, before or after it was looked at."""
    response = session.get(stage.url())
    response.status_code, response.reason, response.url = 418, "Teapot", "http://elsewhere/"
    response.headers["X-Own"] = "1"
    response.headers.pop("Content-Length")
    response.history = [response.history]
    response.cookies.set("own", "1")
    response._content = b"replaced"  # what many hooks do, for want of a public way
    seen = [
        response.ok,
        response.headers,
        response.cookies.get_dict(),
        response.text,
        response.history,
        response.reason,
    ]
    return seen, response.url, repr(response)


READING: dict[str, Call] = {
    "content": reading(lambda r: r.content),
    "raw": reading(lambda r: [r.raw.read(3), r.raw.tell(), r.raw.read(), r.raw.closed]),
    "raw, decoded": reading(lambda r: r.raw.read(decode_content=True)),
    "raw.stream": reading(lambda r: list(r.raw.stream(4, decode_content=True))),
    "raw.data": reading(lambda r: r.raw.data),
    "raw.readinto": reading(lambda r: r.raw.readinto(bytearray(4))),
    "iter_content": reading(lambda r: list(r.iter_content(5))),
    "iter_content of 1": reading(lambda r: list(r.iter_content())),
    "iter_content of None": reading(lambda r: b"".join(r.iter_content(None))),
    "iter_content, decoded": reading(lambda r: list(r.iter_content(2, decode_unicode=True))),
    "iter_lines": reading(lambda r: list(r.iter_lines())),
    "iteration": reading(lambda r: list(r)),
    "json": reading(lambda r: r.json()),
    "partly, then closed": reading(read_partly),
    "closed": abandon,
    "with": use_with,
}
STREAMED = {
    "length": reply(b'{"a": "hello"}'),
    "empty list": reply(b"[]"),
    "chunked": chunked(chunk(b'{"a":'), chunk(b' "hello"}'), LAST),
    "gzip": reply(gzip.compress(b'{"a": "hello"}', mtime=0), "Content-Encoding: gzip"),
}

CASES = {
    **{f"encoding {name}": replies(encoded(*each)) for name, each in ENCODED.items()},
    **{f"encoding {name}": fails(ContentDecodingError, encoded(*each)) for name, each in WRONG.items()},
    **{f"chunked, encoding {name}": replies(in_chunks(*each)) for name, each in ENCODED.items()},
    **{f"chunked, encoding {name}": fails(ContentDecodingError, in_chunks(*each)) for name, each in WRONG.items()},
    "encoding until it closes": replies(head("Content-Encoding: gzip") + GZIP, Do.CLOSE),
    "encoding in two headers": fails(
        ContentDecodingError, reply(GZIP, "Content-Encoding: identity", "Content-Encoding: gzip")
    ),
    "encoding of a body cut off": fails(
        ChunkedEncodingError, head("Content-Encoding: gzip", "Content-Length: 99") + GZIP, Do.CLOSE
    ),
    "encoding, large": replies(reply(gzip.compress(b"a" * 300_000, mtime=0), "Content-Encoding: gzip")),
    "large": replies(reply(LARGE)),
    "large, cut off": Case([(reply(LARGE)[:-1], Do.CLOSE)], [get()], [ChunkedEncodingError]),
    "large, in chunks, cut off": Case([(chunked(chunk(LARGE))[:-99], Do.CLOSE)], [get()], [ChunkedEncodingError]),
    "large, encoded, in chunks": replies(in_chunks("gzip", gzip.compress(LARGE, mtime=0))),
    "encoding not asked for": Case([(encoded("gzip", GZIP),)], [get(headers={"Accept-Encoding": "identity"})]),
    **{f"type {name}": replies(reply(body, *lines)) for name, (lines, body) in TYPES.items()},
    **{
        f"streamed {what}, {name}": Case([(data,), OK], [each, get()])
        for what, data in STREAMED.items()
        for name, each in READING.items()
    },
    "streamed head before the body": Case([(head("Content-Length: 5"), Do.HOLD, b"hello")], [read_held]),
    "streamed, cut off": Case(
        [(head("Content-Length: 9") + b"hello", Do.CLOSE)], [reading(lambda r: r.content)], [ChunkedEncodingError]
    ),
    "streamed, a stall": Case(
        [(head("Content-Length: 9") + b"hello", Do.STALL)],
        [reading(lambda r: r.content, timeout=0.1)],
        [ConnectionError],
    ),
    "streamed JSON that is none": Case([OK], [reading(lambda r: r.json())], [JSONDecodeError]),
    "streamed until it closes": Case([(head() + b"hello", Do.CLOSE)], [reading(lambda r: r.content)]),
    "streamed HEAD": Case([(head("Content-Length: 5"),)], [call("HEAD", stream=True)]),
    "streamed by the session": Case([OK], [lambda session, stage: setattr(session, "stream", True), get()]),
    "other encoding set": Case([(reply('{"ä": 1}'.encode("latin-1")),)], [set_encoding]),
    "attributes set": Case([(reply(b"hello", "Set-Cookie: a=b"),)], [set_attributes]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_body_is_read_as_requests_reads_it(name: str) -> None:
    assert_same(name, CASES[name])


@pytest.mark.parametrize("name", [name for name in CASES if "stream" not in name])
def test_segments_make_no_difference(name: str) -> None:
    assert_same(name, cut(CASES[name], 5, seed=len(name)), "cut")
