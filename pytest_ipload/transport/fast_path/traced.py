"""The fast path with a ``traceparent`` on each request. Without tracing, none of this is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_ipload.base.traceparent import HEADER, Tracer
from pytest_ipload.transport.fast_path.fast_path import Details, FastPath
from pytest_ipload.transport.fast_path.prepared_call import PreparedCall
from pytest_ipload.transport.message.templates import NO_BODY, Body
from pytest_ipload.transport.response import LoadResponse

if TYPE_CHECKING:
    from pytest_ipload.transport.session import LoadSession

_FIELD = HEADER.encode()


class TracedCall(PreparedCall):
    """A prepared request that gets another header each time it is sent."""

    __slots__ = ("_plain", "has_own_trace", "tracer")

    tracer: Tracer

    @property
    def head(self) -> bytes:
        """The bytes to send for a request without a body."""
        return self._traced(self._plain, NO_BODY)

    @head.setter
    def head(self, plain: bytes) -> None:
        self._plain = plain
        self.has_own_trace = b"\r\n%b:" % _FIELD in plain.lower()

    def data(self, body: Body) -> bytes:
        """The bytes to send."""
        return self._traced(self._template.with_body(self._plain, body), body)

    def _traced(self, data: bytes, body: Body) -> bytes:
        if self.has_own_trace:
            return data
        end = len(data) - len(body.encoded) - 2  # before the empty line
        return b"%b%b: %b\r\n%b" % (data[:end], _FIELD, self.tracer.header().encode(), data[end:])


class TracedFastPath(FastPath):
    """A fast path whose requests have a ``traceparent``, unless their user gave them one."""

    call_class = TracedCall

    def call(
        self, session: LoadSession, method: str, url: Any, timeout: Any, details: Details | Body | None
    ) -> LoadResponse | None:
        """As without tracing; the reply knows the header that its request had."""
        response = super().call(session, method, url, timeout, details)
        if response is not None and session.tracer is not None and not response.outgoing.has_own_trace:  # type: ignore[attr-defined]
            response.traceparent = session.tracer.last
        return response

    def _prepare(self, session: LoadSession, *how: Any) -> PreparedCall | None:
        outgoing = super()._prepare(session, *how)
        if isinstance(outgoing, TracedCall) and session.tracer is not None:
            outgoing.tracer = session.tracer
        return outgoing
