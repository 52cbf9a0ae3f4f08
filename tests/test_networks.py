"""Sessions on real networks: hosts of their own, with few ports, several links, networks as addresses."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import resource
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from support.namespace import Namespace, Network, hosts_of_this_process, lone_host, network

from pytest_ipload import LoadSession
from pytest_ipload.addresses.host.bind_source import bind_source
from pytest_ipload.addresses.host.local_ports import local_ports, port_shortage
from pytest_ipload.transport.generator_errors import SourceAddressError

PORT = 8080
OWN = "10.77.0.1"
SOURCES = [f"10.77.0.{last}" for last in range(11, 19)]
TARGETS = [f"10.77.0.{last}" for last in range(101, 105)]
A, B = SOURCES[:2]
TARGET = TARGETS[0]
HUNDRED_PORTS = "40000 40099"
NO_PORT_LEFT = (
    "no free local port left for source {} -> 10.77.0.101:8080 (connect: EADDRNOTAVAIL; range 40000-40099); "
    "add source addresses, keep connections alive, or widen net.ipv4.ip_local_port_range"
)


# Programs: what runs on the hosts.


@contextlib.contextmanager
def serving() -> Iterator[None]:
    """A server on all addresses that keeps connections open and answers each request with the peer's address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = str(writer.get_extra_info("peername")[0]).encode()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "0.0.0.0", PORT, backlog=4096)
        async with server:
            ready.set()
            while not ended.is_set():
                await asyncio.sleep(0.05)

    allow_open_files()
    ready, ended = threading.Event(), threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def users(sources: list[str], per_source: int, targets: list[str]) -> Iterator[dict[str, int]]:
    """Users, each with a session and a connection to each target that stays open: how often which answer came."""
    allow_open_files()
    answers: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        for source in sources:
            for _ in range(per_source):
                session = stack.enter_context(LoadSession(source, timeout=5))
                answers.update(answer(session, target)[1] for target in targets)
        yield answers


@contextlib.contextmanager
def plain_users(sources: list[str], per_source: int, targets: list[str]) -> Iterator[dict[str, int]]:
    """The same with the usual bind, where the kernel chooses the port before it knows the target."""
    answers: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        for source in sources:
            for _ in range(per_source):
                for target in targets:
                    stack.enter_context(socket.create_connection((target, PORT), 5, (source, 0)))
                    answers[source] += 1
        yield answers


def allow_open_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, max(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))


def answer(session: LoadSession, target: str) -> list[str]:
    """The word "seen" and the address that the target saw; or the error's type and its text."""
    try:
        return ["seen", session.get(f"http://{target}:{PORT}/").text]
    except requests.ConnectionError as error:
        reason = error.args[0].reason
        return [type(reason).__name__, reason.message if isinstance(reason, SourceAddressError) else reason.args[-1]]


def ask(source: str, target: str) -> list[str]:
    with LoadSession(source, timeout=1) as session:
        return answer(session, target)


def other_programs(source: str, target: str) -> dict[str, str]:
    """What connections of other programs get: the address that they leave from, or the error's name."""

    def connect(sock: socket.socket) -> str:
        sock.settimeout(5)
        try:
            sock.connect((target, PORT))
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return str(sock.getsockname()[0])

    with socket.socket() as unbound, socket.socket() as bound, socket.socket() as late:
        bound.bind((source, 0))
        bind_source(late, source)
        return {"unbound": connect(unbound), "bound": connect(bound), "bound without a port": connect(late)}


# The network.


