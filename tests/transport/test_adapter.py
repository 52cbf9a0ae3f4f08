"""The adapter: bound also to proxies, guarded on every hop, picklable."""

from __future__ import annotations

import errno
import pickle
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
import requests.adapters
from support.certificates import Certificates
from support.http_server import RecordingServer
from support.proxy import RecordingProxy

from pytest_ipload.base.errors import TargetNotAllowed
from pytest_ipload.stats.sample import FAILED, Sample
from pytest_ipload.transport.adapter import SourceAdapter
from pytest_ipload.transport.connect.binding import Binding
from pytest_ipload.transport.connect.connection import SourceHTTPConnectionPool
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 as addresses")


def test_an_http_proxy_sees_the_source_address(
    make_session: MakeSession, server: RecordingServer, proxy: RecordingProxy
) -> None:
    session = make_session("127.0.0.5")
    assert session.get(server.url("/hello"), proxies={"http": proxy.url}).content == b"hello"
    session.proxies = {"http": proxy.url}
    assert session.get(server.url("/hello")).source_address == "127.0.0.5"
    assert proxy.peers == ["127.0.0.5", "127.0.0.5"]
    assert proxy.requests == [f"GET {server.url('/hello')}"] * 2
    assert server.peers == ["127.0.0.1", "127.0.0.1"]  # the proxy's own


def test_a_tunnel_leaves_from_the_source_address_too(
    make_session: MakeSession, tls_server: RecordingServer, proxy: RecordingProxy, certificates: Certificates,
    samples: list[Sample],
) -> None:  # fmt: skip
    session = make_session("127.0.0.5")
    response = session.get(tls_server.url("/hello"), proxies={"https": proxy.url}, verify=certificates.ca)
    assert (response.content, response.source_address) == (b"hello", "127.0.0.5")
    assert proxy.peers == ["127.0.0.5"]
    assert proxy.requests == [f"CONNECT 127.0.0.1:{tls_server.port}"]
    assert samples[0].connections == 1
    assert samples[0].tls_ns is None  # not to be told from the proxy's part
    assert samples[0].opening_ns is None


def test_a_tunnel_verifies_the_target(
    make_session: MakeSession, tls_server: RecordingServer, proxy: RecordingProxy, certificates: Certificates
) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        make_session().get(tls_server.url(), proxies={"https": proxy.url}, verify=certificates.other_ca)


def test_a_redirect_from_http_to_https_keeps_the_source(
    make_session: MakeSession, server: RecordingServer, tls_server: RecordingServer, certificates: Certificates
) -> None:
    session = make_session("127.0.0.5")
    session.verify = certificates.ca
    response = session.get(server.url(f"/redirect-to?url={tls_server.url('/hello')}"))
    assert response.content == b"hello"
    assert server.peers == tls_server.peers == ["127.0.0.5"]


