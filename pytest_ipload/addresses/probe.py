"""What this host says about addresses: which ones its interfaces have, and which ones work as a source.

The only module of this package that opens sockets of its own.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import math
import os
import socket
import struct
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from pytest_ipload.addresses.binding import bind_source
from pytest_ipload.errors import PoolError

MAX_SELF_CONNECTS = 4096
"""Up to so many addresses are checked by a connection of each to this host; beyond, the others are only bound."""

NOT_ON_THIS_HOST = "not on this host"

_CONNECT_TIMEOUT_S = 0.5  # on loopback the handshake takes microseconds
_NETLINK_TIMEOUT_S = 5.0
_LOOPBACKS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: no TIME_WAIT is left behind

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h. All numbers are in host byte order.
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_RTM_GETADDR, _RTM_NEWADDR = 22, 20
_NLM_F_REQUEST_DUMP = 0x1 | 0x300
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NLMSGHDR = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, interface index
_RTATTR = struct.Struct("=HH")  # length, type


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
        raise PoolError(f"no interface {name!r} (this host has {', '.join(known) or 'none'})")
    try:
        wanted = socket.if_nametoindex(name)
        return [address for index, address in _configured_addresses() if index == wanted]
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


def unusable(addresses: Sequence[str], *, patience: float = 30.0) -> list[Unusable]:
    """The addresses that are not local or that the kernel does not use as a source, in the order given.

    Being able to bind proves little: broadcast and multicast addresses bind too, and then the kernel sends from
    another address. So each one connects to a listener of this process on loopback and is compared with what the
    socket got. No packet leaves the host. Of more than ``MAX_SELF_CONNECTS`` addresses only the ends of each
    evenly spaced run connect, and all bind.

    After ``patience`` seconds the rest is given back as not checked. Raises ``PoolError`` if this process
    may not open sockets.
    """
    connecting = _connecting(addresses)
    deadline = time.monotonic() + patience
    found: list[Unusable] = []
    with contextlib.ExitStack() as stack:
        listeners = {family: _listen(family, stack) for family in _LOOPBACKS}
        for index, address in enumerate(addresses):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            reason: str | None = f"not checked (the check was stopped after {patience:g} s)"
            if time.monotonic() < deadline:
                reason = _fault(address, family, listeners[family] if index in connecting else None)
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


def _fault(address: str, family: socket.AddressFamily, listener: socket.socket | None) -> str | None:
    """Why an address is not usable; None if nothing speaks against it."""
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return "of a family that this host does not have"
        raise PoolError(f"ip pool: {address} cannot be checked ({error})") from error
    with sock:
        sock.settimeout(_CONNECT_TIMEOUT_S)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        call = "bind"
        try:
            bind_source(sock, address)
            if listener is None:
                return None
            call = "connect"
            sock.connect(listener.getsockname())
        except OSError as error:
            if call == "bind" and error.errno == errno.EADDRNOTAVAIL:
                return NOT_ON_THIS_HOST
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


def _configured_addresses() -> Iterator[tuple[int, str]]:
    """Every address of every interface with the interface's index, from the kernel (RTM_GETADDR)."""
    body = _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    request = _NLMSGHDR.pack(_NLMSGHDR.size + len(body), _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(_NETLINK_TIMEOUT_S)
        netlink.sendto(request, (0, 0))
        while True:
            reply = netlink.recv(1 << 16)
            for kind, message in _messages(reply):
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", message)[0]
                    raise OSError(code, os.strerror(code))
                if kind == _RTM_NEWADDR and (address := _own_address(message)) is not None:
                    yield address


def _messages(reply: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and body of each netlink message in a reply."""
    position = 0
    while position + _NLMSGHDR.size <= len(reply):
        length, kind, *_ = _NLMSGHDR.unpack_from(reply, position)
        yield kind, reply[position + _NLMSGHDR.size : position + length]
        position += max(_aligned(length), _NLMSGHDR.size)


def _own_address(message: bytes) -> tuple[int, str] | None:
    """The interface's index and the address in an RTM_NEWADDR message; None for another family than IP."""
    family, _, _, _, index = _IFADDRMSG.unpack_from(message)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    attributes: dict[int, bytes] = {}
    position = _IFADDRMSG.size
    while position + _RTATTR.size <= len(message):
        length, kind = _RTATTR.unpack_from(message, position)
        attributes[kind] = message[position + _RTATTR.size : position + length]
        position += max(_aligned(length), _RTATTR.size)
    # On a point-to-point link IFA_ADDRESS is the other end, and IFA_LOCAL is this one.
    packed = attributes.get(_IFA_LOCAL) or attributes[_IFA_ADDRESS]
    return index, str(ipaddress.ip_address(packed))


def _aligned(length: int) -> int:
    """Netlink pads messages and attributes to four bytes."""
    return (length + 3) & ~3
