"""What other libraries have put into requests, urllib3 and http.client: mocks, recorders, tracers, wrappers.

The fast path goes round the functions that they replace, so it looks at these before each call. A function is known
as the library's own by what it is, not by when it was seen: a hook may have been there first.
"""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Iterator
from operator import attrgetter
from types import FunctionType, ModuleType
from typing import Any

import urllib3.connection
import urllib3.connectionpool
import urllib3.poolmanager
import urllib3.util.connection
from requests import PreparedRequest, Response, Session, adapters, models, sessions
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager

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
        (
            "get",
            "request",
            "prepare_request",
            "merge_environment_settings",
            "send",
            "get_adapter",
            "resolve_redirects",
            "get_redirect_target",
        ),
    ),
    (
        "requests.PreparedRequest",
        PreparedRequest,
        models,
        (
            "prepare",
            "prepare_method",
            "prepare_url",
            "prepare_headers",
            "prepare_body",
            "prepare_content_length",
            "prepare_auth",
            "prepare_cookies",
            "prepare_hooks",
        ),
    ),
    ("requests.Response", Response, models, ("iter_content",)),
    (
        "requests.adapters.HTTPAdapter",
        HTTPAdapter,
        adapters,
        (
            "send",
            "get_connection_with_tls_context",
            "build_connection_pool_key_attributes",
            "cert_verify",
            "request_url",
            "add_headers",
            "build_response",
        ),
    ),
    (
        "urllib3.PoolManager",
        PoolManager,
        urllib3.poolmanager,
        ("connection_from_host", "connection_from_context", "connection_from_pool_key"),
    ),
    (
        "urllib3.HTTPConnectionPool",
        HTTPConnectionPool,
        urllib3.connectionpool,
        ("ConnectionCls", "urlopen", "_get_conn", "_make_request", "_put_conn"),
    ),
    (
        "urllib3.connection.HTTPConnection",
        StockHTTPConnection,
        urllib3.connection,
        ("request", "putrequest", "putheader", "getresponse"),
    ),
    (
        "http.client.HTTPConnection",
        _PlainConnection,
        http.client,
        ("putrequest", "putheader", "endheaders", "send", "getresponse", "debuglevel"),
    ),
)
"""Names of classes, the classes, their modules, and the attributes that are looked at before each call.

The other methods of a ``Session`` for one HTTP method (``post``) are not here: those of requests are the ones that run.
"""

Seen = tuple[tuple[Any, ...], ...]


def _tuple_getter(*names: str) -> Any:
    """An ``attrgetter`` whose result is a tuple, whatever the number of names."""
    return attrgetter(*names) if len(names) > 1 else lambda kind: (getattr(kind, names[0]),)


_readers = tuple((row[1], _tuple_getter(*row[-1])) for row in _TABLE)


# Reading all places takes as long as a twentieth of a request. CPython keeps a mark on each class that its cache of
# attributes holds, and takes it away when the class, or one that it inherits from, is changed. Nothing but the watch
# asks the heir below for an attribute, so its mark comes back only there.
IS_CACHED = 1 << 19  # Py_TPFLAGS_VALID_VERSION_TAG
"""The mark, in a class's ``__flags__``."""


class _Unmarked:
    """Its object stands for an heir where no mark can be trusted."""

    __flags__ = 0


_UNMARKED = _Unmarked()


class _Quiet:
    """Keeps a class from hearing of its heir."""

    def __init_subclass__(cls) -> None:
        pass


def _heir(*kinds: type) -> Any:
    return type("Heir", (_Quiet, *kinds), {})


def _marks_tell() -> bool:
    """Whether this interpreter keeps such marks."""
    base = type("Base", (), {"send": None})
    heir = _heir(base)
    for _ in range(2):
        _ = heir.send
        was_cached = heir.__flags__ & IS_CACHED
        base.send = len  # type: ignore[attr-defined]  # a patch
        if not was_cached or heir.__flags__ & IS_CACHED:
            return False
    return True


class Watch:
    """Looks at the places of the table, and reads them again only when one of the classes was changed.

    ``kind`` is a subclass of ``requests.Session`` whose own attributes ``names`` are looked at, too.
    """

    def __init__(self, kind: type[Session] = Session, names: tuple[str, ...] = ()) -> None:
        self._lock = threading.Lock()
        self.seen: Seen | None = None
        """What was at the places when they were read last. It is there still if the ``heir`` has its mark."""
        self._kind, self._names = kind, names
        # The last of the table is the base of one. A class of classes may do anything with an heir.
        can_inherit = type(kind) is type and _marks_tell()
        self.heir: Any = _heir(kind, *(row[1] for row in _TABLE[1:-1])) if can_inherit else _UNMARKED

    def look(self) -> Seen:
        """What is at the places now; the same object as long as nothing has changed.

        Whoever looks for each request of a load compares ``seen`` and the mark itself, which saves a call.
        """
        heir, seen = self.heir, self.seen
        if seen is not None and heir.__flags__ & IS_CACHED:
            return seen
        if heir is _UNMARKED:
            return self._read()
        with self._lock:
            self.seen = None  # first: with the mark back, other threads would take the old one
            _ = heir.send
            seen = self.seen = self._read()
            return seen

    def _read(self) -> Seen:
        return (*(read(kind) for kind, read in _readers), tuple(getattr(self._kind, name) for name in self._names))


def hooks_in(seen: Seen) -> str:
    """Which of them are not the libraries' own, and whose they are; an empty text if there are none."""
    return ", ".join(_foreign(seen))


def _foreign(seen: Seen) -> Iterator[str]:
    for (owner, _, module, names), values in zip(_TABLE, seen, strict=False):  # without the session's class
        for name, value in zip(names, values, strict=True):
            if name == "debuglevel":
                if value:
                    yield f"{owner}.debuglevel is {value}"
            elif not is_own(value, module, name):
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
    """The module that a hook is from, as far as that is known."""
    value = getattr(value, "_self_wrapper", value)  # of wrapt, which shows the wrapped function everywhere else
    value = getattr(value, "__func__", value)
    if isinstance(value, FunctionType):  # functools.wraps copies __module__
        return str(value.__globals__.get("__name__", "?"))
    return str(value.__module__ if isinstance(value, type) else type(value).__module__)


_log = logging.getLogger("urllib3.connectionpool")
DEBUG_LOG = "the logger urllib3.connectionpool is enabled for DEBUG"
debug_answer: Any = getattr(_log, "_cache", {}).get
"""Gives, for DEBUG, what the logger said to ``debug_is_logged``; its ``default`` once a level has changed.

Asked for each request of a load: it is a fourth of what asking the logger costs.
"""


def debug_is_logged() -> bool:
    """Whether urllib3 writes a line for each request into its log."""
    return _log.isEnabledFor(logging.DEBUG)


def connecting_is_hooked() -> bool:
    """Whether the functions with which urllib3 opens a connection have been replaced."""
    return not (
        is_own(urllib3.util.connection.create_connection, urllib3.util.connection, "create_connection")
        and is_own(StockHTTPConnection._new_conn, urllib3.connection, "_new_conn")
    )


def replaced_connection_class(is_tls: bool) -> Any:
    """The class that replaces urllib3's own for the connections of pools; None if there is none."""
    kind: Any = (HTTPSConnectionPool if is_tls else HTTPConnectionPool).ConnectionCls
    return None if kind.__module__ == _URLLIB3 else kind
