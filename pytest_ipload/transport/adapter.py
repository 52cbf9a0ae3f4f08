"""The transport adapter of a load session: guarded, bound, timed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, cast

import requests
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.utils import prepend_scheme_if_needed, select_proxy
from urllib3 import PoolManager, ProxyManager, Retry
from urllib3 import poolmanager as stock_pools
from urllib3.exceptions import SSLError

from pytest_ipload.base.errors import TargetNotAllowed
from pytest_ipload.base.real_time import perf_counter_ns
from pytest_ipload.transport.connect.binding import Binding, Fallback, Hop
from pytest_ipload.transport.connect.connection import Pool, pool_classes
from pytest_ipload.transport.connect.tls import TlsContexts
from pytest_ipload.transport.foreign_hooks import owner_of
from pytest_ipload.transport.response import LoadResponse

POOLS = 1024
"""Pools of connections that are kept open, one for each pair of host and source address."""
_BOUND_TO = "_ipload_binding"
_METHODS = frozenset(name for name, value in vars(HTTPAdapter).items() if callable(value))
_TLS_FILES = ("ca_certs", "ca_cert_dir", "cert_file", "key_file")


def proxy_of(url: str | None, proxies: Any) -> str | None:
    """The URL of the proxy that requests sends a request for this URL to; None without one."""
    proxy = select_proxy(url or "", proxies) if proxies else None
    return prepend_scheme_if_needed(proxy, "http") if proxy else None


class SourceAdapter(HTTPAdapter):
    """An ``HTTPAdapter`` whose connections leave from the source addresses of a ``Binding``, also to proxies.

    Without ``binding`` it binds nothing. Further keywords are those of ``HTTPAdapter``. It can be pickled; the copy
    keeps source addresses and allowed hosts.
    """

    is_patched = False
    """Whether something was replaced on this adapter alone that the fast path would not notice."""
    patches = ""
    """Methods that were replaced on it, for a remark."""
    __attrs__: ClassVar[list[str]] = [*HTTPAdapter.__attrs__, "binding", "tls"]  # type: ignore[misc]  # for pickle

    def __init__(self, binding: Binding | None = None, tls: TlsContexts | None = None, **kwargs: Any) -> None:
        self.binding = binding or Binding()
        self.tls = tls or TlsContexts()
        super().__init__(**{"pool_connections": POOLS, **kwargs})

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _METHODS or name in ("max_retries", "poolmanager"):
            self._look_for_patches()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._look_for_patches()

    def _look_for_patches(self) -> None:
        own = vars(self)
        replaced = [name for name in own if name in _METHODS]
        self.patches = ", ".join(
            f"{name} of a session's adapter is patched by {owner_of(own[name])}" for name in replaced
        )
        has_own_pools = own.get("poolmanager") is own.get("_own_pools")
        self.is_patched = bool(replaced) or not has_own_pools or ("max_retries" in own and self.retries_itself)

    @property
    def retries_itself(self) -> bool:
        """Whether urllib3 is configured to retry requests."""
        retries = self.max_retries
        return not isinstance(retries, Retry) or bool(retries.total or retries.read or retries.status_forcelist)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        """As in requests, which also calls it when the adapter is unpickled."""
        super().init_poolmanager(connections, maxsize, block, **source_keyword(self.binding), **pool_kwargs)
        self._bind_pools(self.poolmanager)
        self._own_pools = self.poolmanager
        self._look_for_patches()
        self._proxy_lock = threading.Lock()

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """As in requests. A SOCKS proxy is reached by PySocks, which binds in its own way."""
        with self._proxy_lock:  # no other thread may see a manager before it has its pool classes
            manager = super().proxy_manager_for(proxy, **source_keyword(self.binding), **proxy_kwargs)
            if not proxy.lower().startswith("socks"):
                self._bind_pools(manager)
            return manager

    def _bind_pools(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = pool_classes(self.binding)

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As in requests, with one shared TLS context in the place of files that each connection would read again."""
        host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            for name in _TLS_FILES:
                tls.pop(name, None)
            tls["cert_reqs"] = "CERT_REQUIRED" if verify else "CERT_NONE"
            try:
                tls["ssl_context"] = self.tls.get(verify, cert, resumes=self.binding.tls_sessions is not None)
            except SSLError as error:
                raise requests.exceptions.SSLError(error, request=request) from error
        tls.update(source_keyword(self.binding))  # not that of the adapter's beginning: a session may be bound anew
        return host, tls

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the pool alone: its context is complete. Only for TLS to a proxy urllib3 reads the files itself."""
        if url.lower().startswith("https") and not (conn.proxy is not None and conn.proxy.scheme == "https"):
            return
        super().cert_verify(conn, url, verify, cert)

    def fast_pool(self, request: PreparedRequest, verify: Any, cert: Any) -> Pool | None:
        """The connections that the fast path may use for a request like this one; None if requests has to make it."""
        if type(self) is not SourceAdapter:
            return None  # a class of the user's own, which may do anything
        pool = self.get_connection_with_tls_context(request, verify, cert=cert)
        self.cert_verify(pool, request.url or "", verify, cert)
        return pool if isinstance(pool, Pool) else None

    def build_response(self, req: PreparedRequest, resp: Any) -> LoadResponse:
        """As in requests."""
        return LoadResponse.of(super().build_response(req, resp))

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> LoadResponse:
        """Send one request and, unless ``stream`` is set, read the reply's body.

        Raises what requests raises, TargetNotAllowed before anything is sent, and LoadEnded when the session was
        interrupted.
        """
        thread = self.binding.thread
        handed_over = thread.fall_back
        if handed_over is None:
            self.binding.check(request.url, is_redirected=bool(thread.hops))  # the call's earlier hops
            if (proxy := proxy_of(request.url, proxies)) is not None:
                self.binding.check(proxy)  # it gets the load too
        outer, hop = thread.hop, Hop() if handed_over is None else handed_over.hop
        thread.hop = hop
        if thread.hops is not None:
            thread.hops.append(hop)
        try:
            response = self._reply(handed_over, hop, request, stream, timeout, verify, cert, proxies)
        except requests.RequestException:
            self.binding.check_running()  # an interrupted connection fails in many ways
            raise
        except TargetNotAllowed:
            if thread.hops is not None and not (hop.connections or hop.retries):
                thread.hops.remove(hop)  # nothing was sent
            raise
        finally:
            hop.ended_ns = hop.ended_ns or perf_counter_ns()
            thread.hop = outer
            thread.drop_hand_over()
        if self.binding.ended:
            response.close()
            self.binding.check_running()  # the body may have been cut off unseen
        response.source_address = hop.source_address
        return response

    def _reply(
        self, handed_over: Fallback | None, hop: Hop, request: PreparedRequest, stream: bool, *settings: Any
    ) -> LoadResponse:
        """The reply, with its body unless ``stream`` is set: what the fast path handed over, or from urllib3."""
        if handed_over is not None and handed_over.response is not None:
            response = cast(LoadResponse, handed_over.response)
            response.request, response.url, response.connection = request, request.url or "", self
            time_to_head = response.elapsed
        else:
            hop.started_ns = hop.started_ns or perf_counter_ns()
            response = self._exchange(request, stream, *settings)
            time_to_head = timedelta(microseconds=(perf_counter_ns() - hop.started_ns) / 1000)
        if not stream:
            response.read_body(time_to_head, self.binding.thread.most_reply)
        return response

    def _exchange(self, request: PreparedRequest, *settings: Any) -> LoadResponse:
        """One request and the head of its reply, with nothing between the clock's readings but this."""
        return LoadResponse.of(super().send(request, *settings))


