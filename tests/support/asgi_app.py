"""A server for HTTP/1.1, HTTP/2 and HTTP/3 on one port, in a process of its own, with a small application.

hypercorn serves the first two. The third is served by aioquic alone: hypercorn's HTTP/3 ends with the first timer of a
connection that goes off, because a client has gone or is slow.

``python -m support.asgi_app PORT CERTIFICATE KEY`` listens on 127.0.0.1, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_TEXT: Headers = [(b"content-type", b"text/plain; charset=utf-8")]
_FIXED: dict[str, tuple[int, Headers, bytes]] = {
    "/": (200, _TEXT, "hello, wörld".encode()),
    "/empty": (204, [], b""),
    "/missing": (404, _TEXT, b"not there"),
    "/broken": (503, [(b"content-type", b"text/html")], b"<p>later</p>"),
    "/gzip": (200, [*_TEXT, (b"content-encoding", b"gzip")], gzip.compress(b"packed " * 100)),
    "/not-gzip": (200, [*_TEXT, (b"content-encoding", b"gzip")], b"this is not gzip"),
    "/cookies": (200, [*_TEXT, (b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2; Path=/")], b"set"),
    "/forget": (200, [*_TEXT, (b"set-cookie", b"a=1; Path=/; Max-Age=0")], b"forgotten"),
    "/once": (302, [(b"location", b"/echo?once")], b"moved"),
    "/off-limits": (302, [(b"location", b"https://203.0.113.9/")], b""),
    "/twice": (301, [(b"location", b"/once"), (b"set-cookie", b"on-the-way=1; Path=/")], b""),
    "/kept": (307, [(b"location", b"/echo")], b""),
    "/endless": (302, [(b"location", b"/endless")], b""),
    "/json": (200, [(b"content-type", b"application/json")], b'{"a": [1, null]}'),
    "/repeated": (200, [*_TEXT, (b"x-one", b"1"), (b"x-one", b"2")], b"twice"),
    "/large": (200, [(b"content-type", b"application/octet-stream")], bytes(range(256)) * 4000),
}
_PER_VERSION = {b"host", b"connection", b"transfer-encoding", b"content-length", b"accept-encoding"}
_released = asyncio.Event()


async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
    """The application, as ASGI has it."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await _answer(scope, body, send)


async def _answer(scope: dict[str, Any], body: bytes, send: Send) -> None:
    path = scope["path"]
    if path in _FIXED:
        await _send(send, *_FIXED[path])
    elif path == "/echo":
        headers = sorted(
            (name.decode(), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name.lower() not in _PER_VERSION
        )
        seen = {
            "method": scope["method"],
            "query": scope["query_string"].decode(),
            "headers": headers,
            "body": body.decode("latin-1"),
        }
        await _send(send, 200, [(b"content-type", b"application/json")], json.dumps(seen).encode())
    elif path == "/from":
        host, port = scope["client"][:2]
        await _send(send, 200, _TEXT, f"{host} {port} {scope['http_version']}".encode())
    elif path == "/basic":
        known = dict(scope["headers"]).get(b"authorization") == b"Basic dTpw"
        await _send(send, 200 if known else 401, [(b"www-authenticate", b'Basic realm="x"')], b"")
    elif path == "/slow":
        await asyncio.sleep(float(parse_qs(scope["query_string"].decode())["s"][0]))
        await _send(send, 200, _TEXT, b"late")
    elif path == "/parts":
        await _parts(send)
    elif path == "/release":
        _released.set()
        await _send(send, 200, _TEXT, b"released")
    else:
        await _send(send, 404, _TEXT, b"no such path")


async def _parts(send: Send) -> None:
    """A body whose second part comes after a request for /release."""
    _released.clear()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"data: one\n\n", "more_body": True})
    await _released.wait()
    await send({"type": "http.response.body", "body": b"data: two\n\n", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(port: str, certificate: str, key: str) -> None:
    """Serve until standard input ends."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from support.http_3_server import serve_http_3

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.certfile, config.keyfile = certificate, key
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 0.1

    async def run() -> None:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.add_reader(sys.stdin, over.set)  # nothing is written to it
        await serve_http_3(app, int(port), certificate, key)
        await serve(app, config, shutdown_trigger=over.wait)  # type: ignore[arg-type]  # an application of ASGI 3

    asyncio.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
