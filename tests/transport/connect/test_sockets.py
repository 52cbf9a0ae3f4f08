"""Plain sockets of a session: bound, guarded, interruptible."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from support.http_server import RecordingServer

from pytest_ipload.base.errors import SettingError, TargetNotAllowed
from pytest_ipload.transport.generator_errors import LoadEnded, SourceFamilyMismatch, SourceNotLocal
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")


@pytest.fixture(params=["127.0.0.1", "::1"])
def datagrams(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A UDP server socket."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((request.param, 0))
        sock.settimeout(5)
        yield sock


def own_address(server: socket.socket) -> str:
    return "::1" if server.family == socket.AF_INET6 else "127.0.0.5"


def test_a_stream_leaves_from_the_source_address(make_session: MakeSession, server: RecordingServer) -> None:
    session = make_session("127.0.0.5")
    with session.create_connection(("127.0.0.1", server.port)) as sock:
        assert sock.getsockname()[0] == "127.0.0.5"
        assert sock.gettimeout() == session.timeout
    with session.create_connection(("127.0.0.1", server.port), timeout=2) as sock:
        assert sock.gettimeout() == 2


def test_without_a_source_the_system_chooses(make_session: MakeSession, server: RecordingServer) -> None:
    with make_session().create_connection(("127.0.0.1", server.port)) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"


def test_errors_are_those_of_sockets_but_for_the_own_sides_faults(make_session: MakeSession) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        target = taken.getsockname()
        with pytest.raises(ConnectionRefusedError):
            make_session("127.0.0.5").create_connection(target)
        with pytest.raises(SourceNotLocal, match=r"203\.0\.113\.7 is not an address of this host"):
            make_session("203.0.113.7").create_connection(target)
    with pytest.raises(SourceFamilyMismatch):
        make_session("127.0.0.5").create_connection(("::1", 9))
    with pytest.raises(socket.gaierror):
        make_session().create_connection(("no-such-host.invalid", 9))


def test_a_stream_that_gets_no_answer_times_out(make_session: MakeSession, full_listener: int) -> None:
    with pytest.raises(TimeoutError):
        make_session("127.0.0.1").create_connection(("127.0.0.1", full_listener), timeout=0.2)


def test_a_datagram_leaves_from_the_source_address(make_session: MakeSession, datagrams: socket.socket) -> None:
    session = make_session(own_address(datagrams))
    with session.create_datagram_socket() as sock:
        sock.sendto(b"ping", datagrams.getsockname()[:2])
        data, peer = datagrams.recvfrom(100)
        assert (data, peer[0]) == (b"ping", own_address(datagrams))
        datagrams.sendto(b"pong", peer)
        sock.settimeout(5)
        assert sock.recv(100) == b"pong"


def test_a_datagram_to_a_local_name_that_leads_elsewhere_is_refused(
    make_session: MakeSession, datagrams: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = 6 if datagrams.family == socket.AF_INET6 else 4
    found = {
        "good.localhost": datagrams.getsockname()[0],
        "bad.localhost": "2001:db8::9" if version == 6 else "203.0.113.9",
    }
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **kwargs: resolve(found.get(host, host), *rest, **kwargs)
    )
    port = datagrams.getsockname()[1]
    with make_session(allowed_hosts=[]).create_datagram_socket(version) as sock:
        for send in (
            sock.connect,
            sock.connect_ex,
            lambda address: sock.sendto(b"x", address),
            lambda address: sock.sendto(b"x", 0, address),
            lambda address: sock.sendmsg([b"x"], [], 0, address),
        ):
            with pytest.raises(TargetNotAllowed, match="resolves to"):
                send(("bad.localhost", port))
        sock.sendto(b"ping", ("good.localhost", port))
        assert datagrams.recvfrom(100)[0] == b"ping"


def test_the_family_of_a_datagram_socket_can_be_chosen(make_session: MakeSession) -> None:
    session = make_session(["127.0.0.5", "::1"])
    for family, address in ((4, "127.0.0.5"), (6, "::1"), (None, "127.0.0.5")):
        with session.create_datagram_socket(family) as sock:
            assert sock.getsockname()[0] == address
    with pytest.raises(SettingError, match=r"no IPv6 source address, only 127\.0\.0\.5"):
        make_session("127.0.0.5").create_datagram_socket(6)
    with pytest.raises(SettingError, match="4, 6 or None"):
        make_session().create_datagram_socket(socket.AF_INET6)


def test_an_address_that_is_not_local_cannot_be_bound_by_a_datagram_socket_either(make_session: MakeSession) -> None:
    with pytest.raises(SourceNotLocal, match=r"ip addr add 203\.0\.113\.7/32"):
        make_session("203.0.113.7").create_datagram_socket()


def test_only_allowed_hosts_are_sent_anything(make_session: MakeSession) -> None:
    session = make_session(allowed_hosts=[])
    with pytest.raises(TargetNotAllowed, match=r"--ipload-allow-host 203\.0\.113\.1"):
        session.create_connection(("203.0.113.1", 9))
    with session.create_datagram_socket() as sock:
        for send in (
            lambda: sock.sendto(b"", ("203.0.113.1", 9)),
            lambda: sock.sendto(b"", 0, ("203.0.113.1", 9)),
            lambda: sock.sendmsg([b""], [], 0, ("203.0.113.1", 9)),
            lambda: sock.connect(("203.0.113.1", 9)),
            lambda: sock.connect_ex(("203.0.113.1", 9)),
        ):
            with pytest.raises(TargetNotAllowed):
                send()


def test_an_interruption_ends_what_blocks_on_a_socket(make_session: MakeSession, server: RecordingServer) -> None:
    session = make_session("127.0.0.5")
    ended = threading.Event()
    with session.create_connection(("127.0.0.1", server.port), timeout=None) as sock:

        def wait() -> None:
            sock.recv(1)
            ended.set()

        thread = threading.Thread(target=wait)
        thread.start()
        session.interrupt()
        thread.join(5)
        assert ended.is_set()
    with pytest.raises(LoadEnded):
        session.create_connection(("127.0.0.1", server.port))
    with pytest.raises(LoadEnded):
        session.create_datagram_socket()


def test_rotation_keeps_a_connection_for_each_source(make_session: MakeSession, server: RecordingServer) -> None:
    addresses = [f"127.0.0.{number}" for number in range(11, 19)]
    session = make_session(addresses[0])
    for number in range(200):
        session.rebind(addresses[number % 8])
        assert session.get(server.url("/")).source_address == addresses[number % 8]
    assert len(server.connections) == 8
    assert [server.peers.count(address) for address in addresses] == [25] * 8


def test_the_call_before_each_call_may_rebind_and_a_redirect_stays_with_its_call(
    make_session: MakeSession, server: RecordingServer
) -> None:
    addresses = iter(["127.0.0.21", "127.0.0.22", "127.0.0.23"])
    session: LoadSession = make_session("127.0.0.20", before_call=lambda: session.rebind(next(addresses)))
    assert session.get(server.url("/redirect/1")).history
    session.get(server.url("/"))
    assert server.peers == ["127.0.0.21", "127.0.0.21", "127.0.0.22"]
