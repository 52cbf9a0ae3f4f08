"""A web shop under load: each user logs in once, then repeatedly views the cart and places an order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_ipload import LoadSession, VirtualUser


@pytest.fixture
def shopper(ipload_session: LoadSession) -> Iterator[LoadSession]:
    """Depends on a user: set up once per virtual user, torn down when the user leaves."""
    ipload_session.post("/login", json={"name": "x"}).raise_for_status()
    yield ipload_session
    ipload_session.post("/logout")


@pytest.mark.ipload(users=20, duration="2s", ramp_up="0.5s", think_time="100ms-300ms")
@pytest.mark.ipload_threshold("p95 < 2s", "p99{GET /cart} < 3s", "error_rate < 1%")
def test_checkout(shopper: LoadSession, ipload_user: VirtualUser) -> None:
    with ipload_user.step("checkout"):
        assert shopper.get("/cart").ok
        assert shopper.post("/orders", json={}, name="POST /orders").status_code == 201
