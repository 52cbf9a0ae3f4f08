"""The tables in the terminal: one row for each request name, step, source address, shard or round."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_ipload.base.text import counted, printable, shorten
from pytest_ipload.base.units import MS_PER_S, format_count, format_duration, format_number, format_percent
from pytest_ipload.stats.own_summary import TIME
from pytest_ipload.stats.summary import PlainResult

_MAX_ROWS = 20
_NARROWEST_NAME = 13
_BETWEEN_COLUMNS = 2
_TIMES = ("p50", "p95", "p99", "max")
_MORE_TIMES = ("min", "mean", "p50", "p90", "p95", "p99", "p99.9", "max")


def request_table(result: PlainResult, verbosity: int, width: int) -> list[str]:
    """By request name, with the total; the response time where there is one."""
    rows = [*result["by_name"]]
    if not rows:
        return []
    hidden = len(rows) - _MAX_ROWS if verbosity <= 0 else 0
    if hidden > 0:
        rows = sorted(rows, key=lambda row: -row["requests"])[:_MAX_ROWS]
    if len(result["by_name"]) > 1:
        rows.append({**result, "name": "all requests"})
    timed = [
        (
            [
                row["name"],
                format_count(row["requests"]),
                format_number(row["rps"]),
                format_count(row["failed_requests"]),
            ],
            row["latency"],
        )
        for row in rows
    ]
    if "response_time" in result:
        timed.append((["response time", "", "", ""], result["response_time"]))
    lines = _timed_table(["request", "requests", "rps", "errors"], timed, verbosity, width)
    return [*lines, f"({counted(hidden, 'more request name')}; -v shows all)"] if hidden > 0 else lines


def event_table(result: PlainResult, verbosity: int, width: int) -> list[str]:
    """Of streams: the time to the first event and the gaps between events, by request name."""
    timed = [
        ([f"{row['name']}, {what}", format_count(row[field]["count"])], row[field])
        for row in [row for row in result["by_name"] if "ttfe" in row][: _MAX_ROWS if verbosity <= 0 else None]
        for field, what in (("ttfe", "first event"), ("gap", "next event"))
        if field in row
    ]
    return _apart(_timed_table(["stream", "events"], timed, verbosity, width))


def step_table(result: PlainResult, verbosity: int, width: int) -> list[str]:
    """By step."""
    timed = [
        ([step["name"], format_count(step["count"]), format_count(step["failed"])], step["latency"])
        for step in result["steps"]
    ]
    return _apart(_timed_table(["step", "count", "errors"], timed, verbosity, width))


def check_table(result: PlainResult, verbosity: int, width: int) -> list[str]:
    """The test's own checks; those that failed come first where not all are shown."""
    rows = result.get("checks", ())
    if len(rows) > _MAX_ROWS and verbosity <= 0:
        rows = sorted(rows, key=lambda row: -row["failed"])[:_MAX_ROWS]
    cells = [
        [row["name"], format_count(row["passed"]), format_count(row["failed"]), format_percent(row["rate"])]
        for row in rows
    ]
    return _apart(_table(["check", "passed", "failed", "rate"], cells, verbosity, width))


def metric_table(result: PlainResult, verbosity: int, width: int) -> list[str]:
    """The test's own counts and gauges, and below them the times that it observed."""
    rows = result.get("metrics", ())
    shown = None if verbosity > 0 else _MAX_ROWS
    cells = [
        [
            row["name"],
            *(own_number(row[key]) if key in row else "" for key in ("count", "last", "min", "max")),
            f"{format_number(row['rate'])}/s" if "rate" in row else "",
        ]
        for row in [row for row in rows if row["kind"] != TIME][:shown]
    ]
    timed = [
        ([row["name"], format_count(row["count"])], row) for row in [row for row in rows if row["kind"] == TIME][:shown]
    ]
    return [
        *_apart(_table(["metric", "count", "last", "min", "max", "rate"], cells, verbosity, width)),
        *_apart(_timed_table(["observed time", "count"], timed, verbosity, width)),
    ]


