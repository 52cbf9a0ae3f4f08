"""Replies and calls over TLS."""

from __future__ import annotations

import gzip
import ssl
from typing import Any

import pytest
from requests.exceptions import ChunkedEncodingError, ConnectionError, ReadTimeout, SSLError
from support.certificates import Certificates
from support.differential import Call, Case, Stage, assert_same, assign, call, cut, do, fails, get, replies, times_out
from support.replies import LAST, chunk, chunked, head, reply
from support.scripted_server import OK, Do, Pause


def verifying(value: Any) -> Call:
    """A GET with the CA file of that name, or with that value itself."""

    def run(session: Any, stage: Stage) -> object:
        verify = getattr(stage.certificates, value) if isinstance(value, str) and value.endswith("ca") else value
        return session.get(stage.url(), verify=verify)

    return run


def with_certificate(session: Any, stage: Stage) -> object:
    assert stage.certificates is not None
    return session.get(stage.url(), cert=stage.certificates.client)


CASES = {
    "length": replies(reply(b"hello")),
    "1 MiB": replies(reply(b"0123456789abcdef" * 65536, "Content-Type: text/plain; charset=ascii")),
    "chunked": replies(chunked(chunk(b"hello"), chunk(b"x" * 20000), LAST)),
    "chunked with a trailer": replies(chunked(chunk(b"hello"), b"0\r\nX-Sum: 1\r\n\r\n")),
    "gzip": replies(reply(gzip.compress(b"hello", mtime=0), "Content-Encoding: gzip")),
    "100 first": replies(head(status="100 Continue") + reply()),
    "204": replies(head(status="204 No Content")),
    "HEAD": Case([(head("Content-Length: 5"),)], [call("HEAD"), get()]),
    "close": replies(reply(b"hello", "Connection: close")),
    "closed unannounced": replies(reply(b"hello"), Do.CLOSE),
    "until it closes": replies(head() + b"hello", Do.CLOSE),
    "cut off": fails(ChunkedEncodingError, head("Content-Length: 9") + b"hello", Do.CLOSE),
    "reset in the body": fails(ChunkedEncodingError, head("Content-Length: 9") + b"hello", Pause(0.01), Do.RESET),
    "nothing": fails(ConnectionError, Do.CLOSE),
    "nonsense": fails(ConnectionError, b"nonsense\r\n\r\n", Do.CLOSE),
    "stall": times_out(ReadTimeout, Do.STALL),
    "stall in the body": times_out(ConnectionError, head("Content-Length: 9") + b"hello", Do.STALL),
    "several calls": Case([OK, OK, OK], [get(), call("POST", json={"a": 1}), call("PUT", data=b"x" * 50000), get()]),
    "redirect": Case([(reply(b"", "Location: /b", status="302 Found"),), OK], [get()]),
    "secure cookies": Case([(reply(b"", "Set-Cookie: a=1; Secure", "Set-Cookie: b=2"),), OK], [get(), get(), get()]),
    "streamed": Case([(reply(b"hello"),), OK], [get(stream=True), get()]),
    "other host": Case([OK, OK], [get(), lambda s, at: s.get(at.url("/", "localhost")), get()]),
    "not verified": Case([], [verifying(False), get(), verifying(False)]),
    "verification changed": Case([], [get(), assign(verify=False), get(), assign(verify=True), get()], [SSLError] * 2),
    "another authority": Case([], [verifying("other_ca"), get(), verifying("ca")], [SSLError]),
    "no authority": Case([], [verifying("/no/such/file")], [OSError]),
    "wrong name": Case([], [lambda s, at: s.get(at.url("/", "one.test")), get()], [SSLError]),
    "client certificate": Case([], [with_certificate, get(), with_certificate]),
    "missing certificate": Case([], [get(cert="/no/such/file"), get()], [OSError]),
    "plain HTTP": Case([], [lambda s, at: s.get(at.url().replace("https", "http")), get()], [ConnectionError]),
    "closed session": Case([], [get(), do(lambda s: s.close()), get()]),
}
QUICK = [name for name in CASES if "stall" not in name]


@pytest.fixture(scope="module")
def context(certificates: Certificates) -> ssl.SSLContext:
    return certificates.server_context()


@pytest.mark.parametrize("name", CASES)
def test_over_tls_all_is_as_with_requests(name: str, context: ssl.SSLContext, certificates: Certificates) -> None:
    assert_same(name, CASES[name], tls=context, certificates=certificates)


@pytest.mark.parametrize("name", QUICK)
def test_records_make_no_difference(name: str, context: ssl.SSLContext, certificates: Certificates) -> None:
    assert_same(name, cut(CASES[name], 5, seed=len(name)), "cut", tls=context, certificates=certificates)
