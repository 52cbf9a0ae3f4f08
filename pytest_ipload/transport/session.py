"""The HTTP session of a virtual user."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, ClassVar

import requests
from requests import PreparedRequest, Request, Response
from requests.utils import resolve_proxies

from pytest_ipload.addresses.source_address import SourceAddress
from pytest_ipload.base.errors import TargetNotAllowed
from pytest_ipload.settings.url_names import UrlNames
from pytest_ipload.stats.recorder import Key
from pytest_ipload.stats.sample import OK, REQUEST, Sample, timed_sample
from pytest_ipload.transport.adapter import SourceAdapter, bind_adapter, proxy_of
from pytest_ipload.transport.allowed_hosts import AllowedHosts
from pytest_ipload.transport.base_url import check_base_url, resolved
from pytest_ipload.transport.bound_session import DEFAULT, sequence
from pytest_ipload.transport.call import USUAL, Call, CurrentCall, Expectation, Expected, label_of, names_of
from pytest_ipload.transport.connect.binding import Binding, Hop
from pytest_ipload.transport.connect.tls import TlsContexts
from pytest_ipload.transport.custom_adapters import held_to_allowed_hosts
from pytest_ipload.transport.direct_session import DirectSession
from pytest_ipload.transport.fast_path.cookies import SessionCookies
from pytest_ipload.transport.fast_path.fast_path import Details, FastPath
from pytest_ipload.transport.fast_path.session_headers import SessionHeaders
from pytest_ipload.transport.fast_path.traced import TracedFastPath
from pytest_ipload.transport.foreign_hooks import Watch
from pytest_ipload.transport.http_version import HTTP_1_1, adapter_for
from pytest_ipload.transport.message.reply_head import ReplyHeads
from pytest_ipload.transport.message.templates import Template
from pytest_ipload.transport.overrides import Adapters
from pytest_ipload.transport.path_log import FastPathLog
from pytest_ipload.transport.response import LoadResponse, note_recorded

# What a call hands on to requests where it was given: a patch of ``requests.Session.request`` may know no others.
_SETTINGS = (
    "params", "data", "headers", "cookies", "files", "auth", "proxies", "hooks", "stream", "verify", "cert", "json",
)  # fmt: skip


class LoadSession(DirectSession):
    """A ``requests.Session`` that leaves from a source address and hands each call on as a ``Sample``.

    ``source_address``
        an IP address, or several with at most one of each family: that of the destination's family is used. None:
        the operating system chooses. ``freebind:`` in front of an IPv6 address that is this host's by a route only.
    ``base_url``
        relative URLs are appended to it.
    ``timeout``
        seconds for connecting and for each read, where a call gives none itself. None: no limit.
    ``allowed_hosts``
        names and patterns for ``AllowedHosts``, or one that several sessions share; a request to any other host raises
        TargetNotAllowed, and nothing is sent. None: every host is allowed.
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
        whether plain calls may take the fast path: the same replies for less CPU time. False: all take the stock path.
    ``http``, ``names``
        the version of HTTP: ``"1.1"``, or ``"2"`` or ``"3"``, which need the extra ``http2`` (pycurl); and templates of
        URLs that name requests: ``["/items/{id}"]``; without one, method and path do.
    ``tls_resumption``
        whether new connections resume TLS sessions of earlier ones, as browsers do, for less CPU time on both sides.
    ``fast_path_log``
        records the calls that did not take the fast path because of patches and overrides.

    Settings of the environment (proxies, CA bundles, .netrc) are not read: ``trust_env`` is False. A pickled copy
    records nothing. Raises SettingError.
    """

    __attrs__: ClassVar[list[str]] = [  # type: ignore[misc]  # what pickle keeps
        *requests.Session.__attrs__,
        "base_url",
        "timeout",
        "binding",
        "fast",
        "http",
        "names",
    ]
    _watch: ClassVar[Watch | None] = None
    base_url: str | None = None  # of a subclass, or set by it before it comes here

    def __init__(
        self,
        source_address: str | Sequence[str | SourceAddress] | None = None,
        base_url: str | None = None,
        timeout: float | None = 30,
        allowed_hosts: AllowedHosts | Iterable[str] | None = None,
        record: Callable[[Sample], None] | None = None,
        *,
        tally: Callable[[Key, int, int], None] | None = None,
        tls: TlsContexts | None = None,
        heads: ReplyHeads | None = None,
        templates: dict[Any, Template | None] | None = None,
        before_call: Callable[[], object] | None = None,
        fast: bool = True,
        http: str = HTTP_1_1,
        names: UrlNames | Iterable[str] | None = None,
        tls_resumption: bool = False,
        fast_path_log: FastPathLog | None = None,
    ) -> None:
        super().__init__()
        self.fast = fast
        self.names = names_of(names)
        self.fast_path_log = fast_path_log
        self.heads = ReplyHeads() if heads is None else heads
        self.templates: dict[Any, Template | None] = {} if templates is None else templates
        self.trust_env = False
        check_base_url(base_url)
        if base_url is not None:
            self.base_url = base_url
        self.timeout = timeout
        self.record = record
        self.tally = tally
        self.evidence = self.tracer = None  # of its own: read for each request, and found faster than the class's
        self.before_call = before_call
        guard = allowed_hosts
        if guard is not None and not isinstance(guard, AllowedHosts):
            guard = AllowedHosts(guard, self.base_url)
        self._current = CurrentCall()
        binding = Binding(sequence(source_address), guard, resumes_tls=tls_resumption)
        self.http = str(http)
        adapter = adapter_for(http, binding, tls)
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        self.binding = binding  # now: those of requests are not worth being bound

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.record = self.tally = self.before_call = self.fast_path_log = None
        self.evidence = self.tracer = None
        self.heads, self.templates = ReplyHeads(), {}
        self._current = CurrentCall()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "headers":
            SessionHeaders.adopt(value)
        elif name == "cookies":
            SessionCookies.adopt(value)
        elif name == "adapters" and type(value) is OrderedDict and not hasattr(self, "adapters"):  # not shared yet
            value = Adapters(self, value)
        super().__setattr__(name, value)
        super().__setattr__("_fast_path", None)  # what it knows of the session may be outdated

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._fast_path = None

    def adapters_changed(self, adapter: object) -> None:
        """Choose adapters again, by ``mount`` or without it; a new one uses the session's source addresses."""
        binding: Binding | None = getattr(self, "binding", None)  # requests mounts its own before there is one
        self._fast_path = None
        if adapter is None or binding is None or bind_adapter(adapter, binding):
            return
        if binding.sources and self.fast_path_log:
            self.fast_path_log.add_unbound(f"{type(adapter).__module__}.{type(adapter).__qualname__}")

    def close(self) -> None:
        """As in requests: close all connections that are idle. The session can be used again."""
        super().close()
        self._fast_path = None

    def prepare_request(self, request: Request) -> PreparedRequest:
        """As in requests, with relative URLs resolved. Raises BaseUrlMissing for one without a base URL."""
        absolute = copy.copy(request)
        absolute.url = self.absolute_url(request.url)
        return super().prepare_request(absolute)

    def absolute_url(self, url: Any) -> str:
        """The URL, resolved against the base URL if it is relative. Raises BaseUrlMissing if there is none."""
        return resolved(url, self.base_url, is_of_user=self.tally is not None)

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
        timeout: Any = DEFAULT,
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
        a status, a class of statuses such as ``"4xx"``, an exception type, or a list of these; or a function of the
        response, which returns a true value or raises; the default is any status from 200 to 399. A reply that is not
        expected makes a failed sample, but raises nothing.
        """
        expectation = USUAL if expect is None else Expectation.of(expect)
        if name is not None:
            name = label_of(name)
        if timeout is DEFAULT:
            timeout = self.timeout
        if self.before_call is not None:
            self.before_call()
        fast_path = self._fast_path or self._open_fast_path()
        if fast_path.is_open and (files is cookies is hooks is verify is cert is None) and not (proxies or stream):
            details = None
            if not (params is data is headers is auth is json is None):
                details = Details(params, data, headers, auth, json)
            try:
                reply = fast_path.call(self, method, url, timeout, details)
            except BaseException as error:
                self._record_interrupted(fast_path, name, error)
                raise
            if reply is not None:
                self._record(reply, name, expectation)
                return reply
            self._note_left(fast_path)
        elif fast_path.closed_by:
            self._note_left(fast_path)
            self._fast_path = None  # it may be open again the next time
        settings = (params, data, headers, cookies, files, auth, proxies, hooks, stream, verify, cert, json)
        given = {key: value for key, value in zip(_SETTINGS, settings, strict=True) if value is not None}
        call = self._current.take_awaited() or Call(name, expectation, self.names)
        return self._run(call, super().request, method, url, timeout=timeout, allow_redirects=allow_redirects, **given)

    def _note_left(self, fast_path: FastPath) -> None:
        """Say that a call is left to requests, if that is because of a hook or an override."""
        reason, fast_path.left_because = fast_path.left_because or fast_path.closed_by, ""
        if reason and self.fast_path_log is not None:
            self.fast_path_log.add(reason)

    def _record(self, reply: LoadResponse, name: str | None, expectation: Expectation) -> None:
        """Record a reply of the fast path."""
        outgoing, status = reply.outgoing, reply.status_code
        label = name or outgoing.label
        if reply.hop is None and (status in expectation.statuses or expectation.is_met_by(reply)):
            source, latency_ns, tally = reply.source_address, reply.latency_ns, self.tally
            if latency_ns > outgoing.floor_ns or label is not outgoing.floor_name:
                self._offer(outgoing, label, reply)
            if tally is not None:
                tally((REQUEST, label, source, status, OK), reply.started_ns, latency_ns)
            elif self.record is not None:
                self.record(timed_sample(REQUEST, label, reply.started_ns, latency_ns, OK, status, source))
        elif self.record is not None:
            self._record_unusual(reply, Call(label, expectation, self.names))

    def _open_fast_path(self) -> FastPath:
        fast_path = FastPath(self) if self.tracer is None else TracedFastPath(self)
        super().__setattr__("_fast_path", fast_path)
        return fast_path

    def send(
        self, request: PreparedRequest, *, name: str | None = None, expect: Expected = None, **kwargs: Any
    ) -> LoadResponse:
        """Send a prepared request, as in requests: a call of its own. ``name`` and ``expect``: see ``request``."""
        kwargs.setdefault("timeout", self.timeout)
        call = self._current.call
        if call is not None and call.awaits_send:
            call.begin(request)
            return self._transmit(request, **kwargs)
        call = Call(label_of(name), Expectation.of(expect), self.names)
        if self.before_call is not None:
            self.before_call()
        call.begin(request)
        return self._run(call, self._transmit, request, **kwargs)

    def _transmit(self, request: PreparedRequest, **kwargs: Any) -> LoadResponse:
        call = self._current.call
        is_redirected = call is not None and call.redirects > 0
        adapter = self.get_adapter(request.url or "") if isinstance(request, PreparedRequest) else None
        if self.tracer is not None and isinstance(request, PreparedRequest):
            self._trace(request)
        try:
            if adapter is None or isinstance(adapter, SourceAdapter):
                return LoadResponse.of(super().send(request, **kwargs))
            # An adapter of the user's own does not look itself where it sends to.
            self.binding.check(request.url)
            if call is not None:
                call.is_untimed = True
                if self.fast_path_log is not None:
                    self.fast_path_log.add_foreign(call.label)
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
        """Send by an adapter of the user's own; only its connections may show where the request left from."""
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
            # Of those not derived from Exception, only an interruption of the user is a sample of the request.
            is_of_request = isinstance(error, Exception) or self.binding.ended
            if is_of_request and record is not None:
                self.hand_on(call.sample(None, error), call, None, error)
            raise
        finally:
            current.call, thread.hops = outer_call, outer_hops
            thread.drop_hand_over()
        if record is not None:
            if (sample := call.sample(response)) is not None:
                note_recorded(response, self.binding, sample)
            self.hand_on(sample, call, response)
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
