"""What other libraries have put into requests, urllib3 and http.client: mocks, recorders, tracers, wrappers.

The fast path goes round the functions that they replace, so it looks at these before each call. A function is known
as the library's own by what it is, not by when it was seen: a hook may have been there first.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from operator import attrgetter
from types import FunctionType, ModuleType
from typing import Any

import urllib3.connection
import urllib3.connectionpool
import urllib3.util.connection
from requests import Session, adapters, sessions
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

_URLLIB3 = "urllib3.connection"


def stock_class(module: ModuleType, name: str) -> Any:
    """A module's class as its library wrote it, also while a recorder has put a class of its own in its place."""
    found = getattr(module, name)
    return next((kind for kind in found.__mro__ if (kind.__module__, kind.__name__) == (module.__name__, name)), found)


StockHTTPConnection: Any = stock_class(urllib3.connection, "HTTPConnection")
StockHTTPSConnection: Any = stock_class(urllib3.connection, "HTTPSConnection")
_PlainConnection: Any = next(kind for kind in StockHTTPConnection.__mro__ if kind.__module__ == http.client.__name__)

_TABLE: tuple[tuple[str, Any, ModuleType, tuple[str, ...]], ...] = (
    (
        "requests.Session",
        Session,
        sessions,
        ("send", "request", "get_adapter", "prepare_request"),
    ),
    ("requests.adapters.HTTPAdapter", HTTPAdapter, adapters, ("send", "get_connection_with_tls_context")),
    (
        "urllib3.HTTPConnectionPool",
        HTTPConnectionPool,
        urllib3.connectionpool,
        ("urlopen", "_make_request", "ConnectionCls"),
    ),
    (
        "urllib3.connection.HTTPConnection",
        StockHTTPConnection,
        urllib3.connection,
        ("request", "putrequest", "getresponse"),
    ),
    (
        "http.client.HTTPConnection",
        _PlainConnection,
        http.client,
        ("putrequest", "endheaders", "getresponse"),
    ),
)
"""Names of classes, the classes, their modules, and the attributes that are looked at before each call."""

Seen = tuple[tuple[Any, ...], ...]
_session, _adapter, _pool, _connection, _plain = (attrgetter(*row[-1]) for row in _TABLE)


def _read() -> Seen:
    return (
        _session(Session),
        _adapter(HTTPAdapter),
        _pool(HTTPConnectionPool),
        _connection(StockHTTPConnection),
        _plain(_PlainConnection),
    )


# Reading all places takes as long as a twentieth of a request. CPython keeps a mark on each class that its cache of
# attributes holds, and takes it away when the class, or one that it inherits from, is changed. Nothing but the watch
# asks the heir below for an attribute, so its mark comes back only there.
_IS_CACHED = 1 << 19  # Py_TPFLAGS_VALID_VERSION_TAG


def _heir(*kinds: type) -> Any:
    return type("Heir", kinds, {})


def _marks_tell() -> bool:
    """Whether this interpreter keeps such marks."""
    base = type("Base", (), {"send": None})
    heir = _heir(base)
    for _ in range(2):
        _ = heir.send
        was_cached = heir.__flags__ & _IS_CACHED
        base.send = len  # type: ignore[attr-defined]  # a patch
        if not was_cached or heir.__flags__ & _IS_CACHED:
            return False
    return True


class _Watch:
    """Looks at the places of the table, and reads them anew only when one of the classes was changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Seen | None = None
        self._heir = _heir(*(row[1] for row in _TABLE[:-1])) if _marks_tell() else None  # the last is the base of one

    def look(self) -> Seen:
        """What is at the places of the table now; the same object as long as nothing has changed."""
        heir, seen = self._heir, self._seen
        if seen is not None and heir is not None and heir.__flags__ & _IS_CACHED:
            return seen
        if heir is None:
            return _read()
        with self._lock:
            self._seen = None  # first: with the mark back, other threads would take the old one
            _ = heir.send
            seen = self._seen = _read()
            return seen


look = _Watch().look
"""It runs for each request of a load: two results that are equal are the same."""


def hooks_in(seen: Seen) -> str:
    """Which of them are not the libraries' own, and whose they are; an empty text if there are none."""
    return ", ".join(_foreign(seen))


def _foreign(seen: Seen) -> Iterator[str]:
    for (owner, _, module, names), values in zip(_TABLE, seen, strict=True):
        for name, value in zip(names, values, strict=True):
            if not is_own(value, module, name):
                yield f"{owner}.{name} is patched by {owner_of(value)}"


def is_own(value: Any, module: ModuleType, name: str) -> bool:
    """Whether this is what the module itself defines under the name, unwrapped."""
    if isinstance(value, type):  # the class of a pool's connections
        return value.__module__ == _URLLIB3
    return (
        type(value) is FunctionType
        and value.__globals__ is vars(module)
        and value.__code__.co_name == name
        and not hasattr(value, "__wrapped__")
    )


def owner_of(value: Any) -> str:
    """The module that a hook is from, as far as it can be told."""
    value = getattr(value, "_self_wrapper", value)  # of wrapt, which shows the wrapped function everywhere else
    value = getattr(value, "__func__", value)
    if isinstance(value, FunctionType):  # functools.wraps copies __module__
        return str(value.__globals__.get("__name__", "?"))
    return str(value.__module__ if isinstance(value, type) else type(value).__module__)


def connecting_is_hooked() -> bool:
    """Whether somebody has replaced the functions with which urllib3 opens a connection."""
    return not (
        is_own(urllib3.util.connection.create_connection, urllib3.util.connection, "create_connection")
        and is_own(StockHTTPConnection._new_conn, urllib3.connection, "_new_conn")
    )


def replaced_connection_class(is_tls: bool) -> Any:
    """The class that somebody has put in the place of urllib3's for the connections of pools; None without one."""
    kind: Any = (HTTPSConnectionPool if is_tls else HTTPConnectionPool).ConnectionCls
    return None if kind.__module__ == _URLLIB3 else kind
