"""What a session does besides single requests: streams of events, and WebSockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

from urllib3 import Timeout

from pytest_ipload.settings.url_names import UrlNames
from pytest_ipload.stats.recorder import Key
from pytest_ipload.transport.bound_session import DEFAULT
from pytest_ipload.transport.call import CurrentCall, Expectation, Expected, label_of
from pytest_ipload.transport.event_stream import EventStream, StreamCall
from pytest_ipload.transport.recording_session import RecordingSession
from pytest_ipload.transport.reply_limit import replies_limited
from pytest_ipload.transport.stream_log import StreamLog

if TYPE_CHECKING:
    from pytest_ipload.transport.response import LoadResponse
    from pytest_ipload.transport.session import LoadSession
    from pytest_ipload.transport.web_socket import WebSocket


class StreamingSession(RecordingSession):
    """A session with streams."""

    tally_event: Callable[[Key, int, int], None] | None = None
    """Called for each event of a stream, with a key and with start and length of the time before the event."""
    names: UrlNames | None = None
    """Names requests that are given none."""
    stream_log: StreamLog | None = None
    """Counts what streams could not measure."""
    _current: CurrentCall

    def replies_limited(self, most: int) -> AbstractContextManager[None]:
        """While it is entered, a call in this thread raises ReplyTooLarge for a reply of more bytes; see there."""
        return replies_limited(cast("LoadSession", self).binding.thread, most)

    def events(
        self,
        method: str,
        url: str | bytes,
        *,
        format: str | None = None,
        timeout: Any = DEFAULT,
        name: str | None = None,
        expect: Expected = None,
        **kwargs: Any,
    ) -> EventStream:
        """Send a request and iterate the events of its reply: ``with session.events("GET", "/feed") as events:``.

        The reply is a stream of server-sent events or of JSON values, as its content type says, or ``format``
        (``"sse"``, ``"json-lines"``, ``"json-seq"``). An event has ``data``, ``event`` (its type), ``id`` and
        ``json()``. ``timeout`` limits, in seconds, the connection and the time without an event. ``name``, ``expect``
        and all other keywords are those of ``request``.

        The call is one sample, which ends with the stream, or when the ``with`` block is left before. The times until
        the first event and between events are measured besides. A stream that breaks makes a failed request and
        raises ``requests.exceptions.ChunkedEncodingError``; one without an event for too long, ``ReadTimeout``. A
        reply with an unexpected status is a failed request without events. A success that is not a stream raises
        NotAStream.
        """
        session = cast("LoadSession", self)
        call = StreamCall(label_of(name), Expectation.of(expect), session.names)

        def send() -> LoadResponse:
            self._current.awaited = call
            try:
                return session.request(method, url, timeout=timeout, **{**kwargs, "stream": True})
            finally:
                self._current.awaited = None

        return EventStream(
            session, call, send, format, _read_timeout(session.timeout if timeout is DEFAULT else timeout)
        )

    def websocket(
        self,
        url: str,
        *,
        name: str | None = None,
        timeout: Any = DEFAULT,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] | None = None,
        **options: Any,
    ) -> WebSocket:
        """A WebSocket that leaves from the source address: ``with session.websocket("/chat") as ws:``.

        A relative URL resolves against the base URL. ``name`` labels the handshake, which is a sample; ``timeout``
        limits, in seconds, the handshake and each wait for a message. The session's headers, cookies and TLS settings
        apply. Further keywords are those of ``websockets.sync.client.connect``. Needs the extra ``websocket``.
        """
        from pytest_ipload.transport.web_socket import WebSocket

        seconds = _read_timeout(self.timeout if timeout is DEFAULT else timeout)
        return WebSocket(
            cast("LoadSession", self),
            url,
            name=name,
            timeout=seconds,
            headers=headers,
            subprotocols=subprotocols,
            options=options,
        )


def _read_timeout(timeout: Any) -> float | None:
    """The seconds that a read may take, of what requests takes as a timeout."""
    if isinstance(timeout, Timeout):
        timeout = timeout.read_timeout
    elif isinstance(timeout, tuple):
        timeout = timeout[-1]
    return float(timeout) if isinstance(timeout, (int, float)) else None
