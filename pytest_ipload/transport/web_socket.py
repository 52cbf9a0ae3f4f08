"""WebSockets of a user: the client of ``websockets`` over a socket of the session's own."""

from __future__ import annotations

import contextlib
import inspect
import re
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.cookies import get_cookie_header

from pytest_ipload.base.code_location import place_of_frame
from pytest_ipload.base.errors import SettingError, TargetNotAllowed
from pytest_ipload.base.masking import masked
from pytest_ipload.base.real_time import perf_counter_ns
from pytest_ipload.base.traceparent import HEADER
from pytest_ipload.settings.parsing import did_you_mean
from pytest_ipload.stats.fault_text import message_of, own_fault
from pytest_ipload.stats.sample import FAILED, FAULT, OK, REQUEST, Problem, Sample
from pytest_ipload.transport.adapter import SourceAdapter
from pytest_ipload.transport.base_url import resolved
from pytest_ipload.transport.bound_session import DEFAULT, Default
from pytest_ipload.transport.call import default_name, label_of
from pytest_ipload.transport.connect.shared_tls import SharedTls
from pytest_ipload.transport.connect.sockets import connect_stream
from pytest_ipload.transport.connect.tls import TlsContexts
from pytest_ipload.transport.http_version import HTTP_1_1

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from pytest_ipload.transport.session import LoadSession

Message = str | bytes
_OWN_KEYWORDS = ("name", "timeout", "headers", "subprotocols")

_PORTS = {"ws": 80, "wss": 443}
_SCHEMES = {"http": "ws", "https": "wss"}
_SCHEME = re.compile(r"\Ahttps?(?=://)", re.IGNORECASE)
_LEFT_OUT = frozenset(("accept", "accept-encoding", "connection", "content-type", "content-length", "user-agent"))
"""Headers of a session that say something about other requests."""
_SWITCHING_PROTOCOLS = 101
_LONGEST_CLOSE_S = 10.0


class WebSocketMissing(SettingError, ImportError):
    """The package ``websockets`` is not installed, or is too old."""


