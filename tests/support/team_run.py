"""Whole runs with workers of pytest-xdist, and what came out of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import dedent
from typing import Any
from xml.etree import ElementTree

import pytest

HEADER = """
import os, pathlib, signal, threading, time
import pytest

def worker():
    return os.environ.get("PYTEST_XDIST_WORKER", "main")

"""
LOAD = """
@pytest.mark.ipload(users=5, iterations=4)
def test_load(ipload_user):
    with ipload_user.measure("VISIT"):
        time.sleep(0.01)
"""
LONG = """
@pytest.mark.ipload(users=4, duration="60s", think_time="10ms")
def test_load(ipload_user):
    with ipload_user.measure("VISIT"):
        {does}
"""
ANOTHER = """
@pytest.mark.ipload(users=3)
def test_zz_another(ipload_user):
    pass
"""


@dataclass(frozen=True)
class TeamRun:
    """What came out of a session with workers."""

    result: pytest.RunResult
    tests: Mapping[str, Mapping[str, Any]]
    """Results in the JSON report, by the name of the test."""
    cases: Mapping[str, list[str]]
    """Of each test case in the JUnit report, the names of its children but for the properties."""
    properties: Mapping[str, list[str]]

    def expect(self, code: int, **outcomes: int) -> None:
        """The exit code and pytest's count of outcomes."""
        self.result.assert_outcomes(**outcomes)
        assert self.result.ret == code
        assert "INTERNALERROR" not in self.result.stdout.str()

    def expect_lines(self, *patterns: str) -> None:
        """The output has lines that match the patterns, in this order."""
        self.result.stdout.fnmatch_lines(patterns)


def team_run(
    pytester: pytest.Pytester,
    source: str,
    *args: str,
    deaths: bool = False,
    timing: str = "",
    once: bool = True,
    monkeypatch: pytest.MonkeyPatch | None = None,
) -> TeamRun:
    """Run ``source`` with the arguments. ``deaths`` is for runs in which processes die.

    Unless workers report on a test apart, it is in the JUnit report ``once``.
    """
    if monkeypatch is not None:
        monkeypatch.setenv("PYTEST_IPLOAD_TEAM_TIMING", timing)
    pytester.makepyfile(test_it=HEADER + dedent(source))
    options = ("--junit-xml=out.xml", "--ipload-json=out.json", "-p", "no:hypothesispytest", *args)
    result = pytester.runpytest_subprocess(*options, timeout=120) if deaths else pytester.runpytest(*options)
    tests = json.loads((pytester.path / "out.json").read_text())["tests"]
    root = ElementTree.parse(pytester.path / "out.xml").getroot()
    cases: dict[str, list[str]] = {}
    properties: dict[str, list[str]] = {}
    for case in root.iter("testcase"):
        name = str(case.get("name"))
        assert name not in cases or not once, f"{name} is in the JUnit report twice"
        cases[name] = [child.tag for child in case if child.tag != "properties"]
        properties[name] = [str(each.get("name")) for each in case.iter("property")]
    return TeamRun(result, {test["nodeid"].partition("::")[2]: test for test in tests}, cases, properties)
