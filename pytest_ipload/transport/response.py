"""The reply of a load session."""

from __future__ import annotations

import contextlib
import sys
import zlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from requests import PreparedRequest, Response
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar

from pytest_ipload.base.code_location import place_of_frame
from pytest_ipload.base.errors import IploadError, ReplyTooLarge, SettingError
from pytest_ipload.base.masking import masked
from pytest_ipload.base.traceparent import HEADER, trace_id_of
from pytest_ipload.base.units import NS_PER_US
from pytest_ipload.stats.evidence.evidence import Exchange
from pytest_ipload.stats.fault_text import note_url
from pytest_ipload.stats.sample import FAILED, OK, Problem, Sample
from pytest_ipload.transport.captured import captured
from pytest_ipload.transport.connect.binding import Binding, Hop
from pytest_ipload.transport.message.replay import replayed_response
from pytest_ipload.transport.message.reply_head import Head
from pytest_ipload.transport.message.templates import NO_BODY, Body
from pytest_ipload.transport.reply_limit import joined

if TYPE_CHECKING:
    from pytest_ipload.transport.fast_path.prepared_call import PreparedCall

_Value = TypeVar("_Value")
_AT_ONCE = 65536
_FAILED_TYPE = "ResponseFailed"
"""The type of the failure of a response that its test has failed, in reports."""
_RECORDED, _STREAMING, _FAILURE = "_recorded", "_streaming", "_failure"
"""Attributes of a response: where it was recorded and with which times; whether it will be; and what failed it."""
_VERSIONS: dict[int | None, str] = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}


