"""What connections share: source addresses, and the end of the session from another thread."""

from __future__ import annotations

import pickle
import socket
import sys
import threading
import time
from collections.abc import Callable

import pytest
import requests
from support.certificates import Certificates
from support.http_server import RecordingServer

from pytest_ipload.base.errors import IploadError, SettingError, TargetNotAllowed
from pytest_ipload.stats.sample import Sample
from pytest_ipload.transport.allowed_hosts import AllowedHosts
from pytest_ipload.transport.connect.binding import Binding
from pytest_ipload.transport.generator_errors import LoadEnded
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["localhost"], "'localhost' is not an IP address"),
        (["10.0.0.0/8"], "is not an IP address"),
        ([""], "is not an IP address"),
        (["0.0.0.0"], "not a usable source address"),
        (["::"], "not a usable source address"),
        (["10.0.0.1", "10.0.0.2"], "10.0.0.1 and 10.0.0.2 are both IPv4"),
        (["fd00::1", "fd00::2"], "both IPv6"),
    ],
)
def test_bad_sources_are_setting_errors(sources: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Binding(sources)


def test_sources_are_kept_by_family_in_their_usual_spelling() -> None:
    binding = Binding(["FD00:0::7", "10.0.0.7"])
    assert binding.sources == {socket.AF_INET6: "fd00::7", socket.AF_INET: "10.0.0.7"}
    assert binding.source_address == "fd00::7"
    assert Binding().source_address is None


def test_a_pickled_binding_keeps_sources_and_guard_but_not_its_end() -> None:
    binding = Binding(["10.0.0.7"], AllowedHosts(["x.test"]))
    binding.interrupt()
    copy = pickle.loads(pickle.dumps(binding))
    assert copy.source_address == "10.0.0.7"
    copy.check("http://x.test/")
    with pytest.raises(TargetNotAllowed):
        copy.check("http://y.test/")


class Blocked:
    """A thread that runs one call of a session; ``outcome`` is what it ended with."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.outcome: object = None
        self._call = call
        self._thread = threading.Thread(target=self._run, name="blocked")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome = self._call()
        except Exception as error:
            self.outcome = error

    def join(self) -> float:
        """Seconds until it ended, at most 3."""
        started = time.monotonic()
        self._thread.join(3)
        assert not self._thread.is_alive(), "still blocked"
        return time.monotonic() - started


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.002)


def assert_ended(blocked: Blocked, session: LoadSession, url: str) -> None:
    assert blocked.join() < 1
    assert isinstance(blocked.outcome, LoadEnded), blocked.outcome
    with pytest.raises(requests.exceptions.ConnectionError, match="the load has ended"):
        session.get(url)


@pytest.mark.parametrize("source", [None, "127.0.0.1"])
@pytest.mark.parametrize("path", ["/silent", "/half/length", "/half/close"])
def test_a_thread_that_waits_for_a_reply_goes_on_within_a_second(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample], source: str | None, path: str
) -> None:
    session = make_session(source, timeout=30)
    blocked = Blocked(lambda: session.get(server.url(path)))
    wait_until(lambda: server.hits)
    session.interrupt()
    assert_ended(blocked, session, server.url())
    assert len(server.hits) == 1
    # The interrupted call is a sample; those that were never sent are not.
    assert [(sample.outcome, sample.problem and sample.problem.type) for sample in samples] == [("failed", "LoadEnded")]


def test_a_thread_that_waits_for_a_reply_under_tls_goes_on_within_a_second(
    make_session: MakeSession, tls_server: RecordingServer, certificates: Certificates
) -> None:
    session = make_session(timeout=30)
    blocked = Blocked(lambda: session.get(tls_server.url("/silent"), verify=certificates.ca))
    wait_until(lambda: tls_server.hits)
    session.interrupt()
    assert_ended(blocked, session, tls_server.url())


def test_a_thread_in_the_tls_handshake_goes_on_within_a_second(make_session: MakeSession) -> None:
    session = make_session(timeout=30)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        blocked = Blocked(lambda: session.get(url, verify=False))
        listener.settimeout(5)
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(5)
            assert accepted.recv(1)  # the handshake has begun, and gets no answer
            session.interrupt()
            assert_ended(blocked, session, url)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a listener that drops connections")
@pytest.mark.parametrize("source", [None, "127.0.0.5"])
def test_a_thread_that_connects_goes_on_within_a_second(
    make_session: MakeSession, full_listener: int, source: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make_session(source, timeout=30)
    connecting = threading.Event()
    original = Binding.watch

    def watch(self: Binding, sock: socket.socket) -> None:
        original(self, sock)
        connecting.set()

    monkeypatch.setattr(Binding, "watch", watch)
    url = f"http://127.0.0.1:{full_listener}/"
    blocked = Blocked(lambda: session.get(url))
    assert connecting.wait(5)
    time.sleep(0.05)  # into the system call; the test below is for the time before it
    session.interrupt()
    assert_ended(blocked, session, url)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a listener that drops connections")
@pytest.mark.parametrize("timeout", [30, None])
def test_an_interruption_just_before_connecting_is_not_lost(
    make_session: MakeSession, full_listener: int, timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make_session(timeout=timeout)
    original = socket.socket.connect

    def interrupted_first(self: socket.socket, address: object) -> None:
        session.interrupt()
        original(self, address)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(socket.socket, "connect", interrupted_first)
    url = f"http://127.0.0.1:{full_listener}/"
    assert_ended(Blocked(lambda: session.get(url)), session, url)


def test_a_socket_that_opens_after_the_interruption_is_shut_down_at_once(server: RecordingServer) -> None:
    binding = Binding()
    binding.interrupt()
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.settimeout(5)
        binding.watch(sock)
        assert sock.recv(1) == b""


def test_an_interruption_ends_one_session_only(make_session: MakeSession, server: RecordingServer) -> None:
    ended, other = make_session(), make_session()
    other.get(server.url())
    ended.interrupt()
    ended.interrupt()
    assert other.get(server.url()).ok
    with pytest.raises(IploadError):
        ended.get(server.url())


def test_an_adapter_of_the_users_own_is_not_asked_after_the_end(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session()
    session.mount("http://", requests.adapters.HTTPAdapter())
    session.interrupt()
    with pytest.raises(LoadEnded):
        session.get(server.url())
    assert (server.hits, samples) == ([], [])
