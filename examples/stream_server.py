"""A small server that streams, as LLM servers do: a target for examples, standard library only.

To run it until Ctrl-C::

    python examples/stream_server.py --port 8000

- ``POST /v1/chat/completions`` answers like an OpenAI-compatible server with ``"stream": true``: one server-sent event
  for each token, and ``[DONE]``. The first takes ``FIRST_TOKEN_S``, each next one ``TOKEN_S``.
- ``GET /prices`` sends JSON lines.
- ``/shout`` is a WebSocket that says everything in capitals; it needs the package ``websockets``.
- ``GET /whoami`` returns the caller's address.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen, TimeoutExpired
from threading import Timer

FIRST_TOKEN_S, TOKEN_S = 0.05, 0.01
READY = "stream server on "
START_LIMIT_S, STOP_LIMIT_S = 20.0, 5.0
SSE, JSON_LINES = "text/event-stream", "application/x-ndjson"


async def tokens(body: bytes) -> AsyncIterator[bytes]:
    """A chat completion, token by token."""
    question = json.loads(body)
    words = ["Hello", *(f" {number}" for number in range(1, int(question.get("max_tokens", 8))))]
    for number, word in enumerate(words):
        await asyncio.sleep(TOKEN_S if number else FIRST_TOKEN_S)
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        answer = {"object": "chat.completion.chunk", "model": question["model"], "choices": [choice]}
        yield f"data: {json.dumps(answer)}\n\n".encode()
    yield b"data: [DONE]\n\n"


async def prices(body: bytes) -> AsyncIterator[bytes]:
    """Five prices, one a line."""
    for number in range(5):
        await asyncio.sleep(TOKEN_S)
        yield json.dumps({"item": number, "price": 10 * number}).encode() + b"\n"


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer the requests of one connection."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.decode("latin-1").split(" ", 2)
            lines = (line.partition(":") for line in head.decode("latin-1").lower().split("\r\n")[1:])
            headers = {name: value.strip() for name, _, value in lines}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if path == "/shout" and headers.get("upgrade") == "websocket":
                await shout(head, reader, writer)
                break
            match method, path:
                case "POST", "/v1/chat/completions":
                    await stream(writer, SSE, tokens(body))
                case "GET", "/prices":
                    await stream(writer, JSON_LINES, prices(body))
                case "GET", "/whoami":
                    await reply(writer, "200 OK", writer.get_extra_info("peername")[0])
                case _:
                    await reply(writer, "404 Not Found", f"nothing at {method} {path}\n")
    writer.close()


async def reply(writer: StreamWriter, status: str, text: str) -> None:
    """A reply that is complete at once."""
    body = text.encode()
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()


async def stream(writer: StreamWriter, kind: str, parts: AsyncIterator[bytes]) -> None:
    """A reply in chunks, each as soon as it is there."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    async for part in parts:
        writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def shout(head: bytes, reader: StreamReader, writer: StreamWriter) -> None:
    """A WebSocket that answers each text in capitals."""
    from websockets.frames import Frame, Opcode
    from websockets.http11 import Request
    from websockets.server import ServerProtocol

    protocol = ServerProtocol()
    data = head
    while data:
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                protocol.send_text(bytes(event.data).upper())
        for part in protocol.data_to_send():
            if not part:  # the end of the connection
                return
            writer.write(part)
        await writer.drain()
        data = await reader.read(65536)


@contextmanager
def running_stream_server() -> Iterator[str]:
    """The URL of a server in a separate process, on a free port. It ends with the block, or with this process."""
    command = [sys.executable, __file__, "--until-stdin-closes"]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        watchdog = Timer(START_LIMIT_S, process.kill)  # stops waiting if the line never comes
        watchdog.start()
        try:
            line = process.stdout.readline()
            watchdog.cancel()
            if not line.startswith(READY):
                raise RuntimeError(f"the stream server did not start within {START_LIMIT_S:g} s")
            yield line.removeprefix(READY).strip()
        finally:
            watchdog.cancel()
            process.terminate()
            try:
                process.wait(STOP_LIMIT_S)
            except TimeoutExpired:
                process.kill()


async def main() -> None:
    """Serve until Ctrl-C or, if requested, the end of stdin."""
    parser = argparse.ArgumentParser(description="A small server that streams.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when stdin ends, as with a parent")
    options = parser.parse_args()
    server = await asyncio.start_server(serve, "127.0.0.1", options.port, backlog=1024)
    print(f"{READY}http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    ended = asyncio.Event()
    if options.until_stdin_closes:
        asyncio.get_running_loop().add_reader(0, ended.set)
    await ended.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
