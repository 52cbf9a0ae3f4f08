"""The results in Markdown, for the summary of a CI job or a comment on a pull request.

All texts from outside (names, messages) are in code spans: there nothing is markup, and no user is mentioned.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from pytest_ipload.base.text import counted, first_line, printable, whose_failure
from pytest_ipload.base.units import MS_PER_S, format_count, format_duration, format_percent
from pytest_ipload.report.evidence_lines import notes_of, title_of
from pytest_ipload.report.telling import is_red, telling
from pytest_ipload.report.terminal.capacity_lines import HEADERS, is_explained, round_rows, searches_of
from pytest_ipload.report.terminal.load_block import IMPLIED, TEST_ERRORS
from pytest_ipload.report.terminal.tables import own_number
from pytest_ipload.report.terminal.target_lines import target_lines
from pytest_ipload.stats.summary import PlainResult
from pytest_ipload.verdict.result import is_measured

LIMIT = 1024 * 1024
"""Bytes. GitHub accepts no larger summary of a step."""
_LEAST = 1000
"""The maximum number of bytes in the heading and the note of what was left out."""
_LONGEST_NAME = 200
_LONGEST_TEXT = 1000
_MOST_LINES = 20
"""Thresholds and kinds of failures that are shown for one test."""
_VERDICTS = ("error", "failed", "invalid", "undecided", "passed")
_FENCES = re.compile("`+")


def code(text: str, longest: int = _LONGEST_TEXT) -> str:
    """A text as a code span in one line, shortened; unprintable characters are escaped."""
    text = _shortened_text(text, longest)
    fence = "`" * (1 + max(map(len, _FENCES.findall(text)), default=0))
    # Markdown strips one space on each side, where there is one on both and something between them.
    padding = " " if not text or text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def in_cell(markdown: str) -> str:
    """The same in a cell of a table: a vertical bar would end it, in a code span too."""
    return markdown.replace("|", r"\|")


def markdown_of(report: Mapping[str, Any], limit: int = LIMIT) -> str:
    """The summary in at most ``limit`` bytes (at least a thousand); if it is shortened, failures come first."""
    tests = report["tests"]
    details = {number: text for number, test in enumerate(tests) if (text := _details(test))}
    whole = _joined([_heading(tests), _table(tests), *details.values()]) + "\n"
    return whole if _size(whole) <= limit else _shortened(tests, details, limit)


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write the summary. Raises OSError if the file cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown_of(report), encoding="utf-8", newline="\n")


def append(path: Path, report: Mapping[str, Any]) -> None:
    """Append the summary to the file. Raises OSError if the file cannot be written, or is full."""
    size = path.stat().st_size if path.exists() else 0
    gap = "\n\n" if size else ""
    room = LIMIT - size - len(gap)
    if room < _LEAST:
        raise OSError(f"{path} has {format_count(size)} bytes already, and GitHub accepts at most 1 MiB")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(gap + markdown_of(report, room))


def _shortened(tests: Sequence[PlainResult], details: Mapping[int, str], limit: int) -> str:
    """As many tests as fit into half of the space, as many details as fit into the rest."""
    order = sorted(range(len(tests)), key=lambda number: _VERDICTS.index(tests[number]["verdict"]))
    shown, half = len(tests), (limit - _LEAST) // 2
    while (size := _size(table := _table([tests[number] for number in order[:shown]]))) > half:
        shown = min(shown - 1, shown * half // size)
    parts = [_heading(tests), table]
    room = limit - _LEAST - _size(table)
    left_out = 0
    for text in (details[number] for number in order if number in details):
        size = _size(text) + 2
        if size > room:
            left_out += 1
        else:
            parts.append(text)
            room -= size
    missing = [counted(len(tests) - shown, "test")] if shown < len(tests) else []
    if left_out:
        missing.append(f"the details of {counted(left_out, 'test')}")
    return _joined([*parts, f"Shortened: {' and '.join(missing)} did not fit. The JSON report is complete.\n"])


def _heading(tests: Sequence[PlainResult]) -> str:
    verdicts = Counter("segment" if _is_segment(test) else test["verdict"] for test in tests)
    counts = [(verdict, verdicts[verdict]) for verdict in reversed(_VERDICTS) if verdicts[verdict]]
    tally = ", ".join(
        counted(count, verdict) if verdict == "error" else f"{count} {verdict}" for verdict, count in counts
    )
    if segments := verdicts["segment"]:
        tally = ", ".join(filter(None, [tally, f"{counted(segments, 'segment')} not judged yet"]))
    return f"### Load tests: {tally or 'none'}{_red_all_the_same(tests)}"


def _red_all_the_same(tests: Sequence[PlainResult]) -> str:
    """Tests that failed although their load passed: the heading must not suggest that all is well."""
    passed = (test for test in tests if test["verdict"] in ("passed", "undecided") and not _is_segment(test))
    red = {test["nodeid"] for test in passed if test.get("test_errors")}
    return f", but {counted(len(red), 'test')} failed outside the load" if red else ""


def _is_segment(test: PlainResult) -> bool:
    """Whether its verdict comes when it is merged with the others."""
    return "segment" in test and test["verdict"] != "error"


def _table(tests: Sequence[PlainResult]) -> str:
    if not tests:
        return ""
    headers = ["test", "verdict", "requests", "rps", "p50", "p95", "p99", "error rate"]
    return _tabulated(headers, [row for test in tests for row in _rows(test)], left=2)


def _tabulated(headers: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """A table whose first ``left`` columns are text; the others are numbers."""
    from tabulate import tabulate

    cells = [[in_cell(cell) for cell in row] for row in rows]
    alignment = ["left"] * left + ["right"] * (len(headers) - left)
    return tabulate(cells, headers=headers, tablefmt="pipe", disable_numparse=True, colalign=alignment)


def _rows(test: PlainResult) -> Iterator[list[str]]:
    name = code(test["nodeid"], _LONGEST_NAME)
    if "together" in test:
        name = f"{name}, together: {code(test['together'], _LONGEST_NAME)}"
    verdict = f"segment {test['segment']}" if _is_segment(test) else test["verdict"]
    marked = verdict if verdict == "passed" else f"**{verdict}**"
    if not is_measured(test):
        yield [name, marked, *["-"] * 6]
        return
    yield [
        name,
        f"{marked}, **test failed**" if test.get("test_errors") else marked,
        format_count(test["requests"]),
        f"{test['rps']:.1f}",
        *_times(test["latency"]),
        format_percent(test["error_rate"]) if "error_rate" in test else "-",
    ]
    if "response_time" in test:
        yield [f"{name}, response time", "", "", "", *_times(test["response_time"]), ""]
    for field, what in (("ttfe", "time to first event"), ("gap", "gap between events")):
        if field in test:
            yield [f"{name}, {what}", "", "", "", *_times(test[field]), ""]


def _times(latency: Mapping[str, Any]) -> list[str]:
    found = [latency.get(f"{name}_ms") for name in ("p50", "p95", "p99")]
    return ["-" if milliseconds is None else format_duration(milliseconds / MS_PER_S) for milliseconds in found]


def _details(test: PlainResult) -> str:
    """The details of a test besides its numbers; empty if there are none."""
    results = (_capacity, _thresholds, _explanation, _objections, _failures, _evidence, _own)
    every = (*results, _comparisons, _baseline, _targets, _generator)
    parts = every if is_measured(test) else ()
    text = _joined([_reason(test), _test_errors(test), *(part(test) for part in parts)])
    if not text:
        return ""
    state = " open" if test["verdict"] != "passed" or test.get("test_errors") else ""
    name = escape(_shortened_text(test["nodeid"], _LONGEST_NAME))
    return f"<details{state}><summary><code>{name}</code> {test['verdict']}</summary>\n\n{text}\n\n</details>"


def _reason(test: PlainResult) -> str:
    verdict = test["verdict"]
    is_unexplained = verdict in ("invalid", "error") and not is_explained(test)
    return f"{verdict.capitalize()}: {code(first_line(test['reason']))}" if is_unexplained else ""


def _capacity(test: PlainResult) -> str:
    """What a capacity search found, and its rounds."""
    parts = []
    for search in searches_of(test):
        title = f"Capacity, {search.title}" if search.title else "Capacity"
        parts += [
            f"{title}: {code(search.capacity['reason'])}",
            _tabulated(HEADERS, list(round_rows(search.capacity)), left=1) if search.capacity["rounds"] else "",
        ]
    return _joined(parts)


def _test_errors(test: PlainResult) -> str:
    """What pytest reported besides the verdict."""
    errors = test.get("test_errors", ())
    lines = [f"- {TEST_ERRORS[each['phase']]}{code(first_line(each['reason']))}" for each in errors]
    return _listed("Outside the load", lines)


def _thresholds(test: PlainResult) -> str:
    lines = []
    for threshold in test["thresholds"]:
        if not threshold["passed"]:
            word = "**failed**" if threshold["severity"] == "fail" else "warning"
            implied = IMPLIED if threshold.get("implied") else ""
            lines.append(f"- {word}: {code(threshold['message'])}{implied}")
        elif threshold["undecided"]:
            lines.append(f"- undecided: {code(threshold['message'])}")
    return _listed("Thresholds", lines)


def _explanation(test: PlainResult) -> str:
    """What the stacks of the target say about a failure, in one line."""
    explain = test.get("explain", {})
    if not explain.get("note"):
        return ""
    first = explain["lines"][0]["message"] if explain["lines"] else ""
    return f"Target: {code(' '.join(filter(None, [explain['note'], first])))}"


def _objections(test: PlainResult) -> str:
    """Reasons of plugins to fail it."""
    return _listed("Plugins", [f"- {code(text)}" for text in test.get("objections", ())])


def _failures(test: PlainResult) -> str:
    lines = []
    for group in test["failures"]:
        first = group["first"]
        place = f" at {code(group['location'])}" if group["location"] else ""
        message = f": {code(group['message'])}" if group["message"].strip() else ""
        source = f" from {code(first['source_address'])}" if "source_address" in first else ""
        lines.append(
            f"- {format_count(group['count'])} × {code(group['type'])}{place}{message} "
            f"{whose_failure(first['user'], first.get('iteration'), source, group.get('users'))}"
        )
    return _listed("Failed iterations", lines)


def _own(test: PlainResult) -> str:
    """The test's own checks and metrics."""
    checks = [
        f"- {code(row['name'], _LONGEST_NAME)}: {format_percent(row['rate'])}, {format_count(row['failed'])} of "
        f"{format_count(row['passed'] + row['failed'])} failed"
        for row in sorted(test.get("checks", ()), key=lambda row: -int(row["failed"]))
    ]
    metrics = [f"- {code(row['name'], _LONGEST_NAME)}: {_metric(row)}" for row in test.get("metrics", ())]
    return _joined([_listed("Checks", checks), _listed("Metrics", metrics)])


