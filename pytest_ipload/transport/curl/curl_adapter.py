"""The adapter of a session for HTTP/2 or HTTP/3: requests, with libcurl in the place of urllib3's connections."""

from __future__ import annotations

import threading
import weakref
from typing import Any, ClassVar, cast

import requests
from requests import PreparedRequest
from requests import adapters as stock_adapters
from requests.adapters import HTTPAdapter
from urllib3 import Timeout

from pytest_ipload.transport.adapter import SourceAdapter, proxy_of
from pytest_ipload.transport.connect.binding import Binding, Hop
from pytest_ipload.transport.connect.connection import Pool
from pytest_ipload.transport.connect.tls import TlsContexts
from pytest_ipload.transport.curl.curl_errors import ProxyUnsupported, broken_off, silent, without_files
from pytest_ipload.transport.curl.curl_exchange import HandedOver, await_head, measure, note_fault, warn_unverified
from pytest_ipload.transport.curl.curl_head import head_lines
from pytest_ipload.transport.curl.curl_pool import CurlPool
from pytest_ipload.transport.curl.curl_raw import BodyStream, CurlRaw
from pytest_ipload.transport.curl.curl_request import CurlRequest, TlsFiles, origin_of
from pytest_ipload.transport.curl.engine import Engine, SilentServer, Timeouts, Transfer
from pytest_ipload.transport.curl.libcurl import HTTP_3, load_pycurl
from pytest_ipload.transport.foreign_hooks import is_own
from pytest_ipload.transport.response import LoadResponse


class CurlAdapter(SourceAdapter):
    """A ``SourceAdapter`` that speaks HTTP/2 or HTTP/3 through libcurl, and no other version.

    Each thread that uses it has connections of its own. They are closed when the session leaves from another source
    address. Raises SettingError if pycurl is missing or cannot do it.
    """

    __attrs__: ClassVar[list[str]] = [*SourceAdapter.__attrs__, "http"]  # type: ignore[misc]  # for pickle

    def __init__(
        self, http: str, binding: Binding | None = None, tls: TlsContexts | None = None, **kwargs: Any
    ) -> None:
        self.http = http
        super().__init__(binding, tls, **kwargs)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        """As in requests, which also calls it when the adapter is unpickled."""
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self._pycurl = load_pycurl(self.http)
        self._own = threading.local()
        self._engines: weakref.WeakSet[Engine] = weakref.WeakSet()

    def engine(self) -> Engine:
        """The connections of this thread, from the session's present source address."""
        engine: Engine | None = getattr(self._own, "engine", None)
        if engine is None or engine.is_closed or engine.source != self.binding.source_address:
            if engine is not None:
                engine.retire()
            try:
                engine = self._own.engine = Engine(self._pycurl, self.http, self.binding)
            except self._pycurl.error as error:
                raise without_files(str(error)) from error
            self._engines.add(engine)
        return engine

    def close(self) -> None:
        """As in requests."""
        super().close()
        for engine in list(self._engines):
            engine.retire()

    def fast_pool(self, request: PreparedRequest, verify: Any, cert: Any) -> Pool | None:
        """As in ``SourceAdapter``."""
        self.refuse(request.url or "", None)
        return cast(Pool, CurlPool(self.engine, origin_of(request.url or ""), TlsFiles.of(verify, cert)))

    def refuse(self, url: str, proxies: Any) -> None:
        """Raise for what cannot be done with this version of HTTP."""
        if proxy_of(url, proxies) is not None:
            raise ProxyUnsupported(
                f"http={self.http!r} does not go through a proxy; leave out the proxy, or http for HTTP/1.1"
            )
        if self.http == HTTP_3 and not url.lower().startswith("https:"):
            raise requests.exceptions.InvalidSchema(
                f"HTTP/3 needs https, not {url!r}; use an https URL, or http='2' for HTTP/2 without TLS"
            )

    def _exchange(self, request: PreparedRequest, *settings: Any) -> LoadResponse:
        """One request and the head of its reply."""
        handed_over: HandedOver | None = self.binding.thread.take_connection()
        if handed_over is not None:
            if handed_over.raw is not None:
                return self.build_response(request, handed_over.raw)
            raise with_request(cast(BaseException, handed_over.error), request)
        if not is_own(HTTPAdapter.send, stock_adapters, "send"):  # a mock
            return super()._exchange(request, *settings)
        _, timeout, verify, cert, proxies = settings
        self.refuse(request.url or "", proxies)
        timeouts = _timeouts(timeout)
        curl_request = CurlRequest.of_prepared(request, TlsFiles.of(verify, cert))
        body = request.body.encode() if isinstance(request.body, str) else request.body or None
        hop = self.binding.thread.hop or Hop()
        transfer = None
        try:
            engine = self.engine()
            transfer = engine.take()
            transfer.prepare(curl_request, body, timeouts)
            transfer.start(engine)
            await_head(transfer, timeouts, request.path_url)
            measure(transfer, hop)
            warn_unverified(transfer)
            raw = CurlRaw.of(
                list(head_lines(transfer.lines)),
                BodyStream(_receiver(transfer, timeouts, request.path_url), transfer.end),
                request.method or "",
                request.path_url,
            )
        except BaseException as error:
            note_fault(hop, error)
            if transfer is not None:
                measure(transfer, hop, error)
                transfer.end()
            raise with_request(error, request) from error.__cause__
        return self.build_response(request, raw)


def _receiver(transfer: Transfer, timeouts: Timeouts, url: str) -> Any:
    """Gives the next bytes of the body, none at its end. Raises what urllib3 raises."""

    def receive() -> bytes:
        if not transfer.is_over and not transfer.chunks:
            try:
                transfer.wait(lambda: transfer.chunks)
            except SilentServer:
                raise silent(transfer, timeouts[1], url) from None
        data = b"".join(transfer.chunks)
        transfer.chunks.clear()
        if not data and transfer.code:
            raise transfer.opener.raised or broken_off(transfer)
        return data

    return receive


def _timeouts(timeout: Any) -> Timeouts:
    """As requests understands a timeout; ValueError for what it refuses."""
    if not isinstance(timeout, Timeout):
        try:
            connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        except ValueError:
            raise ValueError(
                f"Invalid timeout {timeout}. Pass a (connect, read) timeout tuple, or a single float to set both "
                "timeouts to the same value."
            ) from None
        timeout = Timeout(connect=connect, read=read)
    timeout.start_connect()
    return timeout.connect_timeout, timeout.read_timeout


def with_request(error: BaseException, request: PreparedRequest) -> BaseException:
    if isinstance(error, requests.RequestException) and error.request is None:
        error.request = request
    return error
