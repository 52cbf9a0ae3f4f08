"""One step of ``get_floor.py``, in a process of its own: STEP URL REQUESTS. Prints microseconds of CPU a request."""

from __future__ import annotations

import gc
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from urllib.parse import urlsplit

from pytest_ipload import LoadSession
from pytest_ipload.load.failure_log import FailureLog
from pytest_ipload.load.iterations import IterationQuota, UserRun
from pytest_ipload.load.schedule import UserSlot
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.load.user_thread import UserThread
from pytest_ipload.plugin.fixtures.per_user import BoundBody
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.evidence.keeper import EvidenceKeeper, UserEvidence
from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.transport.connect.socket_io import open_fast_socket
from pytest_ipload.transport.fast_path.fast_path import FastPath
from pytest_ipload.transport.message.reply_head import ReplyHeads

Loop = Callable[[int], object]
"""Sends this number of requests."""
_NEVER = 1 << 62


def bare(url: str) -> tuple[socket.socket, bytes]:
    """A connection, and the bytes of a request on it."""
    address = urlsplit(url)
    data = f"GET / HTTP/1.1\r\nHost: {address.netloc}\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n".encode()
    sock = socket.create_connection((address.hostname or "", address.port or 80))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock, data


@contextmanager
def over_socket(url: str) -> Iterator[Loop]:
    """Send and receive."""
    sock, data = bare(url)
    send, receive = sock.sendall, sock.recv

    def loop(requests: int) -> None:
        for _ in range(requests):
            send(data)
            receive(16384)

    with sock:
        yield loop


@contextmanager
def over_stamps(url: str) -> Iterator[Loop]:
    """The socket as the fast path uses it."""
    sock, data = bare(url)
    wire = open_fast_socket(sock)
    send, receive, unread = wire.send, wire.receive, wire.unread
    wire.set_timeout(30)

    def loop(requests: int) -> None:
        for _ in range(requests):
            unread()
            send(data)
            receive()

    with sock:
        yield loop


@contextmanager
def over_parser(url: str) -> Iterator[Loop]:
    """The same, with the clocks of an exchange, and head and body."""
    sock, data = bare(url)
    wire, heads = open_fast_socket(sock), ReplyHeads()
    send, receive, unread = wire.send, wire.receive, wire.unread
    wire.set_timeout(30)
    clock, wall_clock = time.perf_counter_ns, time.time_ns

    def loop(requests: int) -> None:
        for _ in range(requests):
            started, wall_started = clock(), wall_clock()
            unread()
            send(data)
            received = receive()
            end = received.find(b"\r\n\r\n")
            head, body = heads[received[:end]], received[end + 4 :]
            _ = head, body, clock() - started, wall_clock() - wall_started

    with sock:
        yield loop


@contextmanager
def over_fast_path(url: str) -> Iterator[Loop]:
    """The fast path alone."""
    session = LoadSession(base_url=url)
    fast_path = FastPath(session)

    def loop(requests: int) -> None:
        for _ in range(requests):
            fast_path.call(session, "GET", "/", 30, None)

    with closing(session):
        yield loop


@contextmanager
def over_session(url: str, *, records: bool) -> Iterator[Loop]:
    """The session's ``get``."""
    recorder = Recorder()
    session = LoadSession(
        base_url=url, record=recorder.record if records else None, tally=recorder.tally if records else None
    )

    def loop(requests: int) -> None:
        for _ in range(requests):
            session.get("/")

    with closing(session):
        yield loop


class _Scenario:
    """Runs a body with the user's session."""

    def __init__(self, session: LoadSession) -> None:
        self._body = BoundBody(_body)
        self._body.arguments = {"ipload_session": session}
        self._body.settle()

    def set_up(self) -> None:
        """There is nothing to make."""

    def iterate(self, iteration: Iteration) -> None:
        """Run the body."""
        self._body.function(*(self._body.positional or ()))

    def tear_down(self) -> None:
        """There is nothing to undo."""


def _body(ipload_session: LoadSession) -> None:
    ipload_session.get("/")


@contextmanager
def over_iterations(url: str, *, keeps_evidence: bool) -> Iterator[Loop]:
    """Whole iterations."""
    recorder = Recorder(keeps_requests=True)
    evidence = UserEvidence(EvidenceKeeper(3, lambda: 0), recorder.record)
    record = evidence.record if keeps_evidence else recorder.record
    user = VirtualUser(0, seed=0, source_addresses=(), record=record, tally=recorder.tally)
    evidence.user = user
    session = LoadSession(base_url=url, record=user.record, tally=user.tally)
    if keeps_evidence:
        session.evidence = evidence
        evidence.floors["GET /"] = _NEVER  # most requests of a load are none of the slowest
    thread = UserThread(UserSlot(0, 0.0, 0.0, None), user, recorder)

    def loop(requests: int) -> None:
        profile = LoadProfile(iterations=requests)
        quota = IterationQuota(None)
        run = UserRun(profile, FailureLog(), quota, threading.Event(), time.perf_counter_ns, lambda *_: False)
        run.iterate(thread, _Scenario(session))
        recorder.drain()

    with closing(session):
        yield loop


LOOPS: dict[str, Callable[[str], AbstractContextManager[Loop]]] = {
    "socket": over_socket,
    "stamp": over_stamps,
    "parse": over_parser,
    "fast path": over_fast_path,
    "session": lambda url: over_session(url, records=False),
    "recorder": lambda url: over_session(url, records=True),
    "iteration": lambda url: over_iterations(url, keeps_evidence=False),
    "evidence": lambda url: over_iterations(url, keeps_evidence=True),
}


def main() -> None:
    """Run a step."""
    step, url, requests = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with LOOPS[step](url) as loop:
        loop(50)  # a connection is opened, and the interpreter adapts its code to what it sees
        gc.collect()
        gc.freeze()
        gc.disable()
        began = time.thread_time()
        loop(requests)
        print((time.thread_time() - began) / requests * 1e6)


if __name__ == "__main__":
    main()
