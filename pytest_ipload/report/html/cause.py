"""Why a test is red, for the top of its section. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_ipload.base.units import MS_PER_S
from pytest_ipload.report.html.cells import milliseconds
from pytest_ipload.stats.summary import PlainResult
from pytest_ipload.verdict.threshold.expression import Threshold

_MOST_NAMES = 5
_SEPARATOR = "; "
_IN_SPITE = "although "


def reasons_of(result: PlainResult) -> list[str]:
    """The reason of a verdict in its parts: one for each threshold and comparison that failed, for example."""
    judged = [*result.get("thresholds", ()), *result.get("comparisons", ())]
    known = [*(each.get("message") for each in judged), *result.get("objections", ())]
    checks = [f"{check['name']}: " for check in result.get("generator", {}).get("checks", ())]
    starts = (*filter(None, known), *checks, _IN_SPITE)
    pieces, parts = result["reason"].split(_SEPARATOR), list[str]()
    for number, piece in enumerate(pieces):
        if not parts or _SEPARATOR.join(pieces[number:]).startswith(starts):
            parts.append(piece)
        else:
            parts[-1] += _SEPARATOR + piece
    return [part for part in parts if part]


def names_beyond(result: PlainResult) -> list[str]:
    """For each latency threshold of all requests that failed: which request names are beyond its limit."""
    rows = result.get("by_name", ())
    if "response_time" in result:  # that is judged, and is not known by name
        return []
    limits = [Threshold.parse(each["expression"]) for each in result.get("thresholds", ()) if _is_red_latency(each)]
    return [text for limit in limits if limit.family is None is limit.selector if (text := _names_text(limit, rows))]


def _names_text(limit: Threshold, rows: Sequence[PlainResult]) -> str:
    """Empty if all names are beyond the limit, or none is: an extreme one may be."""
    field = "p50_ms" if limit.statistic_text == "median" else f"{limit.statistic_text.replace('.', '_')}_ms"
    times = sorted(((row["latency"][field], row["name"]) for row in rows if field in row["latency"]), reverse=True)
    beyond = [f"{name} {milliseconds(time)}" for time, name in times if not limit.holds(time / MS_PER_S)]
    if not 0 < len(beyond) < len(rows):
        return ""
    hidden = len(beyond) - _MOST_NAMES
    names = [*beyond[:_MOST_NAMES], *([f"{hidden} more"] if hidden > 0 else [])]
    return f"{limit.metric} by request name: {', '.join(names)}; the other {len(rows) - len(beyond)} within the limit"


def _is_red_latency(threshold: Mapping[str, Any]) -> bool:
    return _has_failed(threshold) and threshold["unit"] == "ms" and "window_s" not in threshold


def _has_failed(threshold: Mapping[str, Any]) -> bool:
    return not threshold["passed"] and threshold["severity"] == "fail"
