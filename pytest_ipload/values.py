"""The values of settings, from text (command line, ini) or from Python (markers), checked.

All functions raise ``ValueError`` with what was given and what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from pytest_ipload.units import format_setting, parse_duration, parse_span

_LONGEST = 365 * 24 * 3600.0
"""A year. Far above it the system's own calls refuse a time, in the midst of the load."""


def as_count(value: Any) -> int:
    """A whole number from 1 on, or its text."""
    number = as_whole_number(value)
    if number < 1:
        raise ValueError(f"{value!r} is too small; give a whole number from 1 on")
    return number


def as_whole_number(value: Any) -> int:
    """A whole number, or its text."""
    if isinstance(value, str):
        try:
            return int(value, 10)
        except ValueError:
            raise ValueError(f"{value!r} is not a whole number") from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not a whole number")
    return value


def as_seconds(value: Any, example: str = "1m30s") -> float:
    """A duration text, or (from Python only) a number of seconds."""
    if isinstance(value, str):
        return _not_too_long(parse_duration(value), value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise ValueError(
            f"{value!r} is not a duration; give seconds as a number from 0 on, or a text such as {example!r}"
        )
    return float(_not_too_long(value, value))


def _not_too_long(seconds: float, given: Any) -> float:
    if seconds > _LONGEST:
        raise ValueError(f"{given!r} is too long; the longest duration is {format_setting(_LONGEST)}")
    return seconds


def as_positive_seconds(value: Any) -> float:
    """A duration above 0."""
    seconds = as_seconds(value)
    if seconds <= 0:
        raise ValueError(f"{value!r} is no time at all; give a duration above 0")
    return seconds


def as_span(value: Any) -> tuple[float, float]:
    """Low and high of a span in seconds: its text, or what is a duration for both ends."""
    if isinstance(value, str):
        low, high = parse_span(value)
        return low, _not_too_long(high, value)
    seconds = as_seconds(value, example="100ms-300ms")
    return seconds, seconds


def as_text(value: Any) -> str:
    """A text that is not empty, without blanks round it."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is not a text, or an empty one")
    return value.strip()


def as_url(value: Any) -> str:
    """A URL with a host."""
    text = as_text(value)
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of an unclosed [ or of a port that is no number
        known = False
    if not known:
        raise ValueError(f"{value!r} is not a URL; write it as in http://127.0.0.1:8000")
    return text


def as_bool(value: Any) -> bool:
    """True or False, and nothing that is merely like it."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither True nor False")
    return value


def as_confidence(value: Any) -> float:
    """A confidence: above 0.5, as less is none, and below 1, as no sample is enough for that."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.5 < value < 1:
        raise ValueError(f"{value!r} is no confidence; give a number above 0.5 and below 1, as in 0.95")
    return float(value)


def one_of(*allowed: str) -> Callable[[Any], Any]:
    """One of some words."""

    def parse(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(f"{value!r} is unknown; allowed: {listed(allowed)}")
        return value

    return parse


def listed(values: Iterable[Any]) -> str:
    """``'a', 'b'``, for errors."""
    return ", ".join(repr(value) for value in values)
