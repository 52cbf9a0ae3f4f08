"""Saves the results of a session at its end, for later comparisons; and reports what had nothing to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pytest_ipload.base.text import counted, printable
from pytest_ipload.plugin.session_state import Results, SessionState

if TYPE_CHECKING:
    from pytest_ipload.base.commit import Commit
    from pytest_ipload.baselines.saved_run import Key, Test

TestRun = tuple[str, str]
"""A test and the xdist worker that ran it."""


class Saving:
    """``--ipload-save`` and ``--ipload-autosave``."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self.problems: list[str] = []
        """What was not saved, and why."""
        self.failed = False
        """Whether something was to be saved and could not be."""
        self.saved: str | None = None
        """Where the results are."""

    def save(self, results: Mapping[TestRun, Results], outcomes: Mapping[TestRun, str]) -> None:
        """Save the loads that passed; ``outcomes`` are pytest's outcomes of the tests."""
        from pytest_ipload.base.commit import current_commit
        from pytest_ipload.baselines.saved_run import SavedRun
        from pytest_ipload.baselines.store import Store

        tests = self._worth_saving(results, outcomes)
        if not tests:
            self.problems.append("the run is not saved: no load test passed")
            return
        now = datetime.now(timezone.utc)
        commit = current_commit(self._state.pools.base)
        store = Store(self._state.pools.base)
        run = SavedRun(
            name=self._state.settings.baselines.save or _made_up_name(commit, now),
            saved_at=now.isoformat(timespec="seconds"),
            machine=store.machine,
            commit=commit,
            tests=tests,
        )
        try:
            self.saved = f"{store.shown(store.save(run))} ({counted(len(tests), 'load')})"
        except OSError as error:
            self.failed = True
            self.problems.append(f"the run is not saved: {error}")

    def _worth_saving(self, results: Mapping[TestRun, Results], outcomes: Mapping[TestRun, str]) -> dict[Key, Test]:
        from pytest_ipload.baselines.saved_run import of_result

        tests: dict[Key, Test] = {}
        for test, loads in results.items():
            nodeid, _ = test
            for number, result in enumerate(loads):
                why_not = _why_not(result, outcomes.get(test, "failed"))
                if why_not is not None:
                    self.problems.append(f"not saved: {printable(nodeid)}: {why_not}")
                else:  # with xdist's --dist=each all workers run a test: the first result counts
                    tests.setdefault((nodeid, number), of_result(result, number))
        return tests


def unjudged(results: Results, limits: int) -> list[str]:
    """Tests that were not judged by all ``limits``: there was no baseline for one, or it is undecided."""
    nothing: dict[str, None] = {}
    undecided: dict[str, None] = {}
    for result in results:
        judged = [each for each in result.get("comparisons", ()) if "limit" in each]
        if "comparisons" in result and len(judged) < limits:
            part = f" (for {limits - len(judged)} of {limits} limits)" if judged else ""
            nothing[printable(result["nodeid"]) + part] = None
        if open_ones := [printable(each["limit"]) for each in judged if _is_open(each)]:
            undecided[f"{printable(result['nodeid'])} ({', '.join(open_ones)})"] = None
    whys = {
        "NOT COMPARED: no baseline found": nothing,
        "UNDECIDED: the difference may be noise": undecided,
    }
    return [f"--ipload-compare-fail: {why}: {', '.join(tests)}" for why, tests in whys.items() if tests]


def _is_open(comparison: Mapping[str, Any]) -> bool:
    """Whether it is undecided, and the test passes nevertheless."""
    return bool(comparison.get("undecided") and comparison.get("passed", True))


def _why_not(result: Mapping[str, Any], outcome: str) -> str | None:
    """Why a result is not suitable for comparisons; None if it is."""
    from pytest_ipload.baselines.saved_run import is_too_small
    from pytest_ipload.verdict.result import PASSED, UNDECIDED

    if result["verdict"] not in (PASSED, UNDECIDED):
        return f"its load is {result['verdict']}"
    if outcome == "failed":
        return "the test failed"
    return "a single iteration is not a measurement" if is_too_small(result) else None


def _made_up_name(commit: Commit | None, now: datetime) -> str:
    """``1f0c2d3e4b5a_20260131-120000``, with ``_dirty`` where files differ from the commit; without one the time."""
    parts = [f"{now:%Y%m%d-%H%M%S}"]
    if commit is not None:
        parts = [commit.id[:12], *parts, *(["dirty"] if commit.dirty else [])]
    return "_".join(parts)
