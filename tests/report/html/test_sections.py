from __future__ import annotations

from typing import Any

import pytest
from support.pages import full_result, with_optional
from support.results import load_result
from support.samples import request

from pytest_ipload.report.html.sections import Fact, Section, Verdict, headline, sections_of
from pytest_ipload.report.terminal.load_block import block


def section(result: dict[str, Any]) -> Section:
    (found,) = sections_of([result])
    return found


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"verdict": "passed"}, Verdict("passed", "✓", "Passed")),
        ({"verdict": "failed"}, Verdict("failed", "✕", "Failed")),
        ({"verdict": "invalid"}, Verdict("invalid", "!", "Invalid")),
        ({"segment": "1/4", "part": {}}, Verdict("segment", "…", "Segment 1/4, judged when it is merged")),
    ],
)
def test_a_verdict_is_a_sign_and_a_word(fields: dict[str, Any], verdict: Verdict) -> None:
    assert section({**full_result(), **fields}).verdict == verdict


def test_the_headline_counts_verdicts() -> None:
    results = [{**full_result(), "verdict": verdict} for verdict in ("passed", "failed", "passed", "invalid")]
    assert headline(sections_of(results)) == "4 load tests: 1 failed, 1 invalid, 2 passed"
    assert headline(sections_of([{**results[0], "segment": "0/2"}])) == "1 load test: 1 segment not judged yet"
    assert headline([]) == "0 load tests"


def test_the_main_numbers() -> None:
    facts = {fact.name: fact for fact in section(full_result()).facts}
    assert facts["Requests"] == Fact("Requests", "871")
    assert facts["Failed iterations"] == Fact("Failed iterations", "1", "5 %")
    assert facts["Latency max"] == Fact("Latency max", "99.0 ms", "response 104 ms")
    assert "Never started" not in facts


def test_what_was_not_measured_is_no_fact() -> None:
    facts = {fact.name: fact for fact in section(load_result([]).as_dict()).facts}
    assert not [name for name in facts if name.startswith("Latency")]
    assert facts["Failed requests"] == Fact("Failed requests", "0", "–")


def test_dropped_iterations_and_retries_are_facts() -> None:
    result = {**full_result(), "planned_iterations": 1200, "dropped_iterations": 7, "retried_requests": 2}
    facts = {fact.name: fact for fact in section(result).facts}
    assert facts["Never started"] == Fact("Never started", "7", "of 1 200 planned iterations")
    assert facts["Requests"].note == "2 times sent again on a new connection"


def test_the_subtitle_says_when_and_what_is_left_out() -> None:
    assert section(with_optional(full_result())).subtitle == (
        "started 2025-01-01 00:00:00 UTC · lasted 12.0 s · 1 user · a warm-up of 0 iterations is left out of the "
        "numbers · aborted by a threshold after 11.0 s"
    )
    assert section(load_result([]).as_dict()).subtitle == "started 2025-01-01 00:00:00 UTC · lasted 10.0 s · 1 user"


def test_the_generator() -> None:
    result = full_result()
    result["generator"] |= {"faults": {"ports-exhausted": 3}, "suppressed": ["few-ports"], "pinned_cpu": 1}
    facts = {fact.name: fact for fact in section(result).generator}
    assert facts["State"].value == "not healthy"
    assert facts["Processor"] == Fact("Processor", "50 %", "of one core")
    assert facts["Generator error: ports-exhausted"].value == "3"
    assert facts["Suppressed checks"] == Fact("Suppressed checks", "1", "few-ports")
    assert facts["Pinned to CPU"].value == "number 1"


def test_tables_without_rows_are_left_out() -> None:
    captions = [table.caption for table in section(load_result([request()]).as_dict()).tables]
    assert captions == ["Requests by name"]


def test_the_traceback_keeps_its_lines() -> None:
    assert section(full_result()).traceback == []
    assert section(with_optional(full_result(), "no stock")).traceback == [
        "def test_it():",
        ">       no stock",
        "E       no stock",
    ]
    assert section({**full_result(), "traceback": {}}).traceback == []


@pytest.mark.parametrize(("tests", "points"), [(1, 3600), (5, 3600), (6, 1800), (60, 300)])
def test_many_long_tests_share_the_points_of_a_page(tests: int, points: int) -> None:
    second = {"users": 1, "requests": 1, "failed_requests": 0}
    result = {**full_result(), "timeline": [{"t_s": t_s, **second} for t_s in range(3600)]}
    found = sections_of([result] * tests)[-1]
    requests = next(chart for chart in found.charts if chart.title == "Requests per second, and users")
    assert len(requests.plot["data"][0]["y"]) == points
    assert ("stands for" in found.point_note) == (points < 3600)
    assert len(found.timeline.rows) == 120


def test_it_says_what_the_terminal_says() -> None:
    result = full_result()
    terminal = " ".join(" ".join(block(result)).split())
    shown = [cell for table in section(result).tables[:2] for cells in table.rows for cell in cells if cell != "–"]
    assert [cell for cell in shown if cell not in terminal] == []


def test_loads_that_ran_together_are_in_one_chart() -> None:
    seconds = [{"t_s": t_s, "users": 1, "requests": 3 + t_s, "failed_requests": 0} for t_s in range(2)]
    results = [
        {
            **full_result(),
            "nodeid": f"test_a.py::test_{name}",
            "together": "shop",
            "timeline": seconds,
            "started_at": at,
        }
        for name, at in (("one", "2026-01-01T10:00:00+00:00"), ("two", "2026-01-01T10:00:05+00:00"))
    ]
    one, two, alone, unmeasured = sections_of(
        [*results, full_result(), {"nodeid": "x", "verdict": "error", "reason": "", "together": "shop"}]
    )
    title = "Requests per second of the loads that ran together"
    chart = one.charts[-1]
    assert (chart.title, two.charts[-1]) == (title, chart)
    assert [line["name"] for line in chart.plot["data"]] == ["test_one", "test_two"]
    assert [line["x0"] for line in chart.plot["data"]] == [500, 5500]
    assert chart.plot["layout"]["xaxis"]["range"] == [0, 7000]
    assert chart.summary == "test_one: 3 to 4 requests per second; test_two: 3 to 4 requests per second"
    assert one.subtitle.endswith("together: shop, with test_two, x")
    assert title not in [each.title for each in (*alone.charts, *unmeasured.charts[:-1])]
