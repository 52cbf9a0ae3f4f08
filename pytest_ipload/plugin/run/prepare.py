"""Makes a pytest item a load test, or leaves it alone."""

from __future__ import annotations

import pytest

from pytest_ipload.base.errors import IploadError
from pytest_ipload.plugin.items.item_kind import kind_problem
from pytest_ipload.plugin.items.marker_settings import capacity_plan_of
from pytest_ipload.plugin.items.markers import is_load_test, marker_problem
from pytest_ipload.plugin.run.load_test import LoadTest, refusal
from pytest_ipload.plugin.session_state import SessionState


def prepare(item: pytest.Item, state: SessionState) -> LoadTest | None:
    """Make the item a load test, or leave it alone. Fails the item's set-up when something forbids it."""
    problem = marker_problem(item)
    if problem is None and is_load_test(item):
        problem = kind_problem(item)
        if problem is None and isinstance(item, pytest.Function):
            try:
                return _load_test(item, state)
            except IploadError as error:
                raise refusal(error) from None
    if problem is not None:
        raise refusal(problem)
    return None


def _load_test(item: pytest.Function, state: SessionState) -> LoadTest:
    plan = capacity_plan_of(item, state)
    if plan is None:
        return LoadTest(item, state)
    from pytest_ipload.plugin.run.capacity_test import CapacityTest

    return CapacityTest(item, state, plan)
