"""Capacity searches: whole runs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from support.fast_search import FastSearch, fast_search
from support.readers import validator
from support.whole_run import WholeRun, whole_run

from pytest_ipload.capacity.round_judge import outcome_of as OUTCOME_OF
from pytest_ipload.capacity.search_round import FAILS, RoundOutcome
from pytest_ipload.plugin.run.load_run import Load
from pytest_ipload.verdict.result import LoadResult

__all__ = ["fast_search"]

SEARCH = """
@pytest.mark.ipload_capacity("p95 < 100ms", start="50/s", up_to="800/s", step="1s", {keys})
def test_job(ipload_user):
    with ipload_user.measure("job"):
        pass
"""
SHORT = """
@pytest.mark.ipload(users=4, max_users=4, suppress_health_check=["generator-saturated", "rate-not-reached"])
@pytest.mark.ipload_capacity("error_rate < 50%", start="50/s", up_to="100/s", step="200ms", settle="50ms")"""
QUEUE = """
import time
GATE = threading.Semaphore({workers})

@pytest.fixture
def worker(ipload_user, note):
    note("set up")
    yield ipload_user
    note("torn down")

{marker}
def test_queue(worker, note):
    with worker.measure("job"), GATE:
        time.sleep({seconds})
"""


def search(pytester: pytest.Pytester, *options: str, keys: str = "", source: str = SEARCH) -> tuple[WholeRun, Any]:
    """A run with one search, and its result in the JSON report."""
    run = whole_run(pytester, source.format(keys=keys), "--ipload-json=out.json", *options)
    report = json.loads((pytester.path / "out.json").read_text())
    validator().validate(report)
    [test] = report["tests"]
    return run, test


@pytest.mark.parametrize(
    ("promise", "verdict", "outcome"),
    [("100/s", "passed", "passed"), ("150/s", "undecided", "passed"), ("300/s", "failed", "failed")],
)
def test_the_promise_below_within_and_above_the_interval(
    pytester: pytest.Pytester, fast_search: FastSearch, promise: str, verdict: str, outcome: str
) -> None:
    run, test = search(pytester, "--junitxml=out.xml", keys=f"at_least={promise!r}")
    run.result.assert_outcomes(**{outcome: 1})
    capacity = test["capacity"]
    assert (test["verdict"], capacity["verdict"], capacity["limited_by"]) == (verdict, verdict, "threshold")
    assert capacity["low"] <= 150 <= capacity["high"]
    assert capacity["threshold"] == "p95 < 100ms"
    properties = {each.get("name"): each.get("value") for each in ElementTree.parse("out.xml").iter("property")}
    assert properties["ipload_verdict"] == properties["ipload_capacity_verdict"] == verdict
    assert float(properties["ipload_capacity_rate"] or 0) == capacity["rate"]


def test_an_undecided_promise_is_red_in_a_strict_session(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    run, test = search(pytester, "--ipload-strict", keys="at_least='150/s'")
    run.result.assert_outcomes(failed=1)
    assert (test["verdict"], test["capacity"]["verdict"]) == ("failed", "undecided")
    run.expect_lines("*ThresholdFailed: capacity *")


def test_a_promise_with_confirmed_rounds_in_every_report(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    run, test = search(pytester, "--ipload-html=out.html", "--ipload-summary=out.md", keys="at_least='100/s'")
    rounds = test["capacity"]["rounds"]
    run.expect_lines(
        "*::test_job  PASSED", "capacity *, at least 100/s promised *", "round *p95*outcome", "1: 50/s*holds"
    )
    [confirming] = [each for each in rounds if each["kind"] == "confirming"]
    assert test["capacity"]["round"] == confirming["number"] == len(rounds)
    assert test["profile"]["arrival_rate"] == 800
    page, summary = ((pytester.path / name).read_text() for name in ("out.html", "out.md"))
    assert "Latency and errors by arrival rate" in page
    assert "limit 100 ms" in page
    assert test["capacity"]["reason"].partition(" (")[0] in page
    assert "95 % CI 14" in page
    assert "Rounds of the capacity search" in page
    assert f"| {len(rounds)}: " in summary


def test_users_live_through_all_rounds_of_a_search(pytester: pytest.Pytester) -> None:
    source = QUEUE.format(workers=4, seconds=0.001, marker=SHORT)
    run = whole_run(pytester, source, "--ipload-json=out.json", passed=1)
    [test] = json.loads((pytester.path / "out.json").read_text())["tests"]
    assert len(test["capacity"]["rounds"]) > 2
    assert Counter(run.log.events) == {
        (f"ipload-user-{user}", event): 1 for user in range(4) for event in ("set up", "torn down")
    }
    assert [event for _, event in run.log.events] == ["set up"] * 4 + ["torn down"] * 4


def test_a_generator_that_is_the_limit_gives_no_number(pytester: pytest.Pytester) -> None:
    marker = """
