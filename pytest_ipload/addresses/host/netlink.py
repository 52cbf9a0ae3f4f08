"""Questions to the Linux kernel about addresses and routes, over a netlink socket; see rtnetlink(7)."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator

_TIMEOUT_S = 5.0  # the kernel answers at once; this is for sandboxes that only pretend

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h. All numbers are in host byte order.
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_RTM_NEWADDR, _RTM_GETADDR, _RTM_NEWROUTE, _RTM_GETROUTE = 20, 22, 24, 26
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST = 1
_RTN_LOCAL = 2
_NLMSGHDR = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, interface index
_RTMSG = struct.Struct("=BBBBBBBBI")  # family, two prefix lengths, tos, table, protocol, scope, type, flags
_RTATTR = struct.Struct("=HH")  # length, type


def configured_addresses() -> Iterator[tuple[int, str]]:
    """Every address of every interface, with the interface's index. Raises ``OSError``."""
    with _socket() as netlink:
        body = _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        netlink.sendall(_request(_RTM_GETADDR, _NLM_F_REQUEST | _NLM_F_DUMP, 1, body))
        while True:
            for _, kind, message in _messages(netlink.recv(1 << 16)):
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    raise _refusal(message)
                if kind == _RTM_NEWADDR and (address := _own_address(message)) is not None:
                    yield address


class Routes:
    """The kernel's routing decisions. It is a context manager; the socket is opened with the first question."""

    def __init__(self) -> None:
        self._netlink: socket.socket | None = None
        self._sequence = 0
        self._silent = not hasattr(socket, "AF_NETLINK")

    def __enter__(self) -> Routes:
        return self

    def __exit__(self, *_: object) -> None:
        if self._netlink is not None:
            self._netlink.close()

    def is_local(self, address: str) -> bool | None:
        """Whether what is sent to the address stays on this host, because an interface has it or a route says so.

        None where the kernel does not report it: on other systems than Linux, and in some sandboxes.
        """
        if self._silent:
            return None
        try:
            self._netlink = self._netlink or _socket()
        except OSError:  # a sandbox without netlink
            self._silent = True
            return None
        try:
            return self._route_type(self._netlink, address) == _RTN_LOCAL
        except OSError as error:
            self._silent = isinstance(error, TimeoutError) or error.errno in (errno.EPERM, errno.EOPNOTSUPP)
            # Any other error is an answer: there is no route, or one that forbids the address.
            return None if self._silent else False

    def _route_type(self, netlink: socket.socket, address: str) -> int:
        target = ipaddress.ip_address(address)
        family = socket.AF_INET if target.version == 4 else socket.AF_INET6
        body = _RTMSG.pack(family, target.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
        body += _RTATTR.pack(_RTATTR.size + len(target.packed), _RTA_DST) + target.packed
        self._sequence += 1
        netlink.sendall(_request(_RTM_GETROUTE, _NLM_F_REQUEST, self._sequence, body))
        while True:
            for sequence, kind, message in _messages(netlink.recv(1 << 16)):
                if sequence == self._sequence and kind == _NLMSG_ERROR:
                    raise _refusal(message)
                if sequence == self._sequence and kind == _RTM_NEWROUTE:
                    return int(_RTMSG.unpack_from(message)[7])


def _socket() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        netlink.settimeout(_TIMEOUT_S)
        netlink.connect((0, 0))  # the kernel's end
    except OSError:
        netlink.close()
        raise
    return netlink


def _request(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _NLMSGHDR.pack(_NLMSGHDR.size + len(body), kind, flags, sequence, 0) + body


def _refusal(message: bytes) -> OSError:
    code = -struct.unpack_from("=i", message)[0]
    return OSError(code, os.strerror(code))


def _messages(reply: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The sequence number, type and body of each netlink message in a reply."""
    position = 0
    while position + _NLMSGHDR.size <= len(reply):
        length, kind, _, sequence, _ = _NLMSGHDR.unpack_from(reply, position)
        yield sequence, kind, reply[position + _NLMSGHDR.size : position + length]
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
