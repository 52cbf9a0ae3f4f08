"""What this host says about addresses: which ones its interfaces have, and which ones work as a source.

It and ``netlink`` are the only modules of this package that open sockets of their own.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import math
import socket
import struct
import sys
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

from pytest_ipload.addresses.host.bind_source import bind_source
from pytest_ipload.addresses.host.netlink import Routes, configured_addresses
from pytest_ipload.base import real_time
from pytest_ipload.base.errors import PoolError

MAX_SELF_CONNECTS = 4096
"""At most this many addresses are checked by a connection from each to this host; the others are only bound."""

NOT_ON_THIS_HOST = "not on this host"
NOT_ROUTED = "not routed to this host"
LOCAL_BY_ROUTE = "on this host by a local route only"

_CONNECT_TIMEOUT_S = 0.5  # on loopback the handshake takes microseconds
_LOOPBACKS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: no TIME_WAIT is left behind


class Unusable(NamedTuple):
    """An address that cannot be a source, and why: words that follow "is" or "are"."""

    address: str
    reason: str


def interfaces() -> list[str]:
    """The names of this host's network interfaces."""
    return [name for _, name in socket.if_nameindex()]


def interface_addresses(name: str) -> list[str]:
    """The addresses configured on an interface, of both families, secondary and link-local ones included.

    Addresses that are local through a route only (AnyIP) are not among them. Raises ``PoolError`` if there is no
    such interface, or if the system is not Linux.
    """
    if not hasattr(socket, "AF_NETLINK"):
        raise PoolError("interface names need Linux; list the addresses")
    known = interfaces()
    if name not in known:
        raise PoolError(f"no interface {name!r} (interfaces of this host: {', '.join(known) or 'none'})")
    try:
        wanted = socket.if_nametoindex(name)
        return [address for index, address in configured_addresses() if index == wanted]
    except OSError as error:
        raise PoolError(f"the addresses of interface {name!r} cannot be read ({error}); list them") from error


def how_to_add(address: str) -> str:
    """The command that makes an address local on this system; empty where none is known."""
    version = ipaddress.ip_address(address).version
    if sys.platform == "linux":
        return f"ip addr add {address}/{32 if version == 4 else 128} dev lo"
    if sys.platform == "darwin":
        return f"sudo ifconfig lo0 {'alias' if version == 4 else 'inet6 alias'} {address}"
    return ""


def how_to_route(network: str) -> str:
    """The command that makes all addresses of a network (or one address) local on Linux, through a route (AnyIP)."""
    return f"ip {'-6 ' if ':' in network else ''}route add local {network} dev lo"


def unusable(
    addresses: Sequence[str], *, freebind: Collection[str] = frozenset(), patience: float = 30.0
) -> list[Unusable]:
    """The addresses that are not local or that the kernel does not use as a source, in the order given.

    Being able to bind proves little: broadcast and multicast addresses bind too, and then the kernel sends from
    another address. So each one connects to a listener of this process on loopback and is compared with what the
    socket got. No packet leaves the host. Of more than ``MAX_SELF_CONNECTS`` addresses only the ends of each
    evenly spaced run connect, and all bind.

    Those in ``freebind`` are bound as free-bind addresses. As any address binds then, the kernel is asked whether
    it is routed to this host; where that is unknown, each one has to connect.

    After ``patience`` seconds the rest is given back as not checked. Raises ``PoolError`` if this process
    may not open sockets.
    """
    connecting = _connecting(addresses)
    deadline = real_time.monotonic() + patience
    found: list[Unusable] = []
    with contextlib.ExitStack() as stack:
        listeners = {family: _listen(family, stack) for family in _LOOPBACKS}
        routes = stack.enter_context(Routes())
        for index, address in enumerate(addresses):
            listener = listeners[socket.AF_INET6 if ":" in address else socket.AF_INET]
            reason: str | None = f"not checked (the check timed out after {patience:g} s)"
            if real_time.monotonic() < deadline:
                connected = listener if index in connecting else None
                if address not in freebind:
                    reason = _fault(address, connected, routes)
                elif (local := routes.is_local(address)) is False:
                    reason = NOT_ROUTED
                else:
                    reason = _fault(address, connected if local else listener, routes, freebind=True)
            if reason is not None:
                found.append(Unusable(address, reason))
    return found


def _connecting(addresses: Sequence[str]) -> Collection[int]:
    """The positions of the addresses to be checked by a connection."""
    if len(addresses) <= MAX_SELF_CONNECTS:
        return range(len(addresses))
    numbers = [int(ipaddress.ip_address(address)) for address in addresses]
    steps = [after - before for before, after in pairwise(numbers)]
    # Where the step changes, one run ends and another begins. In a shard's pool the step is greater than 1.
    ends = [0, *(index for index, (left, right) in enumerate(pairwise(steps), start=1) if left != right), len(steps)]
    return set(ends[:: math.ceil(len(ends) / MAX_SELF_CONNECTS)])


def _listen(family: socket.AddressFamily, stack: contextlib.ExitStack) -> socket.socket | None:
    """A listener on loopback; None on a host without that family, where the bind alone has to do."""
    try:
        listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.bind((_LOOPBACKS[family], 0))
        listener.listen()
    except OSError:
        return None
    listener.setblocking(False)
    return listener


def _fault(address: str, listener: socket.socket | None, routes: Routes, *, freebind: bool = False) -> str | None:
    """Why an address is not usable; None if nothing speaks against it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return "of an IP family that this host does not support"
        raise PoolError(f"ip pool: cannot check {address} ({error})") from error
    with sock:
        sock.settimeout(_CONNECT_TIMEOUT_S)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        call = "bind"
        try:
            bind_source(sock, address, freebind)
            if listener is None:
                return None
            call = "connect"
            sock.connect(listener.getsockname())
        except OSError as error:
            if call == "bind" and error.errno == errno.EADDRNOTAVAIL:
                # IPv6 binds to what an interface has; IPv4 also to what a route makes local.
                return LOCAL_BY_ROUTE if family == socket.AF_INET6 and routes.is_local(address) else NOT_ON_THIS_HOST
            if call == "connect" and freebind and (isinstance(error, TimeoutError) or error.errno == errno.ENETUNREACH):
                return NOT_ROUTED
            return f"not usable as a source ({call}: {error.strerror or error})"
        used = sock.getsockname()[0]
    _empty(listener)
    if ipaddress.ip_address(used) == ipaddress.ip_address(address):
        return None
    return f"broadcast or multicast (the kernel uses {used} instead)"


def _empty(listener: socket.socket) -> None:
    """Take what waits at the listener, else its queue fills up and connections stop."""
    with contextlib.suppress(OSError):  # BlockingIOError: nothing waits any more
        while True:
            listener.accept()[0].close()
