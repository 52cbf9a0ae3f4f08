"""Durations, rates and percentages: text to numbers and back.

Grammar of the texts::

    duration   = part { part }            part = number unit      unit = "us" | "ms" | "s" | "m" | "h"
    span       = duration [ "-" duration ]                        ("100ms-300ms")
    rate       = number "/" ( "s" | "m" | "h" )
    percent    = number "%"

The parts of a duration come from large to small (``1m30s``). Text without a unit is refused: nobody knows
whether ``5`` means seconds or milliseconds. All functions raise ``ValueError`` with what is allowed.
"""

from __future__ import annotations

import math
import re

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(us|ms|s|m|h)")
_RATE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*/\s*(s|m|h)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*%")
_DURATION_HELP = "a duration has a number and a unit, as in 500us, 20ms, 1.5s, 2m, 1h or 1m30s"


def parse_duration(text: str) -> float:
    """Seconds of a duration text such as ``1m30s``."""
    stripped = text.strip()
    seconds, position, last_unit = 0.0, 0, math.inf
    for match in _PART.finditer(stripped):
        unit = _SECONDS[match[2]]
        if match.start() != position or unit >= last_unit:
            break
        seconds += float(match[1]) * unit
        position, last_unit = match.end(), unit
    if not stripped or position != len(stripped):
        raise ValueError(f"{text!r} is not a duration; {_DURATION_HELP}")
    return seconds


def parse_span(text: str) -> tuple[float, float]:
    """Seconds (low, high) of a span text: ``100ms-300ms``, or one duration for both ends."""
    low_text, dash, high_text = text.partition("-")
    low = parse_duration(low_text)
    high = parse_duration(high_text) if dash else low
    if high < low:
        raise ValueError(f"{text!r} runs backwards; write the shorter duration first, as in 100ms-300ms")
    return low, high


def parse_rate(text: str) -> float:
    """Events per second of a rate text such as ``100/s``."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a rate; a rate is a number per unit of time, as in 100/s or 30/m")
    return float(match[1]) / _SECONDS[match[2]]


def parse_percent(text: str) -> float:
    """The fraction (0 to 1, or more) of a percentage text such as ``1%``."""
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a percentage; write it as in 1% or 0.5%")
    return float(match[1]) / 100


def format_duration(seconds: float) -> str:
    """A duration for people, with three or so significant digits: ``243 ms``, ``1.50 s``, ``85 us``, ``2m05s``."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds == 0:
        return "0 ms"
    if seconds < 0.9995e-3:
        return f"{_short(seconds * 1e6)} us"
    if seconds < 0.9995:
        return f"{_short(seconds * 1e3)} ms"
    if seconds < 99.95:
        return f"{_short(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{rest:02}s" if hours else f"{minutes}m{rest:02}s"


def format_setting(seconds: float) -> str:
    """A duration as a setting is written, so that it parses back to the same value: ``1m30s``, ``250ms``."""
    if seconds == 0:
        return "0s"
    for unit in ("h", "m", "s", "ms", "us"):
        number = round(seconds / _SECONDS[unit], 9)
        if number >= 1 and (number == int(number) or unit in ("s", "ms", "us")):
            return f"{number:.15g}{unit}"
    return f"{seconds / 1e-6:.15g}us"


def format_count(number: int) -> str:
    """A count with thin groups: ``4 812``."""
    return f"{number:,}".replace(",", " ")


def format_percent(fraction: float) -> str:
    """A fraction as a percentage with up to three significant digits, but never rounded to 0 or 100 by accident."""
    percent = fraction * 100
    text = f"{percent:.3g}"
    if (text == "0" and percent > 0) or (text == "100" and percent < 100):
        text = f"{percent:.6g}"
    return f"{text} %"


def _short(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}"
