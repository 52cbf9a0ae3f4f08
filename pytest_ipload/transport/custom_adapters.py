"""Adapters of the user's own connect in their own way, so that is where they are held to the allowed hosts."""

from __future__ import annotations

import functools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, LocationValueError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from pytest_ipload.transport.connect.binding import Binding
from pytest_ipload.transport.connect.connection import SourceHTTPConnection


class _Sending(threading.local):
    binding: Binding | None = None


_sending = _Sending()
"""The binding of the session whose request this thread sends: sessions may share an adapter."""


@contextmanager
def held_to_allowed_hosts(binding: Binding, adapter: BaseAdapter, url: str, proxy: str | None) -> Iterator[None]:
    """As long as this is entered, the adapter connects to no address in this thread that ``binding`` refuses.

    ``url`` and ``proxy`` are where its next request goes to. Raises TargetNotAllowed. What connects by other means
    than urllib3's is checked by the name, and ``localhost`` and the names below it also by the addresses that they
    have now.
    """
    if isinstance(adapter, HTTPAdapter) and not (proxy or "").lower().startswith("socks"):
        with suppress(LocationValueError):  # of a malformed proxy; requests will say so
            # The manager of a proxy is made with its first request, which is too late.
            _hold(adapter.poolmanager if proxy is None else adapter.proxy_manager_for(proxy))
    else:
        _check_addresses_now(binding, urlsplit(proxy or url).hostname or "")
    outer, _sending.binding = _sending.binding, binding
    try:
        yield
    finally:
        _sending.binding = outer


def _hold(manager: PoolManager) -> None:
    """Let all connections of a manager that are not a session's own check the address before they connect."""
    classes = manager.pool_classes_by_scheme
    held = {scheme: _held_pool(pool) if isinstance(pool, type) else pool for scheme, pool in classes.items()}
    if held != classes:
        manager.pool_classes_by_scheme = held
        manager.clear()  # those that it has were opened by unknown code


class _HeldConnection(HTTPConnection):
    """Connects to the addresses that were checked, and to no others that the name has a moment later."""

    # Private in urllib3, as is _dns_host: see ``SourceHTTPConnection``.
    def _new_conn(self) -> socket.socket:
        binding = _sending.binding
        if binding is None or binding.guard is None:
            return super()._new_conn()
        name, failure = self._dns_host, None
        try:
            infos = socket.getaddrinfo(name.strip("[]"), self.port, allowed_gai_family(), socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        addresses = list(dict.fromkeys(str(info[4][0]) for info in infos))
        for address in addresses:
            binding.check_address(name, address)
        for address in addresses:
            try:
                self._dns_host = address
                return super()._new_conn()
            except (NewConnectionError, ConnectTimeoutError) as error:
                failure = error
            finally:
                self._dns_host = name
        raise failure or NewConnectionError(self, "Failed to establish a new connection: the name has no address")


@functools.lru_cache(maxsize=64)
def _held_pool(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    connection: Any = pool.ConnectionCls
    if issubclass(connection, (_HeldConnection, SourceHTTPConnection)) or not issubclass(connection, HTTPConnection):
        return pool
    # Under their own names, which urllib3 puts into its messages.
    held = type(connection.__name__, (_HeldConnection, connection), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": held})


def _check_addresses_now(binding: Binding, host: str) -> None:
    if binding.guard is None or not f".{host.rstrip('.')}".endswith(".localhost"):
        return  # another name may be one that only the adapter knows, or take its time
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return  # so it leads nowhere
    for info in infos:
        binding.check_address(host, str(info[4][0]))
