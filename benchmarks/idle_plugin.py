"""What a suite without load tests pays for having the plugin installed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import proc
from child import running
from tools import pytest_command

TESTS = 100
_SUITE = f"""
import pytest

@pytest.mark.parametrize("number", range({TESTS}))
def test_nothing(number):
    assert number >= 0
"""
_LIMIT_S = 60.0


@dataclass(frozen=True)
class Cost:
    """One run of pytest."""

    cpu_ms: float
    wall_ms: float


@dataclass(frozen=True)
class Pair:
    """The suite without and with the plugin, one right after the other."""

    without: Cost
    with_plugin: Cost


def differences(pairs: Sequence[Pair]) -> tuple[float, float]:
    """The median difference within the pairs, of processor time and of time by the clock, in milliseconds."""
    return (
        statistics.median(pair.with_plugin.cpu_ms - pair.without.cpu_ms for pair in pairs),
        statistics.median(pair.with_plugin.wall_ms - pair.without.wall_ms for pair in pairs),
    )


def run_pairs(count: int, core: int, folder: Path, python: str | None = None) -> list[Pair]:
    """Pairs of runs, in changing order; a first pair that fills the caches is not counted.

    ``python`` is the interpreter of an environment with the plugin, and all plugins of that are there; without it,
    this one's, with no other plugin.
    """
    suite = folder / "suite"
    suite.mkdir()
    (suite / "test_suite.py").write_text(_SUITE)
    (suite / "pytest.ini").write_text("[pytest]\n")
    command = pytest_command("test_suite.py") if python is None else [python, "-m", "pytest", "test_suite.py"]
    pairs = []
    for number in range(count + 1):
        if number % 2:
            without, with_plugin = _run(core, suite, *command, "-pno:ipload"), _run(core, suite, *command)
        else:
            with_plugin, without = _run(core, suite, *command), _run(core, suite, *command, "-pno:ipload")
        pairs.append(Pair(without, with_plugin))
    return pairs[1:]


def _run(core: int, suite: Path, *command: str) -> Cost:
    before, began = proc.cpu_of_ended_children(), time.perf_counter()
    with running("pytest", [*command, "-q", "-pno:cacheprovider"], core, suite) as child:
        code = child.wait(_LIMIT_S)
        wall = time.perf_counter() - began
        if code:
            raise child.failure(f"ended with exit code {code}")
    return Cost((proc.cpu_of_ended_children() - before) * 1000, wall * 1000)
