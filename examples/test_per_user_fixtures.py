"""Fixtures under load: per user if they depend on a user, per iteration if they depend on an iteration.

All other fixtures work as usual and are shared.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_ipload import Iteration, LoadSession, VirtualUser


@pytest.fixture(scope="session")
def catalogue() -> tuple[str, ...]:
    """Shared: set up once, for all users."""
    return ("tea", "coffee", "cake")


@pytest.fixture
def name(ipload_user: VirtualUser) -> str:
    """One per user."""
    return f"user-{ipload_user.index}"


@pytest.fixture
def shopper(ipload_session: LoadSession, name: str) -> Iterator[LoadSession]:
    """One login per user, and one logout when the user leaves."""
    ipload_session.post("/login", json={"name": name}).raise_for_status()
    yield ipload_session
    ipload_session.post("/logout")


@pytest.fixture
def item(ipload_iteration: Iteration, catalogue: tuple[str, ...]) -> str:
    """A different one in each iteration."""
    return catalogue[ipload_iteration.number % len(catalogue)]


@pytest.mark.ipload(users=5, iterations=3)
def test_each_user_is_logged_in_as_itself(shopper: LoadSession, name: str) -> None:
    assert shopper.get("/cart").json()["name"] == name


@pytest.mark.ipload(users=5, iterations=3)
def test_each_iteration_orders_its_own_item(shopper: LoadSession, item: str) -> None:
    assert shopper.post("/orders", json={"item": item}).json()["item"] == item


@pytest.mark.ipload(users=5, iterations=2)
@pytest.mark.parametrize("size", [100, 10_000])
def test_parametrised(ipload_session: LoadSession, size: int) -> None:
    assert len(ipload_session.get(f"/bytes/{size}").content) == size


@pytest.mark.ipload(users=5, iterations=2)
class TestCart:
    """A marker on a class applies to all its methods; a method's own marker takes precedence, key by key."""

    def test_counts_the_users_own_orders(self, shopper: LoadSession, ipload_iteration: Iteration) -> None:
        assert shopper.get("/cart").json()["orders"] == ipload_iteration.number
        shopper.post("/orders", json={})

    @pytest.mark.ipload(iterations=1)
    def test_is_empty_after_login(self, shopper: LoadSession, name: str) -> None:
        assert shopper.get("/cart").json() == {"name": name, "orders": 0}
