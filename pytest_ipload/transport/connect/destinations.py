"""Where a user's clients may connect to: addresses, and the names that they were looked up by."""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from pytest_ipload.transport.allowed_hosts import AllowedHosts

MAPPED = "::ffff:"
"""In front of an IPv4 address on an IPv6 socket."""
_MOST_REMEMBERED = 1000


class Destinations:
    """The destinations of one user; without a ``guard``, all.

    A client connects to an address. It is allowed if the address is, or if the client has looked up a name that is:
    so the names that are looked up are remembered.
    """

    def __init__(self, guard: AllowedHosts | None) -> None:
        self._guard = guard
        self._admitted: set[tuple[str, int]] = set()
        self._names: dict[str, str] = {}

    def check_name(self, name: str) -> None:
        """Raise TargetNotAllowed if it is the name, not the address, of a host that is not allowed."""
        if self._guard is not None and not is_literal(name):
            self._guard.check_host(name)

    def check_found(self, name: str, addresses: Iterable[str]) -> None:
        """Raise TargetNotAllowed if a name that is allowed leads somewhere that it must not."""
        if self._guard is not None and not is_literal(name):
            for address in addresses:
                self._guard.check_address(name, address)

    def note(self, name: str, addresses: Iterable[str]) -> None:
        """Remember the addresses of a name, if it is allowed."""
        if self._guard is not None and not is_literal(name) and self._guard.allows(name):
            if len(self._names) >= _MOST_REMEMBERED:
                self._names.clear()
            self._names.update((_without_zone(address), name) for address in addresses)

    def allowed(self, sock: socket.socket, address: Any) -> Any:
        """The address, with its number in the place of a name that could lead elsewhere when it is looked up again.

        Raises TargetNotAllowed, and what the look-up raises.
        """
        host, port = text_of(address[0]), address[1]
        if (host, port) in self._admitted:
            return address
        if not host or host.startswith("<"):  # the socket module's words for any address, and for broadcast
            any_address = "::" if sock.family == socket.AF_INET6 else "0.0.0.0"
            host = "255.255.255.255" if host else any_address
        elif not is_literal(host):
            return self._resolved(sock, host, address)
        self._check_literal(_without_zone(host))
        if len(self._admitted) < _MOST_REMEMBERED:
            self._admitted.add((host, port))
        return (host, *address[1:])

    def _resolved(self, sock: socket.socket, host: str, address: Any) -> Any:
        self.check_name(host)
        found = socket.getaddrinfo(host, address[1], sock.family, sock.type)[0][4]
        self.check_found(host, [str(found[0])])
        return (found[0], *address[1:], *found[len(address) :])

    def _check_literal(self, address: str) -> None:
        if self._guard is None or self._guard.allows(address):
            return
        name = self._names.get(address)
        if name is None:
            self._guard.check_host(address)
        else:
            self._guard.check_address(name, address)


def is_address(address: Any) -> bool:
    """Whether it has the form of an IP socket's address; if not, the socket says so."""
    return isinstance(address, tuple) and len(address) >= 2 and isinstance(address[0], (str, bytes, bytearray))


def text_of(host: Any) -> str:
    """A host as text; empty for none."""
    if isinstance(host, (bytes, bytearray)):
        return bytes(host).decode("utf-8", "replace")
    return host if isinstance(host, str) else ""


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def is_literal(host: str) -> bool:
    """Whether a host is given by its address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_any(host: Any) -> bool:
    """Whether it is the address that stands for any address of this host."""
    text = text_of(host)
    return not text or (is_literal(text) and ipaddress.ip_address(text).is_unspecified)


def is_mapped(address: str) -> bool:
    """Whether it is an IPv4 address on an IPv6 socket."""
    return _ipv4_of(address) is not None


def unmapped(address: str) -> str:
    """The address as an IPv4 socket has it, if it is one of IPv4."""
    return _ipv4_of(address) or address


def _ipv4_of(address: str) -> str | None:
    """The IPv4 address that an IPv6 address maps, however it is written; None if it maps none."""
    return _mapped_by(address) if ":" in address else None


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def _mapped_by(address: str) -> str | None:
    try:
        mapped = ipaddress.IPv6Address(address).ipv4_mapped
    except ValueError:
        return None
    return None if mapped is None else str(mapped)


def _without_zone(address: str) -> str:
    return address.partition("%")[0]
