"""The reply: bodies are read early, errors are raised where requests raises them."""

from __future__ import annotations

import gzip
import pickle
import sys
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from support.http_server import RecordingServer
from support.replies import LAST, chunk, chunked, head, reply
from support.scripted_server import Pause, Reply, ScriptedServer

from pytest_ipload.stats.fault_text import message_of
from pytest_ipload.stats.sample import FAILED, Sample
from pytest_ipload.transport.response import LoadResponse
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]


class ForeignResponse(requests.Response):
    """A reply class of somebody else's adapter."""


def test_a_plain_response_becomes_one_in_place() -> None:
    plain = requests.Response()
    plain.elapsed = timedelta(seconds=2)
    turned = LoadResponse.of(plain)
    assert turned is plain
    assert (turned.source_address, turned.elapsed) == (None, timedelta(seconds=2))
    assert LoadResponse.of(turned) is turned


def test_a_foreign_class_is_left_alone_but_has_the_attribute() -> None:
    foreign: requests.Response = ForeignResponse()
    turned = LoadResponse.of(foreign)
    assert isinstance(turned, ForeignResponse)
    assert not isinstance(turned, LoadResponse)
    assert turned.source_address is None


def test_a_hook_sees_a_broken_body_as_it_would_in_requests(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    seen: list[Any] = []

    def hook(response: requests.Response, **kwargs: Any) -> None:
        seen.append(response.status_code)

    session = make_session()
    with pytest.raises(requests.exceptions.ContentDecodingError):
        session.get(server.url("/broken-gzip"), hooks={"response": hook})
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        session.get(server.url("/truncated"), hooks={"response": hook})
    assert seen == [200, 200]
    assert [s.outcome for s in samples] == [FAILED, FAILED]


def test_a_streamed_body_is_left_to_the_caller(make_session: MakeSession, server: RecordingServer) -> None:
    with make_session().get(server.url("/chunked"), stream=True) as response:
        assert b"".join(response.iter_content(4)) == b"one two three"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 as addresses")
def test_every_reply_of_a_redirected_call_knows_its_source(make_session: MakeSession, server: RecordingServer) -> None:
    response = make_session("127.0.0.9").get(server.url("/redirect/1"))
    first = response.history[0]
    assert isinstance(first, LoadResponse)
    assert (first.source_address, response.source_address) == ("127.0.0.9", "127.0.0.9")


# --- of the fast path ----------------------------------------------------------------------------------------------

BODY = b'{"key": "v\xc3\xa4lue"}'
PLAIN: dict[str, bytes] = {
    "json": reply(BODY, "Content-Type: application/json"),
    "text": reply(BODY, "Content-Type: text/plain; charset=utf-8", "X-A: 1", "x-a: 2"),
    "chunks": chunked(chunk(BODY[:5]), chunk(BODY[5:]), LAST),
    "empty": reply(b"", status="404 Not Found"),
    "no content": head("X-A: b", status="204 No Content"),
    "cookies": reply(BODY, "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Max-Age=0"),
    "links": reply(BODY, 'Link: <http://a.test/>; rel="next"'),
    "gzip": reply(gzip.compress(BODY, mtime=0), "Content-Encoding: gzip", "Content-Type: application/json"),
    "x-gzip": reply(gzip.compress(BODY, mtime=0), "Content-Encoding: X-GZIP"),
    "gzip in chunks": chunked(chunk(gzip.compress(BODY, mtime=0)), LAST, headers=("Content-Encoding: gzip",)),
    "gzip of two members": reply(
        gzip.compress(BODY[:5], mtime=0) + gzip.compress(BODY[5:], mtime=0), "Content-Encoding: gzip"
    ),
    "gzip with garbage": reply(gzip.compress(BODY, mtime=0) + b"garbage", "Content-Encoding: gzip"),
    "gzip cut off": reply(gzip.compress(BODY, mtime=0)[:-9], "Content-Encoding: gzip"),
    "empty gzip": reply(b"", "Content-Encoding: gzip"),
    "deflate": reply(zlib.compress(BODY), "Content-Encoding: deflate"),
    "identity": reply(BODY, "Content-Encoding: identity"),
    "codings": reply(zlib.compress(gzip.compress(BODY, mtime=0)), "Content-Encoding: gzip, deflate"),
}
RAW = [
    "version",
    "version_string",
    "reason",
    "status",
    "connection",
    "closed",
    "url",
    "length_remaining",
    "data",
    "chunked",
]
LOOKS: dict[str, Callable[[requests.Response], object]] = {
    "content": lambda r: r.content,
    "text": lambda r: r.text,
    "encoding": lambda r: r.encoding,
    "headers": lambda r: list(r.headers.items()),
    "cookies": lambda r: [sorted(vars(cookie).items()) for cookie in r.cookies],
    "history": lambda r: r.history,
    "links": lambda r: r.links,
    "reason": lambda r: (r.status_code, r.reason, r.ok, repr(r)),
    "request": lambda r: (r.request.method, r.request.body, list(r.request.headers.items())),
    "raw": lambda r: (r.raw.status, r.raw.read(), r.raw.tell(), list(r.raw.headers.items())),
    "raw attributes": lambda r: [getattr(r.raw, name) for name in RAW],
    "raw pool": lambda r: (r.raw.retries.history, r.raw.retries is r.connection.max_retries, r.raw._pool.port),
    "lines": lambda r: (list(r.iter_lines()), list(r.iter_content(3)), list(r.iter_content(3, decode_unicode=True))),
    "next": lambda r: (r.next, r.is_redirect),
    "pickled": lambda r: pickle.loads(pickle.dumps(r)).content,
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", PLAIN)
def test_a_response_shows_what_that_of_requests_shows(make_session: MakeSession, name: str, method: str) -> None:
    """Each aspect is looked at first once, and then in the place of all others."""
    looks = list(LOOKS)
    with ScriptedServer([(PLAIN[name],)] * (1 + len(looks))) as server, requests.Session() as stock:
        expected = seen(stock.request(method, server.url()), looks)
        session = make_session()
        for turn in range(len(looks)):
            session.cookies.clear()
            assert seen(session.request(method, server.url()), looks[turn:] + looks[:turn]) == expected


def seen(response: requests.Response, looks: list[str]) -> dict[str, object]:
    return {name: LOOKS[name](response) for name in looks}


BROKEN = {"no gzip": b"this is not gzip", "wrong checksum": gzip.compress(BODY, mtime=0)[:-12] + b"x" * 12}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_coding_fails_as_in_requests(make_session: MakeSession, samples: list[Sample], content: bytes) -> None:
    with ScriptedServer([(reply(content, "Content-Encoding: gzip"),)] * 2) as server, requests.Session() as stock:
        errors = []
        for session in (stock, make_session()):
            with pytest.raises(requests.exceptions.ContentDecodingError) as raised:
                session.get(server.url())
            errors.append(str(raised.value))
    assert errors[0] == errors[1]
    assert [sample.outcome for sample in samples] == [FAILED]


def test_an_error_is_told_with_its_server_and_is_that_of_requests(
    make_session: MakeSession, server: RecordingServer
) -> None:
    errors = []
    with requests.Session() as stock:
        for session in (stock, make_session()):
            with pytest.raises(requests.exceptions.ChunkedEncodingError) as raised:
                session.get(server.url("/truncated"))
            errors.append(raised.value)
    assert vars(errors[0]).keys() == vars(errors[1]).keys()
    assert f"127.0.0.1:{server.port}" in message_of(errors[1])


ATTRIBUTES = ["headers", "encoding", "reason", "history", "request", "url", "connection", "cookies", "raw", "elapsed"]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_are_made_once_and_can_be_set(make_session: MakeSession, server: RecordingServer, name: str) -> None:
    response = make_session().get(server.url())
    made = getattr(response, name)
    assert getattr(response, name) is made
    value = timedelta(1) if name == "elapsed" else object()
    other = make_session().get(server.url())
    setattr(other, name, value)
    assert getattr(other, name) is value


def test_an_attribute_of_the_class_describes_itself() -> None:
    assert LoadResponse.headers.__doc__ == "As in requests."
    with pytest.raises(AttributeError):
        _ = LoadResponse.__new__(LoadResponse).headers


def test_what_is_changed_in_one_response_is_not_in_the_next(make_session: MakeSession, server: RecordingServer) -> None:
    session = make_session()
    first = session.get(server.url())
    first.headers["X-Mine"] = first.request.headers["X-Mine"] = "1"
    first.history.append(first)
    first.cookies.set("mine", "1")
    second = session.get(server.url())
    assert "X-Mine" not in second.headers
    assert "X-Mine" not in second.request.headers
    assert (second.history, len(second.cookies), len(session.cookies)) == ([], 0, 0)


def test_a_response_outlives_its_session(server: RecordingServer) -> None:
    with LoadSession() as session:
        response = session.post(server.url("/echo"), json={"a": 1})
    del session
    assert response.json()["body"] == '{"a": 1}'
    assert response.request.body == b'{"a": 1}'
    assert response.raw.status == 200
    response.close()


def test_the_elapsed_time_is_that_to_the_head(make_session: MakeSession) -> None:
    late: Reply = (head("Content-Length: 4"), Pause(0.05), b"body")
    with ScriptedServer([late, (reply(b"x"),)]) as server:
        session = make_session()
        assert session.get(server.url()).elapsed < timedelta(seconds=0.05)
        whole = session.get(server.url())
        assert whole.elapsed == timedelta(microseconds=whole.latency_ns / 1000)
