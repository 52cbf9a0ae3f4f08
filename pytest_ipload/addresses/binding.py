"""Give a socket its source address."""

from __future__ import annotations

import contextlib
import socket
import sys

# Linux 4.2; the socket module names it from Python 3.11 on. Elsewhere the number means something else.
NO_PORT: int | None = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24) if sys.platform == "linux" else None
"""Number of the socket option ``IP_BIND_ADDRESS_NO_PORT``; None where the system does not have it."""


def bind_source(sock: socket.socket, address: str) -> None:
    """Bind a socket that is not yet connected to a source address of its own family; the kernel chooses the port.

    On Linux the port is chosen by ``connect``, when the target is known. So one port serves many targets, and
    connections bound this way do not take ports from other sources. Until then ``getsockname()[1]`` is 0.
    ``SO_REUSEADDR`` is never set: it does not give more ports.

    Raises ``OSError`` as ``bind`` does: ``EADDRNOTAVAIL`` means that the address is not on this host.
    """
    if NO_PORT is not None:
        # An older kernel or a sandbox may refuse it: then the bind works all the same, with a port chosen at once.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, NO_PORT, 1)  # the level is IP for IPv6 sockets too
    sock.bind((address, 0))
