from __future__ import annotations

import threading

import pytest

from pytest_ipload.addresses.leasing import LeaseManager, LeasePolicy
from pytest_ipload.addresses.pool import IpPool
from pytest_ipload.addresses.source_address import SourceAddress
from pytest_ipload.base.errors import PoolExhausted
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_leases import ITERATION, REQUEST, USER, UserLeases


def make_user(index: int) -> VirtualUser:
    return VirtualUser(index, seed=0, source_addresses=(), record=lambda sample: None)


def make_leases(spec: str, binding: str = USER, policy: LeasePolicy | None = None) -> UserLeases:
    pool = IpPool.parse(spec)
    return UserLeases(LeaseManager(pool, policy or LeasePolicy()), pool.families, binding)


def test_a_user_has_one_lease_of_each_family_for_its_life() -> None:
    leases = make_leases("127.0.1.1-127.0.1.3,::1")
    users = [make_user(index) for index in range(4)]
    assert all(leases.admit(user, block=False) for user in users)
    assert [user.source_addresses for user in users] == [(f"127.0.1.{last}", "::1") for last in (1, 2, 3, 1)]
    assert all(user.before_iteration is None for user in users)
    for user in users:
        leases.give_back(user)
    assert {stats.active for stats in leases.used.values()} == {0}
    assert leases.addresses_total == 4


def test_without_a_pool_users_are_bound_to_nothing() -> None:
    pool = IpPool()
    leases = UserLeases(LeaseManager(pool), pool.families, USER)
    user = make_user(0)
    assert leases.admit(user, block=False)
    assert user.source_address is None
    leases.give_back(user)


def test_a_lease_of_an_iteration_is_renewed_before_each_one() -> None:
    leases = make_leases("127.0.1.1-127.0.1.3", ITERATION)
    user = make_user(0)
    leases.admit(user, block=False)
    seen = []
    for number in range(6):
        user.begin_iteration(number, 0)
        seen.append(str(user.source_address))
    assert sorted(seen) == sorted([f"127.0.1.{last}" for last in (1, 2, 3)] * 2)
    assert sum(stats.active for stats in leases.used.values()) == 1


def test_leases_of_requests_spread_evenly_over_threads() -> None:
    leases = make_leases("127.0.1.0/28", REQUEST)

    def live(user: VirtualUser) -> None:
        leases.admit(user, block=True)
        for _ in range(49):
            leases.renew(user)
        leases.give_back(user)

    threads = [threading.Thread(target=live, args=(make_user(index),)) for index in range(28)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {stats.total for stats in leases.used.values()} == {100}


def test_exclusive_leases_that_ran_out_make_users_wait_or_fail() -> None:
    waiting = make_leases("127.0.1.1", policy=LeasePolicy(exclusive=True, on_exhaustion="wait"))
    first, second = make_user(0), make_user(1)
    assert waiting.admit(first, block=False)
    assert not waiting.admit(second, block=False)
    waiting.give_back(first)
    assert waiting.admit(second, block=True)
    failing = make_leases("127.0.1.1", policy=LeasePolicy(exclusive=True, on_exhaustion="fail"))
    assert failing.admit(first, block=False)
    with pytest.raises(PoolExhausted, match="no address for user 1"):
        failing.admit(second, block=False)


def test_a_user_that_gets_only_one_of_two_families_gives_it_back() -> None:
    policy = LeasePolicy(exclusive=True, on_exhaustion="wait")
    leases = make_leases("127.0.1.1,127.0.1.2,::1", policy=policy)
    first, second = make_user(0), make_user(1)
    assert leases.admit(first, block=False)
    assert not leases.admit(second, block=False)  # there is no second IPv6 address
    assert sum(stats.active for stats in leases.used.values()) == 2


def test_free_bind_addresses_are_marked_for_the_session() -> None:
    leases = make_leases("freebind:2001:db8::1")
    user = make_user(0)
    leases.admit(user, block=False)
    assert user.sources == (SourceAddress("2001:db8::1", freebind=True),)
    assert user.source_address == "2001:db8::1"
