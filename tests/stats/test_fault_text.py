from __future__ import annotations

import builtins
import errno
import itertools
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import requests
from support.certificates import Certificates

from pytest_ipload.base.errors import TargetNotAllowed
from pytest_ipload.stats.fault_text import fault_text, message_of, own_fault
from pytest_ipload.transport.session import LoadSession

Behaviour = Callable[[socket.socket], object]
Fetch = Callable[..., requests.Response]
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def server(behaviour: Behaviour) -> Iterator[int]:
    """A server that treats each connection in the same way, whatever it asks; yields its port."""
    kept = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            while True:
                try:
                    conn, _ = listening.accept()
                except OSError:
                    return
                kept.append(conn)
                behaviour(conn)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for conn in kept:
                conn.close()


def answer(data: bytes, *, end: bool = True) -> Behaviour:
    def behaviour(conn: socket.socket) -> None:
        conn.recv(10_000)
        conn.sendall(data)
        if end:
            with suppress(OSError):  # the client may have gone already
                conn.shutdown(socket.SHUT_WR)

    return behaviour


def reset(conn: socket.socket) -> None:
    conn.recv(10_000)
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port: int = listening.getsockname()[1]
        return port


def error_of(function: Callable[..., object], *args: object, **kwargs: object) -> Exception:
    with pytest.raises(Exception) as caught:  # of whatever kind: the text is looked at
        function(*args, **kwargs)
    return caught.value


@pytest.fixture(params=["requests", "fast", "slow"])
def fetch(request: pytest.FixtureRequest) -> Iterator[Fetch]:
    """GET, by stock requests and by both ways of a session."""
    session = requests.Session() if request.param == "requests" else LoadSession(fast=request.param == "fast")
    session.trust_env = False
    with session:
        yield session.get


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (lambda conn: None, "no reply within 0.2 s from HOST"),
        (answer(b""), "connection closed by HOST before a reply"),
        (reset, "connection reset by HOST"),
        (answer(b"hello there\r\n\r\n"), "the reply from HOST is not HTTP: 'hello there\\r\\n'"),
        (answer(_HEAD, end=False), "the reply from HOST stopped (read timed out)"),
    ],
    ids=["silent", "closes", "resets", "garbage", "stalls"],
)
def test_what_the_other_side_did_is_said_in_words(fetch: Fetch, behaviour: Behaviour, expected: str) -> None:
    with server(behaviour) as port:
        error = error_of(fetch, f"http://127.0.0.1:{port}/", timeout=0.2)
    assert fault_text(error) == message_of(error) == expected.replace("HOST", f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (_HEAD, "connection closed by HOST in the middle of a reply (3 bytes read, 7 more expected)"),
        (_CHUNKED + b"zz\r\n", "the reply from HOST has a chunk with an invalid length"),
    ],
    ids=["short", "bad chunk"],
)
def test_a_reply_that_breaks_off_names_the_server(reply: bytes, expected: str) -> None:
    with server(answer(reply)) as port, LoadSession() as session:
        error = error_of(session.get, f"http://127.0.0.1:{port}/", timeout=5)
    assert fault_text(error) == expected.replace("HOST", f"127.0.0.1:{port}")


def test_nobody_listens(fetch: Fetch) -> None:
    port = free_port()
    assert fault_text(error_of(fetch, f"http://127.0.0.1:{port}/")) == f"connection refused by 127.0.0.1:{port}"
    proxied = error_of(fetch, "http://shop.invalid/", proxies={"http": f"http://127.0.0.1:{port}"})
    assert fault_text(proxied) == f"connection refused by the proxy 127.0.0.1:{port}"


