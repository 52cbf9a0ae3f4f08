"""HTTP/3 for an ASGI application, by aioquic. Imported by ``asgi_app`` in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, QuicEvent, StreamReset

Application = Callable[..., Awaitable[None]]
_GONE = {"type": "http.disconnect"}


class Http3Connection(QuicConnectionProtocol):
    """The connection of one client."""

    def __init__(self, *args: Any, app: Application, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._app = app
        self._http: H3Connection | None = None
        self._bodies: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def quic_event_received(self, event: QuicEvent) -> None:
        """As in aioquic."""
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        elif isinstance(event, StreamReset) and event.stream_id in self._bodies:
            self._bodies[event.stream_id].put_nowait(_GONE)
        elif isinstance(event, ConnectionTerminated):
            for task in self._tasks:
                task.cancel()
        if self._http is not None:
            for each in self._http.handle_event(event):
                self._received(each)

    def _received(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            self._bodies[event.stream_id] = asyncio.Queue()
            task = asyncio.ensure_future(self._run(event.stream_id, dict(event.headers), event.headers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if isinstance(event, (HeadersReceived, DataReceived)):
            body = event.data if isinstance(event, DataReceived) else b""
            message = {"type": "http.request", "body": body, "more_body": not event.stream_ended}
            self._bodies[event.stream_id].put_nowait(message)

    async def _run(self, stream: int, pseudo: dict[bytes, bytes], headers: list[tuple[bytes, bytes]]) -> None:
        path, _, query = pseudo[b":path"].partition(b"?")
        scope = {
            "type": "http",
            "http_version": "3",
            "method": pseudo[b":method"].decode(),
            "path": path.decode(),
            "query_string": query,
            "headers": [(name, value) for name, value in headers if not name.startswith(b":")],
            "client": self._quic._network_paths[0].addr[:2],
        }
        await self._app(scope, self._bodies[stream].get, partial(self._send, stream, pseudo[b":method"] == b"HEAD"))
        del self._bodies[stream]

    async def _send(self, stream: int, is_head: bool, message: dict[str, Any]) -> None:
        assert self._http is not None
        if message["type"] == "http.response.start":
            status = (b":status", str(message["status"]).encode())
            self._http.send_headers(stream, [status, *message["headers"]])
        else:
            self._http.send_data(stream, b"" if is_head else message["body"], end_stream=not message.get("more_body"))
        self.transmit()


async def serve_http_3(app: Application, port: int, certificate: str, key: str) -> None:
    """Listen at a UDP port of 127.0.0.1, until the loop ends."""
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=False)
    configuration.load_cert_chain(certificate, key)
    await serve("127.0.0.1", port, configuration=configuration, create_protocol=partial(Http3Connection, app=app))
