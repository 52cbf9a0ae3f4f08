"""The bytes of replies."""

from __future__ import annotations


def head(*headers: str, status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    """A head with these header lines, and its empty line."""
    lines = [f"{version} {status}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def reply(body: bytes = b"hello", *headers: str, status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    """A whole reply with its content-length."""
    return head(*headers, f"Content-Length: {len(body)}", status=status, version=version) + body


def chunked(*lines: bytes, headers: tuple[str, ...] = (), status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    """A reply with transfer-encoding chunked; ``lines`` are its body as it is sent."""
    return head("Transfer-Encoding: chunked", *headers, status=status, version=version) + b"".join(lines)


def chunk(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"
"""The end of a chunked body."""
