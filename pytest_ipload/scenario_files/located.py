"""Functions that stand at a line of a scenario file, so that tracebacks and results name it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from pytest_ipload.scenario_files.scope import Scope

Run = Callable[[Scope], None]


def located(run: Run, file: str, line: int, name: str) -> Run:
    """The function of a step, called by one whose code is at that line of the file."""
    return _standing_at("lambda scope: run(scope)", {"run": run}, file, line, name)


def located_body(run: Callable[[dict[str, Any]], None], file: str, line: int, name: str) -> FunctionType:
    """A test's function at that line: its keyword arguments are handed on as a dict. Tracebacks begin below it."""
    return _standing_at("lambda **values: run(values)", {"run": run, "__tracebackhide__": True}, file, line, name)


def _standing_at(source: str, names: dict[str, Any], file: str, line: int, name: str) -> FunctionType:
    """A function of our own source, which knows these ``names``, with the place of what it stands for."""
    tree = ast.parse(source, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.arg):
            node.lineno = node.end_lineno = line
            node.col_offset = node.end_col_offset = -1  # it has no columns there
    code = next(each for each in compile(tree, file, "eval").co_consts if isinstance(each, CodeType))
    plain = "".join(each if each.isalnum() else "_" for each in name)
    return FunctionType(code.replace(co_name=plain), names, plain)