@pytest.mark.ipload(users=1, max_users=1)
@pytest.mark.ipload_capacity("error_rate < 50%", start="100/s", up_to="400/s", step="200ms", max_rounds=4)"""
    run, test = search(pytester, source=QUEUE.format(workers=4, seconds=0.05, marker=marker))
    run.result.assert_outcomes(failed=1)
    capacity = test["capacity"]
    assert (test["verdict"], capacity["limited_by"]) == ("invalid", "generator")
    assert "rate" not in capacity
    assert {each["state"] for each in capacity["rounds"]} == {"generator-limited"}
    run.expect_lines(
        "capacity unknown: the generator was the limit at 100/s (rate-not-reached: *", "*MeasurementInvalid*"
    )


def test_ctrl_c_prints_what_is_known_so_far(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    def interrupted(result: LoadResult) -> RoundOutcome:
        fast_search.outcome = None
        if result.profile["arrival_rate"] == 200:
            raise KeyboardInterrupt
        outcome = fast_search.outcome_of(result)
        fast_search.outcome = interrupted
        return outcome

    fast_search.outcome = interrupted
    run, test = search(pytester, keys="at_least='300/s'")
    assert run.result.ret == pytest.ExitCode.INTERRUPTED
    assert test["verdict"] == "error"
    assert [each["rate"] for each in test["capacity"]["rounds"]] == [50, 100]
    run.expect_lines("*test_job  ERROR", "*capacity unknown, above 100/s*", "1: 50/s*holds", "2: 100/s*holds")


def test_ctrl_c_during_a_round_keeps_the_rounds_before(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    source = """
COUNT = []

@pytest.mark.ipload_capacity("p95 < 100ms", start="50/s", up_to="800/s", step="1s")
def test_job(ipload_user, request):
    COUNT.append(1)
    if len(COUNT) > 4:
        raise KeyboardInterrupt
"""
    run, test = search(pytester, source=source)
    assert run.result.ret == pytest.ExitCode.INTERRUPTED
    assert test["verdict"] == "invalid"
    assert "KeyboardInterrupt" in test["capacity"]["stopped"]
    assert test["capacity"]["rounds"]


def test_the_most_users_of_the_closed_model(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    fast_search.capacity = 6
    source = """
@pytest.mark.ipload_capacity("p95 < 100ms", by="users", up_to=32, step="1s")
def test_job(ipload_user):
    with ipload_user.measure("job"):
        threading.Event().wait(0.001)
