"""The events of one reply, as they come: a call that lasts until its stream ends."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

import requests
from requests import Response
from urllib3 import HTTPResponse
from urllib3 import exceptions as stock_errors

from pytest_ipload.base.errors import IploadError, SettingError
from pytest_ipload.base.real_time import perf_counter_ns
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.stats.fault_text import note_url
from pytest_ipload.stats.recorder import Key
from pytest_ipload.stats.sample import FIRST_EVENT, GAP, OK, Sample
from pytest_ipload.transport.call import Call
from pytest_ipload.transport.connect.arrival_reader import ArrivalReader
from pytest_ipload.transport.message.stream_parsers import (
    FORMATS,
    TYPES_HELP,
    Event,
    StreamParser,
    format_of,
    parser_of,
)
from pytest_ipload.transport.response import begin_stream, end_stream

if TYPE_CHECKING:
    from pytest_ipload.transport.response import LoadResponse
    from pytest_ipload.transport.session import LoadSession

_READ_BYTES = 65536
_NO_CONTENT = 204


class NotAStream(IploadError, requests.RequestException):
    """A reply that should be a stream of events has another content type."""


class StreamCall(Call):
    """A call that has not ended with the head of its reply."""

    def sample(self, response: Response | None, error: BaseException | None = None) -> Sample | None:
        """The sample of a call that failed before its stream began; one that did not has none yet."""
        return None if error is None else super().sample(response, error)

    def whole(self, response: Response, error: BaseException | None, ended_ns: int) -> Sample | None:
        """The sample of the call with its stream, which ended then."""
        if self.hops:
            self.hops[-1].ended_ns = ended_ns
        return super().sample(response, error)

    @property
    def label(self) -> str:
        """The name of its sample."""
        return self.name or self._label()

    @property
    def last_started_ns(self) -> int:
        """When the request that was answered by the stream was sent."""
        return self.hops[-1].started_ns if self.hops else self.started_ns

    @property
    def before_ns(self) -> int:
        """What the redirects before it took."""
        return sum(hop.ended_ns - hop.started_ns for hop in self.hops[:-1])


class EventStream(Iterator[Event]):
    """What ``LoadSession.events`` returns: a context manager, and in its block an iterator of events.

    ``response`` is the reply, whose body is the stream. Events end when the reply does; leaving the block earlier
    closes the connection. Either is the end of the request's sample.
    """

    response: LoadResponse

    def __init__(
        self,
        session: LoadSession,
        call: StreamCall,
        send: Callable[[], LoadResponse],
        format: str | None,
        timeout: float | None,
    ) -> None:
        """``timeout`` is the longest time without an event, in seconds. Raises SettingError for an unknown format."""
        if format is not None and format not in FORMATS:
            raise SettingError(f"format={format!r} is not valid; allowed: {', '.join(FORMATS)}, or leave it out")
        self._session = session
        self._call = call
        self._send = send
        self._format = format
        self._timeout_ns = None if timeout is None else round(timeout * NS_PER_S)
        self._timeout = timeout
        self._parser: StreamParser | None = None
        self._arrivals: ArrivalReader | None = None
        self._events: Iterator[Event] | None = None
        self._key: Key | None = None
        """Of the gaps."""
        self._last_ns = 0
        """When the last event arrived; before the first one, when its request was sent."""
        self._gaps = self._joined = 0
        """How many there were, and how many of them are not known: see ``StreamLog``."""
        self._is_entered = self._is_over = False

    def __enter__(self) -> EventStream:
        """Send the request and read the head of the reply.

        Raises what ``request`` raises, NotAStream, and SettingError the second time.
        """
        if self._is_entered:
            raise SettingError("a stream can be read once; call session.events(...) again for another request")
        self._is_entered = True
        thread = self._session.binding.thread
        thread.wants_arrivals = True
        try:
            self.response = self._send()
            begin_stream(self.response)
        finally:
            thread.wants_arrivals = False
        original = getattr(self.response.raw, "_original_response", None)
        self._arrivals = getattr(original, "arrivals", None)
        self._last_ns = self._call.last_started_ns
        try:
            self._begin()
        except BaseException as error:
            self._end(error)
            self.response.close()
            raise
        return self

    def _begin(self) -> None:
        response = self.response
        named = format_of(response.headers.get("Content-Type"))
        chosen = self._format or named if response.ok else named  # an error page is not what ``format`` is about
        is_expected = response.status_code in self._call.expectation.statuses
        if chosen is not None and response.status_code != _NO_CONTENT:
            self._parser = parser_of(chosen)
            self._events = self._read()
        elif is_expected and response.ok and response.status_code != _NO_CONTENT:
            raise NotAStream(
                f"{self._call.label} answered {response.status_code} with content type "
                f"{response.headers.get('Content-Type', 'none')!r}, which is not that of a stream ({TYPES_HELP}); "
                f"if it is one, say so with format={' or '.join(map(repr, FORMATS))}",
                response=response,
            )
        else:  # as any other reply: read now, and there are no events in it
            _, self._events = response.content, iter(())
            self._end(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the stream, if it has not ended."""
        is_interrupted = error is not None and self._session.binding.ended
        self._end(error if is_interrupted else None)
        self.response.close()

    def __iter__(self) -> Iterator[Event]:
        """The events that are still to come."""
        if self._events is None:
            raise SettingError("a stream begins with its block: 'with session.events(...) as events:'")
        return self._events

    def __next__(self) -> Event:
        """The next event."""
        return next(iter(self))

    @property
    def status_code(self) -> int:
        """Of the reply."""
        return self.response.status_code

    @property
    def headers(self) -> Any:
        """Of the reply."""
        return self.response.headers

    @property
    def ok(self) -> bool:
        """Whether the reply's status is below 400."""
        return self.response.ok

    @property
    def retry_ms(self) -> int | None:
        """How long to wait before connecting again, as the stream says; None if it does not."""
        return None if self._parser is None else self._parser.retry_ms

    def raise_for_status(self) -> None:
        """Raise ``requests.HTTPError`` if the reply's status is 400 or above."""
        self.response.raise_for_status()

    def _read(self) -> Generator[Event, None, None]:
        parser, take = self._parser, self._reader()
        assert parser is not None
        while True:
            try:
                data = take()
                if not data:
                    self._session.binding.check_running()  # the stream may have been cut off unseen
                events = parser.feed(data) if data else parser.end()
                if not self._is_over:
                    self._note(len(events), is_end=not data)
            except BaseException as error:
                failure = self._explained(error)
                self._end(failure)
                self.response.close()
                if failure is error:
                    raise
                raise failure from error
            yield from events
            if not data:
                return

    def _reader(self) -> Callable[[], bytes]:
        """Returns what has come, and waits only if nothing has; no bytes at the end."""
        raw: Any = self.response.raw
        if isinstance(raw, HTTPResponse):
            return lambda: raw.read1(_READ_BYTES, decode_content=True)
        pieces = self.response.iter_content(1)  # of an adapter or a mock of another kind
        return lambda: next(pieces, b"")

    def _note(self, count: int, *, is_end: bool) -> None:
        """Take the times of the events that have just come, or of the stream's end."""
        arrivals = self._arrivals
        arrived_ns = perf_counter_ns() if arrivals is None else arrivals.arrived_ns
        last_ns = self._last_ns
        if arrived_ns < last_ns:  # a clock that was set
            arrived_ns = last_ns
        if count:
            self._tally(count, last_ns, arrived_ns)
            self._last_ns = arrived_ns
            self._gaps += count
            if arrivals is not None and arrivals.is_late:
                self._joined += count - (arrived_ns > last_ns)
        elif not is_end and self._timeout_ns is not None and arrived_ns - last_ns > self._timeout_ns:
            # The time limit of the socket does not see that what comes are comments, to keep the connection open.
            raise requests.ReadTimeout(f"Read timed out. (read timeout={self._timeout}): no event came in this time")
        if is_end:
            self._end(None, arrived_ns)

    def _tally(self, count: int, last_ns: int, arrived_ns: int) -> None:
        tally, key, call = self._session.tally_event, self._key, self._call
        if tally is None:
            return
        if key is None:
            response = self.response
            source = call.hops[-1].source_address if call.hops else response.source_address
            key = self._key = (GAP, call.label, source, response.status_code, OK)
            before_ns = call.before_ns
            tally((FIRST_EVENT, *key[1:]), last_ns - before_ns, arrived_ns - last_ns + before_ns)
            last_ns = arrived_ns
            count -= 1
        if count:
            tally(key, last_ns, arrived_ns - last_ns)
            for _ in range(count - 1):  # they came together
                tally(key, arrived_ns, 0)

    def _explained(self, error: BaseException) -> BaseException:
        """What is raised for a failure to read: what requests raises, or that the load has ended."""
        if not isinstance(error, Exception):
            return error
        try:
            self._session.binding.check_running()  # an interrupted connection fails in many ways
        except IploadError as ended:
            return ended
        match error:
            case stock_errors.ProtocolError():
                explained: Exception = requests.exceptions.ChunkedEncodingError(error)
            case stock_errors.DecodeError():
                explained = requests.exceptions.ContentDecodingError(error)
            case stock_errors.ReadTimeoutError():
                explained = requests.exceptions.ReadTimeout(error)
            case stock_errors.SSLError():
                explained = requests.exceptions.SSLError(error)
            case _:
                return error
        note_url(explained, self.response.url)
        return explained

    def _end(self, error: BaseException | None, ended_ns: int | None = None) -> None:
        """Record the sample, once."""
        if self._is_over:
            return
        self._is_over = True
        if self._session.stream_log is not None and self._gaps:
            self._session.stream_log.add(self._gaps - 1, self._joined)
        of_request = error is None or isinstance(error, Exception) or self._session.binding.ended
        sample = self._call.whole(self.response, error, ended_ns or perf_counter_ns()) if of_request else None
        sample = end_stream(self.response, self._session.binding, sample)
        self._session.hand_on(sample, self._call, self.response, error)
