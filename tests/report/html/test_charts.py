from __future__ import annotations

import json
from typing import Any

import pytest
from support.pages import full_result
from support.results import load_result
from support.samples import request

from pytest_ipload.report.html.charts import Chart, charts_of
from pytest_ipload.report.html.points import points_of


def charts(result: dict[str, Any], most: int = 3600) -> dict[str, Chart]:
    found = {chart.title: chart for chart in charts_of(result, points_of(result["timeline"], most))}
    for chart in found.values():
        json.dumps(chart.plot, allow_nan=False)
    return found


def lines(chart: Chart) -> dict[str, Any]:
    return {line["name"]: line for line in chart.plot["data"] if line["mode"] == "lines"}


def timeline(*seconds: dict[str, Any]) -> dict[str, Any]:
    rows = [{"t_s": t_s, "users": 2, "requests": 3, "failed_requests": 0, **row} for t_s, row in enumerate(seconds)]
    return {"profile": {}, "timeline": rows, "latency": {"count": 0}}


def test_a_load_has_all_charts() -> None:
    assert list(charts(full_result())) == [
        "Latency of successful requests over time",
        "Response time of successful requests over time",
        "Requests per second, and users",
        "Failed requests over time",
        "Distribution by percentile",
    ]


def test_without_planned_starts_there_is_no_response_time() -> None:
    found = charts(load_result([request(), request(at_ms=3000)]).as_dict())
    assert "Response time of successful requests over time" not in found
    assert list(lines(found["Distribution by percentile"])) == ["latency"]


def test_a_load_without_requests_has_no_chart() -> None:
    assert charts(load_result([]).as_dict()) == {}


def test_a_load_whose_requests_all_failed_has_no_latency() -> None:
    assert list(charts(timeline({"failed_requests": 3}, {"failed_requests": 3}))) == [
        "Requests per second, and users",
        "Failed requests over time",
    ]


def test_each_percentile_is_a_line_in_the_middle_of_its_seconds() -> None:
    chart = charts(timeline({"p50_ms": 1.0, "p95_ms": 2.00004}, {"p50_ms": 1.5, "p95_ms": 3.0}))[
        "Latency of successful requests over time"
    ]
    found = lines(chart)
    assert {name: line["y"] for name, line in found.items()} == {"p50": [1.0, 1.5], "p95": [2.0, 3.0]}
    assert {(line["x0"], line["dx"]) for line in found.values()} == {(500, 1000)}
    assert chart.plot["layout"]["xaxis"]["range"] == [0, 2000]
    assert chart.summary == "Over 2.00 s: p50 from 1.00 ms to 1.50 ms; p95 from 2.00 ms to 3.00 ms"


def test_points_of_several_seconds_are_as_far_apart() -> None:
    found = charts(timeline(*[{"p50_ms": 1.0}] * 5), most=2)["Latency of successful requests over time"]
    assert [(line["x0"], line["dx"]) for line in found.plot["data"]] == [(1500, 3000)]
    assert found.plot["layout"]["xaxis"]["range"] == [0, 6000]


def test_what_was_not_measured_is_a_gap() -> None:
    chart = charts(timeline({"p50_ms": 1.0}, {"p50_ms": 2.0}, {}, {"p50_ms": 2.0}, {"p50_ms": 1.0}))[
        "Latency of successful requests over time"
    ]
    assert [line["y"] for line in chart.plot["data"]] == [[1.0, 2.0, None, 2.0, 1.0]]


def test_a_value_between_gaps_is_a_dot() -> None:
    chart = charts(timeline({"p50_ms": 1.0}, {}, {"p50_ms": 2.0}, {"p50_ms": 3.0}))[
        "Latency of successful requests over time"
    ]
    line, dots = chart.plot["data"]
    assert (line["mode"], dots["mode"], dots["y"]) == ("lines", "markers", [1.0, None, None, None])
    assert (dots["meta"], dots["x0"], dots["dx"]) == (line["meta"], line["x0"], line["dx"])


def test_a_load_of_less_than_a_second_is_a_dot() -> None:
    chart = charts(timeline({"p50_ms": 1.0}))["Requests per second, and users"]
    assert [(line["name"], line["mode"], line["y"]) for line in chart.plot["data"]] == [
        ("requests/s", "lines", [3]),
        ("requests/s", "markers", [3]),
        ("users", "lines", [2]),
        ("users", "markers", [2]),
    ]
    assert {line.get("yaxis") for line in chart.plot["data"] if line["name"] == "users"} == {"y2"}


def test_failures_are_told_in_words_too() -> None:
    result = timeline({}, {"failed_requests": 3}, {"failed_requests": 4})
    chart = charts(result)["Failed requests over time"]
    assert lines(chart)["failed"]["y"] == [0, 3, 4]
    assert chart.summary == "Over 3.00 s: 7 failed requests, in 2 seconds, at most 4 in one"
    assert charts(timeline({}, {}))["Failed requests over time"].summary == "Over 2.00 s: 0 failed requests"


def test_failures_in_longer_steps_are_counted_and_shown_per_second() -> None:
    result = timeline({}, {"failed_requests": 3}, {"failed_requests": 4})
    for step in result["timeline"]:
        step["t_s"] *= 2
    found = {chart.title: chart for chart in charts_of(result, points_of(result["timeline"], 10, 2))}
    chart = found["Failed requests over time"]
    assert lines(chart)["failed"]["y"] == [0, 1.5, 2]
    assert chart.summary == "Over 6.00 s: 7 failed requests, in 2 steps of 2 s, at most 4 in one"


def test_the_distribution_is_that_of_the_histograms() -> None:
    result = full_result()
    chart = charts(result)["Distribution by percentile"]
    found = lines(chart)
    assert list(found) == ["latency", "response time"]
    assert found["latency"]["y"][-1] == float(f"{result['latency']['max_ms']:.4g}")
    assert found["response time"]["y"][0] == pytest.approx(result["response_time"]["min_ms"], rel=0.001)
    assert len(found["latency"]["text"]) == len(found["latency"]["y"])
    assert chart.plot["layout"]["xaxis"]["ticktext"] == ["50 %", "90 %", "99 %", "99.9 %"]
    assert chart.summary.startswith("latency of 870 requests: p50 ")


@pytest.mark.parametrize("requests", [1, 2, 5])
def test_a_few_requests_have_a_distribution_too(requests: int) -> None:
    layout = charts(load_result([request()] * requests).as_dict())["Distribution by percentile"].plot["layout"]
    assert set(layout["xaxis"]["ticktext"]) <= {"50 %", "90 %"}
    assert layout["xaxis"]["range"][1] > 0


def test_warm_up_and_the_end_by_a_threshold_are_marked() -> None:
    result = {**timeline({}, {}, {}), "profile": {"warmup_s": 1.0}, "aborted_s": 2.5}
    for chart in charts(result).values():
        warmup, aborted = chart.plot["layout"]["shapes"]
        assert (warmup["x0"], warmup["x1"], warmup["label"]["text"]) == (0, 1000, "warm-up")
        assert (aborted["x0"], aborted["x1"], aborted["label"]["text"]) == (2500, 2500, "aborted")
    for chart in charts(timeline({}, {})).values():
        assert chart.plot["layout"]["shapes"] == []
