from __future__ import annotations

from typing import Any

import pytest
from support.pages import full_result, with_optional
from support.results import explained, load_result
from support.samples import request

from pytest_ipload.report.html import html_tables
from pytest_ipload.report.html.explanation_table import explanation_table
from pytest_ipload.report.html.html_tables import MOST_ROWS, Table
from pytest_ipload.report.html.points import points_of


def row(table: Table, number: int = 0) -> dict[str, str]:
    return dict(zip(table.headers, table.rows[number], strict=True))


def threshold(**fields: Any) -> dict[str, Any]:
    usual = {
        "expression": "p95 < 200ms",
        "severity": "fail",
        "passed": True,
        "unit": "ms",
        "limit": 200.0,
        "measured": 100.0,
        "samples": 1200,
        "ci_low": 90.0,
        "ci_high": 110.0,
        "uncertain": False,
        "message": "in words",
        "undecided": False,
        "aborted": False,
    }
    return {key: value for key, value in {**usual, **fields}.items() if value is not None}


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, {"outcome": "ok", "measured": "100 ms", "limit": "200 ms", "samples": "1 200", "remarks": ""}),
        ({}, {"confidence interval": "90.0 ms to 110 ms (95 %)"}),
        ({"confidence": 0.99}, {"confidence interval": "90.0 ms to 110 ms (99 %)"}),
        ({"ci_high": None}, {"confidence interval": "above 90.0 ms (95 %)"}),
        ({"ci_low": None}, {"confidence interval": "below 110 ms (95 %)"}),
        ({"ci_low": None, "ci_high": None}, {"confidence interval": "–"}),
        ({"passed": False}, {"outcome": "failed"}),
        ({"passed": False, "aborted": True}, {"outcome": "failed, aborted the load"}),
        ({"passed": False, "severity": "warn"}, {"outcome": "warning", "remarks": "does not fail the test"}),
        ({"undecided": True}, {"outcome": "undecided"}),
        ({"undecided": True, "passed": False}, {"outcome": "failed"}),
        ({"measured": None, "passed": False}, {"measured": "–", "remarks": "in words"}),
        (
            {"window_s": 10.0, "uncertain": True},
            {"remarks": "the worst window of 10s, too few samples for this percentile"},
        ),
        ({"unit": "fraction", "limit": 0.01, "measured": 0.5}, {"measured": "50 %", "limit": "1 %"}),
        ({"unit": "1/s", "limit": 100.0, "measured": 99.9}, {"measured": "99.9/s", "limit": "100/s"}),
    ],
)
def test_a_threshold(fields: dict[str, Any], shown: dict[str, str]) -> None:
    found = row(html_tables.threshold_table({"thresholds": [threshold(**fields)]}))
    assert shown.items() <= found.items()


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "not judged"),
        ({"regressed": False}, "not judged"),
        ({"regressed": False, "limit": "p95:10%"}, "ok"),
        ({"regressed": True, "limit": "p95:10%"}, "regressed"),
        ({"regressed": False, "undecided": True, "limit": "p95:10%"}, "undecided"),
    ],
)
def test_a_comparison(fields: dict[str, Any], outcome: str) -> None:
    comparison = {"metric": "p95", "unit": "ms", "current": 110.0, "baseline": 100.0, "change": 0.1, **fields}
    found = row(html_tables.comparison_table({"comparisons": [comparison]}))
    assert found["outcome"] == outcome
    assert [found[key] for key in ("metric", "now", "baseline", "change")] == ["p95", "110 ms", "100 ms", "+10 %"]


def test_of_a_comparison_every_field_may_be_absent() -> None:
    found = row(html_tables.comparison_table({"comparisons": [{}]}))
    assert set(found.values()) == {"–", "not judged"}
    assert html_tables.comparison_table({}).rows == []


def test_what_was_measured_in_parts() -> None:
    result = full_result()
    by_name = html_tables.request_table(result)
    assert [cells[:2] for cells in by_name.rows] == [["GET /cart", "870"], ["POST /orders", "1"]]
    assert row(by_name, 1)["failed"] == "1"
    assert row(by_name, 1)["p95"] == "–"
    assert row(html_tables.request_table(result, "setup"))["request"] == "POST /login"
    assert "requests/s" not in html_tables.request_table(result, "setup").headers
    assert row(html_tables.step_table(result))["step"] == "GET /cart"
    source = html_tables.source_table(result)
    assert [cells[0] for cells in source.rows] == ["127.0.0.2", "127.0.0.3"]
    assert source.note == "Not used: 3 addresses of the pool (127.0.0.4, 127.0.0.5, ...)"
    times = html_tables.distribution_table(result)
    assert [cells[:2] for cells in times.rows] == [["latency", "870"], ["response time", "870"]]
    assert [row(times)[key] for key in ("min", "p99.9", "max")] == ["10.0 ms", "99.0 ms", "99.0 ms"]


