"""Plain calls of a session, without preparing each request again.

requests, urllib3 and http.client decide what a request looks like and what a reply means. For the calls that load
tests make most (a method, a URL, perhaps parameters, a header or a body) their decisions are remembered, and used
again as long as nothing that they depend on has changed. Whatever is not plain is left to them: the call is then not
served here, or handed over in the middle (see ``exchange``).
"""

from __future__ import annotations

import re
import time
from http.cookiejar import Cookie
from logging import DEBUG
from typing import TYPE_CHECKING, Any, NamedTuple

from requests.sessions import merge_setting
from requests.structures import CaseInsensitiveDict

from pytest_ipload.transport.adapter import POOLS, SourceAdapter
from pytest_ipload.transport.connect.binding import Fallback, Hop
from pytest_ipload.transport.connect.connection import Pool
from pytest_ipload.transport.fast_path.cookies import CookieLine, CookieLines, SessionCookies, SetCookieMemo
from pytest_ipload.transport.fast_path.exchange import Timeouts, exchange
from pytest_ipload.transport.fast_path.prepared_call import FOREVER, PreparedCall
from pytest_ipload.transport.fast_path.session_headers import Changes, SessionHeaders
from pytest_ipload.transport.foreign_hooks import DEBUG_LOG, IS_CACHED, Seen, debug_answer, debug_is_logged, hooks_in
from pytest_ipload.transport.message.templates import NO_BODY, NONE, Body, Target, Template, encode_body, encode_form
from pytest_ipload.transport.overrides import has_own_request, overridden, watch_of
from pytest_ipload.transport.response import LoadResponse

if TYPE_CHECKING:
    from pytest_ipload.transport.session import LoadSession

_REMEMBERED = 256
_HAS_QUERY = re.compile(r"[?#]").search
_LONGEST_TIMEOUT = 1e6  # seconds; the system calls take no endless number
_NOTHING_SEEN: Seen = ((),)
_Key = str | bytes | tuple[Any, ...]
"""Of a request with a certain method: its URL, or more than that."""


class Details(NamedTuple):
    """What a call says besides its method and its URL."""

    params: Any
    data: Any
    headers: Any
    auth: Any
    json: Any


_NO_DETAILS = Details(None, None, None, None, None)


