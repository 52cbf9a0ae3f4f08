"""The block in pytest's terminal summary, one for each load."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from pytest_ipload.base.health_catalogue import HEALTH_CHECKS
from pytest_ipload.base.text import counted, first_line, printable, shorten, with_message
from pytest_ipload.base.units import MS_PER_S, format_count, format_duration, format_percent
from pytest_ipload.report.evidence_lines import evidence_lines
from pytest_ipload.report.telling import is_red, telling
from pytest_ipload.report.terminal.capacity_lines import capacity_lines, is_explained
from pytest_ipload.report.terminal.sparkline import sparkline
from pytest_ipload.report.terminal.tables import (
    check_table,
    event_table,
    metric_table,
    request_table,
    round_table,
    shard_table,
    source_table,
    step_table,
)
from pytest_ipload.report.terminal.target_lines import target_lines
from pytest_ipload.stats.summary import PlainResult
from pytest_ipload.verdict.result import is_measured

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter  # pytest exports this type from 9.2 on only


TEST_ERRORS = {"call": "the test failed: ", "teardown": "error in the teardown: "}
"""What pytest reported besides the verdict, by the phase."""
IMPLIED = " (implied)"
"""Marks a threshold that the user did not give."""
_MAX_FAILURES = 3
_LONGEST_FAILURE = 500
_MOST_LINES = 20
"""Of a request, and of a reply."""
_NARROWEST_TEXT = 40
_NARROWEST_BARS = 20
_FEWEST_SECONDS = 3
"""The number of seconds from which on a timeline is shown."""
_COLOURS = {"passed": "green", "undecided": "yellow", "failed": "red", "invalid": "yellow", "error": "red"}
_WORD_COLOURS = {"ok  ": "green", "FAIL": "red", "REGR": "red", "warn": "yellow", "??  ": "yellow"}
_BAD = ("failed: ", "invalid: ", "error: ", *TEST_ERRORS.values())
_TIMELINE = (("rps", "requests", ""), ("p95", "p95_ms", "ms"), ("errors", "failed_requests", ""))


def print_results(
    terminal: TerminalReporter, results: Sequence[tuple[PlainResult, bool]], verbosity: int, width: int
) -> None:
    """Print a block for each result; the second of each pair says whether pytest expected it to fail."""
    terminal.ensure_newline()
    terminal.section("load tests")
    explained: set[str] = set()
    for number, (result, is_expected) in enumerate(results):
        if number:
            terminal.write_line("")
        verdict = result["verdict"]
        terminal.write(f"{printable(result['nodeid'])}  ")
        if "segment" in result and verdict != "error":
            terminal.write(f"SEGMENT {result['segment']} (judged when merged)", bold=True)
        else:
            terminal.write(verdict.upper(), **{_COLOURS[verdict]: True, "bold": True})
        terminal.write(" (xfail)\n" if is_expected else "\n")
        for line in block(result, verbosity, width, sys.stdout.encoding, explained):
            _write(terminal, line)
        if verbosity <= 0 and is_measured(result):
            explained |= {check["name"] for check in result["generator"]["checks"] if check["severity"] == "remark"}


def _write(terminal: TerminalReporter, line: str) -> None:
    """Write a line; a verdict or outcome at its beginning is coloured."""
    word, rest = line[:4], line[4:]
    if word in _WORD_COLOURS and rest.startswith("  "):
        terminal.write(word, **{_WORD_COLOURS[word]: True})
        terminal.write_line(rest)
    elif line.startswith(_BAD):
        terminal.write_line(line, red=True)
    else:
        terminal.write_line(line)


def block(
    result: PlainResult,
    verbosity: int = 0,
    width: int = 80,
    encoding: str | None = "utf-8",
    explained: Collection[str] = (),
) -> list[str]:
    """The lines below the test's name. With a verbosity above 0 nothing is shortened or left out.

    ``encoding`` is the terminal's: not every terminal can show the bars of the timeline. ``explained`` are remarks
    whose explanation and advice were already printed.
    """
    lines = [*reason_lines(result), *test_error_lines(result)]
    if not is_measured(result):
        return [*lines, *_evidence_lines(result, verbosity)]
    lines.insert(0, _headline(result))
    lines += capacity_lines(result, verbosity)
    lines += request_table(result, verbosity, width)
    lines += event_table(result, verbosity, width)
    lines += step_table(result, verbosity, width)
    lines += check_table(result, verbosity, width)
    lines += metric_table(result, verbosity, width)
    lines += _timeline(result, verbosity, width, encoding)
    lines += target_lines(result)
    lines += [_threshold_line(threshold) for threshold in result["thresholds"]]
    lines += _baseline_lines(result)
    lines += _explanation_lines(result, verbosity)
    lines += [f"FAIL  {printable(objection)}" for objection in result.get("objections", ())]
    lines += _failure_lines(result, verbosity)
    lines += _evidence_lines(result, verbosity)
    for table in (round_table, source_table, shard_table):
        lines += table(result, verbosity, width)
    for end in (_sources_line, _handshakes_line, _unused_line, _setup_line):
        lines += filter(None, [end(result)])
    return [*lines, _generator_line(result, verbosity), *_check_lines(result, width, explained)]


def reason_lines(result: PlainResult) -> list[str]:
    """The reason for a verdict that no threshold explains."""
    verdict, reason = result["verdict"], result["reason"]
    if verdict == "error":
        reason = first_line(reason)  # pytest has shown the rest
    is_unexplained = verdict in ("invalid", "error") and not is_explained(result)
    return [f"{verdict}: {printable(reason)}"] if is_unexplained else []


def test_error_lines(result: PlainResult) -> list[str]:
    """Why the test failed besides its verdict."""
    errors = result.get("test_errors", ())
    return [f"{TEST_ERRORS[each['phase']]}{printable(first_line(each['reason']))}" for each in errors]


def _headline(result: PlainResult) -> str:
    failed = result["failed_iterations"]
    parts = [
        counted(result["users"], "user"),
        format_duration(result["duration_s"]),
        counted(result["iterations"], "iteration") + (f" ({format_count(failed)} failed)" if failed else ""),
    ]
    if result.get("dropped_iterations"):
        dropped, planned = (result[f"{kind}_iterations"] for kind in ("dropped", "planned"))
        parts.append(f"{format_count(dropped)} of {counted(planned, 'planned iteration')} never started")
    if "warmup_iterations" in result:
        parts.append(f"warm-up of {counted(result['warmup_iterations'], 'iteration')} not judged")
    if "together" in result:
        parts.append(f"together: {printable(result['together'])}{shifted(result)}")
    return ", ".join(parts)


def shifted(result: PlainResult) -> str:
    """How much later than the loads that it ran together with a load began; empty if it began with them."""
    after_s = result["profile"].get("start_after_s")
    return f" (after {format_duration(after_s)})" if after_s else ""


def _timeline(result: PlainResult, verbosity: int, width: int, encoding: str | None) -> list[str]:
    """Each second, or longer step, of the load as a bar, with ``-v``: requests, p95, and errors if there were any."""
    (points, rest_s), step_s = whole_steps(result), result.get("timeline_step_s", 1)
    if verbosity <= 0 or len(points) < _FEWEST_SECONDS:
        return []
    steps = f" in steps of {step_s} s" if step_s > 1 else ""
    without = f", without the last {format_duration(rest_s)}" if rest_s else ""
    lines = [f"timeline of {format_duration(len(points) * step_s)}{steps}{without}"]
    for label, key, unit in _TIMELINE:
        values = [point.get(key) for point in points]
        if label == "rps":
            values = [value / step_s for value in values]
        known = [value for value in values if value is not None]
        if not any(known) and key != "requests":
            continue
        low, high = (_in_unit(value, unit) for value in (min(known), max(known)))
        span = f"{low} to {high}" if low != high else low
        bars = sparkline(values, max(_NARROWEST_BARS, width - 10 - len(span)), encoding)
        lines.append(f"  {label:6} {bars} {span}")
    return lines


def whole_steps(result: PlainResult) -> tuple[Sequence[PlainResult], float]:
    """The complete steps of the timeline, and how long the rest is: the rate of an incomplete step would be too low."""
    points: Sequence[PlainResult] = result["timeline"]
    if not points or points[-1]["t_s"] + result.get("timeline_step_s", 1) <= round(result["duration_s"], 3):
        return points, 0.0
    return points[:-1], max(0.0, result["duration_s"] - points[-1]["t_s"])


def _in_unit(value: float, unit: str) -> str:
    return format_duration(value / MS_PER_S) if unit else format_count(round(value))


def _threshold_line(threshold: Mapping[str, Any]) -> str:
    word = "ok  " if threshold["passed"] else ("warn" if threshold["severity"] == "warn" else "FAIL")
    if threshold["passed"] and threshold["undecided"]:
        word = "??  "
    return f"{word}  {threshold_text(threshold)}"


def threshold_text(threshold: Mapping[str, Any]) -> str:
    """A threshold's message, and whether it is implied."""
    return printable(threshold["message"]) + (IMPLIED if threshold.get("implied") else "")