def test_failures_and_who_was_first() -> None:
    found = row(html_tables.failure_table(full_result("GET /cart", message="no stock")))
    assert list(found.values()) == ["GET /cart", "3", "test_a.py:3", "no stock", "0", "0", "–"]


def test_shards() -> None:
    found = row(html_tables.shard_table(with_optional(full_result(), "ci-1")))
    assert list(found.values()) == ["gw0", "ci-1", "1", "20", "1 000", "1", "500 us", "50 %", "–"]
    assert html_tables.shard_table({}).rows == []


def test_rounds() -> None:
    rounds = [
        {"role": "base", "base_url": "http://old.test", "verdict": "passed", "requests": 5, "rps": 2.5, "p50_ms": 1.0},
        {"role": "current", "verdict": "failed", "requests": 0, "rps": 0.0},
    ]
    table = html_tables.round_table({"rounds": rounds})
    assert [list(cells) for cells in table.rows] == [
        ["1", "base", "http://old.test", "passed", "5", "2.5", "–", "1.00 ms", "–", "–"],
        ["2", "current", "–", "failed", "0", "0", "–", "–", "–", "–"],
    ]
    assert html_tables.round_table({}) == html_tables.Table("Rounds", table.headers, [], table.texts)


def test_settings_have_their_origins() -> None:
    found = {name: (value, origin) for name, value, origin in html_tables.setting_table(full_result()).rows}
    assert found["duration"] == ("12s", "marker")
    assert found["think_time"] == ("0s", "–")
    assert "origins" not in found


def test_the_environment_names_packages_one_by_one() -> None:
    table = html_tables.environment_table({"python": "3.12.1", "processors": 2, "packages": {"pytest": "9.0.0"}})
    assert table.rows == [["python", "3.12.1"], ["processors", "2"], ["pytest", "9.0.0"]]


def test_the_numbers_of_the_charts() -> None:
    timeline: list[dict[str, Any]] = [
        {"t_s": 0, "users": 1, "requests": 5, "failed_requests": 0, "p50_ms": 1.0, "response_p50_ms": 2.0},
        {"t_s": 1, "users": 1, "requests": 0, "failed_requests": 0},
    ]
    table = html_tables.timeline_table(points_of(timeline, 10))
    assert table.headers == ["from", "users", "requests", "failed", "p50", "response p50"]
    assert [list(cells) for cells in table.rows] == [
        ["0:00", "1", "5", "0", "1.00 ms", "2.00 ms"],
        ["0:01", "1", "0", "0", "–", "–"],
    ]
    assert html_tables.timeline_table(points_of(timeline, 1)).note.startswith("Each point stands for 2 seconds")
    timeline[1]["t_s"] = 2
    assert [row[:4] for row in html_tables.timeline_table(points_of(timeline, 10, 2)).rows] == [
        ("0:00", "1", "2.5", "0"),
        ("0:02", "1", "0", "0"),
    ]


def test_a_table_has_an_end() -> None:
    names = [request(f"GET /{number}") for number in range(MOST_ROWS + 2)]
    table = html_tables.request_table(load_result(names).as_dict())
    assert len(table.rows) == MOST_ROWS
    assert table.note == "And 2 more request names, which are in the JSON report"


def test_the_index_has_the_main_numbers() -> None:
    table = html_tables.index_table([full_result(), load_result([]).as_dict()])
    assert row(table)["requests"] == "871"
    assert [row(table, 1)[key] for key in ("requests", "error rate", "p95")] == ["0", "–", "–"]


def test_where_the_targets_time_went() -> None:
    table = explanation_table(load_result([]).with_explanation(explained()).as_dict())
    assert row(table) == {
        "line": "shop/cart.py:30 price_of",
        "code": "time.sleep(1)",
        "called by": "app.py:3 f",
        "slow seconds": "75 %",
        "other seconds": "5 %",
        "growth": "+60 to +70 points",
        "samples": "90 and 7",
    }
    assert row(table, 1)["line"] == "werkzeug"
    result = load_result([]).with_explanation(explained("share")).as_dict()
    assert [*row(explanation_table(result))] == ["line", "code", "called by", "share", "samples"]
    result["explain"]["lines"][0]["library"] = "pg8000"
    assert row(explanation_table(result))["in library"] == "pg8000"
    assert explanation_table(load_result([]).as_dict()).rows == []


@pytest.mark.parametrize(
    ("names", "starts"),
    [
        (["GET /api/v2/customers/orders", "GET /api/v2/customers/invoices", "POST /login"], [22, 22, 0]),
        (["GET /api/v2/customers/", "GET /api/v2/customers/orders"], [0, 0]),  # nothing would be left of the first
        (["GET /cart", "GET /carts"], [0, 0]),
        (["GET /api/v2/customers/a?sort=up", "GET /api/v2/customers/a?sort=down"], [24, 24]),
        ([], []),
    ],
)
def test_the_long_start_that_names_share(names: list[str], starts: list[int]) -> None:
    assert html_tables.shared_starts(names) == starts
