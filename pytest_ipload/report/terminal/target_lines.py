"""A line for each target of a load: its own numbers over the judged time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_ipload.base.text import printable
from pytest_ipload.stats.summary import PlainResult
from pytest_ipload.stats.target_readings import CPU, RSS
from pytest_ipload.verdict.threshold.target_metric import PER_HOUR, format_value


def target_lines(result: PlainResult) -> list[str]:
    """The lines, with what limits the readings below each."""
    lines = []
    for target in result.get("targets", ()):
        measured = "; ".join(_metric(name, stats) for name, stats in target["metrics"].items())
        lines.append(printable(f"target {place_of(target)}: {measured or 'nothing was read in the judged time'}"))
        lines += [f"  {printable(note)}" for note in target.get("notes", ())]
    return lines


def place_of(target: Mapping[str, Any]) -> str:
    """``api (pid 4711)``."""
    return f"{target['name']} ({target['url'] if 'url' in target else 'pid {pid}'.format(**target)})"


def growth_of(stats: Mapping[str, Any]) -> str:
    """``5.02 MB/h (95 % CI 4.1 MB/h to 5.9 MB/h)``; empty if it is unknown."""
    unit = stats["unit"] + PER_HOUR
    if "growth_low" not in stats or "growth_high" not in stats:
        return ""
    value, low, high = (format_value(unit, stats[f"growth_{each}"]) for each in ("per_hour", "low", "high"))
    return f"{value} (95 % CI {low} to {high})"


def _metric(name: str, stats: Mapping[str, Any]) -> str:
    shown = {key: format_value(stats["unit"], stats[key]) for key in ("mean", "max")}
    if name == RSS:
        growth = growth_of(stats)
        return f"{name} max {shown['max']}" + (f", growth {growth}" if growth else "")
    return f"{name} mean {shown['mean']}, max {shown['max']}" if name == CPU else f"{name} max {shown['max']}"
