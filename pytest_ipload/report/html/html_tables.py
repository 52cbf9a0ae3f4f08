"""The tables of a load test in the HTML report: all texts, ready to be shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from pytest_ipload.base.text import counted
from pytest_ipload.base.units import format_duration, format_percent, format_setting
from pytest_ipload.report.html.cells import ABSENT, clock, count, in_unit, milliseconds, rate, setting, share
from pytest_ipload.report.html.points import LATENCIES, RESPONSE_TIMES, Points
from pytest_ipload.report.telling import request_before
from pytest_ipload.report.terminal.tables import own_number
from pytest_ipload.stats.own_summary import TIME
from pytest_ipload.stats.summary import PlainResult

Row = Mapping[str, Any]

MOST_ROWS = 500
"""The maximum number of rows: a load may use tens of thousands of source addresses."""
_FEWEST_WHOLE = 100
"""Numbers per second from here on are shown without a fraction."""
_TIMES = ("p50", "p95", "p99", "max")
_STATISTICS = ("min", "mean", "p50", "p90", "p95", "p99", "p99.9", "max")
_OUTCOMES = {"fail": "failed", "warn": "warning"}
_WORST_FIRST = ("failed", "warning", "undecided", "ok")
_USUAL_CONFIDENCE = 0.95
_ENDS_OF_PARTS = "/ ?&"
_SHORTEST_START = 16


class Table(NamedTuple):
    """A table; the first cell of a row names it. The other columns contain numbers, except those in ``texts``."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: frozenset[str] = frozenset()
    note: str = ""

    @property
    def starts(self) -> list[int]:
        """How much of each row's name is a long start that the row shares with another one; 0 for none.

        A narrow page cuts long names: what tells them apart has to be seen all the same.
        """
        return shared_starts([row[0] for row in self.rows])


def shared_starts(names: Sequence[str]) -> list[int]:
    """For each name the length of the longest start, up to a slash or a blank, that another name has too.

    0 where that is shorter than a line of a narrow page.
    """
    order = sorted(range(len(names)), key=lambda number: names[number])
    found = [0] * len(names)
    for one, other in pairwise(order):
        pairs = enumerate(zip(names[one], names[other], strict=False))
        same = next((number for number, (mine, its) in pairs if mine != its), 0)
        length = 1 + max(names[one].rfind(sign, 0, same) for sign in _ENDS_OF_PARTS)
        if _SHORTEST_START <= length < min(len(names[one]), len(names[other])):
            found[one], found[other] = max(found[one], length), max(found[other], length)
    return found


def index_table(results: Sequence[PlainResult]) -> Table:
    """The main numbers of each test; the page puts the verdict and a link in front."""
    headers = ["test", "users", "duration", "requests", "requests/s", "error rate", *_TIMES]
    rows = [
        [
            result["nodeid"],
            count(result.get("users")),
            format_duration(result["duration_s"]) if "duration_s" in result else ABSENT,
            count(result.get("requests")),
            rate(result.get("rps")),
            share(result.get("error_rate")),
            *_times(result.get("latency", {}), _TIMES),
        ]
        for result in results
    ]
    return Table("All load tests", headers, rows)


def threshold_table(result: PlainResult) -> Table:
    """The thresholds, and whether they held: those that failed first."""
    headers = ["threshold", "outcome", "measured", "limit", "confidence interval", "samples", "remarks"]
    rows = [
        [
            threshold["expression"],
            _outcome(threshold),
            in_unit(threshold.get("measured"), threshold["unit"]),
            in_unit(threshold["limit"], threshold["unit"]),
            _interval(threshold),
            count(threshold["samples"]),
            _remarks(threshold),
        ]
        for threshold in sorted(result["thresholds"], key=_gravity)
    ]
    return Table("Thresholds", headers, rows, frozenset({"outcome", "remarks"}))


def comparison_table(result: PlainResult) -> Table:
    """The numbers beside those of a baseline."""
    headers = ["metric", "outcome", "now", "baseline", "change", "limit", "runs", "method", "in words"]
    rows = [
        [
            *(_text(row.get("metric")), _comparison_outcome(row)),
            *(in_unit(row.get(key), row.get("unit")) for key in ("current", "baseline")),
            ABSENT if row.get("change") is None else f"{row['change'] * 100:+.3g} %",
            *(_text(row.get(key)) for key in ("limit", "runs", "method", "message")),
        ]
        for row in result.get("comparisons", ())
    ]
    return Table("Comparison with a baseline", headers, rows, frozenset({"outcome", "method", "in words"}))


def distribution_table(result: PlainResult) -> Table:
    """Latency, response time and the times of events in numbers."""
    kinds = (
        ("latency", "latency"),
        ("response time", "response_time"),
        ("time to first event", "ttfe"),
        ("gap between events", "gap"),
    )
    rows = [
        [name, count(result[field]["count"]), *_times(result[field], _STATISTICS)]
        for name, field in kinds
        if field in result
    ]
    return Table("Times of successful requests", ["time", "requests", *_STATISTICS], rows)


def request_table(result: PlainResult, field: str = "by_name") -> Table:
    """Requests by name: the judged ones, or those of ``setup``."""
    rows = [*result.get(field, ())]
    is_setup = field == "setup"
    cells = [
        [
            row["name"],
            count(row["requests"]),
            *([] if is_setup else [rate(row["rps"])]),
            count(row["failed_requests"]),
            *_times(row["latency"], _TIMES),
        ]
        for row in rows[:MOST_ROWS]
    ]
    headers = ["request", "requests", *([] if is_setup else ["requests/s"]), "failed", *_TIMES]
    caption = "Requests of the users' set-up and teardown (not judged)" if is_setup else "Requests by name"
    return Table(caption, headers, cells, note=_left_out(rows, "request name"))


def event_table(result: PlainResult) -> Table:
    """The times of streams by request name."""
    rows = [row for row in result["by_name"] if "ttfe" in row]
    cells = [
        [f"{row['name']}, {what}", count(row[field]["count"]), *_times(row[field], _TIMES)]
        for row in rows[:MOST_ROWS]
        for field, what in (("ttfe", "first event"), ("gap", "next event"))
        if field in row
    ]
    return Table("Events of streams", ["stream", "events", *_TIMES], cells, note=_left_out(rows, "request name"))


def step_table(result: PlainResult) -> Table:
    """Steps by name."""
    rows = result["steps"]
    cells = [
        [row["name"], count(row["count"]), count(row["failed"]), *_times(row["latency"], _TIMES)]
        for row in rows[:MOST_ROWS]
    ]
    return Table("Steps", ["step", "runs", "failed", *_TIMES], cells, note=_left_out(rows, "step"))


def check_table(result: PlainResult) -> Table:
    """The test's own checks by name."""
    rows = result.get("checks", ())
    cells = [[row["name"], count(row["passed"]), count(row["failed"]), share(row["rate"])] for row in rows[:MOST_ROWS]]
    return Table("Checks", ["check", "passed", "failed", "rate"], cells, note=_left_out(rows, "check"))


def metric_table(result: PlainResult) -> Table:
    """The test's own counts and gauges by name."""
    rows = [row for row in result.get("metrics", ()) if row["kind"] != TIME]
    cells = [
        [
            row["name"],
            row["kind"],
            *(own_number(row[key]) if key in row else ABSENT for key in ("count", "last", "min", "max")),
            f"{rate(row['rate'])}/s" if "rate" in row else ABSENT,
        ]
        for row in rows[:MOST_ROWS]
    ]
    headers = ["metric", "kind", "sum", "last", "min", "max", "rate"]
    return Table("Counts and gauges", headers, cells, frozenset({"kind"}), note=_left_out(rows, "metric"))


