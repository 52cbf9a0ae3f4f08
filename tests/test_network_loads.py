"""Whole load tests on real networks: ports that run out, a thousand addresses, IPv6 by a route."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.namespace import Namespace, lone_host, network

PORT = 8080
PLUGINS = ("-p", "pytest_ipload.plugin", "-p", "no:cacheprovider")


@contextlib.contextmanager
def counting(host: str, path: str) -> Iterator[None]:
    """A server that answers each request with the peer's address, and writes down at its end who asked how often."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (16384, max(16384, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    seen: dict[str, Counter[str]] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str(writer.get_extra_info("peername")[0])
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                seen.setdefault(peer, Counter())[head.split()[1]] += 1
                body = peer.encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, host, PORT, backlog=4096)
        async with server:
            ready.set()
            while not ended.is_set():
                await asyncio.sleep(0.05)

    ready, ended = threading.Event(), threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        ended.set()
        thread.join()
        Path(path).write_text(json.dumps(seen))


@dataclass(frozen=True)
class Run:
    output: str
    test: dict[str, Any]
    seen: dict[str, dict[str, int]]
    """For each peer, how often it asked for which path."""


def run_load(folder: Path, client: Namespace, server: Namespace, url: str, body: str, *options: str) -> Run:
    """Run a load test on one host against a server on another."""
    (folder / "test_load.py").write_text(textwrap.dedent(body))
    results, peers = folder / "results.json", folder / "peers.json"
    command = [sys.executable, "-m", "pytest", *PLUGINS, f"--rootdir={folder}", f"--ipload-json={results}"]
    host = url.split("//")[1].rpartition(":")[0].strip("[]")
    with server.running(counting, host, str(peers)):
        # Whatever the verdict is, the command itself succeeds.
        line = " ".join(f"'{word}'" for word in [*command, f"--ipload-base-url={url}", *options, str(folder)])
        output = client.run("sh", "-c", f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {line} || true")
    (test,) = json.loads(results.read_text())["tests"]
    return Run(output, test, json.loads(peers.read_text()))


def test_a_load_that_runs_out_of_ports_is_invalid_and_reports_what_did_run(tmp_path: Path) -> None:
    with network() as net:
        client, server = net.add("client"), net.add("server")
        net.link("wire", (client, ["10.77.0.11/24"]), (server, ["10.77.0.101/24"]))
        client.sysctl("net.ipv4.ip_local_port_range", "40000 40099")
        run = run_load(
            tmp_path,
            client,
            server,
            f"http://10.77.0.101:{PORT}",
            """
            def test_it(ipload_session):
                ipload_session.get("/")
            """,
            "--ipload-users=150",
            "--ipload-pool=10.77.0.11",
        )
    assert run.test["verdict"] == "invalid"
    assert run.test["generator"]["faults"] == {"ports-exhausted": 50}
    assert (run.test["requests"], run.test["failed_requests"]) == (100, 0)
    assert run.seen == {"10.77.0.11": {"/": 100}}
    text = (
        "ports-exhausted: 50 times: no free local port left for source 10.77.0.11 -> "
        "10.77.0.101:8080 (connect: EADDRNOTAVAIL; range 40000-40099). Such requests were never sent and are not "
        "counted: the target got less load than planned. Add source addresses, keep connections alive, or widen "
        "net.ipv4.ip_local_port_range"
    )
    assert run.test["reason"] == text
    assert text in run.output
    [foreseen] = (note for note in run.test["generator"]["notes"] if note.startswith("few-ports: "))
    assert foreseen.startswith("few-ports: 150 connections from 1 source address need 150 local ports")


def test_a_thousand_users_keep_a_thousand_addresses_of_a_routed_network(tmp_path: Path) -> None:
    with network() as net:
        client, server = net.add("client"), net.add("server")
        net.link("wire", (client, ["10.77.0.1/24"]), (server, ["10.77.0.101/24"]))
        client.ip("route add local 10.50.0.0/16 dev lo")
        server.ip("route add 10.50.0.0/16 via 10.77.0.1")
        run = run_load(
            tmp_path,
            client,
            server,
            f"http://10.77.0.101:{PORT}",
            """
            import pytest

            @pytest.mark.ipload(users=1000, duration="8s", ramp_up="4s", think_time="2s-4s",
                               suppress_health_check="users-not-reached")  # of a busy machine
            def test_it(ipload_session, ipload_user):
                seen = ipload_session.get(f"/{ipload_user.index}", name="GET /USER").content.decode()
                assert seen == ipload_user.source_address
            """,
            "--ipload-pool=10.50.0.1-10.50.3.232",
        )
    assert run.test["verdict"] == "passed", run.output
    assert run.test["users"] == 1000
    assert len(run.seen) == 1000, run.output
    assert {len(paths) for paths in run.seen.values()} == {1}  # each address served one user, and always the same
    assert len({path for paths in run.seen.values() for path in paths}) == 1000
    assert all(row["connections"] == row["users"] == 1 for row in run.test["by_source"])


def test_two_hundred_users_that_change_with_each_request_spread_within_one_percent(tmp_path: Path) -> None:
    with lone_host() as host:
        run = run_load(
            tmp_path,
            host,
            host,
            f"http://127.0.0.1:{PORT}",
            """
            import pytest

            @pytest.mark.ipload(users=200, iterations=50, ip_binding="request")
            def test_it(ipload_session, ipload_user):
                assert ipload_session.get("/").content.decode() == ipload_user.source_address
            """,
            "--ipload-pool=127.0.5.1-127.0.5.50",
        )
    assert run.test["verdict"] == "passed", run.output
    requests = {peer: sum(paths.values()) for peer, paths in run.seen.items()}
    assert len(requests) == 50
    assert sum(requests.values()) == 10_000
    assert all(198 <= count <= 202 for count in requests.values()), requests


def test_ipv6_addresses_that_are_only_routed_here_need_free_bind(tmp_path: Path) -> None:
    with lone_host() as host:
        host.ip("-6 route add local 2001:db8:5::/64 dev lo")
        body = """
            def test_it(ipload_session, ipload_user):
                assert ipload_session.get("/").content.decode() == ipload_user.source_address
            """
        pool = "2001:db8:5::10-2001:db8:5::13"
        url = f"http://[::1]:{PORT}"
        run = run_load(tmp_path, host, host, url, body, "--ipload-users=8", f"--ipload-pool=freebind:{pool}")
        refused = host.run(
            "sh", "-c", f"{sys.executable} -m pytest --rootdir={tmp_path} --ipload-pool={pool} {tmp_path} 2>&1 || true"
        )
    assert run.test["verdict"] == "passed", run.output
    assert {peer: sum(paths.values()) for peer, paths in run.seen.items()} == {
        f"2001:db8:5::{last}": 2 for last in (10, 11, 12, 13)
    }
    assert "freebind:" in refused
