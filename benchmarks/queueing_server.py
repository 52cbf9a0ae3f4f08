"""An HTTP server with a known capacity: c workers that take an exact time for each request, and a queue before them.

    python benchmarks/queueing_server.py WORKERS SERVICE_MS

One thread. When a request comes, the end of its service is known: the first free worker's time, plus the service time.
The reply leaves then. So the capacity is ``WORKERS / SERVICE_MS`` requests per millisecond, as long as this process has
processor time. It prints ``port N`` and ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import heapq
import sys

_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


class Queue:
    """The workers, by the times when they are free."""

    def __init__(self, workers: int, service_s: float) -> None:
        self._free_at = [0.0] * workers
        self._service_s = service_s

    def ends_at(self, now: float) -> float:
        """When the service of a request that comes now ends."""
        ends_at = max(now, self._free_at[0]) + self._service_s
        heapq.heapreplace(self._free_at, ends_at)
        return ends_at


class _Connection(asyncio.Protocol):
    def __init__(self, queue: Queue, loop: asyncio.AbstractEventLoop) -> None:
        self._queue = queue
        self._loop = loop
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where replies go."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Queue each whole request; none has a body."""
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for _ in requests:
            self._loop.call_at(self._queue.ends_at(self._loop.time()), self._reply)

    def _reply(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_REPLY)


async def serve(workers: int, service_s: float) -> None:
    """Serve until stdin ends."""
    loop, queue, end = asyncio.get_running_loop(), Queue(workers, service_s), asyncio.Event()
    server = await loop.create_server(lambda: _Connection(queue, loop), "127.0.0.1", 0, backlog=1024)
    loop.add_reader(sys.stdin, lambda: None if sys.stdin.read(1) else end.set())
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await end.wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
