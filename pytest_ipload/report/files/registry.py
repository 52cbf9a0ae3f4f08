"""The reports that are files: one row for each option, and what writes it at the end of the session.

A writer is a function ``write(path, report)`` in a module of this room, imported only when its option is given.
``report`` is what ``--ipload-json`` writes: see docs/json-report.md. A writer makes the folders above the file, and
raises OSError if it cannot be written. A kind with a variable also has a function ``append``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_ipload.base.text import printable

_LONGEST_NAME = 255
"""Bytes: of one name on the file systems of Linux, macOS and Windows."""
_LONGEST_PATH = 200
"""Characters of a path in an error."""

Report = Mapping[str, Any]
Writer = Callable[[Path, Report], None]

PREFIX = "--ipload-"
"""Of pytest's options; the command that merges segments has its own."""
AUTO = "auto"
"""In the place of a path: the file that an environment variable names."""


class ReportFile(NamedTuple):
    """One kind of file. ``module`` is below ``report`` and has the writer, a function ``write``."""

    name: str
    module: str
    help: str
    variable: str | None = None
    """The environment variable that names the file to append to with ``auto``; None where there is no such thing."""

    @property
    def flag(self) -> str:
        """The option."""
        return f"{PREFIX}{self.name}"

    @property
    def metavar(self) -> str:
        """What it takes."""
        return "PATH" if self.variable is None else f"PATH|{AUTO}"

    def writer(self, function: str = "write") -> Writer:
        """What writes the file, or appends to it. Raises ImportError if a library is missing that it needs."""
        write: Writer = getattr(import_module(f"pytest_ipload.report.{self.module}"), function)
        return write


REPORT_FILES = (
    ReportFile("json", "files.json_file", "Write the results as JSON"),
    ReportFile("html", "html.html_file", "Write the results as a page with charts; needs the extra 'html'"),
    ReportFile(
        "summary",
        "files.markdown",
        "Write a summary in Markdown; 'auto' appends it to the summary of a step of GitHub Actions",
        variable="GITHUB_STEP_SUMMARY",
    ),
    ReportFile("hlog", "files.hlog", "Write latencies by second and by request name as an HdrHistogram interval log"),
    ReportFile("openmetrics", "files.openmetrics", "Write the results as OpenMetrics text"),
)


def add_options(parser: pytest.Parser) -> None:
    """Register the option of each kind of file."""
    group = parser.getgroup("ipload", "load tests (pytest-ipload)")
    for kind in REPORT_FILES:
        group.addoption(kind.flag, metavar=kind.metavar, help=kind.help)
    # It is written of each sample, not of the results: see ``jsonl``.
    group.addoption("--ipload-jsonl", metavar="PATH", help="Write each sample as a line of k6's JSON output")


def path_of_file(flag: str, given: str) -> Path:
    """The path that an option gives for a file. Raises UsageError where there can be no such file."""
    from pytest_ipload.report.exception_text import shortened

    shown, is_folder = printable(shortened(given, _LONGEST_PATH)), False
    try:
        path = Path(given).absolute()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # what is so when it is written counts
            is_folder = stat.S_ISDIR(os.stat(path).st_mode)
        if is_folder:
            raise pytest.UsageError(f"{flag}: {shown} is a directory; give the path of a file")
        # Where folders are missing, the system would notice only later that a name is too long.
        longest = max(len(os.fsencode(part)) for part in path.parts)
        if longest > _LONGEST_NAME:
            raise OSError(f"a name of {longest} bytes is too long for a file system, which takes {_LONGEST_NAME}")
    except (OSError, ValueError) as error:  # a ValueError of a NUL
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise pytest.UsageError(f"{flag}: {shown} is not a path for a file: {why}") from None
    return path


def why_not_written(error: Exception) -> str:
    """In the system's words; anything else is a mistake of the writer's, and names its type."""
    from pytest_ipload.report.exception_text import shortened, text_of, type_name

    return shortened(str(error) if isinstance(error, OSError) else f"{type_name(error)}: {text_of(error)}", 1_000)


def fail_session(session: pytest.Session) -> None:
    """Make the exit code tell that something which was asked for is missing, unless it is red already."""
    if session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


class ReportFiles:
    """The files that the session was asked for."""

    def __init__(self, given: Mapping[str, str | None], prefix: str = PREFIX) -> None:
        """``given`` are the paths by the names of the kinds, ``prefix`` is what their options begin with.

        Raises UsageError for a path that cannot be one of a file, and for a library that is missing.
        """
        self.problems: list[str] = []
        """What could not be written, and why."""
        self.remarks: list[str] = []
        """What was not to be written, and why."""
        self.written: list[tuple[ReportFile, Path]] = []
        self._prefix = prefix
        self._asked: list[tuple[ReportFile, Path, Writer]] = []
        for kind in REPORT_FILES:
            path = given.get(kind.name)
            if path == AUTO and kind.variable is not None:
                self._ask_variable(kind, kind.variable)
            elif path is not None:
                self._ask(kind, path, "write")

    @classmethod
    def of(cls, config: pytest.Config) -> ReportFiles:
        """Those that pytest's command line asks for. Raises UsageError, see above."""
        return cls({kind.name: config.getoption(f"ipload_{kind.name}") for kind in REPORT_FILES})

    def _ask_variable(self, kind: ReportFile, variable: str) -> None:
        named = os.environ.get(variable)
        if named:
            self._ask(kind, named, "append")
        else:
            self.remarks.append(f"{self._prefix}{kind.name}={AUTO}: not written: the variable {variable} names no file")

    def _ask(self, kind: ReportFile, given: str, function: str) -> None:
        flag = f"{self._prefix}{kind.name}"
        path = path_of_file(flag, given)
        for other, taken, _ in self._asked:
            if os.path.realpath(taken) == os.path.realpath(path):
                raise pytest.UsageError(
                    f"{flag} and {self._prefix}{other.name}: both are {given}; give each a file of its own"
                )
        try:
            self._asked.append((kind, path, kind.writer(function)))
        except ImportError as error:
            raise pytest.UsageError(f"{flag}: {error}") from None

    def write(self, report: Report) -> None:
        """Write them all; one that cannot be written, for whatever reason, does not keep the others from it."""
        for kind, path, write in self._asked:
            try:
                write(path, report)
            except Exception as error:
                self.problems.append(f"{self._prefix}{kind.name}: not written: {why_not_written(error)}")
            else:
                self.written.append((kind, path))

    def path_of(self, name: str) -> Path | None:
        """Where the file of this kind will be; None if nobody asked for it."""
        return next((path for kind, path, _ in self._asked if kind.name == name), None)

    def __bool__(self) -> bool:
        return bool(self._asked)
