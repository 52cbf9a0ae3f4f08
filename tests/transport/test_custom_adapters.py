"""Adapters of the user's own send to allowed hosts only, however their names resolve."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from support.http_server import RecordingServer
from support.proxy import RecordingProxy

from pytest_ipload.base.errors import TargetNotAllowed
from pytest_ipload.stats.sample import FAILED, Sample
from pytest_ipload.transport.adapter import SourceAdapter
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]

NAMES = {
    "evil.example": ["93.184.216.34"],
    "bad.localhost": ["93.184.216.34"],
    "mixed.localhost": ["127.0.0.1", "93.184.216.34"],
    "good.localhost": ["127.0.0.1"],
    "shop.example": ["127.0.0.1"],
    "meta.example": ["169.254.169.254"],
}


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The addresses outside this host that somebody tried to connect to; names resolve as ``NAMES`` says."""
    outside: list[str] = []
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def refuse(sock: socket.socket, address: Any) -> None:
        if address[0] != "127.0.0.1":
            outside.append(address[0])
            raise ConnectionRefusedError
        connect(sock, address)

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in NAMES:
            return resolve(host, port, *args, **kwargs)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0)) for address in NAMES[host]]

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield outside
    assert outside == []


class Inner(BaseAdapter):
    """One that is not requests' own, and hands over to one that is."""

    def __init__(self) -> None:
        super().__init__()
        self._adapter = HTTPAdapter()

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        return self._adapter.send(*args, **kwargs)

    def close(self) -> None:
        self._adapter.close()


class Own(HTTPAdapter):
    """A user's own."""


ADAPTERS = pytest.mark.parametrize("adapter", [HTTPAdapter, Own, Inner])


def mounted(make: MakeSession, adapter: Callable[[], BaseAdapter], **kwargs: Any) -> LoadSession:
    session = make(allowed_hosts=["*.example.org", "meta.example", "shop.example"], **kwargs)
    for prefix in ("http://", "https://"):
        session.mount(prefix, adapter())
    return session


@ADAPTERS
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_checked_as_the_target_is(
    make_session: MakeSession, connected: list[str], adapter: Callable[[], BaseAdapter], scheme: str
) -> None:
    session = mounted(make_session, adapter)
    for proxy in ("http://evil.example:3128", "evil.example:3128", "http://bad.localhost:3128"):
        with pytest.raises(TargetNotAllowed):
            session.get(f"{scheme}://127.0.0.1/", proxies={scheme: proxy})
        session.proxies = {"all": proxy}
        with pytest.raises(TargetNotAllowed):
            session.get(f"{scheme}://127.0.0.1/")
        with pytest.raises(TargetNotAllowed):
            session.send(requests.Request("GET", f"{scheme}://127.0.0.1/").prepare())
        session.proxies = {}


@ADAPTERS
def test_so_is_one_of_the_environment(
    make_session: MakeSession,
    connected: list[str],
    adapter: Callable[[], BaseAdapter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://evil.example:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    session = mounted(make_session, adapter)
    session.trust_env = True
    with pytest.raises(TargetNotAllowed):
        session.get("http://127.0.0.1/")
    with pytest.raises(TargetNotAllowed):
        session.send(requests.Request("GET", "http://127.0.0.1/").prepare())


@ADAPTERS
@pytest.mark.parametrize("name", ["bad.localhost", "mixed.localhost"])
def test_a_local_name_that_leads_elsewhere_is_refused(
    make_session: MakeSession, connected: list[str], adapter: Callable[[], BaseAdapter], name: str
) -> None:
    session = mounted(make_session, adapter)
    for call in (session.get, session.post):
        with pytest.raises(TargetNotAllowed, match=r"resolves to 93\.184\.216\.34"):
            call(f"http://{name}/")
    with pytest.raises(TargetNotAllowed):
        session.get(f"https://{name}/", stream=True)


def test_a_name_that_leads_to_a_metadata_service_is_refused(make_session: MakeSession, connected: list[str]) -> None:
    for session in (mounted(make_session, HTTPAdapter), make_session(allowed_hosts=["meta.example"])):
        with pytest.raises(TargetNotAllowed, match="metadata service"):
            session.get("http://meta.example/")


def test_only_the_addresses_that_were_checked_are_connected_to(
    make_session: MakeSession, connected: list[str], server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    resolve = socket.getaddrinfo

    def rebound(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "good.localhost":
            looked_up.append(host)
            return resolve("evil.example" if len(looked_up) > 1 else host, *args, **kwargs)
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    session = mounted(make_session, HTTPAdapter)
    port = server.url().rpartition(":")[2].strip("/")
    assert session.get(f"http://good.localhost:{port}/").ok
    assert len(looked_up) == 1


@pytest.mark.parametrize("adapter", [HTTPAdapter, Own, Inner, SourceAdapter])
@pytest.mark.parametrize("place", ["http://bad.localhost/", "http://evil.example/"])
def test_redirects_are_checked_and_fail_the_iteration_only(
    make_session: MakeSession,
    server: RecordingServer,
    connected: list[str],
    adapter: Callable[[], Any],
    place: str,
    samples: list[Sample],
) -> None:
    session = make_session(allowed_hosts=[])
    if adapter is not SourceAdapter:  # the session has its own
        session.mount("http://", adapter())
    with pytest.raises(TargetNotAllowed) as refused:
        session.get(server.url(f"/redirect-to?url={place}"))
    assert refused.value.at_run_time
    assert [(sample.name, sample.outcome, sample.redirects) for sample in samples] == [("GET /redirect-to", FAILED, 0)]
    with pytest.raises(TargetNotAllowed):
        session.get(place)
    assert len(samples) == 1


def test_an_adapter_that_was_used_before_is_held_too(
    make_session: MakeSession, connected: list[str], server: RecordingServer
) -> None:
    shared = HTTPAdapter()
    with requests.Session() as stock:
        stock.mount("http://", shared)
        assert stock.get(server.url()).ok
    session = make_session(allowed_hosts=[])
    session.mount("http://", shared)
    assert session.get(server.url()).ok
    with pytest.raises(TargetNotAllowed):
        session.get("http://bad.localhost/")


def test_what_is_allowed_goes_through(
    make_session: MakeSession, server: RecordingServer, proxy: RecordingProxy, connected: list[str]
) -> None:
    port = server.url().rpartition(":")[2].strip("/")
    session = mounted(make_session, HTTPAdapter)
    for url in (server.url(), f"http://good.localhost:{port}/", f"http://shop.example:{port}/"):
        assert session.get(url).ok
        assert session.get(url, proxies={"http": proxy.url}).ok
    assert len(proxy.requests) == 3
    unguarded = make_session()
    unguarded.mount("http://", HTTPAdapter())
    with pytest.raises(requests.ConnectionError, match="HTTPConnection"):
        unguarded.get("http://127.0.0.1:1/")
