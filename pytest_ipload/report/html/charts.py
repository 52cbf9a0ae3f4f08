"""The charts of a load test, as plain JSON for plotly.js. Pure.

A chart defines the data, and leaves the colours to the page (``templates/report.js``): ``meta`` of a line is the name
of its colour there. Values that were not measured are null, which plotly shows as gaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import cycle
from typing import Any, NamedTuple

from pytest_ipload.base.text import counted
from pytest_ipload.base.units import MS_PER_S, format_count, format_duration
from pytest_ipload.report.html.curve import Curve, curve_of, ticks
from pytest_ipload.report.html.points import LATENCIES, RESPONSE_TIMES, Points
from pytest_ipload.report.html.target_parts import TargetLines, target_lines_of
from pytest_ipload.stats.summary import PlainResult

Line = dict[str, Any]

_SHORT_S = 10
_FEW_POINTS = 600
_FEW = 5
_PERCENTILES_IN_WORDS = ("p50", "p95", "p99", "p99.9", "max")
_HOUR_S = 3600
_OF_DOTS = ("name", "meta", "x0", "dx", "yaxis")
_COLOURS_OF_LOADS = ("p95", "response_time", "p99", "p50", "max", "users")
_COLOURS_OF_TARGETS = ("p95", "response_time", "p50", "p99", "failed", "max")
_DASHES = {"p50": "solid", "p95": "solid", "p99": "dash", "max": "dot"}


class Chart(NamedTuple):
    """One chart."""

    title: str
    summary: str
    """The chart in words, for users of a screen reader."""
    plot: Mapping[str, Any]
    """``data`` and ``layout`` of plotly.js."""


def charts_of(result: PlainResult, points: Points) -> list[Chart]:
    """The charts of a test's result, whose timeline has these points."""
    charts = []
    if points.size:
        charts = [
            _percentiles_chart("Latency of successful requests", result, points, LATENCIES),
            _percentiles_chart("Response time of successful requests", result, points, RESPONSE_TIMES),
            *(_target_chart(result, points, lines) for lines in target_lines_of(result, points)),
            _requests_chart(result, points),
            _failures_chart(result, points),
        ]
    charts.append(_distribution_chart(result))
    return [chart for chart in charts if chart is not None]


def _percentiles_chart(title: str, result: PlainResult, points: Points, fields: Sequence[str]) -> Chart | None:
    measured = [field for field in fields if field in points.values]
    if not measured:
        return None
    lines: list[Line] = []
    spans = []
    for field in measured:
        name = field.removeprefix("response_").removesuffix("_ms")
        values = [None if value is None else _rounded(value) for value in points.values[field]]
        # Dashed lines of many points are only a blur.
        style = {"dash": _DASHES[name], "width": 1.5} if points.size <= _FEW_POINTS else {"width": 1}
        line = _line(name, name, values, points, line=style, hovertemplate="%{y:.4~r} ms")
        lines += [line, *_lone_points(line)]
        known = [value for value in values if value is not None]
        spans.append(
            f"{name} from {format_duration(min(known) / MS_PER_S)} to {format_duration(max(known) / MS_PER_S)}"
        )
    layout = _over_time(result, points)
    layout["yaxis"] = {"title": {"text": "ms"}, "rangemode": "tozero"}
    return Chart(f"{title} over time", f"{_length(points)}: {'; '.join(spans)}", {"data": lines, "layout": layout})


def _requests_chart(result: PlainResult, points: Points) -> Chart:
    requests, users = points.values["requests"], points.values["users"]
    rate = _line("requests/s", "requests", requests, points, fill="tozeroy", hovertemplate="%{y} requests")
    step = {"shape": "hvh", "dash": "dot"}
    crowd = _line("users", "users", users, points, yaxis="y2", line=step, hovertemplate="%{y} users")
    lines = [rate, *_lone_points(rate), crowd, *_lone_points(crowd)]
    layout = _over_time(result, points)
    layout["yaxis"] = _axis_of_counts("requests/s", requests)
    layout["yaxis2"] = _axis_of_counts("users", users) | {"overlaying": "y", "side": "right", "showgrid": False}
    summary = f"{_length(points)}: {_span(requests)} requests per second, {_span(users)} users"
    return Chart("Requests per second, and users", summary, {"data": lines, "layout": layout})