"""
    run, test = search(pytester, source=source)
    run.result.assert_outcomes(passed=1)
    assert test["capacity"]["by"] == "users"
    assert test["capacity"]["rate"] == 6
    assert max(profile.users for profile in fast_search.profiles) == 8
    assert not any(profile.is_open for profile in fast_search.profiles)


@pytest.mark.usefixtures("xdist")
def test_workers_share_each_round_and_there_is_one_verdict(pytester: pytest.Pytester) -> None:
    source = QUEUE.replace(", note", "").replace('note("', '("').format(workers=4, seconds=0.001, marker=SHORT)
    run, test = search(pytester, "-n2", source=source)
    run.result.assert_outcomes(passed=1)
    rounds = test["capacity"]["rounds"]
    assert [each["number"] for each in rounds] == list(range(1, len(rounds) + 1))
    assert [shard["name"] for shard in test["shards"]] == ["gw0", "gw1"]


def test_two_versions_are_compared(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    fast_search.capacity, fast_search.of_base = 100.0, 200.0
    options = ["--ipload-base-url=http://127.0.0.1:1", "--ipload-against=http://127.0.0.1:2"]
    run, test = search(pytester, *options, "--ipload-compare-fail=capacity:10%")
    run.result.assert_outcomes(failed=1)
    [comparison] = test["comparisons"]
    assert (comparison["metric"], comparison["regressed"]) == ("capacity", True)
    assert test["capacity"]["base"]["rate"] == pytest.approx(200, rel=0.1)
    bases = [profile.base_url for profile in fast_search.profiles]
    assert bases[:4] == ["http://127.0.0.1:2", "http://127.0.0.1:1"] * 2
    run.expect_lines("current version: capacity *", "base version: capacity *")


def test_a_limit_is_undecided_if_the_base_version_has_no_capacity(
    pytester: pytest.Pytester, fast_search: FastSearch
) -> None:
    fast_search.of_base = 0.0
    options = ["--ipload-base-url=http://127.0.0.1:1", "--ipload-against=http://127.0.0.1:2"]
    run, test = search(pytester, *options, "--ipload-compare-fail=capacity:10%")
    run.result.assert_outcomes(passed=1)
    assert (test["verdict"], test["capacity"]["verdict"]) == ("undecided", "passed")
    run.expect_lines("note: capacity: not compared, as that of the base version is unknown")


def test_the_capacity_is_compared_with_those_of_saved_runs(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    fast_search.capacity = 200.0
    search(pytester, "--ipload-save=before")
    fast_search.capacity = 100.0
    run, test = search(
        pytester, "--ipload-compare-fail=capacity:10%", "--ipload-compare-fail=p95:10%", "--ipload-strict"
    )
    run.result.assert_outcomes(failed=1)
    [comparison] = test["comparisons"]  # one saved run is too few for more than a doubt
    assert (comparison["metric"], comparison["undecided"]) == ("capacity", True)
    assert comparison["baseline"] == pytest.approx(200, rel=0.1)
    run.expect_lines("*p95: not compared, as the rounds of a capacity search have other loads in each run*")
    other = SEARCH.replace("p95", "p96")
    run, test = search(pytester, "--ipload-compare", "--ipload-compare-fail=capacity:10%", source=other)
    assert not test.get("comparisons")
    run.expect_lines("*capacity: not compared with 1 saved run(s), which searched by other expressions*")


def test_a_test_searches_by_itself(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    source = """
def test_job(ipload):
    def body(user):
        with user.measure("job"):
            pass
    result = ipload.capacity(body, "p95 < 100ms", start="50/s", up_to="800/s", step="1s", max_users=20)
    assert result.verdict == "passed"
    assert result.low <= 150 <= result.high
    assert result.threshold == "p95 < 100ms"
"""
    run, test = search(pytester, source=source)
    run.result.assert_outcomes(passed=1)
    assert test["capacity"]["low"] <= 150
    assert {profile.max_users for profile in fast_search.profiles} == {20}


def test_the_highest_rate_of_the_session_is_a_hard_stop(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    _, test = search(pytester, "--ipload-max-rate=80/s")
    assert max(profile.arrival_rate or 0 for profile in fast_search.profiles) == 80
    assert test["capacity"]["limited_by"] == "up_to"


def test_a_target_that_does_not_recover_ends_the_search(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    def never_back(result: LoadResult) -> RoundOutcome:
        fast_search.outcome = None
        outcome = replace(fast_search.outcome_of(result), p50_ms=1.0)
        fast_search.outcome = never_back
        if any(profile.arrival_rate == 200 for profile in fast_search.profiles):
            outcome = replace(outcome, p50_ms=1000.0)
        return outcome

    fast_search.outcome = never_back
    _, test = search(pytester)
    assert [each["state"] for each in test["capacity"]["rounds"]] == ["holds", "holds", FAILS]
    assert test["capacity"]["stopped"].startswith("the target did not recover within ")


@pytest.mark.parametrize(
    ("marks", "error"),
    [
        ("ipload_capacity('p95 < 100ms', start='x')", "marker ipload_capacity: start *x*"),
        ("ipload_capacity('p95 < 100ms', begin='5/s')", "marker ipload_capacity: *unknown key 'begin'*"),
        ("ipload_capacity()", "marker ipload_capacity: *"),
        (
            "ipload(duration='5s')@pytest.mark.ipload_capacity('p95 < 100ms')",
            "*duration='5s' and ipload_capacity contradict each other*",
        ),
    ],
    ids=["value", "key", "no expression", "duration"],
)
def test_mistakes_are_errors_of_the_set_up(pytester: pytest.Pytester, marks: str, error: str) -> None:
    source = f"@pytest.mark.{marks}\ndef test_it(ipload_user): pass".replace(")@", ")\n@")
    run = whole_run(pytester, source, errors=1)
    run.result.stdout.fnmatch_lines([error])


def test_the_plan_says_how_long_a_search_takes_at_most(pytester: pytest.Pytester) -> None:
    run = whole_run(pytester, SEARCH.format(keys="at_least='100/s'"), "--collect-only", "-v")
    run.expect_lines("*test_job: capacity by p95 < 100ms: 50/s to 800/s, at least 100/s*rounds*at most*")


def test_a_functional_run_searches_nothing(pytester: pytest.Pytester) -> None:
    run, test = search(pytester, "--ipload-disable")
    run.result.assert_outcomes(passed=1)
    assert test["iterations"] == 1
    assert "capacity" not in test


BESIDE = """
together = pytest.mark.ipload_together("shop")

