"""Failed iterations, grouped by what failed and where."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_ipload.base.code_location import place_of_traceback
from pytest_ipload.stats.fault_text import message_of
from pytest_ipload.stats.sample import Problem

MAX_GROUPS = 50
"""Maximum number of kinds of failures that are listed; the rest is counted together."""

MAX_USERS = 20
"""Users of failed set-ups that are named; the rest is counted only."""


@dataclass
class FailureGroup:
    """All failed iterations with the same type and location, and the first of them in full."""

    type: str
    message: str
    location: str
    user: int
    iteration: int | None
    """None for a failure in the user's set-up."""
    source_address: str | None
    trace_id: str | None = None
    """Of the first one's iteration, with ``--ipload-trace``."""
    exception: BaseException | None = field(default=None, repr=False)
    """The first one's exception with its traceback; None where a request failed and the body did not raise."""
    count: int = 1
    users: list[int] = field(default_factory=list)
    """The first users whose set-up failed; empty for iterations."""


class FailureLog:
    """Collects the failures of all users; safe to use from their threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[tuple[str, str], FailureGroup] = {}

    def add_problem(
        self, problem: Problem, user: int, iteration: int, source_address: str | None, trace_id: str | None = None
    ) -> None:
        """A request failed and the body went on."""
        whose = user, iteration, source_address, trace_id
        self._add(problem.type, problem.location, lambda: problem.message, whose, None)

    def add_exception(
        self, error: BaseException, user: int, iteration: int, source_address: str | None, trace_id: str | None = None
    ) -> None:
        """The body raised."""
        location = place_of_traceback(error.__traceback__)
        whose = user, iteration, source_address, trace_id
        self._add(type(error).__name__, location, lambda: message_of(error), whose, error)

    def add_set_up(self, error: BaseException, user: int, source_address: str | None) -> None:
        """A user's set-up failed, and the user was left out."""
        location = place_of_traceback(error.__traceback__)
        kind = f"{type(error).__name__} in set-up"
        self._add(kind, location, lambda: message_of(error), (user, None, source_address, None), error)

    def groups(self) -> list[FailureGroup]:
        """The groups, the most frequent first."""
        with self._lock:
            return sorted(self._groups.values(), key=lambda group: -group.count)

    def _add(
        self,
        kind: str,
        location: str,
        message: Callable[[], str],
        whose: tuple[int, int | None, str | None, str | None],
        exception: BaseException | None,
    ) -> None:
        user, iteration, _, _ = whose
        with self._lock:
            group = self._groups.get((kind, location))
            if group is None and len(self._groups) >= MAX_GROUPS:
                kind, location, exception = "(other failures)", "", None
                group = self._groups.get((kind, location))
            if group is None:
                group = self._groups[kind, location] = FailureGroup(
                    kind, message(), location, *whose, exception=exception, count=0
                )
            group.count += 1
            if iteration is None and len(group.users) < MAX_USERS:
                group.users.append(user)
