"""Bind before connect: the right source, or an error that says what is wrong with it."""

from __future__ import annotations

import errno
import queue
import re
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from typing import Any

import pytest
import requests
import urllib3.exceptions
from support.certificates import Certificates
from support.http_server import RecordingServer
from support.replies import reply
from support.scripted_server import OK, Do, Pause, Reply, ScriptedServer
from urllib3.exceptions import NameResolutionError

from pytest_ipload.addresses.host.bind_source import bind_source
from pytest_ipload.stats.sample import Sample
from pytest_ipload.transport.connect import dial
from pytest_ipload.transport.connect.binding import Binding, Fallback, Hop, ThreadState
from pytest_ipload.transport.connect.connection import (
    IdleConnections,
    Pool,
    SourceHTTPConnection,
    SourceHTTPConnectionPool,
    SourceHTTPSConnection,
)
from pytest_ipload.transport.generator_errors import (
    OpenFilesExhausted,
    SourceFamilyMismatch,
    SourceNotLocal,
    SourceNotUsable,
    SourcePortsExhausted,
)
from pytest_ipload.transport.message.replay import ReplaySocket
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's loopback network and socket options")
IP_LOCAL_PORT_RANGE = 51  # Linux 6.3


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this host has no ::1")


def reason_of(error: requests.exceptions.ConnectionError) -> Exception:
    """What urllib3 said, below the exception that requests made of it."""
    reason = error.args[0].reason
    assert isinstance(reason, Exception)
    return reason


def failure(session: LoadSession, url: str, **kwargs: Any) -> Exception:
    with pytest.raises(requests.exceptions.ConnectionError) as raised:
        session.get(url, **kwargs)
    return reason_of(raised.value)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


@linux_only
def test_the_server_sees_the_source_address_and_so_does_the_reply(
    make_session: MakeSession, server: RecordingServer
) -> None:
    for source in ("127.0.0.5", "127.0.0.6"):
        response = make_session(source).get(server.url())
        assert response.source_address == source
    assert server.peers == ["127.0.0.5", "127.0.0.6"]


@needs_ipv6
def test_an_ipv6_source_works(make_session: MakeSession) -> None:
    with RecordingServer("::1") as server:
        assert make_session("::1").get(server.url()).source_address == "::1"
        assert server.peers == ["::1"]


@linux_only
@needs_ipv6
def test_of_two_sources_the_one_of_the_destinations_family_is_used(make_session: MakeSession) -> None:
    session = make_session(["127.0.0.7", "::1"])
    with RecordingServer("::1") as v6, RecordingServer() as v4:
        assert session.get(v6.url()).source_address == "::1"
        assert session.get(v4.url()).source_address == "127.0.0.7"
    assert session.source_address == "127.0.0.7"


@linux_only
def test_a_name_is_looked_up_in_the_sources_family(make_session: MakeSession, server: RecordingServer) -> None:
    assert make_session("127.0.0.5").get(server.url(host="localhost")).source_address == "127.0.0.5"


def test_without_a_source_nothing_is_bound(
    make_session: MakeSession, server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "bind_source", lambda *args: pytest.fail("bound"))
    assert make_session().get(server.url()).source_address == "127.0.0.1"


