"""What a load needs from this host: open files, local ports, routes. Checked before the load, and shown in its plan."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_ipload.addresses.host.local_ports import local_ports, port_shortage
from pytest_ipload.addresses.host.route import route_problem
from pytest_ipload.base.errors import PoolError
from pytest_ipload.base.units import format_count
from pytest_ipload.load.generator.resource_limits import ensure_open_files, files_needed
from pytest_ipload.load.user_leases import USER
from pytest_ipload.settings.combination import COMMAND_LINE, PROFILE
from pytest_ipload.settings.load_profile import LoadProfile

if TYPE_CHECKING:
    from pytest_ipload.addresses.pool import IpPool

_FILES_OF_CURL = 4
"""Open files of a user of HTTP/2 or HTTP/3: libcurl's socket, its duplicate here, and two for libcurl itself."""
_MOST_POOLS = 1024
"""The maximum number of addresses that a session keeps connections from."""

_FILES_OF_LOOP = 3
"""What an event loop waits with, and the two ends of a socket that wakes it."""


@dataclass(frozen=True)
class Capacity:
    """The needs of one load on one target. With more targets, users need more connections than this."""

    connections: int
    sources: int
    files: int
    """Open files of the users: their connections, and their event loops."""

    @classmethod
    def of(cls, profile: LoadProfile, pool: IpPool, *, is_async: bool) -> Capacity:
        """One connection for each user; where leases change, one from each address.

        If it ``is_async``, each user has an event loop.
        """
        is_curl = profile.http != "1.1"  # it closes the connection from the last lease
        per_user = 1 if profile.ip_binding == USER or is_curl else min(max(pool.size, 1), _MOST_POOLS)
        connections = profile.most_users * per_user
        files = connections * (_FILES_OF_CURL if is_curl else 1) + profile.most_users * _FILES_OF_LOOP * is_async
        return cls(connections, max(1, min(pool.size, connections)), files)

    def shortage(self) -> str | None:
        """Why the local ports are too few for one target; None if there are enough, or if that is unknown."""
        ports = local_ports()
        return None if ports is None else port_shortage(self.connections, self.sources, 1, ports)

    def __str__(self) -> str:
        ports = -(-self.connections // self.sources)
        return (
            f"about {format_count(files_needed(self.files))} open files and {format_count(ports)} local "
            f"ports per source address and target"
        )


def refuse_impossible(profile: LoadProfile, pool: IpPool, needs: Capacity, *, routes: bool) -> None:
    """Raise GeneratorLimitError or, with ``routes``, PoolError if this host cannot carry the load to its base URL."""
    origin = profile.origins.get("users", "")
    given = "--ipload-users" if origin == COMMAND_LINE else origin if origin.startswith(PROFILE) else "users"
    ensure_open_files(needs.files, f"{given}={profile.most_users}")
    if profile.base_url is None or not pool or not routes:
        return
    problems = [
        problem
        for target in _addresses_of(profile.base_url)
        for source in (pool[0], pool[-1])
        # Whether the addresses are local was checked before; here they only have to be bound somehow.
        if (problem := route_problem(source, target, freebind=True)) is not None
    ]
    if problems:
        raise PoolError(f"the pool cannot reach the base URL {profile.base_url}: {problems[0]}")


def _addresses_of(url: str) -> list[str]:
    """The addresses of the URL's host; none if its name cannot be resolved here: the load will report that."""
    try:
        infos = socket.getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(info[4][0]) for info in infos))