class _Lazy(Generic[_Value]):
    """An attribute that is made when it is first read, and is an ordinary one from then on.

    It is ``functools.cached_property`` without the lock that this has before Python 3.12: one for all instances.
    """

    def __init__(self, make: Callable[[Any], _Value]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> _Lazy[_Value]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> _Value: ...
    def __get__(self, instance: object | None, owner: type) -> _Lazy[_Value] | _Value:
        if instance is None:
            return self
        value = self._make(instance)
        vars(instance)[self._name] = value
        return value


class LoadResponse(Response):
    """A ``requests.Response`` that knows from which address its request left.

    One from the fast path holds the bytes that came, and makes its attributes when they are read.
    """

    __attrs__: ClassVar[list[str]] = [*Response.__attrs__, "source_address", "http_version"]  # type: ignore[misc]  # what pickle keeps

    # Defaults of the class, because a response is also made without passing __init__.
    source_address: str | None = None
    """The local address of the connection, as the system reports it; None when unknown."""
    _raw_version: int | None = None
    """The version of HTTP as urllib3 writes it, where it was not read from a head of HTTP/1.1."""
    hop: Hop | None = None
    """Of the fast path: what was measured besides the latency, where a connection was opened."""
    started_ns = latency_ns = 0
    """Of the fast path: when the request was sent (``perf_counter_ns``), and the time to the last byte."""
    head_ns: int | None = None
    """The time to the end of the head, if the body came later."""
    head: Head
    received: bytes
    """The whole reply as it came; not a class attribute, as those of an instance are then set more slowly."""
    coded_body: bytes
    """Of the fast path: the body as it came, where there was too much of it to keep it together with the head."""
    outgoing: PreparedCall
    body_sent: Body | None
    """What the request was made from, on the fast path."""
    cookies_then: RequestsCookieJar | None = None
    """Of the fast path: the reply's cookies, if they depend on the time at which it came. Shared: a copy is shown."""
    traceparent: str | None = None
    """Of the fast path: the header that its request was given."""
    _content_consumed = True
    _next: PreparedRequest | None = None
    _body_error: Exception | None = None
    _time_to_head: timedelta | None = None

    @classmethod
    def of(cls, response: Response) -> LoadResponse:
        """Turn a plain ``Response`` into a ``LoadResponse``, in place. A subclass from elsewhere is left alone."""
        if type(response) is Response:
            response.__class__ = cls
        elif not isinstance(response, cls):
            vars(response).setdefault("source_address", None)
            vars(response).setdefault("http_version", None)
        return response  # type: ignore[return-value]  # a foreign subclass has what a caller needs

    @property
    def http_version(self) -> str | None:
        """The version of HTTP of the reply: ``"1.0"``, ``"1.1"``, ``"2"`` or ``"3"``; None when unknown."""
        if self._raw_version is None:
            self._raw_version = 11 if "head" in vars(self) else getattr(self.raw, "version", None)
        return _VERSIONS.get(self._raw_version)

    @http_version.setter
    def http_version(self, value: str | None) -> None:  # of a copy that went through a file
        self._raw_version = next((number for number, name in _VERSIONS.items() if name == value), None)

    def fail(self, why: str) -> None:
        """Make the request a failed one, and so the iteration, which goes on: for a reply that only looks right.

        ``why`` is shown with the place of this call. To be called before the iteration ends, and soon after the
        request; again, or for a request that has failed already, it changes nothing. Raises SettingError for a reason
        that is not a text, and IploadError where it is too late, or outside of a load.
        """
        __tracebackhide__ = True
        _fail(self, why)

    @property
    def trace_id(self) -> str | None:
        """The trace that the request's ``traceparent`` named (``--ipload-trace``): 32 hexadecimal digits."""
        value = None if self.request is None else self.request.headers.get(HEADER)
        return None if value is None else trace_id_of(str(value))

    def _as_received(self) -> bytes:
        """The whole reply as it came; the chunks of a body that was kept apart are one, without trailer fields."""
        if "coded_body" not in vars(self):
            return self.received
        head, body = self.head, self.coded_body
        if head.length is not None:
            return head.raw + body
        return b"%b%x\r\n%b\r\n0\r\n\r\n" % (head.raw, len(body), body)

    @_Lazy
    def headers(self) -> Any:
        """As in requests."""
        return self.head.headers()

    @_Lazy
    def encoding(self) -> str | None:
        """As in requests."""
        return self.head.encoding()

    @_Lazy
    def reason(self) -> str:
        """As in requests."""
        return self.head.reason

    @_Lazy
    def history(self) -> list[Response]:
        """As in requests."""
        return []

    @_Lazy
    def request(self) -> PreparedRequest:
        """As in requests."""
        request = self.outgoing.request(self.body_sent or NO_BODY)
        if self.traceparent is not None:
            request.headers[HEADER] = self.traceparent
        return request

    @_Lazy
    def url(self) -> str:
        """As in requests."""
        return self.outgoing.target.url

    @_Lazy
    def connection(self) -> Any:
        """As in requests."""
        return self.outgoing.adapter

    @_Lazy
    def cookies(self) -> RequestsCookieJar:
        """As in requests."""
        if self.cookies_then is not None:
            return self.cookies_then.copy()
        jar = RequestsCookieJar()
        if self.head.set_cookies:
            extract_cookies_to_jar(jar, self.request, self.raw)
        return jar

    @_Lazy
    def raw(self) -> Any:
        """As in requests: what was read already is not in it any more."""
        raw = self._fresh_raw()
        for _ in raw.stream(65536, decode_content=False):
            pass
        return raw

    def _fresh_raw(self) -> Any:
        request, outgoing = self.request, self.outgoing
        raw: Any = replayed_response(self._as_received(), request.method or "", request.path_url)
        raw.retries, raw._pool = outgoing.adapter.max_retries, outgoing.pool  # as urllib3's pool does
        return raw

    def decode(self, most: int | None = None) -> bool:
        """Undo gzip, the usual coding of a content, now. False: urllib3 will do it when the content is read.

        ``most`` is the number of bytes that the content may have.
        """
        if self.head.content_encoding in ("gzip", "x-gzip"):
            inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
            with contextlib.suppress(zlib.error):
                content = inflater.decompress(self._content, 0 if most is None else most + 1)
                if inflater.eof and not inflater.unused_data:  # one whole member, as nearly always
                    self._content = content
                    return True
        vars(self)["raw"] = self._fresh_raw()
        self._content: Any = False
        self._content_consumed = False
        return False

    @property
    def elapsed(self) -> timedelta:
        """From sending the request until its head was read, as requests documents it."""
        own = vars(self)
        value: timedelta | None = own.get("elapsed")
        if value is None:
            nanoseconds = self.latency_ns if self.head_ns is None else min(self.head_ns, self.latency_ns)
            value = own["elapsed"] = timedelta(0, 0, round(nanoseconds / NS_PER_US))  # of a float it takes much longer
        return value

    @elapsed.setter
    def elapsed(self, value: timedelta) -> None:
        # requests sets the time that the adapter took. Here this includes the body, so the adapter's own value wins.
        head, self._time_to_head = self._time_to_head, None
        vars(self)["elapsed"] = value if head is None else head

    def read_body(self, time_to_head: timedelta, most: int | None = None) -> None:
        """Read the body now. If that fails, the error is raised when the body is accessed, as in requests.

        So is ReplyTooLarge, for a body of more than ``most`` bytes.
        """
        self._time_to_head = time_to_head
        try:
            if most is None or self._content is not False:
                _ = self.content
            else:
                self._content = joined(self.iter_content(_AT_ONCE), most)
        except Exception as error:
            # requests attaches its request only to errors before the head; others stay as they are.
            note_url(error, self.url)
            self._body_error = error
            if isinstance(error, ReplyTooLarge):
                self.close()  # what is still to come on its connection is not read

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: Any = False) -> Any:
        """As in requests; ``content``, ``text`` and ``json`` come through here as well."""
        if self._body_error is not None:
            raise self._body_error
        return super().iter_content(chunk_size, decode_unicode)


