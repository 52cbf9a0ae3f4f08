"""An nginx to aim at: small replies, cookies, TLS, and a counter of all requests that no tool can embellish."""

from __future__ import annotations

import http.client
import os
import re
import socket
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from child import Child, running
from machine import program

INSTALL = "apt-get install nginx-light"
REPLY = "hello, this is the small reply that all tools of the benchmark get"
"""66 bytes; the bodies of the tests look for the word and the length."""
MEGABYTE = 1 << 20

_CONFIG = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  default_type text/plain;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_certificate {folder}/server.pem;
  ssl_certificate_key {folder}/server.key;
  server {{
    listen 127.0.0.1:{ports.http} backlog=4096;
    listen 127.0.0.1:{ports.https} ssl backlog=4096;
    listen 127.0.0.1:{ports.http2} ssl http2 backlog=4096;
    location / {{ return 200 "{reply}"; }}
    location = /megabyte {{ alias {folder}/megabyte; }}
    location = /upload {{ client_max_body_size 0; return 200 "{reply}"; }}
    location /cookie {{ add_header Set-Cookie "session=constant; Path=/"; return 200 "{reply}"; }}
    location /cookie-changing {{ add_header Set-Cookie "session=$request_id; Path=/"; return 200 "{reply}"; }}
  }}
  server {{
    listen 127.0.0.1:{ports.closing} ssl backlog=4096;
    keepalive_timeout 0;
    location / {{ return 200 "{reply}"; }}  # outside of a location, the reply would promise to keep the connection
  }}
  server {{
    listen 127.0.0.1:{ports.status};
    location / {{ stub_status; }}
  }}
}}
"""


class Ports(NamedTuple):
    """Where nginx listens, on 127.0.0.1."""

    http: int
    https: int
    closing: int
    """TLS as well, but each connection ends with its first reply."""
    status: int
    http2: int = 0
    """TLS, with HTTP/2 for those who ask."""


class Status(NamedTuple):
    """What ``stub_status`` tells of all servers together."""

    connections: int
    """Those that are open."""
    requests: int
    """Those that have arrived so far."""


def parse_status(text: str) -> Status:
    """Read the page of nginx's ``stub_status``. ValueError if it is anything else."""
    match = re.match(r"Active connections: (\d+) \nserver accepts handled requests\n \d+ \d+ (\d+) \n", text)
    if match is None:
        raise ValueError(f"not a page of stub_status: {text!r:.200}")
    return Status(int(match[1]), int(match[2]))


@dataclass
class Nginx:
    """A running nginx."""

    child: Child
    ports: Ports
    certificate: str
    """Path of the certificate authority that a client has to trust."""
    _asked: int = 0

    @property
    def urls(self) -> dict[str, str]:
        """The base URLs of its servers."""
        return {
            "http": f"http://127.0.0.1:{self.ports.http}",
            "https": f"https://127.0.0.1:{self.ports.https}",
            "https-connect": f"https://127.0.0.1:{self.ports.closing}",
        }

    def status(self) -> Status:
        """Connections and requests of others: those that ask for the status are not among them."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.status, timeout=10)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            counted = parse_status(connection.getresponse().read().decode())
        finally:
            connection.close()
        self._asked += 1
        return Status(counted.connections - 1, counted.requests - self._asked)

    def answers(self) -> bool:
        """Whether it has started."""
        try:
            self.status()
        except OSError:
            return False
        return True


@contextmanager
def running_nginx(core: int, folder: Path) -> Iterator[Nginx]:
    """An nginx with one worker on one core; its files are in ``folder``. Raises ToolFailed if it does not start."""
    path = program("nginx")
    if path is None:
        raise SystemExit(f"nginx is missing; install it with '{INSTALL}'")
    write_certificates(folder)
    ports = Ports(*free_ports(5))
    (folder / "megabyte").write_bytes(bytes(MEGABYTE))
    config = folder / "nginx.conf"
    user = "" if os.geteuid() else "user root;"  # else the worker becomes one that may not read the folder
    config.write_text(textwrap.dedent(_CONFIG).format(folder=folder, ports=ports, reply=REPLY, user=user))
    command = [path, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    with running("nginx", command, core, folder) as child:
        nginx = Nginx(child, ports, str(folder / "ca.pem"))
        try:
            child.wait_until(nginx.answers, "it answered")
            yield nginx
        finally:
            child.terminate()


def write_certificates(folder: Path) -> None:
    """An authority (``ca.pem``) and what it issued for 127.0.0.1: ``server.pem``, ``server.key``, ``both.pem``."""
    try:
        import trustme
    except ImportError:
        raise SystemExit("trustme is missing; install it with 'pip install trustme'") from None
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    issued.private_key_pem.write_to_path(str(folder / "server.key"))
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "both.pem"))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses at the moment, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
