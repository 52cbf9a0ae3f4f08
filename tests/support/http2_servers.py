"""Servers for HTTP/2 and HTTP/3, each in a process of its own that ends with the block it was started in."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TESTS = Path(__file__).parents[1]
_NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off;
  default_type text/plain;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  ssl_certificate {certificate};
  ssl_certificate_key {key};
  server {{
    listen 127.0.0.1:{ports[0]} ssl http2;
    listen 127.0.0.1:{ports[1]} http2;
    location / {{ return 200 "$remote_addr $connection $server_protocol"; }}
    location /missing {{ return 404 "no"; }}
  }}
  server {{
    listen 127.0.0.1:{ports[2]} ssl;
    listen 127.0.0.1:{ports[3]};
    location / {{ return 200 "old"; }}
  }}
  server {{
    listen 127.0.0.1:{ports[4]} http2;
    keepalive_requests 1;
    location / {{ return 200 "$connection"; }}
  }}
}}
"""


@dataclass(frozen=True)
class Http2Nginx:
    """The base URLs of an nginx: its replies say where the request came from, on which connection."""

    tls: str
    plain: str
    old_tls: str
    """Speaks HTTP/1.1 only, as does ``old_plain``."""
    old_plain: str
    closing: str
    """Without TLS; it closes each connection after one request."""


@contextlib.contextmanager
def http2_nginx(program: str, folder: Path, certificate: str, key: str) -> Iterator[Http2Nginx]:
    """An nginx with one worker; its files are in ``folder``."""
    ports = free_ports(5)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, certificate=certificate, key=key, ports=ports), encoding="utf-8")
    command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    schemes = ("https", "http", "https", "http", "http")
    with _running(command, ports[0]):
        yield Http2Nginx(*(f"{scheme}://127.0.0.1:{port}" for scheme, port in zip(schemes, ports, strict=True)))


@contextlib.contextmanager
def asgi_server(certificate: str, key: str) -> Iterator[str]:
    """The base URL of a hypercorn that speaks HTTP/1.1, HTTP/2 and HTTP/3: see ``asgi_app``."""
    [port] = free_ports(1)
    with _running([sys.executable, "-m", "support.asgi_app", str(port), certificate, key], port):
        yield f"https://127.0.0.1:{port}"


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 at which nothing listens, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in sockets]


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=_TESTS
    )
    try:
        _wait_for(process, port)
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"{process.args!r} ended with {process.returncode}")
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)  # another process opens the port; there is no event to wait for
    raise AssertionError(f"nothing listens at port {port}")
