"""Merges the reports of all workers on a load test into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pytest_ipload.distributed.controller.shared_load import SharedLoad, Unfinished
from pytest_ipload.distributed.protocol.slots import FAILED_USERS_KEY, SKIPPED_KEY
from pytest_ipload.verdict.result import is_measured

_PHASES = ("setup", "call", "teardown")
Located = tuple[str, pytest.TestReport]
"""A worker's name and its report."""


def merged_reports(
    test: SharedLoad,
    load: Callable[[dict[str, Any]], pytest.TestReport],
    results_key: str,
    unfinished: Unfinished = lambda _nodeid, _reason: None,
) -> tuple[str, list[pytest.TestReport]]:
    """The worker to which the outcome is ascribed, and one report for each phase that was run.

    In each phase the worst report counts: an error of one worker is an error of the test. ``load`` makes a report from
    what a worker sent; ``results_key`` is the attribute of a report that has the results, which are kept once;
    ``unfinished`` has those of earlier rounds of a test that ended in an error.
    """
    located = [
        (worker.name, load(dict(report)))
        for worker in test.workers
        if worker.name in test.done
        for report in test.done[worker.name].reports
    ]
    location = located[0][1].location if located else _location(test.nodeid)
    located += [
        (name, _report(test.nodeid, "call", "failed", f"worker {name} failed: {why}", location))
        for name, why in test.failed.items()
    ]
    chosen = {phase: found for phase in _PHASES if (found := _worst(test, phase, located)) is not None}
    _look_at_set_up(test, chosen, located)
    _account_for_lost(test, chosen)
    _account_for_no_verdict(test, chosen)
    results = _results(test, chosen, located, results_key, unfinished)
    _look_at_skip(test, chosen, results)
    if results:
        carrier = chosen.get("call") or chosen.get("setup") or next(iter(chosen.values()))
        vars(carrier[1])[results_key] = results
    return _ascribed(chosen), [report for _, report in chosen.values()]


def _results(
    test: SharedLoad, chosen: dict[str, Located], located: Sequence[Located], results_key: str, unfinished: Unfinished
) -> list[dict[str, Any]]:
    """The results of the whole load; those in a worker's report are of its own partition only.

    Where the set-up failed they are those of its report: the other workers only say that they were called off. A worker
    that measured nothing does not know the earlier rounds of the test.
    """
    is_set_up = "setup" not in chosen or chosen["setup"][1].passed
    kept = chosen if is_set_up else {"setup": chosen["setup"]}
    reports = [report for _, report in (*kept.values(), *(located if is_set_up else ()))]
    own: list[list[dict[str, Any]]] = [found for report in reports if (found := vars(report).pop(results_key, None))]
    for _, report in chosen.values():
        vars(report).pop(results_key, None)
    if test.conclusion is not None and test.conclusion.results:
        return list(test.conclusion.results)
    found = own[0] if own else []
    reason = next((result.get("reason", "") for result in found if not is_measured(result)), None)
    rounds = None if reason is None else unfinished(test.nodeid, reason)
    return found if rounds is None else list(rounds.results)


def _ascribed(chosen: dict[str, Located]) -> str:
    """Give all phases the same properties; those of the worker that failed, or else of the first.

    JUnit's properties are those of the teardown.
    """
    source = (chosen.get("call") or chosen.get("setup") or next(iter(chosen.values())))[1]
    for _, report in chosen.values():
        report.user_properties = [(str(name), value) for name, value in source.user_properties]
    return next((name for name, report in chosen.values() if report.failed), next(iter(chosen.values()))[0])


def _worst(test: SharedLoad, phase: str, located: Sequence[Located]) -> Located | None:
    """The report that counts; that of a worker whose partition was called off only if there is no other.

    Of several that failed, the one that was the cause comes first.
    """

    def rank(entry: Located) -> tuple[bool, int, bool]:
        name, report = entry
        called_off = phase == "call" and name in test.done and test.done[name].aborted
        is_cause = name in test.failed or name in test.ended_by
        return called_off, {"failed": 0, "skipped": 1, "passed": 2}[report.outcome], not is_cause

    return min((entry for entry in located if entry[1].when == phase), key=rank, default=None)