class WebSocket:
    """What ``websocket`` returns: a context manager that opens a WebSocket, and closes it at the end of its block.

    ``connection`` is the ``websockets.sync.client.ClientConnection`` underneath. Its thread answers the server's pings.
    """

    def __init__(
        self,
        session: LoadSession,
        url: str,
        *,
        name: str | None,
        timeout: float | None,
        headers: Mapping[str, str] | None,
        subprotocols: Sequence[str] | None,
        options: Mapping[str, Any],
    ) -> None:
        """Raises SettingError for a URL that is not one of a WebSocket, and for a name that is none."""
        self._session = session
        self.url = _SCHEME.sub(lambda found: _SCHEMES[found[0].lower()], resolved(url, session.base_url))
        parts = urlsplit(self.url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise SettingError(
                f"{masked(self.url)!r} is not the URL of a WebSocket; write it as in 'ws://host:8000/path'"
            )
        self._host, self._port = parts.hostname, parts.port or _PORTS[parts.scheme]
        self._is_tls = parts.scheme == "wss"
        self.name = label_of(name) or default_name(session.names, "WS", self.url)
        """The name of the handshake's sample."""
        self._timeout = timeout
        self._headers, self._subprotocols, self._options = headers, subprotocols, options
        self.source_address: str | None = None
        """The local address of the connection; None before there is one."""
        self._connection: ClientConnection | None = None
        self._connect_ns: int | None = None
        self._spare: socket.socket | None = None
        """A second descriptor of the socket, which ``interrupt`` shuts down: TLS takes the first one over."""

    def __enter__(self) -> WebSocket:
        """Connect and shake hands: one sample.

        Raises TargetNotAllowed, LoadEnded, the faults of the own side (SourceAddressError), OSError, WebSocketMissing
        and the exceptions of ``websockets``, such as InvalidStatus.
        """
        connect = _client()
        if self._options:
            _check_keywords(self._options, connect)
        session = self._session
        if session.before_call is not None:
            session.before_call()
        started_ns = perf_counter_ns()
        try:
            self._connection = self._open(connect, started_ns)
            self._connection.__enter__()
        except TargetNotAllowed:
            raise
        except BaseException as error:
            self._let_go()
            rejected = _rejection(error)
            status = 0 if rejected is None else rejected.response.status_code
            self._record(self.name, started_ns, error, status, connections=int(self._connect_ns is not None))
            session.binding.check_running()
            if rejected is not None and rejected is not error:
                raise rejected from None
            raise
        self._record(self.name, started_ns, None, _SWITCHING_PROTOCOLS, connections=1)
        return self

    def _open(self, connect: Callable[..., ClientConnection], started_ns: int) -> ClientConnection:
        session, binding = self._session, self._session.binding
        sock = connect_stream(binding, (self._host, self._port), self._timeout)
        self._connect_ns = perf_counter_ns() - started_ns
        try:
            self.source_address = sock.getsockname()[0]
            self._spare = sock.dup()
            binding.watch(self._spare)
            sock.settimeout(None)
            return connect(
                self.url,
                sock=sock,
                ssl=self._tls() if self._is_tls else None,
                server_hostname=self._host if self._is_tls else None,
                additional_headers=self._own_headers(),
                user_agent_header=str(session.headers.get("User-Agent") or "") or None,
                **{
                    "subprotocols": self._subprotocols,
                    "open_timeout": self._timeout,
                    "close_timeout": min(self._timeout or _LONGEST_CLOSE_S, _LONGEST_CLOSE_S),
                    "ping_interval": None,  # a load consists of what the body sends
                    **self._options,
                },
            )
        except BaseException:
            sock.close()
            raise

    def _tls(self) -> Any:
        adapter = self._session.get_adapter("https://")
        contexts = adapter.tls if isinstance(adapter, SourceAdapter) else TlsContexts()
        return SharedTls(contexts.get(self._session.verify, self._session.cert))

    def _own_headers(self) -> list[tuple[str, str]]:
        """Those of the session and of this call, with the cookies of the session for this URL."""
        session = self._session
        url = "http" + self.url.removeprefix("ws")
        merged = {
            str(key): value if isinstance(value, str) else value.decode("latin-1")
            for key, value in session.headers.items()
            if str(key).lower() not in _LEFT_OUT
        }
        cookies = get_cookie_header(session.cookies, requests.Request("GET", url).prepare())
        if cookies:
            merged["Cookie"] = cookies
        if session.tracer is not None and HEADER not in map(str.lower, merged):
            merged[HEADER] = session.tracer.header()
        given = {key.lower() for key in self._headers or ()}
        kept = {key: value for key, value in merged.items() if key.lower() not in given}
        return [*kept.items(), *(self._headers or {}).items()]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        try:
            self.close()
        finally:
            self._let_go()

    @property
    def connection(self) -> ClientConnection:
        """What is underneath. Raises SettingError before the ``with`` block begins."""
        if self._connection is None:
            raise SettingError("a WebSocket is open within its block: 'with ipload_user.websocket(...) as ws:'")
        return self._connection

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose; None without one."""
        return self.connection.subprotocol

    def send(self, message: Message) -> None:
        """Send a message: text for ``str``, binary for ``bytes``. Raises ``ConnectionClosed``, LoadEnded."""
        with self._while_running():
            self.connection.send(message)

    def recv(self, timeout: float | Default | None = DEFAULT) -> Message:
        """The next message. Waits for ``timeout`` seconds, by default those of the WebSocket; None: for ever.

        Raises TimeoutError, ``ConnectionClosed`` (``ConnectionClosedOK`` if the server closed it in order), LoadEnded.
        """
        with self._while_running():
            return self.connection.recv(self._timeout if isinstance(timeout, Default) else timeout)

    def request(self, message: Message, timeout: float | Default | None = DEFAULT, name: str | None = None) -> Message:
        """Send a message and wait for the next one: one sample, by default with the name ``WS /path message``.

        Raises what ``send`` and ``recv`` raise; the sample is a failed one then.
        """
        label, connection = label_of(name) or f"{self.name} message", self.connection
        if self._session.before_call is not None:
            self._session.before_call()
        started_ns = perf_counter_ns()
        try:
            connection.send(message)
            reply: Message = connection.recv(self._timeout if isinstance(timeout, Default) else timeout)
        except BaseException as error:
            self._record(label, started_ns, error)
            self._session.binding.check_running()
            raise
        self._record(label, started_ns, None)
        return reply

    def __iter__(self) -> Iterator[Message]:
        """The messages until the server closes the connection in order."""
        from websockets.exceptions import ConnectionClosedOK

        with contextlib.suppress(ConnectionClosedOK):
            while True:
                yield self.recv()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and wait for the server to do so. Nothing happens if it is closed."""
        self.connection.close(code, reason)

    @contextlib.contextmanager
    def _while_running(self) -> Iterator[None]:
        """What fails because the load has ended says so; a connection that broke is a failed sample."""
        from websockets.exceptions import ConnectionClosedError

        started_ns = perf_counter_ns()
        try:
            yield
        except Exception as error:
            if isinstance(error, ConnectionClosedError) or self._session.binding.ended:
                self._record(f"{self.name} message", started_ns, error)
            self._session.binding.check_running()
            raise

    def _let_go(self) -> None:
        if self._spare is not None:
            self._spare.close()
            self._spare = None

    def _record(
        self, name: str, started_ns: int, error: BaseException | None, status: int = 0, connections: int = 0
    ) -> None:
        session = self._session
        is_of_request = error is None or isinstance(error, Exception) or session.binding.ended
        if session.record is None or not is_of_request:
            return
        if status and session.http != HTTP_1_1 and session.fast_path_log is not None:
            session.fast_path_log.add_foreign(name)  # the handshake is always one of HTTP/1.1
        outcome, problem, fault = OK, None, None
        if error is not None:
            fault = own_fault(error)
            outcome = FAULT if fault else FAILED
            kind = f"HTTP {status}" if status else type(error).__name__
            text = f"{name} answered {status}" if status else message_of(error)
            problem = Problem(kind, text, place_of_frame(sys._getframe()))
        session.record(
            Sample(
                kind=REQUEST,
                name=name,
                started_ns=started_ns,
                latency_ns=perf_counter_ns() - started_ns,
                outcome=outcome,
                status=status,
                source_address=self.source_address or session.source_address,
                connections=connections,
                connect_ns=self._connect_ns if connections else None,
                opening_ns=None if self._is_tls or self._connect_ns is None else (self._connect_ns, 0),
                problem=problem,
                fault=fault,
            )
        )


def _rejection(error: BaseException) -> Any:
    """The ``InvalidStatus`` that an exception is or came from (a redirect is not followed); None without one."""
    from websockets.exceptions import InvalidStatus

    chain = (error, error.__cause__, error.__context__)
    return next((each for each in chain if isinstance(each, InvalidStatus)), None)


def _check_keywords(given: Iterable[str], connect: Callable[..., ClientConnection]) -> None:
    """Raise SettingError for a keyword that the client does not have: it would ignore it."""
    known = inspect.signature(connect).parameters
    for key in given:
        if key not in known:
            raise SettingError(f"websocket(): unknown keyword {key!r}{did_you_mean(key, [*known, *_OWN_KEYWORDS])}")


def _client() -> Callable[..., ClientConnection]:
    try:
        from websockets.sync.client import connect
    except ImportError as error:
        raise WebSocketMissing(
            f"a WebSocket needs the package websockets ({error}); "
            "install it with: pip install 'pytest-ipload[websocket]'"
        ) from None
    return connect
