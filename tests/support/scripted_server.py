"""A server on loopback that plays scripted replies, byte by byte, and keeps what it was sent."""

from __future__ import annotations

import contextlib
import enum
import functools
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Do(enum.Enum):
    """What a server can do besides sending bytes."""

    STALL = "send nothing more, until the client closes"
    HOLD = "send nothing more, until release() is called"
    HALF_CLOSE = "say that nothing more comes, and wait until the client closes"
    CLOSE = "close the connection"
    RESET = "break the connection off, so that the client sees ECONNRESET"


@dataclass(frozen=True)
class Pause:
    """Send nothing for a while."""

    seconds: float


Step = bytes | Do | Pause
"""Bytes are sent at once, as a segment of their own; ``{port}`` in them becomes the server's port."""
Reply = Sequence[Step]
"""What is done when a request has come in whole. The connection stays open unless a step says otherwise."""

OK: Reply = (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",)
"""The reply to every request that the script does not foresee."""

_LIMIT = 4.0
"""Seconds after which nobody waits any longer for the other side."""
_FAR = float("inf")
_STOP, _RELEASE = b"s", b"r"
_BETWEEN_SEGMENTS = 0.0005
"""Seconds in which the client's thread takes a segment, usually; segments that meet are none the worse."""
_READ, _WRITE, _NOTHING = "read", "write", "nothing"

Wait = tuple[str, float]
"""What a connection waits for, and for how many seconds at most."""
_Waiting = Generator[Wait, None, T]


@dataclass(frozen=True)
class Heard:
    """One request, or what there was of it when the client closed, with the number of its connection."""

    connection: int
    data: bytes


class ScriptedServer:
    """A context manager; one thread serves all connections.

    ``script`` has one ``Reply`` for each request, in the order in which requests come, on whatever connection.
    ``heard`` are the requests, complete when the server has stopped; ``connections`` is the number of connections that
    were opened, and ``peers`` are the addresses that they came from.
    """

    def __init__(self, script: Iterable[Reply] = (), host: str = "127.0.0.1", tls: ssl.SSLContext | None = None):
        self.heard: list[Heard] = []
        self.connections = 0
        self.peers: list[str] = []
        self.host = host
        self.tls = tls
        self.releases = 0
        self._script = deque(script)
        self._open: list[_Connection] = []
        self._changed = threading.Condition()
        self._stops = False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=128)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._waker, self._wakened = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="scripted-server", daemon=True)

    def url(self, path: str = "/", host: str | None = None) -> str:
        """A URL of this server; ``host`` is another name of this machine."""
        name = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}{path}"

    def next_reply(self) -> Reply:
        """The script's next reply."""
        return self._script.popleft() if self._script else OK

    def release(self) -> None:
        """End one ``Do.HOLD``."""
        with self._changed:
            self.releases += 1
            for each in self._open:
                each.rests = each.rests and not each.waits_for_release
        self._waker.send(_RELEASE)

    def settle(self) -> None:
        """Wait until all that the script has to say to the requests so far was said."""
        with self._changed:
            self._changed.wait_for(lambda: all(each.rests for each in self._open), _LIMIT)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._waker.send(_STOP)
        self._thread.join()

    def _serve(self) -> None:
        try:
            while not self._stops:
                self._turn(_LIMIT)
            while self._turn(0):  # what has come until now
                pass
        finally:
            for each in self._open:
                each.close()
            for sock in (self._listener, self._waker, self._wakened):
                sock.close()

    def _turn(self, longest: float) -> bool:
        """Wait until something can be done, and do it; the result says whether there was anything."""
        reading = [each.sock for each in self._open if each.wait == _READ]
        writing = [each.sock for each in self._open if each.wait == _WRITE]
        deadlines = [each.deadline for each in self._open]
        timeout = max(0.0, min(deadlines, default=_FAR) - time.monotonic())
        ready = select.select([self._listener, self._wakened, *reading], writing, [], min(timeout, longest))
        able = {*ready[0], *ready[1]}
        if self._wakened in able:
            self._stops = _STOP in self._wakened.recv(100)
        now = time.monotonic()
        with self._changed:
            # A new connection is taken first: nobody may find the server at rest that has one waiting.
            if self._listener in able:
                self._accept()
            for each in list(self._open):
                if each.sock in able or each.waits_for_release:
                    each.go_on()
                elif each.deadline <= now:
                    each.go_on(in_time=each.wait == _NOTHING)
            self._open = [each for each in self._open if not each.is_over]
            self._changed.notify_all()
        return bool(able)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, peer = self._listener.accept()
                self.peers.append(peer[0])
                self.connections += 1  # before the first reply, so that who has that reply finds it counted
                self._open.append(_Connection(self, sock, self.connections - 1))