@linux_only
def test_the_port_is_left_to_connect(
    make_session: MakeSession, server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IP_BIND_ADDRESS_NO_PORT: a port chosen by bind() would serve one target only and starve other programs."""
    bound: list[tuple[str, int]] = []
    original = socket.socket.connect

    def seen(self: socket.socket, address: Any) -> None:
        bound.append(self.getsockname()[:2])
        original(self, address)

    monkeypatch.setattr(socket.socket, "connect", seen)
    make_session("127.0.0.5").get(server.url())
    assert bound == [("127.0.0.5", 0)]


@pytest.mark.parametrize("source", [None, "127.0.0.1"])
def test_urllib3_still_calls_the_private_method_that_is_overridden(
    make_session: MakeSession, server: RecordingServer, source: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, urllib3 opens sockets in another way: sources would be bound without ports left to connect."""
    for kind in (SourceHTTPConnection, SourceHTTPSConnection):
        called = kind("127.0.0.1", server.port, binding=Binding())
        monkeypatch.setattr(kind, "_new_conn", lambda self: (_ for _ in ()).throw(LookupError("called")))
        with pytest.raises(LookupError, match="called"):
            called.connect()
        monkeypatch.undo()
    assert SourceHTTPConnection("name.", binding=Binding())._dns_host == "name."
    assert make_session(source).get(server.url()).source_address is not None  # through http.client's response_class


def test_a_source_that_is_not_on_this_host_says_so(make_session: MakeSession, server: RecordingServer) -> None:
    reason = failure(make_session("203.0.113.7"), server.url())
    assert isinstance(reason, SourceNotLocal)
    assert (
        "source address 203.0.113.7 is not an address of this host (bind: EADDRNOTAVAIL); "
        "add it with 'ip addr add 203.0.113.7/32 dev lo' or remove it from the IP pool"
    ) in str(reason)


@needs_ipv6
def test_an_ipv4_source_to_an_ipv6_target_is_no_name_error(make_session: MakeSession) -> None:
    with RecordingServer("::1") as server:
        reason = failure(make_session("127.0.0.5"), server.url())
    assert isinstance(reason, SourceFamilyMismatch)
    assert (
        "source 127.0.0.5 is IPv4 but '::1' has only IPv6 addresses (::1); "
        "add an IPv6 source to the pool or use a target name with an IPv4 address"
    ) in str(reason)


def test_a_name_with_only_ipv6_addresses_is_no_name_error(
    make_session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(host: str, port: int, family: int = 0, kind: int = 0) -> list[Any]:
        if family == socket.AF_INET:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::5", port, 0, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    reason = failure(make_session("127.0.0.5"), "http://v6only.test/")
    assert isinstance(reason, SourceFamilyMismatch)
    assert (
        "source 127.0.0.5 is IPv4 but 'v6only.test' has only IPv6 addresses (2001:db8::5); "
        "add an IPv6 source to the pool or use a target name with an IPv4 address"
    ) in str(reason)


@pytest.mark.parametrize("source", [None, "127.0.0.1"])
def test_a_name_that_does_not_exist_is_a_name_error(
    make_session: MakeSession, source: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(*args: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert isinstance(failure(make_session(source), "http://nowhere.test/"), NameResolutionError)


@needs_ipv6
def test_a_refused_ipv6_connection_is_no_name_error(make_session: MakeSession, closed_port: int) -> None:
    reason = failure(make_session("::1"), f"http://localhost:{closed_port}/")
    if isinstance(reason, SourceFamilyMismatch):  # localhost is IPv4 only here
        reason = failure(make_session("::1"), f"http://[::1]:{closed_port}/")
    assert "Connection refused" in str(reason)


@linux_only
def test_a_broadcast_source_is_refused_although_it_can_be_bound(
    make_session: MakeSession, server: RecordingServer
) -> None:
    reason = failure(make_session("127.255.255.255"), server.url())
    assert isinstance(reason, SourceNotUsable)
    assert (
        "source address 127.255.255.255 is a broadcast or multicast address: "
        "the kernel used 127.0.0.1 instead; remove it from the pool"
    ) in str(reason)
    assert server.hits == []


def is_unused(port: int) -> bool:
    """Whether nobody has the port, and no server had it within the last minute."""
    with socket.socket() as sock:
        try:
            sock.bind(("", port))
        except OSError:
            return False
    return True


@pytest.fixture
def two_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound sockets of this test may only use two local ports."""
    low = next(port for port in range(40000, 60000, 2) if is_unused(port) and is_unused(port + 1))
    option = (socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", (low + 1) << 16 | low))
    with socket.socket() as probe:
        try:
            probe.setsockopt(*option)
        except OSError:
            pytest.skip("needs IP_LOCAL_PORT_RANGE (Linux 6.3)")

    def bind_narrow(sock: socket.socket, address: str, freebind: bool) -> None:
        sock.setsockopt(*option)
        bind_source(sock, address)

    monkeypatch.setattr(dial, "bind_source", bind_narrow)


@linux_only
@pytest.mark.usefixtures("two_ports")
def test_errno_99_of_connect_means_that_ports_ran_out(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session("127.0.0.23")
    held = [session.get(server.url("/half/length"), stream=True) for _ in range(2)]
    reason = failure(session, server.url())
    assert isinstance(reason, SourcePortsExhausted)
    low, high = dial._PORT_RANGE.read_text().split()
    assert (
        f"no free local port left for source 127.0.0.23 -> 127.0.0.1:{server.port} (connect: EADDRNOTAVAIL; "
        f"range {low}-{high}); add source addresses, keep connections alive, or widen net.ipv4.ip_local_port_range"
    ) in str(reason)
    assert samples[-1].fault == "ports-exhausted"
    for response in held:
        response.close()


@linux_only
def test_a_silent_network_names_source_and_return_route(make_session: MakeSession, full_listener: int) -> None:
    with pytest.raises(requests.exceptions.ConnectTimeout) as raised:
        make_session("127.0.0.5").get(f"http://127.0.0.1:{full_listener}/", timeout=0.1)
    assert (
        "Connection to 127.0.0.1 from source 127.0.0.5 timed out (connect timeout=0.1); "
        "no SYN-ACK came back: is there a return route to 127.0.0.5?"
    ) in str(reason_of(raised.value))


@linux_only
def test_without_a_source_the_texts_are_those_of_urllib3(
    make_session: MakeSession, full_listener: int, closed_port: int
) -> None:
    for port in (full_listener, closed_port):
        texts = []
        for session in (make_session(), requests.Session()):
            session.trust_env = False
            with session, pytest.raises(requests.exceptions.ConnectionError) as raised:
                session.get(f"http://127.0.0.1:{port}/", timeout=0.1)
            text = re.sub("0x[0-9a-f]+", "ADDRESS", str(raised.value).replace("SourceHTTP", "HTTP"))
            texts.append((type(raised.value), text))
        assert texts[0] == texts[1]


def answer_with(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: infos)


@linux_only
def test_a_refused_address_is_followed_by_the_next(
    make_session: MakeSession, server: RecordingServer, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, ("127.0.0.1", closed_port), ("127.0.0.1", server.port))
    assert make_session("127.0.0.5").get("http://two.test/").source_address == "127.0.0.5"


def test_a_source_that_cannot_be_bound_is_not_tried_again(
    make_session: MakeSession, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, ("127.0.0.1", closed_port), ("127.0.0.2", closed_port))
    made = []

    def counted(sock: socket.socket, address: str, freebind: bool) -> None:
        made.append(address)
        bind_source(sock, address)

    monkeypatch.setattr(dial, "bind_source", counted)
    assert isinstance(failure(make_session("203.0.113.7"), "http://two.test/"), SourceNotLocal)
    assert made == ["203.0.113.7"]


def test_the_own_sides_fault_is_not_hidden_by_a_later_refusal(
    make_session: MakeSession, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, ("127.0.0.1", 1), ("127.0.0.1", closed_port))
    original = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if address[1] == 1:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        original(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert isinstance(failure(make_session("127.0.0.1"), "http://two.test/"), SourcePortsExhausted)


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_too_many_open_files_are_a_fault_of_the_own_side(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    import resource

    session = make_session()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as last:
        lowest_free = last.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        reason = failure(session, server.url())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert isinstance(reason, OpenFilesExhausted)
    assert (samples[0].outcome, samples[0].fault) == ("fault", "files-exhausted")


def test_a_label_that_is_too_long_is_an_error_as_in_urllib3() -> None:
    with pytest.raises(urllib3.exceptions.LocationParseError, match="label empty or too long"):
        SourceHTTPConnection("x" * 70 + ".test", binding=Binding()).connect()


def test_socket_options_are_kept(make_session: MakeSession, server: RecordingServer) -> None:
    conn = SourceHTTPConnection("127.0.0.1", server.port, binding=Binding(("127.0.0.1",)))
    conn.connect()
    assert conn.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    conn.close()


# --- shared by the fast path and requests --------------------------------------------------------------------------

SLOW: Reply = (Pause(0.15), reply(b"slow"))
FAST: dict[str, Any] = {}
STOCK_PATHS: dict[str, dict[str, Any]] = {
    "stream": {"stream": True},
    "hooks": {"hooks": {"response": lambda response, **kwargs: None}},
    "cookies": {"cookies": {"a": "b"}},
}


@pytest.mark.parametrize("is_fast_first", [False, True], ids=["requests first", "fast path first"])
@pytest.mark.parametrize(
    ("is_tls", "stock_path", "later"),
    [(False, "stream", None), (False, "hooks", 5), (False, "cookies", None), (True, "stream", 5)],
)
def test_a_timeout_of_one_way_does_not_hold_on_the_other(
    make_session: MakeSession,
    certificates: Certificates,
    is_tls: bool,
    is_fast_first: bool,
    stock_path: str,
    later: float | None,
) -> None:
    ways = [FAST, STOCK_PATHS[stock_path]]
    first, second = ways if is_fast_first else reversed(ways)
    context = certificates.server_context() if is_tls else None
    with ScriptedServer([OK, OK, SLOW, SLOW, OK, (Do.STALL,)], tls=context) as server:
        session = make_session()
        session.verify = certificates.ca
        for keywords, timeout in ((first, 0.1), (second, 0.1), (first, later), (second, later), (first, 0.1)):
            with session.get(server.url(), timeout=timeout, **keywords) as response:
                assert response.content in (b"ok", b"slow")
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.get(server.url(), timeout=0.1, **second)
        server.settle()
        assert server.connections == 1


def test_a_timeout_for_connecting_is_not_one_for_reading(make_session: MakeSession) -> None:
    with ScriptedServer([SLOW, SLOW]) as server:
        session = make_session()
        for _ in range(2):
            assert session.get(server.url(), timeout=(0.05, 5)).content == b"slow"


@pytest.fixture
def open_connection(server: RecordingServer) -> Any:
    conn = SourceHTTPConnection("127.0.0.1", server.port, binding=Binding())
    yield conn
    conn.close()


def test_an_open_connection_has_a_wire(open_connection: SourceHTTPConnection) -> None:
    wire = open_connection.open_fast_socket(3)
    assert (open_connection.wire, open_connection.timeout) == (wire, 3)
    assert open_connection.local_address == "127.0.0.1"
    assert open_connection.fit_wire() is wire
    open_connection.close()
    assert open_connection.wire is None
    assert open_connection.fit_wire() is None


def test_a_connection_that_requests_opened_gets_its_wire_later(open_connection: SourceHTTPConnection) -> None:
    open_connection.connect()
    assert open_connection.wire is None
    wire = open_connection.fit_wire()
    assert wire is not None
    assert open_connection.fit_wire() is wire


def test_data_that_nobody_asked_for_make_a_connection_unfit(make_session: MakeSession) -> None:
    with ScriptedServer([(reply(b"ok"), Do.HOLD, b"x", Do.STALL)]) as server:
        conn = SourceHTTPConnection("127.0.0.1", server.port, binding=Binding())
        wire = conn.open_fast_socket(5)
        wire.set_timeout(5)
        wire.send(b"GET / HTTP/1.1\r\n\r\n")
        assert wire.receive().endswith(b"ok")
        assert conn.fit_wire() is wire
        server.release()
        conn.sock.recv(1, socket.MSG_PEEK)
        assert conn.fit_wire() is None
        assert conn.sock is None


def test_a_refusal_is_raised_once_in_the_place_of_connecting(open_connection: SourceHTTPConnection) -> None:
    refusal = open_connection.refusal = ssl.SSLError("no")
    with pytest.raises(ssl.SSLError) as raised:
        open_connection.connect()
    assert raised.value is refusal
    open_connection.connect()
    assert open_connection.is_connected


def test_a_replayed_exchange_gives_the_real_socket_back(open_connection: SourceHTTPConnection) -> None:
    open_connection.connect()
    real = open_connection.sock
    open_connection.replay(ReplaySocket(reply(b"hello")))
    assert open_connection.is_connected
    open_connection.request("GET", "/", preload_content=False)
    assert isinstance(open_connection.sock, ReplaySocket)
    response = open_connection.getresponse()
    assert open_connection.sock is real
    assert response.read() == b"hello"


def test_a_replayed_reply_that_closes_closes_the_real_socket(open_connection: SourceHTTPConnection) -> None:
    open_connection.connect()
    real = open_connection.sock
    open_connection.replay(ReplaySocket(reply(b"hello", "Connection: close")))
    open_connection.request("GET", "/", preload_content=False)
    response = open_connection.getresponse()
    assert open_connection.sock is None
    assert response.read() == b"hello"
    response.close()
    assert real.fileno() == -1


def test_a_replayed_error_leaves_the_real_socket(open_connection: SourceHTTPConnection) -> None:
    open_connection.connect()
    real = open_connection.sock
    open_connection.replay(ReplaySocket(b"HTTP/1.1", error=TimeoutError("timed out")))
    open_connection.request("GET", "/", preload_content=False)
    with pytest.raises(TimeoutError):
        open_connection.getresponse()
    assert open_connection.sock is real


# --- pools ---------------------------------------------------------------------------------------------------------


def test_idle_connections_are_a_stack_with_bounds() -> None:
    idle = IdleConnections(maxsize=2)
    conns = [SourceHTTPConnection("a.test", binding=Binding()) for _ in range(3)]
    idle.put(conns[0])
    idle.put(None)
    assert idle.qsize() == 2
    with pytest.raises(queue.Full):
        idle.put(conns[1])
    assert (idle.get(), idle.get()) == (None, conns[0])
    with pytest.raises(queue.Empty):
        idle.get(block=False)
    with pytest.raises(IndexError):
        idle.take()
    idle.give(conns[2])
    assert idle.take() is conns[2]


def test_a_connection_that_was_handed_over_is_got_first_and_once() -> None:
    binding = Binding()
    pool = SourceHTTPConnectionPool("a.test", binding=binding)
    conn = SourceHTTPConnection("a.test", binding=binding)
    binding.thread.fall_back = Fallback(Hop(), conn=conn)
    assert pool._get_conn() is conn
    assert pool._get_conn() is not conn
    pool.close()


def test_a_pool_that_is_closed_leaves_what_was_handed_over_alone(open_connection: SourceHTTPConnection) -> None:
    open_connection.connect()
    binding = open_connection.binding
    binding.thread.fall_back = Fallback(Hop(), conn=open_connection)
    SourceHTTPConnectionPool("other.test", binding=binding).close()
    assert open_connection.sock is not None
    assert binding.thread.take_connection() is open_connection


def test_what_was_handed_over_and_nobody_took_is_closed(open_connection: SourceHTTPConnection) -> None:
    thread = ThreadState()
    open_connection.connect()
    thread.fall_back = Fallback(Hop(), conn=open_connection)
    thread.drop_hand_over()
    assert not open_connection.is_connected
    assert thread.take_connection() is None
    thread.drop_hand_over()


def test_a_pool_has_idle_connections_unless_it_blocks_or_is_closed() -> None:
    pool = SourceHTTPConnectionPool("a.test", binding=Binding())
    assert isinstance(pool.pool, IdleConnections)
    pool.close()
    assert pool.pool is None
    blocking = SourceHTTPConnectionPool("a.test", binding=Binding(), block=True)
    assert not isinstance(blocking.pool, IdleConnections)
    blocking.close()


def test_a_pool_takes_back_no_more_than_it_keeps(server: RecordingServer) -> None:
    pool = SourceHTTPConnectionPool("127.0.0.1", server.port, maxsize=1, binding=Binding())
    conns = [pool.new_connection() for _ in range(2)]
    idle = pool.pool
    assert isinstance(idle, IdleConnections)
    idle.take()
    for conn in conns:
        pool.open(conn, 5)
        pool.give(conn)
    assert (conns[0].sock is None, conns[1].sock is None) == (False, True)
    pool.close()
    assert conns[0].sock is None


def test_urllib3_still_has_the_private_methods_that_pools_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, urllib3 makes, checks or takes back connections in another way."""
    for name in ("_new_conn", "_validate_conn", "_put_conn"):
        assert callable(getattr(urllib3.HTTPConnectionPool, name))
    pool = SourceHTTPConnectionPool("127.0.0.1", 1, binding=Binding())
    monkeypatch.setattr(Pool, "_get_conn", lambda self, timeout=None: (_ for _ in ()).throw(LookupError("called")))
    with pytest.raises(LookupError, match="called"):
        pool.urlopen("GET", "/")
    pool.close()


def test_a_certificate_that_is_not_verified_is_warned_of(make_session: MakeSession, certificates: Certificates) -> None:
    with ScriptedServer(tls=certificates.server_context()) as server:
        session = make_session()
        session.verify = False
        with pytest.warns(urllib3.exceptions.InsecureRequestWarning, match="Unverified HTTPS request"):
            session.get(server.url())
