"""Profiles: named sets of settings in the ini file, of which the command line chooses one.

::

    profile = NAME "=" KEY "=" VALUE { " " KEY "=" VALUE }

A value with blanks or quotes is put in quotes, as in a shell.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_ipload.settings.parsing import as_bool, as_rate_or_true, did_you_mean, listed
from pytest_ipload.settings.table import BY_KEY, Parser, as_check_names

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_FORM = "write NAME = KEY=VALUE KEY=VALUE, as in soak = users=200 duration=4h"
_TRUTH = {"true": True, "false": False}

Profiles = Mapping[str, Mapping[str, Any]]


def parse_profiles(lines: Iterable[str]) -> Profiles:
    """The profiles by name, their values checked. ``ValueError`` quotes the line, and says what is wrong with it."""
    profiles: dict[str, Mapping[str, Any]] = {}
    for line in filter(None, map(str.strip, lines)):
        try:
            name, settings = _parse(line)
            if name in profiles:
                raise ValueError(f"there are two profiles {name!r}; use another name")
        except ValueError as error:
            raise ValueError(f"line {line!r}: {error}") from None
        profiles[name] = settings
    return profiles


def chosen(profiles: Profiles, name: str) -> Mapping[str, Any]:
    """The settings of a profile. ``ValueError`` names the known ones."""
    if name in profiles:
        return profiles[name]
    if not profiles:
        raise ValueError(f"there is no profile {name!r}, and no other; define it with the ini key ipload_profiles")
    raise ValueError(f"there is no profile {name!r}{did_you_mean(name, profiles)}; known: {listed(profiles)}")


def _parse(line: str) -> tuple[str, Mapping[str, Any]]:
    name, equals, rest = line.partition("=")
    name = name.strip()
    if not equals:
        raise ValueError(f"there is no '='; {_FORM}")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a name; it has letters, digits, '-', '_' and '.' only, and starts with a letter"
        )
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise ValueError(f'{str(error).lower()}; put values with blanks in quotes, as in pool="a, b"') from None
    if not words:
        raise ValueError(f"no settings follow; {_FORM}")
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} has no '='; {_FORM}; put values with blanks in quotes")
        if key in settings:
            raise ValueError(f"{key!r} is given twice")
        settings[key] = _value(key, text)
    return name, settings


def _value(key: str, text: str) -> Any:
    setting = BY_KEY.get(key)
    if setting is None:
        raise ValueError(f"unknown key {key!r}{did_you_mean(key, BY_KEY)}; known: {', '.join(BY_KEY)}")
    if not text:
        raise ValueError(f"{key}: no value follows the '='")
    try:
        return _from_text(setting.parse, text)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _from_text(parse: Parser, text: str) -> Any:
    """What a text means where only Python has values of the kind: true and false, and lists."""
    if parse is as_bool:
        if text.lower() not in _TRUTH:
            raise ValueError(f"{text!r} is neither true nor false")
        return _TRUTH[text.lower()]
    if parse is as_rate_or_true and text.lower() == "true":
        return True
    return parse([each.strip() for each in text.split(",")] if parse is as_check_names else text)
