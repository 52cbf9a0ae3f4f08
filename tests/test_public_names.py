"""The names that the package itself offers, at run time and to type checkers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pytest_ipload
from pytest_ipload.load.user import Iteration
from pytest_ipload.plugin.run.load_runner import LoadRunner


@pytest.mark.parametrize("name", pytest_ipload.__all__)
def test_each_is_there(name: str) -> None:
    assert callable(getattr(pytest_ipload, name))
    assert name in dir(pytest_ipload)


def test_the_values_of_fixtures_have_public_types(ipload: LoadRunner) -> None:
    assert isinstance(ipload, pytest_ipload.LoadRunner)
    seen: list[object] = []
    ipload.run(lambda user: seen.append(pytest_ipload.Iteration(user.iteration, user)))
    assert isinstance(seen[0], Iteration)


def test_another_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match=r"^module 'pytest_ipload' has no attribute 'Nonsense'$"):
        getattr(pytest_ipload, "Nonsense")  # noqa: B009  # a type checker refuses the attribute
    file = tmp_path / "test_it.py"
    file.write_text(
        "from pytest_ipload import Iteration, LoadRunner, Nonsense\n\n"
        "def test_it(ipload: LoadRunner, ipload_iteration: Iteration) -> None:\n"
        "    ipload.run(lambda user: None).nothing\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path / 'cache'}", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert [line.partition("error: ")[2] for line in done.stdout.splitlines() if "error: " in line] == [
        'Module "pytest_ipload" has no attribute "Nonsense"  [attr-defined]',
        '"LoadResult" has no attribute "nothing"  [attr-defined]',
    ]