def own_number(value: float) -> str:
    """A number that a test gave itself: whole ones in full, others with six digits."""
    return format_count(int(value)) if value == int(value) else f"{value:.6g}"


def source_table(result: PlainResult, verbosity: int, width: int) -> list[str]:
    """By source address, with ``-v``."""
    if verbosity <= 0:
        return []
    counts = ("users", "connections", "requests", "failed_requests")
    timed = [
        ([row["source_address"], *(format_count(row[key]) for key in counts)], row["latency"])
        for row in result["by_source"]
    ]
    headers = ["source address", "users", "connections", "requests", "errors"]
    return _apart(_timed_table(headers, timed, verbosity, width))


def shard_table(result: PlainResult, verbosity: int, width: int) -> list[str]:
    """By process, with ``-v``."""
    if verbosity <= 0:
        return []
    cells = [
        [
            f"{row['name']} on {row['host']}" if row["host"] else row["name"],
            *(format_count(row[key]) for key in ("users", "iterations", "requests", "failed_requests")),
            format_duration(row["start_skew_ms"] / MS_PER_S),
            format_percent(row["cpu_share"]) if "cpu_share" in row else "-",
            str(row.get("pinned_cpu", "-")),
        ]
        for row in result.get("shards", ())
    ]
    headers = ["shard", "users", "iterations", "requests", "errors", "start skew", "CPU", "pinned to"]
    return _apart(_table(headers, cells, verbosity, width))


def round_table(result: PlainResult, verbosity: int, width: int) -> list[str]:
    """By round, where there were several."""
    cells = [
        [
            f"{number} {row.get('base_url', '')}".rstrip() + (" (base)" if row["role"] == "base" else ""),
            row["verdict"],
            format_count(row["requests"]),
            format_number(row["rps"]),
            format_percent(row["error_rate"]) if "error_rate" in row else "-",
            *_shown_times(row, ("p50", "p95", "p99")),
        ]
        for number, row in enumerate(result.get("rounds", ()), start=1)
    ]
    headers = ["round", "verdict", "requests", "rps", "errors", "p50", "p95", "p99"]
    return _apart(_table(headers, cells, verbosity, width))


def _apart(table: list[str]) -> list[str]:
    """The table with an empty line before it, if it has rows."""
    return ["", *table] if table else []


def _timed_table(
    headers: list[str], rows: list[tuple[list[str], PlainResult]], verbosity: int, width: int
) -> list[str]:
    """A table that ends with the times of each row's distribution: with all of them, where they fit."""
    more = any(latency["count"] for _, latency in rows)
    for times, is_short in (*([(_MORE_TIMES, False)] if more else []), (_TIMES, verbosity <= 0)):
        cells = [[*row, *_shown_times(latency, times)] for row, latency in rows]
        lines = _table([*headers, *times], cells, 0 if is_short else 1, width)
        if not lines or len(lines[0]) <= width:
            break
    return lines


def _table(headers: list[str], rows: list[list[str]], verbosity: int, width: int) -> list[str]:
    """The lines of a table of numbers, the first column being names; they are shortened to make it fit."""
    if not rows:
        return []
    from tabulate import tabulate

    others = sum(_BETWEEN_COLUMNS + max(map(len, column)) for column in list(zip(headers, *rows, strict=True))[1:])
    room = max(_NARROWEST_NAME, width - others)
    names = [printable(row[0]) for row in rows]
    if verbosity <= 0:
        names = [shorten(name, room) for name in names]
    cells = [headers, *([name, *row[1:]] for name, row in zip(names, rows, strict=True))]
    # "plain" and a separator line of our own: with headers tabulate makes the columns wider than they need to be.
    head, *lines = tabulate(
        cells, tablefmt="plain", disable_numparse=True, colalign=("left", *["right"] * (len(headers) - 1))
    ).splitlines()
    return [head, "-" * len(head), *lines]


def _shown_times(latency: PlainResult, names: Iterable[str]) -> list[str]:
    found = [latency.get(f"{name.replace('.', '_')}_ms") for name in names]
    return ["-" if milliseconds is None else format_duration(milliseconds / MS_PER_S) for milliseconds in found]
