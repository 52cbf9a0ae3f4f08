"""A capacity search in the HTML report: its rounds as a table, and latency and errors over the rate. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_ipload.base.units import MS_PER_S, format_duration
from pytest_ipload.report.html.html_tables import Table
from pytest_ipload.report.terminal.capacity_lines import HEADERS, Search, level_of, round_rows, searches_of
from pytest_ipload.stats.summary import PlainResult

_LINES = (("p50", "p50_ms", "solid"), ("p95", "p95_ms", "solid"), ("p99", "p99_ms", "dash"))


def capacity_tables(result: PlainResult) -> list[Table]:
    """The rounds of each search."""
    return [
        Table(
            f"Rounds of the capacity search{f', {search.title}' if search.title else ''}",
            list(HEADERS),
            list(round_rows(search.capacity)),
            frozenset({"outcome"}),
            _which_is_shown(search.capacity),
        )
        for search in searches_of(result)
    ]


def capacity_facts(result: PlainResult) -> list[tuple[str, str, str]]:
    """Name, value and note of each search's result."""
    return [
        (
            f"Capacity{f', {search.title}' if search.title else ''}",
            level_of(search.capacity, search.capacity.get("rate")) if "rate" in search.capacity else "unknown",
            _interval(search.capacity),
        )
        for search in searches_of(result)
    ]


def capacity_plots(result: PlainResult) -> list[tuple[str, str, dict[str, Any]]]:
    """Title, summary in words, and ``data`` and ``layout`` of plotly.js, of each search with rounds."""
    return [_plot(search, _limit_ms(result, search)) for search in searches_of(result) if search.capacity["rounds"]]


def _interval(capacity: Mapping[str, Any]) -> str:
    """Of the capacity, as far as it has one."""
    low, high = (capacity.get(key) for key in ("low", "high"))
    if low is None:
        return "" if high is None else f"below {level_of(capacity, high)}"
    if "rate" not in capacity or high is None:
        return f"above {level_of(capacity, low)}"
    return f"95 % CI {level_of(capacity, low)} to {level_of(capacity, high)}"


def _limit_ms(result: PlainResult, search: Search) -> float | None:
    """The limit of a time that the search was judged by: rather of the one that limits the capacity."""
    limits = [each for each in result["thresholds"] if each["unit"] == "ms"]
    for each in sorted(limits, key=lambda each: each["expression"] != search.capacity.get("threshold")):
        return float(each["limit"])
    return None


def _plot(search: Search, limit_ms: float | None) -> tuple[str, str, dict[str, Any]]:
    capacity = search.capacity
    by = capacity["by"]
    in_order = sorted(capacity["rounds"], key=lambda row: (row[by], row["number"]))
    of_target = [row for row in in_order if row["state"] != "generator-limited"]  # others say nothing about the target
    rounds = of_target or in_order
    title = f"Latency and errors by {'number of users' if by == 'users' else 'arrival rate'}"
    unit = "users" if by == "users" else "iterations/s"
    lines = [_line(name, name, rounds, by, key, dash) for name, key, dash in _LINES if _is_measured(rounds, key)]
    failing = [row for row in rounds if row["state"] == "fails"]
    if _is_measured(failing, "p95_ms"):
        lines.append({**_line("failed rounds", "failed", failing, by, "p95_ms", "solid"), "mode": "markers"})
    if limit_ms is not None and len(rounds) > 1:
        lines.append(
            {
                "name": f"limit {format_duration(limit_ms / MS_PER_S)}",
                "meta": "failed",
                "mode": "lines",
                "line": {"dash": "dash"},
                "x": [rounds[0][by], rounds[-1][by]],
                "y": [limit_ms, limit_ms],
            }
        )
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": unit}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "ms"}, "rangemode": "tozero"},
        "hovermode": "closest",
        "shapes": _marks(capacity, rounds[-1][by]),
    }
    if any(row.get("error_rate") for row in rounds):
        errors = _line("errors", "failed", rounds, by, "error_rate", "dot")
        shares = [None if value is None else round(100 * value, 3) for value in errors["y"]]
        lines.append({**errors, "y": shares, "yaxis": "y2"})
        layout["yaxis2"] = {
            "title": {"text": "% errors"},
            "rangemode": "tozero",
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
        }
    words = f"{search.title + ': ' if search.title else ''}{capacity['reason']}"
    return (f"{title}, {search.title}" if search.title else title), words, {"data": lines, "layout": layout}


def _which_is_shown(capacity: Mapping[str, Any]) -> str:
    number = capacity.get("round")
    shown = [f"All other numbers of this test are those of round {number}"] if number else []
    return "; ".join([*shown, *capacity.get("remarks", ())])


def _is_measured(rounds: Sequence[Mapping[str, Any]], key: str) -> bool:
    return any(row.get(key) is not None for row in rounds)


def _line(name: str, colour: str, rounds: Sequence[Mapping[str, Any]], by: str, key: str, dash: str) -> dict[str, Any]:
    values = [None if row.get(key) is None else float(f"{row[key]:.4g}") for row in rounds]
    return {
        "name": name,
        "meta": colour,
        "mode": "lines+markers",
        "line": {"dash": dash},
        "x": [row[by] for row in rounds],
        "y": values,
        "text": [f"round {row['number']}, {row['state']}" for row in rounds],
    }


def _marks(capacity: Mapping[str, Any], highest: float) -> list[dict[str, Any]]:
    """The interval, the capacity and the promise."""
    marks = []
    if capacity.get("low") is not None:
        end = capacity.get("high", highest)
        marks.append(
            {"type": "rect", "x0": capacity["low"], "x1": end, **_label("95 % interval", textposition="middle left")}
        )
    beside: dict[str, dict[str, Any]] = {  # of each other: both are often near
        "capacity": {"textposition": "end", "xanchor": "left", "yanchor": "top"},
        "promise": {"textposition": "start", "xanchor": "right", "yanchor": "bottom"},
    }
    for key, text in (("rate", "capacity"), ("at_least", "promise")):
        if (level := capacity.get(key)) is not None:
            marks.append(
                {
                    "type": "line",
                    "x0": level,
                    "x1": level,
                    **_label(f"{text} {level_of(capacity, level)}", textangle=0, **beside[text]),
                }
            )
    return marks


def _label(text: str, **more: Any) -> dict[str, Any]:
    return {"yref": "paper", "y0": 0, "y1": 1, "label": {"text": text, **more}}
