"""Give a socket its source address."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Mapping

# Linux 4.2; the socket module names it from Python 3.11 on. Elsewhere the number means something else.
NO_PORT: int | None = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24) if sys.platform == "linux" else None
"""Number of the socket option ``IP_BIND_ADDRESS_NO_PORT``; None where the system does not have it."""

# linux/in.h: IP_FREEBIND. linux/in6.h: IPV6_FREEBIND, from Linux 4.15 on. The socket module names neither.
FREEBIND: Mapping[int, tuple[int, int]] | None = (
    {4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IPV6, 78)} if sys.platform == "linux" else None
)
"""Level and number of the free-bind option of each address family; None where the system does not have it."""


def bind_source(sock: socket.socket, address: str, freebind: bool = False, *, no_port: bool = True) -> None:
    """Bind a socket that is not yet connected to a source address of its own family; the kernel chooses the port.

    On Linux the port is chosen by ``connect``, when the target is known. So one port serves many targets, and
    connections bound this way do not take ports from other sources. Until then ``getsockname()[1]`` is 0.
    ``SO_REUSEADDR`` is never set: it does not give more ports.

    Without ``no_port`` the port is chosen at once, as an unconnected datagram socket needs it.

    With ``freebind`` the address need not be configured on an interface. IPv6 addresses that are local by a route
    only (AnyIP) need it. But then any address binds, and one that is not routed here fails in ``connect``, or never
    gets an answer. Where the system has no such option it changes nothing.

    Raises ``OSError`` as ``bind`` does: ``EADDRNOTAVAIL`` means that the address is not on this host.
    """
    if no_port and NO_PORT is not None:
        # An older kernel or a sandbox may refuse it: then the bind works all the same, with a port chosen at once.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, NO_PORT, 1)  # the level is IP for IPv6 sockets too
    if freebind and FREEBIND is not None:
        level, option = FREEBIND[6 if ":" in address else 4]
        sock.setsockopt(level, option, 1)
    sock.bind((address, 0))
