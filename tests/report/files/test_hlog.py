from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.readers import read_hlog
from support.results import load_result
from support.samples import request

from pytest_ipload.report.files.hlog import tag_of, write
from pytest_ipload.report.files.json_file import report_of
from pytest_ipload.stats.sample import FAILED

START_S = 1735689600.0
"""2025-01-01, when the loads of ``load_result`` begin."""


def written(path: Path, *results: dict[str, Any]) -> str:
    write(path, report_of(results))
    return path.read_text(encoding="ascii")


def test_a_log_has_its_head_a_legend_and_an_interval_for_each_second_and_each_name(tmp_path: Path) -> None:
    samples = [request(latency_ms=2, at_ms=100), request(latency_ms=3, at_ms=200), request(latency_ms=5, at_ms=2500)]
    result = load_result(samples, seconds=2.75).as_dict()
    lines = written(tmp_path / "new" / "out.hlog", result).splitlines()
    seconds = [point.get("histogram") for point in result["timeline"]]
    assert lines == [
        "#[pytest-ipload: values are microseconds, Interval_Max is milliseconds]",
        "#[Histogram log format version 1.3]",
        "#[StartTime: 1735689600.000 (seconds since epoch), Wed Jan  1 00:00:00 2025 UTC]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
        f"Tag=test_a.py::test_a,1735689600.000,1.000,3.001,{seconds[0]}",
        f"Tag=test_a.py::test_a|GET%20/,1735689600.000,2.750,5.003,{result['by_name'][0]['latency']['histogram']}",
        f"Tag=test_a.py::test_a,1735689602.000,0.750,5.003,{seconds[2]}",
    ]
    assert seconds[1] is None


def test_an_interval_is_as_long_as_a_step_of_the_timeline(tmp_path: Path) -> None:
    samples = [request(latency_ms=2, at_ms=100), request(latency_ms=3, at_ms=8_200_000)]
    result = load_result(samples, seconds=8200.5).as_dict()
    lines = written(tmp_path / "out.hlog", result).splitlines()
    assert [line.split(",")[1:3] for line in lines if "|" not in line and line.startswith("Tag")] == [
        ["1735689600.000", "4.000"],
        ["1735697800.000", "0.500"],
    ]


def test_counts_and_percentiles_are_those_of_the_result(tmp_path: Path) -> None:
    samples = [request(f"GET /{number % 3}", number, at_ms=number * 4) for number in range(1, 901)]
    result = load_result(samples).as_dict()
    written(tmp_path / "out.hlog", result)
    intervals = read_hlog(tmp_path / "out.hlog")
    rows = {("test_a.py::test_a", row["name"]): row["latency"] for row in result["by_name"]}
    names = {each.tag: each.histogram for each in intervals if len(each.tag) == 2}
    assert names.keys() == rows.keys()
    for tag, histogram in names.items():
        assert histogram.get_total_count() == rows[tag]["count"] == 300  # so the ranks of percentiles are whole numbers
        for percentile, key in ((50, "p50_ms"), (95, "p95_ms"), (99, "p99_ms")):
            assert histogram.get_value_at_percentile(percentile) / 1000 == pytest.approx(rows[tag][key], abs=0.001)
    points = {START_S + point["t_s"]: point for point in result["timeline"] if point["requests"]}
    seconds = {each.start_s: each.histogram for each in intervals if len(each.tag) == 1}
    assert seconds.keys() == points.keys()
    for start_s, histogram in seconds.items():
        point = points[start_s]
        assert histogram.get_total_count() == point["requests"]
        assert histogram.get_max_value() / 1000 >= point["max_ms"]
        assert histogram.get_value_at_percentile(100) / 1000 == pytest.approx(point["max_ms"], rel=0.01)


def test_loads_after_each_other_do_not_overlap_and_lines_are_in_the_order_of_time(tmp_path: Path) -> None:
    late, early = (load_result([request(at_ms=10)], nodeid=name, seconds=1).as_dict() for name in ("late", "early"))
    late["started_at"] = "2025-01-01T00:00:07.250+00:00"
    assert "#[StartTime: 1735689600.000 " in written(tmp_path / "out.hlog", late, early)
    found = [(each.tag[0], each.start_s - START_S, each.end_s - START_S) for each in read_hlog(tmp_path / "out.hlog")]
    assert found == [("early", 0, 1)] * 2 + [("late", 7.25, 8.25)] * 2


def test_a_name_is_told_over_what_was_judged(tmp_path: Path) -> None:
    result = load_result([request(at_ms=100), request(at_ms=1500)], warmup_s=1.0, seconds=2.0).as_dict()
    result["profile"]["warmup_s"] = 1.0
    written(tmp_path / "out.hlog", result)
    found = [(len(each.tag), each.start_s - START_S, each.end_s - START_S) for each in read_hlog(tmp_path / "out.hlog")]
    assert found == [(1, 0, 1), (1, 1, 2), (2, 1, 2)]


def test_without_a_successful_request_there_is_no_interval(tmp_path: Path) -> None:
    lines = written(tmp_path / "out.hlog", load_result([request(outcome=FAILED)]).as_dict()).splitlines()
    assert len(lines) == 3
    assert read_hlog(tmp_path / "out.hlog") == []
    assert not any("StartTime:" in line for line in lines)


@pytest.mark.parametrize(
    ("nodeid", "name", "tag"),
    [
        ("tests/a.py::test_a[x-1]", None, "tests/a.py::test_a[x-1]"),
        ("a.py::t", "GET /a b,c", "a.py::t|GET%20/a%20b%2Cc"),
        ("a.py::t", "a|b\n%", "a.py::t|a%7Cb%0A%25"),
        ("a.py::t", "größe", "a.py::t|gr%C3%B6%C3%9Fe"),
        ("a.py::t", "\ud800\x85\u2028", "a.py::t|%ED%A0%80%C2%85%E2%80%A8"),
    ],
)
def test_a_tag_has_no_comma_no_space_and_nothing_that_ends_a_line(nodeid: str, name: str | None, tag: str) -> None:
    assert tag_of(nodeid, name) == tag


@given(st.text(st.characters()), st.text(st.characters()))
def test_a_tag_can_be_read_back(nodeid: str, name: str) -> None:
    tag = tag_of(nodeid, name)
    assert tag.isascii()
    assert tag.isprintable()
    assert not set(tag) & set(', "#')
    assert [unquote(part, errors="surrogatepass") for part in tag.split("|")] == [nodeid, name]
