"""The limits of a component."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.units import format_setting, parse_size
from pytest_ipload.settings.parsing import as_positive_seconds

PAGE = 65536
"""Bytes of a page of WebAssembly's memory."""
_KIB = 1024
_MOST_MEMORY = 4 * _KIB**3
_MOST = 1_000_000_000


@dataclass(frozen=True)
class ComponentLimits:
    """What an instance of a component may use. Counts are those of one call, but for ``memory`` and ``sockets``."""

    memory: int = 64 * _KIB**2
    """Bytes of all its memories."""
    time: float = 1.0
    """Seconds of processor time; what the host does for it does not count."""
    fuel: int | None = None
    """Units of WebAssembly's instructions, about one each; None: not counted."""
    sockets: int = 16
    """Open at once."""
    reply_bytes: int = 4 * _KIB**2
    """Of one reply, decoded, or of what a socket receives at once."""
    requests: int = 1000


def as_memory(value: Any) -> int:
    """A limit of memory. Raises ValueError."""
    return _size(value, PAGE, _MOST_MEMORY)


def as_reply_bytes(value: Any) -> int:
    """A limit of the bytes of a reply. Raises ValueError."""
    return _size(value, 0, _MOST_MEMORY)


def as_fuel(value: Any) -> int:
    """A limit of fuel. Raises ValueError."""
    return _count(value, 1, 2**63 - 1)


def as_number(value: Any) -> int:
    """A limit of sockets or requests. Raises ValueError."""
    return _count(value, 0, _MOST)


PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "memory": as_memory,
    "time": as_positive_seconds,
    "fuel": as_fuel,
    "sockets": as_number,
    "reply_bytes": as_reply_bytes,
    "requests": as_number,
}
"""By the names of the limits."""


def limits_of(given: Mapping[str, Any]) -> ComponentLimits:
    """The limits that were given by their names; None is the default. Raises SettingError."""
    parsed: dict[str, Any] = {}
    for name, value in given.items():
        try:
            if value is not None:
                parsed[name] = PARSERS[name](value)
        except ValueError as error:
            raise SettingError(f"ipload_component: {name}: {error}") from None
    return ComponentLimits(**parsed)


def shown_size(size: int) -> str:
    """A number of bytes in powers of 1024, as limits are usually given: ``64 MiB``."""
    for unit, factor in (("GiB", _KIB**3), ("MiB", _KIB**2), ("KiB", _KIB)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} bytes"


def shown_time(seconds: float) -> str:
    """A limit of time: ``1s``."""
    return format_setting(seconds)


def _size(value: Any, least: int, most: int) -> int:
    if isinstance(value, str):
        size = parse_size(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        raise ValueError(f"{value!r:.100} is not a size; give a number of bytes, or a text such as '64MiB'")
    if not least <= size <= most:
        raise ValueError(f"{value!r:.100}: give a size from {shown_size(least)} to {shown_size(most)}")
    return int(size)


def _count(value: Any, least: int, most: int) -> int:
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        value = int(value)
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r:.100}: give a whole number from {least} to {most}")
    return value
