"""The limits of a component."""

from __future__ import annotations

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


def limits_of(
    memory: Any = None,
    time: Any = None,
    fuel: Any = None,
    sockets: Any = None,
    reply_bytes: Any = None,
    requests: Any = None,
) -> ComponentLimits:
    """The limits that were given; None is the default. Raises SettingError."""
    given = {
        "memory": memory if memory is None else _size("memory", memory, PAGE, _MOST_MEMORY),
        "time": time if time is None else _seconds(time),
        "fuel": fuel if fuel is None else _count("fuel", fuel, 1, 2**63 - 1),
        "sockets": sockets if sockets is None else _count("sockets", sockets, 0, _MOST),
        "reply_bytes": reply_bytes if reply_bytes is None else _size("reply_bytes", reply_bytes, 0, _MOST_MEMORY),
        "requests": requests if requests is None else _count("requests", requests, 0, _MOST),
    }
    return ComponentLimits(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def shown_size(size: int) -> str:
    """A number of bytes in powers of 1024, as limits are usually given: ``64 MiB``."""
    for unit, factor in (("GiB", _KIB**3), ("MiB", _KIB**2), ("KiB", _KIB)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} bytes"


def shown_time(seconds: float) -> str:
    """A limit of time: ``1s``."""
    return format_setting(seconds)


def _size(name: str, value: Any, least: int, most: int) -> int:
    try:
        if isinstance(value, str):
            size = parse_size(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            size = value
        else:
            raise ValueError(f"{value!r:.100} is not a size; give a number of bytes, or a text such as '64MiB'")
    except ValueError as error:
        raise SettingError(f"ipload_component: {name}: {error}") from None
    if not least <= size <= most:
        raise SettingError(
            f"ipload_component: {name}={value!r:.100}: give a size from {shown_size(least)} to {shown_size(most)}"
        )
    return int(size)


def _seconds(value: Any) -> float:
    try:
        return as_positive_seconds(value)
    except ValueError as error:
        raise SettingError(f"ipload_component: time: {error}") from None


def _count(name: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise SettingError(f"ipload_component: {name}={value!r:.100}: give a whole number from {least} to {most}")
    return value
