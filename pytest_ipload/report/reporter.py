"""Collects the results of all load tests in the process that reports, and writes the reports at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.state import state_of

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter  # pytest exports this type from 9.2 on only

REPORT_KEY = "ipload"
"""The attribute of a test's report that carries its results: plain values, which xdist can send."""


class Reporter:
    """The hooks that report. Registered in the one process that does: not in xdist workers."""

    def __init__(self, config: pytest.Config) -> None:
        """Raises UsageError for a report path that cannot be written."""
        self._config = config
        path = config.getoption("ipload_json")
        self._json_path = None if path is None else Path(path).absolute()
        if self._json_path is not None and self._json_path.is_dir():
            raise pytest.UsageError(f"--ipload-json: {path} is a directory; give the path of a file")

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the results that came with the report of a test."""
        results = getattr(report, REPORT_KEY, None)
        if results:
            state_of(self._config).results[report.nodeid, getattr(report, "worker_id", "")] = results

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Print a block for each load."""
        results = state_of(self._config).all_results()
        if results:
            from pytest_ipload.report.terminal import print_results

            print_results(terminalreporter, results, self._config.get_verbosity())
        if self._json_path is not None and self._config.get_verbosity() >= 0:
            terminalreporter.write_line(f"ipload results: {self._json_path}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Write the JSON report."""
        if self._json_path is None or self._config.option.collectonly:
            return
        from pytest_ipload.report.json_file import write_json

        write_json(self._json_path, state_of(self._config).all_results())
