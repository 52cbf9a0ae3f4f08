"""The connections that a user opens besides its HTTP requests."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_ipload.transport.session import LoadSession
    from pytest_ipload.transport.web_socket import WebSocket


class ConnectingUser:
    """The part of a ``VirtualUser`` that opens connections, all by its session."""

    @property
    def session(self) -> LoadSession:
        """This user's HTTP session."""
        raise NotImplementedError

    def create_connection(self, address: tuple[str, int], timeout: float | None = 30.0) -> socket.socket:
        """A TCP socket to (host, port) that leaves from the user's source address; see ``LoadSession``.

        Raises TargetNotAllowed, the faults of the own side (SourceAddressError), OSError. The caller closes it.
        """
        return self.session.create_connection(address, timeout)

    def create_datagram_socket(self, family: int | None = None) -> socket.socket:
        """A UDP socket bound to the user's source address; ``family`` is 4, 6 or None: that of the first address.

        Raises SourceAddressError, and SettingError without an address of the family. The caller closes it.
        """
        return self.session.create_datagram_socket(family)

    def websocket(self, url: str, **options: Any) -> WebSocket:
        """A WebSocket that leaves from the user's source address; ``options`` are those of ``LoadSession.websocket``.

        ``with ipload_user.websocket("/chat") as ws:`` opens and closes it. Needs ``pytest-ipload[websocket]``.
        """
        return self.session.websocket(url, **options)
