"""The reports that are files: one row for each option, and the code that writes it at the end of the session.

A writer is a function ``write(path, report)`` in a module of this room, imported only when its option is given.
``report`` is what ``--ipload-json`` writes: see docs/json-report.md. A writer creates the folders above the file, and
raises OSError if it cannot be written. A kind with a variable also has a function ``append``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

Report = Mapping[str, Any]
Writer = Callable[[Path, Report], None]

PREFIX = "--ipload-"
"""Of pytest's options; the command that merges segments has its own."""
AUTO = "auto"
"""In place of a path: the file that an environment variable names."""


class ReportFile:  # neither a dataclass nor a NamedTuple: every pytest run makes it
    """One kind of file. ``module`` is below ``report`` and has the writer, a function ``write``."""

    __slots__ = ("help", "module", "name", "variable")

    def __init__(self, name: str, module: str, help: str, variable: str | None = None) -> None:
        """``variable`` names the file to append to with ``auto``; None where there is none."""
        self.name = name
        self.module = module
        self.help = help
        self.variable = variable

    @property
    def flag(self) -> str:
        """The option."""
        return f"{PREFIX}{self.name}"

    @property
    def dest(self) -> str:
        """The option's attribute."""
        return f"ipload_{self.name}"

    @property
    def metavar(self) -> str:
        """The option's metavar."""
        return "PATH" if self.variable is None else f"PATH|{AUTO}"

    def writer(self, function: str = "write") -> Writer:
        """What writes the file, or appends to it. Raises ImportError if a library that it needs is missing."""
        write: Writer = getattr(import_module(f"pytest_ipload.report.{self.module}"), function)
        return write


REPORT_FILES = (
    ReportFile("json", "files.json_file", "Write the results as JSON"),
    ReportFile("html", "html.html_file", "Write the results as a page with charts; needs the extra 'html'"),
    ReportFile(
        "summary",
        "files.markdown",
        "Write a summary in Markdown; 'auto' appends it to the step summary of GitHub Actions",
        variable="GITHUB_STEP_SUMMARY",
    ),
    ReportFile("hlog", "files.hlog", "Write latencies by second and by request name as an HdrHistogram interval log"),
    ReportFile("openmetrics", "files.openmetrics", "Write the results as OpenMetrics text"),
)
