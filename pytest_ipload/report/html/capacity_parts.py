"""A capacity search in the HTML report: its rounds as a table, and latency and errors over the rate. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
            search.capacity["reason"],
        )
        for search in searches_of(result)
    ]


def capacity_plots(result: PlainResult) -> list[tuple[str, str, dict[str, Any]]]:
    """Title, summary in words, and ``data`` and ``layout`` of plotly.js, of each search with rounds."""
    return [_plot(search) for search in searches_of(result) if search.capacity["rounds"]]


def _plot(search: Search) -> tuple[str, str, dict[str, Any]]:
    capacity = search.capacity
    by = capacity["by"]
    rounds = sorted(capacity["rounds"], key=lambda row: (row[by], row["number"]))
    title = f"Latency and errors by {'number of users' if by == 'users' else 'arrival rate'}"
    unit = "users" if by == "users" else "iterations/s"
    lines = [_line(name, name, rounds, by, key, dash) for name, key, dash in _LINES if _is_measured(rounds, key)]
    failing = [row for row in rounds if row["state"] == "fails"]
    if _is_measured(failing, "p95_ms"):
        lines.append({**_line("p95 of failed rounds", "failed", failing, by, "p95_ms", "solid"), "mode": "markers"})
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
        marks.append({"type": "rect", "x0": capacity["low"], "x1": end, **_label("95 % interval")})
    for key, text in (("rate", "capacity"), ("at_least", "promise")):
        if (level := capacity.get(key)) is not None:
            marks.append({"type": "line", "x0": level, "x1": level, **_label(f"{text} {level_of(capacity, level)}")})
    return marks


def _label(text: str) -> dict[str, Any]:
    return {"yref": "paper", "y0": 0, "y1": 1, "label": {"text": text, "textposition": "top left"}}
