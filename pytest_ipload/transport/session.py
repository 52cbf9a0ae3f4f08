"""The HTTP session of a virtual user."""

from __future__ import annotations

import copy
import re
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

import requests
from requests import PreparedRequest, Request, Response
from requests.exceptions import MissingSchema
from requests.utils import resolve_proxies

from pytest_ipload.errors import SettingError, TargetNotAllowed
from pytest_ipload.stats.recorder import Key
from pytest_ipload.stats.sample import OK, REQUEST, Sample, timed_sample
from pytest_ipload.transport.adapter import SourceAdapter, bind_adapter, proxy_of
from pytest_ipload.transport.binding import Binding, Hop
from pytest_ipload.transport.call import USUAL, Call, Expectation, Expected, label_of
from pytest_ipload.transport.cookies import SessionCookies
from pytest_ipload.transport.custom_adapters import held_to_allowed_hosts
from pytest_ipload.transport.fast_path_log import FastPathLog
from pytest_ipload.transport.guard import AllowedHosts
from pytest_ipload.transport.heads import ReplyHeads
from pytest_ipload.transport.hooks import is_own
from pytest_ipload.transport.response import LoadResponse
from pytest_ipload.transport.short_way import Details, SessionHeaders, ShortWay, hop_of
from pytest_ipload.transport.sockets import connect_stream, open_datagram
from pytest_ipload.transport.templates import Template
from pytest_ipload.transport.tls import TlsContexts

_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class BaseUrlMissing(SettingError, MissingSchema):
    """A URL is relative, and there is no base URL to resolve it against."""


class _Default:
    """Stands for a timeout that was not given: None already means none at all."""

    def __repr__(self) -> str:
        return "the session's timeout"


_DEFAULT = _Default()


class _Current(threading.local):
    call: Call | None = None


