"""Metrics pushed by OTLP in whole runs."""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import pytest
from support.otlp import OtlpReceiver, texts, values_of

from pytest_ipload.distributed.protocol.time_limits import TIMING_VARIABLE
from pytest_ipload.report.files import otlp
from pytest_ipload.report.files.metrics import bucket_counts
from pytest_ipload.stats.histogram import Histogram

TESTS = """
import time
import pytest

@pytest.mark.ipload(users=3, duration="900ms", think_time="20ms")
@pytest.mark.ipload_threshold("error_rate < 100%")
def test_load(ipload_user):
    with ipload_user.measure("VISIT"):
        time.sleep(0.01)
    with ipload_user.measure("BUY"):
        assert ipload_user.iteration % 3

@pytest.mark.ipload(users=2, iterations=4)
def test_short(ipload_user):
    with ipload_user.measure("VISIT"):
        pass
"""
QUICKLY = """
import pytest
from pytest_ipload.distributed.controller import controller
from pytest_ipload.load import executor
from pytest_ipload.plugin.reporting.otlp_output import PUSH_EVERY_S
from pytest_ipload.stats import recorder

controller._SHOW = executor._TICK = 0.15
recorder.CHUNK_AGE_NS = 100_000_000

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.stash[PUSH_EVERY_S] = 0.05
"""


def labels(result: dict[str, Any], **more: str) -> frozenset[tuple[str, str]]:
    return frozenset({"test": result["nodeid"], "run": "1", **more}.items())


@pytest.mark.usefixtures("xdist")
@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_the_last_push_has_the_totals_of_the_json_report(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.setenv(TIMING_VARIABLE, "beat=0.1")
    pytester.makeconftest(QUICKLY)
    pytester.makepyfile(test_it=TESTS)
    with OtlpReceiver() as receiver:
        options = (f"--ipload-otlp={receiver.url}", "--ipload-json=load.json", "-W", "error", *workers)
        result = pytester.runpytest_subprocess(*options)
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines([f"ipload: metrics are pushed to {receiver.url}/v1/metrics"])
        result.stdout.no_fnmatch_line("--ipload-otlp:*")
        pushes, last = receiver.pushes, receiver.last
    tests = json.loads((pytester.path / "load.json").read_text())["tests"]
    for test in tests:
        assert last["ipload_iterations", labels(test)] == test["iterations"]
        assert last["ipload_failed_iterations", labels(test)] == test["failed_iterations"]
        assert last["ipload_verdict", labels(test, ipload_verdict="passed")] == 1
        for row in test["by_name"]:
            of_name = labels(test, name=row["name"])
            assert last["ipload_requests", of_name] == row["requests"]
            assert last["ipload_failed_requests", of_name] == row["failed_requests"]
            count, _, buckets = last["ipload_latency_seconds", of_name]
            up_to = bucket_counts(Histogram.decode(row["latency"]["histogram"]))
            assert (count, sum(buckets)) == (row["latency"]["count"], up_to[-1])
    # It was pushed while it ran, too, by one process, and no number was in two of them.
    long = next(test for test in tests if test["nodeid"].endswith("test_load"))
    at_work = [values_of(push).get(("ipload_users_at_work", labels(long))) for push in pushes]
    assert any(at_work[:-1])
    assert at_work[-1] == 0
    instances = {
        texts(each.resource.attributes)["service.instance.id"] for push in pushes for each in push.resource_metrics
    }
    assert len(instances) == 1
    counts = [values_of(push).get(("ipload_iterations", labels(long)), 0) for push in pushes]
    assert counts == sorted(counts)


def test_a_segment_says_which_one_it_is(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=TESTS)
    with OtlpReceiver() as receiver:
        pytester.runpytest(
            f"--ipload-otlp={receiver.url}", "--ipload-segment=1/2", "--ipload-json=load.json", "-k", "short"
        )
        (test,) = json.loads((pytester.path / "load.json").read_text())["tests"]
        assert receiver.last["ipload_iterations", labels(test, segment="1/2")] == 4


def test_a_receiver_that_is_down_is_a_warning_and_no_more(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "_PAUSES_S", (0, 0))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pytester.makepyfile(test_it=TESTS)
    result = pytester.runpytest(f"--ipload-otlp=http://joe:s3cret@127.0.0.1:{port}", "-k", "short")
    assert result.ret == pytest.ExitCode.OK
    shown = f"http://joe:[*][*][*]@127.0.0.1:{port}/v1/metrics"
    result.stdout.fnmatch_lines(
        [
            f"ipload: metrics are pushed to {shown}",
            f"--ipload-otlp: the last metrics could not be pushed to {shown}: ConnectionRefusedError: *",
        ]
    )
    result.stdout.no_fnmatch_line("*s3cret*")


def test_a_load_with_a_pool_mocks_and_frozen_time_does_not_touch_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import freezegun, pytest, responses

        @pytest.fixture(scope="module", autouse=True)
        def alone():
            with freezegun.freeze_time("2001-01-01"), responses.RequestsMock() as mock:
                yield
                assert len(mock.calls) == 0

        @pytest.mark.ipload(users=2, iterations=20, think_time="20ms", pool="127.0.5.1-127.0.5.2")
        def test_load(ipload_user):
            pass
        """
    )
    pytester.makeconftest(QUICKLY)
    with OtlpReceiver() as receiver:
        result = pytester.runpytest_subprocess(f"--ipload-otlp={receiver.url}")
        result.assert_outcomes(passed=1)
        points = [
            point.time_unix_nano
            for push in receiver.pushes
            for resource in push.resource_metrics
            for metric in resource.scope_metrics[0].metrics
            for point in metric.gauge.data_points
        ]
        assert len(receiver.pushes) > 1
        assert receiver.peers == {"127.0.0.1"}
        assert min(points) > 1_700_000_000 * 10**9


@pytest.mark.parametrize("options", [("--collect-only",), ("--ipload-skip",)])
def test_without_loads_nothing_is_pushed(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    pytester.makepyfile(test_it=TESTS)
    with OtlpReceiver() as receiver:
        pytester.runpytest(f"--ipload-otlp={receiver.url}", *options)
        assert receiver.heads == []


def test_without_the_library_the_error_says_how_to_get_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("otlp", "otlp_messages", "otlp_receiver"):
        monkeypatch.delitem(sys.modules, f"pytest_ipload.report.files.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", None)
    result = pytester.runpytest("--ipload-otlp=http://127.0.0.1:4318")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --ipload-otlp: *opentelemetry*pip install 'pytest-ipload[[]otel[]]'"])


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://127.0.0.1", "http://joe:s3cret@"])
def test_what_is_no_url_is_a_usage_error(pytester: pytest.Pytester, url: str) -> None:
    result = pytester.runpytest(f"--ipload-otlp={url}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --ipload-otlp: *is not a URL; write it as in http://127.0.0.1:8000"])
    assert "s3cret" not in result.stderr.str()
