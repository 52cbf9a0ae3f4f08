"""The fixtures, and which of them are per user.

When pytest sets up a load test, each function-scoped fixture that depends on ``ipload_user`` (directly or not) gets a
``PerUser`` placeholder instead of a value; what becomes of it is in ``per_user``. Light: loaded by every pytest run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_ipload.addresses.pool import IpPool
    from pytest_ipload.load.user import Iteration, VirtualUser
    from pytest_ipload.per_user import PerUser
    from pytest_ipload.runner import LoadRunner
    from pytest_ipload.transport.session import LoadSession

PER_USER_ROOTS = frozenset({"ipload_user", "ipload_session", "ipload_iteration"})

_IS_LOAD_TEST = pytest.StashKey[bool]()


@pytest.fixture
def ipload_user() -> VirtualUser:
    """The virtual user that this fixture set or test body belongs to."""
    pytest.fail(
        "ipload_user (or a fixture that depends on it) was asked for by a test that is no load test: "
        "request.getfixturevalue() came too late for pytest-ipload to know. Name the fixture in the test's signature "
        "or mark the test with @pytest.mark.ipload",
        pytrace=False,
    )


@pytest.fixture
def ipload_session(ipload_user: VirtualUser) -> LoadSession:
    """The user's HTTP session: a ``requests.Session`` that leaves from the user's source address."""
    return ipload_user.session


@pytest.fixture
def ipload_iteration(ipload_user: VirtualUser) -> Iteration:
    """The running iteration. What depends on it is made anew for each iteration."""
    raise AssertionError("made by pytest-ipload for each iteration")


@pytest.fixture(scope="session")
def ipload_pool(request: pytest.FixtureRequest) -> IpPool:
    """The session's pool of source addresses (``--ipload-pool`` or ini); empty where none is set."""
    from pytest_ipload.state import state_of

    return state_of(request.config).pools.default()


@pytest.fixture
def ipload(request: pytest.FixtureRequest) -> LoadRunner:
    """Runs loads from within an ordinary test: ``result = ipload.run(body, users=5)``."""
    from pytest_ipload.runner import LoadRunner

    return LoadRunner(request)


# What @pytest.fixture returns wraps the function that ``FixtureDef.func`` shows.
ipload_user_function: Callable[..., Any] = inspect.unwrap(ipload_user)
ipload_iteration_function: Callable[..., Any] = inspect.unwrap(ipload_iteration)


def mark_as_load_test(item: pytest.Item) -> None:
    """From now on, the item's per-user fixtures get placeholders."""
    item.stash[_IS_LOAD_TEST] = True


def placeholder(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> PerUser | None:
    """The placeholder for a fixture about to be set up; None if it is shared, as everywhere else in pytest."""
    if fixturedef.scope != "function" or not request.node.stash.get(_IS_LOAD_TEST, False):
        return None
    from pytest_ipload.per_user import PerUser

    # The root is recognised by its function: a project may override the name with a fixture of its own.
    is_root = fixturedef.func in (ipload_user_function, ipload_iteration_function)
    arguments = {name: request.getfixturevalue(name) for name in fixturedef.argnames}
    asked = [value for value in arguments.values() if isinstance(value, PerUser)]
    if not is_root and not asked:
        return None
    per_iteration = fixturedef.func is ipload_iteration_function or any(value.per_iteration for value in asked)
    return PerUser(fixturedef.argname, fixturedef.func, arguments, per_iteration)
