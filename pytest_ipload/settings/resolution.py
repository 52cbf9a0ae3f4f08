"""From the settings of command line, marker, ini and plugins to one ``LoadProfile``.

Each value comes from the first of these that gives it: hook of a plugin, command line, its profile, marker (the nearest
one first, key by key), ini, default; the base URL, last of all, from the fixture ``base_url``. ``LoadProfile.origins``
remembers which one it was.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from pytest_ipload.base.errors import SettingError
from pytest_ipload.settings.combination import (
    COMMAND_LINE,
    DEFAULT,
    HOOK,
    INI,
    MARKER,
    PROFILE,
    SET_BY_STAGES,
    fit_shape,
    origin_in_profile,
)
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.parsing import as_seconds, as_span, as_stages, did_you_mean, listed
from pytest_ipload.settings.session_settings import SessionSettings
from pytest_ipload.settings.stages import Stages
from pytest_ipload.settings.table import BY_KEY, KEPT, SETTINGS

Given = Iterable[tuple[Mapping[str, Any], tuple[Any, ...]]]
"""Keywords and positional arguments of markers, the nearest first."""

FIXTURE = "base_url fixture"
_SPANS = frozenset(setting.key for setting in SETTINGS if setting.parse is as_span)
_MAY_BE_NONE = frozenset(key for key, kind in get_type_hints(LoadProfile).items() if type(None) in get_args(kind))


def resolve(
    session: SessionSettings,
    given: Given,
    nodeid: str,
    *,
    place: str = "marker ipload",
    hook: Mapping[str, Any] = MappingProxyType({}),
    base_url: str | None = None,
) -> LoadProfile:
    """The profile of a load, from all sources. Raises SettingError, for a setting in ``given`` naming its ``place``.

    ``hook`` is what plugins set, checked; it comes before all else. ``base_url`` is the fixture's, and comes last.
    """
    marker, fixture = marker_settings(given, place), {} if base_url is None else {"base_url": base_url}
    sources = (
        (HOOK, hook),
        (COMMAND_LINE, session.command_line),
        (PROFILE, session.profile),
        (MARKER, marker),
        (INI, session.ini),
        (FIXTURE, fixture),
    )
    values: dict[str, Any] = {"seed": zlib.crc32(nodeid.encode())}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        key = setting.key
        giving = [(origin, source[key]) for origin, source in sources if key in source]
        if not giving:
            origins[key] = DEFAULT
        else:
            named = [origin_in_profile(str(session.profile_name), key) if o == PROFILE else o for o, _ in giving]
            (first, values[key]), origins[key] = giving[0], named[0]
            if setting.adds_up and first != HOOK:
                values[key] = tuple(dict.fromkeys(each for _, value in giving for each in value))
                origins[key] = " and ".join(named)
        if session.disabled and setting.off is not KEPT:
            values[setting.key], origins[setting.key] = setting.off, "--ipload-disable"
    fit_shape(values, origins)
    return LoadProfile(**values, origins=origins)


def marker_settings(given: Given, place: str = "marker ipload") -> dict[str, Any]:
    """The keywords of all markers, checked, the nearest winning key by key. Raises SettingError naming the place."""
    merged: dict[str, Any] = {}
    try:
        for kwargs, args in given:
            if args:
                raise ValueError(f"takes keyword arguments only, as in users=50; got {listed(args)}")
            for key, value in kwargs.items():
                if key not in merged:
                    merged[key] = parse_key(key, value)
    except ValueError as error:
        raise SettingError(f"{place}: {error}") from None
    return merged


def parse_key(key: str, value: Any) -> Any:
    """A marker's key and value, checked. Raises ``ValueError`` naming the key and what is allowed."""
    setting = BY_KEY.get(key)
    if setting is None:
        if key in ("threshold", "thresholds"):
            raise ValueError(
                f"unknown key {key!r}; thresholds have a marker of their own, "
                "as in @pytest.mark.ipload_threshold('p95 < 200ms')"
            )
        raise ValueError(f"unknown key {key!r}{did_you_mean(key, BY_KEY)}; known: {', '.join(BY_KEY)}")
    try:
        return setting.parse(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def changes(profile: LoadProfile, answer: LoadProfile) -> dict[str, Any]:
    """The settings that a plugin has set, checked: those that differ. Raises ``ValueError``.

    If it removes the stages, what they set counts as set too.
    """
    was_set = SET_BY_STAGES if profile.stages is not None and answer.stages is None else frozenset()
    return {
        field.name: _checked(field.name, getattr(answer, field.name))
        for field in fields(profile)
        if field.name != "origins"
        and (field.name in was_set or getattr(answer, field.name) != getattr(profile, field.name))
    }


def _checked(name: str, value: Any) -> Any:
    """A setting of a profile, in the form that it has there, or in that of a marker."""
    if value is None and name in _MAY_BE_NONE:
        return None
    if isinstance(value, Stages):
        return as_stages(value.segments)._replace(are_rates=value.are_rates)
    if name in _SPANS and isinstance(value, tuple) and len(value) == 2:
        low, high = map(as_seconds, value)
        if low > high:
            raise ValueError(f"{name}: {value!r} ends before it begins")
        return low, high
    return parse_key(name, value)