def _failures_chart(result: PlainResult, points: Points) -> Chart:
    values = points.values["failed_requests"]
    failed = sum(second["failed_requests"] for second in result["timeline"])
    steps = sum(second["failed_requests"] > 0 for second in result["timeline"])
    most = max((second["failed_requests"] for second in result["timeline"]), default=0)
    style = {"shape": "hvh", "width": 1}
    line = _line("failed", "failed", values, points, fill="tozeroy", line=style, hovertemplate="%{y} failed")
    layout = _over_time(result, points)
    layout["yaxis"] = _axis_of_counts("failed requests/s", values)
    if not most:
        layout["yaxis"]["range"] = [0, 1]
    summary = f"{_length(points)}: {counted(failed, 'failed request')}"
    if failed:
        length = counted(steps, "second") if points.step_s == 1 else f"{counted(steps, 'step')} of {points.step_s} s"
        summary += f", in {length}, at most {format_count(most)} in one"
    return Chart("Failed requests over time", summary, {"data": [line, *_lone_points(line)], "layout": layout})


def together_chart(members: Sequence[tuple[str, PlainResult, Points]]) -> Chart | None:
    """The request rates of loads that ran together, on one clock; None for less than two with a timeline.

    Each has its short name, its result and its points.
    """
    shown = [member for member in members if member[2].size]
    if len(shown) < 2:
        return None
    starts_s = [datetime.fromisoformat(result["started_at"]).timestamp() for _, result, _ in shown]
    lines: list[Line] = []
    ends_s = []
    for number, ((name, _, points), start_s) in enumerate(zip(shown, starts_s, strict=True)):
        colour = _COLOURS_OF_LOADS[number % len(_COLOURS_OF_LOADS)]
        line = _line(name, colour, points.values["requests"], points, hovertemplate="%{y} requests/s")
        line["x0"] += round((start_s - min(starts_s)) * MS_PER_S)
        lines += [line, *_lone_points(line)]
        ends_s.append(start_s - min(starts_s) + points.size * points.width_s)
    layout: dict[str, Any] = {"xaxis": _time_axis(max(ends_s)), "shapes": []}
    layout["yaxis"] = _axis_of_counts("requests/s", [each or 0 for line in lines for each in line["y"]])
    spans = (f"{name}: {_span(points.values['requests'])} requests per second" for name, _, points in shown)
    return Chart(
        "Requests per second of the loads that ran together", "; ".join(spans), {"data": lines, "layout": layout}
    )


def _target_chart(result: PlainResult, points: Points, of: TargetLines) -> Chart:
    """A metric of the targets."""
    lines: list[Line] = []
    for colour, (target, values) in zip(cycle(_COLOURS_OF_TARGETS), of.by_target.items(), strict=False):
        line = _line(target, colour, values, points, hovertemplate=f"%{{y:.4~r}} {of.unit}")
        lines += [line, *_lone_points(line)]
    layout = _over_time(result, points)
    layout["yaxis"] = _axis_of_counts(of.unit, [value for line in lines for value in line["y"]])
    return Chart(of.title, f"{_length(points)}: {'; '.join(of.spans)}", {"data": lines, "layout": layout})


def _distribution_chart(result: PlainResult) -> Chart | None:
    curves = {}
    for name, field in (("latency", "latency"), ("response time", "response_time")):
        if field in result and (curve := curve_of(result[field])) is not None:
            curves[name, field] = curve
    if not curves:
        return None
    end = max(curve.end for curve in curves.values())
    marks = ticks(end)
    axis = {"tickvals": [position for position, _ in marks], "ticktext": [text for _, text in marks]}
    layout = {
        "xaxis": axis | {"range": [0, end], "title": {"text": "percentile"}},
        "yaxis": {"title": {"text": "ms"}, "rangemode": "tozero"},
        "hovermode": "closest",
    }
    lines = [_curve_line(name, field, curve) for (name, field), curve in curves.items()]
    summary = "; ".join(_distribution_in_words(name, result[field]) for name, field in curves)
    return Chart("Distribution by percentile", summary, {"data": lines, "layout": layout})


