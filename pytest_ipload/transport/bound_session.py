"""What a session and all its connections are bound to: where they leave from, and their end."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from pytest_ipload.addresses.source_address import SourceAddress
from pytest_ipload.transport.connect.binding import Binding
from pytest_ipload.transport.connect.sockets import connect_stream, open_datagram
from pytest_ipload.transport.verbs import Verbs


class Default:
    """Marks a timeout that was not given: None already means no timeout."""

    def __repr__(self) -> str:
        return "the session's timeout"


DEFAULT = Default()


class BoundSession(Verbs):
    """A session that leaves from source addresses, and may open sockets that do so too."""

    binding: Binding
    timeout: float | None

    @property
    def source_address(self) -> str | None:
        """The session's (first) source address; None where the operating system chooses."""
        return self.binding.source_address

    def rebind(self, source_address: str | Sequence[str | SourceAddress] | None) -> None:
        """Leave from another source address from the next request on.

        Connections that are open are kept, and used again when their address comes again: a session that rotates
        through eight addresses has eight connections.
        """
        self.binding.rebind(sequence(source_address))

    def create_connection(self, address: tuple[str, int], timeout: float | Default | None = DEFAULT) -> socket.socket:
        """A TCP socket to (host, port), as ``socket.create_connection`` makes it, but from the source address.

        ``timeout`` is in seconds, by default the session's. The host has to be allowed, and ``interrupt`` ends what
        blocks on the socket. The caller closes it. Raises TargetNotAllowed, the faults of the own side, OSError.
        """
        sock = connect_stream(self.binding, address, self.timeout if isinstance(timeout, Default) else timeout)
        if self.binding.opened is not None:
            self.binding.opened.add(str(sock.getsockname()[0]))
        return sock

    def create_datagram_socket(self, family: int | None = None) -> socket.socket:
        """A UDP socket that is bound to the source address; ``family`` is 4, 6, or None for the first address's.

        It sends to allowed hosts only. The caller closes it. Raises SettingError without an address of the family.
        """
        return open_datagram(self.binding, family)

    def interrupt(self) -> None:
        """End the session from another thread: what blocks in it fails at once, and so does every later request.

        Connections in use are shut down. A call that waits for the name server still waits.
        """
        self.binding.interrupt()

    def resume(self) -> None:
        """Allow requests again after ``interrupt``. For the session's own thread."""
        self.binding.resume()


def sequence(source_address: str | Sequence[str | SourceAddress] | None) -> Sequence[str | SourceAddress]:
    """The addresses of a session: none, one or several."""
    return (source_address,) if isinstance(source_address, str) else source_address or ()
