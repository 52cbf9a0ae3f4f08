"""A capacity search in words and as a table of its rounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pytest_ipload.base.text import printable, shorten
from pytest_ipload.base.units import MS_PER_S, format_duration, format_number, format_percent
from pytest_ipload.stats.summary import PlainResult

HEADERS = ("round", "p50", "p95", "p99", "errors", "measured", "outcome")
_TIMES = ("p50_ms", "p95_ms", "p99_ms")
_LONGEST_REASON = 120
_ABSENT = "-"


class Search(NamedTuple):
    """One search of a test: that of the current version, or of the one that it is compared with."""

    title: str
    """Empty where there is only one."""
    capacity: Mapping[str, Any]


def searches_of(result: PlainResult) -> list[Search]:
    """The searches of a test; none if it is an ordinary load test."""
    capacity = result.get("capacity")
    if not capacity:
        return []
    base = capacity.get("base")
    return [Search("current version" if base else "", capacity), *([Search("base version", base)] if base else [])]


def capacity_lines(result: PlainResult, verbosity: int) -> list[str]:
    """What was found, and the rounds."""
    lines: list[str] = []
    for search in searches_of(result):
        title = f"{search.title}: " if search.title else ""
        lines += [f"{title}{printable(search.capacity['reason'])}", *_table(search.capacity, verbosity)]
        lines += [f"note: {printable(note)}" for note in search.capacity.get("remarks", ())]
    shown = result.get("capacity", {}).get("round")
    return [*lines, "", f"round {shown}:"] if shown and result["requests"] else lines


def is_explained(result: PlainResult) -> bool:
    """Whether the lines of the search say what the reason of the result says."""
    return any(search.capacity["reason"] == result["reason"] for search in searches_of(result))


def level_of(capacity: Mapping[str, Any], level: float | None) -> str:
    """A rate or a number of users, as shown."""
    if level is None:
        return _ABSENT
    if capacity.get("by") == "users":
        return f"{format_number(level)} user{'' if level == 1 else 's'}"
    return f"{format_number(level)}/s"


def round_rows(capacity: Mapping[str, Any]) -> Iterator[list[str]]:
    """The cells of each round, without the reason of its outcome."""
    for row in capacity["rounds"]:
        seconds = format_duration(row["measured_s"])
        state = f"{row['state']}{', ended early' if row.get('aborted') else ''}"
        kind = "" if row["kind"] not in ("longer", "confirming") else f" ({row['kind']})"
        yield [
            f"{row['number']}: {level_of(capacity, row[capacity['by']])}{kind}",
            *(_ABSENT if row.get(key) is None else format_duration(row[key] / MS_PER_S) for key in _TIMES),
            format_percent(row["error_rate"]) if "error_rate" in row else _ABSENT,
            seconds,
            state,
        ]


def _table(capacity: Mapping[str, Any], verbosity: int) -> list[str]:
    rows = list(round_rows(capacity))
    if not rows:
        return []
    from tabulate import tabulate

    alignment = ("left", *["right"] * (len(HEADERS) - 2), "left")
    cells: Sequence[Sequence[str]] = [HEADERS, *rows]
    head, *lines = tabulate(cells, tablefmt="plain", disable_numparse=True, colalign=alignment).splitlines()
    if verbosity > 0:
        lines = [each for pair in zip(lines, _reasons(capacity), strict=True) for each in pair if each]
    return [head, "-" * len(head), *lines]


def _reasons(capacity: Mapping[str, Any]) -> Iterator[str]:
    for row in capacity["rounds"]:
        yield f"   {shorten(printable(row['reason']), _LONGEST_REASON)}" if row.get("reason") else ""
