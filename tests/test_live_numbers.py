"""Live numbers in whole runs: in a terminal, in a log, over several workers."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from support.log_often import log_often
from support.plugins import OTHER_PLUGINS
from support.terminal import Press, TerminalRun, run_in_terminal

from pytest_ipload.distributed.protocol.time_limits import TIMING_VARIABLE

TESTS = """
import time
import pytest

def test_before():
    pass

@pytest.mark.ipload(users=4, duration="{duration}", think_time="5ms")
def test_load(ipload_user):
    with ipload_user.measure("VISIT"):
        {does}

def test_after():
    pass
"""
QUICKLY = """
from pytest_ipload.distributed.controller import controller
from pytest_ipload.load import executor
from pytest_ipload.stats import live, recorder

controller._SHOW = executor._TICK = 0.15
recorder.CHUNK_AGE_NS = live.CHUNK_AGE_NS = 100_000_000
"""
"""As if a second were shorter: what is looked at each second is looked at sooner."""
TOLD = """
import pathlib
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    if item.name == "test_load":
        pathlib.Path("over").touch()
    return result
"""
LINE = re.compile(r"^test_load  [0-4] users?(  .*)?  \d:\d\d of \d:\d\d \((\d:\d\d left|ending)\)$")


def written(folder: Path, duration: str = "400ms", does: str = "time.sleep(0.002)", conftest: str = QUICKLY) -> Path:
    """A folder with a load between two ordinary tests."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text(TESTS.format(duration=duration, does=does))
    return folder


@pytest.fixture(autouse=True)
def workers_tell_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they measured."""
    monkeypatch.setenv(TIMING_VARIABLE, "beat=0.1")


def run(folder: Path, *options: str, **settings: Any) -> TerminalRun:
    return run_in_terminal(folder, *(f"-pno:{name}" for name in OTHER_PLUGINS), *options, **settings)


def body_of(lines: list[str]) -> list[str]:
    """The lines from the first test's on to the results."""
    first = next(number for number, line in enumerate(lines) if line.startswith(("test_it.py", "2 workers")))
    last = next(number for number, line in enumerate(lines) if "= load tests =" in line)
    return [line for line in lines[first:last] if line]


def progress(columns: int = 100) -> str:
    """pytest's line about three tests that passed."""
    dots = "test_it.py ..."
    return dots + "[100%]".rjust(columns - 1 - len(dots))


class TestInATerminal:
    @pytest.mark.parametrize("capture", ["--capture=fd", "--capture=sys", "--capture=tee-sys", "-s"])
    def test_a_line_is_shown_below_pytests_own_and_erased(self, tmp_path: Path, capture: str) -> None:
        done = run(written(tmp_path), capture)
        assert done.code == 0
        assert done.frames
        for frame in done.frames:
            assert frame[-2] == "test_it.py ."
            assert LINE.match(frame[-1])
        assert body_of(done.lines) == ["test_it.py ..." if capture == "-s" else progress()]

    def test_soon_it_has_all_numbers(self, tmp_path: Path) -> None:
        done = run(written(tmp_path, "1600ms"))
        pattern = r"test_load  4 users  [\d.]+ req/s  p95 [\d.]+ ms  errors 0 %  0:01 of 0:02 \(0:01 left\)"
        assert [frame[-1] for frame in done.frames if re.fullmatch(pattern, frame[-1])]

    def test_with_v(self, tmp_path: Path) -> None:
        done = run(written(tmp_path), "-v")
        assert done.frames
        for frame in done.frames:
            assert frame[-2] == "test_it.py::test_load"
            assert LINE.match(frame[-1])
        assert [line.split() for line in body_of(done.lines)] == [
            ["test_it.py::test_before", "PASSED", "[", "33%]"],
            ["test_it.py::test_load", "PASSED", "[", "66%]"],
            ["test_it.py::test_after", "PASSED", "[100%]"],
        ]

    def test_at_the_bottom_of_a_small_terminal(self, tmp_path: Path) -> None:
        done = run(written(tmp_path), rows=8, columns=40)
        assert done.frames
        for frame in done.frames:
            assert frame[-2] == "test_it.py ."
            assert frame[-1].startswith("test_load  ")
            assert len(frame[-1]) < 40
        assert body_of(done.lines) == [progress(40)]

    def test_what_a_body_prints_is_not_lost(self, tmp_path: Path) -> None:
        written(tmp_path, does="ipload_user.iteration % 10 or print('printed', ipload_user.iteration)")
        done = run(tmp_path, "-s")
        assert (done.code, bool(done.frames)) == (0, True)
        printed = done.output.count(b"printed")
        assert printed >= 4
        assert "\n".join(done.lines).count("printed") == printed

    @pytest.mark.parametrize(
        ("options", "variables"),
        [
            (("-q",), {}),
            (("--ipload-progress=off",), {}),
            (("-pno:terminal",), {}),
            ((), {"TERM": "dumb"}),
            (("--ipload-disable",), {}),
        ],
        ids=["quiet", "off", "no terminal plugin", "no cursor", "functional"],
    )
    def test_where_nothing_is_to_be_shown(
        self, tmp_path: Path, options: tuple[str, ...], variables: dict[str, str]
    ) -> None:
        done = run(written(tmp_path, does="time.sleep(0.4)"), *options, variables=variables)
        assert done.code == 0
        assert (done.frames, b"\x1b[J" in done.output) == ([], False)

    def test_it_has_no_colours_where_pytest_has_none(self, tmp_path: Path) -> None:
        done = run(written(tmp_path), "--color=no")
        assert done.frames
        assert b"\x1b[1m" not in done.output

    @pytest.mark.usefixtures("xdist")
    def test_with_workers_it_is_about_all_of_them(self, tmp_path: Path) -> None:
        done = run(written(tmp_path, "600ms"), "-n2")
        assert done.code == 0
        assert any(frame[-1].startswith("test_load  4 users") for frame in done.frames)
        for frame in done.frames:
            assert frame[-2] == ".."
            assert LINE.match(frame[-1])
        workers, dots = body_of(done.lines)
        assert workers == "2 workers [3 items]"
        assert dots == "..." + "[100%]".rjust(96)

    @pytest.mark.usefixtures("xdist")
    def test_a_worker_that_dies_is_told_in_a_line_of_its_own(self, tmp_path: Path) -> None:
        dies = "__import__('os')._exit(1) if ipload_user.index == 0 and time.sleep(2) is None else time.sleep(0.01)"
        done = run(written(tmp_path, "60s", does=dies), "-n2", "--max-worker-restart=0")
        assert done.code != 0
        assert done.frames
        assert done.line("node down").endswith("node down: Not properly terminated")
        assert not [line for line in done.lines if "left)" in line]


