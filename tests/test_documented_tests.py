"""The tests that the documents show, run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.demo import running_target

DOCS = Path(__file__).parents[1] / "docs"


def python_blocks(document: str) -> list[str]:
    """The blocks of Python code in a document."""
    return re.findall(r"```python\n(.*?)```", (DOCS / document).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("document", ["load-models.md", "health-checks.md"])
def test_the_tests_of_a_document_pass(pytester: pytest.Pytester, document: str) -> None:
    module = "\n\n".join(["import pytest", *python_blocks(document)])
    pytester.makepyfile(module)
    with running_target() as target:
        result = pytester.runpytest(f"--ipload-base-url={target.url}", "-W", "error")
    result.assert_outcomes(passed=len(re.findall("^def test_", module, re.MULTILINE)))


def test_each_setting_of_the_models_has_an_example() -> None:
    code = "\n".join(python_blocks("load-models.md"))
    settings = {"users", "iterations", "total_iterations", "duration", "ramp_up", "ramp_down", "stages", "arrival_rate"}
    settings |= {"max_users", "arrivals", "pacing", "think_time", "max_rate", "warmup", "graceful_stop", "seed"}
    assert not {name for name in settings if not re.search(rf"\b{name}=", code)}
