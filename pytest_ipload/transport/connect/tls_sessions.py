"""Resumption of TLS sessions: a user's new connection continues what an earlier one of its own has agreed on.

A session belongs to the session object of one user and to one context, host and port; it is never offered elsewhere.

Python copies a session each time it is read or offered, with the server's certificate: with OpenSSL 3.0 a copy costs a
quarter of a full handshake. So a session is read once and offered as long as the server accepts it; only for a server
that takes each session once, a new one is read from every connection.
"""

from __future__ import annotations

import ssl
import threading
import weakref
from typing import Any

from pytest_ipload.transport.connect.tls_socket import TlsSocketContext, open_tls_socket

_Key = tuple[ssl.SSLContext, str, int | None]


class HandshakeLog:
    """How many TLS handshakes were full, and how many resumed a session; for all users of a load. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.full = self.resumed = 0

    def add(self, is_resumed: bool) -> None:
        """Count one that succeeded."""
        with self._lock:
            if is_resumed:
                self.resumed += 1
            else:
                self.full += 1


class TlsSessions:
    """The TLS sessions of one user."""

    def __init__(self) -> None:
        self.log: HandshakeLog | None = None
        """Where handshakes are counted; None outside of loads."""
        self._kept: dict[_Key, ssl.SSLSession] = {}
        self._latest: dict[_Key, weakref.ref[ssl.SSLSocket]] = {}
        """The connection to read a session from: in TLS 1.3 it comes some time after the handshake."""
        self._single: set[_Key] = set()
        """Where a session was not accepted again: a new one is read from each connection."""

    def context(self, context: ssl.SSLContext | TlsSocketContext, host: str, port: int | None) -> ResumingContext:
        """The context for the next connection to this host and port."""
        plain = context.plain if isinstance(context, TlsSocketContext) else context
        key = (plain, host, port)
        sock = self._latest[key]() if key in self._latest else None
        if sock is not None:
            self.keep(key, sock)
        return ResumingContext(self, key, self._kept.get(key))

    def opened(self, key: _Key, sock: ssl.SSLSocket) -> None:
        """Count a handshake that succeeded, and remember where the next session will come from."""
        is_resumed = bool(sock.session_reused)
        if self.log is not None:
            self.log.add(is_resumed)
        if not is_resumed and self._kept.pop(key, None) is not None:
            self._single.add(key)
        if not is_resumed or key in self._single:
            self._latest[key] = weakref.ref(sock)

    def keep(self, key: _Key, sock: ssl.SSLSocket) -> None:
        """Keep the session of a connection, if it is needed, has come, and the connection is open."""
        if key not in self._latest or self._latest[key]() is not sock:
            return
        session = sock.session
        # A session without either cannot be resumed: no ticket of TLS 1.3 has come.
        if session is not None and (session.has_ticket or session.id):
            self._kept[key] = session
            del self._latest[key]

    def forget(self, key: _Key) -> None:
        """Begin anew with a full handshake, as the last one failed."""
        self._kept.pop(key, None)
        self._latest.pop(key, None)


class ResumingContext(TlsSocketContext):
    """Stands in for a shared context where urllib3 opens one connection, and offers a session."""

    def __init__(self, sessions: TlsSessions, key: _Key, session: ssl.SSLSession | None) -> None:
        super().__init__(key[0])
        vars(self).update(_sessions=sessions, _key=key, _session=session)

    def wrap_socket(self, sock: Any, server_hostname: str | None = None) -> ssl.SSLSocket:
        """Shake hands, if possible by resuming; raises what ``ssl.SSLContext.wrap_socket`` raises."""
        own = vars(self)
        sessions: TlsSessions = own["_sessions"]
        try:
            wrapped: ssl.SSLSocket = open_tls_socket(self.plain, sock, server_hostname, own["_session"])
        except BaseException:
            sessions.forget(own["_key"])
            raise
        sessions.opened(own["_key"], wrapped)
        return wrapped

    def keep(self, sock: object) -> None:
        """Keep the session of the connection, which is about to be closed."""
        if isinstance(sock, ssl.SSLSocket):
            vars(self)["_sessions"].keep(vars(self)["_key"], sock)
