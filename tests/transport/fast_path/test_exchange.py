"""One request and its reply: what is sent again, what is handed over, what is closed, and what is measured."""

from __future__ import annotations

import gc
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from support.replies import LAST, chunk, chunked, head, reply
from support.scripted_server import OK, Do, Pause, Reply, ScriptedServer
from urllib3.util.wait import wait_for_read

from pytest_ipload.stats import sample as outcomes
from pytest_ipload.stats.sample import FAILED, Sample
from pytest_ipload.transport.adapter import SourceAdapter
from pytest_ipload.transport.connect import connection as connection_module
from pytest_ipload.transport.connect.connection import IdleConnections, Pool, SourceHTTPConnection
from pytest_ipload.transport.connect.dial import Dialer
from pytest_ipload.transport.connect.socket_io import (
    FastSocket,
    PlainFastSocket,
    TimestampingSocket,
    kernel_keeps_time,
    open_fast_socket,
)
from pytest_ipload.transport.fast_path import exchange as exchange_module
from pytest_ipload.transport.generator_errors import LoadEnded
from pytest_ipload.transport.message.reply_head import ReplyHeads
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]
Serve = Callable[..., ScriptedServer]
MS = 1_000_000
kernel_only = pytest.mark.skipif(not kernel_keeps_time(), reason="needs a kernel that keeps time (64-bit Linux)")
IDEMPOTENT = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]
EMPTY: Reply = (reply(b""),)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that plays these replies, and then says OK."""
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(ScriptedServer(script))


@pytest.fixture(params=["kernel", "python"])
def clocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the kernel keeps time or Python does."""
    if request.param == "python":
        monkeypatch.setattr("pytest_ipload.transport.connect.socket_io.kernel_keeps_time", lambda: False)
    elif not kernel_keeps_time():
        pytest.skip("needs a kernel that keeps time (64-bit Linux)")
    return str(request.param)


def pool_of(session: LoadSession, server: ScriptedServer) -> Pool:
    request = requests.Request("GET", server.url()).prepare()
    pool = session.get_adapter(server.url()).get_connection_with_tls_context(request, True)  # type: ignore[attr-defined]
    assert isinstance(pool, Pool)
    return pool


def connection_of(session: LoadSession, server: ScriptedServer) -> SourceHTTPConnection:
    """The connection that was given back last."""
    idle = pool_of(session, server).pool
    assert isinstance(idle, IdleConnections)
    connection = idle.take()
    assert connection is not None
    idle.give(connection)
    return connection


def wire_of(session: LoadSession, server: ScriptedServer) -> Any:
    wire = connection_of(session, server).wire
    assert wire is not None
    return wire


def requests_of(server: ScriptedServer) -> list[tuple[int, str]]:
    """What the server heard: number of the connection, and method; after the server has had time to hear it."""
    server.settle()
    return [(heard.connection, heard.data.partition(b" ")[0].decode()) for heard in server.heard]


# --- usual ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("clocks")
def test_a_connection_is_opened_once_and_measured(
    make_session: MakeSession, serve: Serve, samples: list[Sample], stock_calls: list[str]
) -> None:
    server, session = serve(), make_session()
    for method in ("GET", "POST", "PUT"):
        assert session.request(method, server.url()).content == b"ok"
    opened, *reused = samples
    assert (opened.connections, opened.retries, opened.source_address) == (1, 0, "127.0.0.1")
    assert opened.connect_ns is not None
    assert opened.first_byte_ns is not None
    assert 0 < opened.connect_ns < opened.first_byte_ns <= opened.latency_ns
    assert [(s.connections, s.connect_ns, s.first_byte_ns, s.source_address) for s in reused] == [
        (0, None, None, "127.0.0.1")
    ] * 2
    server.settle()
    assert (server.connections, stock_calls) == (1, [])


REPLIES = {
    "length": reply(b"hello"),
    "in parts": reply(b"x" * 100_000),
    "chunks": chunked(chunk(b"one"), chunk(b"two"), LAST),
    "not found": reply(b"what?", status="404 Not Found"),
    "no content": head("X-A: b", status="204 No Content"),
}


