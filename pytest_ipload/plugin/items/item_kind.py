"""Which kinds of pytest items can be load tests."""

from __future__ import annotations

import inspect
import unittest

import pytest

from pytest_ipload.plugin.fixtures.per_user import multiplied_by

SET_UP_PROBLEM = "ipload_set_up_problem"
"""An attribute of functions made from files: a function that says why they cannot be set up, or None."""
FIXTURE_PLACES = "ipload_fixture_places"
"""An attribute of a scenario's function: where its file names the fixtures."""
SETTING_PLACES = "ipload_setting_places"
"""An attribute of a scenario's function: where each setting of its marker comes from."""
RUNS_STEPS = "ipload_runs_steps"
"""An attribute of functions made from files: whatever they do is measured."""


def kind_problem(item: pytest.Item) -> str | None:
    """Why this kind of item cannot be a load test; None if it can."""
    if not isinstance(item, pytest.Function):
        return f"{type(item).__name__} items cannot be load tests; write a plain test function or method"
    if item.cls is not None and issubclass(item.cls, unittest.TestCase):
        return (
            "unittest.TestCase methods cannot be load tests; write a plain test function or a method of a plain class"
        )
    if problem := _async_problem(item) or getattr(item.obj, SET_UP_PROBLEM, lambda: None)():
        return str(problem)
    if _globals_of(item.obj) == "schemathesis.pytest.lazy":
        return (
            "with a schema from a fixture, Schemathesis runs all operations in one test; load the schema in the "
            "module, as in schema = schemathesis.openapi.from_url(...), so that each operation is a load test"
        )
    if problem := multiplied_by(item.obj):
        return problem
    if "ipload" in item.fixturenames:
        return (
            "the fixture ipload starts loads from an ordinary test, but this test is a load test itself; "
            "remove the fixture, or the marker and the per-user fixtures"
        )
    return None


def _globals_of(body: object) -> str:
    """The module whose code a body is, whatever it says itself."""
    return str(getattr(body, "__globals__", {}).get("__name__", ""))


def _async_problem(item: pytest.Function) -> str | None:
    """Why an async item cannot be a load test."""
    if inspect.isasyncgenfunction(item.function):
        return "the test is an async generator, which a test cannot be; take the yield out of it"
    inner_test = getattr(getattr(item.obj, "hypothesis", None), "inner_test", None)
    if inspect.iscoroutinefunction(inner_test):
        return "hypothesis runs its examples by blocking calls, so an async test cannot be one of its load tests"
    return "users run coroutines on asyncio, not on trio" if item.get_closest_marker("trio") is not None else None
