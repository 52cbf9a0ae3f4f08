"""Calls in a test's body that do not work in a load: found by inspecting its code, not by running it.

Those of ``requests`` bypass the user's session and its clock; those of ``pytest.warns`` see the warnings of all
threads, or none.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Container, Iterator
from importlib import import_module
from types import CodeType
from typing import Any

_WARNING_CHECKS = frozenset({"deprecated_call", "warns"})
_VERBS = frozenset({"delete", "get", "head", "options", "patch", "post", "put", "request", "Session", "session"})

_TIMERS = frozenset({"act", "measure"})


def bare_calls(function: Callable[..., Any]) -> list[str]:
    """``requests.get()`` and the like in the function's own lines. Functions that it calls are not inspected."""
    requests = sys.modules.get("requests")
    if requests is None and any("requests" in code.co_names for code in _codes(getattr(function, "__code__", None))):
        requests = import_module("requests")  # the body will import it
    return _calls(function, requests, _VERBS, ("requests.api", "requests.sessions"))


def times_itself(function: Callable[..., Any]) -> bool:
    """Whether the function's own lines time what they do, by ``measure`` or an action."""
    codes = _codes(getattr(function, "__code__", None))
    return any(not _TIMERS.isdisjoint(code.co_names) for code in codes)


def warning_checks(function: Callable[..., Any]) -> list[str]:
    """``pytest.warns()`` and the like in the function's own lines, where threads do not have warnings of their own.

    Before Python 3.14 ``warnings.catch_warnings`` changes the state of the whole process.
    """
    if getattr(sys.flags, "context_aware_warnings", False):
        return []
    return _calls(function, sys.modules.get("pytest"), _WARNING_CHECKS, ("_pytest.recwarn",))


def _calls(
    function: Callable[..., Any], module: Any, called: frozenset[str], defined_in: Container[str | None]
) -> list[str]:
    """The calls of a module's functions, through the module or by their own names."""
    return [] if module is None else sorted(set(_found(function, module, called, defined_in)))


def _found(
    function: Callable[..., Any], module: Any, called: frozenset[str], defined_in: Container[str | None]
) -> Iterator[str]:
    names = getattr(function, "__globals__", {})
    own: dict[str, Any] = {}
    """What the function's own imports have bound."""
    for code in _codes(getattr(function, "__code__", None)):
        last: Any = None
        imported: Any = None
        for instruction in dis.get_instructions(code):
            operation, name = instruction.opname, instruction.argval
            if isinstance(name, tuple) and "FAST" in operation:  # two in one, since Python 3.13: the second one counts
                name = name[-1]
            if operation == "IMPORT_NAME":
                last = imported = sys.modules.get(name)
            elif operation == "IMPORT_FROM":
                last = getattr(imported, name, None)
            elif operation in ("STORE_FAST", "STORE_DEREF"):
                own[name], last = last, None
            elif operation == "LOAD_GLOBAL" or "LOAD_FAST" in operation or operation == "LOAD_DEREF":
                last = names.get(name) if operation == "LOAD_GLOBAL" else own.get(name)
                if getattr(last, "__module__", None) in defined_in and getattr(last, "__name__", None) in called:
                    yield f"{name}()"
            elif last is module and isinstance(name, str) and name in called:
                yield f"{module.__name__}.{name}()"
                last = None
            elif operation not in ("CACHE", "PUSH_NULL", "PRECALL"):
                last = None


def _codes(code: CodeType | None) -> Iterator[CodeType]:
    """A function's code and that of the functions inside it."""
    if code is not None:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from _codes(constant)
