"""``--ipload-explain``: whole runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.explained import require_readable_stacks, running_python_target, stand_in

from pytest_ipload.explain import py_spy

TEST = """
    import pytest

    @pytest.mark.ipload(users=2, duration="{duration}")
    @pytest.mark.ipload_threshold("p95 < {limit}")
    def test_load(ipload_session):
        ipload_session.get("/")
"""


@pytest.fixture
def target(tmp_path: Path) -> Iterator[tuple[str, int]]:
    with running_python_target(tmp_path) as found:
        yield found


def run(
    pytester: pytest.Pytester, url: str, *options: str, duration: str = "400ms", limit: str = "5ms"
) -> tuple[pytest.RunResult, dict[str, Any]]:
    pytester.makepyfile(TEST.format(duration=duration, limit=limit))
    result = pytester.runpytest(f"--ipload-base-url={url}", "--ipload-json=out.json", *options)
    [test] = json.loads((pytester.path / "out.json").read_text())["tests"]
    return result, test


@pytest.mark.usefixtures("xdist")
def test_a_red_threshold_names_the_line_that_the_target_spends_its_time_in(
    pytester: pytest.Pytester, target: tuple[str, int]
) -> None:
    url, pid = target
    require_readable_stacks(pid)
    result, test = run(pytester, url, "-n2", "--ipload-explain", duration="2200ms")
    result.assert_outcomes(failed=1)
    explain = test["explain"]
    assert (explain["kind"], explain["pids"]) == ("share", [pid])
    [line] = explain["lines"]
    assert (line["file"], line["function"]) == ("shop_server.py", "price_of")
    assert line["source"] == "time.sleep(0.02)  # password = '***'"
    assert line["share"] > 0.5
    result.stdout.fnmatch_lines(["*p95 * limit < 5.00 ms*", "*target: largest shares*", "*shop_server.py:* price_of *"])
    assert "hunter2" not in result.stdout.str()


def test_without_the_right_it_says_so_in_one_line_and_nothing_else_changes(
    pytester: pytest.Pytester, target: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = stand_in(tmp_path, "sys.exit('Permission Denied: Try running again with elevated permissions')")
    monkeypatch.setattr(py_spy, "find_program", lambda: program)
    result, test = run(pytester, target[0], f"--ipload-explain={target[1]}", limit="10s")
    result.assert_outcomes(passed=1)
    assert test["verdict"] == "passed"
    assert test["explain"]["lines"] == []
    said = [line for line in result.outlines if line.startswith("target: ")]
    assert len(said) == 1
    assert said[0].startswith(f"target: not explained: no right to read process {target[1]}")


def test_a_load_without_the_option_starts_nothing(pytester: pytest.Pytester, target: tuple[str, int]) -> None:
    _, test = run(pytester, target[0], limit="10s", duration="100ms")
    assert "explain" not in test


@pytest.mark.parametrize(
    ("option", "program", "says"),
    [
        (
            "--ipload-explain=tests",
            "py-spy",
            "*--ipload-explain: 'tests' is not a process ID; write --ipload-explain=PID*",
        ),
        ("--ipload-explain=0", "py-spy", "*'0' is not a process ID*"),
        ("--ipload-explain=7,", "py-spy", "*'' is not a process ID*"),
        ("--ipload-explain", None, "*--ipload-explain needs py-spy*pip install 'pytest-ipload[[]explain]'*"),
    ],
)
def test_what_cannot_work_is_refused_before_collection(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str, program: str | None, says: str
) -> None:
    monkeypatch.setattr(py_spy, "find_program", lambda: program)
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([says])
