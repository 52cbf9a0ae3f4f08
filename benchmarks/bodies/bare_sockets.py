"""Sockets and nothing else, on threads: what any client written in Python has to pay at least.

Each user has one connection, sends the same bytes again and again, and receives each reply into the same buffer.
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading
import time
from urllib.parse import urlsplit

_BUFFER = 1 << 21
_BOUNDARY = b"0123456789abcdef0123456789abcdef"


def request(kind: str, url: str) -> bytes:
    """The bytes to send: a GET, or a POST of a file of 10 MB."""
    parts = urlsplit(url)
    common = f"{parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n".encode()
    if kind == "get":
        return b"GET " + common + b"\r\n"
    body = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="data.bin"\r\n\r\n' % _BOUNDARY
    body += bytes(10_000_000) + b"\r\n--%b--\r\n" % _BOUNDARY
    kind_of_body = b"Content-Type: multipart/form-data; boundary=" + _BOUNDARY
    return b"POST %b%b\r\nContent-Length: %d\r\n\r\n%b" % (common, kind_of_body, len(body), body)


def exchange(sock: socket.socket, data: bytes, view: memoryview, buffer: bytearray) -> None:
    """One request and its reply. Raises AssertionError for a reply that is not 200, or not whole."""
    sock.sendall(data)
    end, got = -1, 0
    while end < 0:
        count = sock.recv_into(view[got:])
        assert count
        got += count
        end = buffer.find(b"\r\n\r\n", 0, got)
    head = bytes(buffer[:end])
    assert head.startswith(b"HTTP/1.1 200 ")
    place = head.index(b"Content-Length: ") + 16
    whole = end + 4 + int(head[place:].partition(b"\r\n")[0])
    while got < whole:
        count = sock.recv_into(view[got:whole])
        assert count
        got += count


def live(options: argparse.Namespace, data: bytes, end: float, errors: list[Exception]) -> None:
    """One user's life; it ends with the first error."""
    parts = urlsplit(options.url)
    buffer = bytearray(_BUFFER)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), 30) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(None)
            while time.perf_counter() < end:
                exchange(sock, data, memoryview(buffer), buffer)
    except Exception as error:
        errors.append(error)


def main() -> None:
    """Start all users and wait for them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("body", choices=("get", "upload"))
    parser.add_argument("url")
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    data, errors, end = request(options.body, options.url), list[Exception](), time.perf_counter() + options.seconds
    users = [threading.Thread(target=live, args=(options, data, end, errors)) for _ in range(options.users)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    if errors:
        sys.exit(f"{len(errors)} users failed, the first with {errors[0]!r}")


if __name__ == "__main__":
    main()
