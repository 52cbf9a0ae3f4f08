"""Exceptions that bite, and floods of text: no load test, and no session, falls over what its body raises."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.whole_run import whole_run

BITES = """
    class Evil(Exception):
        def __init__(self, bite):
            self.bite = bite

        def __str__(self):
            raise self.bite

    class Shown:
        def __repr__(self):
            raise SystemExit(4)

    def chain(length):
        error = ValueError(0)
        for number in range(length):
            try:
                raise KeyError(number) from error
            except KeyError as following:
                error = following
        return error

    def nested(depth):
        error = ValueError(0)
        for _ in range(depth):
            error = ExceptionGroup("group", [error])
        return error
"""
RAISED = {
    "a text that raises SystemExit": "raise Evil(SystemExit(3))",
    "a text that raises KeyboardInterrupt": "raise Evil(KeyboardInterrupt())",
    "a text that raises RecursionError": "raise Evil(RecursionError())",
    "a repr that raises SystemExit": "shown = Shown(); assert shown == 1",
    "a long text": "raise ValueError('x' * 5_000_000)",
    "many lines": "raise ValueError('xy\\n' * 500_000)",
    "a long chain of causes": "raise chain(3000)",
}
REPORTS = ("--ipload-json=out.json", "--ipload-summary=out.md", "--ipload-html=out.html", "--junit-xml=out.xml")


def bitten(body: str, marker: str) -> str:
    return f"{BITES}\n    {marker}\n    def test_it(ipload_user):\n        {body}\n\n    def test_other(): pass\n"


def the_test() -> dict[str, Any]:
    [test] = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
    found: dict[str, Any] = test
    return found


@pytest.mark.parametrize("marker", ["@pytest.mark.ipload(users=3, iterations=2)", ""], ids=["load", "functional"])
@pytest.mark.parametrize("case", RAISED)
def test_whatever_a_body_raises_is_counted_and_told_in_bounds(
    pytester: pytest.Pytester, case: str, marker: str
) -> None:
    began = time.process_time()
    run = whole_run(pytester, bitten(RAISED[case], marker), *REPORTS, passed=1, failed=1)
    assert time.process_time() - began < 15  # one that is not bounded takes minutes
    test = the_test()
    iterations = 6 if marker else 1
    assert (test["verdict"], test["iterations"], test["failed_iterations"]) == ("failed", iterations, iterations)
    assert sum(failure["count"] for failure in test["failures"]) == iterations
    assert len(run.result.stdout.str()) < 200_000
    for path in ("out.json", "out.md", "out.html", "out.xml"):
        assert Path(path).stat().st_size < 300_000, path


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups of exceptions came with Python 3.11")
@pytest.mark.parametrize("marker", ["@pytest.mark.ipload(users=2)", ""], ids=["load", "functional"])
def test_deep_groups_of_exceptions_are_no_trouble(pytester: pytest.Pytester, marker: str) -> None:
    whole_run(pytester, bitten("raise nested(3000)", marker), *REPORTS, passed=1, failed=1)
    assert the_test()["failures"][0]["type"] == "ExceptionGroup"


@pytest.mark.parametrize("asks_for", ["", "ipload_user"], ids=["shared", "of a user"])
@pytest.mark.parametrize("case", ["a text that raises SystemExit", "a long text", "a long chain of causes"])
def test_so_it_is_in_a_fixture(pytester: pytest.Pytester, case: str, asks_for: str) -> None:
    source = f"""{BITES}
    @pytest.fixture
    def login({asks_for}):
        {RAISED[case]}

    @pytest.mark.ipload(users=2)
    def test_it(login, ipload_user): pass

    def test_other(): pass
"""
    run = whole_run(pytester, source, *REPORTS, passed=1, errors=1)
    assert the_test()["verdict"] == "error"
    assert len(the_test()["reason"]) < 3000
    assert len(run.result.stdout.str()) < 200_000


def test_what_is_left_out_is_said(pytester: pytest.Pytester) -> None:
    run = whole_run(pytester, bitten(RAISED["a long text"], "@pytest.mark.ipload(users=2)"), *REPORTS)
    texts = [Path(path).read_text(encoding="utf-8") for path in ("out.html", "out.xml")]
    for text in (the_test()["traceback"]["text"], run.result.stdout.str(), *texts):
        assert re.search(r"\d{7} of 50000\d\d characters left out", text)


def test_xfail_still_knows_what_was_raised(pytester: pytest.Pytester) -> None:
    marker = "@pytest.mark.xfail(raises=ValueError, strict=True)"
    whole_run(pytester, bitten(RAISED["a long text"], marker), xfailed=1, passed=1)
