"""Collects the results of all load tests in the process that reports, and writes the reports at the end."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.base.interrupts import interrupts_deferred
from pytest_ipload.base.text import printable
from pytest_ipload.plugin.session_state import Results, state_of
from pytest_ipload.report.files.report_files import ReportFiles, fail_session, why_not_written

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter  # pytest exports this type from 9.2 on only

    from pytest_ipload.plugin.reporting.saving import Saving

REPORT_KEY = "ipload"
"""The attribute of a test's report that carries its results: plain values, which xdist can send."""


_JUNIT_OUTPUT = "Captured stdout"
"""How the title of a section begins that JUnit has in system-out."""


class Reporter:
    """The hooks that report. Registered in the one process that does: not in xdist workers."""

    def __init__(self, config: pytest.Config) -> None:
        """Raises UsageError for a report that cannot be written."""
        self._config = config
        self._state = state_of(config)
        self._files = ReportFiles.of(config)
        self._saving: Saving | None = None
        """None where nothing was saved."""
        self._failed_subtests: dict[str, Any] = {}
        """The first failed report of each test that came before the test's results."""
        self._outcomes: dict[tuple[str, str], str] = {}
        """pytest's outcome of each test with results: ``passed``, ``failed`` or ``xfailed``."""
        self._session: pytest.Session | None = None
        """The session, at its end."""
        self._problems: list[str] = []
        """What could not be reported, and why."""
        self._reruns: set[str] = set()
        """Tests whose run does not count and will be repeated, between its call and its teardown."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> Generator[None, None, None]:
        """Keep the results that came with the report of a test."""
        if self._is_of_no_concern(report):
            return (yield)
        self._keep_results(report)
        results = self._state.results.get(self._test_of(report))
        if results is None:
            return (yield)
        was_failed = report.failed
        with _with_evidence(report, results):
            yield
        if report.when == "call" and hasattr(report, REPORT_KEY):
            failed_subtest = self._failed_subtests.pop(report.nodeid, None)
            if report.failed and not was_failed:  # failed by pytest because of its subtests
                self._note_error(self._test_of(report), report)
            elif not report.failed and failed_subtest is not None:  # pytest-subtests does not fail the test itself
                self._note_error(self._test_of(report), failed_subtest)

    def _is_of_no_concern(self, report: Any) -> bool:
        """Whether it is a passed phase of an ordinary test, in a session that had no load test so far."""
        return report.outcome == "passed" and not (
            self._state.results or self._failed_subtests or self._reruns or REPORT_KEY in vars(report)
        )

    def _keep_results(self, report: Any) -> None:
        if report.when == "teardown" and report.nodeid in self._reruns:
            # junitxml takes the properties from here, and would add those of the run that did not count.
            report.user_properties = [pair for pair in report.user_properties if not pair[0].startswith("ipload_")]
            self._reruns.discard(report.nodeid)
        if report.outcome == "rerun":
            self._reruns.add(report.nodeid)
        test = self._test_of(report)
        results = self._state.results
        if report.when == "setup":  # it starts again: an earlier run does not count
            results.pop(test, None)
            self._failed_subtests.pop(report.nodeid, None)
        found = getattr(report, REPORT_KEY, None) or self._of_lost(report)
        if found:
            results[test] = found
            self._outcomes[test] = "xfailed" if report.skipped and hasattr(report, "wasxfail") else report.outcome
        if report.failed and report.when in ("call", "teardown"):
            self._note_error(test, report)
        if found:
            self._tell_pytest_html(report, found)

    def _test_of(self, report: Any) -> tuple[str, str]:
        return report.nodeid, getattr(report, "worker_id", "")

    def _of_lost(self, report: Any) -> Results | None:
        """The result of a load test shared by xdist's workers, none of which could report it."""
        state = self._state
        is_known = report.nodeid in state.shared_tests and report.failed and report.when != "teardown"
        if not is_known or any(nodeid == report.nodeid for nodeid, _ in state.results):
            return None
        from pytest_ipload.report.error_results import reported_reason
        from pytest_ipload.verdict.conclusion import Conclusion

        results: Results = list(Conclusion.of_error(report.nodeid, reported_reason(report)).results)
        return results

    def _note_error(self, test: tuple[str, str], report: Any) -> None:
        """A test whose load passed may fail nevertheless, in its own assertions or its teardown."""
        results = self._state.results
        nodeid, _ = test
        if not any(other == nodeid for other, _ in results):
            if report.when == "call":
                self._failed_subtests.setdefault(nodeid, report)
            return
        from pytest_ipload.report.error_results import add_test_error, reported_reason

        # With xdist, fixtures that a test shared with others may be torn down by another worker.
        those = [test] if test in results else [other for other in results if other[0] == nodeid]
        for each in those:
            add_test_error(results[each], report.when, reported_reason(report))
            self._outcomes[each] = "failed"

    def _tell_pytest_html(self, report: Any, results: Results) -> None:
        """Add the results to pytest-html's report: it processes the test's report after this plugin."""
        html_path = self._config.getoption("htmlpath", None)
        if html_path is None or not self._config.pluginmanager.hasplugin("html"):
            return
        from pytest_ipload.plugin.reporting.html_extras import extras_of, link_to

        try:
            page = self._files.path_of("html")
            links = [] if page is None else [link_to(page, html_path)]
            report.extras = [*getattr(report, "extras", ()), *extras_of(results), *links]
        except Exception as error:
            self._broken(f"the block of {report.nodeid} in pytest-html's report", error)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Print a block for each load; with ``-q`` only those of tests that failed."""
        verbosity = self._config.get_verbosity()
        shown = []
        for test, results in self._state.results.items():
            outcome = self._outcomes.get(test, "failed")  # an aborted one has no report
            if verbosity >= 0 or outcome == "failed":
                shown += [(result, outcome == "xfailed") for result in results]
        if shown:
            from pytest_ipload.report.terminal.load_block import print_results

            try:
                print_results(terminalreporter, shown, verbosity, self._config.get_terminal_writer().fullwidth)
            except Exception as error:
                self._broken("the summary of the load tests", error)
        saving = self._saving
        of_saving = saving.problems if saving else ()
        for problem in (*self._files.problems, *self._of_baselines(), *of_saving, *self._problems):
            # Not a Python warning: ``-W error`` would make the end of the session crash.
            terminalreporter.write_line(problem, yellow=True)
        for remark in self._files.remarks if verbosity > 0 else ():
            terminalreporter.write_line(remark)
        for kind, path in self._files.written if verbosity >= 0 else ():
            terminalreporter.write_line(f"ipload {kind.name} report: {path}")
        if saving and saving.saved is not None and verbosity >= 0:
            terminalreporter.write_line(f"ipload saved run: {saving.saved}")

    def _broken(self, what: str, error: Exception) -> None:
        """A bug in this plugin must not prevent other reports or pytest's own, and must not be hidden either."""
        self._problems.append(printable(f"pytest-ipload: {what} could not be made: {why_not_written(error)}"))
        if self._session is not None:
            fail_session(self._session)

    def _of_baselines(self) -> list[str]:
        """Saved runs that could not be read, and tests that were to be compared with some and were not."""
        state = self._state
        if not state.results:
            return []
        from pytest_ipload.plugin.reporting.saving import unjudged

        unusable = () if state.baselines is None else state.baselines.unusable
        missing = unjudged(state.all_results(), len(state.settings.baselines.limits))
        return [*(f"--ipload-compare: left out: {problem}" for problem in unusable), *missing]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the files. Anything missing makes the exit code non-zero."""
        if self._config.option.collectonly:
            return
        self._session = session
        with interrupts_deferred() as deferral:
            for what, make in (("the saved run", self._save), ("the report files", self._write)):
                try:
                    make()
                except Exception as error:
                    self._broken(what, error)
        if deferral.was_pressed:
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        if self._problems or self._files.problems or (self._saving is not None and self._saving.failed):
            fail_session(session)

    def _save(self) -> None:
        state = self._state
        if state.settings.baselines.saves:
            from pytest_ipload.plugin.reporting.saving import Saving

            self._saving = Saving(state)
            self._saving.save(state.results, self._outcomes)

    def _write(self) -> None:
        if not self._files:
            return
        from pytest_ipload.report.files.json_file import report_of

        state = self._state
        share = state.share
        weights = {"weights": list(share.weights)} if share.weights else {}
        segment = None if state.settings.segment is None else {"index": share.index, "count": share.count, **weights}
        self._files.write(report_of(state.all_results(), segment))


@contextmanager
def _with_evidence(report: Any, results: Sequence[dict[str, Any]]) -> Iterator[None]:
    """One request of a red test as a section of its reports, while files are written from them, such as JUnit's.

    JUnit has it in system-out, with ``junit_logging``. The terminal shows it in the block of the load test.
    """
    if not results:
        yield
        return
    from pytest_ipload.report.evidence_lines import evidence_lines
    from pytest_ipload.report.telling import is_red, telling

    found = [evidence for result in results if is_red(result) and (evidence := telling(result)) is not None]
    if not found:
        yield
        return
    section = (f"{_JUNIT_OUTPUT} of ipload", "\n".join(evidence_lines(found[0])) + "\n")
    report.sections.append(section)
    try:
        yield
    finally:
        report.sections.remove(section)
