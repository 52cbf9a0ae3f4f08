"""Where users really come from, told by the servers: nobody ever leaves from another address than its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Certificates
from support.demo import running_target

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")

POOL = "127.0.1.0/28"
ADDRESSES = [f"127.0.1.{number}" for number in range(1, 15)]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)  # another process opens the port; there is no event to wait for
    raise AssertionError(f"nobody listens on port {port}")


@pytest.fixture
def run_server() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a server process and waits for its ports; ends it after the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(command: list[str], *ports: int) -> subprocess.Popen[bytes]:
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for port in ports:
            wait_for_port(port, processes[-1])
        return processes[-1]

    yield run
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(15)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


class Nginx:
    """An nginx with a plain port, which redirects to its TLS port, whose log has a line for each request."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self.log = folder / "access.log"
        self.plain, self.tls = free_port(), free_port()
        self.config = folder / "nginx.conf"
        certificate, key = certificates.server_files("localhost", "127.0.0.1")
        self.config.write_text(
            textwrap.dedent(
                f"""
                daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
                events {{ worker_connections 512; }}
                http {{
                  log_format who '$remote_addr $scheme $request_uri';
                  access_log {self.log} who;
                  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
                  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
                  server {{ listen 127.0.0.1:{self.plain}; return 302 https://localhost:{self.tls}$request_uri; }}
                  server {{
                    listen 127.0.0.1:{self.tls} ssl;
                    ssl_certificate {certificate}; ssl_certificate_key {key};
                    return 200 'hello';
                  }}
                }}
                """
            )
        )

    def peers(self, scheme: str) -> Counter[str]:
        """How many requests came from which address."""
        rows = [line.split() for line in self.log.read_text().splitlines()]
        return Counter(row[0] for row in rows if row[1] == scheme)


@pytest.fixture
def tls_site(
    nginx: str, tmp_path: Path, certificates: Certificates, run_server: Callable[..., subprocess.Popen[bytes]]
) -> Nginx:
    site = Nginx(tmp_path, certificates)
    run_server([nginx, "-c", str(site.config), "-e", str(tmp_path / "error.log")], site.plain, site.tls)
    return site


def run_load(pytester: pytest.Pytester, body: str, *options: str) -> dict[str, Any]:
    """Run one load test that must pass; its result."""
    pytester.makepyfile(test_load=body)
    pytester.runpytest("--ipload-json=out.json", *options).assert_outcomes(passed=1)
    (test,) = json.loads((pytester.path / "out.json").read_text())["tests"]
    return dict(test)


def test_fifty_users_arrive_evenly_from_fourteen_addresses(pytester: pytest.Pytester) -> None:
    with running_target() as target:
        test = run_load(
            pytester,
            f"""
            import pytest

            @pytest.mark.ipload(users=50, iterations=4, base_url={target.url!r}, pool={POOL!r})
            def test_it(ipload_session, ipload_user):
                reply = ipload_session.get("/whoami")
                assert reply.json()["address"] == reply.source_address == ipload_user.source_address
            """,
        )
        with urllib.request.urlopen(f"{target.url}/stats") as reply:
            seen = json.load(reply)
    seen.pop("127.0.0.1", None)
    assert sorted(seen) == sorted(ADDRESSES)
    # 50 users on 14 addresses: 8 addresses have 4 users, 6 have 3; each user keeps one connection for 4 requests.
    assert sorted(row["connections"] for row in seen.values()) == [3] * 6 + [4] * 8
    assert sorted(row["requests"] for row in seen.values()) == [12] * 6 + [16] * 8
    assert {
        row["source_address"]: (row["users"], row["connections"], row["requests"]) for row in test["by_source"]
    } == {address: (row["connections"], row["connections"], row["requests"]) for address, row in seen.items()}


def test_ipv6(pytester: pytest.Pytester) -> None:
    with running_target(host="::1") as target:
        test = run_load(
            pytester,
            f"""
            import pytest

            @pytest.mark.ipload(users=3, base_url={target.url!r}, pool="::1")
            def test_it(ipload_session):
                assert ipload_session.get("/whoami").json()["address"] == "::1"
            """,
        )
    assert [(row["source_address"], row["requests"]) for row in test["by_source"]] == [("::1", 3)]


def test_a_mixed_pool_serves_each_destination_with_an_address_of_its_family(pytester: pytest.Pytester) -> None:
    with running_target() as four, running_target(host="::1") as six:
        test = run_load(
            pytester,
            f"""
            import pytest

            @pytest.mark.ipload(users=4, pool="127.0.1.1-127.0.1.2,::1")
            def test_it(ipload_session, ipload_user):
                four = ipload_session.get({four.url!r} + "/whoami").json()["address"]
                assert four == ("127.0.1.1", "127.0.1.2")[ipload_user.index % 2]
                assert ipload_session.get({six.url!r} + "/whoami").json()["address"] == "::1"
            """,
        )
    assert {row["source_address"]: row["requests"] for row in test["by_source"]} == {
        "127.0.1.1": 2,
        "127.0.1.2": 2,
        "::1": 4,
    }


