"""Calls of ``requests`` in a test's body that pass by the user's session: found by reading, not by running."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

_VERBS = frozenset({"delete", "get", "head", "options", "patch", "post", "put", "request", "Session", "session"})


def bare_calls(function: Callable[..., Any]) -> list[str]:
    """The ``requests.get()`` and the like in the function's own lines. What the function calls is not looked at."""
    requests = sys.modules.get("requests")
    return [] if requests is None else sorted(set(_bare_calls(function, requests)))


def _bare_calls(function: Callable[..., Any], requests: Any) -> Iterator[str]:
    names = getattr(function, "__globals__", {})
    for code in _codes(getattr(function, "__code__", None)):
        last: Any = None
        for instruction in dis.get_instructions(code):
            if instruction.opname == "LOAD_GLOBAL":
                last = names.get(instruction.argval)
                if getattr(last, "__module__", None) in ("requests.api", "requests.sessions"):
                    yield f"{instruction.argval}()"
            elif last is requests and instruction.argval in _VERBS:
                yield f"requests.{instruction.argval}()"
                last = None
            elif instruction.opname not in ("CACHE", "PUSH_NULL", "PRECALL"):
                last = None


def _codes(code: CodeType | None) -> Iterator[CodeType]:
    """A function's code and that of the functions inside it."""
    if code is not None:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from _codes(constant)
