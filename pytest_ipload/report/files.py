"""The reports that are files: one row for each option, and what writes it at the end of the session.

A writer is a function ``write(path, report)`` in a module of this room, imported only when its option is given.
``report`` is what ``--ipload-json`` writes: see docs/json-report.md. A writer makes the folders above the file, and
raises OSError if it cannot be written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

Report = Mapping[str, Any]
Writer = Callable[[Path, Report], None]


class ReportFile(NamedTuple):
    """One kind of file. ``module`` is in this room and has the writer, a function ``write``."""

    name: str
    module: str
    help: str

    @property
    def flag(self) -> str:
        """The option."""
        return f"--ipload-{self.name}"

    def writer(self) -> Writer:
        """What writes the file. Raises ImportError if a library is missing that it needs."""
        write: Writer = import_module(f"pytest_ipload.report.{self.module}").write
        return write


REPORT_FILES = (ReportFile("json", "json_file", "Write the results as JSON"),)


def add_options(parser: pytest.Parser) -> None:
    """Register the option of each kind of file."""
    group = parser.getgroup("ipload", "load tests (pytest-ipload)")
    for kind in REPORT_FILES:
        group.addoption(kind.flag, metavar="PATH", help=kind.help)


class ReportFiles:
    """The files that the session was asked for."""

    def __init__(self, config: pytest.Config) -> None:
        """Raises UsageError for a path that cannot be one of a file, and for a library that is missing."""
        self.problems: list[str] = []
        """What could not be written, and why."""
        self.written: list[tuple[ReportFile, Path]] = []
        self._asked: list[tuple[ReportFile, Path, Writer]] = []
        for kind in REPORT_FILES:
            given = config.getoption(f"ipload_{kind.name}")
            if given is None:
                continue
            if Path(given).is_dir():
                raise pytest.UsageError(f"{kind.flag}: {given} is a directory; give the path of a file")
            try:
                self._asked.append((kind, Path(given).absolute(), kind.writer()))
            except ImportError as error:
                raise pytest.UsageError(f"{kind.flag}: {error}") from None

    def write(self, report: Report) -> None:
        """Write them all; one that cannot be written does not keep the others from it."""
        for kind, path, write in self._asked:
            try:
                write(path, report)
            except OSError as error:
                self.problems.append(f"{kind.flag}: not written: {error}")
            else:
                self.written.append((kind, path))

    def __bool__(self) -> bool:
        return bool(self._asked)
