"""From the settings of command line, marker, ini and plugins to the values of one ``LoadProfile``.

Each value comes from the first of these that gives it: hook of a plugin, command line, marker (the nearest one first,
key by key), ini, default. ``LoadProfile.origins`` remembers which one it was.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pytest_ipload.settings.combination import COMMAND_LINE, DEFAULT, HOOK, INI, MARKER, fit_shape
from pytest_ipload.settings.parsing import (
    did_you_mean,
    listed,
)
from pytest_ipload.settings.session_settings import SessionSettings
from pytest_ipload.settings.table import BY_KEY, KEPT, SETTINGS


def marker_settings(kwargs_nearest_first: Iterable[tuple[Mapping[str, Any], tuple[Any, ...]]]) -> dict[str, Any]:
    """Merge the keywords of all ``ipload`` markers of a test, the nearest winning key by key. Raises ``ValueError``."""
    merged: dict[str, Any] = {}
    for kwargs, args in kwargs_nearest_first:
        if args:
            raise ValueError(f"takes keyword arguments only, as in users=50; got {listed(args)}")
        for key, value in kwargs.items():
            if key not in merged:
                merged[key] = parse_key(key, value)
    return merged


def parse_key(key: str, value: Any) -> Any:
    """A marker's key and value, checked. Raises ``ValueError`` naming the key and what is allowed."""
    setting = BY_KEY.get(key)
    if setting is None:
        raise ValueError(f"unknown key {key!r}{did_you_mean(key, BY_KEY)}; known: {', '.join(BY_KEY)}")
    try:
        return setting.parse(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def resolve(
    session: SessionSettings, marker: Mapping[str, Any], nodeid: str, hook: Mapping[str, Any] = MappingProxyType({})
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values for a ``LoadProfile`` and where each came from. Raises ``ValueError`` if they do not fit together.

    ``hook`` is what plugins set, checked; it comes before all else.
    """
    values: dict[str, Any] = {"seed": zlib.crc32(nodeid.encode())}
    origins: dict[str, str] = {}
    sources = ((HOOK, hook), (COMMAND_LINE, session.command_line), (MARKER, marker), (INI, session.ini))
    for setting in SETTINGS:
        for origin, source in sources:
            if setting.key in source:
                values[setting.key], origins[setting.key] = source[setting.key], origin
                break
        else:
            origins[setting.key] = DEFAULT
        if setting.adds_up and origins[setting.key] == MARKER and setting.key in session.ini:
            values[setting.key] = tuple(dict.fromkeys((*marker[setting.key], *session.ini[setting.key])))
            origins[setting.key] = f"{MARKER} and {INI}"
        if session.disabled and setting.off is not KEPT:
            values[setting.key], origins[setting.key] = setting.off, "--ipload-disable"
    fit_shape(values, origins)
    return values, origins