def test_proxies_of_the_environment_are_not_used(
    make_session: MakeSession, server: RecordingServer, proxy: RecordingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    make_session().get(server.url())
    assert proxy.peers == []
    assert len(server.hits) == 1


def test_a_refused_proxy_is_a_proxy_error_and_a_bad_source_still_a_fault(
    make_session: MakeSession, server: RecordingServer, proxy: RecordingProxy, samples: list[Sample]
) -> None:
    with pytest.raises(requests.exceptions.ProxyError):
        make_session().get(server.url(), proxies={"http": "http://127.0.0.1:1"})
    with pytest.raises(requests.exceptions.ConnectionError):
        make_session("203.0.113.7").get(server.url(), proxies={"http": proxy.url})
    assert [(sample.outcome, sample.fault) for sample in samples] == [("failed", None), ("fault", "source-not-local")]


def test_a_fault_that_a_retry_overcame_is_not_blamed_for_a_later_failure(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[Any] = []
    original = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        attempts.append(address)
        if len(attempts) == 1:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        original(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    session = make_session("127.0.0.5")
    session.mount("http://", SourceAdapter(session.binding, max_retries=1))
    with pytest.raises(requests.exceptions.ConnectionError, match="Read timed out"):
        session.get(server.url("/silent"), timeout=0.1)
    assert len(attempts) == 2
    assert (samples[0].outcome, samples[0].fault) == ("failed", None)


def test_a_socks_proxy_gets_the_source_in_the_way_of_pysocks(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    class Manager:
        pool_classes_by_scheme = "its own"

        def __init__(self, proxy: str, **kwargs: Any) -> None:
            made.append(kwargs)

    monkeypatch.setattr(requests.adapters, "SOCKSProxyManager", Manager)
    manager = SourceAdapter(Binding(["10.0.0.7"])).proxy_manager_for("socks5://127.0.0.1:1080")
    assert made[0]["source_address"] == ("10.0.0.7", 0)
    assert manager.pool_classes_by_scheme == "its own"


def test_pools_of_different_sources_are_kept_apart_by_urllib3_as_well() -> None:
    keys: list[object] = []
    for sources in (["10.0.0.7"], ["10.0.0.8"], []):
        adapter = SourceAdapter(Binding(sources))
        pool = adapter.poolmanager.connection_from_host("x.test", 80)
        assert isinstance(pool, SourceHTTPConnectionPool)
        keys += adapter.poolmanager.pools.keys()
    assert len(set(keys)) == 3


def test_a_pickled_adapter_keeps_its_source(server: RecordingServer) -> None:
    adapter = pickle.loads(pickle.dumps(SourceAdapter(Binding(["127.0.0.5"]), pool_maxsize=3)))
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", adapter)
        session.get(server.url())
    assert server.peers == ["127.0.0.5"]
    assert adapter._pool_maxsize == 3


def test_it_works_in_a_plain_session_without_a_binding(server: RecordingServer) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", SourceAdapter())
        assert session.get(server.url()).content == b"hello"


def test_a_redirect_to_a_host_that_is_not_allowed_sends_it_nothing(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    with RecordingServer("127.0.0.2") as other:
        target = other.url().replace("127.0.0.2", "evil.example")
        session = make_session(allowed_hosts=[])
        with pytest.raises(TargetNotAllowed, match=r"evil\.example"):
            session.get(server.url(f"/redirect-to?url={target}"))
        assert (len(server.hits), other.connections) == (1, [])
        # What was sent before counts.
        (sample,) = samples
        assert (sample.outcome, sample.connections, sample.redirects) == (FAILED, 1, 0)
        assert sample.problem is not None
        assert sample.problem.type == "TargetNotAllowed"


def test_the_target_is_checked_before_the_proxy(make_session: MakeSession, proxy: RecordingProxy) -> None:
    session = make_session(allowed_hosts=[])
    with pytest.raises(TargetNotAllowed):
        session.get("http://evil.example/", proxies={"http": proxy.url})
    assert proxy.peers == []


def test_a_host_on_the_list_is_reached(make_session: MakeSession, server: RecordingServer) -> None:
    assert make_session(allowed_hosts=[]).get(server.url()).ok
    with pytest.raises(TargetNotAllowed):
        make_session(allowed_hosts=[]).get("http://localhost.example/")
    assert make_session(allowed_hosts=["*.test"]).get(server.url(), proxies={}).ok


def test_an_adapter_of_the_users_own_is_guarded_by_the_session(make_session: MakeSession) -> None:
    class Spy(requests.adapters.HTTPAdapter):
        def send(self, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError("sent")

    session = make_session(allowed_hosts=[])
    session.mount("http://", Spy())
    with pytest.raises(TargetNotAllowed):
        session.get("http://evil.example/")


def test_keep_alive_uses_one_connection(make_session: MakeSession, server: RecordingServer) -> None:
    session = make_session("127.0.0.5")
    for path in ("/", "/gzip", "/chunked", "/redirect/2", "/status/500", "/status/204"):
        session.get(server.url(path))
    assert len(server.connections) == 1


def test_threads_that_share_a_session_get_bound_proxy_pools(
    make_session: MakeSession, server: RecordingServer, proxy: RecordingProxy
) -> None:
    session = make_session("127.0.0.5")
    session.proxies = {"http": proxy.url}
    barrier = threading.Barrier(8)

    def run() -> None:
        barrier.wait(5)
        session.get(server.url())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert proxy.peers == ["127.0.0.5"] * 8


def test_tls_to_a_proxy_still_verifies_proxy_and_target(
    make_session: MakeSession, certificates: Certificates, tls_server: RecordingServer
) -> None:
    """A TLS server in the proxy's place: it is trusted or not by the CA of the call, before any CONNECT."""
    session = make_session()
    proxies = {"https": tls_server.url()}
    with pytest.raises(requests.exceptions.ProxyError, match="CERTIFICATE_VERIFY_FAILED"):
        session.get("https://localhost:1/", proxies=proxies, verify=certificates.other_ca)
    assert tls_server.hits == []
    with pytest.raises(requests.exceptions.ProxyError, match="Tunnel connection failed: 404"):
        session.get("https://localhost:1/", proxies=proxies, verify=certificates.ca)
    assert [hit.method for hit in tls_server.hits] == ["CONNECT"]
