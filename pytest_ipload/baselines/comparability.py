"""The part of a load profile that matters for comparisons: two runs are compared only if it is the same in both."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from pytest_ipload.settings.load_profile import name_in_profile
from pytest_ipload.settings.table import SETTINGS

# Addresses, timeouts and seeds are not compared: they say where the load comes from, not what it is.
_COMPARED = (*(name_in_profile(setting.key) for setting in SETTINGS if setting.is_compared), "processes", "together")
"""By their names in a result's ``profile``; ``processes`` is how many xdist workers shared the load, ``together``
the group of loads that it ran in."""

Profile = Mapping[str, Any]


def of_result(result: Mapping[str, Any]) -> Profile:
    """The comparable part of a result in plain values, and its ``host``, not its base URL: that may contain a password.

    A round trip through JSON gives an equal one.
    """
    profile = {**result["profile"], "processes": len(result.get("shards", ())) or 1}
    if "together" in result:
        profile["together"] = result["together"]
    host = _host(profile.get("base_url") or "")
    return only_counted(profile if host is None else {**profile, "host": host})


def only_counted(profile: Profile) -> Profile:
    """The profile without what a saved one does not have."""
    return {name: profile[name] for name in (*_COMPARED, "host") if name in profile}


def _host(base_url: str) -> str | None:
    with suppress(ValueError):  # a fixture may give anything
        return urlsplit(base_url).hostname
    return None


def differences(saved: Profile, here: Profile) -> list[str]:
    """Where the comparable parts of two profiles differ: ``users 50, here 10``."""
    pairs = ((name, saved.get(name), here.get(name)) for name in _COMPARED)
    return [f"{name} {_shown(own)}, here {_shown(other)}" for name, own, other in pairs if own != other]


def _shown(value: Any) -> str:
    return "not set" if value is None else f"{value!s:.40}"
