"""All that a user can see of a reply, an exception or a cookie jar, as texts that can be compared.

Left out, because a load session differs there on purpose or nobody can rely on it:

- private attributes, and the class of a response and its ``source_address``: a ``LoadResponse`` has more;
- log messages below WARNING: urllib3 tells there what it does, not what it found;
- ``raw.retries`` and other marks of urllib3's own bookkeeping that requests does not document;
- the value of ``elapsed``: only that it is a time within that of the call.
"""

from __future__ import annotations

import copy
import hashlib
import pickle
import random
from collections.abc import Callable
from datetime import timedelta
from http.cookiejar import CookieJar

import requests
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from urllib3.response import BaseHTTPResponse

Seen = dict[str, str]
"""What was seen where: the paths and texts of everything looked at."""

_LONG = 1500
"""Longer texts are cut off, with a digest of the rest: nobody reads the difference of two megabytes."""
_SLOW = 10_000
"""Bytes from which on a guess of the encoding, or reading lines, takes too long."""


def see(thing: object, path: str, *, order: random.Random, seconds: float = 0.0) -> Seen:
    """Look at the result of a call that took ``seconds``; ``order`` shuffles what is looked at first."""
    if isinstance(thing, Response):
        return see_response(thing, path, order, seconds)
    if isinstance(thing, BaseException):
        return {f"{path}.{name}": text for name, text in see_error(thing).items()}
    if isinstance(thing, (list, tuple)):
        parts = [see(each, f"{path}[{i}]", order=order, seconds=seconds) for i, each in enumerate(thing)]
        return {f"{path}.length": str(len(thing)), **{key: text for part in parts for key, text in part.items()}}
    return {path: repr(thing)}


def see_response(response: Response, path: str, order: random.Random, seconds: float) -> Seen:
    """Look at every aspect of a response, and at those of the responses before it."""
    seen: Seen = {}
    for name in order.sample(list(ASPECTS), len(ASPECTS)):
        try:
            seen[f"{path}.{name}"] = repr(ASPECTS[name](response))
        except Exception as error:  # to fail is a way to look, too
            seen[f"{path}.{name}"] = repr(see_error(error))
    seen[f"{path}.elapsed"] = _elapsed(response, seconds)
    for number, earlier in enumerate(response.history):
        seen.update(see_response(earlier, f"{path}.history[{number}]", order, seconds))
    return seen


def see_error(error: BaseException) -> Seen:
    """The type of an exception, its text, what requests hangs on it, and what it was made of."""
    seen = {
        "error": f"{type(error).__module__}.{type(error).__qualname__}",
        "text": repr(str(error)),
        "made of": repr([(type(each).__qualname__, type(getattr(each, "reason", None))) for each in error.args]),
    }
    if isinstance(error, requests.RequestException):
        seen["request"] = repr(_request(error.request) if error.request is not None else None)
        seen["response"] = repr(error.response)
    return seen


def see_jar(jar: object) -> object:
    """Each cookie, with all its attributes, in the jar's order."""
    return [sorted(vars(cookie).items()) for cookie in jar] if isinstance(jar, CookieJar) else jar


def shortened(text: str) -> str:
    """A text of a bearable length."""
    if len(text) <= _LONG:
        return text
    return f"{text[:_LONG]}... {len(text)} characters, {hashlib.sha256(text.encode()).hexdigest()}"


def _request(request: PreparedRequest | requests.Request) -> list[object]:
    if isinstance(request, requests.Request):
        return [request.method, request.url]
    body = request.body if isinstance(request.body, (str, bytes)) else type(request.body)
    return [type(request).__name__, request.method, request.url, list((request.headers or {}).items()), body]


def _raw_head(response: Response) -> list[object]:
    raw = response.raw
    return [raw.status, raw.version, raw.version_string, raw.reason, raw.geturl(), isinstance(raw, BaseHTTPResponse)]


def _raw_headers(response: Response) -> list[object]:
    headers = response.raw.headers
    return [list(headers.items()), dict(headers), [(name, headers.getlist(name)) for name in headers], len(headers)]


def _raw_rest(response: Response) -> list[object]:
    """What reading on below requests gives, and where it says that it is."""
    raw = response.raw
    before = [raw.closed, raw.isclosed(), raw.tell()]
    return [before, raw.read(3), raw.read(), raw.read(decode_content=True), raw.closed, raw.tell(), list(raw.stream(9))]


def _headers(response: Response) -> list[object]:
    headers = response.headers
    looked_up = [(name.upper(), headers[name.upper()], headers.get(name.lower())) for name in headers]
    return [type(headers).__name__, list(headers.items()), looked_up, list(headers.lower_items()), "x" in headers]


def _apparent(response: Response) -> object:
    return response.apparent_encoding if len(response.content) < _SLOW else "not guessed"


def _text(response: Response) -> object:
    return response.text if len(response.content) < _SLOW or response.encoding else "not guessed"


def _lines(response: Response) -> object:
    if len(response.content) >= _SLOW:
        return "not read"
    return [list(response.iter_lines()), list(response.iter_lines(4, decode_unicode=True))]


def _raised(response: Response) -> object:
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        return see_error(error), error.response is response
    return None


def _pickled(response: Response) -> list[object]:
    """A copy that went through a file has what pickle keeps, and nothing of the connection."""
    loaded = pickle.loads(pickle.dumps(response))
    names = ("status", "headers", "content", "encoding", "cookies", "history", "request", "is")
    return [loaded.raw, isinstance(loaded.elapsed, timedelta), *(ASPECTS[name](loaded) for name in names)]


def _copied(response: Response) -> list[object]:
    return [ASPECTS[name](copy.copy(response)) for name in ("status", "headers", "content", "cookies", "history")]


def _elapsed(response: Response, seconds: float) -> str:
    elapsed = response.elapsed
    return f"{type(elapsed).__name__} within the call: {timedelta(0) <= elapsed <= timedelta(seconds=seconds)}"


ASPECTS: dict[str, Callable[[Response], object]] = {
    "status": lambda r: [r.status_code, r.reason, r.ok, bool(r), repr(r), f"{r}"],
    "is": lambda r: [r.is_redirect, r.is_permanent_redirect],
    "url": lambda r: r.url,
    "headers": _headers,
    "content": lambda r: r.content,
    "text": _text,
    "encoding": lambda r: r.encoding,
    "apparent encoding": _apparent,
    "json": lambda r: r.json(),
    "cookies": lambda r: [type(r.cookies).__name__, see_jar(r.cookies)],
    "history": lambda r: [type(r.history).__name__, [(each.status_code, each.url) for each in r.history]],
    "links": lambda r: r.links,
    "next": lambda r: r.next and _request(r.next),
    "request": lambda r: _request(r.request),
    "raise for status": _raised,
    "raw head": _raw_head,
    "raw headers": _raw_headers,
    "raw rest": _raw_rest,
    "iter_content": lambda r: [list(r.iter_content(1000)), list(r.iter_content(None)), list(r)],
    "iter_lines": _lines,
    "pickled": _pickled,
    "copied": _copied,
    "connection": lambda r: isinstance(r.connection, BaseAdapter),
}
