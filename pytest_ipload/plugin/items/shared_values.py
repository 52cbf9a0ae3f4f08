"""Values that all users of a load share, and that are known not to be made for threads."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_ipload.plugin.fixtures.placeholders import PerUser

_UNSAFE = (
    ("requests", "Session"),
    ("http.client", "HTTPConnection"),
    ("socket", "socket"),
    ("sqlite3", "Connection"),
    ("io", "IOBase"),
    ("collections.abc", "Iterator"),
)
"""Modules and their classes. A value of a class whose module nobody imported does not exist."""
_SAFE = (
    ("itertools", "count"),  # one step of it is one step of C code, and users number things with it
    ("unittest.mock", "NonCallableMock"),  # it has all methods there are
)


def unsafe_values(asked: Mapping[str, Any]) -> dict[str, str]:
    """The names of shared values that threads get in each other's way with, and their types.

    ``asked`` are the fixtures and parameters of a body by name; those that its per-user fixtures ask for are looked
    at too.
    """
    unsafe, safe = _classes(_UNSAFE), _classes(_SAFE)
    found = {}
    for name, value in _shared(asked.items()):
        kind = type(value)  # not isinstance(): a mock says that it is what it stands for
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
