"""Values of a report as short texts. A value that was not measured is ``ABSENT``, never zero."""

from __future__ import annotations

from typing import Any

from pytest_ipload.base.units import (
    MS_PER_S,
    format_count,
    format_duration,
    format_number,
    format_percent,
    format_setting,
)
from pytest_ipload.verdict.threshold.target_metric import UNITS as TARGET_UNITS
from pytest_ipload.verdict.threshold.target_metric import format_value

ABSENT = "–"


def count(number: int | None) -> str:
    """A count: ``4 812``."""
    return ABSENT if number is None else format_count(number)


def milliseconds(value: float | None) -> str:
    """A duration given in milliseconds: ``243 ms``, ``1.50 s``."""
    return ABSENT if value is None else format_duration(value / MS_PER_S)


def share(fraction: float | None) -> str:
    """A fraction as a percentage."""
    return ABSENT if fraction is None else format_percent(fraction)


def rate(per_second: float | None) -> str:
    """A number per second, with at least three significant digits."""
    return ABSENT if per_second is None else format_number(per_second)


def in_unit(value: float | None, unit: str | None) -> str:
    """A number in one of the units of the JSON report: ``ms``, ``fraction``, ``1/s``, ``count`` or those of targets."""
    if value is None:
        return ABSENT
    if unit == "ms":
        return milliseconds(value)
    if unit == "fraction":
        return share(value)
    if unit in TARGET_UNITS:
        return format_value(unit, value)
    if unit == "1/s":
        return f"{rate(value)}/s"
    return format_count(int(value)) if value == int(value) else f"{value:g}"


def clock(seconds: int) -> str:
    """A time within a load: ``1:05``, ``1:00:05``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def setting(value: Any, key: str) -> str:
    """A setting as a user would write it, by its key in the report's ``profile``: seconds end in ``_s`` there."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return _several(value, key)
    if key.endswith("_s"):
        return format_setting(float(value))
    if isinstance(value, float):
        return f"{value:g}/s" if key.endswith("_rate") else f"{value:g}"
    return str(value)


def _several(values: list[Any], key: str) -> str:
    """A range of durations, stages, or names."""
    if key.endswith("_s"):
        low, high = (format_setting(float(value)) for value in values)
        return low if low == high else f"{low}-{high}"
    if key == "stages":
        return ",".join(f"{format_setting(float(seconds))}:{target:g}" for seconds, target in values)
    return ", ".join(map(str, values)) or "none"