class LoadSession(requests.Session):
    """A ``requests.Session`` that leaves from a source address and hands each call on as a ``Sample``.

    ``source_address``
        an IP address, or several with at most one of each family: that of the destination's family is used. None:
        the operating system chooses. ``freebind:`` in front of an IPv6 address that is this host's by a route only.
    ``base_url``
        relative URLs are appended to it.
    ``timeout``
        seconds for connecting and for each read, where a call gives none itself. None: no limit.
    ``allowed_hosts``
        names and patterns for ``AllowedHosts``; a request to any other host raises TargetNotAllowed, and nothing is
        sent. None: every host is allowed.
    ``record``
        is called with one ``Sample`` for each call, in the thread of the call. Redirects and authentication belong
        to the call; a call that a hook makes is one of its own. None: nothing is recorded.
    ``tally``
        is called in the place of ``record`` for an ordinary success, with the sample's key, start and latency; see
        ``Recorder.tally``.
    ``tls``, ``heads``, ``templates``
        caches of TLS contexts, of heads of replies and of templates of requests, to share with other sessions.
    ``before_call``
        is called at the start of each call, in its thread; it may ``rebind`` the session.
    ``fast``
        whether plain calls may take the short way, which gives the same replies for less CPU time. False: every call
        takes the way of requests and urllib3.
    ``fast_path_log``
        is told of the calls that did not take the short way because another library has hooks in requests.

    Settings of the environment (proxies, CA bundles, .netrc) are not read: ``trust_env`` is False. A pickled copy
    records nothing. Raises SettingError.
    """

    __attrs__: ClassVar[list[str]] = [  # type: ignore[misc]  # what pickle keeps
        *requests.Session.__attrs__,
        "base_url",
        "timeout",
        "binding",
        "fast",
    ]

    def __init__(
        self,
        source_address: str | Sequence[str] | None = None,
        base_url: str | None = None,
        timeout: float | None = 30,
        allowed_hosts: Iterable[str] | None = None,
        record: Callable[[Sample], None] | None = None,
        *,
        tally: Callable[[Key, int, int], None] | None = None,
        tls: TlsContexts | None = None,
        heads: ReplyHeads | None = None,
        templates: dict[Any, Template | None] | None = None,
        before_call: Callable[[], object] | None = None,
        fast: bool = True,
        fast_path_log: FastPathLog | None = None,
    ) -> None:
        super().__init__()
        self.fast = fast
        self.fast_path_log = fast_path_log
        self.heads = ReplyHeads() if heads is None else heads
        self.templates: dict[Any, Template | None] = {} if templates is None else templates
        self.trust_env = False
        if base_url is not None and not (_ABSOLUTE.match(base_url) and urlsplit(base_url).netloc):
            raise SettingError(f"base URL {base_url!r} is not complete; write it as in 'http://localhost:8000'")
        self.base_url = base_url
        self.timeout = timeout
        self.record = record
        self.tally = tally
        self.before_call = before_call
        guard = None if allowed_hosts is None else AllowedHosts(allowed_hosts, base_url)
        self.binding = Binding(_sequence(source_address), guard)
        self._current = _Current()
        adapter = SourceAdapter(self.binding, tls)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.record = self.tally = self.before_call = self.fast_path_log = None
        self.heads, self.templates = ReplyHeads(), {}
        self._current = _Current()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "headers":
            SessionHeaders.adopt(value)
        elif name == "cookies":
            SessionCookies.adopt(value)
        super().__setattr__(name, value)
        super().__setattr__("_short_way", None)  # what it knows of the session may be true no more

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._short_way = None

    def mount(self, prefix: Any, adapter: Any) -> None:
        """As in requests; a plain adapter of requests leaves from the session's source addresses from now on."""
        binding: Binding | None = vars(self).get("binding")  # requests mounts its own before there is one
        if binding is not None and not bind_adapter(adapter, binding) and binding.sources and self.fast_path_log:
            self.fast_path_log.add_unbound(f"{type(adapter).__module__}.{type(adapter).__qualname__}")
        super().mount(prefix, adapter)
        self._short_way = None

    def close(self) -> None:
        """As in requests: close all connections that are idle. The session can be used again."""
        super().close()
        self._short_way = None

    @property
    def source_address(self) -> str | None:
        """The session's (first) source address; None where the operating system chooses."""
        return self.binding.source_address

    def rebind(self, source_address: str | Sequence[str] | None) -> None:
        """Leave from another source address from the next request on.

        Connections that are open are kept, and used again when their address comes again: a session that rotates
        through eight addresses has eight connections.
        """
        self.binding.rebind(_sequence(source_address))

    def create_connection(self, address: tuple[str, int], timeout: float | _Default | None = _DEFAULT) -> socket.socket:
        """A TCP socket to (host, port), as ``socket.create_connection`` makes it, but from the source address.

        ``timeout`` is in seconds, by default the session's. The host has to be allowed, and ``interrupt`` ends what
        blocks on the socket. The caller closes it. Raises TargetNotAllowed, the faults of the own side, OSError.
        """
        return connect_stream(self.binding, address, self.timeout if isinstance(timeout, _Default) else timeout)

    def create_datagram_socket(self, family: int | None = None) -> socket.socket:
        """A UDP socket that is bound to the source address; ``family`` is 4, 6, or None for the first address's.

        It sends to allowed hosts only. The caller closes it. Raises SettingError without an address of the family.
        """
        return open_datagram(self.binding, family)

    def interrupt(self) -> None:
        """End the session from another thread: what blocks in it fails at once, and so does every later request.

        Connections in use are shut down. A call that waits for the name server still waits.
        """
        self.binding.interrupt()

    def resume(self) -> None:
        """Allow requests again after ``interrupt``. For the session's own thread."""
        self.binding.resume()

    def prepare_request(self, request: Request) -> PreparedRequest:
        """As in requests, with relative URLs resolved. Raises BaseUrlMissing for one without a base URL."""
        absolute = copy.copy(request)
        absolute.url = self.absolute_url(request.url)
        return super().prepare_request(absolute)

    def absolute_url(self, url: Any) -> str:
        """The URL, resolved against the base URL if it is relative. Raises BaseUrlMissing if there is none."""
        text = (url.decode() if isinstance(url, bytes) else str(url)).lstrip()
        if _ABSOLUTE.match(text):
            return text
        if self.base_url is not None:
            # Of the slashes between the two just one is left; a path may begin with more, as an object's key does.
            return f"{self.base_url.rstrip('/')}/{text.removeprefix('/')}"
        if ":" not in text:  # what has a colon and no host, requests explains itself
            raise BaseUrlMissing(
                f"Invalid URL {text!r}: it is relative, and there is no base URL to resolve it against; "
                "set base_url or --ipload-base-url, or give the whole URL as in 'http://localhost:8000/'"
            )
        return text

    def request(
        self,
        method: str,
        url: str | bytes,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        cookies: Any = None,
        files: Any = None,
        auth: Any = None,
        timeout: Any = _DEFAULT,
        allow_redirects: bool = True,
        proxies: Any = None,
        hooks: Any = None,
        stream: bool | None = None,
        verify: Any = None,
        cert: Any = None,
        json: Any = None,
        *,
        name: str | None = None,
        expect: Expected = None,
    ) -> LoadResponse:
        """Send a request, as in requests.

        ``name`` labels the sample; the default is the method and the path. ``expect`` says what counts as a success:
        a status, a class of statuses such as ``"4xx"``, an exception type, or a list of these; the default is any
        status from 200 to 399. A reply that is not expected makes a failed sample, but raises nothing.
        """
        expectation = USUAL if expect is None else Expectation.of(expect)
        if name is not None:
            name = label_of(name)
        if timeout is _DEFAULT:
            timeout = self.timeout
        if self.before_call is not None:
            self.before_call()
        short_way = self._short_way or self._open_short_way()
        if short_way.is_open and (files is cookies is hooks is verify is cert is None) and not (proxies or stream):
            details = None
            if not (params is data is headers is auth is json is None):
                details = Details(params, data, headers, auth, json)
            try:
                reply = short_way.call(self, method, url, timeout, details)
            except BaseException as error:
                self._record_interrupted(short_way, name, error)
                raise
            if reply is not None:
                self._record(reply, name, expectation)
                return reply
        # fmt: off
        return self._run(  # all by their places, which requests documents
            Call(name, expectation), super().request, method, url, params, data, headers, cookies, files, auth, timeout,
            allow_redirects, proxies, hooks, stream, verify, cert, json,
        )
        # fmt: on

    def _record(self, reply: LoadResponse, name: str | None, expectation: Expectation) -> None:
        """Record a reply of the short way."""
        label, status = name or reply.outgoing.label, reply.status_code
        if reply.hop is None and status in expectation.statuses:
            if self.tally is not None:
                key = (REQUEST, label, reply.source_address, status, OK)
                self.tally(key, reply.started_ns, reply.latency_ns)
            elif self.record is not None:
                self.record(
                    timed_sample(REQUEST, label, reply.started_ns, reply.latency_ns, OK, status, reply.source_address)
                )
        elif self.record is not None:
            call = Call(label, expectation)
            call.begin(reply.request)
            call.hops.append(hop_of(reply))
            self.record(cast(Sample, call.sample(reply)))  # a call with a hop has one

    def _record_interrupted(self, short_way: ShortWay, name: str | None, error: BaseException) -> None:
        """Record a request of the short way that was interrupted at the end of the load: it has failed."""
        outgoing, hop = short_way.interrupted, self.binding.thread.interrupted
        short_way.interrupted = self.binding.thread.interrupted = None
        if self.record is not None and self.binding.ended and outgoing is not None and hop is not None:
            call = Call(name or outgoing.label, USUAL)
            call.hops.append(hop)
            self.record(cast(Sample, call.sample(None, error)))  # a call with a hop has one

    def _open_short_way(self) -> ShortWay:
        short_way = ShortWay(self)
        short_way.is_open = short_way.is_open and self.fast and self._has_own_methods()
        is_own = getattr(self.request, "__func__", None) is LoadSession.request
        short_way.is_direct = short_way.is_open and is_own and self.before_call is None
        super().__setattr__("_short_way", short_way)
        return short_way

    def _has_own_methods(self) -> bool:
        """Whether neither a subclass nor a patch replaces what the short way goes round."""
        return all(
            (function := getattr(getattr(self, name), "__func__", None)) is vars(requests.Session)[name]
            or is_own(function, sys.modules[__name__], name)
            for name in _PASSED_BY
        )

    def send(
        self, request: PreparedRequest, *, name: str | None = None, expect: Expected = None, **kwargs: Any
    ) -> LoadResponse:
        """Send a prepared request, as in requests: a call of its own. ``name`` and ``expect``: see ``request``."""
        kwargs.setdefault("timeout", self.timeout)
        call = self._current.call
        if call is not None and call.awaits_send:
            call.begin(request)
            return self._transmit(request, **kwargs)
        call = Call(label_of(name), Expectation.of(expect))
        if self.before_call is not None:
            self.before_call()
        call.begin(request)
        return self._run(call, self._transmit, request, **kwargs)

    def _transmit(self, request: PreparedRequest, **kwargs: Any) -> LoadResponse:
        call = self._current.call
        is_redirected = call is not None and call.redirects > 0
        adapter = self.get_adapter(request.url or "") if isinstance(request, PreparedRequest) else None
        try:
            if adapter is None or isinstance(adapter, SourceAdapter):
                return LoadResponse.of(super().send(request, **kwargs))
            # An adapter of the user's own does not look itself where it sends to.
            self.binding.check(request.url)
            if call is not None:
                call.is_untimed = True
            proxies = kwargs.setdefault("proxies", resolve_proxies(request, self.proxies, self.trust_env))
            proxy = proxy_of(request.url, proxies)
            if proxy is not None:
                self.binding.check(proxy)
            with held_to_allowed_hosts(self.binding, adapter, request.url or "", proxy):
                return self._transmit_untimed(request, kwargs)
        except TargetNotAllowed as error:
            error.at_run_time = error.at_run_time or is_redirected
            raise

    def _transmit_untimed(self, request: PreparedRequest, kwargs: dict[str, Any]) -> LoadResponse:
        """Send by an adapter of the user's own; only its connections may tell where the request left from."""
        thread = self.binding.thread
        outer, thread.hop = thread.hop, (hop := Hop())
        try:
            response = LoadResponse.of(super().send(request, **kwargs))
        finally:
            thread.hop = outer
        if response.source_address is None:
            response.source_address = hop.source_address
        return response

    def _run(self, call: Call, function: Callable[..., Response], *args: Any, **kwargs: Any) -> LoadResponse:
        """Run one call in this thread, and record it."""
        current, thread, record = self._current, self.binding.thread, self.record
        outer_call, outer_hops = current.call, thread.hops
        current.call, thread.hops = call, call.hops
        try:
            response = function(*args, **kwargs)
        except BaseException as error:
            # Of those that are no Exception, only what interrupts the user tells of the request.
            is_of_request = isinstance(error, Exception) or self.binding.ended
            if is_of_request and record is not None and (sample := call.sample(None, error)) is not None:
                record(sample)
            raise
        finally:
            current.call, thread.hops = outer_call, outer_hops
            thread.drop_hand_over()
        if record is not None and (sample := call.sample(response)) is not None:
            record(sample)
        return LoadResponse.of(response)

    def resolve_redirects(
        self,
        resp: Response,
        req: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
        yield_requests: bool = False,
        **adapter_kwargs: Any,
    ) -> Generator[Response, None, None]:
        """As in requests."""
        redirects = super().resolve_redirects(
            resp, req, stream, timeout, verify, cert, proxies, yield_requests, **adapter_kwargs
        )
        call = self._current.call
        if call is None or yield_requests:
            yield from redirects
            return
        call.awaits_send = True  # what follows a redirect belongs to the call; what a hook sends does not
        for response in redirects:
            yield response
            call.awaits_send = True

    def get(
        self, url: str | bytes, params: Any = None, *, name: str | None = None, expect: Expected = None, **kwargs: Any
    ) -> LoadResponse:
        """GET; see ``request``."""
        short_way = self._short_way
        if kwargs or params is not None or short_way is None or not short_way.is_direct:
            if params is not None:  # by its name, which a wrapper of ``request`` may take only
                kwargs["params"] = params
            return self.request("GET", url, name=name, expect=expect, **kwargs)
        # What ``request`` would do, for the call that load tests make most.
        expectation = USUAL if expect is None else Expectation.of(expect)
        if name is not None:
            name = label_of(name)
        try:
            reply = short_way.call(self, "GET", url, self.timeout, None)
        except BaseException as error:
            self._record_interrupted(short_way, name, error)
            raise
        if reply is None:
            return self._run(Call(name, expectation), super().request, "GET", url, timeout=self.timeout)
        self._record(reply, name, expectation)
        return reply

    def options(
        self, url: str | bytes, *, name: str | None = None, expect: Expected = None, **kwargs: Any
    ) -> LoadResponse:
        """OPTIONS; see ``request``."""
        return self.request("OPTIONS", url, name=name, expect=expect, **kwargs)

    def head(
        self, url: str | bytes, *, name: str | None = None, expect: Expected = None, **kwargs: Any
    ) -> LoadResponse:
        """HEAD, by default without following redirects; see ``request``."""
        kwargs.setdefault("allow_redirects", False)
        return self.request("HEAD", url, name=name, expect=expect, **kwargs)

    def post(
        self,
        url: str | bytes,
        data: Any = None,
        json: Any = None,
        *,
        name: str | None = None,
        expect: Expected = None,
        **kwargs: Any,
    ) -> LoadResponse:
        """POST; see ``request``."""
        return self.request("POST", url, data=data, json=json, name=name, expect=expect, **kwargs)

    def put(
        self, url: str | bytes, data: Any = None, *, name: str | None = None, expect: Expected = None, **kwargs: Any
    ) -> LoadResponse:
        """PUT; see ``request``."""
        return self.request("PUT", url, data=data, name=name, expect=expect, **kwargs)

    def patch(
        self, url: str | bytes, data: Any = None, *, name: str | None = None, expect: Expected = None, **kwargs: Any
    ) -> LoadResponse:
        """PATCH; see ``request``."""
        return self.request("PATCH", url, data=data, name=name, expect=expect, **kwargs)

    def delete(
        self, url: str | bytes, *, name: str | None = None, expect: Expected = None, **kwargs: Any
    ) -> LoadResponse:
        """DELETE; see ``request``."""
        return self.request("DELETE", url, name=name, expect=expect, **kwargs)


_PASSED_BY = ("send", "prepare_request", "merge_environment_settings", "get_adapter")
"""Methods of a session that the short way does not call each time. Patches of requests' own are seen by ``hooks``."""


def _sequence(source_address: str | Sequence[str] | None) -> Sequence[str]:
    return (source_address,) if isinstance(source_address, str) else source_address or ()