@pytest.mark.usefixtures("clocks")
@pytest.mark.parametrize("name", REPLIES)
def test_ordinary_replies_are_served_without_requests(
    make_session: MakeSession, serve: Serve, stock_calls: list[str], name: str
) -> None:
    server, session = serve((REPLIES[name],), (REPLIES[name][:20], REPLIES[name][20:])), make_session()
    first, second = session.get(server.url()), session.get(server.url())
    assert stock_calls == []
    with requests.Session() as stock:
        expected = stock.get(serve((REPLIES[name],)).url())
    for response in (first, second):
        assert (response.status_code, response.content) == (expected.status_code, expected.content)
        assert response.headers == expected.headers
    server.settle()
    assert server.connections == 1


def test_with_more_threads_than_connections_may_be_kept_each_has_one(make_session: MakeSession, serve: Serve) -> None:
    """A thread that finds none opens one; what is too much is closed when it is given back."""
    server, session = serve(), make_session()
    session.get(server.url())
    idle = pool_of(session, server).pool
    assert isinstance(idle, IdleConnections)
    taken = [idle.take() for _ in range(idle.qsize())]
    assert session.get(server.url()).content == b"ok"
    assert session.get(server.url()).content == b"ok"
    for conn in taken:
        idle.give(conn)
    server.settle()
    assert server.connections == 2


@pytest.mark.usefixtures("clocks")
@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("pieces", [1, 2])
def test_a_closing_reply_closes(
    make_session: MakeSession, serve: Serve, stock_calls: list[str], pieces: int, is_warm: bool
) -> None:
    data = reply(b"bye", "Connection: close")
    closing: Reply = (data, Do.STALL) if pieces == 1 else (data[:5], data[5:], Do.STALL)
    server, session = serve(*[OK] * is_warm, closing), make_session()
    if is_warm:
        session.get(server.url())
    assert session.get(server.url()).content == b"bye"
    assert connection_of(session, server).sock is None
    assert session.get(server.url()).content == b"ok"
    assert stock_calls == []
    assert [number for number, _ in requests_of(server)] == [*[0] * is_warm, 0, 1]


UNUSUAL: dict[str, Reply] = {
    "1.0": (reply(b"hello", version="HTTP/1.0"),),
    "until it closes": (head() + b"hello", Do.CLOSE),
    "interim": (head(status="100 Continue") + reply(b"hello"),),
    "interim, then a pause": (head(status="100 Continue"), Pause(0.01), reply(b"hello")),
    "folded": (head("X-A: b", " c", "Content-Length: 5") + b"hello",),
    "brotli-free coding": (reply(b"hello", "Content-Encoding: identity"),),
    "more than its length": (reply(b"hello") + b"extra",),
    "cut amid the head": (b"HTTP/1.0 200 OK\r\nContent-", Pause(0.01), b"Length: 5\r\n\r\nhello"),
}


@pytest.mark.usefixtures("clocks")
@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("name", UNUSUAL)
def test_odd_replies_are_handed_over_and_nothing_is_sent_twice(
    make_session: MakeSession, serve: Serve, samples: list[Sample], stock_calls: list[str], name: str, is_warm: bool
) -> None:
    server, session = serve(*[OK] * is_warm, UNUSUAL[name]), make_session()
    if is_warm:
        session.get(server.url())
    assert session.get(server.url()).content == b"hello"
    assert stock_calls == ["GET"]
    assert len(requests_of(server)) == len(samples) == 1 + is_warm
    assert (samples[-1].retries, samples[-1].connections) == (0, 0 if is_warm else 1)
    assert session.get(server.url()).content == b"ok"


# --- connections that the server closed ----------------------------------------------------------------------------


@kernel_only
@pytest.mark.parametrize("how", [Do.CLOSE, Do.RESET])
@pytest.mark.parametrize("method", IDEMPOTENT)
def test_a_connection_that_the_server_closed_is_replaced_before_anything_is_sent(
    make_session: MakeSession, serve: Serve, samples: list[Sample], stock_calls: list[str], method: str, how: Do
) -> None:
    server, session = serve((*EMPTY, how), EMPTY), make_session()
    session.get(server.url())
    server.settle()
    assert session.request(method, server.url()).status_code == 200
    assert [(s.connections, s.retries, s.outcome) for s in samples] == [(1, 0, outcomes.OK), (1, 0, outcomes.OK)]
    assert samples[1].connect_ns is not None
    assert requests_of(server) == [(0, "GET"), (1, method)]
    assert stock_calls == []


