"""WebSockets over a session's own sockets, and their samples."""

from __future__ import annotations

import contextlib
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import pytest
from support.certificates import Certificates
from support.replies import reply
from support.scripted_server import Do, ScriptedServer
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.server import ServerConnection, serve

from conftest import require_package
from pytest_ipload.base.errors import SettingError, TargetNotAllowed
from pytest_ipload.stats.sample import FAILED, FAULT, OK, Sample
from pytest_ipload.transport.connect.shared_tls import SharedTlsSocket
from pytest_ipload.transport.generator_errors import LoadEnded, SourceNotLocal
from pytest_ipload.transport.path_log import FastPathLog
from pytest_ipload.transport.session import LoadSession
from pytest_ipload.transport.web_socket import WebSocketMissing

MakeSession = Callable[..., LoadSession]


def _first(ws: ServerConnection, offered: Any) -> Any:
    return offered[0] if offered else None


class EchoServer:
    """A WebSocket server that says everything in capitals, and notes who came with which headers."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        if tls is not None:
            tls.sslsocket_class = SharedTlsSocket  # it reads and writes at the same time, too
        self.peers: list[str] = []
        self.headers: list[Any] = []
        self._server = serve(self._play, "127.0.0.1", 0, ssl=tls, select_subprotocol=_first, ping_interval=None)
        self.port = self._server.socket.getsockname()[1]
        self._players: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> EchoServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        for thread in [self._thread, *self._players]:
            thread.join()

    def _play(self, ws: ServerConnection) -> None:
        self._players.append(threading.current_thread())
        self.peers.append(ws.remote_address[0])
        assert ws.request is not None
        self.headers.append(ws.request.headers)
        with contextlib.suppress(ConnectionClosedError):
            self._answer(ws)

    def _answer(self, ws: ServerConnection) -> None:
        for message in ws:
            if message == "bye":
                return
            if message == "break":
                ws.close(1011, "broken")
            if message != "silence":
                ws.send(message.upper())


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer() as running:
        yield running


@pytest.fixture
def echo_session(make_session: MakeSession, echo: EchoServer) -> LoadSession:
    return make_session("127.0.0.9", base_url=f"http://127.0.0.1:{echo.port}")


@contextlib.contextmanager
def no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert {thread for thread in threading.enumerate() if thread.is_alive()} <= before


def test_handshake_and_message_pairs_are_samples(
    echo_session: LoadSession, echo: EchoServer, samples: list[Sample]
) -> None:
    with echo_session.websocket("/chat?room=1") as ws:
        assert ws.request("hello") == "HELLO"
        ws.send(b"bytes")
        assert ws.recv() == b"BYTES"
        assert ws.request("x", name="ask") == "X"
        assert ws.source_address == "127.0.0.9"
    assert echo.peers == ["127.0.0.9"]
    found = [(sample.name, sample.outcome, sample.status, sample.connections) for sample in samples]
    assert found == [("WS /chat", OK, 101, 1), ("WS /chat message", OK, 0, 0), ("ask", OK, 0, 0)]
    assert {sample.source_address for sample in samples} == {"127.0.0.9"}
    assert 0 < (samples[0].connect_ns or 0) <= samples[0].latency_ns
    assert samples[0].opening_ns == (samples[0].connect_ns, 0)


def test_a_template_names_a_websocket_too(make_session: MakeSession, echo: EchoServer, samples: list[Sample]) -> None:
    session = make_session(base_url=f"http://127.0.0.1:{echo.port}", names=["/chat/{room}"])
    with session.websocket("/chat/17?a=b") as ws:
        ws.request("hello")
    assert [sample.name for sample in samples] == ["WS /chat/{room}", "WS /chat/{room} message"]


def test_it_is_open_in_its_block_only(echo_session: LoadSession, samples: list[Sample]) -> None:
    ws = echo_session.websocket("/chat")
    for use in (ws.close, ws.recv, lambda: ws.request("x"), lambda: ws.send("x"), lambda: ws.subprotocol):
        with pytest.raises(SettingError, match="a WebSocket is open within its block: 'with ipload_user"):
            use()
    assert samples == []


def test_an_unknown_keyword_is_an_error(echo_session: LoadSession, samples: list[Sample]) -> None:
    with (
        pytest.raises(SettingError, match=r"websocket\(\): unknown keyword 'timeouts' \(did you mean 'timeout'\?\)"),
        echo_session.websocket("/chat", timeouts=3),
    ):
        pass
    assert samples == []


@pytest.mark.parametrize(("http", "names"), [("1.1", ()), ("2", ("WS /chat",))])
def test_a_handshake_is_no_request_of_another_version_of_http(
    make_session: MakeSession, echo: EchoServer, http: str, names: tuple[str, ...]
) -> None:
    if http != "1.1":
        require_package("pycurl", "pip install 'pytest-ipload[http2]'")
    log = FastPathLog()
    session = make_session(base_url=f"http://127.0.0.1:{echo.port}", http=http, fast_path_log=log)
    with session.websocket("/chat") as ws:
        assert ws.request("hello") == "HELLO"
    assert log.foreign() == names


def test_headers_cookies_and_subprotocols(echo_session: LoadSession, echo: EchoServer) -> None:
    echo_session.headers["Authorization"] = "Bearer secret"
    echo_session.cookies.set("a", "b")
    with echo_session.websocket("/", headers={"X-Mine": "yes"}, subprotocols=["chat"], name="open") as ws:
        assert ws.subprotocol == "chat"
        assert ws.name == "open"
        assert ws.request("x") == "X"  # by then the server has noted the headers
    (headers,) = echo.headers
    wanted = ("Authorization", "Cookie", "X-Mine")
    assert [headers[name] for name in wanted] == ["Bearer secret", "a=b", "yes"]
    assert "Accept" not in headers


def test_tls_is_that_of_the_session(
    make_session: MakeSession, certificates: Certificates, samples: list[Sample]
) -> None:
    session = make_session("127.0.0.9")
    with EchoServer(certificates.server_context()) as echo:
        session.verify = certificates.ca
        with session.websocket(f"wss://127.0.0.1:{echo.port}/") as ws:
            assert ws.request("x") == "X"
        session.verify = certificates.other_ca
        with pytest.raises(ssl.SSLCertVerificationError), session.websocket(f"wss://127.0.0.1:{echo.port}/"):
            pass
        assert echo.peers == ["127.0.0.9"]
    assert [sample.outcome for sample in samples] == [OK, OK, FAILED]


def test_messages_come_until_the_server_closes(echo_session: LoadSession, samples: list[Sample]) -> None:
    with echo_session.websocket("/") as ws:
        for word in ("a", "b", "bye"):
            ws.send(word)
        assert list(ws) == ["A", "B"]
        with pytest.raises(ConnectionClosedOK):
            ws.recv()
    assert [sample.outcome for sample in samples] == [OK]


def test_no_answer_in_time(echo_session: LoadSession, samples: list[Sample]) -> None:
    with echo_session.websocket("/", timeout=5) as ws:
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.01)
        with pytest.raises(TimeoutError):
            ws.request("silence", timeout=0.01)
    assert [(sample.name, sample.outcome) for sample in samples] == [("WS /", OK), ("WS / message", FAILED)]


def test_a_connection_that_breaks_is_a_failed_sample(echo_session: LoadSession, samples: list[Sample]) -> None:
    with echo_session.websocket("/") as ws, pytest.raises(ConnectionClosedError):
        ws.request("break")
    with echo_session.websocket("/") as ws:
        ws.send("break")
        with pytest.raises(ConnectionClosedError):
            ws.recv()
    _, asked, _, received = samples
    assert (asked.outcome, received.outcome) == (FAILED, FAILED)
    assert received.problem is not None
    assert received.problem.type == "ConnectionClosedError"
    assert "test_web_socket.py" in received.problem.location


@pytest.mark.parametrize("status", ["403 Forbidden", "302 Found"])
def test_a_handshake_that_is_refused(session: LoadSession, samples: list[Sample], status: str) -> None:
    answer = (reply(b"", "Location: http://127.0.0.9:1/", status=status), Do.CLOSE)
    with (
        ScriptedServer([answer]) as server,
        no_threads_left(),
        pytest.raises(InvalidStatus),
        session.websocket(server.url("/ws")),
    ):
        pass
    (sample,) = samples
    assert (sample.outcome, sample.status, sample.connections) == (FAILED, int(status[:3]), 1)
    assert sample.problem is not None
    assert sample.problem.message == f"WS /ws answered {status[:3]}"


def test_refused_connections_hosts_and_urls(make_session: MakeSession, samples: list[Sample]) -> None:
    session = make_session(allowed_hosts=[])
    with pytest.raises(TargetNotAllowed), session.websocket("wss://example.com/"):
        pass
    assert samples == []
    with pytest.raises(ConnectionRefusedError), session.websocket("ws://127.0.0.1:1/"):
        pass
    session.rebind("192.0.2.77")
    with pytest.raises(SourceNotLocal), session.websocket("ws://127.0.0.1:1/"):
        pass
    assert [(sample.outcome, sample.connections) for sample in samples] == [(FAILED, 0), (FAULT, 0)]
    assert session.websocket("HTTPS://127.0.0.1/?to=http://x/").url == "wss://127.0.0.1/?to=http://x/"
    with pytest.raises(SettingError, match=r"'ftp://127\.0\.0\.1/' is not the URL of a WebSocket"):
        session.websocket("ftp://127.0.0.1/")


@pytest.mark.parametrize("is_tls", [False, True])
def test_an_interruption_ends_what_waits(
    make_session: MakeSession, certificates: Certificates, samples: list[Sample], is_tls: bool
) -> None:
    session = make_session()
    session.verify = certificates.ca
    interruption = threading.Timer(0.05, session.interrupt)

    def wait(url: str) -> None:
        with session.websocket(url) as ws:
            interruption.start()
            ws.recv(timeout=None)

    with no_threads_left(), EchoServer(certificates.server_context() if is_tls else None) as echo:
        with pytest.raises(LoadEnded):
            wait(f"{'wss' if is_tls else 'ws'}://127.0.0.1:{echo.port}/")
        interruption.join()
    assert [sample.outcome for sample in samples] == [OK, FAILED]


def test_without_the_package_the_error_says_what_to_install(
    session: LoadSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "websockets.sync.client", None)
    with (
        pytest.raises(WebSocketMissing, match=r"pip install 'pytest-ipload\[websocket\]'"),
        session.websocket("ws://h/"),
    ):
        pass
