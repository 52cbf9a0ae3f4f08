"""Values that all users of a load share, and that are known not to be thread-safe, or to belong to one event loop."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_ipload.base.errors import SettingError
from pytest_ipload.plugin.fixtures.placeholders import PerUser

_UNSAFE = (
    ("requests", "Session"),
    ("http.client", "HTTPConnection"),
    ("httpx", "Client"),  # made for threads, but users would share cookies, and connections from one user's address
    ("socket", "socket"),
    ("smtplib", "SMTP"),
    ("ftplib", "FTP"),
    ("pymysql.connections", "Connection"),
    ("pg8000.dbapi", "Connection"),
    ("pg8000.native", "Connection"),
    ("sqlite3", "Connection"),
    ("io", "IOBase"),
    ("collections.abc", "Iterator"),
)
"""Modules and their classes. If the module was never imported, there are no values of its class."""
_OF_ONE_LOOP = (
    ("httpx", "AsyncClient"),
    ("aiohttp", "ClientSession"),
    ("asyncio", "Condition"),
    ("asyncio", "Event"),
    ("asyncio", "Future"),
    ("asyncio", "Lock"),
    ("asyncio", "Queue"),
    ("asyncio", "Semaphore"),
    ("asyncio", "StreamReader"),
    ("asyncio", "StreamWriter"),
    ("redis.asyncio", "Redis"),
    ("sqlalchemy.ext.asyncio", "AsyncEngine"),
    ("websockets.asyncio.connection", "Connection"),
)
_SAFE = (
    ("itertools", "count"),  # each step is a single C call, and users number things with it
    ("unittest.mock", "NonCallableMock"),  # it has every method
)


def unsafe_values(asked: Mapping[str, Any]) -> dict[str, str]:
    """The names of shared values that are not thread-safe, and their types.

    ``asked`` are the fixtures and parameters of a body by name; those that its per-user fixtures use are checked
    too.
    """
    return _found(asked, _classes(_UNSAFE), _classes(_SAFE))


def refuse_other_loops(asked: Mapping[str, Any]) -> None:
    """Raise SettingError for shared values that belong to one event loop: each user runs on a loop of its own."""
    if bound := _found(asked, _classes(_OF_ONE_LOOP), ()):
        values = ", ".join(f"{name!r} ({kind})" for name, kind in bound.items())
        raise SettingError(
            f"all users would share {values}, which belongs to one event loop, and each user has a loop of its own; "
            "let the fixture depend on ipload_user, so that each user makes its own"
        )


def _found(asked: Mapping[str, Any], wanted: tuple[type, ...], safe: tuple[type, ...]) -> dict[str, str]:
    found = {}
    for name, value in _shared(asked.items()):
        kind = type(value)  # not isinstance(): a mock claims to be what it stands for
        if issubclass(kind, wanted) and not issubclass(kind, safe):
            found[name] = (
                kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
            )
    return found


def _shared(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in values:
        if isinstance(value, PerUser):
            yield from _shared(value.arguments.items())
        else:
            yield name, value


def _classes(names: Iterable[tuple[str, str]]) -> tuple[type, ...]:
    found = (getattr(sys.modules.get(module), name, None) for module, name in names)
    return tuple(each for each in found if isinstance(each, type))
