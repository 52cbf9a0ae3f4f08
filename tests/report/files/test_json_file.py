from __future__ import annotations

import json
import platform
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram
from support.results import load_result
from support.samples import request

from pytest_ipload.base.environment import environment
from pytest_ipload.report.files.json_file import report_of, write
from pytest_ipload.stats.summary import LatencyStats, RequestStats, SourceStats, StepStats, TimelinePoint
from pytest_ipload.verdict.regression.comparison import ComparedWith, Comparison
from pytest_ipload.verdict.result import (
    FailureSummary,
    FiredCheck,
    FirstFailure,
    GeneratorHealth,
    LoadResult,
    ShardStats,
    UnusedAddresses,
)
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult

DOCUMENT = Path(__file__).parents[3] / "docs" / "json-report.md"

LATENCIES = [*range(1, 1001), 20_000]


def test_it_has_a_schema_an_environment_and_the_tests(tmp_path: Path) -> None:
    results = [load_result([request()]).as_dict(), load_result([], nodeid="test_b.py::b").as_dict()]
    write(tmp_path / "new" / "folder" / "out.json", report_of(results))
    report = json.loads((tmp_path / "new" / "folder" / "out.json").read_text(encoding="utf-8"))
    assert report == {"schema": 1, "environment": environment(), "tests": results}


def test_without_load_tests_the_list_is_empty(tmp_path: Path) -> None:
    write(tmp_path / "out.json", report_of([]))
    assert json.loads((tmp_path / "out.json").read_text())["tests"] == []


def test_a_report_of_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    for number in (200, 1):
        write(
            tmp_path / "out.json",
            report_of([load_result([request(f"GET /{each}") for each in range(number)]).as_dict()]),
        )
    assert json.loads((tmp_path / "out.json").read_text())["tests"][0]["requests"] == 1


@pytest.mark.parametrize("name", ["größe", "\ud800 alone", "a\x00b", "\u2028"])
def test_names_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    write(tmp_path / "out.json", report_of([load_result([request(name)]).as_dict()]))
    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert json.loads(text)["tests"][0]["by_name"][0]["name"] == name


def test_a_path_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write(tmp_path / "file" / "out.json", report_of([]))


def test_what_is_no_number_in_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "out.json", report_of([{"rps": float("nan")}]))


def test_the_histogram_is_read_by_hdr_histograms_own_library() -> None:
    latency = load_result([request(latency_ms=latency) for latency in LATENCIES]).as_dict()["latency"]
    theirs = HdrHistogram.decode(latency["histogram"])
    assert theirs.get_total_count() == latency["count"] == len(LATENCIES)
    for percentile, key in ((50, "p50_ms"), (95, "p95_ms"), (99.9, "p99_9_ms")):
        assert theirs.get_value_at_percentile(percentile) / 1000 == pytest.approx(latency[key], abs=0.001)


def test_the_environment_names_versions() -> None:
    found = environment()
    assert found["python"] == platform.python_version()
    assert found["packages"]["pytest"] == pytest.__version__
    assert {"pytest", "pytest-ipload", "requests", "urllib3"} <= set(found["packages"])
    assert set(found["packages"]) <= {"pytest", "pytest-ipload", "pytest-xdist", "requests", "urllib3"}


def test_a_package_that_is_not_installed_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_ipload.base.environment._PACKAGES", ("pytest", "no-such-package"))
    assert set(environment()["packages"]) == {"pytest"}


@pytest.mark.parametrize(
    "part",
    [
        *(LoadResult, LatencyStats, RequestStats, SourceStats, StepStats, TimelinePoint, ThresholdResult),
        *(FailureSummary, FirstFailure, GeneratorHealth, FiredCheck, UnusedAddresses, ShardStats),
        *(Comparison, ComparedWith),
    ],
)
def test_every_field_stands_in_the_documentation(part: Any) -> None:
    documented = set(re.findall(r"`(\w+)`", DOCUMENT.read_text(encoding="utf-8")))
    assert {field.name for field in fields(part)} <= documented
