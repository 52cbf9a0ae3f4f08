"""Errors of the generator's own side of a connection, which are errors of requests or urllib3 too.

::

    IploadError
    ├── LoadEnded                  (also requests' ConnectionError) the load is over
    ├── OpenFilesExhausted         (also urllib3's NewConnectionError) no socket could be made
    └── SourceAddressError         (also urllib3's NewConnectionError) the own side of a connection failed
        ├── SourceNotLocal
        ├── SourcePortsExhausted
        ├── SourceFamilyMismatch
        └── SourceNotUsable
"""

from __future__ import annotations

from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from pytest_ipload.base.errors import IploadError


class _OwnSideError(IploadError, NewConnectionError):
    """What the two errors below have in common: urllib3's way of being made."""

    fault: str
    """Its name in the results: such a fault is the generator's, not the target's."""

    def __init__(self, conn: Any, message: str) -> None:
        # Not super(): NewConnectionError's own __init__ is the one that takes the connection.
        NewConnectionError.__init__(self, conn, message)
        self.conn = conn
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has the connection's text in place of the connection, so that it says the same."""
        return type(self), (str(self.conn), self.message)


class SourceAddressError(_OwnSideError):
    """A connection could not be opened because of its own (source) side.

    ``requests`` turns it into ``requests.ConnectionError``; the original is ``error.args[0].reason``.
    """

    fault = "source-address"


class SourceNotLocal(SourceAddressError):
    """The source address is not an address of this host."""

    fault = "source-not-local"


class SourcePortsExhausted(SourceAddressError):
    """No local port is left for this source address and this target."""

    fault = "ports-exhausted"


class SourceFamilyMismatch(SourceAddressError):
    """The target has no address of the source address's family."""

    fault = "source-family-mismatch"


class SourceNotUsable(SourceAddressError):
    """The kernel accepts the address, but does not use it as the source of this connection."""

    fault = "source-not-usable"


class OpenFilesExhausted(_OwnSideError):
    """No socket could be made, because this process or system has too many open files."""

    fault = "files-exhausted"


class LoadEnded(IploadError, requests.exceptions.ConnectionError):
    """The session was interrupted because its load is over."""
