"""Live numbers for Prometheus in whole runs."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pytest_ipload.distributed.protocol.time_limits import TIMING_VARIABLE

TESTS = """
import pathlib, time, urllib.request
import pytest

def read(name):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open("http://127.0.0.1:PORT/metrics", timeout=20) as response:
        text = response.read()
    if b"ipload_requests_total{" in text:
        pathlib.Path(name).write_bytes(text)

@pytest.mark.ipload(users=3, duration="900ms", think_time="20ms")
def test_load(ipload_user):
    with ipload_user.measure("VISIT"):
        time.sleep(0.01)
    if ipload_user.index == 0 and not pathlib.Path("during").exists():
        read("during")

@pytest.mark.ipload(users=1)
def test_zz_afterwards(ipload_user):
    read("afterwards")
"""
QUICKLY = """
from pytest_ipload.distributed.controller import controller
from pytest_ipload.load import executor
from pytest_ipload.stats import recorder

controller._SHOW = executor._TICK = 0.15
recorder.CHUNK_AGE_NS = 100_000_000
"""


@pytest.fixture(autouse=True)
def workers_tell_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they measured."""
    monkeypatch.setenv(TIMING_VARIABLE, "beat=0.1")


@pytest.fixture
def port() -> Iterator[int]:
    """One that nobody listens at; as it was used, the system will not choose it for somebody else soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    yield number
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", number)) != 0, "it was closed with the session"


def values(pytester: pytest.Pytester, name: str) -> dict[tuple[str, str], float]:
    """What was read: by the metric and the test (and what it is about)."""
    text = (pytester.path / name).read_text()
    return {
        (sample.name, sample.labels.get("ipload_verdict") or sample.labels["test"].partition("::")[2]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "test" in sample.labels and "le" not in sample.labels
    }


@pytest.mark.usefixtures("xdist")
@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_numbers_are_there_while_a_load_runs_and_afterwards(
    pytester: pytest.Pytester, port: int, workers: tuple[str, ...]
) -> None:
    pytester.makeconftest(QUICKLY)
    pytester.makepyfile(test_it=TESTS.replace("PORT", str(port)))
    result = pytester.runpytest_subprocess(f"--ipload-prometheus={port}", "-W", "error", *workers)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"ipload: live metrics at http://127.0.0.1:{port}/metrics"])
    during, afterwards = values(pytester, "during"), values(pytester, "afterwards")
    assert during["ipload_users_at_work", "test_load"] == 3
    assert 0 < during["ipload_requests_total", "test_load"] <= afterwards["ipload_requests_total", "test_load"]
    assert during["ipload_latency_seconds_count", "test_load"] == during["ipload_requests_total", "test_load"]
    assert ("ipload_verdict", "passed") not in during
    assert ("ipload_users_at_work", "test_load") not in afterwards
    assert (afterwards["ipload_verdict", "passed"], afterwards["ipload_verdict", "failed"]) == (1, 0)


def test_it_is_in_the_session_whatever_the_progress_is(pytester: pytest.Pytester, port: int) -> None:
    pytester.makeconftest(QUICKLY)
    pytester.makepyfile(test_it=TESTS.replace("PORT", str(port)))
    result = pytester.runpytest_subprocess(f"--ipload-prometheus={port}", "--ipload-progress=off", "-q")
    result.assert_outcomes(passed=2)
    assert values(pytester, "during")["ipload_users_at_work", "test_load"] == 3


def test_a_port_that_is_taken_is_a_usage_error(pytester: pytest.Pytester) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        result = pytester.runpytest(f"--ipload-prometheus={number}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --ipload-prometheus: cannot listen on 127.0.0.1:{number}: *; give another port, or 0*"]
    )


def test_without_the_library_the_error_says_how_to_get_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "pytest_ipload.report.files.prometheus", raising=False)
    result = pytester.runpytest("--ipload-prometheus=0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --ipload-prometheus: *prometheus_client*; install it with: pip install *"])


def test_while_collecting_nobody_listens(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest("--ipload-prometheus=0", "--collect-only")
    result.stdout.no_fnmatch_line("*live metrics*")
    assert result.ret == pytest.ExitCode.OK
