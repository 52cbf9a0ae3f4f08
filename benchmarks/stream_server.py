"""A server of token streams for ``streams.py``: it logs when it sent each event. One thread, no framework.

Each request is answered by ``EVENTS`` server-sent events, one each ``GAP_MS``, in chunks, on a connection that is kept.
When its stdin is closed it prints, as JSON, the gaps between the sends of each stream in milliseconds, and the times
from request to first event.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import select
import socket
import sys
import time

EVENTS, GAP_NS = int(sys.argv[1]), round(float(sys.argv[2]) * 1e6)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = '{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" word%d"}}]}'


class Stream:
    """One connection, and the stream that it is being sent."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.requested_ns = 0
        self.number = 0
        self.sent_ns = 0


def chunk(data: bytes) -> bytes:
    """As a chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def main() -> None:
    """Serve until stdin is closed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    print(f"listening {listener.getsockname()[1]}", flush=True)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    epoll.register(sys.stdin, select.EPOLLIN)
    streams: dict[int, Stream] = {}
    due: list[tuple[int, int]] = []
    gaps: list[float] = []
    firsts: list[float] = []
    while True:
        wait = -1.0 if not due else max(0.0, (due[0][0] - time.perf_counter_ns()) / 1e9)
        for number, _ in epoll.poll(wait):
            if number == sys.stdin.fileno():
                print(json.dumps({"gaps": gaps, "firsts": firsts}))
                return
            if number == listener.fileno():
                with contextlib.suppress(BlockingIOError):
                    while True:
                        sock, _ = listener.accept()
                        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        streams[sock.fileno()] = Stream(sock)
                        epoll.register(sock, select.EPOLLIN)
                continue
            stream = streams[number]
            data = stream.sock.recv(65536)
            if not data:
                epoll.unregister(number)
                stream.sock.close()
                del streams[number]
            if not data.startswith(b"POST "):  # the end of the connection, or a body that came after its head
                continue
            stream.requested_ns, stream.number = time.perf_counter_ns(), 0
            heapq.heappush(due, (stream.requested_ns + GAP_NS, number))
        now = time.perf_counter_ns()
        while due and due[0][0] <= now:
            planned, number = heapq.heappop(due)
            sent = streams.get(number)
            if sent is None:
                continue
            event = chunk(b"data: %s\n\n" % (TOKEN % sent.number).encode())
            is_first, is_last = sent.number == 0, sent.number == EVENTS - 1
            at = time.perf_counter_ns()
            with contextlib.suppress(OSError):
                sent.sock.send((HEAD if is_first else b"") + event + (b"0\r\n\r\n" if is_last else b""))
            if is_first:
                firsts.append((at - sent.requested_ns) / 1e6)
            else:
                gaps.append((at - sent.sent_ns) / 1e6)
            sent.sent_ns, sent.number = at, sent.number + 1
            if not is_last:
                heapq.heappush(due, (planned + GAP_NS, number))


main()
