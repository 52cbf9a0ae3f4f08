"""Connecting a socket from a chosen source address, and saying exactly what went wrong when it fails."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from urllib3 import Timeout
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from pytest_ipload.addresses.host.bind_source import bind_source
from pytest_ipload.base.errors import is_out_of_files
from pytest_ipload.transport.connect.binding import Binding, bound_by_itself
from pytest_ipload.transport.generator_errors import (
    OpenFilesExhausted,
    SourceAddressError,
    SourceFamilyMismatch,
    SourceNotLocal,
    SourceNotUsable,
    SourcePortsExhausted,
)

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
Sources = Mapping[int, str]
"""A source address for each address family that has one."""


class Dialer:
    """Connects to one host and port. ``owner`` is what the exceptions name: urllib3's connection, or a text."""

    def __init__(self, owner: Any, binding: Binding, sources: Sources, host: str, port: int) -> None:
        self.owner = owner
        self.binding = binding
        self.sources = sources
        self.host = host
        self.port = port
        self.options: Sequence[tuple[Any, ...]] = ()
        """Socket options, set before anything else."""
        self.timeout: Any = None
        """As urllib3 takes it: seconds, None for no limit, or urllib3's own default."""
        self.source: str | None = next(iter(sources.values()), None)
        """The source address of the last attempt, or of the first one to come; None where the system chooses."""

    @bound_by_itself
    def dial(self) -> socket.socket:
        """The connected socket, from the first of the host's addresses that answers.

        Raises TargetNotAllowed, the own side's fault (SourceAddressError, OpenFilesExhausted) if there is one, else
        urllib3's exception for the last address.
        """
        failures: list[Exception] = []
        for info in self._destinations():
            self.binding.check_address(self.host, info[4][0])
            self.source = self.sources.get(info[0], self.source)
            attempt = Attempt(self, self.sources.get(info[0]), info)
            try:
                sock = attempt.connect()
            except OSError as error:
                failures.append(attempt.explain(error))
                if attempt.step == "bind":
                    break  # another destination would not help
            else:
                if self.binding.targets is not None:
                    self.binding.targets.add(*info[4][:2])
                return sock
        if not failures:
            raise NewConnectionError(
                self.owner, "Failed to establish a new connection: getaddrinfo returns an empty list"
            )
        try:
            raise next((each for each in failures if isinstance(each, SourceAddressError)), failures[-1])
        finally:
            failures.clear()  # else the exception and this frame would keep each other alive

    def _destinations(self) -> Sequence[AddressInfo]:
        name, sources = self.host, self.sources
        try:
            name.encode("idna")
        except UnicodeError:
            raise LocationParseError(f"{name!r}, label empty or too long") from None
        family = next(iter(sources)) if len(sources) == 1 else allowed_gai_family()
        try:
            return socket.getaddrinfo(name, self.port, family, socket.SOCK_STREAM)
        except socket.gaierror as error:
            if len(sources) == 1:
                self.raise_family_mismatch(sources[family])
            raise NameResolutionError(name, self.owner, error) from error

    def raise_family_mismatch(self, source: str) -> None:
        """Raise SourceFamilyMismatch if the name has addresses, though none of the source's family."""
        with contextlib.suppress(socket.gaierror):
            infos = socket.getaddrinfo(self.host, self.port, 0, socket.SOCK_STREAM)
            raise family_mismatch(self.owner, source, self.host, infos) from None


def family_mismatch(owner: Any, source: str, host: str, infos: Iterable[Sequence[Any]]) -> SourceFamilyMismatch:
    """The error for a host whose addresses, those of ``getaddrinfo``, are all of another family than the source."""
    others = ", ".join(dict.fromkeys(str(info[4][0]) for info in infos))
    own = ipaddress.ip_address(source).version
    other = 10 - own
    return SourceFamilyMismatch(
        owner,
        f"source {source} is IPv{own} but {host!r} has only IPv{other} addresses ({others}); "
        f"add an IPv{other} source to the pool or use a target name with an IPv{own} address",
    )


class Attempt:
    """One destination address: open a socket, bind it, connect it; explain what went wrong."""

    def __init__(self, dialer: Dialer, source: str | None, info: AddressInfo) -> None:
        self.step = "socket"
        self._dialer = dialer
        self._conn = dialer.owner
        self._source = source
        self._family, self._kind, self._protocol, _, self._address = info

    def connect(self) -> socket.socket:
        """The connected socket. Raises OSError, and SourceNotUsable if the kernel used another source."""
        dialer = self._dialer
        sock = socket.socket(self._family, self._kind, self._protocol)
        try:
            for option in dialer.options:
                sock.setsockopt(*option)
            sock.settimeout(Timeout.resolve_default_timeout(dialer.timeout))
            if self._source is not None:
                self.step = "bind"
                bind_source(sock, self._source, self._source in dialer.binding.freebind)
            self.step = "connect"
            dialer.binding.watch(sock)
            sock.connect(self._address)
            self.check_used(sock.getsockname()[0])
        except BaseException:
            sock.close()
            raise
        return sock

    def check_used(self, used: str) -> None:
        """Raise SourceNotUsable if the kernel used another source address than the one that was bound."""
        if self._source is not None and not _is_same(used, self._source):
            raise SourceNotUsable(
                self._conn,
                f"source address {self._source} is a broadcast or multicast address: "
                f"the kernel used {used} instead; remove it from the pool",
            )

    def raise_own_fault(self, error: OSError) -> None:
        """Raise the fault of the own side (SourceAddressError) that ``error`` means at this step, if it means one."""
        fault = self._source_fault(error.errno)
        if fault is not None:
            raise fault from error

    def explain(self, error: OSError) -> Exception:
        """The exception that says what ``error`` means at this step."""
        meaning = self._meaning(error)
        meaning.__cause__ = error
        return meaning

    def _meaning(self, error: OSError) -> Exception:
        conn, source = self._conn, self._source
        if self.step == "socket" and is_out_of_files(error):
            return OpenFilesExhausted(
                conn, f"too many open files ({error}); raise the limit with 'ulimit -n', or use fewer users"
            )
        if isinstance(error, TimeoutError):
            return ConnectTimeoutError(conn, self._timeout_text())
        fault = self._source_fault(error.errno)
        if fault is not None:
            return fault
        if source is None:
            return NewConnectionError(conn, f"Failed to establish a new connection: {error}")
        if self.step == "bind":
            return SourceAddressError(conn, f"source address {source} cannot be bound: {error}")
        return NewConnectionError(
            conn, f"Failed to establish a new connection from source {source} to {self._address[0]}: {error}"
        )

    def _timeout_text(self) -> str:
        host, timeout = self._dialer.host, self._dialer.timeout
        if self._source is None:
            return f"Connection to {host} timed out. (connect timeout={timeout})"
        return (
            f"Connection to {host} from source {self._source} timed out (connect timeout={timeout}); "
            f"no SYN-ACK came back: is there a return route to {self._source}?"
        )

    def _source_fault(self, code: int | None) -> SourceAddressError | None:
        conn, source, step = self._conn, self._source, self.step
        if step == "bind" and code == errno.EADDRNOTAVAIL:
            return SourceNotLocal(
                conn,
                f"source address {source} is not an address of this host (bind: EADDRNOTAVAIL); add it with "
                f"'ip addr add {source}/{32 if self._family == socket.AF_INET else 128} dev lo' "
                "or remove it from the IP pool",
            )
        # Without a source, the same errno to an IPv6 address can mean that the host has no IPv6 at all.
        has_address = source is not None or self._family == socket.AF_INET
        if (step, code) == ("bind", errno.EADDRINUSE) or (
            (step, code) == ("connect", errno.EADDRNOTAVAIL) and has_address
        ):
            return SourcePortsExhausted(conn, self._exhausted_text(errno.errorcode[cast(int, code)]))
        if (step, code) == ("connect", errno.EINVAL) and source and ipaddress.ip_address(source).is_loopback:
            return SourceNotUsable(
                conn,
                f"source address {source} is a loopback address and can only reach this host, not {self._address[0]}",
            )
        return None

    def _exhausted_text(self, code: str) -> str:
        host, port = self._address[:2]
        target = f"[{host}]:{port}" if self._family == socket.AF_INET6 else f"{host}:{port}"
        source = f"source {self._source}" if self._source else "this host's own address"
        return (
            f"no free local port left for {source} -> {target} ({self.step}: {code}{_port_range()}); "
            "add source addresses, keep connections alive, or widen net.ipv4.ip_local_port_range"
        )


def _is_same(used: str, source: str) -> bool:
    """Whether two texts are the same address; the system writes an IPv6 zone by its name or its number."""
    return used == source or ipaddress.ip_address(used.partition("%")[0]) == ipaddress.ip_address(
        source.partition("%")[0]
    )


def _port_range() -> str:
    """Linux shows its range of local ports; elsewhere nothing is said about it."""
    try:
        low, high = _PORT_RANGE.read_text().split()
    except (OSError, ValueError):
        return ""
    return f"; range {low}-{high}"
