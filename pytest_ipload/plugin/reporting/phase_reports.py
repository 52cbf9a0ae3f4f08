"""pytest's reports of the phases of a load test: made whatever its exceptions do, bounded, and with its results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_ipload.base.interrupts import interrupts_deferred
from pytest_ipload.base.masking import masked
from pytest_ipload.distributed.protocol.messages import sendable
from pytest_ipload.distributed.protocol.slots import SKIPPED_KEY
from pytest_ipload.distributed.worker.membership import SHARD
from pytest_ipload.plugin.items.groups import group_of
from pytest_ipload.plugin.items.outcomes import SKIPS
from pytest_ipload.plugin.session_state import LOAD_TEST, Results, keep_result, kept_results, state_of, take_results
from pytest_ipload.report.error_results import add_test_error, reason_of
from pytest_ipload.report.exception_text import cut_causes, described, type_name
from pytest_ipload.report.tracebacks import bounded, headline, place_at, put_first
from pytest_ipload.verdict.conclusion import Conclusion

if TYPE_CHECKING:
    from pytest_ipload.plugin.run.load_test import LoadTest

_PHASES = {"setup": "the set-up", "call": "the test", "teardown": "the teardown"}


def without_excess(call: pytest.CallInfo[None]) -> None:
    """Before pytest shows what was raised: it would show each of thousands of causes."""
    if call.excinfo is not None:
        cut_causes(call.excinfo.value)


def substitute(item: pytest.Item, call: pytest.CallInfo[None], broken: BaseException) -> pytest.TestReport:
    """A report in place of one that could not be made, as formatting its exception raised ``broken``."""
    if call.excinfo is None:
        raise broken
    text = f"{described(call.excinfo.value)}\nIts traceback cannot be shown: {type_name(broken)} was raised."
    try:
        pytest.fail(text, pytrace=False)
    except pytest.fail.Exception as shown:
        call.excinfo = pytest.ExceptionInfo.from_exception(shown)
    return pytest.TestReport.from_item_and_call(item, call)


def show(report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[None], test: LoadTest | None) -> None:
    """Begin the report of a failure with what failed and where. Mask it, and cut it to a readable length."""
    runs_loads = test is not None or "ipload" in getattr(item, "fixturenames", ())
    if call.excinfo is not None and report.failed and runs_loads:
        error = call.excinfo.value
        if line := headline(error) if test is None else test.headline(error):
            put_first(report.longrepr, line, call.excinfo)
        elif not getattr(error, "pytrace", True):
            place_at(report.longrepr, item)
    report.longrepr = bounded(report.longrepr)
    report.sections = [(title, masked(text)) for title, text in report.sections]


def make_error(report: pytest.TestReport, *, in_iteration: bool) -> None:
    """Make the report of a call that of an error, not of a failure; pytest has errors of the set-up only.

    The heading, ``ERROR at setup of test_shop``, says so if it was not in the set-up of a user.
    """
    report.when = "setup"
    if in_iteration:
        path, line, name = report.location
        report.location = (path, line, f"{name} (in an iteration)")


def note_skip(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Note for the controller that the body has skipped: its report looks like that of an expected failure."""
    if report.when == "call" and call.excinfo is not None and isinstance(call.excinfo.value, SKIPS):
        vars(report)[SKIPPED_KEY] = True


def attach_results(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport, test: LoadTest | None
) -> Results:
    """The results that belong on the report; an error that left none becomes one."""
    error = None if call.excinfo is None else call.excinfo.value
    if error is not None and not isinstance(error, SKIPS) and report.when != "teardown":
        _keep_error(item, error, test, f"{_PHASES[call.when]} failed")
    return take_results(item)


def kept_when_interrupted(item: pytest.Item, when: str, error: BaseException, test: LoadTest | None) -> None:
    """Ctrl-C or ``pytest.exit`` ended the session: there will be no report of this phase, so its results are kept."""
    results = state_of(item.config).results
    what = f"{_PHASES[when]} was interrupted"
    with interrupts_deferred():
        if when != "teardown":
            _keep_error(item, error, test, what)
            results[item.nodeid, ""] = take_results(item)
        for (nodeid, _), found in results.items():
            if nodeid == item.nodeid and when != "setup":
                add_test_error(found, when, reason_of(error, what))
        deliver(item, when, reason_of(error, what), results.get((item.nodeid, ""), []))


def deliver(item: pytest.Item, when: str, reason: str, results: Results) -> None:
    """A worker of xdist sends no more reports: send the results of a test that ran its loads whole."""
    whole_loads = state_of(item.config).whole_loads
    if whole_loads is not None and SHARD not in item.stash:
        whole_loads.deliver(item.nodeid, when, reason, sendable(results))


def unreported(item: pytest.Item, reason: str) -> tuple[str, Results] | None:
    """The results so far of a test that is about to be interrupted between its loads; None without any."""
    found = [dict(result) for result in kept_results(item)]
    if not found or SHARD in item.stash:
        return None
    add_test_error(found, "call", f"{_PHASES['call']} was interrupted: {reason}")
    return item.nodeid, sendable(found)


def _keep_error(item: pytest.Item, error: BaseException, test: LoadTest | None, what: str) -> None:
    if kept_results(item):
        return
    if test is not None:
        test.end_in_error(error, what)
    else:
        segment = state_of(item.config).settings.segment
        group = group_of(item)
        together = None if group is None else group.name
        conclusion = Conclusion.of_error(item.nodeid, reason_of(error, what), segment=segment, together=together)
        keep_result(item, conclusion)


def kept_while_waiting(item: pytest.Item, error: BaseException) -> None:
    """The session ends while a test waits for those that it runs together with: its results so far are kept."""
    test = item.stash.get(LOAD_TEST, None)
    if test is not None:
        test.interrupted(error)
    kept_when_interrupted(item, "call", error, test)
