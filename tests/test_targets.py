"""The target's own numbers in whole runs: a real process that uses the processor and memory at a known rate."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from support.metrics_server import PROCESS, metrics_server
from support.team_run import team_run
from support.whole_run import whole_run

from pytest_ipload.load.target.proc_tree import has_proc

pytestmark = pytest.mark.skipif(not has_proc(), reason="needs /proc")

# It works for 40 ms of processor time of every 100 ms, keeps 2 MB more for each second that has passed, and says how
# much processor time it has used.
BUSY = """
import sys, time
hoard, kept = [], 0
began = due = time.perf_counter()
while True:
    end = time.process_time() + 0.04
    while time.process_time() < end:
        pass
    more = int(2e6 * (time.perf_counter() - began)) - kept
    hoard.append(b"x" * more)
    kept += more
    print(time.time(), time.process_time(), flush=True)
    due = max(due + 0.1, time.perf_counter() - 1)
    time.sleep(max(0, due - time.perf_counter()))
"""
CONFTEST = """
@pytest.fixture(scope="session")
def api(ipload_target):
    ipload_target("api", {given})
"""
LOAD = """
@pytest.mark.ipload(users=2, {profile})
@pytest.mark.ipload_threshold({thresholds})
def test_load(api, ipload_user):
    with ipload_user.measure("VISIT"):
        ipload_user.state["at"] = 1
    threading.Event().wait(0.02)
