"""Users that read their replies in turn: each reply is read, in order, whatever the one before does with its turn."""

from __future__ import annotations

import select
import socket
import sys
import threading
from collections.abc import Iterator

import pytest
from support.scripted_server import OK, ScriptedServer

from pytest_ipload.transport.connect.reply_queue import MANY_USERS, QueuedSocket, ReplyQueue, queue_for
from pytest_ipload.transport.connect.socket_io import open_fast_socket
from pytest_ipload.transport.session import LoadSession

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="only Linux has epoll")
LONG_S = 30.0


@pytest.fixture
def queue() -> Iterator[ReplyQueue]:
    made = ReplyQueue()
    made.open()
    yield made
    made.close()
    assert "ipload-replies" not in {thread.name for thread in threading.enumerate()}


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


class Client:
    """A connection of one user, and the server's end of it."""

    def __init__(self, queue: ReplyQueue, timeout: float = LONG_S) -> None:
        self.sock, self.server = pair()
        self.wire = QueuedSocket(open_fast_socket(self.sock), self.sock, queue)
        self.wire.set_timeout(timeout)
        self.queue = queue
        self.got: list[object] = []

    def ask(self, times: int = 1) -> None:
        """Requests and their replies, as an exchange does it."""
        for _ in range(times):
            assert not self.wire.unread()
            self.wire.send(b"ping")
            try:
                self.got.append(self.wire.receive())
            except OSError as error:
                self.got.append(error)

    def in_thread(self, times: int = 1) -> threading.Thread:
        thread = threading.Thread(target=self.ask, args=(times,), daemon=True)
        thread.start()
        return thread

    def answer(self, data: bytes) -> None:
        assert self.server.recv(100) == b"ping"
        self.server.sendall(data)

    def close(self) -> None:
        self.sock.close()
        self.server.close()


@pytest.fixture
def clients(queue: ReplyQueue) -> Iterator[list[Client]]:
    made = [Client(queue) for _ in range(20)]
    yield made
    for client in made:
        client.close()


@pytest.mark.parametrize(
    ("users", "has_lock", "is_used"), [(MANY_USERS, True, False), (MANY_USERS + 1, True, True), (5000, False, False)]
)
def test_only_many_users_that_share_the_interpreters_lock_take_turns(
    monkeypatch: pytest.MonkeyPatch, users: int, has_lock: bool, is_used: bool
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: has_lock, raising=False)
    assert (queue_for(users) is not None) == is_used


def test_each_user_gets_its_own_replies(clients: list[Client]) -> None:
    threads = [client.in_thread(5) for client in clients]
    for number in range(5):
        for index, client in enumerate(clients):
            client.answer(b"%d of %d" % (number, index))
    for thread in threads:
        thread.join(LONG_S)
    assert [client.got for client in clients] == [[b"%d of %d" % (n, i) for n in range(5)] for i in range(20)]


def test_a_user_that_has_no_use_for_its_turn_keeps_no_one_waiting_for_long(clients: list[Client]) -> None:
    idle, other = clients[:2]
    idle.wire.unread()
    idle.server.sendall(b"unsolicited")  # its turn comes, and it does not take it
    for _ in range(3):
        thread = other.in_thread()
        other.answer(b"reply")
        thread.join(LONG_S)
    assert other.got == [b"reply"] * 3


def test_a_reply_that_does_not_come_is_a_timeout(queue: ReplyQueue) -> None:
    client = Client(queue, timeout=0.05)
    client.ask()
    assert isinstance(client.got[0], TimeoutError)
    client.close()


def test_a_reply_whose_turn_has_not_come_in_time_is_read_all_the_same(queue: ReplyQueue) -> None:
    client = Client(queue, timeout=0.05)
    assert not client.wire.unread()
    client.wire._turn.is_due = False  # its turn is lost
    client.server.sendall(b"reply")
    assert client.wire.receive() == b"reply"
    client.close()


def test_the_end_of_the_connection_ends_the_wait(clients: list[Client]) -> None:
    for client, end in ((clients[0], clients[0].sock), (clients[1], clients[1].server)):
        thread = client.in_thread()
        assert client.server.recv(100) == b"ping"
        end.shutdown(socket.SHUT_RDWR)
        thread.join(LONG_S)
        assert client.got == [b""]


def test_who_waits_when_the_queue_closes_waits_for_the_socket_and_so_do_later_ones(clients: list[Client]) -> None:
    client = clients[0]
    queue = client.queue
    thread = client.in_thread(2)
    assert client.server.recv(100) == b"ping"
    queue.close()
    client.server.sendall(b"1")
    client.answer(b"2")
    thread.join(LONG_S)
    assert client.got == [b"1", b"2"]
    queue.open()


def test_a_probe_waits_its_turn_too(queue: ReplyQueue, clients: list[Client]) -> None:
    for _ in range(3):
        queue.wait_like_a_user()
    thread = clients[0].in_thread()
    clients[0].answer(b"reply")
    queue.wait_like_a_user()
    thread.join(LONG_S)
    assert clients[0].got == [b"reply"]
    queue.close()
    queue.wait_like_a_user()
    queue.open()


def test_without_a_thread_for_it_users_read_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    queue = ReplyQueue()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    queue.open()
    assert not queue.is_open
    queue.close()


def test_a_session_of_it_gets_replies_of_all_kinds_without_a_turn_lost(queue: ReplyQueue) -> None:
    """A turn that no one took would show as a wait of ``_STUCK_S``."""
    in_parts = (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"pa", b"rt")
    with ScriptedServer([OK, in_parts, OK, OK]) as server, LoadSession(base_url=server.url()) as session:
        session.binding.queue = queue
        texts = [session.get("/").text, session.get("/").text]
        with session.get("/", stream=True) as streamed:  # requests and urllib3 read it
            texts.append(streamed.text)
        texts.append(session.get("/").text)
    assert texts == ["ok", "part", "ok", "ok"]
    assert not queue._ready