@together
@pytest.mark.ipload(users=1, think_time="1ms", duration={duration!r})
def test_background(ipload_user):
    with ipload_user.measure("job"):
        pass

@together
@pytest.mark.ipload_capacity("p95 < 100ms", start="50/s", up_to="800/s", step="1s")
def test_probe(ipload_user):
    with ipload_user.measure("job"):
        pass
"""


def beside(pytester: pytest.Pytester, duration: str) -> dict[str, Any]:
    whole_run(pytester, BESIDE.format(duration=duration), "--ipload-json=out.json")
    tests = json.loads((pytester.path / "out.json").read_text())["tests"]
    return {test["nodeid"].partition("::")[2]: test for test in tests}


def test_a_load_beside_a_search_ends_when_the_search_does(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    tests = beside(pytester, "10m")
    background, probe = tests["test_background"], tests["test_probe"]
    assert (background["verdict"], probe["verdict"]) == ("passed", "passed")
    assert background["duration_s"] < 60
    assert background["together"] == probe["together"] == "shop"
    assert probe["capacity"]["low"] <= 150 <= probe["capacity"]["high"]


BROKEN = """
import os
from pytest_ipload.plugin.run.load_run import Load

if os.environ.get("PYTEST_XDIST_WORKER") in (None, "gw1"):
    set_up, loads = Load.set_up, []

    def breaks_down(load):
        loads.append(load)
        if len(loads) > 3:
            raise RuntimeError("broken")
        return set_up(load)

    Load.set_up = breaks_down
"""


@pytest.mark.parametrize("workers", [[], ["-n2"]])
@pytest.mark.usefixtures("xdist")
def test_a_search_that_breaks_down_ends_the_loads_beside_it_on_all_workers(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    monkeypatch.setattr(Load, "set_up", Load.set_up)  # the conftest of the session changes it
    run = whole_run(
        pytester,
        BESIDE.format(duration="10m").replace("users=1", "users=2").replace('step="1s"', 'step="200ms", settle="50ms"'),
        *("--ipload-json=out.json", *workers),
        conftest=BROKEN,
        failed=2,
    )
    run.expect_lines("*RuntimeError: broken*")
    background, _ = json.loads((pytester.path / "out.json").read_text())["tests"]
    assert background["verdict"] == "invalid"
    assert "partner-ended: test_it.py::test_probe ended before its time" in background["reason"]


def test_a_load_that_is_shorter_than_the_search_beside_it_makes_it_invalid(
    pytester: pytest.Pytester, fast_search: FastSearch
) -> None:
    fast_search.outcome = OUTCOME_OF
    probe = beside(pytester, "1ms")["test_probe"]
    assert probe["verdict"] == "invalid"
    assert "partner-ended: test_it.py::test_background ended before the capacity search" in probe["reason"]
