"""The report files that a session is to write: their paths, checked before the first load, and the writing."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_ipload.base.text import printable
from pytest_ipload.report.files.registry import AUTO, PREFIX, REPORT_FILES, Report, ReportFile, Writer

_LONGEST_NAME = 255
"""Bytes: the maximum of one name on the file systems of Linux, macOS and Windows."""
_LONGEST_PATH = 200
"""The maximum number of characters of a path in an error."""


def path_of_file(flag: str, given: str, *, is_written_here: bool = True) -> Path:
    """The path that an option gives for a file. Raises UsageError where a file cannot be written.

    A worker on another host may have no use for the path: there the folders are not looked at.
    """
    from pytest_ipload.report.exception_text import shortened

    shown, is_folder = printable(shortened(given, _LONGEST_PATH)), False
    try:
        path = Path(given).absolute()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # checked again when it is written
            is_folder = stat.S_ISDIR(os.stat(path).st_mode)
        if is_folder:
            raise pytest.UsageError(f"{flag}: {shown} is a directory; give the path of a file")
        # Where folders are missing, the system would notice a name that is too long only later.
        longest = max(len(os.fsencode(part)) for part in path.parts)
        if longest > _LONGEST_NAME:
            raise OSError(f"a name of {longest} bytes is too long for a file system; the maximum is {_LONGEST_NAME}")
    except (OSError, ValueError) as error:  # a ValueError of a NUL
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise pytest.UsageError(f"{flag}: {shown} is not a path for a file: {why}") from None
    if is_written_here and (why_not := _why_unwritable(path)) is not None:
        raise pytest.UsageError(f"{flag}: {shown} cannot be written: {why_not}; give another path")
    return path


def _why_unwritable(path: Path) -> str | None:
    """What is known before the load; a file that can be written now may still fail then, as on a full disk."""
    if os.path.exists(path):
        return None if os.access(path, os.W_OK) else "no permission to write it"
    folder = next(each for each in path.parents if os.path.exists(each) or each == each.parent)
    shown = printable(str(folder))
    if not os.path.isdir(folder):
        return f"{shown} is not a directory"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"no permission to write in {shown}"


def why_not_written(error: Exception) -> str:
    """The system's error text; anything else is a bug in the writer, and names its type."""
    from pytest_ipload.report.exception_text import shortened, text_of, type_name

    return shortened(str(error) if isinstance(error, OSError) else f"{type_name(error)}: {text_of(error)}", 1_000)


def fail_session(session: pytest.Session) -> None:
    """Make the exit code report that a requested output is missing, unless it is an error already."""
    if session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _writer_of(kind: ReportFile, flag: str, function: str) -> Writer:
    try:
        return kind.writer(function)
    except ImportError as error:
        raise pytest.UsageError(f"{flag}: {error}") from None


class ReportFiles:
    """The report files requested for the session."""

    def __init__(self, given: Mapping[str, str | None], prefix: str = PREFIX) -> None:
        """``given`` are the paths by the names of the kinds, ``prefix`` is what their options begin with.

        Raises UsageError for a path that cannot be one of a file, and for a library that is missing.
        """
        self.problems: list[str] = []
        """Files that could not be written, and why."""
        self.remarks: list[str] = []
        """Files that were not to be written, and why."""
        self.written: list[tuple[ReportFile, Path | str]] = []
        self._prefix = prefix
        self._asked: list[tuple[ReportFile, Path | str, Writer]] = []
        """The kinds with their paths; of those that are sent to a URL, with the URL without secrets."""
        for kind in REPORT_FILES:
            path = given.get(kind.name)
            if path == AUTO and kind.variable is not None:
                self._ask_variable(kind, kind.variable)
            elif path is not None:
                self._ask(kind, path, "write")

    @classmethod
    def of(cls, config: pytest.Config) -> ReportFiles:
        """The files of pytest's command line. Raises UsageError, see above."""
        return cls({kind.name: config.getoption(kind.dest) for kind in REPORT_FILES})

    def _ask_variable(self, kind: ReportFile, variable: str) -> None:
        named = os.environ.get(variable)
        if named:
            self._ask(kind, named, "append")
        else:
            self.remarks.append(f"{self._prefix}{kind.name}={AUTO}: not written: the variable {variable} names no file")

    def _ask(self, kind: ReportFile, given: str, function: str) -> None:
        flag = f"{self._prefix}{kind.name}"
        if "://" in given:
            self._ask_url(kind, flag, given)
            return
        path = path_of_file(flag, given)
        for other, taken, _ in self._asked:
            if os.path.realpath(taken) == os.path.realpath(path):
                raise pytest.UsageError(
                    f"{flag} and {self._prefix}{other.name}: both are {given}; give each a file of its own"
                )
        self._asked.append((kind, path, _writer_of(kind, flag, function)))

    def _ask_url(self, kind: ReportFile, flag: str, given: str) -> None:
        from pytest_ipload.report.files.upload import Upload

        writer = _writer_of(kind, flag, "write")
        try:
            upload = Upload(given, writer, has_digest=kind.name == "json")
        except ValueError as error:
            raise pytest.UsageError(f"{flag}: {error}") from None
        self._asked.append((kind, upload.shown, upload.write))

    def write(self, report: Report) -> None:
        """Write all of them; one that cannot be written, for whatever reason, does not affect the others."""
        for kind, path, write in self._asked:
            try:
                write(Path(path), report)
            except Exception as error:
                self.problems.append(f"{self._prefix}{kind.name}: not written: {why_not_written(error)}")
            else:
                self.written.append((kind, path))

    def path_of(self, name: str) -> Path | None:
        """The path of the file of this kind; None if it was not requested, or goes to a URL."""
        found = (path for kind, path, _ in self._asked if kind.name == name)
        return next((path for path in found if isinstance(path, Path)), None)

    def __bool__(self) -> bool:
        return bool(self._asked)