def _metric(row: PlainResult) -> str:
    match row["kind"]:
        case "count":
            return f"{own_number(row['count'])} ({row['rate']:.4g}/s)"
        case "gauge":
            return f"last {own_number(row['last'])}, {own_number(row['min'])} to {own_number(row['max'])}"
        case _:
            times = (f"{name} {format_duration(row[f'{name}_ms'] / MS_PER_S)}" for name in ("p50", "p95", "p99", "max"))
            return f"{', '.join(times)} ({format_count(row['count'])} observed)"


def _targets(test: PlainResult) -> str:
    """The targets' own numbers."""
    return _listed("Targets", [f"- {code(line.strip())}" for line in target_lines(test)])


def _evidence(test: PlainResult) -> str:
    """One request of a red test, in a line; all of it is in the JSON and HTML reports."""
    evidence = telling(test) if is_red(test) else None
    if evidence is None:
        return ""
    what = "; ".join(
        [title_of(evidence), *(note for note in notes_of(evidence) if note.startswith(("error", "trace")))]
    )
    return f"One request (more in the HTML and JSON reports): {code(what)}"


def _generator(test: PlainResult) -> str:
    if test["generator"]["healthy"]:
        return ""
    notes = [note for note in test["generator"]["notes"] if note not in test["reason"]]
    return _listed("The generator", [f"- {code(note)}" for note in notes])