def test_https_with_a_private_ca_and_after_a_redirect_from_http(
    pytester: pytest.Pytester, tls_site: Nginx, certificates: Certificates
) -> None:
    run_load(
        pytester,
        f"""
        import pytest

        @pytest.fixture
        def trusting(ipload_session):
            ipload_session.verify = {certificates.ca!r}
            return ipload_session

        @pytest.mark.ipload(users=28, iterations=2, pool={POOL!r})
        def test_it(trusting, ipload_user):
            reply = trusting.get("http://127.0.0.1:{tls_site.plain}/secret")
            assert reply.text == "hello"
            assert reply.url.startswith("https://localhost:")
            assert reply.source_address == ipload_user.source_address
        """,
    )
    assert tls_site.peers("http") == dict.fromkeys(ADDRESSES, 4)
    assert tls_site.peers("https") == dict.fromkeys(ADDRESSES, 4)


def test_a_certificate_that_the_ca_did_not_sign_is_refused(
    pytester: pytest.Pytester, tls_site: Nginx, certificates: Certificates
) -> None:
    run_load(
        pytester,
        f"""
        import pytest, requests

        @pytest.mark.ipload(users=2, pool={POOL!r})
        def test_it(ipload_session):
            for verify in ({certificates.other_ca!r}, True):
                with pytest.raises(requests.exceptions.SSLError):
                    url = "https://localhost:{tls_site.tls}/"
                    ipload_session.get(url, verify=verify, expect=requests.RequestException)
        """,
    )
    assert tls_site.peers("https") == {}


def test_through_a_real_proxy_plain_and_tls(
    pytester: pytest.Pytester,
    tinyproxy: str,
    tls_site: Nginx,
    certificates: Certificates,
    tmp_path: Path,
    run_server: Callable[..., subprocess.Popen[bytes]],
) -> None:
    port, log, config = free_port(), tmp_path / "proxy.log", tmp_path / "tinyproxy.conf"
    config.write_text(
        f'Port {port}\nListen 127.0.0.1\nLogFile "{log}"\nLogLevel Connect\nMaxClients 100\nTimeout 60\n'
        f"ConnectPort {tls_site.tls}\nAllow 127.0.0.0/8\n"
    )
    with running_target() as target:
        run_server([tinyproxy, "-d", "-c", str(config)], port)
        run_load(
            pytester,
            f"""
            import pytest

            @pytest.fixture
            def proxied(ipload_session):
                ipload_session.verify = {certificates.ca!r}
                ipload_session.proxies = dict.fromkeys(("http", "https"), "http://127.0.0.1:{port}")
                return ipload_session

            @pytest.mark.ipload(users=14, pool={POOL!r})
            def test_it(proxied, ipload_user):
                plain = proxied.get({target.url!r} + "/whoami")
                assert plain.json()["address"] == "127.0.0.1"  # the target sees the proxy
                assert plain.source_address == ipload_user.source_address
                assert proxied.get("https://localhost:{tls_site.tls}/").source_address == ipload_user.source_address
            """,
        )
    peers = Counter(line.rsplit(": ", 1)[1] for line in log.read_text().splitlines() if ": Connect (" in line)
    assert peers.pop("127.0.0.1") == 1  # it was the test itself, waiting for the proxy to listen
    assert peers == dict.fromkeys(ADDRESSES, 2)  # one connection for the plain request, one for the tunnel


def test_a_proxy_of_the_environment_is_not_used(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, demo_url: str
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    run_load(
        pytester,
        f"""
        import pytest

        @pytest.mark.ipload(base_url={demo_url!r}, pool={POOL!r})
        def test_it(ipload_session):
            assert ipload_session.get("/whoami").json()["address"] == "127.0.1.1"
        """,
    )


class TestAllowedHosts:
    TEST = """
        import pytest

        @pytest.mark.ipload
        def test_it(ipload_session):
            ipload_session.get({url!r}{more})
    """

    def test_a_public_host_is_refused_before_anything_is_sent(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(self.TEST.format(url="http://shop.example.com/", more=""))
        result = pytester.runpytest("--ipload-json=out.json")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            ["*TargetNotAllowed: 'shop.example.com' is not in ipload_allowed_hosts; load was not sent. Add it with *"]
        )
        (test,) = json.loads((pytester.path / "out.json").read_text())["tests"]
        assert test["requests"] == 0

    @pytest.mark.parametrize("how", ["option", "ini"])
    def test_a_host_that_was_allowed_is_asked(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, demo_url: str, how: str
    ) -> None:
        port = int(demo_url.rpartition(":")[2])
        real = socket.getaddrinfo
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *args, **kwargs: real("127.0.0.1" if host == "a.shop.test" else host, *args, **kwargs),
        )
        pytester.makepyfile(self.TEST.format(url=f"http://a.shop.test:{port}/whoami", more=""))
        if how == "ini":
            pytester.makeini("[pytest]\nipload_allowed_hosts =\n    other.test\n    *.shop.test\n")
            result = pytester.runpytest()
        else:
            result = pytester.runpytest("--ipload-allow-host=other.test", "--ipload-allow-host=*.shop.test")
        result.assert_outcomes(passed=1)

    def test_a_redirect_off_limits_is_not_followed(self, pytester: pytest.Pytester, demo_url: str) -> None:
        url = f"{demo_url}/redirect-to?url=http://shop.example.com/"
        pytester.makepyfile(self.TEST.format(url=url, more=""))
        result = pytester.runpytest()
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*TargetNotAllowed*'shop.example.com'*"])
