"""Failed iterations, grouped by what failed and where."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_ipload.exception_text import message_of, type_name
from pytest_ipload.places import place_of_traceback
from pytest_ipload.stats.sample import Problem

MAX_GROUPS = 50
"""More kinds of failures than anybody reads; the rest is counted together."""

_MAX_MESSAGE = 300


@dataclass
class FailureGroup:
    """All failed iterations with the same type and location, and the first of them in full."""

    type: str
    message: str
    location: str
    user: int
    iteration: int
    source_address: str | None
    exception: BaseException | None = field(default=None, repr=False)
    """The first one's exception with its traceback; None where a request failed and the body did not raise."""
    count: int = 1


class FailureLog:
    """Collects the failures of all users; safe to use from their threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[tuple[str, str], FailureGroup] = {}

    def add_problem(self, problem: Problem, user: int, iteration: int, source_address: str | None) -> None:
        """A request failed and the body went on."""
        self._add(problem.type, problem.location, lambda: problem.message, user, iteration, source_address, None)

    def add_exception(self, error: BaseException, user: int, iteration: int, source_address: str | None) -> None:
        """The body raised."""
        location = place_of_traceback(error.__traceback__)
        self._add(type_name(error), location, lambda: _text_of(error), user, iteration, source_address, error)

    def groups(self) -> list[FailureGroup]:
        """The groups, the most frequent first."""
        with self._lock:
            return sorted(self._groups.values(), key=lambda group: -group.count)

    def _add(
        self,
        kind: str,
        location: str,
        message: Callable[[], str],
        user: int,
        iteration: int,
        source_address: str | None,
        exception: BaseException | None,
    ) -> None:
        with self._lock:
            group = self._groups.get((kind, location))
            if group is None and len(self._groups) >= MAX_GROUPS:
                kind, location, exception = "(other failures)", "", None
                group = self._groups.get((kind, location))
            if group is not None:
                group.count += 1
                return
            text = message()
            self._groups[kind, location] = FailureGroup(
                kind, text, location, user, iteration, source_address, exception
            )


def _text_of(error: BaseException) -> str:
    """The message in one line."""
    first = message_of(error).partition("\n")[0].rstrip()
    return first if len(first) <= _MAX_MESSAGE else first[:_MAX_MESSAGE] + " ..."
