"""The targets' own numbers in each report."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.results import load_result
from support.samples import request
from support.targets import CPU, RSS, target_readings

from pytest_ipload.report.files.json_file import report_of
from pytest_ipload.report.files.markdown import markdown_of
from pytest_ipload.report.files.metrics import metrics_of
from pytest_ipload.report.files.openmetrics import text_of
from pytest_ipload.report.html.cells import in_unit
from pytest_ipload.report.html.sections import sections_of
from pytest_ipload.report.terminal.load_block import block
from pytest_ipload.report.terminal.target_lines import target_lines
from pytest_ipload.stats.target_readings import TargetReadings

DB = TargetReadings("db", "prometheus", "host", url="http://db/", notes=["1 of 9 readings failed"])


def result(*targets: TargetReadings, warmup_s: float = 0.0) -> dict[str, Any]:
    samples = [request("GET /", at_ms=at_ms) for at_ms in range(0, 10_000, 500)]
    return load_result(samples, targets=targets or [target_readings(), DB], warmup_s=warmup_s).as_dict()


def test_the_terminal_has_a_line_for_each_with_its_notes() -> None:
    lines = [
        "target api (pid 7): cpu mean 73 %, max 100 %; rss max 109 MB, growth 3.60 GB/h "
        "(95 % CI 3.60 GB/h to 3.60 GB/h)",
        "target db (http://db/): nothing was read in the judged time",
        "  1 of 9 readings failed",
    ]
    assert target_lines(result()) == lines
    assert [line for line in block(result()) if line in lines] == lines


def test_a_growth_that_is_unknown_is_not_shown() -> None:
    assert "growth" not in target_lines(result(target_readings(metrics={"rss": [1e8, 2e8]})))[0]


def test_the_summary_has_them_too() -> None:
    text = markdown_of(report_of([result()]))
    assert "Targets:\n\n- `target api (pid 7): cpu mean 73 %" in text
    assert "- `1 of 9 readings failed`" in text


def test_a_load_without_targets_shows_nothing_of_them() -> None:
    plain = load_result([request("GET /")]).as_dict()
    assert "targets" not in plain
    assert "targets" not in plain["timeline"][0]
    assert target_lines(plain) == []
    assert "arget" not in markdown_of(report_of([plain]))


def test_the_timeline_has_each_second_of_each_target_the_warm_up_too() -> None:
    found = result(warmup_s=3.0)
    seconds = [point["targets"]["api"] for point in found["timeline"]]
    assert [second["cpu"] for second in seconds] == CPU
    assert [second["rss"] for second in seconds] == RSS
    assert found["targets"][0]["metrics"]["cpu"]["samples"] == 7


def test_a_target_that_no_request_comes_back_from_still_has_its_seconds() -> None:
    stalled = load_result([request("GET /")], targets=[target_readings()]).as_dict()
    assert len(stalled["timeline"]) == 10
    assert stalled["timeline"][9] == {
        "t_s": 9, "users": 1, "requests": 0, "failed_requests": 0, "targets": {"api": {"cpu": 70, "rss": 109000000}}
    }  # fmt: skip


class TestPage:
    def test_there_is_a_chart_for_each_metric_below_the_latency_on_the_same_axis(self) -> None:
        [section] = sections_of([result(target_readings(), target_readings("db"))])
        titles = [chart.title for chart in section.charts]
        assert titles[:3] == [
            "Latency of successful requests over time",
            "Target: processor time",
            "Target: resident memory",
        ]
        latency, cpu, rss = section.charts[:3]
        assert cpu.plot["layout"]["xaxis"] == latency.plot["layout"]["xaxis"]
        assert [line["name"] for line in cpu.plot["data"]] == ["api", "db"]
        assert cpu.plot["data"][0]["y"] == CPU
        assert rss.plot["data"][0]["y"] == [value / 1e6 for value in RSS]
        assert rss.plot["layout"]["yaxis"]["title"]["text"] == "MB"
        assert "api from 50 % to 100 %" in cpu.summary

    def test_the_table_has_all_statistics(self) -> None:
        [section] = sections_of([result()])
        [table] = [table for table in section.tables if table.caption == "Targets"]
        assert list(table.rows[0][:6]) == ["api (pid 7)", "cpu", "73 %", "100 %", "50 %", "70 %"]
        assert "db (http://db/): 1 of 9 readings failed" in table.note

    @pytest.mark.parametrize(
        ("value", "unit", "shown"), [(83.1, "%", "83.1 %"), (5e6, "bytes/h", "5.00 MB/h"), (7, "number", "7")]
    )
    def test_the_values_of_thresholds_are_shown_in_their_units(self, value: float, unit: str, shown: str) -> None:
        assert in_unit(value, unit) == shown


def test_openmetrics_has_them_in_base_units() -> None:
    text = text_of(metrics_of(report_of([result()])))
    families = {each.name: each for each in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    cpu = {each.labels["statistic"]: each.value for each in families["ipload_target_cpu_cores"].samples}
    assert cpu == {"mean": 0.73, "max": 1, "min": 0.5, "last": 0.7}
    assert families["ipload_target_cpu_cores"].samples[0].labels["place"] == "pid 7 on host"
    [growth] = [each for each in families["ipload_target_growth_per_hour"].samples if each.labels["metric"] == "rss"]
    assert growth.value == 3.6e9


def test_secrets_in_an_endpoint_are_masked() -> None:
    secret = TargetReadings("db", "prometheus", "host", url="http://me:geheim@db/?token=abcdef")
    shown = result(secret)["targets"][0]["url"]
    assert not re.search("geheim|abcdef", shown)
