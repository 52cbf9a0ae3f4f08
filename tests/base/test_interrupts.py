"""Ctrl-C: what was measured is in the reports, whenever it comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from support.phases import FIXTURES
from support.plugins import OTHER_PLUGINS

from pytest_ipload.base.interrupts import interrupts_deferred


class TestDeferral:
    @pytest.fixture(autouse=True)
    def _pythons_handler(self) -> Any:
        own = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, own)

    def test_one_is_remembered_and_a_second_one_is_raised(self) -> None:
        with interrupts_deferred() as deferral:
            assert not deferral.was_pressed
            signal.raise_signal(signal.SIGINT)
            assert deferral.was_pressed
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    def test_within_itself_it_changes_nothing(self) -> None:
        with interrupts_deferred() as outer:
            with interrupts_deferred() as inner:
                signal.raise_signal(signal.SIGINT)
            assert (outer.was_pressed, inner.was_pressed) == (True, False)

    def test_in_another_thread_it_changes_nothing(self) -> None:
        seen = []

        def look() -> None:
            with interrupts_deferred():
                seen.append(signal.getsignal(signal.SIGINT))

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert seen == [signal.default_int_handler]

    def test_anothers_handler_stays(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interrupts_deferred():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


MODULE = """
    import pathlib
    import time

    import pytest

    def reached(place):
        if place == {phase!r}:
            pathlib.Path("reached").touch()
            for _ in range(3000):
                time.sleep(0.01)

    @pytest.mark.ipload(users=1, iterations=20)
    def test_it(shared, visitor):
        if visitor.iteration == 10:
            reached("load")

    @pytest.mark.ipload(users=1)
    def test_never(ipload_user): pass
"""
CONFTEST = """
    import pathlib
    import time

    from pytest_ipload.report.files import json_file

    write = json_file.write

    def slow(path, report):
        pathlib.Path("reached").touch()
        time.sleep(1)
        write(path, report)

    json_file.write = slow
"""


def interrupted(folder: Path, phase: str) -> tuple[int, list[dict[str, Any]]]:
    """Press Ctrl-C in this phase of a session; returns its exit code, and the tests of its JSON report."""
    (folder / "test_it.py").write_text(dedent(MODULE).format(phase=phase) + FIXTURES)
    if phase == "reports":
        (folder / "conftest.py").write_text(dedent(CONFTEST))
    without = [f"-pno:{name}" for name in ("cacheprovider", *OTHER_PLUGINS)]
    options = ["--ipload-json=out.json", "--ipload-summary=out.md", "--junit-xml=out.xml", "--ipload-pin=off"]
    command = [sys.executable, "-m", "pytest", "-q", *without, *options]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(2, signal.SIG_DFL)
    ) as process:
        give_up = time.monotonic() + 60
        while not (folder / "reached").exists() and time.monotonic() < give_up:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=20)  # less than the phases would take, and than the graceful stop
    assert (folder / "out.xml").exists(), output
    assert (folder / "out.md").exists(), output
    tests: list[dict[str, Any]] = json.loads((folder / "out.json").read_text(encoding="utf-8"))["tests"]
    return process.returncode, tests


@pytest.mark.parametrize(
    ("phase", "verdict", "reason"),
    [
        ("set-up of a fixture", "error", "the set-up was interrupted: KeyboardInterrupt"),
        ("set-up of a user", "error", "the set-up was interrupted: KeyboardInterrupt"),
        ("load", "invalid", "the load was aborted by KeyboardInterrupt"),
        ("tear-down of a fixture", "passed", ""),
    ],
)
def test_what_was_measured_is_in_the_reports(tmp_path: Path, phase: str, verdict: str, reason: str) -> None:
    code, [test] = interrupted(tmp_path, phase)
    assert code == pytest.ExitCode.INTERRUPTED
    assert (test["nodeid"], test["verdict"], test["reason"]) == ("test_it.py::test_it", verdict, reason)
    if phase == "load":
        assert test["iterations"] >= 10
    if phase == "tear-down of a fixture":
        assert test["test_errors"] == [
            {"phase": "teardown", "reason": "the teardown was interrupted: KeyboardInterrupt"}
        ]


def test_while_reports_are_written_it_waits_for_them(tmp_path: Path) -> None:
    code, tests = interrupted(tmp_path, "reports")
    assert code == pytest.ExitCode.INTERRUPTED
    assert [test["verdict"] for test in tests] == ["passed", "passed"]
