"""The calls that load tests make most, which go to the fast path without the detour through requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from requests import Session, sessions

from pytest_ipload.settings.url_names import UrlNames
from pytest_ipload.transport.call import USUAL, Call, Expectation, Expected, label_of
from pytest_ipload.transport.fast_path.fast_path import FastPath
from pytest_ipload.transport.foreign_hooks import is_own
from pytest_ipload.transport.message.templates import NO_BODY, Body, encode_body
from pytest_ipload.transport.response import LoadResponse
from pytest_ipload.transport.streaming_session import StreamingSession

_STOCK_POST = Session.post if is_own(Session.post, sessions, "post") else None
"""The ``post`` of requests; None if it was replaced before this was imported."""


class DirectSession(StreamingSession):
    """A session whose ``get`` and ``post`` do themselves what ``request`` would do, unless something is replaced."""

    _fast_path: FastPath | None
    _record: Callable[[LoadResponse, str | None, Expectation], None]
    _note_left: Callable[[FastPath], None]
    _run: Callable[..., LoadResponse]
    names: UrlNames | None

    def get(
        self, url: str | bytes, params: Any = None, *, name: str | None = None, expect: Expected = None, **kwargs: Any
    ) -> LoadResponse:
        """GET; see ``request``."""
        fast_path = self._fast_path
        if kwargs or params is not None or fast_path is None or not fast_path.is_direct:
            return self._get_as_requests(url, params, name, expect, kwargs)
        # What ``request`` would do, for the call that load tests make most.
        expectation = USUAL if expect is None else Expectation.of(expect)
        label = None if name is None else label_of(name)
        try:
            reply = fast_path.call(self, "GET", url, self.timeout, None)  # type: ignore[arg-type]  # it is one
        except BaseException as error:
            self._record_interrupted(fast_path, label, error)
            raise
        if reply is None:
            if not fast_path.is_direct:  # any more: there is a hook
                return self._get_as_requests(url, None, name, expect, kwargs)
            return self._left_to_requests(fast_path, label, expectation, "GET", url)
        self._record(reply, label, expectation)
        return reply

    def _get_as_requests(
        self, url: str | bytes, params: Any, name: str | None, expect: Expected, kwargs: dict[str, Any]
    ) -> LoadResponse:
        """The ``get`` of requests, which calls ``request``; or its replacement."""
        given = _given(params=params, name=name, expect=expect)
        return super().get(url, **kwargs, **given)  # type: ignore[return-value]  # of ``request``

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
        fast_path, body = self._fast_path, None
        if not kwargs and fast_path is not None and fast_path.is_direct and Session.post is _STOCK_POST:
            body = _plain_body(data, json)
        if body is None or fast_path is None:
            return self._post_as_requests(url, data, json, name, expect, kwargs)
        expectation = USUAL if expect is None else Expectation.of(expect)
        label = None if name is None else label_of(name)
        try:
            reply = fast_path.call(self, "POST", url, self.timeout, body)  # type: ignore[arg-type]  # it is one
        except BaseException as error:
            self._record_interrupted(fast_path, label, error)
            raise
        if reply is None:
            if not fast_path.is_direct:  # any more: there is a hook
                return self._post_as_requests(url, data, json, name, expect, kwargs)
            given = _given(data=data, json=json)
            return self._left_to_requests(fast_path, label, expectation, "POST", url, **given)
        self._record(reply, label, expectation)
        return reply

    def _post_as_requests(
        self, url: str | bytes, data: Any, json: Any, name: str | None, expect: Expected, kwargs: dict[str, Any]
    ) -> LoadResponse:
        """The ``post`` of requests, which calls ``request``; or its replacement."""
        given = _given(data=data, json=json, name=name, expect=expect)
        return super().post(url, **kwargs, **given)  # type: ignore[return-value]  # of ``request``

    def _left_to_requests(
        self, fast_path: FastPath, label: str | None, expectation: Expectation, method: str, url: Any, **given: Any
    ) -> LoadResponse:
        """A call that the fast path has handed over: requests makes it, or goes on with it."""
        self._note_left(fast_path)
        call = Call(label, expectation, self.names)
        return self._run(call, super().request, method, url, timeout=self.timeout, **given)


def _given(**values: Any) -> dict[str, Any]:
    """Those that are not None, by their names: a wrapper may take no others."""
    return {name: value for name, value in values.items() if value is not None}


def _plain_body(data: Any, json: Any) -> Body | None:
    """The body to send; None for none, and for one that requests has to make, or to refuse."""
    try:
        body = encode_body(data, json)
    except (TypeError, ValueError):
        return None
    return None if body is NO_BODY else body
