"""The files of one run of an example: each is read back by a reader of others, and has the numbers of the JSON."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any, NamedTuple

import pytest
from support.demo import EXAMPLES
from support.plugins import OTHER_PLUGINS
from support.readers import READERS

from pytest_ipload.base.units import format_count, format_duration, format_percent
from pytest_ipload.report.files.registry import REPORT_FILES


class Run(NamedTuple):
    """What the files of a run say."""

    found: dict[str, Any]
    """By the name of the kind of file."""
    output: str

    @property
    def test(self) -> dict[str, Any]:
        """The one load test, of the JSON report."""
        [test] = self.found["json"]["tests"]
        found: dict[str, Any] = test
        return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run with all report files, read back."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    paths = {kind.name: folder / "reports" / f"out.{kind.name}" for kind in REPORT_FILES}
    options = [f"{kind.flag}={paths[kind.name]}" for kind in REPORT_FILES]
    without = [f"-pno:{name}" for name in OTHER_PLUGINS]
    load = ("--ipload-users=5", "--ipload-duration=1200ms", "--ipload-ramp-up=0s")
    command = [sys.executable, "-m", "pytest", "examples/test_checkout.py", *load, *options, *without]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    return Run({name: read(paths[name]) for name, read in READERS.items()}, done.stdout)


def test_each_kind_of_file_has_a_reader() -> None:
    assert set(READERS) == {kind.name for kind in REPORT_FILES}


def test_the_terminal_says_where_they_are(run: Run) -> None:
    for kind in REPORT_FILES:
        assert f"ipload {kind.name} report: " in run.output


def test_the_json_report_is_as_its_schema_says(run: Run) -> None:
    assert run.test["verdict"] == "passed"
    assert run.test["requests"] > 0
    assert [row["name"] for row in run.test["by_name"]] == ["GET /cart", "POST /orders"]


def test_the_log_has_the_histograms(run: Run) -> None:
    test = run.test
    names = {each.tag[1]: each for each in run.found["hlog"] if each.tag[1:]}
    assert list(names) == [row["name"] for row in test["by_name"]]
    for row in test["by_name"]:
        histogram = names[row["name"]].histogram
        assert histogram.get_total_count() == row["latency"]["count"]
        assert histogram.get_max_value() / 1000 == pytest.approx(row["latency"]["max_ms"], rel=0.001, abs=0.001)
        assert names[row["name"]].end_s - names[row["name"]].start_s == pytest.approx(test["duration_s"], abs=0.001)
    seconds = [each.histogram for each in run.found["hlog"] if each.tag == (test["nodeid"],)]
    points = [point for point in test["timeline"] if point["requests"] > point["failed_requests"]]
    assert [histogram.get_total_count() for histogram in seconds] == [
        point["requests"] - point["failed_requests"] for point in points
    ]


def test_the_metrics_have_the_numbers(run: Run) -> None:
    test, samples = run.test, run.found["openmetrics"]

    def by_name(metric: str) -> dict[str, float]:
        return {each.labels["name"]: each.value for each in samples[metric]}

    rows = {row["name"]: row for row in test["by_name"]}
    assert by_name("ipload_requests_total") == {name: row["requests"] for name, row in rows.items()}
    assert by_name("ipload_latency_seconds_count") == {name: row["latency"]["count"] for name, row in rows.items()}
    for name, total in by_name("ipload_latency_seconds_sum").items():
        latency = rows[name]["latency"]
        assert total == pytest.approx(latency["mean_ms"] * latency["count"] / 1000)
    assert [each.value for each in samples["ipload_iterations_total"]] == [test["iterations"]]
    assert [each.value for each in samples["ipload_users"]] == [test["users"]] == [5]
    assert [each.value for each in samples["ipload_requests_per_second"]] == [test["rps"]]
    states = {each.labels["ipload_verdict"] for each in samples["ipload_verdict"] if each.value}
    assert states == {test["verdict"]}
    held = {each.labels["threshold"]: each.value for each in samples["ipload_threshold_passed"]}
    assert held == {each["expression"]: each["passed"] for each in test["thresholds"]}


def test_the_summary_has_a_row_for_the_test(run: Run) -> None:
    test = run.test
    [[_, row]] = run.found["summary"].tables
    latency = [format_duration(test["latency"][f"{name}_ms"] / 1000) for name in ("p50", "p95", "p99")]
    numbers = [format_count(test["requests"]), f"{test['rps']:.1f}", *latency, format_percent(test["error_rate"])]
    assert row == [f"⟨{test['nodeid']}⟩", "passed", *numbers]


def test_the_page_has_the_numbers(run: Run) -> None:
    test, page = run.test, run.found["html"]
    assert page.one("h2").one("bdi").text == test["nodeid"]
    [rows] = [table.table() for table in page.all("table") if table.one("caption").text == "Requests by name"]
    shown = {row[0]: row[1] for row in rows[1:]}
    assert {row["name"]: format_count(row["requests"]) for row in test["by_name"]}.items() <= shown.items()
