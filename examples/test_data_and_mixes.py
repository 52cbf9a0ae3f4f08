"""Users that differ: in their data, in when they send requests, in what they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from pytest_ipload import LoadBody, LoadSession, VirtualUser

USERS = 10


@pytest.fixture
def account(ipload_user: VirtualUser) -> Mapping[str, str]:
    """A row of accounts.csv, the same for the same user in every run; starts over after the last row."""
    row: Mapping[str, str] = next(ipload_user.feed("accounts.csv"))
    return row


@pytest.fixture
def shopper(ipload_session: LoadSession, account: Mapping[str, str]) -> Iterator[LoadSession]:
    """Logged in with the user's own account."""
    ipload_session.post("/login", json={"name": account["name"]}).raise_for_status()
    yield ipload_session
    ipload_session.post("/logout")


@pytest.mark.ipload(users=USERS, iterations=3)
def test_each_user_has_an_account(shopper: LoadSession, account: Mapping[str, str]) -> None:
    assert shopper.get("/cart").json()["name"] == account["name"]


@pytest.fixture(scope="session")
def vouchers() -> list[str]:
    """Rows may come from any iterable. These suffice for 1000 users with ten iterations each."""
    return [f"voucher-{number:05}" for number in range(10_000)]


@pytest.mark.ipload(users=USERS, iterations=3)
def test_each_voucher_is_spent_once(shopper: LoadSession, ipload_user: VirtualUser, vouchers: list[str]) -> None:
    voucher = next(ipload_user.feed(vouchers, order="unique"))
    assert shopper.post("/orders", json={"item": voucher}).json()["item"] == voucher


@pytest.fixture(scope="session")
def everybody(pytestconfig: pytest.Config) -> int:
    """The number of users: the command line takes precedence."""
    return pytestconfig.getoption("--ipload-users") or USERS


@pytest.mark.ipload(users=USERS, iterations=3)
def test_all_buy_in_the_same_moment(shopper: LoadSession, ipload_user: VirtualUser, everybody: int) -> None:
    assert shopper.get("/cart").ok
    ipload_user.rendezvous("the sale begins", everybody)
    assert shopper.post("/orders", json={"item": "the last one"}).status_code == 201


def browse(shopper: LoadSession) -> None:
    """What most visitors do."""
    assert shopper.get("/whoami").ok


def buy(shopper: LoadSession, ipload_user: VirtualUser) -> None:
    """What a few visitors do. A body gets fixtures by name, as a test does."""
    assert shopper.post("/orders", json={"item": ipload_user.random.choice(["tea", "cake"])}).status_code == 201


@pytest.mark.ipload(users=USERS, iterations=8)
@pytest.mark.ipload_mix(browse=3, buy=1)
@pytest.mark.ipload_threshold("p95{step:buy} < 5s")
def test_three_browse_while_one_buys(ipload_body: LoadBody) -> None:
    ipload_body()
