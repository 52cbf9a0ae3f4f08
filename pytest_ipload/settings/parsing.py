"""The values of settings, from text (command line, ini) or from Python (markers), checked.

All functions raise ``ValueError`` with what was given and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_ipload.base.units import format_setting, parse_duration, parse_rate, parse_span

if TYPE_CHECKING:
    from pytest_ipload.settings.stages import Stages

_LONGEST_REMEMBERED = 200
"""Characters of a name."""
_LONGEST = 365 * 24 * 3600.0
"""A year. Far above it, system calls refuse a timeout while the load is running."""


def as_count(value: Any) -> int:
    """A whole number from 1 on, or its text."""
    number = as_whole_number(value)
    if number < 1:
        raise ValueError(f"{value!r} is too small; give a whole number of 1 or more")
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
            f"{value!r} is not a duration; give seconds as a number of 0 or more, or text such as {example!r}"
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
        raise ValueError(f"{value!r} must be greater than 0; give a duration such as 10s")
    return seconds


def as_span(value: Any) -> tuple[float, float]:
    """Low and high of a span in seconds: its text, or what is a duration for both ends."""
    if isinstance(value, str):
        low, high = parse_span(value)
        return low, _not_too_long(high, value)
    seconds = as_seconds(value, example="100ms-300ms")
    return seconds, seconds


def as_rate(value: Any) -> float:
    """Events per second: a rate text, or (from Python only) a number."""
    if isinstance(value, str):
        rate = parse_rate(value)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a rate; give a number per second, or text such as '100/s' or '30/m'")
    else:
        rate = float(value)
    if not 0 < rate <= _HIGHEST_RATE:
        raise ValueError(f"{value!r} is out of range; give a rate of more than 0 and at most {_HIGHEST_RATE:.0f}/s")
    return rate


def as_rate_or_true(value: Any) -> float | bool:
    """A rate, or True (from Python only): the rates are in the stages."""
    return True if value is True else as_rate(value)


def as_stages(value: Any) -> Stages:
    """Segments of a load, as a text or (from Python) as a list of pairs.

    ::

        stages = stage { "," stage }        stage = duration ":" target        target = number [ "/" ("s" | "m" | "h") ]
    """
    if isinstance(value, str):
        pairs = [part.partition(":")[::2] for part in value.split(",")]
    elif isinstance(value, (list, tuple)) and all(isinstance(each, (list, tuple)) and len(each) == 2 for each in value):
        pairs = [(duration, target) for duration, target in value]
    else:
        raise ValueError(f"{value!r} are not valid stages; {_STAGES_HELP}")
    segments, kinds = [], set()
    for duration, target in pairs:
        seconds = as_seconds(duration)
        number, is_rate = _target(target)
        segments.append((seconds, number))
        kinds.add(is_rate)
    if len(kinds) != 1:
        raise ValueError(f"{value!r} mixes users and rates, or has no stages; {_STAGES_HELP}")
    from pytest_ipload.settings.stages import Stages

    stages = Stages(tuple(segments), kinds.pop())
    _not_too_long(stages.seconds, value)
    if not stages.peak or not stages.seconds:
        raise ValueError(
            f"{value!r} produce no load; give at least one stage a target above 0, and at least one a duration above 0"
        )
    return stages


def _target(value: Any) -> tuple[float, bool]:
    """A stage's target, and whether it is written as a rate."""
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and "/" in text:
        return (0.0 if re.fullmatch(r"0+(\.0*)?\s*/\s*[smh]", text) else as_rate(text)), True
    number = float(text) if isinstance(text, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else text
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= _HIGHEST_RATE:
        raise ValueError(f"{value!r} is not a valid stage target; {_STAGES_HELP}")
    return float(number), False


_HIGHEST_RATE = 1e6
"""Per second. No generator comes near it, and a plan of more than that is a slip of the pen."""
_STAGES_HELP = (
    "give segments of duration:users, as in '10s:50,30s:50,5s:0' or [('10s', 50), (30, 50)]; "
    "targets of the open model are rates, as in '10s:100/s,30s:100/s'"
)


def as_moment(text: str) -> float:
    """Seconds since 1970: such a number as a text, or a date and time of ISO 8601 with its offset from UTC."""
    from datetime import datetime

    with suppress(ValueError):
        seconds = float(text)
        if is_moment(seconds):
            return seconds
    with suppress(ValueError):
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
        if moment.tzinfo is not None:
            return moment.timestamp()
    raise ValueError(
        f"{text!r} is not a valid time; give Unix seconds, as in 1767225600.5, or a date and time with its offset from "
        "UTC, as in 2026-01-31T12:00:00Z"
    )


def is_moment(seconds: float) -> bool:
    """Whether a number can be seconds since 1970."""
    return 0 <= seconds < _END_OF_TIME


_END_OF_TIME = 1e11
"""Seconds since 1970: the year 5138. A larger number is one of milliseconds."""


def as_loopback_endpoint(text: str) -> tuple[str, int]:
    """A loopback address and a port to listen at, from ``[HOST:]PORT``; an address with a colon needs brackets."""
    from ipaddress import ip_address

    match = re.fullmatch(r"(?:\[(?P<long>[^]]+)\]:|(?P<short>[^][:]+):)?(?P<port>[0-9]{1,5})", text.strip())
    if match is None or int(match["port"]) > 65535:
        raise ValueError(f"{text!r} is not a valid port; {_ENDPOINT_HELP}")
    host = match["long"] or match["short"] or "127.0.0.1"
    try:
        is_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(
            f"{text!r} is not a loopback address; live numbers are only served on loopback; {_ENDPOINT_HELP}"
        )
    return ("127.0.0.1" if host == "localhost" else host), int(match["port"])


_ENDPOINT_HELP = "give a port (0 for any free port), as in 9123, 127.0.0.1:9123 or [::1]:9123"


def as_text(value: Any) -> str:
    """A non-empty string, stripped of surrounding whitespace."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} must be a non-empty string")
    return value.strip()


def _masked(text: str) -> str:
    """The text without secrets. Imported here: a session without load tests does not need it."""
    from pytest_ipload.base.masking import masked

    return masked(text)


_masked_name = lru_cache(maxsize=1024)(_masked)
"""A name comes with each request; most come again."""


def as_label(value: Any, what: str) -> str:
    """The name of something that is measured, as a plain text, masked; ``what`` says of what, for the error.

    Names are keys of tables and appear in every report. A subclass of ``str`` becomes the text that it is, unless it
    cannot be a key.
    """
    if type(value) is str and value:
        return _masked_name(value) if len(value) <= _LONGEST_REMEMBERED else _masked(value)
    try:
        if isinstance(value, str) and str.__len__(value):
            hash(value)
            return _masked(str.__str__(value))
        given = f"{value!r:.80}"
    except BaseException as error:  # its own methods may raise anything
        given = f"an object of type {type(value).__name__} ({type(error).__name__} when it was looked at)"
    raise ValueError(f"{what} must be a non-empty string, not {given}")


def as_url(value: Any) -> str:
    """A URL with a host."""
    text = as_text(value)
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed [ or a port that is not a number
        known = False
    if not known:
        from pytest_ipload.base.masking import HIDDEN

        # What is malformed may have its password anywhere.
        shown = re.sub(r"[^/\s'\"]*@", f"{HIDDEN}@", _masked(repr(value)))
        raise ValueError(f"{shown} is not a URL; write it as in http://127.0.0.1:8000")
    return text


def as_bool(value: Any) -> bool:
    """True or False, and nothing that is merely like it."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither True nor False")
    return value


