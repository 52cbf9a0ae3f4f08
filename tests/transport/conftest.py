"""Servers and certificates for the tests of the transport."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.certificates import Certificates
from support.http_server import RecordingServer
from support.proxy import RecordingProxy

from pytest_ipload.stats.sample import Sample
from pytest_ipload.transport.connect.socket_io import ask_for_arrival_times
from pytest_ipload.transport.session import LoadSession


@pytest.fixture(scope="session", autouse=True)
def arrival_times() -> Iterator[None]:
    """Keep the kernel's time stamps on: it switches them on a moment after the first socket has asked for them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        ask_for_arrival_times(sock)
        yield


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        yield running


@pytest.fixture
def proxy() -> Iterator[RecordingProxy]:
    with RecordingProxy() as running:
        yield running


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_server(certificates: Certificates) -> Iterator[RecordingServer]:
    with RecordingServer(tls=certificates.server_context()) as running:
        yield running


@pytest.fixture
def samples() -> list[Sample]:
    """What the session of ``session`` records."""
    return []


@pytest.fixture
def make_session(samples: list[Sample]) -> Iterator[Callable[..., LoadSession]]:
    """Makes sessions that record into ``samples`` and are closed after the test."""
    made: list[LoadSession] = []

    def make(*args: object, **kwargs: object) -> LoadSession:
        kwargs.setdefault("record", samples.append)
        kwargs.setdefault("timeout", 5)
        made.append(LoadSession(*args, **kwargs))  # type: ignore[arg-type]  # the test knows what it passes
        return made[-1]

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(make_session: Callable[..., LoadSession]) -> LoadSession:
    return make_session()


@pytest.fixture
def full_listener() -> Iterator[int]:
    """A port that does not answer: its queue of connections is full, so Linux drops what else comes."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address[1]


@pytest.fixture
def stock_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of the calls that requests made, or went on with."""
    calls: list[str] = []
    original = LoadSession._run

    def run(self: LoadSession, call: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        if function.__name__ == "request":  # not patched itself: that would be a hook, which makes every call take it
            calls.append(args[0])
        return original(self, call, function, *args, **kwargs)

    monkeypatch.setattr(LoadSession, "_run", run)
    return calls
