"""The reply: bodies are read early, errors are raised where requests raises them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from support.http_server import RecordingServer

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
