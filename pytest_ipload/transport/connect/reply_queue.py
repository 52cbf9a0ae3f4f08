"""Users whose reply has arrived go on in turn, where there are many of them.

A thread that wakes up needs the interpreter's lock before anything else. If thousands of threads wait for it at the
same time, each of them wakes up every few milliseconds, only to find it taken: CPython's lock has a timeout, and a
system that has other work to do lets them all try before the one that has it runs again. So here one thread waits for
the replies to all users, and lets the first user go on; each one lets the next go on as soon as it runs itself.

What is measured does not change: the time of a reply's arrival is the kernel's, and the user reads it when it is its
turn, as it would when it had to wait for the interpreter's lock.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable

from pytest_ipload.transport.connect.socket_io import READ_BYTES, FastSocket

MANY_USERS = 200
"""Users of one process from which on their replies are queued: with fewer, it costs more than it saves."""
_STUCK_S = 0.05
"""Seconds after which the next user goes on although the one before does not: it had no need for its turn."""


def queue_for(users: int) -> ReplyQueue | None:
    """The queue for this number of users in one process; None where they do better without one."""
    # Documented in spite of its name, and there from Python 3.13 on: without the lock, all of them can run at once.
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)
    is_possible = hasattr(select, "epoll") and hasattr(os, "eventfd")
    return ReplyQueue() if users > MANY_USERS and is_possible and has_lock() else None


class Turn:
    """One thread's place in the queue."""

    __slots__ = ("end", "is_due", "wait")

    def __init__(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        self.is_due = True
        """Whether the next thing that arrives is waited for; else it changes nothing."""
        self.wait = lock.acquire
        self.end = lock.release

    def expect(self) -> None:
        """Called by the waiting thread, before what makes something arrive."""
        self.wait(False)
        self.is_due = True


class ReplyQueue:
    """Waits for replies in a thread of its own, from ``open`` to ``close``; both may be called again."""

    def __init__(self) -> None:
        self.is_open = False
        self._epoll = select.epoll()
        self._turns: dict[int, Turn] = {}
        """By file descriptor. That of a closed connection is replaced when the number is used again."""
        self._ready: deque[Callable[[], None]] = deque()
        """Those whose turn comes next, and last the thread of the queue itself. Its methods need no lock."""
        self._own = Turn()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._probe = self.add(self._bell)
        self._thread: threading.Thread | None = None

    def __del__(self) -> None:
        self._epoll.close()
        os.close(self._bell)

    def open(self) -> None:
        """Begin to wait. Without a thread for it, users go on without a queue."""
        if self.is_open:
            return
        self._thread = threading.Thread(target=self._run, name="ipload-replies", daemon=True)
        self.is_open = True
        try:
            self._thread.start()
        except RuntimeError:  # the system has none left
            self.is_open, self._thread = False, None

    def close(self) -> None:
        """Stop waiting; whoever still waits goes on."""
        self.is_open = False
        if self._thread is not None:
            os.eventfd_write(self._bell, 1)
            self._thread.join()
            self._thread = None
        for turn in list(self._turns.values()):
            if turn.is_due:
                _end(turn.end)

    def add(self, descriptor: int) -> Turn:
        """The turns of whoever waits for something to arrive there. Once for each open file."""
        turn = self._turns[descriptor] = Turn()
        with contextlib.suppress(FileExistsError):
            self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        return turn

    def go_on(self) -> None:
        """Whoever has its turn calls this at once: the next one may go on."""
        with contextlib.suppress(IndexError):  # not the last one of its round: it was taken for one that is stuck
            _end(self._ready.popleft())

    def wait_like_a_user(self) -> None:
        """Wait as long as a user whose reply arrives now. For one thread at a time."""
        if self.is_open:
            self._probe.expect()
            os.eventfd_write(self._bell, 1)
            self._probe.wait()
            self.go_on()

    def _run(self) -> None:
        ready, turns, own = self._ready, self._turns, self._own
        while self.is_open:
            for descriptor, _ in self._epoll.poll():
                turn = turns[descriptor]
                if turn.is_due:
                    turn.is_due = False
                    ready.append(turn.end)
            if not ready:
                continue
            ready.append(own.end)
            self.go_on()
            while not own.wait(timeout=_STUCK_S):
                left = len(ready)
                if own.wait(timeout=_STUCK_S):
                    break
                if len(ready) == left:
                    self.go_on()


def _end(end: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # it does not wait: it was taken for one that is stuck
        end()


class QueuedSocket:
    """A socket whose replies are read in turn."""

    __slots__ = ("_has_sent", "_queue", "_receive", "_turn", "_unread", "_wire", "send", "stamp", "timeout")

    def __init__(self, wire: FastSocket, sock: socket.socket, queue: ReplyQueue) -> None:
        self._wire = wire
        self._queue = queue
        self._unread = wire.unread
        self._receive = wire.receive
        self.send = wire.send
        self.timeout = wire.timeout
        self.stamp: bytes | None = None
        self._has_sent = not wire.unread()
        """Whether the first bytes of a reply are still to come; the rest is not queued for."""
        self._turn = queue.add(sock.fileno())

    def unread(self) -> object:
        """As in ``FastSocket``. What arrives after this look is the reply to what is sent next."""
        self._turn.expect()
        self._has_sent = True
        return self._unread()

    def set_timeout(self, timeout: float | None) -> None:
        """As in ``FastSocket``."""
        self._wire.set_timeout(timeout)
        self.timeout = timeout

    def relax(self) -> None:
        """As in ``FastSocket``."""
        self._turn.is_due = self._has_sent = False
        self._wire.relax()
        self.timeout = self._wire.timeout

    def receive(self, limit: int = READ_BYTES) -> bytes:
        """As in ``FastSocket``, when it is this user's turn."""
        if self._has_sent:
            self._has_sent = False
            queue = self._queue
            if queue.is_open:
                timeout = self.timeout
                if self._turn.wait(True, -1 if timeout is None else timeout):
                    queue.go_on()
                elif not self._unread():
                    raise TimeoutError("timed out")
        data = self._receive(limit)
        self.stamp = self._wire.stamp
        return data

    def receive_into(self, buffer: memoryview) -> int:
        """As in ``FastSocket``: the rest of a body, which is not queued for."""
        length = self._wire.receive_into(buffer)
        self.stamp = self._wire.stamp
        return length
