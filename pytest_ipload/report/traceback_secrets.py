"""pytest's own text of a failure without its secrets: in messages, source lines, arguments and local variables."""

from __future__ import annotations

import os
import re
from typing import Any

from pytest_ipload.base.code_location import is_user_code
from pytest_ipload.base.masking import HIDDEN, masked

_SHOWN = frozenset({"error", "host", "method", "port", "scheme", "timeout", "url"})
"""Variables of libraries' request code that are safe to show. Any other that contains text may hold a header."""
_SHORTENED_BY_PYTEST = 200
"""Number of characters from which on pytest may have cut the middle out of a value."""
_AFTER_CUT = re.compile(r"\.\.\.[^'\"]+")
_VARIABLE = re.compile(r"(?P<head>(?P<name>\w+)\s*= )(?P<value>.*)", re.DOTALL)


def without_secrets(longrepr: Any) -> Any:
    """The same with every text in it masked; a plain text becomes another one."""
    if isinstance(longrepr, str):
        return masked(longrepr)
    if isinstance(longrepr, tuple):  # a skip: place and reason
        return (*longrepr[:2], masked(str(longrepr[2])))
    tracebacks = [traceback for traceback, _, _ in getattr(longrepr, "chain", ())]
    own = getattr(longrepr, "reprtraceback", None)
    for traceback in tracebacks or ([] if own is None else [own]):
        for entry in traceback.reprentries:
            _mask_entry(entry)
    crashes = [crash for _, crash, _ in getattr(longrepr, "chain", ())]
    for crash in (*crashes, getattr(longrepr, "reprcrash", None)):
        if crash is not None:
            crash.message = masked(crash.message)
    if hasattr(longrepr, "chain"):
        longrepr.chain = [(*pair, None if text is None else masked(text)) for *pair, text in longrepr.chain]
    if sections := getattr(longrepr, "sections", None):
        longrepr.sections = [(title, masked(text), sep) for title, text, sep in sections]
    return longrepr


def _mask_entry(entry: Any) -> None:
    entry.lines = [masked(line) for line in entry.lines]
    place = getattr(entry, "reprfileloc", None)
    is_library = place is not None and not is_user_code(os.path.abspath(str(place.path)))
    if place is not None:
        place.message = masked(place.message)
    if (arguments := getattr(entry, "reprfuncargs", None)) is not None:
        arguments.args = [(name, _value(name, str(value), is_library)) for name, value in arguments.args]
    if (variables := getattr(entry, "reprlocals", None)) is not None:
        variables.lines = [_line(line, is_library) for line in variables.lines]


def _line(line: str, is_library: bool) -> str:
    found = _VARIABLE.fullmatch(line)
    if found is None:
        return HIDDEN if is_library else masked(line)
    return found["head"] + _value(found["name"], found["value"], is_library)


def _value(name: str, value: str, is_library: bool) -> str:
    if is_library and name not in _SHOWN and ("'" in value or '"' in value):
        return HIDDEN
    head = f"{name}="
    shown = masked(head + value)[len(head) :]  # the name may show that the value is a secret
    return _AFTER_CUT.sub(f"...{HIDDEN}", shown) if len(value) >= _SHORTENED_BY_PYTEST else shown
