"""The contents of the HTML report for each load test, in the order of the page. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from pytest_ipload.base.text import counted
from pytest_ipload.base.units import format_duration
from pytest_ipload.report.html import cause, evidence_section, html_tables
from pytest_ipload.report.html.capacity_parts import capacity_facts, capacity_plots, capacity_tables
from pytest_ipload.report.html.cells import count, milliseconds, rate, share
from pytest_ipload.report.html.charts import Chart, charts_of, together_chart
from pytest_ipload.report.html.explanation_table import explanation_table
from pytest_ipload.report.html.html_tables import Table
from pytest_ipload.report.html.points import points_of
from pytest_ipload.report.html.target_parts import target_table
from pytest_ipload.report.telling import first_failed, is_about, is_red, telling
from pytest_ipload.report.terminal.load_block import test_error_lines, whole_steps
from pytest_ipload.stats.evidence.evidence import FAILED_REQUEST
from pytest_ipload.stats.summary import PlainResult
from pytest_ipload.verdict.result import is_measured

Result = Mapping[str, Any]

MOST_POINTS = 3600
"""For one line of a chart: an hour of seconds."""
FEWEST_POINTS = 300
ALL_POINTS = 18_000
"""For all tests of one page together: a point of all charts takes up to 60 bytes."""
MOST_TABLE_ROWS = 120
"""For the table with the numbers of the charts."""

_VERDICTS = {
    "passed": ("✓", "Passed"),
    "undecided": ("?", "Undecided"),
    "failed": ("✕", "Failed"),
    "invalid": ("!", "Invalid"),
    "error": ("✕", "Error"),
}
_ORDER = ("error", "failed", "invalid", "undecided", "segment", "passed")
"""The order in which verdicts are listed: the most important first."""


_COUNTED = ("error", "failed", "invalid", "undecided", "passed")


class Verdict(NamedTuple):
    """A verdict as it is shown: by a sign and a word, and its colour only in addition."""

    kind: str
    """``passed``, ``failed``, ``invalid`` or ``segment``."""
    sign: str
    word: str


class Fact(NamedTuple):
    """One of the main numbers."""

    name: str
    value: str
    note: str = ""


class Section(NamedTuple):
    """One load test."""

    anchor: str
    name: str
    verdict: Verdict
    reason: str
    result: PlainResult
    subtitle: str
    facts: Sequence[Fact]
    thresholds: Table
    comparison: Table
    explain: Table
    charts: Sequence[Chart]
    point_note: str
    times: Table
    tables: Sequence[Table]
    """The numbers by name, address and so on, without tables that have no rows."""
    failures: Table
    generator: Sequence[Fact]
    settings: Table
    timeline: Table

    @property
    def baseline_notes(self) -> Sequence[str]:
        """Why some or all comparisons are missing."""
        notes: Sequence[str] = self.result.get("baseline", {}).get("notes", ())
        return notes

    @property
    def explain_note(self) -> str:
        """What the stacks of the target say, in one line; empty if there is nothing to say."""
        note: str = self.result.get("explain", {}).get("note", "")
        return note

    @property
    def is_red(self) -> bool:
        """Whether the test did not pass: what failed then comes before what was measured."""
        return is_red(self.result) and self.verdict.kind != "segment"

    @property
    def reasons(self) -> Sequence[str]:
        """The parts of the reason, and which requests it is about."""
        return cause.reasons_of(self.result)

    @property
    def names_beyond(self) -> Sequence[str]:
        """Which requests are beyond the limit of a latency threshold."""
        return cause.names_beyond(self.result)

    @property
    def is_about_errors(self) -> bool:
        """Whether what failed first is not a time, so that failed iterations say more than slow ones."""
        return (first_failed(self.result) or {}).get("unit") != "ms"

    @property
    def is_measured(self) -> bool:
        """Whether there are numbers."""
        return is_measured(self.result)

    @property
    def step_s(self) -> int:
        """The length of a step of its timeline."""
        return int(self.result.get("timeline_step_s", 1))

    @property
    def file(self) -> str:
        """The part of its name that it shares with others: its file; empty if its name has none."""
        return "".join(self.name.partition("::")[:2]) if "::" in self.name else ""

    @property
    def short_name(self) -> str:
        """The rest of its name."""
        return self.name.removeprefix(self.file)

    @property
    def errors(self) -> Sequence[str]:
        """What pytest reported besides the verdict."""
        return test_error_lines(self.result)

    @property
    def telling(self) -> Sequence[evidence_section.EvidenceBlock]:
        """Of a red test, the request that says most about why it is red; it comes unfolded, next to the verdict."""
        return [block for block in evidence_section.blocks_of(self.result) if block.is_open]

    @property
    def telling_title(self) -> str:
        """What that request is: the slowest one may have nothing to do with what failed, such as a check."""
        found = telling(self.result) or {}
        shows_it = found.get("kind") == FAILED_REQUEST or is_about(self.result, found)
        return "A request that shows it" if shows_it else "The slowest request"

    @property
    def evidence(self) -> Sequence[evidence_section.EvidenceBlock]:
        """All other single requests with their replies."""
        return [block for block in evidence_section.blocks_of(self.result) if not block.is_open]

    @property
    def traceback(self) -> Sequence[str]:
        """The lines of the first failure's traceback; empty if the result has none."""
        text = self.result.get("traceback", {}).get("text", "")
        return text.split("\n") if text else []


