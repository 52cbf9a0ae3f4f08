"""Whose sockets are a user's, and that everything else stays as it was."""

from __future__ import annotations

import _thread
import asyncio
import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest
from support.peers import PeerServer
from support.visitor import Visitor

from pytest_ipload.transport.connect import socket_patch
from pytest_ipload.transport.generator_errors import LoadEnded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")


@pytest.fixture
def server() -> Iterator[PeerServer]:
    with PeerServer() as running:
        yield running


def ask(server: PeerServer) -> str:
    """The address that this thread's connections leave from, as the server sees it."""
    with socket.create_connection(server.address, 10) as sock:
        sock.sendall(b"\n")
        return sock.recv(100).decode().strip()


def replaced() -> list[str]:
    """What is patched at this moment."""
    return [
        name
        for place, name, _ in socket_patch._places()
        if getattr(getattr(place, name), "__code__", None) is not None
        and getattr(place, name).__code__.co_filename == socket_patch.__file__
    ]


def test_other_threads_are_left_alone_before_during_and_after(server: PeerServer) -> None:
    assert replaced() == []
    at_work, go_on = threading.Event(), threading.Event()

    def visit() -> str:
        at_work.set()
        assert go_on.wait(10)
        return ask(server)

    visitor = Visitor("127.0.0.77")
    running = visitor.start(visit)
    assert at_work.wait(10)
    assert len(replaced()) == len(socket_patch._places())
    assert ask(server) == "127.0.0.1"
    go_on.set()
    assert running.result() == "127.0.0.77"
    assert replaced() == []
    assert "connect" not in vars(socket.socket)
    assert ask(server) == "127.0.0.1"
    assert visitor.opened == {"127.0.0.77": 1}


