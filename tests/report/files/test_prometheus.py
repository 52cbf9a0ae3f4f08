from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from support.live import histogram, live_numbers

from pytest_ipload.report.files.metrics import BUCKETS_S
from pytest_ipload.report.files.prometheus import Exporter
from pytest_ipload.stats.live import NameNumbers

TEST = "test_shop.py::test_checkout"
CART = NameNumbers(failed_requests=2, latency=histogram(3, 7))
NUMBERS = live_numbers(by_name={"GET /cart": CART}, iterations=4, failed_iterations=1)


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    served = Exporter("127.0.0.1", 0)
    yield served
    served.close()


def read(url: str, accept: str = "text/plain") -> str:
    """What Prometheus gets."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers={"Accept": accept}), timeout=20) as response:
        text: str = response.read().decode()
    return text


def values(url: str) -> dict[tuple[str, ...], float]:
    """Each sample's value by its name and the values of its labels, but for buckets and the build."""
    return {
        (sample.name, *(text for name, text in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(read(url))
        for sample in family.samples
        if "le" not in sample.labels and sample.name != "ipload_build_info"
    }


def result(**fields: Any) -> dict[str, Any]:
    """The result of a load that has ended."""
    latency = {"count": 3, "mean_ms": 5.0, "histogram": histogram(3, 5, 7).encode()}
    return {
        "nodeid": TEST,
        "verdict": "passed",
        "started_at": "2026-01-31T12:00:00+00:00",
        "iterations": 5,
        "failed_iterations": 0,
        "users": 50,
        "by_name": [{"name": "GET /cart", "requests": 5, "failed_requests": 2, "latency": latency}],
        "steps": [],
        "thresholds": [],
        "generator": {"healthy": True, "checks": [], "faults": {}},
        **fields,
    }


def test_before_the_first_load_there_is_only_the_build(exporter: Exporter) -> None:
    assert values(exporter.url) == {}
    assert "ipload_build_info{" in read(exporter.url)


def test_a_load_that_runs_is_told_with_its_live_numbers(exporter: Exporter) -> None:
    exporter.show(TEST, live_numbers())
    exporter.show(TEST, NUMBERS)
    assert values(exporter.url) == {
        ("ipload_users_at_work", "1", TEST): 50,
        ("ipload_iterations_total", "1", TEST): 4,
        ("ipload_failed_iterations_total", "1", TEST): 1,
        ("ipload_requests_total", "GET /cart", "1", TEST): 4,
        ("ipload_failed_requests_total", "GET /cart", "1", TEST): 2,
        ("ipload_latency_seconds_count", "GET /cart", "1", TEST): 2,
        ("ipload_latency_seconds_sum", "GET /cart", "1", TEST): pytest.approx(0.01),
    }


def test_latencies_come_in_buckets_of_seconds(exporter: Exporter) -> None:
    exporter.show(TEST, NUMBERS)
    (family,) = [
        each for each in text_string_to_metric_families(read(exporter.url)) if each.name == "ipload_latency_seconds"
    ]
    buckets = {sample.labels["le"]: sample.value for sample in family.samples if "le" in sample.labels}
    assert [float(bound) for bound in buckets] == [*BUCKETS_S, float("inf")]
    assert (buckets["0.0025"], buckets["0.005"], buckets["0.01"], buckets["+Inf"]) == (0, 1, 2, 2)


def test_a_load_that_ended_has_nobody_at_work(exporter: Exporter) -> None:
    exporter.show(TEST, NUMBERS)
    exporter.end(TEST, None)
    assert values(exporter.url)["ipload_users_at_work", "1", TEST] == 0
    assert values(exporter.url)["ipload_iterations_total", "1", TEST] == 4
    exporter.end(TEST, None)
    exporter.end("another", None)


def test_loads_that_run_together_each_have_their_numbers(exporter: Exporter) -> None:
    for _ in range(2):
        exporter.show(TEST, NUMBERS)
        exporter.show("another", NUMBERS)
    exporter.end(TEST, None)
    found = values(exporter.url)
    assert {key[1:]: value for key, value in found.items() if key[0] == "ipload_users_at_work"} == {
        ("1", TEST): 0,
        ("1", "another"): NUMBERS.users,
    }


def test_the_last_numbers_are_those_of_the_end(exporter: Exporter) -> None:
    exporter.show(TEST, NUMBERS)
    exporter.end(TEST, live_numbers(iterations=9, failed_iterations=0, users=0))
    assert values(exporter.url)["ipload_iterations_total", "1", TEST] == 9


def test_each_load_of_a_test_is_a_run(exporter: Exporter) -> None:
    for iterations in (4, 5):
        exporter.show(TEST, live_numbers(iterations=iterations, failed_iterations=0))
        exporter.end(TEST, None)
    found = values(exporter.url)
    assert [found["ipload_iterations_total", run, TEST] for run in "12"] == [4, 5]


def test_results_take_the_place_of_live_numbers(exporter: Exporter) -> None:
    exporter.show(TEST, NUMBERS)
    exporter.end(TEST, None)
    exporter.finish(TEST, "", [result(), result(verdict="failed", iterations=7)])
    found = values(exporter.url)
    assert not [key for key in found if key[0] == "ipload_users_at_work"]
    assert found["ipload_requests_total", "GET /cart", "1", TEST] == 5
    assert [found["ipload_iterations_total", run, TEST] for run in "12"] == [5, 7]
    assert found["ipload_verdict", "passed", "1", TEST] == 1
    assert found["ipload_verdict", "failed", "1", TEST] == 0
    assert found["ipload_verdict", "failed", "2", TEST] == 1


def test_a_rerun_replaces_and_another_worker_adds(exporter: Exporter) -> None:
    exporter.finish(TEST, "gw0", [result(iterations=1)])
    exporter.finish(TEST, "gw0", [result(iterations=2)])
    exporter.finish(TEST, "gw1", [result(iterations=3)])
    exporter.show(TEST, live_numbers(iterations=4, failed_iterations=0))
    found = values(exporter.url)
    assert [found["ipload_iterations_total", run, TEST] for run in "123"] == [2, 3, 4]


def test_both_text_forms_can_be_read_whatever_the_names_are(exporter: Exporter) -> None:
    odd = 'GET /"a\\b"\n\x1b[31m\udc80é'
    exporter.show(TEST, live_numbers(by_name={odd: CART}))
    exporter.finish("test_other", "", [result()])
    names = {
        sample.labels["name"]
        for text, families in (
            (read(exporter.url), text_string_to_metric_families),
            (read(exporter.url, "application/openmetrics-text"), openmetrics_families),
        )
        for family in families(text)
        for sample in family.samples
        if sample.labels.get("test") == TEST and "name" in sample.labels
    }
    assert names == {'GET /"a\\b"\\n\\x1b[31m\\udc80é'}


def test_nothing_is_left_after_it_was_closed() -> None:
    before = set(threading.enumerate())
    served = Exporter("127.0.0.1", 0)
    read(served.url)
    served.close()
    assert set(threading.enumerate()) <= before
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(served.url.split(":")[2].split("/")[0]))) != 0


def test_it_can_be_at_the_loopback_address_of_ipv6() -> None:
    try:
        served = Exporter("::1", 0)
    except OSError:
        pytest.skip("this host has no IPv6")
    assert served.url.startswith("http://[::1]:")
    assert "ipload_build_info" in read(served.url)
    served.close()