"""


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
        process.kill()


def used(lines: list[str], began: float, seconds: float) -> float:
    """How much of a core a process said to have used in this time."""
    pairs = [tuple(map(float, line.split())) for line in lines if line.count(" ") == 1 and line.endswith("\n")]
    inside = [pair for pair in pairs if began <= pair[0] <= began + seconds]
    return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])


def report(pytester: pytest.Pytester) -> dict[str, Any]:
    [test] = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["tests"]
    found: dict[str, Any] = test
    return found


def load(profile: str, *thresholds: str) -> str:
    return LOAD.format(profile=profile, thresholds=", ".join(map(repr, thresholds)))


def test_processor_time_and_growth_of_a_process_are_what_it_used(
    pytester: pytest.Pytester, busy: subprocess.Popen[str]
) -> None:
    thresholds = ["target.cpu.mean{api} < 400%", "target.rss.growth{api} < 5MB/h", "target.threads.max{api} == 1"]
    source = load("duration=4.3", *thresholds)
    run = whole_run(
        pytester, source, "--ipload-json=out.json", conftest=CONFTEST.format(given=f"pid={busy.pid}"), failed=1
    )
    busy.kill()
    assert busy.stdout is not None
    lines = busy.stdout.readlines()
    test = report(pytester)
    [target] = test["targets"]
    assert (target["name"], target["kind"], target["pid"]) == ("api", "process", busy.pid)
    assert "notes" not in target
    cpu, rss = target["metrics"]["cpu"], target["metrics"]["rss"]
    assert cpu["unit"] == "%"
    began = datetime.fromisoformat(test["started_at"]).timestamp()
    assert cpu["mean"] == pytest.approx(100 * used(lines, began, test["duration_s"]), rel=0.15)
    assert rss["growth_low"] > 100e6  # of the 2 MB/s, which are 7200 MB/h
    assert [each["passed"] for each in test["thresholds"]] == [True, False, True, True]
    assert all(point["targets"]["api"]["rss"] > 5e6 for point in test["timeline"])
    assert sum(point["targets"]["api"].get("cpu", 0) > 0 for point in test["timeline"]) >= 3
    run.expect_lines("target api (pid *): cpu mean * %, max * %; rss max * MB, growth * GB/h *; threads max 1; files *")
    run.expect_lines("FAIL  target.rss.growth{api} *B/h, limit < 5.00 MB/h (* readings, 95 % CI *)")


def test_a_maximum_beyond_its_limit_aborts_the_load(pytester: pytest.Pytester, busy: subprocess.Popen[str]) -> None:
    source = """
    @pytest.mark.ipload(users=2, duration=60)
    @pytest.mark.ipload_threshold("target.rss.max{api} < 1MB", abort_on_fail=True, delay="100ms")
    def test_load(api, ipload_user):
        threading.Event().wait(0.02)
    """
    run = whole_run(pytester, source, conftest=CONFTEST.format(given=f"pid={busy.pid}"), failed=1)
    run.expect_lines("FAIL  aborted after *: target.rss.max{api} * MB, limit < 1.00 MB (* reading*)")


@pytest.mark.usefixtures("xdist")
def test_workers_that_share_a_load_have_each_target_once(
    pytester: pytest.Pytester, busy: subprocess.Popen[str]
) -> None:
    with metrics_server() as server:
        server.reply = lambda path: (200, PROCESS.format(cpu=1, rss=1e7, started=1))
        also = f"    ipload_target('own', prometheus={server.url!r})\n"
        pytester.makeconftest("import pytest\n" + CONFTEST.format(given=f"pid={busy.pid}") + also)
        run = team_run(pytester, load("duration=1.3", "target.cpu.max{api} < 190%", "target.cpu.mean < 190%"), "-n2")
    run.expect(0, passed=1)
    test = run.tests["test_load"]
    target, own = test["targets"]
    assert len(test["shards"]) == 2
    assert own["metrics"]["rss"]["max"] == 1e7
    # Each worker reads it once in its set-up, and the first one at 0, 1 and 1.3 s, and when the load is over.
    assert 5 <= len(server.requests) <= 6
    assert 1 <= target["metrics"]["cpu"]["samples"] <= 2
    assert target["metrics"]["threads"]["max"] == 1


def test_a_load_of_half_a_second_has_its_numbers_and_does_not_know_its_growth(
    pytester: pytest.Pytester, busy: subprocess.Popen[str]
) -> None:
    source = load("duration=0.5", "target.cpu.max{api} > 1%", "target.rss.growth{api} < 1B/h")
    run = whole_run(
        pytester, source, "--ipload-json=out.json", conftest=CONFTEST.format(given=f"pid={busy.pid}"), passed=1
    )
    growth = report(pytester)["thresholds"][1]
    assert growth["undecided"] is growth["uncertain"] is True
    run.expect_lines("[?][?]    target.rss.growth{api} *: undecided (2 readings, uncertain: the load is too short, *)")


def test_loads_of_the_fixture_ipload_have_the_numbers_of_their_own_time(
    pytester: pytest.Pytester, busy: subprocess.Popen[str]
) -> None:
    source = """
    def test_two(api, ipload):
        for number in (1, 2):
            result = ipload.run(lambda user: threading.Event().wait(0.02), users=1, duration=0.4)
            [target] = result.targets
            assert target.metrics["cpu"].mean > 1
            assert 1 <= target.metrics["rss"].samples <= 3
    """
    whole_run(pytester, source, conftest=CONFTEST.format(given=f"pid={busy.pid}"), passed=1)


def test_a_target_that_ends_is_measured_until_then_and_the_load_goes_on(pytester: pytest.Pytester) -> None:
    source = """
    import subprocess, sys

    @pytest.fixture
    def api(ipload_target):
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            ipload_target("api", pid=process.pid)
            yield process
            process.kill()

    @pytest.mark.ipload(iterations=2)
    @pytest.mark.ipload_threshold("target.rss.max{api} < 500MB")
    def test_ends_in_the_load(api, ipload_user):
        threading.Event().wait(1.1 if ipload_user.iteration else 0.1)
        api.kill()
        api.wait()

    @pytest.mark.ipload(iterations=2)
    @pytest.mark.ipload_threshold("target.rss.max{api} < 500MB", "target.cpu.mean{apy} < 100%")
    def test_ended_before(ipload_user):
        pass
    """
    run = whole_run(pytester, source, passed=1, failed=1)
    run.expect_lines(
        "  process * has ended * after the start of the load: not measured from then on",
        "FAIL  target.rss.max{api}: no samples, limit < 500 MB; 'api': nothing was read in the judged time; "
        "process * has ended before the load: nothing was measured",
        "FAIL  target.cpu.mean{apy}: no samples, limit < 100 %; targets seen: 'api'",
    )


def test_an_endpoint_is_read_and_one_that_goes_down_costs_readings_only(pytester: pytest.Pytester) -> None:
    def reply(path: str) -> tuple[int, str]:
        number = len(server.requests)
        if number == 3:  # the first is that of the set-up, the second that of the start
            return 503, ""
        return 200, PROCESS.format(cpu=0.2 * number, rss=1e7 * number, started=1)

    source = load("duration=2", "target.rss.max{api} < 500MB", "target.queue.max{api} < 5")
    with metrics_server() as server:
        server.reply = reply
        conftest = CONFTEST.format(given=f"prometheus={server.url!r}")
        whole_run(pytester, source, "--ipload-json=out.json", conftest=conftest, failed=1)
    test = report(pytester)
    [target] = test["targets"]
    assert (target["kind"], target["url"]) == ("prometheus", server.url)
    assert set(target["metrics"]) == {"cpu", "rss", "files"}
    assert "1 of " in target["notes"][0]
    assert "status 503" in target["notes"][0]
    assert test["requests"] == sum(row["requests"] for row in test["by_name"] if row["name"] == "VISIT")
    assert "'api': measured is cpu, rss, files; 1 of" in test["thresholds"][1]["message"]


@pytest.mark.parametrize(("limit", "verdict"), [("< 500MB", "invalid"), ("< 1MB", "failed")], ids=["kept", "broken"])
def test_a_target_that_was_hardly_read_gives_no_good_verdict(
    pytester: pytest.Pytester, limit: str, verdict: str
) -> None:
    def reply(path: str) -> tuple[int, str]:
        if len(server.requests) > 2:  # those of the set-up and of the start
            return 503, ""
        return 200, PROCESS.format(cpu=0.2, rss=1e7, started=1)

    source = load("duration=1.2", f"target.rss.max{{api}} {limit}")
    with metrics_server() as server:
        server.reply = reply
        conftest = CONFTEST.format(given=f"prometheus={server.url!r}")
        whole_run(pytester, source, "--ipload-json=out.json", conftest=conftest, failed=1)
    test = report(pytester)
    assert test["verdict"] == verdict
    if verdict == "invalid":
        assert "(1 reading): cannot be judged, as 'api' was not read for" in test["reason"]
        assert test["thresholds"][0]["undecidable"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("'api', pid=2 ** 22 + 1", "process 4194305 of 'api' does not exist; give the number of one that runs on this"),
        ("'api', pid='7'", "pid='7' is not the number of a process"),
        ("'api', pid=True", "pid=True is not the number of a process"),
        ("'api'", "'api' has neither pid nor prometheus; give one of them, as in"),
        ("'api', pid=1, prometheus='http://127.0.0.1'", "'api' has both pid and prometheus"),
        ("'api', pid=1, queries={'a': 'b'}", "queries belong to prometheus=URL"),
        ("'a{b}', pid=1", "the name 'a{b}' has characters that thresholds cannot name"),
        ("'', pid=1", "'' is not a name"),
        ("'api', prometheus=5", "prometheus=5 is not a URL"),
        ("'api', prometheus='http://example.org/metrics'", "'example.org' is not in ipload_allowed_hosts"),
        ("'api', prometheus='http://127.0.0.1:9/'", "'api' cannot be read: http://127.0.0.1:9/: "),
        ("'api', prometheus='http://127.0.0.1:9/\\nX: y'", "is not a URL of http or https"),
        ("'api', prometheus='http://127.0.0.1:9/', queries={'a': '\\ud800'}", "has characters that cannot be sent"),
        ("'api', prometheus='http://127.0.0.1:9/', queries={}", "queries={} is not a mapping of names to queries"),
        ("'api', prometheus='http://127.0.0.1:9/', queries={'a b': 'c'}", "'a b' is not a name for a metric"),
        ("'api', prometheus='http://127.0.0.1:9/', queries={'a': ' '}", "the query 'a' is ' '; give PromQL"),
    ],
)
def test_what_cannot_be_measured_is_an_error_in_the_set_up(pytester: pytest.Pytester, call: str, says: str) -> None:
    source = f"""
    @pytest.fixture
    def api(ipload_target):
        ipload_target({call})

    @pytest.mark.ipload
    def test_load(api, ipload_user):
        pass

    def test_ordinary(ipload_target):
        ipload_target({call})
    """
    run = whole_run(pytester, source, errors=1, failed=1)
    assert f"ipload_target: {says}" in run.result.stdout.str() or says in run.result.stdout.str()
    assert "fixtures/targets.py" not in run.result.stdout.str()


def test_in_an_ordinary_test_it_is_the_error_of_its_line(pytester: pytest.Pytester) -> None:
    run = whole_run(pytester, "def test_it(ipload_target):\n    ipload_target('api', prometheus='ftp://x')", failed=1)
    run.expect_lines(">   *ipload_target('api', prometheus='ftp://x')", "E   *is not a URL of http or https*")
    assert "pytest_ipload/" not in run.result.stdout.str()


def test_a_target_that_is_given_during_a_load_is_too_late(pytester: pytest.Pytester) -> None:
    source = """
    import os

    @pytest.mark.ipload(users=2, iterations=1)
    def test_load(ipload_target, ipload_user):
        ipload_target("api", pid=os.getpid())
    """
    run = whole_run(pytester, source)
    run.expect_lines("*'api' comes too late, while a load is running; call it before*")


def test_with_disable_nothing_is_measured(pytester: pytest.Pytester, busy: subprocess.Popen[str]) -> None:
    source = load("duration=60", "target.cpu.mean{api} < 1%")
    conftest = CONFTEST.format(given=f"pid={busy.pid}")
    whole_run(pytester, source, "--ipload-disable", "--ipload-json=out.json", conftest=conftest, passed=1)
    assert "targets" not in report(pytester)


def test_a_target_can_be_compared_with_saved_runs(pytester: pytest.Pytester, busy: subprocess.Popen[str]) -> None:
    source = load("duration=0.5", "target.rss.max{api} < 5GB")
    conftest = CONFTEST.format(given=f"pid={busy.pid}")
    whole_run(pytester, source, "--ipload-save=main", conftest=conftest, passed=1)
    limits = "--ipload-compare-fail=target.rss.max{api}:1%,5GB"
    run = whole_run(pytester, source, "--ipload-compare", limits, conftest=conftest, passed=1)
    run.expect_lines("ok    target.rss.max{api} * MB, * the baseline's * MB (limit +1 %, at least 5.00 GB; 1 run; *)")
