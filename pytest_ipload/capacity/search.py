"""The search for the capacity, as a state machine: which round comes next, and what the rounds say."""

from __future__ import annotations

from collections.abc import Callable

from pytest_ipload.capacity.capacity_result import CapacityResult
from pytest_ipload.capacity.search_plan import CapacityPlan
from pytest_ipload.capacity.search_round import CapacityRound, RoundOutcome, RoundRequest


class CapacitySearch:
    """Ask for rounds until there is none, and hand in what came of each::

        search = CapacitySearch(plan, clock=time.monotonic)
        while (request := search.next_round()) is not None:
            search.record(run(request))
        result = search.result()

    ``result()`` may be asked for at any time: after Ctrl-C it is what is known so far.
    """

    def __init__(self, plan: CapacityPlan, clock: Callable[[], float] | None = None) -> None:
        """``clock`` gives seconds; without one, each round counts as long as it was planned, without its rest."""
        self.plan = plan
        self.rounds: list[CapacityRound] = []
        """Those that were recorded."""

    def next_round(self) -> RoundRequest | None:
        """The round that comes next; the same one until its outcome is recorded. None when the search is over."""
        raise NotImplementedError

    def record(self, outcome: RoundOutcome) -> None:
        """What came of the round that ``next_round`` returned. ``ValueError`` if there is none."""
        raise NotImplementedError

    def stop(self, reason: str) -> None:
        """End the search: the target did not recover within its rest, or the user interrupted it."""
        raise NotImplementedError

    def result(self) -> CapacityResult:
        """The capacity by the rounds so far."""
        raise NotImplementedError