def _baseline_lines(result: PlainResult) -> list[str]:
    """Judged comparisons with the baseline, other changes, and what could not be compared."""
    comparisons: Sequence[PlainResult] = result.get("comparisons", ())
    lines = [_comparison_line(each) for each in comparisons if "limit" in each]
    shown = [each for each in comparisons if _is_shown(each)]
    if shown:
        changes = ", ".join(f"{each['metric']} {_signed(each['change'])}" for each in shown)
        runs = counted(max(each["runs"] for each in shown), "saved run" if "baseline" in result else "round")
        lines.append(f"baseline: {changes} (median of {runs})")
    return [*lines, *(f"baseline: {printable(note)}" for note in result.get("baseline", {}).get("notes", ()))]


def _explanation_lines(result: PlainResult, verbosity: int) -> list[str]:
    """What the stacks of the target say about a failure."""
    explain = result.get("explain", {})
    if not explain.get("note"):
        return []
    found = explain["lines"] if verbosity > 0 else explain["lines"][:_MAX_FAILURES]
    return [f"target: {printable(explain['note'])}", *(f"  {printable(line['message'])}" for line in found)]


def _is_shown(comparison: PlainResult) -> bool:
    return "limit" not in comparison and "change" in comparison


def _comparison_line(comparison: PlainResult) -> str:
    word = "REGR" if comparison["regressed"] else "ok  "
    if comparison["undecided"]:
        word = "??  " if comparison.get("passed", True) else "FAIL"
    return f"{word}  {printable(comparison['message'])}"