def observed_table(result: PlainResult) -> Table:
    """The times that the test observed, by name."""
    rows = [row for row in result.get("metrics", ()) if row["kind"] == TIME]
    cells = [[row["name"], count(row["count"]), *_times(row, _TIMES)] for row in rows[:MOST_ROWS]]
    return Table("Observed times", ["metric", "count", *_TIMES], cells, note=_left_out(rows, "metric"))


def source_table(result: PlainResult) -> Table:
    """Requests by source address, and which addresses of the pool were never leased."""
    rows = result["by_source"]
    cells = [
        [
            row["source_address"],
            *(count(row[key]) for key in ("users", "connections", "requests", "failed_requests")),
            *_times(row["latency"], _TIMES),
        ]
        for row in rows[:MOST_ROWS]
    ]
    notes = [_left_out(rows, "address")]
    unused = result.get("unused_addresses")
    if unused:
        shown = ", ".join(unused["first"]) + (", ..." if unused["count"] > len(unused["first"]) else "")
        notes.append(f"Not used: {counted(unused['count'], 'address')} of the pool ({shown})")
    headers = ["source address", "users", "connections", "requests", "failed", *_TIMES]
    return Table("Source addresses", headers, cells, note=". ".join(filter(None, notes)))


def failure_table(result: PlainResult) -> Table:
    """Failed iterations in groups."""
    rows = result["failures"]
    cells = [
        [
            row["type"],
            count(row["count"]),
            row["location"] or ABSENT,
            ", after ".join(filter(None, [row["message"], request_before(row, result)])),
            count(row["first"]["user"]),
            count(row["first"]["iteration"]) if "iteration" in row["first"] else "set-up",
            row["first"].get("source_address", ABSENT),
        ]
        for row in rows[:MOST_ROWS]
    ]
    headers = ["type", "iterations", "place", "message of the first", "its user", "its iteration", "its address"]
    texts = frozenset({"place", "message of the first", "its address"})
    return Table("Failed iterations by type and place", headers, cells, texts, _left_out(rows, "kind"))


def shard_table(result: PlainResult) -> Table:
    """The processes that shared the load."""
    headers = ["shard", "host", "users", "iterations", "requests", "failed", "began late by", "processor", "CPU"]
    rows = [
        [
            row["name"],
            row["host"] or ABSENT,
            *(count(row[key]) for key in ("users", "iterations", "requests", "failed_requests")),
            milliseconds(row["start_skew_ms"]),
            share(row.get("cpu_share")),
            _text(row.get("pinned_cpu")),
        ]
        for row in result.get("shards", ())
    ]
    return Table("Shards: the processes that shared the load", headers, rows, frozenset({"host"}))


def round_table(result: PlainResult) -> Table:
    """The rounds of the load, where there were several."""
    rows = [
        [
            str(number),
            row["role"],
            _text(row.get("base_url")),
            row["verdict"],
            count(row["requests"]),
            rate(row["rps"]),
            share(row.get("error_rate")),
            *_times(row, ("p50", "p95", "p99")),
        ]
        for number, row in enumerate(result.get("rounds", ()), 1)
    ]
    headers = ["round", "side", "base URL", "verdict", "requests", "requests/s", "error rate", "p50", "p95", "p99"]
    note = "All other numbers of this test are those of one of its rounds" if rows else ""
    return Table("Rounds", headers, rows, frozenset({"side", "base URL", "verdict"}), note)


def setting_table(result: PlainResult) -> Table:
    """The resolved settings, and where each came from."""
    profile = result.get("profile", {})
    origins = profile.get("origins", {})
    rows = []
    for key, value in profile.items():
        if key != "origins":
            name = key.removesuffix("_s")
            rows.append([name, setting(value, key), origins.get(name, ABSENT)])
    return Table("Settings", ["setting", "value", "from"], rows, frozenset({"value", "from"}))