@dataclass(frozen=True)
class Bench:
    net: Network
    client: Namespace
    server: Namespace

    def held(self) -> Counter[tuple[str, str]]:
        """The open connections from the client as its kernel sees them: how many for each source and target."""
        lines = self.client.run("ss", "-Htn", "state", "established").splitlines()
        ends = ([end.rpartition(":")[0] for end in line.split()[2:4]] for line in lines)
        return Counter((source, target) for source, target in ends)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A client with the sources and a server with the targets, on one link."""
    with network() as net:
        client, server = net.add("client"), net.add("server")
        net.link(
            "wire",
            (client, [f"{address}/24" for address in (OWN, *SOURCES)]),
            (server, [f"{address}/24" for address in TARGETS]),
        )
        with server.running(serving):
            yield Bench(net, client, server)


def test_the_bench_removes_its_hosts_when_a_test_fails() -> None:
    def fail() -> None:
        with network() as net:
            client, server = net.add("client"), net.add("server")
            net.link("wire", (client, ["10.77.0.1/24"]), (server, ["10.77.0.2/24"]))
            assert len(hosts_of_this_process()) == 2
            with server.running(serving):
                raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert hosts_of_this_process() == []


def test_a_program_that_fails_on_a_host_fails_the_test() -> None:
    with lone_host() as host, pytest.raises(AssertionError, match=r"(?s)ask on host .*TypeError"):
        host.call(ask)


# Ports.


@pytest.mark.parametrize("sources", [SOURCES[:1], SOURCES], ids=["1 source", "8 sources"])
def test_every_source_has_all_local_ports_for_every_target(bench: Bench, sources: list[str]) -> None:
    bench.client.sysctl("net.ipv4.ip_local_port_range", HUNDRED_PORTS)
    with bench.client.running(users, sources, 100, TARGETS) as answers:
        assert answers == dict.fromkeys(sources, 400)
        assert bench.held() == dict.fromkeys([(source, target) for source in sources for target in TARGETS], 100)


def test_the_connection_after_the_last_port_says_so(bench: Bench) -> None:
    bench.client.sysctl("net.ipv4.ip_local_port_range", HUNDRED_PORTS)
    with bench.client.running(users, [A], 101, [TARGET]) as answers:
        assert answers == {A: 100, NO_PORT_LEFT.format(A): 1}
        assert bench.client.call(ask, A, TARGET) == ["SourcePortsExhausted", NO_PORT_LEFT.format(A)]
        assert bench.client.call(ask, B, TARGET) == ["seen", B]
        assert bench.client.call(ask, A, TARGETS[1]) == ["seen", A]


def test_the_shortage_is_foreseen_where_the_kernel_meets_it(bench: Bench) -> None:
    bench.client.sysctl("net.ipv4.ip_local_port_range", HUNDRED_PORTS)
    bench.client.sysctl("net.ipv4.ip_local_reserved_ports", "40010-40019,50000")
    ports = bench.client.call(local_ports)
    assert ports == 90
    assert port_shortage(180, sources=1, targets=2, ports=ports) is None
    assert port_shortage(181, sources=1, targets=2, ports=ports) is not None
    with bench.client.running(users, [A], 91, TARGETS[:2]) as answers:
        assert answers[A] == 180
        assert len(answers) == 3  # with one error for each target


@pytest.mark.parametrize(
    ("program", "seen"),
    [
        (users, {"unbound": OWN, "bound": B, "bound without a port": B}),
        (plain_users, {"unbound": "EADDRNOTAVAIL", "bound": B, "bound without a port": "EADDRNOTAVAIL"}),
    ],
    ids=["a session does not", "the usual bind does"],
)
def test_taking_all_ports_of_a_source_from_other_programs(bench: Bench, program: Any, seen: dict[str, str]) -> None:
    bench.client.sysctl("net.ipv4.ip_local_port_range", HUNDRED_PORTS)
    with bench.client.running(program, [A], 100, [TARGET]) as answers:
        assert answers == {A: 100}
        assert bench.held() == {(A, TARGET): 100}
        assert bench.client.call(other_programs, B, TARGET) == seen


# Routes.


@pytest.mark.parametrize("strict", ["client", "server"])
def test_a_source_of_another_link_needs_a_way_back(strict: str) -> None:
    with network() as net:
        client, server = net.add("client"), net.add("server")
        net.link("one", (client, ["10.81.0.1/24"]), (server, ["10.81.0.2/24"]))
        net.link("two", (client, ["10.82.0.1/24"]), (server, ["10.82.0.2/24"]))

        def set_reverse_path_filter(host: Namespace, value: str) -> None:
            for interface in ("all", "one", "two"):
                host.sysctl(f"net.ipv4.conf.{interface}.rp_filter", value)

        for host in (client, server):
            set_reverse_path_filter(host, "0")
        with server.running(serving):
            assert client.call(ask, "10.82.0.1", "10.81.0.2") == ["seen", "10.82.0.1"]

            set_reverse_path_filter(client if strict == "client" else server, "1")
            assert client.call(ask, "10.82.0.1", "10.81.0.2") == [
                "ConnectTimeoutError",
                "Connection to 10.81.0.2 from source 10.82.0.1 timed out (connect timeout=1); "
                "no SYN-ACK came back: is there a return route to 10.82.0.1?",
            ]

            client.ip("route add 10.81.0.0/24 via 10.82.0.2 table 82")
            client.ip("rule add from 10.82.0.0/24 table 82")
            assert client.call(ask, "10.82.0.1", "10.81.0.2") == ["seen", "10.82.0.1"]


def test_the_reasons_why_a_source_does_not_work_are_told_apart(bench: Bench) -> None:
    assert [bench.client.call(ask, source, TARGET) for source in ("127.0.0.5", "10.77.0.255", "203.0.113.7")] == [
        [
            "SourceNotUsable",
            "source address 127.0.0.5 is a loopback address and can only reach this host, not 10.77.0.101",
        ],
        [
            "SourceNotUsable",
            "source address 10.77.0.255 is a broadcast or multicast address: the kernel used 10.77.0.1 instead; "
            "remove it from the pool",
        ],
        [
            "SourceNotLocal",
            "source address 203.0.113.7 is not an address of this host (bind: EADDRNOTAVAIL); "
            "add it with 'ip addr add 203.0.113.7/32 dev lo' or remove it from the IP pool",
        ],
    ]


def test_every_address_of_a_network_that_is_routed_to_this_host_is_a_source(bench: Bench) -> None:
    sources = ["10.50.3.7", "10.50.0.0", "10.50.255.255"]
    assert {bench.client.call(ask, source, TARGET)[0] for source in sources} == {"SourceNotLocal"}
    bench.client.ip("route add local 10.50.0.0/16 dev lo")
    assert bench.client.call(ask, sources[0], TARGET)[0] == "ConnectTimeoutError"
    bench.server.ip(f"route add 10.50.0.0/16 via {OWN}")
    assert [bench.client.call(ask, source, TARGET) for source in sources] == [["seen", source] for source in sources]


def test_a_load_test_leaves_from_such_a_network(bench: Bench, tmp_path: Path) -> None:
    bench.client.ip("route add local 10.50.0.0/16 dev lo")
    bench.server.ip(f"route add 10.50.0.0/16 via {OWN}")
    tmp_path.joinpath("test_it.py").write_text(
        f"def test_it(ipload_session):\n"
        f"    reply = ipload_session.get('http://{TARGET}:{PORT}/')\n"
        f"    assert reply.text == reply.source_address\n"
    )
    results = tmp_path / "results.json"
    options = ("--ipload-users=8", "--ipload-pool=10.50.3.0-10.50.3.7", f"--ipload-json={results}")
    alone = ("env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", sys.executable, "-W", "error", "-m", "pytest")
    plugins = ("-p", "pytest_ipload.plugin", "-p", "no:cacheprovider")
    assert "1 passed" in bench.client.run(*alone, *plugins, *options, f"--rootdir={tmp_path}", str(tmp_path))
    (test,) = json.loads(results.read_text())["tests"]
    assert [row["source_address"] for row in test["by_source"]] == [f"10.50.3.{last}" for last in range(8)]
