"""Whether a target on this host is served by this process itself. Known on Linux only."""

from __future__ import annotations

import ipaddress
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc/thread-self")
_MOST_TARGETS = 100
_LISTEN = "0A"  # TCP_LISTEN in include/net/tcp_states.h of Linux

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Target = tuple[str, int]


class Targets:
    """The loopback targets that the users of a load connected to, a hundred at most. For many threads."""

    def __init__(self) -> None:
        self._targets: set[Target] = set()
        self._lock = threading.Lock()

    def add(self, address: str, port: int) -> None:
        """A connection to this IP address was opened."""
        target = address, port
        with self._lock:
            if target not in self._targets and len(self._targets) < _MOST_TARGETS and _address(address).is_loopback:
                self._targets.add(target)

    def all(self) -> list[Target]:
        """Addresses and ports."""
        with self._lock:
            return sorted(self._targets)


class Listener(NamedTuple):
    """A listening TCP socket."""

    address: Address
    port: int
    inode: str


def listeners(table: Iterable[str], byteorder: str = sys.byteorder) -> Iterator[Listener]:
    """The listening sockets among the rows of ``/proc/net/tcp`` or ``tcp6``.

    A row has, among others: number, local address:port, remote address:port, state, ... (8 more or so), inode. An
    address is written as words of 32 bits in the byte order of the machine (Documentation/networking/proc_net_tcp.rst
    in Linux' source). Raises ValueError or IndexError for a row that is none.
    """
    for row in table:
        fields = row.split()
        if len(fields) > 3 and fields[3] == _LISTEN:
            address, _, port = fields[1].partition(":")
            raw = bytes.fromhex(address)
            if byteorder == "little":
                raw = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
            yield Listener(_plain(ipaddress.ip_address(raw)), int(port, 16), fields[9])


def ports_served_here(targets: Iterable[Target], proc: Path = _PROC) -> list[int]:
    """The ports of those targets at which this process itself listens; none where the system does not say."""
    wanted = [(_address(address), port) for address, port in targets]
    if not wanted:
        return []
    found: list[Listener] = []
    try:
        own = _own_sockets(proc / "fd")
        for name in ("tcp", "tcp6"):
            with suppress(FileNotFoundError), (proc / "net" / name).open() as table:  # a host may have no IPv6
                found += listeners(table)
    except (OSError, ValueError, IndexError):
        return []
    return sorted({port for address, port in wanted if _server(address, port, found) & own})


def _server(address: Address, port: int, found: Iterable[Listener]) -> set[str]:
    """The sockets that connections to this target come to: those of the very address, else those of all addresses."""
    there = [each for each in found if each.port == port]
    exact = {each.inode for each in there if each.address == address}
    return exact or {
        each.inode
        for each in there
        if each.address.is_unspecified and each.address.version in (address.version, 6)  # :: takes IPv4 too
    }


def _own_sockets(descriptors: Path) -> set[str]:
    """The inodes of this process's sockets."""
    inodes = set()
    for descriptor in os.listdir(descriptors):
        with suppress(FileNotFoundError):  # it was closed meanwhile
            kind, _, number = os.readlink(descriptors / descriptor).partition(":")
            if kind == "socket":
                inodes.add(number.strip("[]"))
    return inodes


def _address(text: str) -> Address:
    return _plain(ipaddress.ip_address(text))


def _plain(address: Address) -> Address:
    """An IPv4 address that is written as an IPv6 one is still an IPv4 address."""
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
