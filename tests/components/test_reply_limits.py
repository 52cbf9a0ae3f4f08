"""Replies that are larger than their component may read: the host does not read them to their end either."""

from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from support.wat import RESULT, Guest

from pytest_ipload.base.errors import ComponentReplyExceeded
from pytest_ipload.stats.sample import Sample
from pytest_ipload.transport.reply_limit import Excess

Play = Callable[..., dict[str, Any]]
MIB = 1 << 20
LARGE = 48 * MIB
PART = bytes(64 << 10)
CHUNK = b"%x\r\n%b\r\n" % (len(PART), PART)
OK = b"HTTP/1.1 200 OK\r\n"
HEADERS = b"".join(b"X-%d: %b\r\n" % (i, b"y" * 60_000) for i in range(30))
BOMB = gzip.compress(bytes(LARGE))
REPLIES = {
    "with a length": (OK + b"Content-Length: %d\r\n\r\n" % LARGE, PART),
    "in chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK),
    "until the end": (OK + b"Connection: close\r\n\r\n", PART),
    "compressed": (OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB, b""),
    "compressed in chunks": (
        OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BOMB), BOMB),
        b"",
    ),
    "of a redirect": (OK.replace(b"200 OK", b"302 Found") + b"Location: /\r\nContent-Length: %d\r\n\r\n" % LARGE, PART),
    "in headers": (OK + HEADERS + b"Content-Length: 0\r\n\r\n", b""),
}


class Flood:
    """Answers the first request with a small reply, and the second one with a large one."""

    def __init__(self, reply: tuple[bytes, bytes]) -> None:
        self.sent = 0
        self._reply = reply
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        begin, part = self._reply
        with closing(self._listener), self._listener.accept()[0] as conn:
            conn.settimeout(20)
            try:
                conn.recv(65536)
                conn.sendall(OK + b"Content-Length: 2\r\n\r\nhi")
                conn.recv(65536)
                conn.sendall(begin)
                while part and self.sent < LARGE:
                    conn.sendall(part)
                    self.sent += len(part)
            except OSError:  # the other side has closed
                pass

    @contextmanager
    def running(self) -> Iterator[Flood]:
        self._thread.start()
        yield self
        self._thread.join()


@pytest.mark.parametrize("kind", REPLIES)
def test_a_reply_that_is_too_large_is_not_held(kind: str, play: Play, samples: list[Sample]) -> None:
    with Flood(REPLIES[kind]).running() as server:
        guest = Guest()
        get = f"(call $host.get {guest.text(f'http://127.0.0.1:{server.port}/')} (i32.const {RESULT}))"
        tracemalloc.start()
        try:
            with pytest.raises(
                ComponentReplyExceeded, match=r"a reply has (more than )?\d+ bytes; its limit is reply_"
            ):
                play(guest.wat(get * 2), reply_bytes="1MiB")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < LARGE / 2
    assert server.sent < LARGE / 2
    assert len(samples) == 2  # also the request whose reply was given up is counted


def test_what_libcurl_has_received_is_counted_once() -> None:
    chunks = [b"12345"]
    is_too_much = Excess(chunks, 9)
    assert not is_too_much()
    chunks += [b"6789", b""]
    assert not is_too_much()
    chunks.append(b"0")
    assert is_too_much()
