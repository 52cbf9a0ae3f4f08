"""Reports the outcome of each load test to pytest, in xdist's main thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import pytest

from pytest_ipload.base.code_location import in_words
from pytest_ipload.distributed.controller.known_worker import Worker
from pytest_ipload.distributed.controller.merge_reports import error_reports, merged_reports
from pytest_ipload.distributed.controller.shared_load import SharedLoad, Unfinished
from pytest_ipload.distributed.xdist_private import report_test


class Outcomes:
    """Reports load tests, and makes sure that each has an outcome."""

    def __init__(
        self, config: pytest.Config, results_key: str, say: Callable[[str], object], unfinished: Unfinished
    ) -> None:
        """``results_key`` is the attribute of a report that has the results; ``say`` prints a line."""
        self._unfinished = unfinished
        self._config = config
        self._results_key = results_key
        self._say = say
        self._known: set[str] = set()
        """The tests whose outcome pytest has."""
        self._is_said = False

    def heard(self, report: pytest.TestReport) -> None:
        """An outcome was reported to pytest, from whichever process."""
        if report.when != "setup" or not report.passed:
            self._known.add(report.nodeid)

    def report(self, test: SharedLoad, session: Any, nodes: Mapping[str, Any]) -> None:
        """Report a test that is over. ``session`` is xdist's, ``nodes`` are its workers by their names."""
        hook = self._config.hook
        load = partial(hook.pytest_report_from_serializable, config=self._config)
        try:
            name, reports = merged_reports(test, lambda data: load(data=data), self._results_key, self._unfinished)
        except Exception as error:
            name = test.workers[0].name
            reports = error_reports(test.nodeid, f"the reports of its workers could not be merged: {in_words(error)}")
        node, location = nodes[name], reports[0].location
        hook.pytest_runtest_logstart(nodeid=test.nodeid, location=location)
        for report in reports:
            vars(report).update(worker_id=name, testrun_uid=node.workerinput["testrunuid"])
            report_test(session, node, report)
        if any(report.failed and "flaky" in report.keywords for report in reports):  # pytest-rerunfailures' marker
            self.say_that_none_is_rerun("the marker flaky")
        hook.pytest_runtest_logfinish(nodeid=test.nodeid, location=location)

    def report_missing(self, tests: Iterable[SharedLoad], workers: Iterable[Worker]) -> None:
        """Load tests that were to run and have no outcome are errors, whatever the cause."""
        gone = "; ".join(f"{worker.name}: {worker.gone or 'connected'}" for worker in workers)
        for test in tests:
            if test.nodeid not in self._known:
                why = f"this load test has no outcome: {test.aborted or 'no worker has run it'} ({gone})"
                for report in error_reports(test.nodeid, why):
                    self._config.hook.pytest_runtest_logreport(report=report)

    def say_that_none_is_rerun(self, what: str) -> None:
        """Say once that something does not have the effect on load tests that it has on other tests."""
        if not self._is_said and self._config.pluginmanager.hasplugin("rerunfailures"):
            self._say(f"\npytest-ipload: {what} does not rerun load tests that several workers share")
            self._is_said = True