def test_a_name_that_is_not_known(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = error_of(fetch, "http://shop.invalid/x")
    assert fault_text(error) == "name not known: shop.invalid (Name or service not known)"


def test_a_certificate_that_is_not_accepted(fetch: Fetch, tmp_path: Path) -> None:
    context = Certificates(tmp_path).server_context()

    def shake_hands(conn: socket.socket) -> None:
        try:
            context.wrap_socket(conn, server_side=True).close()
        except (ssl.SSLError, OSError):
            conn.close()

    with server(shake_hands) as port:
        text = fault_text(error_of(fetch, f"https://127.0.0.1:{port}/", timeout=5)) or ""
    assert text.startswith("TLS: ")
    assert "certificate" in text
    assert text.endswith(f" (127.0.0.1:{port})")


def test_plain_http_on_a_tls_port(fetch: Fetch) -> None:
    with server(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        error = error_of(fetch, f"https://127.0.0.1:{port}/", timeout=5)
    assert fault_text(error) == f"TLS: wrong version number (127.0.0.1:{port})"


def test_an_expired_certificate() -> None:
    cause = ssl.SSLCertVerificationError()
    cause.verify_message = "certificate has expired"
    request = requests.Request("GET", "https://shop.test/").prepare()
    assert (
        fault_text(requests.exceptions.SSLError(cause, request=request)) == "TLS: certificate expired (shop.test:443)"
    )


def test_a_fault_of_the_own_side_says_what_to_do() -> None:
    with LoadSession("203.0.113.7") as session:
        text = fault_text(error_of(session.get, f"http://127.0.0.1:{free_port()}/")) or ""
    assert text.startswith("source address 203.0.113.7 is not an address of this host")


class _OwnError(requests.ConnectionError):
    pass


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no basket"),
        ConnectionRefusedError(111, "Connection refused"),
        requests.ConnectionError("the shop is down"),
        requests.HTTPError("503 Server Error"),
        _OwnError(ConnectionRefusedError(111, "Connection refused")),
    ],
)
def test_other_exceptions_speak_for_themselves(error: Exception) -> None:
    error.__cause__ = requests.ConnectionError(ConnectionRefusedError())
    assert fault_text(error) is None
    assert message_of(error) == str(error)


@pytest.mark.parametrize("raised", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_a_message_that_cannot_be_had_stops_nobody(raised: type[BaseException]) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise raised

    assert message_of(Broken()) == f"<its message cannot be shown: {raised.__name__}>"


class Fault(OSError):
    fault = "ports-exhausted"


def wrapped(*errors: Exception, from_none: bool = False) -> Exception:
    """The last of these, as if each was raised while the one before was handled."""
    for inner, outer in itertools.pairwise(errors):
        outer.__context__, outer.__suppress_context__ = inner, from_none
    return errors[-1]


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (Fault(), "ports-exhausted"),
        (wrapped(Fault(), KeyError("driver"), ValueError("client")), "ports-exhausted"),
        (wrapped(OSError(errno.EMFILE, "too many"), KeyError("client")), "files-exhausted"),
        (wrapped(Fault(), ValueError("client"), from_none=True), "ports-exhausted"),
        (OSError(errno.ECONNREFUSED, "refused"), None),
        (ValueError("of the target"), None),
    ],
)
def test_a_fault_of_the_own_side_is_found_behind_what_clients_make_of_it(error: Exception, fault: str | None) -> None:
    assert own_fault(error) == fault


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups of exceptions")
def test_a_fault_of_the_own_side_is_found_in_a_group() -> None:
    group = vars(builtins)["ExceptionGroup"]
    assert own_fault(group("of a task group", [ValueError(), group("inner", [Fault()])])) == "ports-exhausted"
    assert own_fault(group("of a task group", [ValueError()])) is None


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups of exceptions")
def test_of_a_group_with_a_mistake_in_the_test_the_mistake_is_told() -> None:
    group = vars(builtins)["ExceptionGroup"]
    refused = TargetNotAllowed("'x.org' is not in ipload_allowed_hosts")
    assert message_of(group("of a task group", [ValueError(), refused])) == "'x.org' is not in ipload_allowed_hosts"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups of exceptions")
def test_of_a_group_the_first_exception_in_it_is_told() -> None:
    group = vars(builtins)["ExceptionGroup"]
    assert message_of(group("of a task group", [ValueError()])) == "of a task group (1 sub-exception): ValueError"
    inner = group("inner", [KeyError("cart"), ValueError("no")])
    assert message_of(group("outer", [inner])) == "outer (1 sub-exception): KeyError: 'cart'"
    assert message_of(group("outer", [Fault("https://u:secret@x/")])).count("secret") == 0