def _curve_line(name: str, colour: str, curve: Curve) -> Line:
    return {
        "name": name,
        "meta": colour,
        "mode": "lines",
        "x0": 0,
        "dx": curve.step,
        "y": [_rounded(value) for value in curve.values_ms],
        "text": curve.percentiles,
        "hovertemplate": f"%{{text}} of the requests: {name} %{{y:.4~r}} ms or less<extra></extra>",
    }


def _distribution_in_words(name: str, distribution: Mapping[str, Any]) -> str:
    known = {key: distribution.get(f"{key.replace('.', '_')}_ms") for key in _PERCENTILES_IN_WORDS}
    shown = ", ".join(f"{key} {format_duration(value / MS_PER_S)}" for key, value in known.items() if value is not None)
    return f"{name} of {counted(distribution['count'], 'request')}: {shown}"


def _line(name: str, colour: str, values: Sequence[float | None], points: Points, **more: Any) -> Line:
    """Values over time, each in the middle of the time that it stands for."""
    dx = points.width_s * 1000
    return {"name": name, "meta": colour, "mode": "lines", "x0": dx / 2, "dx": dx, "y": values, **more}


def _lone_points(line: Line) -> list[Line]:
    """Values between two gaps, which no line connects, as dots; nothing if there are none."""
    padded = [None, *line["y"], None]
    lone = [
        value if before is None and after is None else None
        for before, value, after in zip(padded, padded[1:], padded[2:], strict=False)
    ]
    if all(value is None for value in lone):
        return []
    dots: Line = {key: line[key] for key in _OF_DOTS if key in line}
    return [{**dots, "mode": "markers", "y": lone, "showlegend": False, "hoverinfo": "skip"}]


def _over_time(result: PlainResult, points: Points) -> dict[str, Any]:
    """The layout of a chart over time: its axis, and the phases of the load."""
    end_s = points.size * points.width_s
    axis = _time_axis(end_s)
    marks = []
    warmup_s = result["profile"].get("warmup_s", 0)
    if warmup_s:
        marks.append({"type": "rect", "x0": 0, "x1": min(warmup_s, end_s) * 1000, **_mark("warm-up")})
    if "aborted_s" in result:
        marks.append({"type": "line", **dict.fromkeys(("x0", "x1"), result["aborted_s"] * 1000), **_mark("aborted")})
    return {"xaxis": axis, "shapes": marks}


def _time_axis(end_s: float) -> dict[str, Any]:
    clock = "%-H:%M:%S" if end_s >= _HOUR_S else "%-M:%S"
    axis: dict[str, Any] = {
        "type": "date",  # milliseconds since 1970 there: so its labels are times at any zoom
        "range": [0, end_s * 1000],
        "tickformat": clock,
        "tickformatstops": [{"dtickrange": [None, 999], "value": f"{clock}.%L"}],
        "hoverformat": clock,
    }
    if end_s <= _SHORT_S:
        axis["dtick"] = 1000
    return axis


def _axis_of_counts(title: str, values: Sequence[float | None]) -> dict[str, Any]:
    """From zero, and without fractions for small counts."""
    axis: dict[str, Any] = {"title": {"text": title}, "rangemode": "tozero", "tickmode": "auto"}
    if max(value or 0 for value in values) <= _FEW:
        axis |= {"tickmode": "linear", "tick0": 0, "dtick": 1}
    return axis


def _mark(text: str) -> dict[str, Any]:
    return {"yref": "paper", "y0": 0, "y1": 1, "label": {"text": text, "textposition": "top left"}}


def _rounded(milliseconds: float) -> float:
    """As precise as the eye can see, for a smaller page."""
    return float(f"{milliseconds:.4g}")


def _length(points: Points) -> str:
    return f"Over {format_duration(points.size * points.width_s)}"


def _span(values: Sequence[float | None]) -> str:
    known = [int(value) for value in values if value is not None]
    low, high = min(known), max(known)
    return format_count(low) if low == high else f"{format_count(low)} to {format_count(high)}"