class FastPath:
    """Serves the plain calls of a session, as long as the session's attributes stay what they are.

    ``is_open`` is False if a setting of the session, or what ``closed_by`` says, needs requests for each call.
    ``is_direct`` says that a call may come here without passing the ``get`` of requests and the session's ``request``.
    """

    call_class = PreparedCall

    def __init__(self, session: LoadSession) -> None:
        self._binding = session.binding
        self._heads = session.heads
        self._headers: Any = session.headers
        self._jar: Any = session.cookies
        self._header_changes: Changes = getattr(self._headers, "changes", None) or Changes()
        self._jar_changes: Changes = getattr(self._jar, "changes", None) or Changes()
        self._headers_version = self._jar_version = -1
        """The number of changes that what is remembered holds for."""
        self._jar_state = object()
        """Another one whenever the jar has changed: to compare two objects takes less than to compare two numbers."""
        self._cookie_values: list[tuple[Cookie, str | None]] = []
        self._outgoing: dict[str, dict[_Key, PreparedCall]] = {}
        """By method, then by what else makes the request: to find one takes half as long as by a tuple of all."""
        self._templates: dict[_Key, Template | None] = {}
        self._targets: dict[str, Target] = {}
        self._pools: dict[tuple[str, str | None, SourceAdapter], Pool] = {}
        self._cookie_lines: CookieLines | None = None
        self._set_cookies: SetCookieMemo | None = None
        """Made when there are cookies: most users have none, and there may be thousands of them."""
        self._unhooked: Seen = _NOTHING_SEEN
        self._hooked: Seen | None = None
        """What was at the places of ``hooks`` when there was no hook, and when there was one."""
        self._hooks = ""
        self.left_because = ""
        """Why the last call was left to requests, where that is a hook."""
        self._watch = watch_of(type(session))
        self.interrupted: PreparedCall | None = None
        """The request that something was raised in, from outside: all else is handed over."""
        self._timeouts: tuple[Any, Timeouts | None] = (None, (None, None))
        self.closed_by = overridden(session) if session.fast else ""
        self.is_open = (
            session.fast
            and not self.closed_by
            and type(session.headers) is SessionHeaders
            and type(session.cookies) is SessionCookies
            and (session.auth is None or _is_basic(session.auth))
            and not session.stream
            and not session.trust_env
        )
        self.is_direct = self._may_be_direct(session)

    def _may_be_direct(self, session: LoadSession) -> bool:
        return self.is_open and session.before_call is None and has_own_request(session)

    def call(
        self, session: LoadSession, method: str, url: Any, timeout: Any, details: Details | Body | None
    ) -> LoadResponse | None:
        """The final reply to a call. ``session`` is the one that this was made for; ``details`` may be a body alone.

        None if requests has to make the call, or to go on with it: then something was handed over.
        """
        # These can be changed in place, without the session taking notice.
        if session.proxies or session.params or session.hooks.get("response") or self._binding.ended:
            return None
        # Libraries that mock servers patch requests at these places.
        watch = self._watch
        if watch.seen is not self._unhooked or not watch.heir.__flags__ & IS_CACHED:
            seen = watch.look()
            if seen != self._unhooked and self._is_hooked(session, seen):
                return None
        if debug_answer(DEBUG, True) and debug_is_logged():
            return self._leave(DEBUG_LOG)
        if self._header_changes.count != self._headers_version or self._jar_changes.count != self._jar_version:
            self._forget()
        elif self._cookie_values:
            self._look_at_cookies()
        body: Body | None = None
        key: _Key = url
        if details is not None:
            plain = _plain(url, details)
            if plain is None:
                return None
            key, url, body = plain
        try:
            outgoing = self._outgoing[method][key]
        except (KeyError, TypeError):  # not known yet, or no text
            outgoing = None
        if outgoing is None or outgoing.holds_for is not self._jar_state:
            outgoing = self._renewed(outgoing, method, key) or self._prepare(session, method, key, url, details, body)
            if outgoing is None:
                return None
        if outgoing.adapter.is_patched:
            return self._leave(outgoing.adapter.patches)
        pool = outgoing.pool
        if pool is None or pool.pool is None or outgoing.source != self._binding.source_address:
            pool = self._choose_pool(session, outgoing)
            if pool is None:
                return None
        last_timeout, timeouts = self._timeouts
        if timeout is not last_timeout:
            _, timeouts = self._timeouts = (timeout, resolve_timeouts(timeout))
        if timeouts is None:
            return None
        data = outgoing.head if body is None else outgoing.data(body)
        try:
            response = exchange(outgoing, pool, self._binding, self._heads, data, timeouts)
        except BaseException:
            self.interrupted = outgoing
            raise
        if response is None:
            return None
        response.outgoing = outgoing
        response.body_sent = body
        return self._look_at(response) if response.head.is_special else response

    def _leave(self, why: str) -> LoadResponse | None:
        """Have requests make the call, and say why."""
        self.left_because = why
        return None

    def _is_hooked(self, session: LoadSession, seen: Seen) -> bool:
        if seen != self._hooked:
            hooks = hooks_in(seen) or overridden(session)
            self.is_direct = not hooks and self._may_be_direct(session)
            if not hooks:
                self._unhooked = seen
                return False
            self._hooked, self._hooks = seen, hooks
        self.left_because = self._hooks
        return True

    def _look_at(self, response: LoadResponse) -> LoadResponse | None:
        """Take cookies, undo a coding; None if requests has to go on."""
        head = response.head
        is_decoded = not head.content_encoding or response.decode(self._binding.thread.most_reply)
        if head.is_redirect or not is_decoded:
            self._binding.thread.fall_back = Fallback(hop_of(response), response=response)
            return None
        if head.set_cookies:
            self._set_cookies = self._set_cookies or SetCookieMemo()
            self._set_cookies.take(self._jar, response, response.outgoing.where)
        return response

    def _look_at_cookies(self) -> None:
        """A cookie's value can be changed in place, too."""
        for cookie, value in self._cookie_values:
            if cookie.value is not value:
                self._jar.value_changed(cookie.value)
                self._forget()
                return

    def _forget(self) -> None:
        """Headers or cookies changed: what was prepared with them is no longer valid."""
        if self._header_changes.count != self._headers_version:
            self._templates.clear()
            self._outgoing.clear()
        self._cookie_values = [(cookie, cookie.value) for cookie in self._jar.by_place.values()]
        self._headers_version, self._jar_version = self._header_changes.count, self._jar_changes.count
        self._jar_state = object()

    def _prepare(
        self, session: LoadSession, method: str, key: _Key, url: str, details: Details | Body | None, body: Body | None
    ) -> PreparedCall | None:
        """Prepare a request; None if requests has to do it, or to say what is wrong with it."""
        if type(method) is not str or type(url) not in (str, bytes):
            return None
        known = self._outgoing.get(method)
        if known is None:
            _remember(self._outgoing, method, known := {})
        method, jar_state = method.upper(), self._jar_state
        try:
            target = self._target(session, url)
            self._binding.check(target.url)
            template = self._template(session, method, target, details, body)
            if template is None:
                return None
            line = CookieLine(None, FOREVER)
            if self._jar.by_place and not template.has_own_cookies:
                self._cookie_lines = self._cookie_lines or CookieLines()
                line = self._cookie_lines.line(self._jar, template, target)
            adapter = session.get_adapter(target.url)
            if not isinstance(adapter, SourceAdapter):
                return None
            outgoing = self.call_class(template, method, target, *line, adapter, session.names, jar_state)
        except Exception:  # requests finds the same error, and reports it in its way
            return None
        _remember(known, key, outgoing)
        return outgoing

    def _renewed(self, outgoing: PreparedCall | None, method: str, key: _Key) -> PreparedCall | None:
        """A known request as it has to be now; None if more has changed than values of cookies."""
        if outgoing is None:
            return None
        jar_state = self._jar_state
        if outgoing.valid_until != FOREVER:
            return outgoing if outgoing.made_for is jar_state and time.time() < outgoing.valid_until else None
        if outgoing.cookies is None or self._cookie_lines is None or type(outgoing) is not PreparedCall:
            return None
        value = self._cookie_lines.known(self._jar, outgoing.where)
        if value is None:
            return None
        try:
            renewed = outgoing.with_cookies(value, jar_state)
        except ValueError:  # requests finds the same error, and reports it in its way
            return None
        known = self._outgoing.get(method)
        if known is not None and known.get(key) is outgoing:  # else another thread has forgotten it meanwhile
            known[key] = renewed
        return renewed

    def _target(self, session: LoadSession, url: str) -> Target:
        target = self._targets.get(url)
        if target is None:
            target = Target.of(session.absolute_url(url))
            _remember(self._targets, url, target)
        return target

    def _template(
        self, session: LoadSession, method: str, target: Target, details: Details | Body | None, body: Body | None
    ) -> Template | None:
        given = details if isinstance(details, Details) else _NO_DETAILS
        headers, auth, kind = given.headers, given.auth or session.auth, NONE if body is None else body.kind
        key = (method, target.origin, tuple(headers.items()) if headers else None, auth, kind)
        if key not in self._templates:
            header = merge_setting(headers, self._headers, dict_class=CaseInsensitiveDict)
            shared, shared_key = session.templates, (method, target.origin, tuple(header.items()), auth, kind)
            if shared_key not in shared:
                _remember(shared, shared_key, Template.make(method, target, header, auth, kind))
            # Another session's thread may have made room in between.
            _remember(self._templates, key, shared.get(shared_key))
            if self._watch.look() != self._unhooked:  # a hook that came meanwhile may have written into it
                shared.pop(shared_key, None)
                return self._templates.pop(key, None) and None
        return self._templates[key]

    def _choose_pool(self, session: LoadSession, outgoing: PreparedCall) -> Pool | None:
        """The pool of connections for the request, from the session's present source; None if requests has to."""
        adapter, source = outgoing.adapter, self._binding.source_address
        if adapter.retries_itself or adapter.binding is not self._binding:
            return None
        key = (outgoing.target.origin, source, adapter)
        pool = self._pools.get(key)
        if pool is None or pool.pool is None:
            request = outgoing.request(NO_BODY)
            try:
                pool = adapter.fast_pool(request, session.verify, session.cert)
            except Exception:  # requests finds the same error, and reports it in its way
                return None
            if pool is None:
                return None
            _remember(self._pools, key, pool, POOLS)
        outgoing.pool, outgoing.source = pool, source
        return pool


