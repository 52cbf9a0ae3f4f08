"""The option to sample the stacks of the target, read and checked."""

from __future__ import annotations

import pytest

FLAG = "--ipload-explain"


def read_explain(config: pytest.Config) -> tuple[int, ...] | None:
    """The processes that are named; empty if none is, None without the option. Raises ``pytest.UsageError``."""
    given = config.getoption("ipload_explain")
    if given is None:
        return None
    pids = [text.strip() for text in given.split(",")] if given else []
    for text in pids:
        if not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**31):
            raise pytest.UsageError(
                f"{FLAG}: {text!r} is not a process ID; write {FLAG}=PID or {FLAG}=PID,PID, and {FLAG} alone only "
                "at the end of the command line or in front of another option"
            )
    from pytest_ipload.explain.py_spy import find_program

    if find_program() is None:
        raise pytest.UsageError(f"{FLAG} needs py-spy, which is not installed: pip install 'pytest-ipload[explain]'")
    return tuple(map(int, pids))