def sections_of(results: Sequence[PlainResult]) -> list[Section]:
    """The sections of all tests, numbered from 1. With many tests each has fewer points in its charts."""
    most = max(FEWEST_POINTS, min(MOST_POINTS, ALL_POINTS // max(1, len(results))))
    sections = [_section(number, result, most) for number, result in enumerate(results, 1)]
    return [_with_others(section, sections) for section in sections]


def _with_others(section: Section, sections: Sequence[Section]) -> Section:
    """A section that shows the loads that ran together with its own, too."""
    name = section.result.get("together")
    if name is None:
        return section
    members = [each for each in sections if each.result.get("together") == name]
    others = ", ".join(each.short_name for each in members if each is not section)
    subtitle = f"{section.subtitle} · together: {name}" + (f", with {others}" if others else "")
    chart = together_chart(
        [
            (each.short_name, each.result, points_of(_with_whole_rates(each.result), FEWEST_POINTS, each.step_s))
            for each in members
            if each.is_measured
        ]
    )
    return section._replace(subtitle=subtitle, charts=[*section.charts, *([] if chart is None else [chart])])


def by_gravity(sections: Sequence[Section]) -> list[Section]:
    """The sections in the order of the page: failures first, each verdict in the order in which the tests ran."""
    return sorted(sections, key=lambda section: (_ORDER.index(section.verdict.kind), not section.errors))


def _section(number: int, result: PlainResult, most_points: int) -> Section:
    if not is_measured(result):
        return _unmeasured(number, result)
    step_s = result.get("timeline_step_s", 1)
    points = points_of(_with_whole_rates(result), most_points, step_s)
    parts = [
        *capacity_tables(result),
        html_tables.request_table(result),
        html_tables.event_table(result),
        html_tables.step_table(result),
        html_tables.check_table(result),
        html_tables.metric_table(result),
        html_tables.observed_table(result),
        html_tables.source_table(result),
        target_table(result),
        html_tables.request_table(result, "setup"),
        html_tables.shard_table(result),
        html_tables.round_table(result),
    ]
    return Section(
        anchor=f"test-{number}",
        name=result["nodeid"],
        verdict=_verdict(result),
        reason=result["reason"],
        result=result,
        subtitle=_subtitle(result),
        facts=list(_facts(result)),
        thresholds=html_tables.threshold_table(result),
        comparison=html_tables.comparison_table(result),
        explain=explanation_table(result),
        charts=[*(Chart(*each) for each in capacity_plots(result)), *charts_of(result, points)],
        point_note=points.note,
        times=html_tables.distribution_table(result),
        tables=[table for table in parts if table.rows],
        failures=html_tables.failure_table(result),
        generator=list(_generator_facts(result["generator"])),
        settings=html_tables.setting_table(result),
        timeline=html_tables.timeline_table(points_of(result["timeline"], MOST_TABLE_ROWS, step_s)),
    )


def _with_whole_rates(result: PlainResult) -> Sequence[PlainResult]:
    """The timeline for charts: an incomplete step has no request rate, as it would be too low."""
    points, rest_s = whole_steps(result)
    if not rest_s or not points:
        return list(result["timeline"])
    last = {name: value for name, value in result["timeline"][-1].items() if name != "requests"}
    return [*points, last]


def _unmeasured(number: int, result: PlainResult) -> Section:
    """The section of a test whose load never began."""
    none = Table("", (), ())
    return Section(
        anchor=f"test-{number}",
        name=result["nodeid"],
        verdict=_verdict(result),
        reason=result["reason"],
        result=result,
        subtitle="ended before its load began",
        facts=(),
        thresholds=none,
        comparison=none,
        explain=none,
        charts=(),
        point_note="",
        times=none,
        tables=(),
        failures=none,
        generator=(),
        settings=html_tables.setting_table(result),
        timeline=none,
    )


def headline(sections: Sequence[Section]) -> str:
    """``3 load tests: 1 failed, 2 passed``."""
    words = [section.verdict.kind for section in sections]
    kinds = [f"{words.count(kind)} {kind}" for kind in _COUNTED if kind in words]
    if words.count("error") > 1:
        kinds[0] = counted(words.count("error"), "error")
    if "segment" in words:
        kinds.append(f"{counted(words.count('segment'), 'segment')} not judged yet")
    if red := sum(section.verdict.kind in ("passed", "undecided") and bool(section.errors) for section in sections):
        kinds.append(f"{counted(red, 'passed load')} in a test that failed")
    return f"{counted(len(words), 'load test')}{': ' if kinds else ''}{', '.join(kinds)}"


def _verdict(result: PlainResult) -> Verdict:
    if "segment" in result and result["verdict"] != "error":
        return Verdict("segment", "…", f"Segment {result['segment']}, judged when it is merged")
    sign, word = _VERDICTS[result["verdict"]]
    return Verdict(result["verdict"], sign, f"{word}, test failed" if result.get("test_errors") else word)


def _subtitle(result: PlainResult) -> str:
    """Start, duration and numbers of a load."""
    started = datetime.fromisoformat(result["started_at"]).astimezone(timezone.utc)
    parts = [
        f"started {started:%Y-%m-%d %H:%M:%S} UTC",
        f"lasted {format_duration(result['duration_s'])}",
        counted(result["users"], "user"),
    ]
    if "warmup_iterations" in result:
        parts.append(f"a warm-up of {counted(result['warmup_iterations'], 'iteration')} is left out of the numbers")
    if "aborted_s" in result:
        parts.append(f"aborted by a threshold after {format_duration(result['aborted_s'])}")
    return " · ".join(parts)


def _facts(result: PlainResult) -> Iterator[Fact]:
    yield from (Fact(*each) for each in capacity_facts(result))
    latency = result["latency"]
    retried = result.get("retried_requests")
    retries = f"{counted(retried, 'time')} sent again on a new connection" if retried else ""
    yield Fact("Requests", count(result["requests"]), retries)
    yield Fact("Requests/s", rate(result["rps"]))
    yield Fact("Failed requests", count(result["failed_requests"]), share(result.get("request_error_rate")))
    yield Fact("Iterations", count(result["iterations"]), f"{rate(result['iterations_per_second'])}/s")
    yield Fact("Failed iterations", count(result["failed_iterations"]), share(result.get("error_rate")))
    if "dropped_iterations" in result:
        planned = count(result.get("planned_iterations"))
        yield Fact("Never started", count(result["dropped_iterations"]), f"of {planned} planned iterations")
    if "tls_handshakes" in result:
        made = result["tls_handshakes"]
        yield Fact("TLS handshakes resumed", count(made["resumed"]), f"and {count(made['full'])} full ones")
    for name in ("p50", "p95", "p99", "max"):
        if f"{name}_ms" in latency:
            yield Fact(f"Latency {name}", milliseconds(latency[f"{name}_ms"]), _response(result, name))


def _response(result: PlainResult, name: str) -> str:
    value = result.get("response_time", {}).get(f"{name}_ms")
    return "" if value is None else f"response {milliseconds(value)}"


def _generator_facts(generator: Mapping[str, Any]) -> Iterator[Fact]:
    yield Fact("State", "healthy" if generator["healthy"] else "not healthy")
    if "cpu_share" in generator:
        yield Fact("Processor", share(generator["cpu_share"]), "of one core")
    if "timer_lag_p99_ms" in generator:
        yield Fact("Timer lag p99", milliseconds(generator["timer_lag_p99_ms"]))
    if "p99_ms" in (lateness := generator.get("lateness", {})):
        yield Fact("Iterations late p99", milliseconds(lateness["p99_ms"]), "caused by the generator")
    yield Fact("Late starts of users", count(generator["late_starts"]))
    yield Fact("Interrupted iterations", count(generator["interrupted_iterations"]))
    if "pinned_cpu" in generator:
        yield Fact("Pinned to CPU", f"number {generator['pinned_cpu']}")
    for name, times in generator["faults"].items():
        yield Fact(f"Generator error: {name}", count(times), "not requests to the target")
    if generator["suppressed"]:
        yield Fact("Suppressed checks", count(len(generator["suppressed"])), ", ".join(generator["suppressed"]))
