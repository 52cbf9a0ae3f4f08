"""Durations, rates and percentages: text to numbers and back.

Grammar of the texts::

    duration   = part { part }            part = number unit      unit = "us" | "ms" | "s" | "m" | "h"
    span       = duration [ "-" duration ]                        ("100ms-300ms")
    rate       = number "/" ( "s" | "m" | "h" )
    percent    = number "%"
    size       = number ( "B" | "kB" | "MB" | "GB" | "TB" | "KiB" | "MiB" | "GiB" | "TiB" )

The parts of a duration come from large to small (``1m30s``). Text without a unit is refused: it is unclear
whether ``5`` means seconds or milliseconds. All functions raise ``ValueError`` with what is allowed.
"""

from __future__ import annotations

import re
from decimal import Decimal

NS_PER_S, NS_PER_MS, NS_PER_US = 1_000_000_000, 1_000_000, 1000
US_PER_S, US_PER_MS = 1_000_000, 1000
MS_PER_S = 1000

# Decimal, so that 9ms is 0.009 and not the 0.009000000000000001 of 9 * 0.001.
_SECONDS = {"h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001"), "us": Decimal("0.000001")}
_NUMBER = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
# Not compiled here, as every pytest run loads this module; re compiles them once, when they are first used.
_PART = rf"{_NUMBER}(us|ms|s|m|h)"
_RATE = rf"{_NUMBER}\s*/\s*(s|m|h)"
_PERCENT = rf"{_NUMBER}\s*%"
_SIZE = rf"{_NUMBER}\s*([kKMGT]?i?B)"
_SIZES = {"B": 1, **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)}, "KB": 1000}
_SIZES |= {f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)}
_DURATION_HELP = "a duration has a number and a unit, as in 500us, 20ms, 1.5s, 2m, 1h or 1m30s"


def parse_duration(text: str) -> float:
    """Seconds of a duration text such as ``1m30s``."""
    stripped = text.strip()
    seconds, position, last_unit = Decimal(), 0, Decimal("Infinity")
    for match in re.finditer(_PART, stripped):
        unit = _SECONDS[match[2]]
        if match.start() != position or unit >= last_unit:
            break
        seconds += Decimal(match[1]) * unit
        position, last_unit = match.end(), unit
    if not stripped or position != len(stripped):
        raise ValueError(f"{text!r} is not a duration; {_DURATION_HELP}")
    return float(seconds)


def parse_span(text: str) -> tuple[float, float]:
    """Seconds (low, high) of a span text: ``100ms-300ms``, or one duration for both ends."""
    low_text, dash, high_text = text.partition("-")
    low = parse_duration(low_text)
    high = parse_duration(high_text) if dash else low
    if high < low:
        raise ValueError(f"{text!r} runs backwards; give the shorter duration first, as in 100ms-300ms")
    return low, high


def parse_rate(text: str) -> float:
    """Events per second of a rate text such as ``100/s``."""
    match = re.fullmatch(_RATE, text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a rate; a rate is a number per unit of time, as in 100/s or 30/m")
    return float(Decimal(match[1]) / _SECONDS[match[2]])


def parse_percent(text: str) -> float:
    """The fraction (0 to 1, or more) of a percentage text such as ``1%``."""
    match = re.fullmatch(_PERCENT, text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a percentage; write it as in 1% or 0.5%")
    return float(Decimal(match[1]) / 100)


def parse_size(text: str) -> float:
    """Bytes of a size such as ``500MB`` (a million bytes each) or ``512MiB`` (1024 * 1024)."""
    match = re.fullmatch(_SIZE, text.strip())
    if match is None or match[2] not in _SIZES:
        raise ValueError(f"{text!r} is not a size; a size has a number and a unit, as in 64kB, 500MB, 512MiB or 2GB")
    return float(Decimal(match[1]) * _SIZES[match[2]])


def format_size(size: float) -> str:
    """A number of bytes for people, in powers of 1000: ``812 kB``, ``48.3 MB``."""
    if size < 0:
        return "-" + format_size(-size)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} B" if unit == "B" else f"{_short(size)} {unit}"
        size /= 1000
    return f"{_short(size)} TB"


def format_duration(seconds: float) -> str:
    """A duration for people, with three or so significant digits: ``243 ms``, ``1.50 s``, ``85 us``, ``2m05s``."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds == 0:
        return "0 ms"
    if seconds < 0.9995e-3:
        return f"{_short(seconds * US_PER_S)} us"
    if seconds < 0.9995:
        return f"{_short(seconds * MS_PER_S)} ms"
    if seconds < 99.95:
        return f"{_short(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{rest:02}s" if hours else f"{minutes}m{rest:02}s"


def format_clock(seconds: float) -> str:
    """A time that passes, in whole seconds: ``0:07``, ``12:30``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_setting(seconds: float) -> str:
    """A duration as a setting is written, so that it parses back to the same value: ``90s``, ``2h``, ``250ms``."""
    if seconds == 0:
        return "0s"
    exact = Decimal(repr(seconds))
    fitting = (unit for unit, size in _SECONDS.items() if exact >= size and (size <= 1 or exact % size == 0))
    unit = next(fitting, "us")
    return f"{(exact / _SECONDS[unit]).normalize():f}{unit}"


def format_span(span: tuple[float, float]) -> str:
    """A span as a setting is written: ``100ms-300ms``, or one duration where both ends are the same."""
    low, high = map(format_setting, span)
    return low if low == high else f"{low}-{high}"


def format_count(number: int) -> str:
    """A count with thin groups: ``4 812``."""
    return f"{number:,}".replace(",", " ")


def format_number(value: float) -> str:
    """A rate or another number that need not be whole, with three or more significant digits: ``0.125``, ``4 812``."""
    return format_count(round(value)) if value >= 99.95 else f"{value:.3g}"


def format_percent(fraction: float) -> str:
    """A fraction as a percentage with three significant digits, or more where it would seem to be all of 100."""
    percent, digits = fraction * 100, 3
    while percent < 100 and digits < 17 and float(f"{percent:.{digits}g}") >= 100:
        digits += 1
    return f"{Decimal(f'{percent:.{digits}g}'):f} %"  # a Decimal's f shows no more digits than it has


def _short(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}"