def environment_table(environment: Mapping[str, Any]) -> Table:
    """The versions and the machine of the measurement."""
    packages = environment.get("packages", {})
    rows = [[str(key), str(value)] for key, value in environment.items() if key != "packages"]
    rows += [[name, str(version)] for name, version in packages.items()]
    return Table("Environment", ["what", "value"], rows, frozenset({"value"}))


def timeline_table(points: Points) -> Table:
    """The numbers of the charts over time."""
    fields = [name for name in ("users", "requests", "failed_requests") if name in points.values]
    times = [name for name in (*LATENCIES, *RESPONSE_TIMES) if name in points.values]
    columns = [[_whole(value) for value in points.values[name]] for name in fields]
    columns += [[milliseconds(value) for value in points.values[name]] for name in times]
    starts = [clock(points.start_s(point)) for point in range(points.size)]
    headers = ["from", *(name.removesuffix("_requests") for name in fields), *map(_time_header, times)]
    return Table(
        "The numbers of the charts over time", headers, [*zip(starts, *columns, strict=True)], note=points.note
    )


def _time_header(field: str) -> str:
    return field.removesuffix("_ms").replace("response_", "response ")


def _whole(value: float | None) -> str:
    """A count, or a number per second, which need not be a whole number."""
    if value is not None and value != int(value) and value < _FEWEST_WHOLE:
        return f"{value:.2g}"
    return count(None if value is None else round(value))


def _times(distribution: Mapping[str, Any], statistics: Iterable[str]) -> list[str]:
    return [milliseconds(distribution.get(f"{name.replace('.', '_')}_ms")) for name in statistics]


def _gravity(threshold: Row) -> int:
    """The rank of a threshold's outcome in its table."""
    return _WORST_FIRST.index(_outcome(threshold).partition(",")[0])


def _outcome(threshold: Row) -> str:
    if threshold.get("aborted"):
        return "failed, aborted the load"
    if threshold["passed"]:
        return "undecided" if threshold.get("undecided") else "ok"
    return _OUTCOMES[threshold["severity"]]


def _comparison_outcome(comparison: Row) -> str:
    if comparison.get("regressed"):
        return "regressed"
    if comparison.get("undecided"):
        return "undecided" if comparison.get("passed", True) else "undecided, failed"
    return "ok" if "regressed" in comparison and comparison.get("limit") is not None else "not judged"


def _text(value: object) -> str:
    return ABSENT if value is None else str(value)


def _interval(threshold: Row) -> str:
    """``231 ms to 258 ms (95 %)``; an end that too few samples leave open is left out."""
    low, high = (in_unit(threshold.get(key), threshold["unit"]) for key in ("ci_low", "ci_high"))
    confidence = format_percent(threshold.get("confidence", _USUAL_CONFIDENCE))
    if low == high == ABSENT:
        return ABSENT
    if high == ABSENT:
        return f"above {low} ({confidence})"
    return f"below {high} ({confidence})" if low == ABSENT else f"{low} to {high} ({confidence})"


def _remarks(threshold: Row) -> str:
    """Remarks that the other columns do not show; without a measured value, why there is none."""
    if "measured" not in threshold:
        return str(threshold["message"])
    remarks = ["implied"] if threshold.get("implied") else []
    if "window_s" in threshold:
        remarks.append(f"the worst window of {format_setting(threshold['window_s'])}")
    if threshold["uncertain"]:
        is_growth = threshold["unit"].endswith("/h")
        remarks.append("the load is too short" if is_growth else "too few samples for this percentile")
    if threshold.get("ci_assumes_independence"):
        remarks.append("the interval assumes independent samples")
    if threshold["severity"] == "warn":
        remarks.append("does not fail the test")
    return ", ".join(remarks)


def _left_out(rows: Sequence[Row], word: str) -> str:
    hidden = len(rows) - MOST_ROWS
    return f"And {counted(hidden, f'more {word}')}, which are in the JSON report" if hidden > 0 else ""
