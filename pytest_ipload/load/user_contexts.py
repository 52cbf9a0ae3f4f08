"""Users' context variables: each user has a context of its own, which begins as that of the executor's thread.

So what a shared fixture sets (an application's context, ``decimal.localcontext``) is there in every user's thread, and
what a user sets is invisible to the others. All that a user does, from its set-up to its teardown, runs in that one
context, so that a token of ``ContextVar.set`` stays good.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextvars import Context, ContextVar, copy_context
from typing import Any

_UNSET = object()


class UserContexts:
    """The contexts of a load's users."""

    def __init__(self) -> None:
        """Called in the executor's thread, before any user starts."""
        self._at_set_up = copy_context()
        self._changes: list[tuple[ContextVar[Any], Any]] = []

    def begin(self) -> None:
        """The load begins: called in the executor's thread, whose context may have changed since the set-up."""
        before = self._at_set_up
        self._changes = [each for each in copy_context().items() if before.get(each[0], _UNSET) is not each[1]]

    def catch_up(self) -> None:
        """Called by a user who was started before the load began, in its own context."""
        _take(self._changes)


def own_context() -> Context:
    """A context for a user that this thread starts."""
    context = copy_context()
    context.run(_take, [each for each in context.items() if _own(each[1]) is not each[1]])
    return context


def _take(values: Iterable[tuple[ContextVar[Any], Any]]) -> None:
    for variable, value in values:
        variable.set(_own(value))


def _own(value: Any) -> Any:
    """The value for one user: a decimal context is changed in place by code that computes with it."""
    decimal = sys.modules.get("decimal")
    return value.copy() if decimal is not None and isinstance(value, decimal.Context) else value
