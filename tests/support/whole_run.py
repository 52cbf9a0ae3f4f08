"""Runs of a test module in a pytest session of its own, with a log of what happened in which thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest

HEADER = "import threading\nimport pytest\n\n"


@dataclass
class EventLog:
    """What happened, each event with the name of the thread in which it did."""

    events: list[tuple[str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *words: object) -> None:
        """Log an event of the running thread."""
        with self._lock:
            self.events.append((threading.current_thread().name, " ".join(map(str, words))))

    def plugin(self) -> ModuleType:
        """A plugin for the inner session, with a shared fixture: ``note("text", 1)`` logs ``"text 1"``."""

        @pytest.fixture(scope="session")
        def note() -> Callable[..., None]:
            return self.add

        plugin = ModuleType("note_plugin")
        vars(plugin)["note"] = note
        return plugin


@dataclass(frozen=True)
class WholeRun:
    """What came out of an inner session."""

    result: pytest.RunResult
    log: EventLog

    @property
    def all(self) -> list[str]:
        """Every event, in order."""
        return [text for _, text in self.log.events]

    @property
    def shared(self) -> list[str]:
        """What did not happen in a user's thread."""
        return [text for thread, text in self.log.events if not thread.startswith("ipload-user-")]

    def user(self, index: int) -> list[str]:
        """What happened in a user's thread."""
        return [text for thread, text in self.log.events if thread == f"ipload-user-{index}"]

    @property
    def reports(self) -> list[pytest.TestReport]:
        """The reports of all tests' phases, in order."""
        # What a run in this process adds to its result; Any, as RunResult declares it for such runs only.
        recorder: Any = self.result.reprec  # type: ignore[attr-defined]
        return [call.report for call in recorder.getcalls("pytest_runtest_logreport")]

    def phases(self, *outcomes: str) -> list[str]:
        """The phases of all tests with one of these outcomes."""
        return [str(report.when) for report in self.reports if report.outcome in outcomes]

    def expect_lines(self, *patterns: str) -> None:
        """The output has lines that match the patterns, in this order."""
        self.result.stdout.fnmatch_lines(patterns)


def whole_run(
    pytester: pytest.Pytester, source: str, *args: str, conftest: str | None = None, **outcomes: int
) -> WholeRun:
    """Run ``source`` as ``test_it.py``, warnings being errors, and check the outcomes, as in ``passed=2``."""
    pytester.makepyfile(test_it=HEADER + dedent(source))
    if conftest is not None:
        pytester.makeconftest(HEADER + dedent(conftest))
    log = EventLog()
    # Hypothesis' plugin would import all of hypothesis anew in each session, for a line of the header.
    options = ("-W", "error", "-p", "no:hypothesispytest")
    result = pytester.runpytest(*options, *args, plugins=[log.plugin()], no_reraise_ctrlc=True)
    if outcomes:
        result.assert_outcomes(**outcomes)
    return WholeRun(result, log)
