"""Hints for keys that other tools have, or that stand in the wrong place."""

from __future__ import annotations

from collections.abc import Collection

from pytest_ipload.settings.parsing import did_you_mean
from pytest_ipload.settings.table import BY_KEY

_CALLED_HERE = {
    **dict.fromkeys(("sleep", "wait", "pause", "delay"), "think"),
    **dict.fromkeys(("assert", "asserts", "check", "checks", "validate"), "expect"),
    **dict.fromkeys(("extract", "save"), "capture"),
    **dict.fromkeys(("loop", "times"), "repeat"),
    **dict.fromkeys(("setup", "before", "on_start"), "set_up"),
    **dict.fromkeys(("teardown", "after", "on_stop"), "tear_down"),
}


def key_hint(key: str, known: Collection[str]) -> str:
    """What was probably meant by a key that is not known, in brackets; or nothing."""
    for meant in (key.lower(), _CALLED_HERE.get(key.lower())):
        if meant in known:
            return f" (did you mean {meant!r}?)"
    if key in BY_KEY and "load" in known:
        return " (it belongs in 'load')"
    return did_you_mean(key, known)