def _signed(change: float) -> str:
    return f"{'-' if change < 0 else '+'}{format_percent(abs(change))}"


def _failure_lines(result: PlainResult, verbosity: int) -> list[str]:
    """Failures, the most frequent first: also of a test that passed because some failures are allowed."""
    groups = result["failures"]
    shown = groups if verbosity > 0 else groups[:_MAX_FAILURES]
    lines = []
    for group in shown:
        place = f" at {group['location']}" if group["location"] else ""
        line = printable(
            with_message(f"failed: {format_count(group['count'])} x {group['type']}{place}", group["message"])
        )
        lines.append(line if verbosity > 0 else shorten(line, _LONGEST_FAILURE))
    hidden = len(groups) - len(shown)
    return [*lines, f"({counted(hidden, 'more kind')} of failures; -v shows all)"] if hidden else lines


def _evidence_lines(result: PlainResult, verbosity: int) -> list[str]:
    """One request with its reply, of a red test; the headers with ``-v``."""
    evidence = telling(result) if is_red(result) else None
    if evidence is None:
        return []
    lines = evidence_lines(evidence, _MOST_LINES, is_brief=verbosity <= 0)
    return lines if verbosity > 0 else [shorten(line, _LONGEST_FAILURE) for line in lines]


def _sources_line(result: PlainResult) -> str:
    used = [row for row in result["by_source"] if row["connections"] or row["requests"]]
    if not used:
        return ""
    addresses = [row["source_address"] for row in used]
    if len(addresses) > 4:
        addresses = [*addresses[:2], "...", addresses[-1]]
    requests = sorted(row["requests"] for row in used)
    fewest = f"{format_count(requests[0])} to " if requests[0] != requests[-1] else ""
    connections = counted(sum(row["connections"] for row in used), "connection")
    each = f"{fewest}{counted(requests[-1], 'request')}{' each' if len(used) > 1 else ''}"
    return f"sources: {counted(len(used), 'address')} ({', '.join(addresses)}), {each}, {connections}"


def _handshakes_line(result: PlainResult) -> str:
    """How many TLS handshakes resumed a session; empty where none could."""
    made = result.get("tls_handshakes")
    if made is None:
        return ""
    return f"TLS handshakes: {format_count(made['resumed'])} resumed, {format_count(made['full'])} full"


def _unused_line(result: PlainResult) -> str:
    unused = result.get("unused_addresses")
    if not unused:
        return ""
    shown = ", ".join(unused["first"][:4]) + (", ..." if unused["count"] > 4 else "")
    return f"not used: {counted(unused['count'], 'address')} of the pool ({shown})"


def _setup_line(result: PlainResult) -> str:
    rows = result.get("setup", ())
    if not rows:
        return ""
    requests, failed = (sum(row[key] for row in rows) for key in ("requests", "failed_requests"))
    return f"set-up and teardown of users: {counted(requests, 'request')}, {format_count(failed)} failed (not judged)"


def _generator_line(result: PlainResult, verbosity: int) -> str:
    generator = result["generator"]
    names = [check["name"] for check in generator["checks"] if check["severity"] != "remark"]
    parts = ["healthy" if generator["healthy"] else f"not healthy ({', '.join(names)})"]
    if "cpu_share" in generator:
        parts.append(f"{format_percent(generator['cpu_share'])} of a processor core")
    if "timer_lag_p99_ms" in generator:
        parts.append(f"timer lag p99 {format_duration(generator['timer_lag_p99_ms'] / MS_PER_S)}")
    if "p99_ms" in (lateness := generator.get("lateness", {})):
        parts.append(f"iterations late p99 {format_duration(lateness['p99_ms'] / MS_PER_S)}")
    if verbosity > 0 and "pinned_cpu" in generator:
        parts.append(f"pinned to CPU {generator['pinned_cpu']}")
    return f"generator: {printable(', '.join(parts))}"


def _check_lines(result: PlainResult, width: int, explained: Collection[str]) -> list[str]:
    """A paragraph for each health check that fired; what made the load invalid was already printed."""
    lines = []
    for check in result["generator"]["checks"]:
        note = f"{check['name']}: {check['text']}"
        if note not in result["reason"]:
            if check["name"] in explained and (kind := HEALTH_CHECKS.get(check["name"])) is not None:
                note = note.partition(f". {kind.effect}")[0]
            lines += wrap(
                printable(note),
                max(width, _NARROWEST_TEXT),
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines
