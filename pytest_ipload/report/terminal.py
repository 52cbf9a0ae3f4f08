"""The block in pytest's terminal summary, one for each load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from pytest_ipload.report.text import counted, printable, shorten
from pytest_ipload.units import format_count, format_duration, format_percent

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter  # pytest exports this type from 9.2 on only

Result = Mapping[str, Any]

_MS = 1e-3
_MAX_ROWS = 20
_MAX_FAILURES = 3
_NARROWEST_NAME = 13
_NARROWEST_TEXT = 40
_BETWEEN_COLUMNS = 2
_COLOURS = {"passed": "green", "failed": "red", "invalid": "yellow"}


def print_results(
    terminal: TerminalReporter, results: Sequence[tuple[Result, bool]], verbosity: int, width: int
) -> None:
    """Print a block for each result; the second of each pair says whether pytest expected it to fail."""
    terminal.ensure_newline()
    terminal.section("load tests")
    for number, (result, is_expected) in enumerate(results):
        if number:
            terminal.write_line("")
        verdict = result["verdict"]
        terminal.write(f"{printable(result['nodeid'])}  ")
        if "segment" in result:
            terminal.write(f"SEGMENT {result['segment']} (judged when it is merged)", bold=True)
        else:
            terminal.write(verdict.upper(), **{_COLOURS[verdict]: True, "bold": True})
        terminal.write(" (xfail)\n" if is_expected else "\n")
        for line in block(result, verbosity, width):
            terminal.write_line(line)


def block(result: Result, verbosity: int = 0, width: int = 80) -> list[str]:
    """The lines below the test's name. With a verbosity above 0 nothing is shortened or left out."""
    lines = [_headline(result)]
    if result["verdict"] == "invalid":
        lines.append(f"invalid: {printable(result['reason'])}")
    lines += _request_table(result, verbosity, width)
    lines += _step_table(result, verbosity, width)
    lines += [_threshold_line(threshold) for threshold in result["thresholds"]]
    lines += _failure_lines(result, verbosity)
    lines += _source_table(result, verbosity, width)
    ends = (_sources_line(result), _unused_line(result), _setup_line(result), _generator_line(result, verbosity))
    return [*lines, *(line for line in ends if line), *_check_lines(result, width)]


def _headline(result: Result) -> str:
    failed = result["failed_iterations"]
    parts = [
        counted(result["users"], "user"),
        format_duration(result["duration_s"]),
        counted(result["iterations"], "iteration") + (f" ({format_count(failed)} failed)" if failed else ""),
    ]
    if result.get("dropped_iterations"):
        dropped, planned = (result[f"{kind}_iterations"] for kind in ("dropped", "planned"))
        parts.append(f"{format_count(dropped)} of {counted(planned, 'planned one')} never started")
    if "warmup_iterations" in result:
        parts.append(f"warm-up of {counted(result['warmup_iterations'], 'iteration')} not judged")
    return ", ".join(parts)


def _request_table(result: Result, verbosity: int, width: int) -> list[str]:
    rows = [*result["by_name"]]
    if not rows:
        return []
    hidden = len(rows) - _MAX_ROWS if verbosity <= 0 else 0
    if hidden > 0:
        rows = sorted(rows, key=lambda row: -row["requests"])[:_MAX_ROWS]
    if len(result["by_name"]) > 1:
        rows.append({**result, "name": "all requests"})
    cells = [
        [
            row["name"],
            format_count(row["requests"]),
            _rate(row["rps"]),
            format_count(row["failed_requests"]),
            *_times(row["latency"]),
        ]
        for row in rows
    ]
    if "response_time" in result:
        cells.append(["response time", "", "", "", *_times(result["response_time"])])
    lines = _table(["request", "requests", "rps", "errors", "p50", "p95", "p99", "max"], cells, verbosity, width)
    return [*lines, f"({counted(hidden, 'more request name')}; -v shows all)"] if hidden > 0 else lines


def _step_table(result: Result, verbosity: int, width: int) -> list[str]:
    cells = [
        [step["name"], format_count(step["count"]), format_count(step["failed"]), *_times(step["latency"])]
        for step in result["steps"]
    ]
    if not cells:
        return []
    return ["", *_table(["step", "count", "errors", "p50", "p95", "p99", "max"], cells, verbosity, width)]


