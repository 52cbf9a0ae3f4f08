"""The examples: functional tests at one user, load tests at many."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from support.demo import EXAMPLES
from support.plugins import without_others

NOT_COPIED = ("__pycache__", "build", "node_modules")
"""Among them are the built components: to compile them for each run takes minutes."""
COMPONENTS = 2
COLLECTED = sorted(path.name for path in EXAMPLES.glob("test_*.py"))


@pytest.fixture
def copied_examples(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_ADDOPTS", without_others("schemathesis"))  # test_openapi.py is collected by it
    shutil.copytree(EXAMPLES, pytester.path / "examples", ignore=shutil.ignore_patterns(*NOT_COPIED))
    return pytester


def run(pytester: pytest.Pytester, *options: str) -> tuple[dict[str, int], list[dict[str, Any]]]:
    result = pytester.runpytest_subprocess("examples", "--ipload-json=out.json", *options, timeout=240)
    report = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
    outcomes: dict[str, int] = result.parseoutcomes()
    return outcomes, report["tests"]


@pytest.mark.parametrize("options", [["--ipload-disable"], ["--ipload-users=8", "-n2"]])
@pytest.mark.usefixtures("xdist")
def test_all_examples_pass(copied_examples: pytest.Pytester, options: list[str]) -> None:
    outcomes, _ = run(copied_examples, *options)
    assert outcomes.pop("skipped") == COMPONENTS
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] >= len(COLLECTED) - 1


def test_the_checkout_example_serves_two_hundred_users(copied_examples: pytest.Pytester) -> None:
    outcomes, tests = run(copied_examples, "--ipload-users=200", "-k", "test_checkout or test_source_addresses")
    assert set(outcomes) <= {"passed", "deselected"}
    assert {test["users"] for test in tests} == {200}
    assert {test["verdict"] for test in tests} == {"passed"}
