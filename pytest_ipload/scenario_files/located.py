"""Functions that stand at a line of a scenario file, so that tracebacks and results name it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_ipload.scenario_files.scope import Scope

Run = Callable[[Scope], None]


def located(run: Run, file: str, line: int, name: str) -> Run:
    """The function, called by one whose code is said to be at that line of the file."""
    function: Any = lambda scope: run(scope)  # noqa: E731  # a def would have a second line
    stand_at(function, file, line, name)
    return function  # type: ignore[no-any-return]


def stand_at(function: Any, file: str, line: int, name: str) -> None:
    """Say of a function's code that it is at that line of a file."""
    plain = "".join(each if each.isalnum() else "_" for each in name)
    function.__code__ = function.__code__.replace(co_filename=file, co_firstlineno=line, co_name=plain)
    function.__name__ = function.__qualname__ = plain
