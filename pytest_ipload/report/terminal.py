"""The block in pytest's terminal summary, one for each load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_ipload.units import format_count, format_duration, format_percent

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter  # pytest exports this type from 9.2 on only

_MS = 1e-3
_MAX_ROWS = 20
_COLOURS = {"passed": "green", "failed": "red", "invalid": "yellow"}


def print_results(terminal: TerminalReporter, results: Sequence[Mapping[str, Any]], verbosity: int) -> None:
    """Print all blocks; with ``-q`` only those of loads that did not pass."""
    shown = [result for result in results if verbosity >= 0 or result["verdict"] != "passed"]
    if not shown:
        return
    terminal.section("load tests")
    for number, result in enumerate(shown):
        if number:
            terminal.write_line("")
        verdict = result["verdict"]
        terminal.write(f"{result['nodeid']}  ")
        terminal.write_line(verdict.upper(), **{_COLOURS[verdict]: True, "bold": True})
        for line in block(result, verbosity):
            terminal.write_line(line)


def block(result: Mapping[str, Any], verbosity: int = 0) -> list[str]:
    """The lines below the test's name."""
    lines = [_headline(result)]
    if result["verdict"] == "invalid":
        lines.append(f"invalid: {result['reason']}")
    if result["by_name"]:
        lines += ["", *_request_table(result, verbosity).splitlines()]
    if result["steps"]:
        lines += ["", *_step_table(result).splitlines()]
    if result["thresholds"]:
        lines += ["", *(_threshold_line(threshold) for threshold in result["thresholds"])]
    lines += [line for line in (_sources_line(result), _setup_line(result), _generator_line(result)) if line]
    return lines


def _headline(result: Mapping[str, Any]) -> str:
    parts = [
        f"{format_count(result['users'])} {_plural('user', result['users'])}",
        format_duration(result["duration_s"]),
        f"{format_count(result['iterations'])} {_plural('iteration', result['iterations'])}"
        f" ({format_count(result['failed_iterations'])} failed)",
    ]
    if "warmup_iterations" in result:
        parts.append(f"warm-up of {format_count(result['warmup_iterations'])} iterations not judged")
    if "response_time" in result and result["response_time"]["count"]:
        parts.append(f"response time p95 {_time(result['response_time'].get('p95_ms'))}")
    return ", ".join(parts)


def _request_table(result: Mapping[str, Any], verbosity: int) -> str:
    rows = [*result["by_name"]]
    hidden = 0
    if verbosity <= 0 and len(rows) > _MAX_ROWS:
        rows.sort(key=lambda row: -row["requests"])
        hidden, rows = len(rows) - _MAX_ROWS, rows[:_MAX_ROWS]
    if len(result["by_name"]) != 1:
        rows.append({**result, "name": "all requests"})
    table = _table(
        ["request", "requests", "rps", "errors", "p50", "p95", "p99", "max"],
        [
            [
                row["name"],
                format_count(row["requests"]),
                f"{row['rps']:.1f}",
                format_count(row["failed_requests"]),
                *_times(row["latency"]),
            ]
            for row in rows
        ],
    )
    return table + (f"\n({hidden} more request names; -v shows all)" if hidden else "")


def _step_table(result: Mapping[str, Any]) -> str:
    return _table(
        ["step", "count", "", "errors", "p50", "p95", "p99", "max"],
        [
            [step["name"], format_count(step["count"]), "", format_count(step["failed"]), *_times(step["latency"])]
            for step in result["steps"]
        ],
    )


def _table(headers: list[str], rows: list[list[str]]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=("left", *["right"] * 7))


def _times(latency: Mapping[str, Any]) -> list[str]:
    return [_time(latency.get(f"{name}_ms")) for name in ("p50", "p95", "p99", "max")]


def _time(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else format_duration(milliseconds * _MS)


def _threshold_line(threshold: Mapping[str, Any]) -> str:
    word = "ok  " if threshold["passed"] else ("warn" if threshold["severity"] == "warn" else "FAIL")
    return f"{word}  {threshold['expression']}: {threshold['message']}"


def _sources_line(result: Mapping[str, Any]) -> str:
    used = [row for row in result["by_source"] if row["connections"] or row["requests"]]
    if not used:
        return ""
    addresses = [row["source_address"] for row in used]
    shown = ", ".join(addresses[:4]) + (
        f" ... {addresses[-1]}" if len(addresses) > 5 else ", ".join(["", *addresses[4:]])
    )
    requests = [row["requests"] for row in used]
    return (
        f"sources: {format_count(len(used))} {_plural('address', len(used))} ({shown}), "
        f"{format_count(sum(row['connections'] for row in used))} connections, "
        f"{format_count(min(requests))} to {format_count(max(requests))} requests each"
    )


def _setup_line(result: Mapping[str, Any]) -> str:
    rows = result.get("setup", ())
    if not rows:
        return ""
    requests, failed = (sum(row[key] for row in rows) for key in ("requests", "failed_requests"))
    return (
        f"set-up and tear-down of users: {format_count(requests)} requests, {format_count(failed)} failed (not judged)"
    )


def _generator_line(result: Mapping[str, Any]) -> str:
    generator = result["generator"]
    state = "healthy" if generator["healthy"] else "; ".join(generator["notes"])
    cpu = f", {format_percent(generator['cpu_share'])} of a processor core" if "cpu_share" in generator else ""
    return f"generator: {state}{cpu}"


def _plural(word: str, number: int) -> str:
    if number == 1:
        return word
    return word + ("es" if word.endswith("s") else "s")
