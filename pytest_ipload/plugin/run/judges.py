"""The judge of a session's loads, with all that may decide."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.verdict.decide import Review
from pytest_ipload.verdict.judge import Judge, SearchJudge
from pytest_ipload.verdict.result import LoadResult


def judge_of(state: SessionState, review: Review | None) -> Judge:
    """A judge for load tests. ``review`` gives plugins' reasons to fail a result."""
    return Judge(state.segment, state.compare_limits, state.compare, review, partial(_open_searches, state))


def _open_searches(state: SessionState, settle: Callable[[LoadResult], LoadResult]) -> SearchJudge:
    from pytest_ipload.capacity.searches import Searches

    return Searches(settle, state.capacity_limits)