@pytest.mark.usefixtures("clocks")
def test_a_request_that_was_swallowed_is_sent_again_once(
    make_session: MakeSession, serve: Serve, samples: list[Sample]
) -> None:
    server, session = serve(OK, (Do.CLOSE,)), make_session()
    session.get(server.url())
    assert session.get(server.url()).content == b"ok"
    assert requests_of(server) == [(0, "GET"), (0, "GET"), (1, "GET")]
    assert samples[1].retries == 1
    assert samples[1].latency_ns > 0


@pytest.mark.parametrize("method", ["POST", "PATCH", "PURGE"])
@pytest.mark.parametrize("how", [Do.CLOSE, Do.RESET])
def test_other_methods_are_never_sent_twice(
    make_session: MakeSession, serve: Serve, samples: list[Sample], method: str, how: Do
) -> None:
    server, session = serve(OK, (how,)), make_session()
    session.get(server.url())
    with pytest.raises(requests.exceptions.ConnectionError, match="Connection aborted"):
        session.request(method, server.url(), data=b"x")
    assert requests_of(server) == [(0, "GET"), (0, method)]
    assert [(s.outcome, s.retries) for s in samples] == [(outcomes.OK, 0), (FAILED, 0)]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_for_other_methods_the_connection_is_looked_at_first(
    make_session: MakeSession, serve: Serve, samples: list[Sample], stock_calls: list[str], method: str
) -> None:
    server, session = serve((*OK, Do.CLOSE), OK, OK), make_session()
    session.get(server.url())
    server.settle()
    for _ in range(2):
        assert session.request(method, server.url(), data=b"x").content == b"ok"
    assert requests_of(server) == [(0, "GET"), (1, method), (1, method)]
    assert [(s.connections, s.retries) for s in samples] == [(1, 0), (1, 0), (0, 0)]
    assert stock_calls == []


@pytest.mark.usefixtures("clocks")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("late", [reply(b"late", status="408 Request Timeout"), reply(b"late"), b"x", b"\r\n"])
def test_a_connection_with_bytes_that_came_unasked_is_not_used_again(
    make_session: MakeSession, serve: Serve, samples: list[Sample], method: str, late: bytes
) -> None:
    server, session = serve((*OK, Do.HOLD, late, Do.STALL)), make_session()
    session.get(server.url())
    server.release()
    wait_for_data(session, server)
    assert session.request(method, server.url()).content == b"ok"
    assert [(s.connections, s.retries) for s in samples] == [(1, 0), (1, 0)]
    assert requests_of(server) == [(0, "GET"), (1, method)]


@pytest.mark.parametrize("has_arrival_times", [False, True])
def test_under_tls_a_connection_with_bytes_that_came_unasked_is_not_used_again(
    make_session: MakeSession, certificates: Any, monkeypatch: pytest.MonkeyPatch, has_arrival_times: bool
) -> None:
    if not has_arrival_times:
        monkeypatch.setattr("pytest_ipload.transport.connect.socket_io.kernel_keeps_time", lambda: False)
    script: list[Reply] = [(*OK, Do.HOLD, reply(b"late"), Do.STALL), OK, OK]
    with ScriptedServer(script, tls=certificates.server_context()) as server:
        session = make_session()
        session.verify = certificates.ca
        session.get(server.url())
        server.release()
        connection = only_connection_of(session)
        assert connection.wire is not None
        assert wait_for_read(connection.sock, 5)
        assert connection.wire.unread()
        assert [session.get(server.url()).content for _ in range(2)] == [b"ok", b"ok"]
        assert requests_of(server) == [(0, "GET"), (1, "GET"), (1, "GET")]


HELD: Reply = (Do.HOLD, *OK)


