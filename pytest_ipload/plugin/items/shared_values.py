"""Values that all users of a load share, and that are known not to be thread-safe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_ipload.plugin.fixtures.placeholders import PerUser

_UNSAFE = (
    ("requests", "Session"),
    ("http.client", "HTTPConnection"),
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
_SAFE = (
    ("itertools", "count"),  # each step is a single C call, and users number things with it
    ("unittest.mock", "NonCallableMock"),  # it has every method
)


def unsafe_values(asked: Mapping[str, Any]) -> dict[str, str]:
    """The names of shared values that are not thread-safe, and their types.

    ``asked`` are the fixtures and parameters of a body by name; those that its per-user fixtures use are checked
    too.
    """
    unsafe, safe = _classes(_UNSAFE), _classes(_SAFE)
    found = {}
    for name, value in _shared(asked.items()):
        kind = type(value)  # not isinstance(): a mock claims to be what it stands for
        if issubclass(kind, unsafe) and not issubclass(kind, safe):
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