def _table(headers: list[str], rows: list[list[str]], verbosity: int, width: int) -> list[str]:
    """The lines of a table of numbers, the first column being names; they are shortened to make it fit."""
    from tabulate import tabulate

    others = sum(_BETWEEN_COLUMNS + max(map(len, column)) for column in list(zip(headers, *rows, strict=True))[1:])
    room = max(_NARROWEST_NAME, width - others)
    names = [printable(row[0]) for row in rows]
    if verbosity <= 0:
        names = [shorten(name, room) for name in names]
    cells = [headers, *([name, *row[1:]] for name, row in zip(names, rows, strict=True))]
    # "plain" and a rule of our own: with headers tabulate makes the columns wider than they need to be.
    head, *lines = tabulate(
        cells, tablefmt="plain", disable_numparse=True, colalign=("left", *["right"] * (len(headers) - 1))
    ).splitlines()
    return [head, "-" * len(head), *lines]


def _times(latency: Mapping[str, Any]) -> list[str]:
    found = [latency.get(f"{name}_ms") for name in ("p50", "p95", "p99", "max")]
    return ["-" if milliseconds is None else format_duration(milliseconds * _MS) for milliseconds in found]


def _rate(per_second: float) -> str:
    return format_count(round(per_second)) if per_second >= 99.95 else f"{per_second:.3g}"


def _threshold_line(threshold: Mapping[str, Any]) -> str:
    word = "ok  " if threshold["passed"] else ("warn" if threshold["severity"] == "warn" else "FAIL")
    if threshold["passed"] and threshold["undecided"]:
        word = "??  "
    return f"{word}  {printable(threshold['message'])}"


def _failure_lines(result: Result, verbosity: int) -> list[str]:
    """What failed, the most frequent first: also of a test that passed because some failures are allowed."""
    groups = result["failures"]
    shown = groups if verbosity > 0 else groups[:_MAX_FAILURES]
    lines = []
    for group in shown:
        place = f" at {group['location']}" if group["location"] else ""
        lines.append(printable(f"failed: {format_count(group['count'])} x {group['type']}{place}: {group['message']}"))
    hidden = len(groups) - len(shown)
    return [*lines, f"({counted(hidden, 'more kind')} of failures; -v shows all)"] if hidden else lines


def _sources_line(result: Result) -> str:
    used = [row for row in result["by_source"] if row["connections"] or row["requests"]]
    if not used:
        return ""
    addresses = [row["source_address"] for row in used]
    if len(addresses) > 4:
        addresses = [*addresses[:2], "...", addresses[-1]]
    requests = sorted(row["requests"] for row in used)
    fewest = f"{format_count(requests[0])} to " if requests[0] != requests[-1] else ""
    connections = counted(sum(row["connections"] for row in used), "connection")
    each = f"{fewest}{counted(requests[-1], 'request')} each"
    return f"sources: {counted(len(used), 'address')} ({', '.join(addresses)}), {each}, {connections}"


def _source_table(result: Result, verbosity: int, width: int) -> list[str]:
    """Results by source address, with ``-v``."""
    if verbosity <= 0 or not result["by_source"]:
        return []
    headers = ["source address", "users", "connections", "requests", "errors", "p50", "p95", "p99", "max"]
    rows = [
        [
            row["source_address"],
            *(format_count(row[key]) for key in ("users", "connections", "requests", "failed_requests")),
            *_times(row["latency"]),
        ]
        for row in result["by_source"]
    ]
    return ["", *_table(headers, rows, verbosity, width)]


def _unused_line(result: Result) -> str:
    unused = result.get("unused_addresses")
    if not unused:
        return ""
    shown = ", ".join(unused["first"][:4]) + (", ..." if unused["count"] > 4 else "")
    return f"not used: {counted(unused['count'], 'address')} of the pool ({shown})"


def _setup_line(result: Result) -> str:
    rows = result.get("setup", ())
    if not rows:
        return ""
    requests, failed = (sum(row[key] for row in rows) for key in ("requests", "failed_requests"))
    return f"set-up and tear-down of users: {counted(requests, 'request')}, {format_count(failed)} failed (not judged)"


def _generator_line(result: Result, verbosity: int) -> str:
    generator = result["generator"]
    names = [check["name"] for check in generator["checks"] if check["severity"] != "remark"]
    parts = ["healthy" if generator["healthy"] else f"not healthy ({', '.join(names)})"]
    if "cpu_share" in generator:
        parts.append(f"{format_percent(generator['cpu_share'])} of a processor core")
    if "timer_lag_p99_ms" in generator:
        parts.append(f"timer lag p99 {format_duration(generator['timer_lag_p99_ms'] * _MS)}")
    if verbosity > 0 and "pinned_cpu" in generator:
        parts.append(f"pinned to CPU {generator['pinned_cpu']}")
    return f"generator: {printable(', '.join(parts))}"


def _check_lines(result: Result, width: int) -> list[str]:
    """A paragraph for each health check that fired; what made the load invalid was said already."""
    lines = []
    for note in result["generator"]["notes"]:
        if note not in result["reason"]:
            lines += wrap(
                printable(note),
                max(width, _NARROWEST_TEXT),
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines
