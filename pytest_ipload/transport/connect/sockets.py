"""Plain sockets for protocols other than HTTP, bound and guarded as a session's connections are."""

from __future__ import annotations

import socket
from typing import Any

from urllib3.exceptions import HTTPError

from pytest_ipload.addresses.host.bind_source import bind_source
from pytest_ipload.base.errors import SettingError
from pytest_ipload.transport.connect.binding import Binding, bound_by_itself
from pytest_ipload.transport.connect.dial import Attempt, Dialer

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def connect_stream(binding: Binding, address: tuple[str, int], timeout: float | None) -> socket.socket:
    """A TCP socket connected to (host, port), from the binding's source address. It is not counted as opened.

    Raises TargetNotAllowed, LoadEnded, the own side's fault (SourceAddressError, OpenFilesExhausted), or the OSError
    that ``socket.create_connection`` would raise.
    """
    host, port = address
    binding.check(_url(host, port))
    dialer = Dialer(f"connection to {host}:{port}", binding, binding.sources, host, port)
    dialer.timeout = timeout
    try:
        sock = dialer.dial()
    except HTTPError as error:
        binding.check_running()  # an interrupted connection fails in many ways
        if not hasattr(error, "fault") and isinstance(error.__cause__, OSError):
            raise error.__cause__ from None  # what a user of sockets expects
        raise
    return sock


def open_datagram(binding: Binding, family: int | None) -> socket.socket:
    """A UDP socket of a family (4 or 6; None: that of the first source address, else 4), bound to the source address.

    Its ``connect`` and ``sendto`` raise TargetNotAllowed for a host that is not allowed. Raises LoadEnded,
    SourceAddressError, and SettingError if there is no source address of the family.
    """
    binding.check_running()
    if family not in (None, *_FAMILIES):
        raise SettingError(f"the family of a datagram socket is 4, 6 or None, not {family!r}")
    chosen = _FAMILIES[family] if family else next(iter(binding.sources), socket.AF_INET)
    source = binding.sources.get(chosen)
    if source is None and binding.sources:
        raise SettingError(f"this user has no IPv{family} source address, only {', '.join(binding.sources.values())}")
    sock = DatagramSocket(binding, chosen)
    try:
        if source is not None:
            _bind(sock, binding, source)
            if binding.opened is not None:
                binding.opened.add(source)
        binding.watch(sock)
    except BaseException:
        sock.close()
        raise
    return sock


class DatagramSocket(socket.socket):
    """A UDP socket that sends to allowed hosts only."""

    def __init__(self, binding: Binding, family: int) -> None:
        super().__init__(family, socket.SOCK_DGRAM)
        self.binding = binding

    @bound_by_itself
    def connect(self, address: Any) -> None:
        """As in ``socket``."""
        super().connect(self._checked(address))

    @bound_by_itself
    def connect_ex(self, address: Any) -> int:
        """As in ``socket``."""
        return super().connect_ex(self._checked(address))

    @bound_by_itself
    def sendto(self, data: Any, *flags_and_address: Any) -> int:
        """As in ``socket``."""
        given: list[Any] = [data, *flags_and_address]
        given[-1] = self._checked(given[-1])
        return super().sendto(*given)

    @bound_by_itself
    def sendmsg(self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /) -> int:
        """As in ``socket``."""
        return super().sendmsg(buffers, ancdata, flags, None if address is None else self._checked(address))

    def _checked(self, address: Any) -> Any:
        """The address, with its number in the place of a name that could lead elsewhere when it is looked up again."""
        host, port = address[:2]
        self.binding.check(_url(host, port))
        if self.binding.guard is None or not isinstance(host, str):
            return address
        found = socket.getaddrinfo(host, port, self.family, socket.SOCK_DGRAM)[0][4]
        self.binding.check_address(host, str(found[0]))
        return (found[0], *address[1:], *found[len(address) :])


def _bind(sock: socket.socket, binding: Binding, source: str) -> None:
    attempt = Attempt(
        Dialer("datagram socket", binding, binding.sources, "", 0),
        source,
        (sock.family, sock.type, 0, "", ("", 0)),
    )
    attempt.step = "bind"
    try:
        # Not with the no-port option: an unconnected datagram socket needs its port now.
        bind_source(sock, source, source in binding.freebind, no_port=False)
    except OSError as error:
        raise attempt.explain(error) from error


def _url(host: str, port: int) -> str:
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
