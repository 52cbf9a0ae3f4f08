"""A user's sockets: where they leave from, where they may go, how they end, and that they are counted."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from socketserver import StreamRequestHandler

import pytest
import urllib3
from support.certificates import Certificates
from support.http_server import RecordingServer
from support.peers import PeerServer
from support.visitor import Visitor

from pytest_ipload.base.errors import TargetNotAllowed
from pytest_ipload.transport.connect import destinations
from pytest_ipload.transport.connect.binding import OpenedConnections
from pytest_ipload.transport.generator_errors import (
    LoadEnded,
    SourceFamilyMismatch,
    SourceNotLocal,
    SourceNotUsable,
)
from pytest_ipload.transport.session import LoadSession

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")

OWN = "127.0.0.77"


@pytest.fixture
def server() -> Iterator[PeerServer]:
    with PeerServer() as running:
        yield running


@pytest.fixture
def server6() -> Iterator[PeerServer]:
    with PeerServer(host="::1") as running:
        yield running


@pytest.fixture
def echo() -> Iterator[PeerServer]:
    with PeerServer(datagrams=True) as running:
        yield running


def told(sock: socket.socket) -> str:
    """The address that the server at the other end sees."""
    sock.settimeout(10)
    sock.sendall(b"\n")
    return sock.recv(100).decode().strip()


class TestSources:
    def test_a_socket_leaves_from_the_users_address_however_it_connects(self, server: PeerServer) -> None:
        def plain() -> str:
            with socket.socket() as sock:
                sock.connect(server.address)
                return told(sock)

        def with_code() -> str:
            with socket.socket() as sock:
                assert sock.connect_ex(server.address) == 0
                return told(sock)

        def without_blocking() -> str:
            with socket.socket() as sock:
                sock.setblocking(False)
                assert sock.connect_ex(server.address) in (0, errno.EINPROGRESS)
                return told(sock)

        def by_name() -> str:
            with socket.socket() as sock:
                sock.connect(("localhost", server.port))
                return told(sock)

        def bound_to_nothing() -> str:
            with socket.create_connection(server.address, 10, source_address=("", 0)) as sock:
                return told(sock)

        def that_shows_its_port() -> str:
            with socket.socket() as sock:
                sock.bind(("", 0))
                own = sock.getsockname()
                sock.connect(server.address)
                assert sock.getsockname() == own
                return told(sock)

        ways = (plain, with_code, without_blocking, by_name, bound_to_nothing, that_shows_its_port)
        visitor = Visitor(OWN)
        assert visitor.run(lambda: [way() for way in ways]) == [OWN] * len(ways)
        assert visitor.opened == {OWN: len(ways)}
        assert visitor.targets.all() == [server.address]

    def test_a_client_that_binds_to_an_address_means_it(self, server: PeerServer, server6: PeerServer) -> None:
        def visit() -> str:
            with pytest.raises(SourceFamilyMismatch):
                socket.create_connection(server6.address, 10, source_address=("::1", 0))
            with socket.create_connection(server.address, 10, source_address=("127.0.0.9", 0)) as sock:
                return told(sock)

        visitor = Visitor(OWN)
        assert visitor.run(visit) == "127.0.0.9"
        assert visitor.opened == {"127.0.0.9": 1}

    def test_one_that_can_neither_stay_where_it_is_nor_leave_is_refused(self, server: PeerServer) -> None:
        def visit() -> None:
            with socket.socket() as sock:
                with socket.create_server(("", 0)) as probe:
                    port = probe.getsockname()[1]
                sock.bind(("", port))  # as a server does
                with pytest.raises(
                    SourceNotUsable, match=rf"bound to 0\.0\.0\.0:{port}, so it cannot leave from .*{OWN}"
                ):
                    sock.connect(server.address)

        Visitor(OWN).run(visit)

    def test_servers_in_a_users_thread_listen_where_they_want(self) -> None:
        def visit() -> list[str]:
            with socket.socket() as probe:
                probe.bind(("", 0))
                assert probe.getsockname()[1] > 0
            with socket.socket() as late:
                late.bind(("", 0))
                late.listen()
                ports = [late.getsockname()[1]]
                with socket.create_server(("", 0)) as listener:
                    ports.append(listener.getsockname()[1])
                    for port in ports:
                        socket.create_connection(("127.0.0.1", port), 10).close()
                    with closing(listener.accept()[0]) as accepted:
                        return [listener.getsockname()[0], accepted.getpeername()[0]]

        assert Visitor(OWN).run(visit) == ["0.0.0.0", OWN]

    def test_the_family_is_that_of_the_destination(self, server: PeerServer, server6: PeerServer) -> None:
        def visit() -> list[str]:
            seen = []
            for address in (server.address, server6.address):
                with socket.create_connection(address, 10) as sock:
                    seen.append(told(sock))
            for mapped in ("::ffff:127.0.0.1", "::FFFF:7f00:1", "0:0:0:0:0:ffff:127.0.0.1"):
                with socket.socket(socket.AF_INET6) as dual:
                    dual.connect((mapped, server.port))
                    seen.append(told(dual))
            return seen

        visitor = Visitor("::1", OWN)
        assert visitor.run(visit) == [OWN, "::1", OWN, OWN, OWN]
        assert visitor.opened == {OWN: 4, "::1": 1}
        assert visitor.targets.all() == [server.address, server6.address[:2]]

    def test_a_user_without_an_address_of_the_family_has_the_sessions_error(self, server6: PeerServer) -> None:
        with pytest.raises(SourceFamilyMismatch) as of_session:
            LoadSession(OWN).create_connection(server6.address)

        def visit() -> list[str]:
            texts = []
            with pytest.raises(SourceFamilyMismatch) as looked_up:
                socket.create_connection(server6.address)
            texts.append(looked_up.value.message)
            with pytest.raises(SourceFamilyMismatch) as connected, socket.socket(socket.AF_INET6) as sock:
                sock.connect(server6.address)
            return [*texts, connected.value.message]

        assert Visitor(OWN).run(visit) == [of_session.value.message] * 2

    def test_a_name_leads_to_addresses_of_the_users_family(self, monkeypatch: pytest.MonkeyPatch) -> None:
        both = [
            (family, socket.SOCK_STREAM, 6, "", (host, 80))
            for family, host in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args: both)
        assert Visitor(OWN).run(lambda: socket.getaddrinfo("localhost", 80)) == both[1:]
        assert Visitor("::1").run(lambda: socket.getaddrinfo("localhost", 80)) == both[:1]
        assert Visitor().run(lambda: socket.getaddrinfo("localhost", 80)) == both
        assert Visitor(OWN).run(lambda: socket.getaddrinfo("localhost", None)) == both
        assert Visitor(OWN).run(lambda: socket.getaddrinfo("x.test", 80, flags=socket.AI_PASSIVE)) == both  # a server's

    def test_faults_of_the_own_side_are_those_of_the_session_and_of_the_target_its_own(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # it does not listen
            target = taken.getsockname()

            def connect() -> None:
                socket.create_connection(target, 10).close()

            def show_port() -> None:
                with socket.socket() as sock:
                    sock.bind(("", 0))
                    sock.getsockname()

            for function in (connect, show_port):
                with pytest.raises(SourceNotLocal, match=r"203\.0\.113\.7 is not an address of this host"):
                    Visitor("203.0.113.7").run(function)
            for visitor in (Visitor(OWN), Visitor()):
                with pytest.raises(ConnectionRefusedError):
                    visitor.run(connect)
                assert visitor.opened == {}

    def test_no_ports_are_taken_before_the_target_is_known(self, server: PeerServer) -> None:
        def visit() -> int:
            with socket.socket() as sock:
                sock.connect(server.address)
                return sock.getsockopt(socket.IPPROTO_IP, 24)  # IP_BIND_ADDRESS_NO_PORT

        assert Visitor(OWN).run(visit) == 1

    def test_new_sockets_leave_from_the_lease_of_the_moment(self, server: PeerServer) -> None:
        visitor = Visitor(OWN)

        def visit() -> list[str]:
            with socket.create_connection(server.address, 10) as first:
                visitor.sockets.rebind(("127.0.0.78",))
                with socket.create_connection(server.address, 10) as second:
                    return [told(first), told(second)]

        assert visitor.run(visit) == [OWN, "127.0.0.78"]

    def test_without_addresses_the_system_chooses_and_all_is_checked_and_counted(self, server: PeerServer) -> None:
        def visit() -> str:
            with pytest.raises(TargetNotAllowed):
                socket.create_connection(("203.0.113.9", 80))
            with socket.create_connection(server.address, 10, source_address=("", 0)) as sock:
                return told(sock)

        visitor = Visitor()
        assert visitor.run(visit) == "127.0.0.1"
        assert visitor.opened == {"127.0.0.1": 1}

    def test_a_session_that_a_test_makes_itself_is_a_client_like_any_other(self, server: PeerServer) -> None:
        def visit() -> list[str]:
            seen = []
            for session in (LoadSession(), LoadSession("127.0.0.9")):
                with RecordingServer() as web, session:
                    session.get(web.url("/")).raise_for_status()
                    seen.append(web.connections[0][0])
                with session.create_connection(server.address) as sock:
                    seen.append(told(sock))
            with pytest.raises(TargetNotAllowed):
                LoadSession().create_connection(("203.0.113.9", 80))
            return seen

        visitor = Visitor(OWN)
        assert visitor.run(visit) == [OWN, OWN, "127.0.0.9", "127.0.0.9"]
        assert visitor.opened == {OWN: 2, "127.0.0.9": 2}

    @pytest.mark.parametrize("connecting_is_hooked", [False, True])
    def test_the_sessions_own_sockets_pass_by(
        self, server: PeerServer, monkeypatch: pytest.MonkeyPatch, connecting_is_hooked: bool
    ) -> None:
        visitor, session = Visitor(OWN), LoadSession("127.0.0.9")
        session.binding.opened = OpenedConnections()  # so it is a user's
        if connecting_is_hooked:
            stock = urllib3.util.connection.create_connection
            monkeypatch.setattr(urllib3.util.connection, "create_connection", lambda *args, **kw: stock(*args, **kw))

        def visit() -> str:
            with RecordingServer() as web, session:
                session.get(web.url("/")).raise_for_status()
                assert [peer for peer, _ in web.connections] == ["127.0.0.9"]
            with session.create_datagram_socket() as sock:
                sock.sendto(b"?", server.address)
                assert sock.getsockname()[0] == "127.0.0.9"
            with session.create_connection(server.address) as sock:
                return told(sock)

        assert visitor.run(visit) == "127.0.0.9"
        assert visitor.opened == {}
        assert visitor.targets.all() == []
        assert session.binding.opened.by_source() == {"127.0.0.9": 2}


class TestDatagrams:
    def test_they_leave_from_the_users_address(self, echo: PeerServer) -> None:
        def sent() -> object:
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                sock.settimeout(10)
                sock.sendto(b"?", echo.address)
                sock.sendto(b"?", 0, ("localhost", echo.port))
                assert sock.recv(100) == sock.recv(100)
                return sock.getsockname()[0]

        def as_message() -> str:
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                sock.settimeout(10)
                sock.sendmsg([b"?"], [], 0, echo.address)
                return sock.recv(100).decode()

        def connected() -> str:
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                sock.settimeout(10)
                sock.connect(echo.address)
                sock.send(b"?")
                return sock.recv(100).decode()

        def bound_to_nothing() -> str:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.settimeout(10)
                sock.bind(("::", 0))
                assert sock.getsockname()[1] > 0
                sock.sendto(b"?", ("::ffff:127.0.0.1", echo.port))
                return sock.recv(100).decode()

        visitor = Visitor(OWN)
        ways = (sent, as_message, connected, bound_to_nothing)
        assert visitor.run(lambda: [way() for way in ways]) == [OWN] * len(ways)
        assert set(echo.peers) == {OWN}
        assert visitor.opened == {OWN: len(ways)}

    def test_one_that_is_bound_to_a_port_of_all_addresses_has_it_at_the_users(self) -> None:
        def visit() -> object:
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                sock.bind(("0.0.0.0", port))
                return sock.getsockname()

        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.9", 0))
            port = sock.getsockname()[1]
            assert Visitor(OWN).run(visit) == (OWN, port)

    def test_they_go_to_allowed_hosts_only(self) -> None:
        def visit() -> None:
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                with pytest.raises(TargetNotAllowed, match=r"'203\.0\.113\.9' is not in ipload_allowed_hosts"):
                    sock.sendto(b"?", ("203.0.113.9", 53))
                with pytest.raises(TargetNotAllowed):
                    sock.sendmsg([b"?"], [], 0, ("203.0.113.9", 53))
                with pytest.raises(TargetNotAllowed):
                    sock.connect(("203.0.113.9", 53))
                assert sock.fileno() >= 0

        Visitor(OWN).run(visit)

    def test_a_socket_that_others_have_used_stays_where_it_is(self, echo: PeerServer) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as shared:
            shared.settimeout(10)
            shared.sendto(b"?", echo.address)
            shared.recv(100)
            Visitor(OWN).run(lambda: shared.sendto(b"?", echo.address))
            assert shared.recv(100) == b"127.0.0.1"


class TestAllowedHosts:
    @pytest.mark.parametrize(
        "host", ["203.0.113.9", "shop.example.com", b"shop.example.com", "2001:db8::9", "<broadcast>"]
    )
    def test_a_refused_host_is_the_sessions_error_and_nothing_is_sent(self, host: str | bytes) -> None:
        def visit() -> None:
            with socket.socket(socket.AF_INET6 if host == "2001:db8::9" else socket.AF_INET) as sock:
                sock.settimeout(5)
                for connect in (sock.connect, sock.connect_ex):
                    with pytest.raises(TargetNotAllowed, match="is not in ipload_allowed_hosts; load was not sent"):
                        connect((host, 80))
                assert sock.fileno() == -1  # closed: a client that does not expect this error may not do it

        Visitor().run(visit)

    def test_a_name_is_refused_before_it_is_looked_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args: pytest.fail("it was looked up"))
        with pytest.raises(TargetNotAllowed, match=r"'shop\.example\.com' is not in ipload_allowed_hosts"):
            Visitor().run(lambda: socket.create_connection(("shop.example.com", 80)))

    def test_an_address_is_allowed_by_a_name_that_led_there(
        self, monkeypatch: pytest.MonkeyPatch, server: PeerServer
    ) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.9", 80))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args: found)
        monkeypatch.setattr(socket.socket, "connect", lambda sock, address: None)

        def visit() -> None:
            with pytest.raises(TargetNotAllowed, match=r"'203\.0\.113\.9' is not in ipload_allowed_hosts"):
                socket.socket().connect(("203.0.113.9", 80))
            socket.create_connection(("shop.example.com", 80)).close()
            with socket.socket() as sock:
                sock.connect(("203.0.113.9", 80))

        Visitor(allowed=["shop.example.com"]).run(visit)

    @pytest.mark.parametrize("name", ["shop.localhost", "shop.example.com"])
    def test_a_name_that_leads_to_a_metadata_service_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args: found)
        monkeypatch.setattr(socket, "gethostbyname", lambda name: "169.254.169.254")

        def visit() -> None:
            for connect in (
                lambda: socket.create_connection((name, 80)),
                lambda: socket.socket().connect((name, 80)),
                lambda: socket.socket().connect((socket.gethostbyname(name), 80)),
            ):
                with pytest.raises(TargetNotAllowed, match="metadata service"):
                    connect()

        Visitor(allowed=["shop.example.com"]).run(visit)

    def test_what_is_remembered_does_not_grow_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(destinations, "_MOST_REMEMBERED", 2)
        known = destinations.Destinations(Visitor(allowed=["*.example.com"]).sockets._guard)
        for number in range(5):
            known.note(f"{number}.example.com", [f"203.0.113.{number}"])
            with socket.socket() as sock:
                known.allowed(sock, (f"203.0.113.{number}", 80))
        assert len(known._names) <= 2
        assert len(known._admitted) <= 2

    def test_sockets_of_other_families_are_not_those_of_hosts(self, tmp_path: Path) -> None:
        path = os.path.relpath(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()

            def visit() -> None:
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(path)

            visitor = Visitor(OWN)
            visitor.run(visit)
            assert visitor.opened == {}

    def test_what_is_no_address_is_an_error_of_pythons_own(self) -> None:
        def visit() -> None:
            with socket.socket() as sock:
                for nonsense in (("127.0.0.1",), "127.0.0.1", (1, 2), None):
                    with pytest.raises(TypeError):
                        sock.connect(nonsense)  # type: ignore[arg-type]

        Visitor(OWN).run(visit)


Ready = Callable[[], object]


def wait_for_accept(server: PeerServer, ready: Ready) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ready()
        listener.accept()


def wait_for_datagram(server: PeerServer, ready: Ready) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(server.address)
        ready()
        sock.recv(100)


def wait_for_data(server: PeerServer, ready: Ready) -> None:
    with socket.create_connection(server.address) as sock:
        ready()
        sock.recv(100)


class TestInterruption:
    @pytest.mark.parametrize("wait", [wait_for_accept, wait_for_datagram, wait_for_data])
    def test_what_blocks_ends_and_no_new_sockets_connect_until_the_teardown(
        self, server: PeerServer, wait: Callable[[PeerServer, Ready], None]
    ) -> None:
        visitor, ready, ended = Visitor(OWN), threading.Event(), threading.Event()

        def visit() -> str:
            with suppress(OSError):
                wait(server, ready.set)
            ended.set()
            with pytest.raises(LoadEnded):
                socket.create_connection(server.address, 10)
            visitor.sockets.resume()
            with socket.create_connection(server.address, 10) as sock:
                return told(sock)

        running = visitor.start(visit)
        assert ready.wait(10)
        for _ in range(1000):
            visitor.sockets.interrupt()
            if ended.wait(0.01):
                break
        assert running.result(10) == OWN

    def test_one_that_waits_under_tls_ends(self, tmp_path: Path) -> None:
        certificates = Certificates(tmp_path)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificates.server_files("localhost"))
        shaken = threading.Event()
        visitor = Visitor(OWN)

        def answer(handler: StreamRequestHandler) -> None:
            with context.wrap_socket(handler.request, server_side=True) as sock:
                sock.recv(1)

        def visit() -> None:
            trust = ssl.create_default_context()
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
            with socket.create_connection(secured.address) as sock, trust.wrap_socket(sock) as secure:
                shaken.set()
                with suppress(OSError):  # the server's end of it may be a reset
                    assert secure.recv(1) == b""

        with PeerServer(answer) as secured:
            running = visitor.start(visit)
            assert shaken.wait(10)
            visitor.sockets.interrupt()
            running.result(10)
        assert secured.peers == [OWN]

    @pytest.mark.parametrize("has_opened_some", [True, False])
    def test_who_has_left_opens_nothing_more(self, server: PeerServer, has_opened_some: bool) -> None:
        gone, errors = threading.Event(), []

        def later() -> None:
            assert gone.wait(10)
            with pytest.raises(LoadEnded):
                socket.create_connection(server.address, 10)
            errors.append("refused")

        thread: list[threading.Thread] = []

        def visit() -> None:
            if has_opened_some:
                socket.create_connection(server.address, 10).close()
            thread.append(threading.Thread(target=later))
            thread[0].start()

        there, rest = threading.Event(), threading.Event()

        def stay() -> None:
            there.set()
            assert rest.wait(10)

        other = Visitor("127.0.0.78").start(stay)
        assert there.wait(10)
        Visitor(OWN).run(visit)
        gone.set()
        thread[0].join(10)
        rest.set()
        other.result()
        assert errors == ["refused"]

    def test_what_blocks_in_a_thread_that_a_user_has_left_running_ends(self, server: PeerServer) -> None:
        blocked, errors = threading.Event(), []

        def wait() -> None:
            with suppress(OSError):
                wait_for_data(server, blocked.set)
            try:
                socket.create_connection(server.address, 10)
            except LoadEnded as error:
                errors.append(error)

        def visit() -> threading.Thread:
            thread = threading.Thread(target=wait, daemon=True)
            thread.start()
            assert blocked.wait(10)
            return thread

        thread = Visitor(OWN).run(visit)
        thread.join(10)
        assert len(errors) == 1

    def test_a_connection_that_a_user_leaves_to_others_stays_open(self, server: PeerServer) -> None:
        with Visitor(OWN).run(lambda: socket.create_connection(server.address, 10)) as shared:
            assert told(shared) == OWN