class _Connection:
    """One connection: a generator that yields what it waits for."""

    def __init__(self, server: ScriptedServer, sock: socket.socket, number: int) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.rests = False
        """Whether it is the client's turn: nothing of a request has come, or the script stalls."""
        self.waits_for_release = False
        self.is_over = False
        self.wait = _NOTHING
        self.deadline = _FAR
        self._server = server
        self._number = number
        self._play = self._run()
        self.go_on()

    def go_on(self, in_time: bool = True) -> None:
        """Go on until the next wait."""
        try:
            self.wait, seconds = next(self._play) if in_time else self._play.throw(TimeoutError())
        except (StopIteration, OSError):  # the client's end of the connection is its own business
            self.is_over = self.rests = True
            self.sock.close()
        else:
            self.deadline = time.monotonic() + seconds

    def close(self) -> None:
        """Give up, wherever it is."""
        self._play.close()
        self.sock.close()

    def _run(self) -> _Waiting[None]:
        if self._server.tls is not None:
            yield _READ, _LIMIT  # else wrapping would find that nobody has said hello
            self.sock = sock = self._server.tls.wrap_socket(
                self.sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
            yield from self._retry(sock.do_handshake, _READ)
        while (yield from self._read_request()):
            for number, step in enumerate(self._server.next_reply()):
                if number and isinstance(step, bytes):
                    yield _NOTHING, _BETWEEN_SEGMENTS
                if (yield from self._do(step)):
                    return

    def _do(self, step: Step) -> _Waiting[bool]:
        """Do one step; the result says whether that was the connection's end."""
        if isinstance(step, bytes):
            yield from self._send(step.replace(b"{port}", b"%d" % self._server.port))
        elif isinstance(step, Pause):
            yield _NOTHING, step.seconds
        elif step is Do.HOLD:
            yield from self._hold()
        elif step is Do.RESET:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif step is not Do.CLOSE:
            if step is Do.HALF_CLOSE:
                socket.socket.shutdown(self.sock, socket.SHUT_WR)
            yield from self._read_to_the_end()
        return step in (Do.STALL, Do.HALF_CLOSE, Do.CLOSE, Do.RESET)

    def _hold(self) -> _Waiting[None]:
        self.rests = self.waits_for_release = True
        while self._server.releases < 1:
            yield _NOTHING, _LIMIT
        self._server.releases -= 1
        self.rests = self.waits_for_release = False

    def _send(self, data: bytes) -> _Waiting[None]:
        left = memoryview(data)
        while left:
            left = left[(yield from self._retry(functools.partial(self.sock.send, left), _WRITE)) :]

    def _read_request(self) -> _Waiting[bool]:
        """Read one request; the result is false when there is none any more."""
        data = b""
        try:
            while (length := length_of_request(data)) is None:
                self.rests = not data
                more = yield from self._retry(lambda: self.sock.recv(65536), _READ)
                self.rests = False
                if not more:
                    return False
                data += more
            return bool(length)
        finally:
            self._note(data)

    def _read_to_the_end(self) -> _Waiting[None]:
        data = b""
        self.rests = True
        try:
            while more := (yield from self._retry(lambda: self.sock.recv(65536), _READ)):
                data += more
        finally:
            self._note(data)

    def _note(self, data: bytes) -> None:
        if data:
            self._server.heard.append(Heard(self._number, data))

    def _retry(self, operation: Callable[[], T], event: str) -> _Waiting[T]:
        """The result of an operation of a socket that does not block, as soon as it can be had."""
        while True:
            try:
                return operation()
            except ssl.SSLWantWriteError:
                wait = _WRITE
            except ssl.SSLWantReadError:
                wait = _READ
            except BlockingIOError:
                wait = event
            yield wait, _LIMIT


_FRAMING = re.compile(rb"\r\n(?:content-length: *(\d+)|transfer-encoding: *chunked)\r\n", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"([0-9a-f]+)[^\r]*\r\n", re.IGNORECASE)


def length_of_request(data: bytes) -> int | None:
    """The length of the request at the start of ``data``; None if it is not there to its end."""
    head = data.find(b"\r\n\r\n") + 4
    if head == 3:
        return None
    framing = _FRAMING.search(data, 0, head)
    if framing is None:
        return head
    if framing[1] is None:
        return _end_of_chunks(data, head)
    end = head + int(framing[1])
    return end if end <= len(data) else None


def _end_of_chunks(data: bytes, position: int) -> int | None:
    """Clients send no trailers, so an empty line follows the last chunk."""
    while chunk := _CHUNK_SIZE.match(data, position):
        size = int(chunk[1], 16)
        position = chunk.end() + size + 2
        if size == 0:
            return position if position <= len(data) else None
    return None