def as_switch(value: Any) -> bool:
    """True or False, on the command line ``on`` or ``off``."""
    if isinstance(value, str) and value in ("on", "off"):
        return value == "on"
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither on nor off; give True or False, or on the command line on or off")
    return value


def as_confidence(value: Any) -> float:
    """A confidence: above 0.5, as less is none, and below 1, as no sample is enough for that."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.5 < value < 1:
        raise ValueError(f"{value!r} is not a valid confidence; give a number above 0.5 and below 1, as in 0.95")
    return float(value)


def one_of(*allowed: str) -> Callable[[Any], Any]:
    """One of some words."""

    def parse(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(f"{value!r} is unknown; allowed: {listed(allowed)}")
        return value

    return parse


_HTTP_VERSIONS = ("1.1", "2", "3")


def as_http_version(value: Any) -> str:
    """A version of HTTP, as a text or a number."""
    text = value if isinstance(value, (str, bool)) else str(value)
    if text not in _HTTP_VERSIONS:
        raise ValueError(f"{value!r} is not a version of HTTP that is known here; allowed: {listed(_HTTP_VERSIONS)}")
    return str(text)


def listed(values: Iterable[Any]) -> str:
    """``'a', 'b'``, for errors."""
    return ", ".join(repr(value) for value in values)


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A hint for a mistyped word, or nothing if no known one is as like it as ``cutoff`` says, from 0 to 1."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f" (did you mean {close[0]!r}?)" if close else ""