def _remember(memory: dict[Any, Any], key: Any, value: Any, limit: int = _REMEMBERED) -> None:
    if len(memory) >= limit:
        memory.clear()
    memory[key] = value


def _plain(url: Any, details: Details | Body) -> tuple[_Key, str, Body] | None:
    """A key for what is to be prepared, the URL with its parameters, and the body; None if they are not plain."""
    if isinstance(details, Body):
        return (url, details.kind), url, details
    params, data, headers, auth, json = details
    if headers is not None and not (type(headers) is dict and all(map(_is_plain_field, headers.items()))):
        return None
    if auth is not None and not _is_basic(auth):
        return None
    if params:
        query = encode_form(params) if type(params) is dict and type(url) is str and not _HAS_QUERY(url) else None
        if query is None:
            return None
        url = f"{url}?{query}" if query else url
    try:
        body = encode_body(data, json)
    except (TypeError, ValueError):  # requests will say it
        return None
    if body is None:
        return None
    if not headers and auth is None:
        return (url, body.kind), url, body
    return (url, body.kind, tuple(headers.items()) if headers else None, auth), url, body


def _is_basic(auth: object) -> bool:
    return type(auth) is tuple and len(auth) == 2 and all(type(each) is str for each in auth)


def _is_plain_field(field: tuple[object, object]) -> bool:
    name, value = field
    return type(name) is str and (value is None or type(value) is str)


def resolve_timeouts(timeout: Any) -> Timeouts | None:
    """The timeouts for connecting and reading; None for what requests has to understand, or refuse."""
    connect, read = timeout if type(timeout) is tuple and len(timeout) == 2 else (timeout, timeout)
    if all(each is None or (type(each) in (int, float) and 0 < each < _LONGEST_TIMEOUT) for each in (connect, read)):
        return connect, read
    return None


def hop_of(response: LoadResponse) -> Hop:
    """The hop of a response of the fast path."""
    hop = response.hop or Hop()
    hop.started_ns = response.started_ns
    hop.ended_ns = response.started_ns + response.latency_ns
    hop.source_address = response.source_address
    return hop