def _look_at_set_up(test: SharedLoad, chosen: dict[str, Located], located: Sequence[Located]) -> None:
    """Without a set-up on all workers there was no load: a call report would only say that others failed."""
    if "setup" not in chosen or chosen["setup"][1].passed:
        return
    chosen.pop("call", None)
    report = chosen["setup"][1]
    set_ups = [(name, other) for name, other in located if other.when == "setup" and other.outcome == report.outcome]
    alike = [name for name, _ in set_ups]
    where = f"on {len(alike)} of {len(test.workers)} workers: {', '.join(alike)}"
    if report.failed:
        if len(test.workers) > 1:
            failed = sum(vars(other).get(FAILED_USERS_KEY, 0) for _, other in set_ups)
            users = f"{failed} of the {test.users} users of the load failed in it\n" if failed else ""
            report.sections.append(("ipload", f"the set-up failed {where}\n{users}"))
    elif len(alike) < len(test.workers):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped {where} only; the load test did not run: {reason}"


def _look_at_skip(test: SharedLoad, chosen: dict[str, Located], results: Sequence[dict[str, Any]]) -> None:
    """A body may skip before any iteration was completed; each worker only knows its own iterations."""
    name, report = chosen.get("call", ("", None))
    if report is None or report.outcome != "skipped" or test.conclusion is not None:
        return
    if not vars(report).get(SKIPPED_KEY):  # the marker xfail: the expected failure happened
        return
    iterations = sum(result.get("iterations", 0) for result in results)
    if iterations:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
        others = f"{iterations} iterations had run on other workers"
        text = f"worker {name} skipped after {others}, which is an error: {reason}"
        vars(report).pop("wasxfail", None)
        report.outcome, report.longrepr = "failed", text


def _account_for_lost(test: SharedLoad, chosen: dict[str, Located]) -> None:
    """A lost worker never leaves the test green, whether the others noticed or not."""
    if test.lost:
        count = f"{len(test.lost)} of {len(test.workers)} workers"
        text = f"the load test lost {count}: " + "; ".join(f"{name}: {why}" for name, why in test.lost)
        if chosen.get("setup", (None, None))[1] is not None and not chosen["setup"][1].passed:
            chosen["setup"][1].sections.append(("ipload", text + "\n"))
        elif "call" not in chosen or chosen["call"][1].passed:
            _fail(test, chosen, "call", test.lost[0][0], _conclusion_text(test, text))
    elif "call" not in chosen and test.vanished and "setup" not in chosen:
        text = f"the load test lost {test.vanished[0][0]} after the load: {test.vanished[0][1]}"
        _fail(test, chosen, "call", test.vanished[0][0], _conclusion_text(test, text))
    elif test.vanished:
        text = "; ".join(f"worker {name} was lost after the load: {why}" for name, why in test.vanished)
        if "teardown" not in chosen or chosen["teardown"][1].passed:
            _fail(test, chosen, "teardown", test.vanished[0][0], text)


def _account_for_no_verdict(test: SharedLoad, chosen: dict[str, Located]) -> None:
    """No load passes without a verdict on all its shard results, and none is left without a report."""
    has_passed = "call" in chosen and chosen["call"][1].passed
    if (has_passed and test.conclusion is None) or not chosen:
        name = next((worker.name for worker in test.workers), "")
        _fail(test, chosen, "call", name, f"the load test has no verdict: {test.aborted or 'no worker reported it'}")
    if "teardown" not in chosen:
        name, report = next(iter(chosen.values()))
        chosen["teardown"] = name, _report(test.nodeid, "teardown", "passed", None, report.location)


def _conclusion_text(test: SharedLoad, text: str) -> str:
    message = "" if test.conclusion is None else test.conclusion.message
    return f"{text}\n{message}".strip()


def _fail(test: SharedLoad, chosen: dict[str, Located], phase: str, name: str, text: str) -> None:
    known = next((report for _, report in chosen.values()), None)
    location = _location(test.nodeid) if known is None else known.location
    report = _report(test.nodeid, phase, "failed", text, location)
    if test.conclusion is not None:
        report.user_properties = [(str(key), value) for key, value in test.conclusion.properties.items()]
    chosen[phase] = name, report
    for each in _PHASES:  # the order of pytest
        if each in chosen:
            chosen[each] = chosen.pop(each)


def error_reports(nodeid: str, text: str) -> list[pytest.TestReport]:
    """The reports of a test that could not be run."""
    location = _location(nodeid)
    return [
        _report(nodeid, "setup", "failed", text, location),
        _report(nodeid, "teardown", "passed", None, location),
    ]


def _location(nodeid: str) -> tuple[str, int | None, str]:
    path, _, rest = nodeid.partition("::")
    return path, None, rest


def _report(nodeid: str, phase: Any, outcome: Any, text: str | None, location: Any) -> pytest.TestReport:
    return pytest.TestReport(nodeid=nodeid, location=location, keywords={}, outcome=outcome, longrepr=text, when=phase)
