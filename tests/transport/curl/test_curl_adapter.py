"""HTTP/2 and HTTP/3 in a load session: source addresses, allowed hosts, times, errors, interruption, streams."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest
import requests
import responses
from support.certificates import Certificates
from support.http2_servers import Http2Nginx
from support.http_server import RecordingServer
from urllib3.exceptions import InsecureRequestWarning

from pytest_ipload.addresses.host.bind_source import bind_source
from pytest_ipload.base.errors import SettingError, TargetNotAllowed
from pytest_ipload.stats.sample import FAILED, FAULT, OK, Sample
from pytest_ipload.transport.allowed_hosts import AllowedHosts
from pytest_ipload.transport.connect import dial
from pytest_ipload.transport.connect.dial import Attempt
from pytest_ipload.transport.curl.curl_errors import HttpVersionRefused, ProxyUnsupported
from pytest_ipload.transport.curl.curl_exchange import check_head
from pytest_ipload.transport.curl.curl_head import head_lines
from pytest_ipload.transport.curl.libcurl import load_pycurl
from pytest_ipload.transport.generator_errors import LoadEnded
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]
WITHOUT_FILES = """
import contextlib, os, resource
from pytest_ipload.transport.session import LoadSession

with LoadSession(http="2") as first:
    first.get({url!r}, verify={ca!r})  # what is imported or read once is there
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
for spare in range(1, 7):
    samples = []
    with LoadSession(["127.0.0.1"], http="2", record=samples.append) as session:
        session.verify = {ca!r}
        with contextlib.suppress(OSError):
            session.get({url!r}.replace("https", "http").rpartition(":")[0] + ":1/")  # the same, for this session
        samples.clear()
        held = []
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(2))
        for _ in range(spare):
            os.close(held.pop())
        with contextlib.suppress(OSError):
            session.get({url!r})
        for each in held:
            os.close(each)
        print(*(f"{{sample.outcome}}/{{sample.fault}}" for sample in samples))
