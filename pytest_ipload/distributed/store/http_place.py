"""Objects behind a URL, by GET and PUT: an object store, or any web server that takes both."""

from __future__ import annotations

import hashlib
import os
import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import unquote, urlsplit

import urllib3

from pytest_ipload.base import real_time
from pytest_ipload.base.masking import masked
from pytest_ipload.base.text import printable
from pytest_ipload.distributed.store.place import Answer, StoreError, joined

HEADERS_VARIABLE = "PYTEST_IPLOAD_STORE_HEADERS"
"""Headers of each request, such as an authorization: ``name=value,name=value``, percent-encoded."""
LARGEST = 1 << 30
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Before each further attempt."""
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_TIMEOUT = urllib3.Timeout(connect=10, read=30)
_QUICK_TIMEOUT = urllib3.Timeout(connect=2, read=2)
_SUCCESSES = range(200, 300)
_NOT_FOUND = (404, 410)
_DENIED = (401, 403)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~\w-]+", re.ASCII)


class HttpPlace:
    """A URL; the names of objects are added to its path. Safe to use from several threads."""

    is_consistent = True

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] = real_time.time,
        environ: Mapping[str, str] = os.environ,
        sleep: Callable[[float], object] = time.sleep,
        *,
        is_quick: bool = False,
    ) -> None:
        """``sleep`` waits between attempts; a quick place makes only one.

        Raises StoreError for headers that cannot be sent.
        """
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self._url = parts._replace(netloc=host, fragment="").geturl()
        self.shown = masked(printable(url))
        self._headers = {"user-agent": "pytest-ipload", "accept-encoding": "identity"}
        self._headers |= {"cache-control": "no-cache", **_headers(environ)}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["authorization"] = f"Basic {b64encode(user.encode()).decode()}"
        self._pool = urllib3.PoolManager(retries=False)
        self._clock, self._sleep = clock, sleep
        self._pauses_s: Sequence[float] = () if is_quick else PAUSES_S
        self._timeout = _QUICK_TIMEOUT if is_quick else _TIMEOUT

    def get(self, name: str = "") -> Answer:
        """The object, complete. Raises StoreError."""
        return self._ask("GET", name, None)

    def put(self, name: str, content: bytes) -> Answer:
        """Write the object; a store that knows ``Content-MD5`` refuses one that was altered on the way."""
        return self._ask("PUT", name, content)

    def _ask(self, method: str, name: str, body: bytes | None) -> Answer:
        """One request, in several attempts if need be; the times are those of the last one."""
        for pause_s in (*self._pauses_s, None):
            asked = self._clock()
            try:
                status, content = self._attempt(method, name, body)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                problem = _said(error)
            else:
                if status in _SUCCESSES:
                    return Answer(content if method == "GET" else None, asked, self._clock())
                if method == "GET" and status in _NOT_FOUND:
                    return Answer(None, asked, self._clock())
                problem = f"HTTP {status}{_advice(status)}"
                if status not in _TRY_AGAIN:
                    break
            if pause_s is not None:
                self._sleep(pause_s)
        raise StoreError(f"{method} {joined(self.shown, name)}: {problem}")

    def _attempt(self, method: str, name: str, body: bytes | None) -> tuple[int, bytes]:
        """The status, and the body of the reply. One shorter than its Content-Length raises an HTTPError."""
        headers = dict(self._headers)
        if body is not None:
            headers["content-type"] = "application/octet-stream"
            digest = hashlib.md5(body, usedforsecurity=False).digest()
            headers["content-md5"] = b64encode(digest).decode()
        reply = self._pool.request(
            method,
            joined(self._url, name),
            body=body,
            headers=headers,
            timeout=self._timeout,
            redirect=False,
            preload_content=False,
        )
        try:
            content = reply.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise StoreError(f"{method} {joined(self.shown, name)}: larger than {LARGEST >> 30} GiB, the maximum")
            reply.drain_conn()
        finally:
            reply.release_conn()
        return reply.status, content


def _advice(status: int) -> str:
    if status in _DENIED:
        return (
            f": not allowed; credentials belong into the URL or the variable {HEADERS_VARIABLE} (a store that answers "
            "like this for objects that do not exist has to allow listing, too)"
        )
    if 300 <= status < 400:
        return ": redirects are not followed; give the final URL"
    return ""


def _said(error: Exception) -> str:
    """The error without the connection object and the URL that urllib3 puts into it."""
    cause = error.__cause__ or error
    text = getattr(cause, "strerror", None) or str(cause).rpartition(": ")[2]
    return f"{type(error).__name__}: {text}"


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of the variable. Raises StoreError, which shows no value: it may be a secret."""
    text = environ.get(HEADERS_VARIABLE, "")
    found = {}
    for item in filter(str.strip, text.split(",")):
        name, equals, value = (unquote(part).strip() for part in item.partition("="))
        if not (equals and _HEADER.fullmatch(name) and value.isascii() and value.isprintable()):
            raise StoreError(
                f"{HEADERS_VARIABLE}: a header in it cannot be sent; write it as in authorization=Bearer%20TOKEN,"
                "x-scope=ci, percent-encoded"
            )
        found[name.lower()] = value
    return found
