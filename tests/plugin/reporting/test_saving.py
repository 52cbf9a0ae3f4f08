"""What is saved of a session's results; the files themselves are tested with ``baselines.store``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.samples import iteration, request
from support.saved_runs import NODEID, result

from pytest_ipload.base.machine import this_machine
from pytest_ipload.baselines.store import Store
from pytest_ipload.plugin.reporting.saving import Saving, unjudged
from pytest_ipload.plugin.session_state import Pools, SessionState
from pytest_ipload.settings.session_settings import BaselineSettings, SessionSettings


def saving(root: Path, **settings: Any) -> Saving:
    session = SessionSettings({}, {}, (), (), disabled=False, baselines=BaselineSettings(**settings))
    return Saving(SessionState(session, Pools(root, session, (0, 1))))


def test_each_load_is_saved_once_although_several_workers_ran_it(tmp_path: Path) -> None:
    one = saving(tmp_path, save="main")
    results = {(NODEID, worker): [result(latency)] for worker, latency in (("gw0", 10), ("gw1", 99))}
    one.save(results, dict.fromkeys(results, "passed"))
    assert one.problems == []
    assert one.saved == f".ipload/{this_machine().folder}/0001_main.json (1 load)"
    [path] = Store(tmp_path).find("")
    [test] = Store(tmp_path).read(path).tests.values()
    assert test["latency"]["max_ms"] == 10


@pytest.mark.parametrize(
    ("made", "outcome", "why"),
    [
        (result(), "passed", None),
        (result(), "xfailed", None),
        (result(), "failed", "the test failed"),
        (result(verdict="failed"), "xfailed", "its load is failed"),
        (result(verdict="invalid"), "failed", "its load is invalid"),
        (result(samples=[request(), iteration()]), "passed", "a single iteration is not a measurement"),
    ],
)
def test_only_what_passed_is_worth_it(tmp_path: Path, made: dict[str, Any], outcome: str, why: str | None) -> None:
    one = saving(tmp_path, save="main")
    one.save({("test_\x1b.py::a", ""): [made]}, {("test_\x1b.py::a", ""): outcome})
    none = "the run is not saved: no load test passed"
    assert one.problems == ([] if why is None else [rf"not saved: test_\x1b.py::a: {why}", none])
    assert len(Store(tmp_path).find("")) == (why is None)


HALF = " (for 1 of 2 limits)"


@pytest.mark.parametrize(
    ("limits", "results", "tests"),
    [
        (0, [{"nodeid": "a", "comparisons": [], "baseline": {}}], ""),
        (1, [{"nodeid": "a", "comparisons": [{"limit": "x"}]}, {"nodeid": "b", "comparisons": [{}]}], "b"),
        (2, [{"nodeid": name, "comparisons": [{"limit": "x"}, {}]} for name in ("a", "b", "a")], f"a{HALF}, b{HALF}"),
        (1, [{"nodeid": "invalid"}], ""),
    ],
)
def test_what_was_not_judged_is_said_once_for_each_test(limits: int, results: list[Any], tests: str) -> None:
    said = "--ipload-compare-fail: NOT COMPARED: no baseline found: "
    assert unjudged(results, limits) == ([f"{said}{tests}"] if tests else [])


def test_what_is_undecided_and_passes_is_said_with_its_limits() -> None:
    def judged(limit: str, undecided: bool, passed: bool) -> dict[str, Any]:
        return {"limit": limit, "undecided": undecided, "passed": passed}

    results = [
        {"nodeid": "a", "comparisons": [judged("p95:1%", True, True), judged("rps:1%", True, True)]},
        {"nodeid": "b", "comparisons": [judged("p95:1%", False, True), judged("rps:1%", True, True)]},
        {"nodeid": "red", "comparisons": [judged("p95:1%", True, False), judged("rps:1%", False, False)]},
    ]
    assert unjudged(results, 2) == [
        "--ipload-compare-fail: UNDECIDED: the difference may be noise: a (p95:1%, rps:1%), b (rps:1%)"
    ]
