"""A small web service that can be made slow in one place: what ``explain.py`` loads.

    python benchmarks/explain_service.py SERVER KIND WHEN SEED

``SERVER`` is ``flask`` (threaded development server), ``fastapi`` (uvicorn) or ``stdlib`` (http.server); ``KIND`` is
how ``price_of`` is slow: ``cpu``, ``sleep`` or ``lock``; ``WHEN`` is ``never``, ``always``, or ``sometimes``: for
three seconds of six, ``SEED`` says which. Prints the port that it listens at.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOCK = threading.Lock()


def compute(milliseconds: float) -> int:
    """Keep a processor busy."""
    steps, end = 0, time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        steps += 1
    return steps


def render() -> int:
    """Part of every request."""
    return compute(1)


def load_cart() -> None:
    """Part of every request: a database, as it were."""
    time.sleep(0.008)


def count_price(milliseconds: float) -> int:
    """The slow place, on a processor."""
    steps, end = 0, time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        steps += 1
    return steps


def price_of(kind: str) -> None:
    """The slow place."""
    if kind == "cpu":
        count_price(6)
    elif kind == "sleep":
        time.sleep(0.08)
    else:
        with LOCK:
            time.sleep(0.012)


def is_slow_now(when: str, seed: int) -> bool:
    """Whether requests of this second are slow."""
    if when == "sometimes":
        return (int(time.time()) // 3 + seed) % 2 == 1
    return when == "always"


def cart(kind: str, when: str, seed: int) -> str:
    """Answer one request."""
    load_cart()
    if is_slow_now(when, seed):
        price_of(kind)
    render()
    return "ok"


def serve_flask(listener: socket.socket, kind: str, when: str, seed: int) -> None:
    """Flask's development server, one thread for each connection."""
    from flask import Flask
    from werkzeug.serving import WSGIRequestHandler, make_server

    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    logging.getLogger("werkzeug").disabled = True
    app = Flask(__name__)
    app.add_url_rule("/cart", "cart", lambda: cart(kind, when, seed))
    make_server("127.0.0.1", 0, app, threaded=True, fd=listener.fileno()).serve_forever()


def serve_fastapi(listener: socket.socket, kind: str, when: str, seed: int) -> None:
    """FastAPI on uvicorn, with a handler that is not a coroutine: it runs on a thread of a pool."""
    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()
    app.add_api_route("/cart", lambda: cart(kind, when, seed))
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listener])


def serve_stdlib(listener: socket.socket, kind: str, when: str, seed: int) -> None:
    """The server of Python's standard library, one thread for each connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            body = cart(kind, when, seed).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_address = listener.getsockname()
    server.serve_forever()


def main() -> None:
    """Serve until killed."""
    server, kind, when, seed = sys.argv[1:]
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        print(listener.getsockname()[1], flush=True)
        serve = {"flask": serve_flask, "fastapi": serve_fastapi, "stdlib": serve_stdlib}[server]
        serve(listener, kind, when, int(seed))


if __name__ == "__main__":
    main()
