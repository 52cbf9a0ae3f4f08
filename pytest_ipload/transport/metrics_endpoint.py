"""Gets what an endpoint of metrics says, apart from the load: with sockets of its own, and a limit on each reading.

The users' addresses, connections, counts and patches have no part in it; the allowed hosts are the same.
"""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from copy import copy
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import unquote, urlsplit

from pytest_ipload.base import real_time
from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.masking import masked
from pytest_ipload.transport.allowed_hosts import AllowedHosts

TIMEOUT_S = 0.8
"""For one reading: the next one is due after a second."""
MOST_BYTES = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_PORTS = {"http": 80, "https": 443}
_Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]


class EndpointError(OSError):
    """A reading failed."""


class MetricsEndpoint:
    """An endpoint, resolved once. For one thread at a time, but for ``interrupt``."""

    def __init__(self, url: str, guard: AllowedHosts) -> None:
        """Raises SettingError for an invalid URL, or a host that cannot be resolved; TargetNotAllowed."""
        self.url = masked(url)
        try:
            parts = urlsplit(url)
            self._port = parts.port or _PORTS[parts.scheme]
            if not url.isprintable() or " " in url:
                raise ValueError
        except (KeyError, ValueError):
            raise SettingError(
                f"ipload_target: prometheus={self.url!r} is not a URL of http or https; write it as in "
                "'http://127.0.0.1:8000/metrics'"
            ) from None
        if not parts.hostname:
            raise SettingError(f"ipload_target: prometheus={self.url!r} has no host")
        guard.check(url)
        self._host = parts.hostname
        self.path = parts.path
        self.query = parts.query
        self._netloc = parts.netloc.rpartition("@")[2]
        self._login = None if parts.username is None else f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._addresses = self._resolved(guard)
        self._socket: socket.socket | None = None

    def get(self, path: str, *, deadline: float | None = None) -> tuple[int, bytes]:
        """The status and the body of the reply. Raises EndpointError.

        ``deadline`` is by ``real_time.monotonic``; None for the usual limit from now on.
        """
        deadline = real_time.monotonic() + TIMEOUT_S if deadline is None else deadline
        try:
            connection = HTTPConnection(self._host, self._port)
            connection.sock = self._socket = self._connected(deadline)
            try:
                connection.request("GET", path, headers=self._headers())
                response = connection.getresponse()
                return response.status, self._body(response, deadline)
            finally:
                connection.close()
                self._socket = None
        except TimeoutError:
            raise EndpointError(f"no reply from {self.url} within {TIMEOUT_S:g} s") from None
        except (OSError, HTTPException, ValueError) as error:
            raise EndpointError(f"{self.url}: {masked(str(error) or type(error).__name__)}") from None

    def another(self) -> MetricsEndpoint:
        """The same for another thread."""
        other = copy(self)
        other._socket = None
        return other

    def interrupt(self) -> None:
        """End a reading that is on its way, from another thread."""
        sock = self._socket
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has ended by itself

    def _resolved(self, guard: AllowedHosts) -> list[_Address]:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise SettingError(
                f"ipload_target: prometheus={self.url!r}: {self._host!r} has no address: {error}"
            ) from None
        for _, _, _, _, address in found:
            guard.check_address(self._host, str(address[0]))
        return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]  # of internet sockets

    def _connected(self, deadline: float) -> socket.socket:
        problem: OSError = EndpointError(f"{self._host!r} has no address")
        for family, address in self._addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(_left(deadline))
                sock.connect(address)
                if self._tls is not None:
                    sock = self._tls.wrap_socket(sock, server_hostname=self._host)
            except OSError as error:
                sock.close()
                problem = error
            else:
                return sock
        raise problem

    def _headers(self) -> dict[str, str]:
        """No kept connection: it would hold a worker of the target between two readings."""
        headers = {"Host": self._netloc, "Accept": "text/plain, application/json", "Connection": "close"}
        if self._login is not None:
            headers["Authorization"] = f"Basic {b64encode(self._login.encode()).decode()}"
        return headers

    def _body(self, response: HTTPResponse, deadline: float) -> bytes:
        body = bytearray()
        while chunk := response.read1(_CHUNK):
            body += chunk
            if len(body) > MOST_BYTES:
                raise EndpointError(f"the reply has more than {MOST_BYTES} bytes")
            if self._socket is not None:
                self._socket.settimeout(_left(deadline))
        return bytes(body)


def _left(deadline: float) -> float:
    left = deadline - real_time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
