"""Hooks of others in requests, urllib3 and http.client: seen as long as they are there, and never passed by."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter
from support.http_server import RecordingServer

from pytest_ipload.stats.sample import Sample
from pytest_ipload.transport import foreign_hooks
from pytest_ipload.transport.foreign_hooks import Watch, hooks_in
from pytest_ipload.transport.path_log import FastPathLog
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]
PLACES = [
    "requests.Session.send",
    "requests.Session.request",
    "requests.Session.get_adapter",
    "requests.Session.prepare_request",
    "requests.adapters.HTTPAdapter.send",
    "urllib3.HTTPConnectionPool.urlopen",
    "urllib3.HTTPConnectionPool._make_request",
    "urllib3.connection.HTTPConnection.request",
    "urllib3.connection.HTTPConnection.putrequest",
    "urllib3.connection.HTTPConnection.getresponse",
    "http.client.HTTPConnection.putrequest",
    "http.client.HTTPConnection.endheaders",
    "http.client.HTTPConnection.getresponse",
]


@pytest.mark.parametrize("marks_tell", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_a_hook_is_called_and_said_as_long_as_it_is_there(
    make_session: MakeSession, server: RecordingServer, monkeypatch: pytest.MonkeyPatch, place: str, marks_tell: bool
) -> None:
    if not marks_tell:
        monkeypatch.setattr(foreign_hooks, "_marks_tell", lambda: False)
        monkeypatch.setattr(LoadSession, "_watch", None)
    log = FastPathLog()
    session = make_session(fast_path_log=log)
    session.get(server.url("/echo/before"))
    with mock.patch(place, side_effect=RuntimeError("hooked")), pytest.raises(RuntimeError, match="hooked"):
        session.get(server.url("/echo/hooked"))
    assert session.get(server.url("/echo/after")).ok
    assert log.calls() == {f"{place} is patched by unittest.mock": 1}
    # The reply is asked for after the request was sent, which the server may see at any time.
    seen = [hit.target for hit in server.hits if "getresponse" not in place or hit.target != "/echo/hooked"]
    assert seen == ["/echo/before", "/echo/after"]


def test_nothing_is_hooked_by_itself() -> None:
    watch = Watch()
    assert hooks_in(watch.look()) == ""
    assert not foreign_hooks.connecting_is_hooked()
    assert watch.look() is watch.look()


def test_a_method_of_the_adapter_alone_is_a_hook(session: LoadSession, server: RecordingServer) -> None:
    session.get(server.url("/echo/before"))
    adapter: Any = session.get_adapter(server.url())
    adapter.send = mock.Mock(side_effect=RuntimeError("hooked"))
    with pytest.raises(RuntimeError, match="hooked"):
        session.get(server.url("/echo/hooked"))
    del adapter.send
    assert session.get(server.url("/echo/after")).ok


def test_another_way_to_connect_is_taken(session: LoadSession, server: RecordingServer) -> None:
    def connect(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        assert address == ("shop.test", 80)
        return socket.create_connection(("127.0.0.1", server.port))

    with mock.patch("urllib3.util.connection.create_connection", connect):
        assert session.get("http://shop.test/echo/here").ok
    assert [hit.target for hit in server.hits] == ["/echo/here"]


def test_get_gives_parameters_by_their_name(session: LoadSession, server: RecordingServer) -> None:
    original: Any = session.request

    def request(method: str, url: str, **kwargs: Any) -> requests.Response:
        return original(method, url, **{"timeout": 3, **kwargs})  # type: ignore[no-any-return]  # as it came

    session.request = request  # type: ignore[method-assign,assignment]  # as users do
    assert session.get(server.url("/echo/x"), params={"a": 1}).ok
    assert server.hits[-1].target == "/echo/x?a=1"


def retrying() -> HTTPAdapter:
    return HTTPAdapter(max_retries=urllib3.Retry(2))


def test_an_adapter_for_retries_leaves_from_the_sources(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session("127.0.0.7")
    session.mount("http://", retrying())
    assert session.get(server.url("/echo/x")).source_address == "127.0.0.7"
    session.rebind("127.0.0.8")
    session.get(server.url("/echo/x"))
    assert [sample.source_address for sample in samples] == ["127.0.0.7", "127.0.0.8"]


def test_an_adapter_that_sessions_share_leaves_from_none_of_their_sources(
    make_session: MakeSession, server: RecordingServer
) -> None:
    log, adapter = FastPathLog(), retrying()
    sessions = [make_session(address, fast_path_log=log) for address in ("127.0.0.7", "127.0.0.8")]
    for session in sessions:
        session.mount("http://", adapter)
    assert sessions[0].get(server.url("/echo/x")).source_address is None
    assert log.unbound() == ("requests.adapters.HTTPAdapter",)
