"""What the result of a round's load says about the target at that rate. Pure."""

from __future__ import annotations

from pytest_ipload.capacity.search_round import RoundOutcome
from pytest_ipload.verdict.result import LoadResult


def outcome_of(result: LoadResult) -> RoundOutcome:
    """The outcome of a round from its load's result, which was judged by ``CapacityPlan.judged``, not strictly.

    An *invalid* result is one of the generator's limits. One that ended in an error says nothing: ``ValueError``.
    """
    raise NotImplementedError
