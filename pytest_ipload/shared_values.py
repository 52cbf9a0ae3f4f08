"""Values that all users of a load share, and that are known not to be made for threads."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_ipload.per_user import PerUser

_UNSAFE = (
    ("requests", "Session"),
    ("http.client", "HTTPConnection"),
    ("socket", "socket"),
    ("sqlite3", "Connection"),
    ("io", "IOBase"),
    ("collections.abc", "Iterator"),
)
"""Modules and their classes. A value of a class whose module nobody imported does not exist."""


def unsafe_values(asked: Mapping[str, Any]) -> dict[str, str]:
    """The names of shared values that threads get in each other's way with, and their types.

    ``asked`` are the fixtures and parameters of a body by name; those that its per-user fixtures ask for are looked
    at too.
    """
    unsafe = tuple(_classes())
    found = {}
    for name, value in _shared(asked.items()):
        kind = type(value)  # not isinstance(): a proxy's __class__ may do anything
        # One step of a counter is one step of C code, and a counter is what users number things with.
        if issubclass(kind, unsafe) and not issubclass(kind, itertools.count):
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


def _classes() -> Iterator[type]:
    for module, name in _UNSAFE:
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type):
            yield found
