"""``--ipload-jsonl``: each sample as a line of k6's JSON output.

While a load runs, its samples only go to a spool on disk. The process that reports converts all spools at the end of
the session, also those of xdist's workers that share its file system. A worker on another machine writes a file
there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_ipload.base.environment import host_name
from pytest_ipload.base.interrupts import interrupts_deferred
from pytest_ipload.base.text import printable
from pytest_ipload.plugin.session_state import Results, state_of
from pytest_ipload.report.files.k6_lines import K6Lines
from pytest_ipload.report.files.report_files import fail_session, path_of_file, why_not_written
from pytest_ipload.stats.spool.session_spools import Spools
from pytest_ipload.stats.spool.spool_format import read_spool
from pytest_ipload.verdict.result import is_measured

FLAG = "--ipload-jsonl"
_KEY = "ipload_spools"
"""In the input of a worker: the controller's folder for spools. In its output: the outcome for the worker's samples."""


def set_up(config: pytest.Config) -> None:
    """Set up the option in this process. Raises UsageError for a path that cannot be a file."""
    given = config.getoption("ipload_jsonl")
    if given is None:
        return
    is_worker = hasattr(config, "workerinput")
    path = path_of_file(FLAG, given, is_written_here=not is_worker)
    plugin = (_Worker if is_worker else _Reporter)(config, path)
    config.pluginmanager.register(plugin, "ipload-jsonl")


class _Process:
    """Common to all processes that run loads."""

    def __init__(self, config: pytest.Config, path: Path, folder: Path | None, process: str) -> None:
        """``folder`` is for spools; it was created, and will be removed, by another process."""
        self._config = config
        self._path = path
        self._own_folder = None if folder is not None else Path(tempfile.mkdtemp(prefix="ipload-samples-"))
        self._spools = state_of(config).spools = Spools(folder or Path(str(self._own_folder)), process)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A test that is run again only has the samples of its last run."""
        self._spools.forget(item.nodeid)

    def pytest_unconfigure(self) -> None:
        """Remove the spools."""
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)

    def _write(self, path: Path, texts: Iterator[str]) -> str | None:
        """Write the lines; returns why that cannot be done."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.writelines(text.encode("ascii") for text in texts)
        except Exception as error:  # a spool that is damaged is a ValueError
            return f"not written: {why_not_written(error)}"
        return None


class _Reporter(_Process):
    """The process that reports: it writes the file."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        super().__init__(config, path, None, "main")
        self._written = False
        self._apart: list[str] = []
        """Files of workers on other machines, with their places."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass a worker the folder for spools."""
        node.workerinput[_KEY] = str(self._spools.folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has ended: it may have samples that are not here."""
        output = (getattr(node, "workeroutput", None) or {}).get(_KEY) or {}
        self._spools.problems += output.get("problems", ())
        self._apart += output.get("files", ())

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the file. The workers have ended, as the controller's hook comes before this one."""
        if self._config.option.collectonly:
            return
        with interrupts_deferred() as deferral:
            problem = self._write(self._path, self._texts(state_of(self._config).results))
        if deferral.was_pressed:
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        if problem is None:
            self._written = True
        else:
            self._spools.problems.append(problem)
        if self._spools.problems:
            fail_session(session)

    def _texts(self, results: dict[tuple[str, str], Results]) -> Iterator[str]:
        """The lines of all tests that have a result, and of no others."""
        lines, spools = K6Lines(), self._spools.finished()
        for nodeid in dict.fromkeys(nodeid for nodeid, _ in results):
            for facts, path in spools:
                if facts.nodeid == nodeid:
                    for batch in read_spool(path):
                        yield from lines.of_batch(facts, batch)
            for (other, _), found in results.items():
                for result in found if other == nodeid else ():
                    if is_measured(result):
                        yield from lines.of_result(result)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where the samples are, and which are missing."""
        for problem in dict.fromkeys(self._spools.problems):
            terminalreporter.write_line(f"{FLAG}: {printable(problem)}", yellow=True)
        if self._written and self._config.get_verbosity() >= 0:
            terminalreporter.write_line(f"ipload jsonl report: {self._path}")
        for file in self._apart:
            terminalreporter.write_line(f"ipload jsonl report: {file}")


class _Worker(_Process):
    """A worker of xdist. If it cannot see the controller's folder, it is on another machine, and so is its file."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        workerinput = vars(config)["workerinput"]
        self._name = str(workerinput["workerid"])
        shared = Path(workerinput.get(_KEY, ""))
        is_shared = shared.is_absolute() and os.access(shared, os.W_OK)
        super().__init__(config, path, shared if is_shared else None, self._name)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Write the samples that only this worker can read, and report that to the controller."""
        files = []
        if self._own_folder is not None and self._spools.finished():
            path = self._path.with_name(f"{self._path.stem}.{self._name}{self._path.suffix}")
            problem = self._write(path, self._texts())
            if problem is None:
                files.append(f"{path} on {host_name()} has the samples of {self._name}")
            else:
                self._spools.problems.append(problem)
        problems = [f"{self._name}: {problem}" for problem in self._spools.problems]
        # Unprintable characters (a surrogate in a path) cannot be sent either.
        output = {"problems": list(map(printable, problems)), "files": list(map(printable, files))}
        vars(self._config)["workeroutput"][_KEY] = output

    def _texts(self) -> Iterator[str]:
        lines = K6Lines()
        for facts, path in self._spools.finished():
            for batch in read_spool(path):
                yield from lines.of_batch(facts, batch)
