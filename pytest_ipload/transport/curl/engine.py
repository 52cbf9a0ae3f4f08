"""libcurl's connections from one source address, and the transfers on them.

libcurl decides what is sent and received. When is decided here: its sockets are polled by the user's thread, which an
interruption wakes, and which knows how long a server may stay silent.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.real_time import monotonic
from pytest_ipload.transport.connect.binding import Binding
from pytest_ipload.transport.curl.curl_request import BodyReader, CurlRequest, TlsFiles
from pytest_ipload.transport.curl.libcurl import HTTP_2
from pytest_ipload.transport.curl.opener import KeptSockets, Opener

Timeouts = tuple[float | None, float | None]
"""Seconds for connecting, and for each wait for the server; None: no limit."""

_LOOK_MS = 250
"""Milliseconds of a wait at the most: an interruption is noticed then, where no socket can be shut down."""
_NO_LIMIT_MS = 2**31 - 1
_REMOVE = 4
_POLLED = {1: select.POLLIN, 2: select.POLLOUT, 3: select.POLLIN | select.POLLOUT} if hasattr(select, "poll") else {}
_PORTS = {"http": 80, "https": 443}


class SilentServer(Exception):
    """The server sent nothing for as long as it may."""


class Transfer:
    """One exchange at a time, on an easy handle of libcurl that keeps its settings from one to the next."""

    def __init__(self, pycurl: Any, http: str, opener: Opener) -> None:
        self.curl = pycurl.Curl()
        self.opener = opener
        self.http = http
        self.lines: list[bytes] = []
        """Of the head; interim replies and trailers have some too."""
        self.chunks: list[bytes] = []
        """Of the body, as it came."""
        self.is_over = False
        self.code, self.text = 0, ""
        """What it ended with: libcurl's number and words for an error."""
        self._pycurl = pycurl
        self._engine: Engine | None = None
        self.request: CurlRequest | None = None
        """The last one that was prepared."""
        self._body_kind = ""
        self._connect_timeout: float | None = -1.0
        self._read_timeout: float | None = None
        self._uploaded = 0

    def _configure(self) -> None:
        """Set what is the same for all transfers."""
        pycurl, curl, http, opener = self._pycurl, self.curl, self.http, self.opener
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.PROXY, "")  # not that of the environment
        curl.setopt(pycurl.NOPROXY, "*")
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.DNS_CACHE_TIMEOUT, 0)
        curl.setopt(pycurl.KEYPASSWD, "-")  # else OpenSSL asks for one on the terminal
        prior, only_3 = pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE, pycurl.CURL_HTTP_VERSION_3ONLY
        curl.setopt(pycurl.HTTP_VERSION, prior if http == HTTP_2 else only_3)
        if len(opener.sources) == 1:
            is_4 = next(iter(opener.sources)) == socket.AF_INET
            curl.setopt(pycurl.IPRESOLVE, pycurl.IPRESOLVE_V4 if is_4 else pycurl.IPRESOLVE_V6)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, opener.open)
        curl.setopt(pycurl.SOCKOPTFUNCTION, opener.adopt)
        curl.setopt(pycurl.PREREQFUNCTION, opener.before_send)
        curl.setopt(pycurl.HEADERFUNCTION, self.lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, self.chunks.append)

    def prepare(self, request: CurlRequest, body: Any, timeouts: Timeouts) -> None:
        """Set what is different from the last transfer. ``body`` is bytes, None, or what a body is read from."""
        pycurl, curl, last = self._pycurl, self.curl, self.request
        self.opener.forget()
        if body is not None and request.method == "HEAD":
            raise SettingError(
                f"a HEAD request cannot have a body with http={self.http!r}; leave out data, json and files"
            )
        if last is None or request.tls != last.tls:  # the files of a client certificate cannot be unset
            curl.reset()
            self._configure()
            self._connect_timeout, last = -1.0, None
        if request is not last:
            self.request = None  # as long as not everything is set
            self._set_request(request, last)
        kind = "none" if body is None else "bytes" if isinstance(body, bytes) else "read"
        if last is None or kind != self._body_kind or request.method != last.method:
            curl.setopt(pycurl.HTTPGET, 1)
            if kind == "none" and request.method == "HEAD":
                curl.setopt(pycurl.NOBODY, 1)
            if kind == "read":
                curl.setopt(pycurl.UPLOAD, 1)
            curl.setopt(pycurl.CUSTOMREQUEST, request.method)
            self._body_kind = kind
        if kind == "bytes":
            curl.setopt(pycurl.POSTFIELDS, body)
        elif kind == "read":
            curl.setopt(pycurl.INFILESIZE_LARGE, request.length)
            curl.setopt(pycurl.READFUNCTION, partial(self._read_body, BodyReader(body, request.method)))
        connect, self._read_timeout = timeouts
        if connect != self._connect_timeout:
            limit = _NO_LIMIT_MS if connect is None else max(1, math.ceil(connect * 1000))
            curl.setopt(pycurl.CONNECTTIMEOUT_MS, limit)
        if connect != self._connect_timeout or request is not last:
            self.opener.begin(self.http, self.host, self.port, request.method, connect)
        self._connect_timeout = connect
        self.request = request
        self.is_over, self.code, self.text, self._uploaded = False, 0, "", 0
        self.lines.clear()
        self.chunks.clear()

    def _set_request(self, request: CurlRequest, last: CurlRequest | None) -> None:
        pycurl, curl = self._pycurl, self.curl
        if last is None or request.origin != last.origin:
            parts = urlsplit(request.origin)
            self.host, self.port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
            curl.setopt(pycurl.URL, f"{request.origin}/")
        if last is None or request.target != last.target:
            curl.setopt(pycurl.REQUEST_TARGET, request.target)
        if last is None or request.headers != last.headers:
            curl.setopt(pycurl.HTTPHEADER, request.headers)
        if last is None:
            self._set_tls(request.tls)

    def _set_tls(self, tls: TlsFiles) -> None:
        pycurl, curl = self._pycurl, self.curl
        curl.setopt(pycurl.SSL_VERIFYPEER, int(tls.ca is not None))
        curl.setopt(pycurl.SSL_VERIFYHOST, 0 if tls.ca is None else 2)
        if tls.ca is not None:
            # Each in both places: where one is not set, libcurl may add the certificates of the system.
            curl.setopt(pycurl.CAINFO, _any_certificate(tls.ca) if os.path.isdir(tls.ca) else tls.ca)
            curl.setopt(pycurl.CAPATH, tls.ca)
        if tls.certificate is not None:
            curl.setopt(pycurl.SSLCERT, tls.certificate)
        if tls.key is not None:
            curl.setopt(pycurl.SSLKEY, tls.key)

    def _read_body(self, reader: BodyReader, limit: int) -> Any:
        try:
            data = reader.read(limit)
        except BaseException as error:  # of the user's own code: it is raised when libcurl has returned
            self.opener.raised = error
            return self._pycurl.READFUNC_ABORT
        return data

    def start(self, engine: Engine) -> None:
        """Let the engine run it."""
        self._engine = engine
        engine.start(self)

    def wait(self, is_enough: Callable[[], object] = bool) -> None:
        """Until the transfer is over, or there is enough of it.

        Raises SilentServer, and LoadEnded when the session was interrupted.
        """
        engine, read_timeout, opener = self._engine, self._read_timeout, self.opener
        seen, deadline = -1, math.inf
        while not (self.is_over or is_enough()) and engine is not None:
            now = monotonic()
            arrived = len(self.lines) + len(self.chunks)
            if read_timeout is not None and (arrived != seen or not opener.sent):  # until then it is connecting
                seen, deadline = arrived, now + read_timeout
            elif now >= deadline:
                if self._is_uploading():
                    deadline = now + (read_timeout or 0)
                    continue
                raise SilentServer
            left_ms = (deadline - now) * 1000
            engine.step(_LOOK_MS if left_ms > _LOOK_MS else math.ceil(left_ms))
            engine.binding.check_running()

    def _is_uploading(self) -> bool:
        before, self._uploaded = self._uploaded, int(self.curl.getinfo(self._pycurl.SIZE_UPLOAD_T))
        return self._uploaded != before

    def end(self) -> None:
        """Stop it, if it runs, and give the handle back. Safe to call again."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.end(self)

    def seconds(self, name: str) -> float:
        """A time that libcurl has measured, by the name of its constant."""
        return float(self.curl.getinfo(getattr(self._pycurl, name)))

    def errno(self) -> int:
        """Of the last system call that failed; 0 without one."""
        return int(self.curl.getinfo(self._pycurl.OS_ERRNO))


class Engine:
    """The connections from one source address that one thread uses."""

    def __init__(self, pycurl: Any, http: str, binding: Binding) -> None:
        self.binding = binding
        self.source = binding.source_address
        self.is_closed = True
        self._sources = binding.group(self.source)
        self._http = http
        self._pycurl = pycurl
        self._kept = KeptSockets()
        self._poll = select.poll()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, partial(_watch, self._poll))
        self._idle: list[Transfer] = []
        self._all: list[Transfer] = []
        self._running: dict[Any, Transfer] = {}
        self._is_retired = False
        self.is_closed = False

    def take(self) -> Transfer:
        """A transfer that is not in use. It is given back by its ``end``."""
        if self._idle:
            return self._idle.pop()
        opener = Opener(self._pycurl, self.binding, self._sources, self._kept)
        transfer = Transfer(self._pycurl, self._http, opener)
        self._all.append(transfer)
        return transfer

    def start(self, transfer: Transfer) -> None:
        """Begin a transfer that was prepared."""
        self._running[transfer.curl] = transfer
        self._multi.add_handle(transfer.curl)
        self._act([(self._pycurl.SOCKET_TIMEOUT, 0)])

    def step(self, wait_ms: int) -> None:
        """Wait at most so long for something to happen, and let libcurl deal with it."""
        due_ms = self._multi.timeout()
        events = self._poll.poll(due_ms if 0 <= due_ms < wait_ms else wait_ms)
        self._act(events or [(self._pycurl.SOCKET_TIMEOUT, 0)])

    def _act(self, events: list[tuple[int, int]]) -> None:
        act, running = self._multi.socket_action, 0
        for descriptor, event in events:
            what = (1 if event & ~select.POLLOUT else 0) | (2 if event & select.POLLOUT else 0)
            running = act(descriptor, what)[1]
        if running < len(self._running):
            _, done, failed = self._multi.info_read()
            for curl in done:
                self._over(curl, 0, "")
            for curl, code, text in failed:
                self._over(curl, code, text)

    def _over(self, curl: Any, code: int, text: str) -> None:
        transfer = self._running.pop(curl)
        transfer.is_over, transfer.code, transfer.text = True, code, text
        self._multi.remove_handle(curl)

    def end(self, transfer: Transfer) -> None:
        """Take a transfer back, whether it is over or not."""
        if self.is_closed:
            return
        if self._running.pop(transfer.curl, None) is not None:
            with contextlib.suppress(self._pycurl.error):
                self._multi.remove_handle(transfer.curl)
        self._idle.append(transfer)
        if self._is_retired:
            self.retire()

    def retire(self) -> None:
        """Close all connections, as soon as no transfer runs on them."""
        self._is_retired = True
        if self.is_closed or self._running:
            return
        self._close()

    def __del__(self) -> None:
        """With the thread or the session that used it."""
        if not getattr(self, "is_closed", True):
            self._close()

    def _close(self) -> None:
        self.is_closed = True
        for curl in list(self._running):
            self._multi.remove_handle(curl)
        self._running.clear()
        self._multi.close()
        for transfer in self._all:
            transfer.curl.close()
        self._kept.close()


def _any_certificate(folder: str) -> str:
    """A file of a directory of CA certificates; the directory itself, which is none, if it is empty."""
    names = sorted(each.name for each in os.scandir(folder) if each.name[-2:-1] == ".")  # OpenSSL's names: HASH.0
    return os.path.join(folder, names[0]) if names else folder


def _watch(poll: Any, what: int, descriptor: int, *_: Any) -> None:
    """libcurl says what it waits for on a socket."""
    if what == _REMOVE:
        with contextlib.suppress(KeyError):
            poll.unregister(descriptor)
    elif what in _POLLED:
        poll.register(descriptor, _POLLED[what])