def test_the_last_of_several_users_takes_the_patch_away_whatever_happens_to_them(server: PeerServer) -> None:
    at_work, leave = threading.Event(), threading.Event()

    def stay() -> None:
        at_work.set()
        assert leave.wait(10)

    first = Visitor("127.0.0.77").start(stay)
    assert at_work.wait(10)
    with pytest.raises(KeyboardInterrupt):
        Visitor("127.0.0.78").run(lambda: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert replaced() != []
    leave.set()
    first.result()
    assert replaced() == []


def test_what_a_system_does_not_have_is_not_replaced(server: PeerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name = type("Place", (), {}), "sendmsg"
    monkeypatch.setattr(socket_patch, "_places", lambda: [(place, name, lambda below: below)])
    Visitor("127.0.0.77").run(lambda: ask(server))
    assert not hasattr(place, name)


def test_a_user_that_was_abandoned_keeps_the_patch_until_its_thread_ends(server: PeerServer) -> None:
    at_work, leave = threading.Barrier(2), threading.Event()

    def visit() -> None:
        at_work.wait(10)
        assert leave.wait(10)
        with pytest.raises(LoadEnded):
            ask(server)

    visitor = Visitor("127.0.0.77")
    running = visitor.start(visit)
    at_work.wait(10)
    visitor.sockets.leave()
    assert replaced() != []
    assert ask(server) == "127.0.0.1"
    leave.set()
    running.result()
    assert replaced() == []


def test_a_thread_that_cannot_be_started_does_not_keep_the_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("can't start new thread")

    started = "_start_joinable_thread" if sys.version_info >= (3, 13) else "_start_new_thread"
    thread = threading.Thread()
    own: Any = lambda: None  # noqa: E731
    thread.run = own  # type: ignore[method-assign]
    raw: Any = _thread
    with Visitor("127.0.0.77").sockets.in_thread(), monkeypatch.context() as patched:
        patched.setattr(threading, started, refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            thread.start()
        for nonsense in ((refuse, None), (None, ())):
            with pytest.raises(TypeError):
                raw.start_new_thread(*nonsense)
    assert thread.run is own
    assert replaced() == []


def test_users_that_are_not_in_force_change_nothing(server: PeerServer) -> None:
    visitor = Visitor("127.0.0.77", in_force=False)
    assert visitor.run(lambda: (replaced(), ask(server))) == ([], "127.0.0.1")
    assert visitor.opened == {}


def test_a_user_inside_of_another_users_thread_is_its_own(server: PeerServer) -> None:
    def visit() -> list[str]:
        inner = Visitor("127.0.0.78").run(lambda: ask(server))
        unbound = Visitor("127.0.0.79", in_force=False).run(lambda: ask(server))
        return [inner, unbound, ask(server)]

    assert Visitor("127.0.0.77").run(visit) == ["127.0.0.78", "127.0.0.1", "127.0.0.77"]


def in_thread(server: PeerServer) -> str:
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(ask(server)))
    thread.start()
    thread.join()
    return seen[0]


class Asking(threading.Thread):
    """A thread with a ``run`` of its own that starts another one."""

    def __init__(self, server: PeerServer) -> None:
        super().__init__()
        self.server = server
        self.seen = ""

    def run(self) -> None:
        self.seen = in_thread(self.server)


def in_subclass(server: PeerServer) -> str:
    thread = Asking(server)
    thread.start()
    thread.join()
    return thread.seen


def in_bare_thread(server: PeerServer) -> str:
    seen: queue.Queue[str] = queue.Queue()
    _thread.start_new_thread(lambda put, *, server: put(ask(server)), (seen.put,), {"server": server})
    return seen.get(timeout=10)


def in_executor(server: PeerServer) -> str:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(ask, server).result()


def in_pool(server: PeerServer) -> str:
    with ThreadPool(1) as pool:
        return pool.apply(ask, (server,))


def in_loop(server: PeerServer) -> str:
    return asyncio.run(asyncio.to_thread(ask, server))


@pytest.mark.parametrize("way", [in_thread, in_subclass, in_bare_thread, in_executor, in_pool, in_loop])
def test_what_a_users_thread_starts_is_the_users(way: Callable[[PeerServer], str], server: PeerServer) -> None:
    assert Visitor("127.0.0.77").run(lambda: way(server)) == "127.0.0.77"


def test_a_shared_executor_is_no_users_even_if_users_make_it_start_threads(server: PeerServer) -> None:
    with ThreadPoolExecutor(2) as shared:
        assert Visitor("127.0.0.77").run(lambda: shared.submit(ask, server).result()) == "127.0.0.1"
        assert Visitor("127.0.0.78").run(lambda: shared.submit(in_executor, server).result()) == "127.0.0.1"


def test_a_loop_in_a_shared_thread_is_no_users(server: PeerServer) -> None:
    async def ask_in_loop() -> str:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"\n")
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line.decode().strip()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        shared = Visitor("127.0.0.77").run(lambda: asyncio.run_coroutine_threadsafe(ask_in_loop(), loop).result(10))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert shared == "127.0.0.1"
    assert Visitor("127.0.0.77").run(lambda: asyncio.run(ask_in_loop())) == "127.0.0.77"


def test_a_patch_of_someone_else_stays_and_works(server: PeerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def wrap(name: str) -> None:
        below: Any = socket.socket.connect

        def connect(self: socket.socket, address: Any) -> Any:
            calls.append(name)
            return below(self, address)

        monkeypatch.setattr(socket.socket, "connect", connect)

    wrap("before")
    before = vars(socket.socket)["connect"]
    assert Visitor("127.0.0.77").run(lambda: ask(server)) == "127.0.0.77"
    assert vars(socket.socket)["connect"] is before
    assert calls == ["before"]

    def visit() -> str:
        wrap("during")
        return ask(server)

    assert Visitor("127.0.0.78").run(visit) == "127.0.0.78"
    assert ask(server) == "127.0.0.1"
    assert calls == ["before", "during", "before", "during", "before"]
