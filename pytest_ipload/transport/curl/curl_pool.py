"""The fast path over HTTP/2 and HTTP/3: prepared requests, and replies whose attributes are made when they are read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import requests

from pytest_ipload.base.real_time import perf_counter_ns
from pytest_ipload.transport.connect.binding import Binding, Fallback, Hop
from pytest_ipload.transport.curl.curl_errors import broken_off, silent
from pytest_ipload.transport.curl.curl_exchange import HandedOver, check_head, measure, note_fault, warn_unverified
from pytest_ipload.transport.curl.curl_head import CurlHead, fields_of, head_lines, status_of
from pytest_ipload.transport.curl.curl_raw import CurlRaw
from pytest_ipload.transport.curl.curl_request import CurlRequest, TlsFiles
from pytest_ipload.transport.curl.engine import SilentServer, Timeouts, Transfer
from pytest_ipload.transport.message.reply_head import ReplyHeads
from pytest_ipload.transport.reply_limit import Excess, too_large
from pytest_ipload.transport.response import LoadResponse

if TYPE_CHECKING:
    from pytest_ipload.transport.curl.engine import Engine

_REMEMBERED = 256


class CurlResponse(LoadResponse):
    """A reply of the fast path that libcurl has received."""

    head_received: list[bytes]
    """The lines of its head."""

    def _fresh_raw(self) -> Any:
        request = self.request
        raw: Any = CurlRaw.of(self.head_received, io.BytesIO(self.received), request.method or "", request.path_url)
        raw.retries = self.outgoing.adapter.max_retries
        return raw


class CurlPool:
    """Stands for the connections to one origin, where the fast path expects a pool of urllib3's."""

    pool = "libcurl's own"

    def __init__(self, engine: Callable[[], Engine], origin: str, tls: TlsFiles) -> None:
        self._engine = engine
        self._origin = origin
        self._tls = tls
        self._requests: dict[bytes, CurlRequest] = {}

    def exchange(
        self, binding: Binding, heads: ReplyHeads, method: str, data: bytes, timeouts: Timeouts
    ) -> LoadResponse | None:
        """Send the request that these bytes of HTTP/1.1 are, and receive the reply.

        None if requests has to go on: then ``binding.thread.fall_back`` says with what.
        """
        head, _, body = data.partition(b"\r\n\r\n")
        request = self._requests.get(head)
        if request is None:
            request = CurlRequest.of_head(self._origin, head, self._tls)
            if len(self._requests) >= _REMEMBERED:
                self._requests.clear()
            self._requests[head] = request
        hop, transfer = Hop(), None
        hop.started_ns = perf_counter_ns()
        try:
            engine = self._engine()
            transfer = engine.take()
            transfer.prepare(request, body or None, timeouts)
            transfer.start(engine)
            self._wait(transfer, timeouts, binding.thread.most_reply)
            hop.ended_ns = perf_counter_ns()
            measure(transfer, hop)
            warn_unverified(transfer)
            response = _response(transfer, hop, heads, request)
        except BaseException as error:
            hop.ended_ns = hop.ended_ns or perf_counter_ns()
            note_fault(hop, error)
            if transfer is not None:
                measure(transfer, hop, error)
                transfer.end()
            if not isinstance(error, Exception):
                binding.thread.interrupted = hop
                raise
            handed_over: HandedOver | None = HandedOver(error)
        else:
            handed_over = None if isinstance(response, LoadResponse) else HandedOver(raw=response)
            transfer.end()
            if isinstance(response, LoadResponse):
                return response
        binding.thread.fall_back = Fallback(hop, conn=handed_over)
        return None

    def _wait(self, transfer: Transfer, timeouts: Timeouts, most: int | None) -> None:
        target = "" if transfer.request is None else transfer.request.target
        is_too_much = None if most is None else Excess(transfer.chunks, most)
        try:
            transfer.wait(is_too_much or bool)
        except SilentServer:
            error: Any = silent(transfer, timeouts[1], target)
            # As in requests: before the head it is a ReadTimeout, after it another one.
            raise (requests.ConnectionError if head_lines(transfer.lines) else requests.ReadTimeout)(error) from None
        check_head(transfer, target)
        if is_too_much is not None and is_too_much():
            raise too_large(is_too_much.most)
        if transfer.code:
            raise transfer.opener.raised or requests.exceptions.ChunkedEncodingError(broken_off(transfer))


def _response(transfer: Transfer, hop: Hop, heads: ReplyHeads, request: CurlRequest) -> CurlResponse | CurlRaw:
    """The response; urllib3's, if its head has fields that only urllib3 understands."""
    lines = head_lines(transfer.lines)
    content = b"".join(transfer.chunks)
    key = b"".join(lines)
    head = heads.get(key)
    if head is None:
        _, status, reason = status_of(lines[0])
        try:
            head = CurlHead(status, reason, fields_of(lines[1:]))
        except ValueError:
            return CurlRaw.of(list(lines), io.BytesIO(content), request.method, request.target)
        heads.remember(key, head)
    response = CurlResponse.__new__(CurlResponse)
    response.status_code = head.status
    response.head = head
    response.head_received = list(lines)
    response.received = response._content = content
    response.source_address = hop.source_address
    response.started_ns = hop.started_ns
    response.latency_ns = hop.ended_ns - hop.started_ns
    response._raw_version = int(transfer.http) * 10
    if hop.connections:
        response.head_ns = hop.first_byte_ns
    if hop.connections or hop.retries:
        response.hop = hop
    return response