@kernel_only
@pytest.mark.parametrize("late", [reply(b"late"), b"\r\n"])
def test_what_came_between_the_look_and_the_send_is_no_reply(
    make_session: MakeSession, serve: Serve, samples: list[Sample], monkeypatch: pytest.MonkeyPatch, late: bytes
) -> None:
    server, session = serve((*OK, Do.HOLD, late), HELD, HELD), make_session()
    session.get(server.url())
    let_late_bytes_in_after_the_look(connection_of(session, server), server, monkeypatch)
    assert session.get(server.url()).content == b"ok"
    assert [(s.connections, s.retries) for s in samples] == [(1, 0), (1, 1)]
    assert sorted(requests_of(server)) == [(0, "GET"), (0, "GET"), (1, "GET")]


@kernel_only
def test_a_request_that_must_not_be_repeated_gets_the_reply_behind_the_one_that_came_too_early(
    make_session: MakeSession, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, session = serve((*OK, Do.HOLD, reply(b"late")), HELD), make_session()
    session.get(server.url())
    let_late_bytes_in_after_the_look(connection_of(session, server), server, monkeypatch)
    assert session.post(server.url()).content == b"ok"
    assert requests_of(server) == [(0, "GET"), (0, "POST")]


@kernel_only
def test_under_tls_what_came_between_the_look_and_the_send_is_no_reply(
    make_session: MakeSession, certificates: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script: list[Reply] = [OK, (*OK, Do.HOLD, reply(b"late")), HELD, HELD]
    with ScriptedServer(script, tls=certificates.server_context()) as server:
        session = make_session()
        session.verify = certificates.ca
        for _ in range(2):
            session.get(server.url())
        let_late_bytes_in_after_the_look(only_connection_of(session), server, monkeypatch)
        assert session.get(server.url()).content == b"ok"
        assert sorted(requests_of(server)) == [(0, "GET"), (0, "GET"), (0, "GET"), (1, "GET")]


def let_late_bytes_in_after_the_look(
    connection: SourceHTTPConnection, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server goes on, and what it sends arrives, when the next look has found nothing.

    The replies proper, which it holds, come when these bytes have been received.
    """
    wire: Any = connection.wire
    look, receive = wire.unread, type(wire).receive

    def look_too_early() -> object:
        seen = look()
        server.release()
        assert wait_for_read(connection.sock, 5)
        wire.unread = look
        return seen

    def receive_and_release(some_wire: FastSocket, *limit: int) -> bytes:
        received: bytes = receive(some_wire, *limit)
        for _ in range(2):
            server.release()
        return received

    wire.unread = look_too_early
    monkeypatch.setattr(type(wire), "receive", receive_and_release)


def test_what_tls_has_decrypted_already_counts_as_unread(certificates: Any, make_session: MakeSession) -> None:
    with ScriptedServer([(reply(b"x"), reply(b"unasked"), Do.STALL), OK], tls=certificates.server_context()) as server:
        session = make_session()
        session.verify = certificates.ca
        session.get(server.url())
        connection = only_connection_of(session)
        assert connection.wire is not None
        assert wait_for_read(connection.sock, 5)
        assert connection.wire.unread()
        assert connection.wire.receive(1) == b"H"  # one byte of the record; all of it is out of the kernel now
        assert connection.wire.unread()
        assert session.get(server.url()).content == b"ok"


def only_connection_of(session: LoadSession) -> SourceHTTPConnection:
    adapter = session.get_adapter("https://")
    assert isinstance(adapter, SourceAdapter)
    pools = adapter.poolmanager.pools
    (key,) = pools.keys()
    idle = pools[key].pool
    assert isinstance(idle, IdleConnections)
    connection = idle.take()
    assert connection is not None
    idle.give(connection)
    return connection


def wait_for_data(session: LoadSession, server: ScriptedServer) -> None:
    sock = connection_of(session, server).sock
    sock.settimeout(5)
    assert sock.recv(1, socket.MSG_PEEK)


def stock_error(server: ScriptedServer, **kwargs: Any) -> tuple[type[Exception], str]:
    session = requests.Session()
    session.trust_env = False
    with session, pytest.raises(requests.RequestException) as raised:
        session.request(url=server.url(), **kwargs)
    return type(raised.value), without_port(str(raised.value), server)


def without_port(text: str, server: ScriptedServer) -> str:
    return text.replace(str(server.port), "PORT").replace("SourceHTTP", "HTTP")


@pytest.mark.usefixtures("clocks")
@pytest.mark.parametrize("again", [(Do.CLOSE,), (Do.RESET,), (b"HTTP/1.1 20", Do.CLOSE), (b"SSH-2.0\r\n\r\n",)])
def test_a_second_failure_is_reported_as_by_requests(
    make_session: MakeSession, serve: Serve, samples: list[Sample], again: Reply
) -> None:
    server, session = serve(OK, (Do.CLOSE,), again), make_session()
    session.get(server.url())
    with pytest.raises(requests.RequestException) as raised:
        session.get(server.url())
    assert (type(raised.value), without_port(str(raised.value), server)) == stock_error(serve(again), method="GET")
    assert (samples[1].outcome, samples[1].retries, samples[1].connections) == (FAILED, 1, 1)
    assert requests_of(server) == [(0, "GET"), (0, "GET"), (1, "GET")]


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize(
    "broken", [(reply(b"hello")[:-1], Do.CLOSE), (b"HTTP/1.1 20", Do.CLOSE), (b"H", Pause(0.01), Do.RESET)]
)
def test_after_the_first_byte_nothing_is_sent_again(
    make_session: MakeSession, serve: Serve, samples: list[Sample], broken: Reply, is_warm: bool
) -> None:
    server, session = serve(*[OK] * is_warm, broken), make_session()
    if is_warm:
        session.get(server.url())
    with pytest.raises(requests.RequestException) as raised:
        session.get(server.url())
    assert (type(raised.value), without_port(str(raised.value), server)) == stock_error(serve(broken), method="GET")
    assert (samples[-1].outcome, samples[-1].retries) == (FAILED, 0)
    assert len(requests_of(server)) == 1 + is_warm


# --- errors in sending ---------------------------------------------------------------------------------------------


@pytest.fixture
def fail_to_send(monkeypatch: pytest.MonkeyPatch) -> Callable[[OSError | None], list[bytes]]:
    """From now on, sending on the fast path fails like this, when the server's answer has come, if there is one."""
    error: OSError | None = None
    sent: list[bytes] = []

    def broken(sock: Any) -> FastSocket:
        wire = open_fast_socket(sock)
        send = wire.send

        def fail(data: bytes) -> None:
            sent.append(data)
            send(data)
            if error is not None:
                if not isinstance(error, TimeoutError):
                    sock.recv(1, socket.MSG_PEEK)
                raise error

        wire.send = fail  # type: ignore[misc]  # only tests replace it
        return wire

    monkeypatch.setattr(connection_module, "open_fast_socket", broken)

    def set_error(value: OSError | None) -> list[bytes]:
        nonlocal error
        error = value
        return sent

    return set_error


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), ConnectionResetError(104, "Reset")])
def test_an_answer_to_half_a_request_is_read(
    make_session: MakeSession,
    serve: Serve,
    samples: list[Sample],
    fail_to_send: Callable[[OSError | None], list[bytes]],
    is_warm: bool,
    error: OSError,
) -> None:
    """urllib3 too reads what a server says that closes before it has read everything."""
    too_large = (reply(b"too large", status="413 Content Too Large"), Do.CLOSE)
    server, session = serve(*[OK] * is_warm, too_large), make_session()
    if is_warm:
        session.get(server.url())
    sent = fail_to_send(error)
    response = session.put(server.url(), data=b"large")
    assert (response.status_code, response.content) == (413, b"too large")
    assert len(sent) == len(samples) == 1 + is_warm
    assert samples[-1].retries == 0


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize(
    "error", [BlockingIOError(11, "Resource temporarily unavailable"), TimeoutError("timed out"), OSError(5, "I/O")]
)
def test_an_error_in_sending_is_reported_as_by_requests(
    make_session: MakeSession,
    serve: Serve,
    samples: list[Sample],
    fail_to_send: Callable[[OSError | None], list[bytes]],
    is_warm: bool,
    error: OSError,
) -> None:
    server, session = serve(), make_session()
    if is_warm:
        session.get(server.url())
    sent = fail_to_send(error)
    expected = TimeoutError("timed out") if isinstance(error, BlockingIOError) else error
    with pytest.raises(requests.exceptions.ConnectionError) as raised:
        session.put(server.url(), data=b"x")
    assert str(raised.value) == f"('Connection aborted.', {expected!r})"
    assert not isinstance(raised.value, requests.exceptions.Timeout)
    assert len(sent) == 1 + is_warm
    assert samples[-1].outcome == FAILED