def _comparisons(test: PlainResult) -> str:
    compared = test.get("comparisons")
    if not compared:
        return ""
    headers = ["metric", "comparison", "baseline", "now", "change"]
    rows = [
        [
            code(each["metric"], _LONGEST_NAME),
            _comparison(each),
            _value(each["baseline"], each["unit"]),
            _value(each["current"], each["unit"]) if "current" in each else "-",
            f"{each['change']:+.1%}" if "change" in each else "-",
        ]
        for each in compared[:_MOST_LINES]
    ]
    return _joined(["Compared with the baseline:", _tabulated(headers, rows, left=2)])


def _baseline(test: PlainResult) -> str:
    """What could not be compared."""
    return _listed("The baseline", [f"- {code(note)}" for note in test.get("baseline", {}).get("notes", ())])


def _comparison(compared: Mapping[str, Any]) -> str:
    word = "**regressed**: " if compared["regressed"] else ""
    if compared["undecided"]:
        word = "**undecided**: " if compared.get("passed", True) else "**undecided, failed**: "
    return word + code(compared["message"])


def _value(value: float, unit: str) -> str:
    match unit:
        case "ms":
            return format_duration(value / MS_PER_S)
        case "fraction":
            return format_percent(value)
        case _:
            return f"{value:.4g}/s"


def _listed(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    hidden = len(lines) - _MOST_LINES
    more = [f"- and {format_count(hidden)} more"] if hidden > 0 else []
    return "\n".join([f"{title}:", "", *lines[:_MOST_LINES], *more])


def _joined(parts: Iterable[str]) -> str:
    """Paragraphs, with an empty line between each two."""
    return "\n\n".join(part for part in parts if part)


def _shortened_text(text: str, longest: int) -> str:
    """One line of at most ``longest`` characters: columns do not matter here, but bytes do."""
    text = printable(text)
    if len(text) <= longest:
        return text
    half = (longest - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def _size(text: str) -> int:
    return len(text.encode())