def note_recorded(response: Response, binding: Binding, sample: Sample) -> Sample:
    """The sample of a response that did not come by the fast path; the response remembers it."""
    vars(response)[_RECORDED] = binding, sample.started_ns, sample.latency_ns
    return sample


def begin_stream(response: Response) -> None:
    """The response is recorded later, when its stream has ended."""
    vars(response)[_STREAMING] = True


def end_stream(response: Response, binding: Binding, sample: Sample | None) -> Sample | None:
    """The sample of a stream that has ended, failed if the response was."""
    vars(response)[_STREAMING] = False
    if sample is None:
        return None
    problem = vars(response).get(_FAILURE)
    if problem is not None and sample.outcome == OK:
        sample = sample._replace(outcome=FAILED, problem=problem)
    return note_recorded(response, binding, sample)


def _fail(response: LoadResponse, why: object) -> None:
    """See ``LoadResponse.fail``."""
    if not isinstance(why, str) or not why.strip():
        raise SettingError(f"response.fail({why!r:.80}): say why, as a text that is not empty")
    state = vars(response)
    if _FAILURE in state:
        return
    problem = Problem(_FAILED_TYPE, masked(why), place_of_frame(sys._getframe(1)))
    if not state.get(_STREAMING):
        binding, started_ns, latency_ns = state.get(_RECORDED) or _of_fast_path(response)
        if binding is None or binding.fail_request is None:
            raise IploadError(
                f"response.fail({why!r:.200}): the response is not one of the user's session in a load test "
                "(ipload_session); use an assertion"
            )
        binding.fail_request(started_ns, latency_ns, problem, partial(_exchange_of, response))
    state[_FAILURE] = problem


def _exchange_of(response: LoadResponse) -> Exchange:
    first = response.history[0] if response.history else response
    return captured(response.request, response, first.request)


def _of_fast_path(response: LoadResponse) -> tuple[Binding | None, int, int]:
    outgoing = vars(response).get("outgoing")
    binding = None if outgoing is None else outgoing.adapter.binding
    return binding, response.started_ns, response.latency_ns