class TestInterruption:
    def test_ctrl_c_erases_the_line(self, tmp_path: Path) -> None:
        done = run(written(tmp_path, "60s"), drawn=lambda press: press(b"\x03"))
        assert done.code == pytest.ExitCode.INTERRUPTED
        assert done.frames
        assert not [line for line in done.lines if "left)" in line]
        assert body_of(done.lines)[0].startswith("test_it.py .^C")
        assert "KeyboardInterrupt" in "\n".join(done.lines)

    @pytest.mark.usefixtures("xdist")
    def test_ctrl_c_with_workers(self, tmp_path: Path) -> None:
        done = run(written(tmp_path, "60s"), "-n2", drawn=lambda press: press(b"\x03"))
        assert done.code == pytest.ExitCode.INTERRUPTED
        assert done.frames
        assert not [line for line in done.lines if "left)" in line]
        assert "KeyboardInterrupt" in "\n".join(done.lines)

    def test_a_terminal_that_is_stopped_does_not_hold_up_the_load(self, tmp_path: Path) -> None:
        over = tmp_path / "over"
        seen: list[bool] = []

        def stop_until_the_load_is_over(press: Press) -> None:
            press(b"\x13")  # Ctrl-S
            give_up = time.monotonic() + 20
            while not over.exists() and time.monotonic() < give_up:
                time.sleep(0.02)
            seen.append(over.exists())
            press(b"\x11")  # Ctrl-Q

        done = run(written(tmp_path, conftest=QUICKLY + TOLD), drawn=stop_until_the_load_is_over)
        assert (done.code, seen) == (0, [True])
        assert body_of(done.lines) == [progress()]


class TestLog:
    @pytest.fixture(autouse=True)
    def often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Many lines in a second; and pytest's own output is kept in a buffer, as usual."""
        log_often(monkeypatch)
        monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)

    @pytest.mark.parametrize("options", [(), ("-v",)])
    def test_lines_without_a_terminal(self, pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
        written(pytester.path)
        result = pytester.runpytest_subprocess("--ipload-progress=log", *options)
        result.assert_outcomes(passed=3)
        lines = [line for line in result.outlines if line.startswith("test_it.py::test_load  ")]
        assert len(lines) >= 3  # the last one heads the results
        assert re.match(r"test_it.py::test_load  4 users  .*0:00 of 0:00", lines[0])
        assert lines[-1] == "test_it.py::test_load  PASSED"
        before = result.outlines[result.outlines.index(lines[0]) - 1]
        assert before.rstrip() == ("test_it.py::test_load" if options == ("-v",) else "test_it.py .")

    def test_in_a_terminal_too_and_nothing_is_erased(self, tmp_path: Path) -> None:
        done = run(written(tmp_path), "--ipload-progress=log")
        assert (done.code, done.frames, b"\x1b[J" in done.output) == (0, [], False)
        assert [line for line in body_of(done.lines) if line.startswith("test_it.py::test_load  4 users")]

    @pytest.mark.parametrize("options", [("--ipload-progress=log", "-q"), (), ("--ipload-progress=auto",)])
    def test_none(self, pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
        written(pytester.path)
        result = pytester.runpytest_subprocess(*options)
        result.assert_outcomes(passed=3)
        result.stdout.no_fnmatch_line("*users  *of 0:00*")

    @pytest.mark.usefixtures("xdist")
    def test_with_workers(self, pytester: pytest.Pytester) -> None:
        written(pytester.path, "1500ms")
        result = pytester.runpytest_subprocess("--ipload-progress=log", "-n2", "-k", "test_load")
        result.assert_outcomes(passed=1)
        lines = result.outlines
        first = next(number for number, line in enumerate(lines) if line.startswith("test_it.py::test_load  4 users"))
        assert "2 workers [1 item]" in lines[:first]

    def test_loads_of_a_test_of_ones_own_are_shown_too(self, pytester: pytest.Pytester) -> None:
        written(pytester.path)
        (pytester.path / "test_it.py").write_text(
            "import time\n"
            "def test_own(ipload):\n"
            "    ipload.run(lambda user: time.sleep(0.01), users=3, duration='400ms')\n"
        )
        result = pytester.runpytest_subprocess("--ipload-progress=log")
        result.stdout.fnmatch_lines(["test_it.py::test_own  3 users  *"])
