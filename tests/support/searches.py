"""Targets for capacity searches, and searches on them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_ipload.capacity.search import CapacitySearch
from pytest_ipload.capacity.search_plan import CapacityPlan
from pytest_ipload.capacity.search_round import FAILS, HOLDS, RoundOutcome, RoundRequest, State

EXPRESSION = "p95 < 200ms"

Answers = Callable[[RoundRequest], RoundOutcome]


def plan(*expressions: str, **keys: Any) -> CapacityPlan:
    """A search from 50/s to 2000/s, if not said otherwise."""
    return CapacityPlan.parse(expressions or (EXPRESSION,), **{"start": "50/s", "up_to": "2000/s", **keys})


def users_plan(**keys: Any) -> CapacityPlan:
    """A search from 1 to 64 users."""
    return plan(**{"by": "users", "start": 1, "up_to": 64, **keys})


def outcome(state: State, **more: Any) -> RoundOutcome:
    """What came of a round."""
    threshold = None if state == HOLDS else EXPRESSION
    return RoundOutcome(state=state, **{"threshold": threshold, "p50_ms": 10.0, **more})


def holds_up_to(capacity: float, noise: float = 0.0, seed: int = 1) -> Answers:
    """A target with this capacity, which differs from round to round if there is noise."""
    rng = random.Random(seed)

    def answer(request: RoundRequest) -> RoundOutcome:
        return outcome(HOLDS if request.level <= capacity * rng.lognormvariate(0, noise) else FAILS)

    return answer


@dataclass
class Clock:
    """One that is set by hand."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Searched:
    """A search that was run to its end."""

    search: CapacitySearch
    requests: list[RoundRequest] = field(default_factory=list)

    @property
    def levels(self) -> list[float]:
        """Of its rounds."""
        return [request.level for request in self.requests]

    @property
    def kinds(self) -> list[str]:
        """Of its rounds."""
        return [request.kind for request in self.requests]


def run_search(its_plan: CapacityPlan, answer: Answers, clock: Clock | None = None, late: float = 1.0) -> Searched:
    """All rounds of a search; with a clock, each with its rest takes ``late`` times as long as planned."""
    searched = Searched(CapacitySearch(its_plan, clock))
    while (request := searched.search.next_round()) is not None:
        searched.requests.append(request)
        if clock is not None:
            clock.now += late * request.duration_s
        searched.search.record(answer(request))
    return searched