"""
VERSIONS = pytest.mark.parametrize("http", ["2", "3"])
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")


class TestSourceAddresses:
    @linux_only
    @pytest.mark.parametrize("scheme", ["tls", "plain"])
    def test_nginx_sees_the_lease(
        self, curl_session: MakeSession, nginx_h2: Http2Nginx, samples: list[Sample], scheme: str
    ) -> None:
        session = curl_session("2", ["127.0.0.77"])
        for path in ("/", "/other"):
            response = session.get(getattr(nginx_h2, scheme) + path)
            assert response.text.split()[::2] == ["127.0.0.77", "HTTP/2.0"]
            assert (response.http_version, response.source_address) == ("2", "127.0.0.77")
        assert [(sample.source_address, sample.connections) for sample in samples] == [
            ("127.0.0.77", 1),
            ("127.0.0.77", 0),
        ]

    @linux_only
    @VERSIONS
    def test_a_new_lease_closes_the_connection_from_the_last_one(
        self, curl_session: MakeSession, app_url: str, samples: list[Sample], http: str
    ) -> None:
        session = curl_session(http, ["127.0.0.77"])
        first, again = (session.get(f"{app_url}/from").text.split() for _ in range(2))
        assert first == again
        engine: Any = session.get_adapter(app_url).engine()  # type: ignore[attr-defined]
        session.rebind(["127.0.0.78"])
        other = session.get(f"{app_url}/from").text.split()
        assert (first[0], other[0], other[2]) == ("127.0.0.77", "127.0.0.78", http)
        assert engine.is_closed
        assert [sample.connections for sample in samples] == [1, 0, 1]

    @linux_only
    @VERSIONS
    def test_what_was_sent_before_a_redirect_off_limits_counts(
        self, curl_session: MakeSession, app_url: str, samples: list[Sample], http: str
    ) -> None:
        session = curl_session(http, ["127.0.0.77"], allowed_hosts=[])
        with pytest.raises(TargetNotAllowed, match=r"203\.0\.113\.9"):
            session.get(f"{app_url}/off-limits")
        with pytest.raises(TargetNotAllowed):
            session.get("https://203.0.113.9/")  # the kernel would not let it leave from there, either
        assert [(sample.outcome, sample.source_address, sample.connections) for sample in samples] == [
            (FAILED, "127.0.0.77", 1)
        ]

    @VERSIONS
    def test_without_a_source_address_the_system_chooses(
        self, curl_session: MakeSession, app_url: str, http: str
    ) -> None:
        response = curl_session(http).get(f"{app_url}/from")
        assert response.text.split()[0] == response.source_address == "127.0.0.1"

    @VERSIONS
    @pytest.mark.parametrize("fast", [True, False])
    def test_an_address_of_another_host_is_the_generators_fault(
        self, curl_session: MakeSession, app_url: str, samples: list[Sample], http: str, fast: bool
    ) -> None:
        with pytest.raises(requests.ConnectionError, match=r"203\.0\.113\.7 is not an address of this host"):
            curl_session(http, ["203.0.113.7"], fast=fast).get(app_url)
        [sample] = samples
        assert (sample.outcome, sample.fault, sample.source_address) == (FAULT, "source-not-local", "203.0.113.7")
        assert sample.problem is not None
        assert sample.problem.message.startswith("source address 203.0.113.7 is not an address of this host")

    @VERSIONS
    def test_a_source_of_another_family_is_said(
        self, curl_session: MakeSession, samples: list[Sample], http: str
    ) -> None:
        with pytest.raises(requests.ConnectionError, match=r"source 127\.0\.0\.1 is IPv4 but '::1' has only IPv6"):
            curl_session(http, ["127.0.0.1"]).get("https://[::1]:9/")
        assert [sample.fault for sample in samples] == ["source-family-mismatch"]

    @VERSIONS
    @pytest.mark.parametrize(
        ("step", "code", "fault"),
        [("connect", errno.EADDRNOTAVAIL, "ports-exhausted"), ("socket", errno.EMFILE, "files-exhausted")],
    )
    def test_exhausted_ports_and_files_are_the_generators_faults(
        self,
        curl_session: MakeSession,
        samples: list[Sample],
        monkeypatch: pytest.MonkeyPatch,
        http: str,
        step: str,
        code: int,
        fault: str,
    ) -> None:
        def fail(self: Attempt) -> socket.socket:
            self.step = step
            raise OSError(code, "as the system would")

        monkeypatch.setattr(Attempt, "connect", fail)
        with pytest.raises(requests.ConnectionError):
            curl_session(http, ["127.0.0.1"]).get("https://127.0.0.1:9/")
        assert [(sample.outcome, sample.fault) for sample in samples] == [(FAULT, fault)]

    @linux_only
    @VERSIONS
    def test_a_free_binding_address_is_bound_so(
        self, curl_session: MakeSession, app_url: str, monkeypatch: pytest.MonkeyPatch, http: str
    ) -> None:
        bound: list[tuple[str, bool]] = []

        def bind(sock: socket.socket, address: str, freebind: bool = False) -> None:
            bound.append((address, freebind))
            bind_source(sock, address, freebind)

        monkeypatch.setattr(dial, "bind_source", bind)
        assert curl_session(http, ["freebind:127.0.0.9"]).get(f"{app_url}/from").text.startswith("127.0.0.9 ")
        assert bound == [("127.0.0.9", True)]

    @linux_only
    def test_whatever_libcurl_has_no_files_for_is_the_generators_fault(
        self, nginx_h2: Http2Nginx, certificates: Certificates
    ) -> None:
        code = WITHOUT_FILES.format(url=nginx_h2.tls, ca=certificates.ca)
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
        outcomes = done.stdout.split()
        assert set(outcomes) == {"fault/files-exhausted", "ok/None"}
        assert outcomes[0] == "fault/files-exhausted"


class TestAllowedHosts:
    @VERSIONS
    def test_a_name_that_is_not_allowed_is_refused(self, curl_session: MakeSession, http: str) -> None:
        with pytest.raises(TargetNotAllowed, match=r"'shop\.example' is not in ipload_allowed_hosts"):
            curl_session(http, allowed_hosts=[]).get("https://shop.example/")

    @VERSIONS
    @pytest.mark.parametrize("fast", [True, False])
    def test_an_address_that_a_name_leads_to_is_refused_before_anything_is_sent(
        self,
        curl_session: MakeSession,
        app_url: str,
        samples: list[Sample],
        monkeypatch: pytest.MonkeyPatch,
        http: str,
        fast: bool,
    ) -> None:
        checked: list[tuple[str, str]] = []

        def refuse(self: AllowedHosts, host: str, address: str) -> None:
            checked.append((host, address))
            raise TargetNotAllowed(f"{host!r} resolves to {address}")

        monkeypatch.setattr(AllowedHosts, "check_address", refuse)
        session = curl_session(http, ["127.0.0.1"], allowed_hosts=[], fast=fast)
        with pytest.raises(TargetNotAllowed, match=r"'localhost' resolves to 127\.0\.0\.1"):
            session.get(app_url.replace("127.0.0.1", "localhost"))
        assert checked == [("localhost", "127.0.0.1")]
        assert samples == []


class TestVersions:
    def test_a_server_without_http_2_is_a_failed_request_that_says_so(
        self, curl_session: MakeSession, nginx_h2: Http2Nginx, samples: list[Sample]
    ) -> None:
        session = curl_session("2")
        for url in (nginx_h2.old_tls, nginx_h2.old_plain):
            with pytest.raises(HttpVersionRefused, match=rf"{url.rpartition('/')[2]} does not speak HTTP/2 \("):
                session.get(url)
        assert [(sample.outcome, sample.status) for sample in samples] == [(FAILED, 0)] * 2
        assert session.get(nginx_h2.tls).http_version == "2"

    def test_neither_is_one_that_ignores_what_the_handshake_offers(
        self, curl_session: MakeSession, tls_server: RecordingServer, samples: list[Sample]
    ) -> None:
        with pytest.raises(requests.ConnectionError, match=r"HTTP/2"):
            curl_session("2", timeout=2).get(tls_server.url())
        assert [sample.outcome for sample in samples] == [FAILED]

    def test_a_reply_in_another_version_is_no_success(self) -> None:
        dialer = SimpleNamespace(host="shop.test", port=443)
        lines = [b"HTTP/1.1 200 OK\r\n", b"\r\n"]
        transfer: Any = SimpleNamespace(http="2", lines=lines, opener=SimpleNamespace(dialer=dialer))
        with pytest.raises(HttpVersionRefused, match=r"shop\.test:443 answered in HTTP/1\.1, not in HTTP/2"):
            check_head(transfer, "/")

    @pytest.mark.parametrize("fast", [True, False])
    def test_a_server_without_http_3_is_a_failed_request_within_the_timeout(
        self, curl_session: MakeSession, nginx_h2: Http2Nginx, samples: list[Sample], fast: bool
    ) -> None:
        with pytest.raises(requests.ConnectionError, match=r"UDP port \d+: .*; does it speak HTTP/3\?"):
            curl_session("3", fast=fast).get(nginx_h2.tls)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            with pytest.raises(requests.ConnectTimeout, match=r"connect timeout=0\.2\); does it speak HTTP/3"):
                curl_session("3", fast=fast).get(f"https://127.0.0.1:{silent.getsockname()[1]}/", timeout=(0.2, 9))
        assert [(sample.outcome, sample.connections) for sample in samples] == [(FAILED, 0)] * 2

    def test_http_3_is_not_for_plain_http(self, curl_session: MakeSession) -> None:
        with pytest.raises(requests.exceptions.InvalidSchema, match="HTTP/3 needs https"):
            curl_session("3").get("http://127.0.0.1:9/")

    def test_version_of_http_1_1_by_both_paths(self, make_session: MakeSession, server: RecordingServer) -> None:
        for fast in (True, False):
            response = make_session(fast=fast).get(server.url())
            assert (response.http_version, pickle.loads(pickle.dumps(response)).http_version) == ("1.1", "1.1")

    def test_an_unknown_version_is_an_error(self) -> None:
        with pytest.raises(SettingError, match=r"http: '4' is not a version .*; allowed: '1\.1', '2', '3'"):
            LoadSession(http="4")


class TestTls:
    @VERSIONS
    def test_an_unknown_authority_is_an_ssl_error(
        self, curl_session: MakeSession, certificates: Certificates, app_url: str, http: str
    ) -> None:
        session = curl_session(http)
        with pytest.raises(requests.exceptions.SSLError):
            session.get(app_url, verify=certificates.other_ca)
        assert session.get(app_url).ok

    @VERSIONS
    def test_unverified_is_warned_of(self, curl_session: MakeSession, app_url: str, http: str) -> None:
        with pytest.warns(InsecureRequestWarning, match="Unverified HTTPS request is being made to host '127.0.0.1'"):
            assert curl_session(http).get(app_url, verify=False).ok

    @VERSIONS
    def test_a_directory_of_authorities(
        self, curl_session: MakeSession, certificates: Certificates, app_url: str, tmp_path: Path, http: str
    ) -> None:
        with pytest.raises(requests.exceptions.SSLError):
            curl_session(http).get(app_url, verify=str(tmp_path))
        directory = certificates.ca_directory()
        if directory is None:
            pytest.skip("the command openssl is missing")
        assert curl_session(http).get(app_url, verify=directory).ok

    def test_a_client_certificate(self, curl_session: MakeSession, certificates: Certificates, app_url: str) -> None:
        session = curl_session("2")
        session.cert = certificates.client
        assert session.get(app_url).ok
        assert session.get(app_url, cert=certificates.client_in_one_file).ok

    def test_a_key_of_another_certificate_is_an_ssl_error(
        self, curl_session: MakeSession, certificates: Certificates, server_files: tuple[str, str], app_url: str
    ) -> None:
        with pytest.raises(requests.exceptions.SSLError, match="unable to set private key file"):
            curl_session("2").get(app_url, cert=(certificates.client[0], server_files[1]))


class TestTimeouts:
    @VERSIONS
    def test_a_server_that_is_silent_in_its_body(
        self, curl_session: MakeSession, app_url: str, samples: list[Sample], http: str
    ) -> None:
        for fast in (True, False):
            session = curl_session(http, fast=fast)
            # On a busy machine the head may be late, too.
            with pytest.raises((requests.ConnectionError, requests.ReadTimeout), match="Read timed out"):
                _ = session.get(f"{app_url}/parts", timeout=(5, 0.2)).content
            assert session.get(app_url).ok  # the connection is still there
        assert [sample.connections for sample in samples if sample.outcome == OK and sample.name == "GET /"] == [0, 0]

    def test_a_server_that_does_not_take_connections(
        self, curl_session: MakeSession, full_listener: int, samples: list[Sample]
    ) -> None:
        with pytest.raises(requests.ConnectTimeout, match=r"connect timeout=0\.1"):
            curl_session("2").get(f"http://127.0.0.1:{full_listener}/", timeout=(0.1, 5))
        assert [sample.outcome for sample in samples] == [FAILED]

    @VERSIONS
    def test_phases_are_measured_where_a_connection_is_opened(
        self, curl_session: MakeSession, app_url: str, samples: list[Sample], http: str
    ) -> None:
        session = curl_session(http)
        _ = session.get(app_url), session.get(app_url)
        new, kept = samples
        assert new.connect_ns is not None
        assert new.tls_ns is not None
        assert new.first_byte_ns is not None
        assert 0 < new.connect_ns < new.connect_ns + new.tls_ns < new.first_byte_ns <= new.latency_ns
        assert (kept.connect_ns, kept.tls_ns, kept.first_byte_ns, kept.connections) == (None, None, None, 0)
        assert (new.opening_ns, kept.opening_ns) == ((new.connect_ns, new.tls_ns), None)


class TestInterruption:
    @VERSIONS
    @pytest.mark.parametrize("fast", [True, False])
    def test_a_blocked_request_ends_at_once_and_the_session_can_go_on(
        self, curl_session: MakeSession, app_url: str, http: str, fast: bool
    ) -> None:
        session = curl_session(http, ["127.0.0.1"], timeout=60, fast=fast)
        assert session.get(app_url).ok
        raised: list[BaseException] = []

        def wait() -> None:
            try:
                session.get(f"{app_url}/slow?s=30")
            except BaseException as error:
                raised.append(error)

        user = threading.Thread(target=wait)
        user.start()
        time.sleep(0.05)  # it may also be interrupted before it waits
        session.interrupt()
        user.join(timeout=20)
        assert not user.is_alive()
        assert [type(error) for error in raised] == [LoadEnded]
        session.resume()
        assert session.get(app_url).ok

    @VERSIONS
    def test_so_does_one_that_connects(self, curl_session: MakeSession, full_listener: int, http: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            port = full_listener if http == "2" else silent.getsockname()[1]
            session = curl_session(http, timeout=60)
            threading.Timer(0.05, session.interrupt).start()
            with pytest.raises(LoadEnded):
                session.get(f"https://127.0.0.1:{port}/")


class TestStreams:
    @VERSIONS
    def test_a_part_is_there_when_it_has_come_and_other_requests_share_the_connection(
        self, curl_session: MakeSession, app_url: str, samples: list[Sample], http: str
    ) -> None:
        session = curl_session(http)
        response = session.get(f"{app_url}/parts", stream=True)
        lines = response.iter_lines()
        assert next(lines) == b"data: one"
        assert session.get(f"{app_url}/release").text == "released"
        assert [line for line in lines if line] == [b"data: two"]
        assert [(sample.name, sample.connections) for sample in samples] == [("GET /parts", 1), ("GET /release", 0)]

    @VERSIONS
    def test_one_that_is_closed_early_does_not_disturb_the_next_request(
        self, curl_session: MakeSession, app_url: str, samples: list[Sample], http: str
    ) -> None:
        session = curl_session(http)
        with session.get(f"{app_url}/parts", stream=True) as response:
            assert next(response.iter_content(1000)) == b"data: one\n\n"
        session.get(f"{app_url}/large", stream=True)  # dropped
        assert session.get(f"{app_url}/json").json() == {"a": [1, None]}
        assert [sample.connections for sample in samples] == [1, 0, 0]

    @VERSIONS
    def test_one_that_outlives_its_session_leaves_nothing_behind(
        self, curl_session: MakeSession, app_url: str, http: str
    ) -> None:
        session = curl_session(http)
        response = session.get(f"{app_url}/parts", stream=True)
        engine: Any = session.get_adapter(app_url).engine()  # type: ignore[attr-defined]
        session.close()
        assert not engine.is_closed
        assert next(response.iter_lines()) == b"data: one"
        response.close()
        assert engine.is_closed

    @VERSIONS
    def test_an_interrupted_one_ends_with_an_error(self, curl_session: MakeSession, app_url: str, http: str) -> None:
        session = curl_session(http, timeout=60)
        lines = session.get(f"{app_url}/parts", stream=True).iter_lines()
        assert next(lines) == b"data: one"
        session.interrupt()
        with pytest.raises(requests.RequestException):
            list(lines)


class TestConnections:
    def test_a_server_that_closes_after_each_request(
        self, curl_session: MakeSession, nginx_h2: Http2Nginx, samples: list[Sample]
    ) -> None:
        session = curl_session("2")
        connections = [session.post(nginx_h2.closing, data="x").text for _ in range(3)]
        assert len(set(connections)) == 3
        assert [(sample.outcome, sample.connections, sample.retries) for sample in samples] == [(OK, 1, 0)] * 3

    def test_a_request_that_the_server_refused_to_process_is_sent_again_if_that_is_allowed(
        self, curl_session: MakeSession, samples: list[Sample]
    ) -> None:
        with swallowing_server(refuses=True) as (url, requests_seen):
            session = curl_session("2")
            assert session.get(url).ok
            assert session.get(url).ok
            with pytest.raises(requests.ConnectionError, match="refused the request, which is not sent twice"):
                session.post(url, data="x")
        assert [(sample.outcome, sample.retries) for sample in samples] == [(OK, 0), (OK, 1), (FAILED, 1)]
        assert requests_seen == ["GET", "GET", "GET", "POST"]

    def test_a_request_that_a_closing_connection_swallowed_is_a_failed_one(
        self, curl_session: MakeSession, samples: list[Sample]
    ) -> None:
        with swallowing_server() as (url, requests_seen):
            session = curl_session("2")
            assert session.get(url).ok
            with pytest.raises(requests.ConnectionError, match="the server closed the kept connection in place of"):
                session.get(url)
            assert session.get(url).ok
        assert [(sample.outcome, sample.retries) for sample in samples] == [(OK, 0), (FAILED, 0), (OK, 0)]
        assert requests_seen == ["GET", "GET", "GET"]

    def test_each_thread_has_its_own(self, curl_session: MakeSession, app_url: str, samples: list[Sample]) -> None:
        session = curl_session("2")
        threads = [threading.Thread(target=session.get, args=(app_url,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [(sample.outcome, sample.connections) for sample in samples] == [(OK, 1)] * 2

    @linux_only
    @VERSIONS
    def test_a_closed_session_has_no_sockets(self, curl_session: MakeSession, app_url: str, http: str) -> None:
        before = open_sockets()
        session = curl_session(http)
        session.get(app_url)
        assert open_sockets() > before
        session.close()
        assert open_sockets() <= before
        assert session.get(app_url).ok

    @VERSIONS
    def test_a_pickled_session_speaks_the_same_version(
        self, curl_session: MakeSession, app_url: str, http: str
    ) -> None:
        with pickle.loads(pickle.dumps(curl_session(http))) as copy:
            assert copy.get(app_url).http_version == http


class TestSurroundings:
    @VERSIONS
    def test_a_proxy_is_refused(self, curl_session: MakeSession, app_url: str, http: str) -> None:
        session = curl_session(http)
        with pytest.raises(ProxyUnsupported, match=f"http='{http}' does not go through a proxy; leave out the proxy"):
            session.get(app_url, proxies={"https": "http://127.0.0.1:9"})

    def test_a_body_of_a_head_request_is_refused(
        self, curl_session: MakeSession, nginx_h2: Http2Nginx, samples: list[Sample]
    ) -> None:
        session = curl_session("2")
        session.get(nginx_h2.plain)
        with pytest.raises(SettingError, match="a HEAD request cannot have a body"):
            session.head(nginx_h2.plain, data="x")
        assert session.head(nginx_h2.plain).ok
        assert [(sample.outcome, sample.connections) for sample in samples] == [(OK, 1), (FAILED, 0), (OK, 0)]

    def test_the_proxy_of_the_environment_is_not_read(
        self, curl_session: MakeSession, nginx_h2: Http2Nginx, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        session = curl_session("2")
        assert session.get(nginx_h2.plain).ok
        assert session.get(nginx_h2.tls).ok

    def test_a_mock_answers_in_the_place_of_libcurl(self, curl_session: MakeSession) -> None:
        with responses.RequestsMock() as mocked:
            mocked.get("https://127.0.0.1:9/", body="mocked")
            assert curl_session("2").get("https://127.0.0.1:9/").text == "mocked"

    @pytest.mark.parametrize("http", ["2", "3"])
    def test_without_the_extra_the_error_says_how_to_install_it(
        self, monkeypatch: pytest.MonkeyPatch, http: str
    ) -> None:
        monkeypatch.setitem(sys.modules, "pycurl", None)
        with pytest.raises(SettingError, match=rf"http='{http}' needs pycurl, .*pip install 'pytest-ipload\[http2\]'"):
            LoadSession(http=http)

    @pytest.mark.parametrize("http", ["2", "3"])
    def test_a_libcurl_without_the_version_is_an_error(self, monkeypatch: pytest.MonkeyPatch, http: str) -> None:
        pycurl = load_pycurl(http)
        info = list(pycurl.version_info())
        info[4] = 0
        monkeypatch.setattr(pycurl, "version_info", lambda: tuple(info))
        with pytest.raises(SettingError, match=rf"built without HTTP/{http} \(PycURL/.*pip install 'pytest-ipload"):
            LoadSession(http=http)

    def test_http_1_1_imports_none_of_it(self, server: RecordingServer) -> None:
        code = (
            "import sys; from pytest_ipload.transport.session import LoadSession; "
            f"LoadSession().get({server.url()!r}); print(*sorted(sys.modules))"
        )
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert not {"pycurl", "pytest_ipload.transport.curl.engine"} & set(loaded)


class TestHead:
    FINAL = (b"HTTP/2 200 \r\n", b"a: 1\r\n", b"\r\n")

    def test_interim_replies_and_trailers_are_not_part_of_it(self) -> None:
        interim = [b"HTTP/2 103 \r\n", b"link: x\r\n", b"\r\n"]
        trailers = [b"t: 1\r\n", b"\r\n"]
        assert list(head_lines([*self.FINAL])) == list(self.FINAL[:-1])
        assert list(head_lines([*interim, *self.FINAL, *trailers])) == list(self.FINAL[:-1])

    @pytest.mark.parametrize("lines", [[], [b"HTTP/2 200 \r\n"], [b"HTTP/2 103 \r\n", b"\r\n"]])
    def test_it_is_not_there_yet(self, lines: list[bytes]) -> None:
        assert not head_lines(lines)


@contextlib.contextmanager
def swallowing_server(*, refuses: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A server for HTTP/2 without TLS that closes each connection, or ``refuses``, at its second request."""
    seen: list[str] = []

    def serve(connection: socket.socket) -> None:
        protocol = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        protocol.initiate_connection()
        answered = False
        with connection, contextlib.suppress(OSError):  # the client has gone
            while data := connection.recv(65536):
                for event in protocol.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        seen.append(dict(event.headers)[b":method"].decode())
                        if answered and not refuses:
                            return
                        if answered:
                            protocol.reset_stream(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
                            continue
                        protocol.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
                        answered = True
                connection.sendall(protocol.data_to_send())

    def accept() -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connections.append(listener.accept()[0])
                threads.append(threading.Thread(target=serve, args=connections[-1:]))
                threads[-1].start()

    connections: list[socket.socket] = []
    threads = [threading.Thread(target=accept)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads[0].start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/", seen
        finally:
            for each in (listener, *connections):
                with contextlib.suppress(OSError):  # closed already
                    each.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)


def open_sockets() -> int:
    """How many sockets this process has."""
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sum(link.startswith("socket:") for link in links)