def source_keyword(binding: Binding) -> Mapping[str, Any]:
    """urllib3's own way to bind: it keeps the pools of different sources apart, and PySocks follows it."""
    source = binding.source_address
    return {} if source is None else {"source_address": (source, 0)}


def bind_adapter(adapter: object, binding: Binding) -> bool:
    """Let an adapter of requests' own, which a session mounts, leave from the session's source addresses.

    False if it does not: it has pools or source addresses of its own, or sessions with other addresses use it too. It
    then goes back to leaving from any address.
    """
    if isinstance(adapter, SourceAdapter):
        return True
    manager = getattr(adapter, "poolmanager", None)
    if not isinstance(adapter, HTTPAdapter) or type(manager) is not PoolManager:
        return False
    state = vars(adapter)
    if state.get(_BOUND_TO, binding) not in (binding, None):
        for name in ("build_connection_pool_key_attributes", "proxy_manager_for"):
            state.pop(name, None)
        state[_BOUND_TO] = None
        _use_pools([manager, *adapter.proxy_manager.values()], stock_pools.pool_classes_by_scheme)
    elif _BOUND_TO not in state and manager.pool_classes_by_scheme is stock_pools.pool_classes_by_scheme:
        if "source_address" in manager.connection_pool_kw:
            return False
        attributes = adapter.build_connection_pool_key_attributes

        def with_source(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
            host, pool = attributes(*args, **kwargs)
            return host, {**pool, **source_keyword(binding)}

        managers, classes = adapter.proxy_manager_for, pool_classes(binding)

        def bound_manager(proxy: str, **kwargs: Any) -> Any:
            manager = managers(proxy, **kwargs)
            _use_pools([manager], classes)
            return manager

        state.update(
            {
                "build_connection_pool_key_attributes": with_source,
                "proxy_manager_for": bound_manager,
                _BOUND_TO: binding,
            }
        )
        _use_pools([manager, *adapter.proxy_manager.values()], classes)
    return state.get(_BOUND_TO) is binding


def _use_pools(managers: Iterable[Any], classes: Any) -> None:
    """Let the managers make pools of these classes; those of SOCKS proxies have their own."""
    for manager in managers:
        if type(manager) in (PoolManager, ProxyManager) and manager.pool_classes_by_scheme is not classes:
            manager.pool_classes_by_scheme = classes
            manager.clear()
