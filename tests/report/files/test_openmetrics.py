from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.readers import families_of, read_openmetrics
from support.results import judged, load_result
from support.samples import iteration, request, step

from pytest_ipload.base.text import printable_lines
from pytest_ipload.report.files.json_file import report_of
from pytest_ipload.report.files.metrics import BUCKETS_S, REQUESTS, USERS, Metric
from pytest_ipload.report.files.openmetrics import text_of, write


def test_the_text_of_metrics() -> None:
    metrics = [
        Metric(REQUESTS, [REQUESTS.sample({"test": "a::b", "name": 'x"\n\\'}, 7)]),
        Metric(USERS, [USERS.sample({}, 2.5)]),
    ]
    assert text_of(metrics).splitlines() == [
        "# TYPE ipload_requests counter",
        "# HELP ipload_requests Requests of iterations, without the warm-up.",
        r'ipload_requests_total{test="a::b",name="x\"\n\\"} 7',
        "# TYPE ipload_users gauge",
        "# HELP ipload_users Users that were started.",
        "ipload_users 2.5",
        "# EOF",
    ]


def test_a_file_without_load_tests_can_be_read(tmp_path: Path) -> None:
    write(tmp_path / "new" / "out.txt", report_of([]))
    assert (tmp_path / "new" / "out.txt").read_text().endswith("\n# EOF\n")
    [build] = read_openmetrics(tmp_path / "new" / "out.txt")["ipload_build_info"]
    assert (build.type, build.value) == ("info", 1)
    assert build.labels["python"]


def test_prometheus_own_parser_reads_the_numbers_of_the_result(tmp_path: Path) -> None:
    samples = [*(request(latency_ms=number / 10) for number in range(1, 1001)), step("buy"), iteration()]
    result = load_result(samples, thresholds=[judged("p95 < 1s", samples)])
    write(tmp_path / "out.txt", report_of([result.as_dict()]))
    found = read_openmetrics(tmp_path / "out.txt")
    types = {name: samples[0].type for name, samples in found.items()}
    assert types["ipload_requests_total"] == "counter"
    assert types["ipload_latency_seconds_bucket"] == "histogram"
    assert types["ipload_verdict"] == "stateset"
    assert types["ipload_threshold_passed"] == "gauge"
    buckets = {float(each.labels["le"]): each.value for each in found["ipload_latency_seconds_bucket"]}
    assert list(buckets) == [*BUCKETS_S, float("inf")]
    assert (buckets[0.001], buckets[0.01], buckets[0.1], buckets[float("inf")]) == (10, 100, 1000, 1000)
    assert [each.value for each in found["ipload_latency_seconds_count"]] == [1000]
    [total] = found["ipload_latency_seconds_sum"]
    assert total.value == pytest.approx(50.05)


@given(st.text(st.characters()))
def test_a_label_is_read_back_with_what_cannot_be_printed_spelled_out(name: str) -> None:
    text = text_of([Metric(REQUESTS, [REQUESTS.sample({"name": name}, 1)])])
    text.encode("utf-8")
    assert len(text.splitlines()) == 4
    [family] = families_of(text)
    assert family.samples[0].labels == {"name": printable_lines(name).replace("#", r"\x23")}


@pytest.mark.parametrize("name", ["GET /#top '", "test[a#b]", 'test_h["x"]', "back\\slash", "a b  c"])
def test_each_line_can_be_read_as_gitlab_reads_it(name: str) -> None:
    """GitLab's parser of metrics reports cuts a line at the first number sign and splits the rest as a shell does."""
    text = text_of([Metric(REQUESTS, [REQUESTS.sample({"test": name, "name": name}, 7)])])
    words = [shlex.split(line.partition("#")[0]) for line in text.splitlines()]
    assert [line[-1] for line in words if line] == ["7"]