def test_a_server_that_does_not_read_is_a_failure_to_send(make_session: MakeSession, serve: Serve, clocks: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(requests.exceptions.ConnectionError) as raised:
            make_session().put(url, data=bytes(30_000_000), timeout=0.1)
    assert str(raised.value) == "('Connection aborted.', TimeoutError('timed out'))"


# --- timeouts ------------------------------------------------------------------------------------------------------

STALLS: dict[str, Reply] = {
    "before the reply": (Do.STALL,),
    "in the head": (b"HTTP/1.1 200 OK\r\nContent-", Do.STALL),
    "before the body": (head("Content-Length: 5"), Do.STALL),
    "in the body": (reply(b"hello")[:-2], Do.STALL),
    "in a chunk": (chunked(chunk(b"one"), b"5\r\nhe"), Do.STALL),
}


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("name", STALLS)
def test_a_read_that_takes_too_long_is_reported_as_by_requests(
    make_session: MakeSession, serve: Serve, samples: list[Sample], clocks: str, name: str, is_warm: bool
) -> None:
    server, session = serve(*[OK] * is_warm, STALLS[name]), make_session()
    if is_warm:
        session.get(server.url())
    started = time.perf_counter()
    with pytest.raises(requests.RequestException) as raised:
        session.get(server.url(), timeout=(1, 0.05))
    assert 0.045 <= time.perf_counter() - started < 1
    expected = stock_error(serve(STALLS[name]), method="GET", timeout=(1, 0.05))
    assert (type(raised.value), without_port(str(raised.value), server)) == expected
    assert (samples[-1].outcome, samples[-1].retries) == (FAILED, 0)
    assert samples[-1].latency_ns >= 45 * MS
    assert session.get(server.url()).content == b"ok"
    server.settle()
    assert server.connections == 2


# --- interruption --------------------------------------------------------------------------------------------------


def interrupted_call(session: LoadSession, call: Callable[[], object], when: Callable[[], bool]) -> BaseException:
    """What a call raises that is interrupted as soon as ``when`` says so."""
    ended: queue.Queue[object] = queue.Queue()

    def run() -> None:
        try:
            ended.put(call())
        except BaseException as error:
            ended.put(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        deadline = time.monotonic() + 5
        while not when() and time.monotonic() < deadline:
            time.sleep(0.001)
        session.interrupt()
        result = ended.get(timeout=5)
    finally:
        thread.join(5)
    assert isinstance(result, BaseException)
    return result


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "stall",
    [
        (Do.STALL,),
        (b"HTTP/1.1 200", Do.STALL),
        (head("Content-Length: 9") + b"body", Do.STALL),
        (head("Transfer-Encoding: chunked") + b"5\r\nhe", Do.STALL),
        (head() + b"until it closes", Do.STALL),
    ],
)
def test_an_interrupted_exchange_is_the_loads_end(
    make_session: MakeSession,
    serve: Serve,
    samples: list[Sample],
    clocks: str,
    stall: Reply,
    method: str,
    is_warm: bool,
) -> None:
    server, session = serve(*[OK] * is_warm, stall), make_session()
    if is_warm:
        session.get(server.url())
    before = len(samples)
    error = interrupted_call(
        session, lambda: session.request(method, server.url()), lambda: len(server.heard) == before + 1
    )
    assert isinstance(error, LoadEnded)
    assert len(requests_of(server)) == before + 1
    assert [(s.outcome, s.retries) for s in samples[before:]] == [(FAILED, 0)]
    with pytest.raises(LoadEnded):
        session.get(server.url())
    assert len(requests_of(server)) == before + 1


def test_an_interrupted_connect_is_the_loads_end(
    make_session: MakeSession, full_listener: int, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, begun = make_session(), threading.Event()
    original = Dialer.dial

    def dial(self: Dialer) -> socket.socket:
        begun.set()
        return original(self)

    monkeypatch.setattr(Dialer, "dial", dial)
    error = interrupted_call(session, lambda: session.get(f"http://127.0.0.1:{full_listener}/"), begun.is_set)
    assert isinstance(error, LoadEnded)
    assert [s.outcome for s in samples] == [FAILED]


# --- the end of the thread -----------------------------------------------------------------------------------------


class Stop(BaseException):
    """Raised in the middle of an exchange, like KeyboardInterrupt."""


def stop(*args: Any, **kwargs: Any) -> Any:
    raise Stop


@pytest.mark.parametrize("where", ["send", "receive", "connect", "body", "heads"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
def test_whatever_ends_an_exchange_closes_its_connection(
    make_session: MakeSession,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    method: str,
    is_warm: bool,
) -> None:
    """A socket that is left open would be reported as a ResourceWarning, which is an error here."""
    partial = (head("Content-Length: 5") + b"he", Do.STALL)
    unknown = (head("Content-Length: 2", "X-Unknown: 1") + b"ok",)
    last = {"body": partial, "heads": unknown}.get(where, OK)
    server, session = serve(*[OK] * is_warm, last), make_session()
    if is_warm:
        session.get(server.url())
        opened: list[Any] = [connection_of(session, server)]
    else:
        opened = []
        original = Pool.new_connection

        def new_connection(self: Pool) -> SourceHTTPConnection:
            opened.append(original(self))
            return opened[-1]  # type: ignore[no-any-return]  # see the line above

        monkeypatch.setattr(Pool, "new_connection", new_connection)
    kind: Any = TimestampingSocket if kernel_keeps_time() else PlainFastSocket
    with monkeypatch.context() as patch:
        if where == "connect":
            patch.setattr(SourceHTTPConnection, "connect", stop)
            if is_warm:
                opened[0].close()
        elif where == "send":
            patch.setattr(connection_module, "open_fast_socket", lambda sock: with_send(open_fast_socket(sock), stop))
            if is_warm:
                opened[0].wire.send = stop
        elif where == "heads":
            patch.setattr(ReplyHeads, "__getitem__", stop, raising=False)
        else:
            receive = kind.receive
            counts = iter([receive, stop] if where == "body" else [stop])
            patch.setattr(kind, "receive", lambda self, *args: next(counts)(self, *args))
        with pytest.raises(Stop):
            session.request(method, server.url())
    assert opened[0].sock is None
    del opened[:]
    gc.collect()
    assert session.get(server.url()).content == b"ok"


def with_send(wire: FastSocket, send: Callable[[bytes], None]) -> FastSocket:
    wire.send = send  # type: ignore[misc]  # only tests replace it
    return wire


def test_a_pool_that_is_closed_meanwhile_closes_the_connection(
    make_session: MakeSession, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, session = serve(), make_session()
    kind: Any = TimestampingSocket if kernel_keeps_time() else PlainFastSocket
    receive = kind.receive

    def close_and_receive(wire: Any, *args: Any) -> bytes:
        session.close()  # as another thread would do it
        return receive(wire, *args)  # type: ignore[no-any-return]  # of any kind of wire

    for _ in range(2):  # on a new connection and on a kept one
        session.get(server.url())
        connection = connection_of(session, server)
        with monkeypatch.context() as patch:
            patch.setattr(kind, "receive", close_and_receive)
            assert session.get(server.url()).content == b"ok"
        assert connection.sock is None


# --- times ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrived", "latency"),
    [
        (400, 400),
        (1, 1),
        (999, 999),
        (1000, 1000),
        (1500, 1000),
        (None, 1000),
        (0, None),  # it arrived before the request was sent
        (-(10**9) + 1, None),
        (-(10**9), 1000),  # on another clock
    ],
)
def test_a_time_of_arrival_counts_if_it_is_between_sending_and_reading(
    monkeypatch: pytest.MonkeyPatch, arrived: int | None, latency: int | None
) -> None:
    """All else is a clock that was set meanwhile, or the arrival of something else."""
    stamp = None if arrived is None else NOW_NS + arrived
    assert latency_at(monkeypatch, 2000, 3000, stamp, NOW_NS + 1000) == latency


NOW_NS = 1_796_000_000 * 10**9


def latency_at(
    monkeypatch: pytest.MonkeyPatch, started: int, ended: int, arrived: int | None, wall_ended: int
) -> int | None:
    """The latency of a request that began at ``NOW_NS`` of the wall clock, which reads ``wall_ended`` at its end."""
    monkeypatch.setattr(exchange_module, "perf_counter_ns", lambda: ended)
    monkeypatch.setattr(exchange_module, "time_ns", lambda: wall_ended)
    stamp = None if arrived is None else struct.pack("qq", *divmod(arrived, 10**9))
    return exchange_module._latency(stamp, started, NOW_NS)


@pytest.mark.usefixtures("clocks")
def test_the_latency_is_that_of_the_server(make_session: MakeSession, serve: Serve, samples: list[Sample]) -> None:
    slow: Reply = (Pause(0.03), reply(b"slow"))
    server, session = serve(OK, slow, (head("Content-Length: 4"), Pause(0.03), b"slow")), make_session()
    session.get(server.url())
    whole, in_parts = session.get(server.url()), session.get(server.url())
    for sample in samples[1:]:
        assert 29 * MS <= sample.latency_ns < 500 * MS
    assert whole.elapsed.total_seconds() >= 0.029
    assert in_parts.elapsed.total_seconds() < 0.029  # to the head


def test_under_tls_the_first_latency_is_that_of_the_server_too(
    make_session: MakeSession, certificates: Any, samples: list[Sample]
) -> None:
    with ScriptedServer([(Pause(0.03), reply(b"slow"))] * 3, tls=certificates.server_context()) as server:
        session = make_session()
        session.verify = certificates.ca
        for _ in range(3):
            assert session.get(server.url()).content == b"slow"
    assert all(29 * MS <= sample.latency_ns < 500 * MS for sample in samples)


# --- threads -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("clocks")
def test_threads_that_share_a_session_get_their_own_replies(make_session: MakeSession, server: Any) -> None:
    session, barrier = make_session(), threading.Barrier(8)
    problems: list[object] = []

    def run(number: int) -> None:
        barrier.wait(5)
        for step in range(20):
            echo = session.post(server.url(f"/echo/{number}"), data=f"{number}/{step}").json()
            if (echo["target"], echo["body"]) != (f"/echo/{number}", f"{number}/{step}"):
                problems.append(echo)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(server.hits) == 160
    assert len(server.connections) <= 8


@pytest.mark.parametrize(
    ("before_ms", "behind_ms", "expected_ms"),
    [
        (20, 10, 20),  # of 30 ms, the reply had been there for the last ten
        (20.4, 10, 20.4),  # clocks are read one after the other
        (20, 10.4, 20),  # never the shorter one
        (19.6, 10, 20),
        (30, 0, 30),
        (5, 10, 30),  # the wall clock was set back by 15 ms before the reply came
        (20, -5, 30),  # ... after it came
        (-80, 10, 30),
        (120, 10, 30),  # it was set forward
        (20, 110, 30),
    ],
)
def test_the_time_of_arrival_counts_unless_the_wall_clock_was_set(
    monkeypatch: pytest.MonkeyPatch, before_ms: float, behind_ms: float, expected_ms: float
) -> None:
    arrived = NOW_NS + round(before_ms * MS)
    latency = latency_at(monkeypatch, 0, 30 * MS, arrived, arrived + round(behind_ms * MS))
    assert latency == pytest.approx(expected_ms * MS)


@kernel_only
@pytest.mark.parametrize("set_back_ms", [5, 100])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_wall_clock_that_is_set_back_changes_no_latency_and_sends_nothing_twice(
    make_session: MakeSession,
    serve: Serve,
    samples: list[Sample],
    monkeypatch: pytest.MonkeyPatch,
    set_back_ms: int,
    method: str,
) -> None:
    """As if it were set back while the request is on its way: only the reading before was ahead."""
    slow: Reply = (Pause(0.02), reply(b"ok"))
    server, session = serve(*[slow] * 12), make_session()
    for _ in range(8):  # the kernel begins to note times a moment after it was asked
        session.request(method, server.url())
    del samples[:]
    readings = iter([set_back_ms * MS] + [0] * 5)
    monkeypatch.setattr(exchange_module, "time_ns", lambda: time.time_ns() + next(readings, 0))
    assert session.request(method, server.url()).content == b"ok"
    assert samples[0].retries == 0
    assert samples[0].latency_ns >= 20 * MS
    assert server.connections == 1
