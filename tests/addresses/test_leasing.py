from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, count, repeat
from typing import Any

import pytest

from pytest_ipload.addresses.leasing import LeaseManager, LeasePolicy
from pytest_ipload.addresses.orders import ORDERS
from pytest_ipload.addresses.pool import IpPool, Lease, LeaseStats
from pytest_ipload.base.errors import PoolError, PoolExhausted, SettingError

TIMEOUT_S = 30


def take(book: LeaseManager, user: int, family: int = 4, *, rotation: bool = False) -> Lease:
    lease = book.acquire(user, family, rotation=rotation)
    assert lease is not None
    return lease


def exclusive(on_exhaustion: str = "fail", wait_s: float | None = TIMEOUT_S) -> LeasePolicy:
    """Exclusive leases. A wait has an end even here, so that a test which fails does not hang."""
    return LeasePolicy(exclusive=True, on_exhaustion=on_exhaustion, wait_s=wait_s)


def clock_of(*times: float) -> Callable[[], float]:
    """A clock that shows these times, one at each look, and then the last one."""
    shown = chain(times, repeat(times[-1]))
    return lambda: next(shown)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(50) as made:
        yield made


def until_waiting(book: LeaseManager, number: int, family: int = 4) -> None:
    """Return when so many wait; a bounded loop."""
    pause = threading.Event()
    for _ in range(TIMEOUT_S * 1000):
        if len(book._waiting[family]) == number:
            return
        pause.wait(0.001)
    pytest.fail(f"not {number} waiting")


# The policy


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"order": "sticky"}, "order='sticky' is unknown; allowed: round-robin, random, least-used"),
        ({"on_exhaustion": "queue"}, "on_exhaustion='queue' is unknown; allowed: share, wait, fail, fallback"),
        ({"wait_s": -1.0}, "wait_s=-1.0 is not a valid time; give 0 or more seconds, or None"),
        ({"wait_s": float("nan")}, "wait_s=nan is not a valid time; give 0 or more seconds, or None"),
        ({"wait_s": float("inf")}, "wait_s=inf is not a valid time; give 0 or more seconds, or None"),
    ],
)
def test_a_policy_with_an_unknown_value_is_refused(wrong: dict[str, str], words: str) -> None:
    with pytest.raises(SettingError, match=rf"\Alease policy: {re.escape(words)}\Z"):
        LeasePolicy(**wrong)  # type: ignore[arg-type]  # that they are refused is the claim


def test_a_fallback_pool_and_its_policy_go_together() -> None:
    pool, spare = IpPool.parse("10.0.0.1"), IpPool.parse("10.0.0.2")
    for policy, fallback in ((exclusive("fallback"), None), (exclusive("share"), spare)):
        with pytest.raises(SettingError, match="must be given together"):
            LeaseManager(pool, policy, fallback)
    with pytest.raises(PoolError, match="the fallback pool is empty"):
        LeaseManager(pool, exclusive("fallback"), IpPool())


def test_a_fallback_pool_has_addresses_of_its_own() -> None:
    with pytest.raises(PoolError, match=r"\Aip pool: 10\.0\.0\.9 is also in the fallback pool"):
        LeaseManager(IpPool.parse("10.0.0.1-10.0.0.9"), exclusive("fallback"), IpPool.parse("10.0.0.9-10.0.0.20"))


# Orders


@pytest.mark.parametrize("order", list(ORDERS))
def test_families_are_leased_apart_and_each_by_the_order(order: str) -> None:
    pool = IpPool.parse("10.0.0.1-10.0.0.3, 2001:db8::1-2001:db8::2")
    book = LeaseManager(pool, LeasePolicy(order, exclusive=True, on_exhaustion="fail"))
    assert {take(book, user, 4).address for user in range(3)} == set(list(pool)[:3])
    assert {take(book, user, 6).address for user in range(2)} == set(list(pool)[3:])


def test_round_robin_is_the_pools_own_order() -> None:
    pool = IpPool.parse("10.0.0.1-10.0.0.3")
    book = LeaseManager(pool)
    assert [take(book, user).address for user in range(7)] == [pool.acquire(user).address for user in range(7)]


def test_random_depends_on_the_seed_and_the_user_only() -> None:
    pool = IpPool.parse("10.0.0.0/16")

    def addresses(seed: int, users: list[int]) -> dict[int, str]:
        book = LeaseManager(pool, LeasePolicy("random", seed=seed))
        return {user: take(book, user).address for user in users}

    first = addresses(7, [0, 1, 2, 3])
    assert addresses(7, [3, 0, 2, 1]) == first
    assert addresses(8, [0, 1, 2, 3]) != first


def test_least_used_goes_to_what_was_released() -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1-10.0.0.3"), LeasePolicy("least-used"))
    leases = [take(book, user) for user in range(5)]
    book.release(leases[2])
    assert [lease.address[-1] for lease in leases] == ["1", "2", "3", "1", "2"]
    assert take(book, 9).address == "10.0.0.3"


def test_a_lease_says_whether_it_is_free_bind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_ipload.addresses.spec.FREEBIND", {})
    book = LeaseManager(IpPool.parse("10.0.0.1, freebind:10.0.0.2"))
    assert [take(book, user).freebind for user in range(2)] == [False, True]


# Exhaustion


def test_sharing_is_as_if_leases_were_not_exclusive() -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1-10.0.0.2"), exclusive("share"))
    assert [take(book, user).address[-1] for user in (0, 0, 0, 3)] == ["1", "2", "1", "2"]
    assert book.used["10.0.0.1"] == LeaseStats(active=2, total=2, users=1)


def test_a_shared_address_is_free_when_all_have_released_it() -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1-10.0.0.2"), exclusive("share"))
    first, second, again = (take(book, 0) for _ in range(3))
    book.release(first)
    book.release(second)
    assert take(book, 0).address == "10.0.0.2"
    book.release(again)
    assert take(book, 0).address == "10.0.0.1"


@pytest.mark.parametrize(
    ("spec", "state"),
    [
        ("10.0.0.1-10.0.0.2, 2001:db8::1", "all 2 IPv4 addresses of the pool are leased"),
        ("10.0.0.1, 2001:db8::1", "the only IPv4 address of the pool is leased"),
    ],
)
@pytest.mark.parametrize("block", [True, False])
def test_an_exhausted_pool_fails_and_says_what_to_do(spec: str, state: str, block: bool) -> None:
    pool = IpPool.parse(spec)
    book = LeaseManager(pool, exclusive("fail"))
    for user in range(pool.count(4)):
        take(book, user)
    message = (
        f"ip pool: no address for user 7: {state}; "
        "add addresses, use fewer users, or set on_exhaustion to 'share', 'wait' or 'fallback'"
    )
    with pytest.raises(PoolExhausted, match=rf"\A{re.escape(message)}\Z"):
        book.acquire(7, 4, block=block)
    assert take(book, 7, 6).address == "2001:db8::1"


def test_the_fallback_pool_comes_next_and_is_exclusive_too() -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1, 2001:db8::1"), exclusive("fallback"), IpPool.parse("10.9.0.1-10.9.0.2"))
    leases = [take(book, user) for user in range(3)]
    assert [lease.address for lease in leases] == ["10.0.0.1", "10.9.0.2", "10.9.0.1"]
    message = (
        "ip pool: no address for user 5: the only IPv4 address of the pool is leased, and all 2 IPv4 addresses of the "
        "fallback pool are leased; add addresses to one of them or use fewer users"
    )
    with pytest.raises(PoolExhausted, match=rf"\A{re.escape(message)}\Z"):
        book.acquire(5, 4)
    take(book, 5, 6)
    with pytest.raises(PoolExhausted, match="the pool is leased, and the fallback pool has no IPv6 address; add"):
        book.acquire(5, 6)
    for lease in (leases[1], leases[0]):
        book.release(lease)
        assert take(book, 5).address == lease.address
    assert book.addresses_total == 4
    assert set(book.used) == {"10.0.0.1", "10.9.0.2", "10.9.0.1", "2001:db8::1"}


def test_without_exclusive_leases_a_pool_is_never_exhausted() -> None:
    for way in ("wait", "fail"):
        book = LeaseManager(IpPool.parse("10.0.0.1"), LeasePolicy(on_exhaustion=way))
        assert {take(book, user).address for user in range(5)} == {"10.0.0.1"}


@pytest.mark.parametrize(
    ("spec", "family", "words"),
    [
        ("10.0.0.1", 6, "no IPv6 address for user 3, only IPv4"),
        ("10.0.0.1", 10, "family of a lease is 4 or 6, not 10"),
        ("10.0.0.1", None, "family of a lease is 4 or 6, not None"),
        (None, 4, "ip pool is empty: no address for user 3"),
    ],
)
def test_a_family_that_the_pool_lacks_is_refused(spec: str | None, family: Any, words: str) -> None:
    pool = IpPool.parse(spec) if spec else IpPool()
    with pytest.raises(PoolError, match=words):
        LeaseManager(pool, exclusive()).acquire(3, family)


# Waiting


def test_those_who_wait_are_served_in_their_order(threads: ThreadPoolExecutor) -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1-10.0.0.2"), exclusive("wait"))
    held = [take(book, 0), take(book, 1)]
    waiting: list[Future[Lease]] = []
    for user in range(2, 7):
        waiting.append(threads.submit(take, book, user))
        until_waiting(book, user - 1)
    assert book.acquire(9, 4, block=False) is None
    for step in range(5):
        book.release(held[step])
        lease = waiting[step].result(TIMEOUT_S)
        assert (lease.user, lease.address) == (step + 2, held[step].address)
        assert [future.done() for future in waiting[step + 1 :]] == [False] * (4 - step)
        held.append(lease)
    assert {use.active for use in book.used.values()} == {1}


def test_who_does_not_block_gets_none_when_no_address_is_free() -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1"), exclusive("wait"))
    assert book.acquire(1, 4, block=False) is not None
    assert book.acquire(2, 4, block=False) is None


def test_one_family_does_not_wait_for_the_other(threads: ThreadPoolExecutor) -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1, 2001:db8::1"), exclusive("wait"))
    held = take(book, 0, 4)
    waiting = threads.submit(take, book, 1, 4)
    until_waiting(book, 1)
    book.release(take(book, 2, 6))
    assert not waiting.done()
    book.release(held)
    assert waiting.result(TIMEOUT_S).user == 1


def test_a_wait_that_is_too_long_says_how_long_it_was() -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1"), exclusive("wait", wait_s=5), clock=clock_of(100.0, 107.0))
    held = take(book, 0)
    message = (
        "ip pool: no address for user 3: the only IPv4 address of the pool is leased, even after waiting 7.00 s; "
        "add addresses, use fewer users, or allow a longer wait"
    )
    with pytest.raises(PoolExhausted, match=rf"\A{re.escape(message)}\Z"):
        book.acquire(3, 4)
    book.release(held)
    assert book.acquire(4, 4, block=False) is not None  # who gave up is no longer in line


def test_a_wait_is_as_long_as_allowed_by_the_clock_of_this_host() -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1"), exclusive("wait", wait_s=0.05))
    take(book, 0)
    with pytest.raises(PoolExhausted, match="after waiting"):
        book.acquire(3, 4)


@pytest.mark.parametrize(("wait_s", "expected"), [(None, None), (5.0, 3.0), (1e300, threading.TIMEOUT_MAX)])
def test_a_wait_sleeps_for_what_is_left_of_its_time(
    monkeypatch: pytest.MonkeyPatch, wait_s: float | None, expected: float | None
) -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1"), exclusive("wait", wait_s=wait_s), clock=clock_of(100.0, 102.0))
    held = take(book, 0)
    sleeps: list[float | None] = []

    def sleep(condition: threading.Condition, timeout: float | None = None) -> bool:
        sleeps.append(timeout)
        book._take_back(held)  # as a thread that releases it meanwhile
        return True

    monkeypatch.setattr(threading.Condition, "wait", sleep)
    assert take(book, 1).user == 1
    assert sleeps == [expected]


def test_a_wait_of_no_time_fails_at_once() -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1"), exclusive("wait", wait_s=0), clock=clock_of(1.0, 1.0, 2.0))
    take(book, 0)
    with pytest.raises(PoolExhausted, match=r"after waiting 0"):
        book.acquire(3, 4)


def test_what_is_released_after_closing_is_handed_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1"), exclusive("wait"))
    held = take(book, 0)

    def close_and_release(condition: threading.Condition, timeout: float | None = None) -> bool:
        book._closed = True  # as other threads do while this one has given up the lock
        book._take_back(held)
        return True

    monkeypatch.setattr(threading.Condition, "wait", close_and_release)
    with pytest.raises(PoolError, match="no address for user 1: the load has ended"):
        book.acquire(1, 4)
    assert book.used == {"10.0.0.1": LeaseStats(active=0, total=1, users=1)}


def test_closing_ends_every_wait_and_leaves_what_is_held(threads: ThreadPoolExecutor) -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1"), exclusive("wait"))
    held = take(book, 0)
    waiting = [threads.submit(take, book, user) for user in range(1, 6)]
    until_waiting(book, 5)
    book.close()
    book.close()
    for user, future in enumerate(waiting, start=1):
        error = future.exception(TIMEOUT_S)
        assert (type(error), str(error)) == (PoolError, f"ip pool: no address for user {user}: the load has ended")
    book.release(held)
    with pytest.raises(PoolError, match="the load has ended"):
        book.acquire(9, 4)
    assert book.used == {"10.0.0.1": LeaseStats(active=0, total=1, users=1)}


class Interruption(Exception):
    """Stands for what is raised in a thread from outside."""


@pytest.mark.parametrize("served", [False, True])
def test_a_wait_that_is_broken_off_takes_no_address_with_it(monkeypatch: pytest.MonkeyPatch, served: bool) -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1"), exclusive("wait"))
    held = take(book, 0)

    def broken_off(condition: threading.Condition, timeout: float | None = None) -> bool:
        if served:
            book._take_back(held)  # as a thread that releases it while this one has given up the lock
        raise Interruption

    monkeypatch.setattr(threading.Condition, "wait", broken_off)
    with pytest.raises(Interruption):
        book.acquire(1, 4)
    if not served:
        book.release(held)
    assert book.acquire(2, 4, block=False) is not None
    assert book.used["10.0.0.1"].active == 1


# Books and pools


def test_the_pool_counts_the_leases_of_its_book_too() -> None:
    pool, spare = IpPool.parse("10.0.0.1"), IpPool.parse("10.9.0.1")
    book = LeaseManager(pool, exclusive("fallback"), spare)
    leases = [take(book, 0), take(book, 1)]
    pool.acquire(5)
    assert pool.stats() == {"10.0.0.1": LeaseStats(2, 2, 2)}
    assert spare.stats() == {"10.9.0.1": LeaseStats(1, 1, 1)}
    assert book.used == {"10.0.0.1": LeaseStats(1, 1, 1), "10.9.0.1": LeaseStats(1, 1, 1)}
    for lease in leases:
        book.release(lease)
    assert pool.stats() == {"10.0.0.1": LeaseStats(1, 2, 2)}
    assert book.used == {"10.0.0.1": LeaseStats(0, 1, 1), "10.9.0.1": LeaseStats(0, 1, 1)}


def test_a_lease_is_released_once_and_to_its_own_book() -> None:
    pool = IpPool.parse("10.0.0.1-10.0.0.2")
    book, other = LeaseManager(pool), LeaseManager(pool)
    first, second = take(book, 0), take(book, 0)
    with pytest.raises(PoolError, match="to the lease manager that granted it"):
        other.release(first)
    book.release(first)
    with pytest.raises(PoolError, match=r"lease of 10\.0\.0\.1 to user 0 is not held here"):
        book.release(first)
    book.release(second)
    assert book.used["10.0.0.1"].active == 0


def test_a_huge_network_is_leased_without_being_expanded() -> None:
    pool = IpPool.parse("2001:db8::/64")
    for order in ORDERS:
        book = LeaseManager(pool, LeasePolicy(order, exclusive=True))
        assert len({take(book, user, 6, rotation=True).address for user in range(50)}) == 50
        assert book.addresses_total == 2**64 - 1


# Threads

THREADS, ROUNDS = 50, 100


@pytest.mark.parametrize("rotation", [False, True])
@pytest.mark.parametrize(
    ("order", "way", "size"),
    [*zip(ORDERS, ("wait", "fail", "fallback"), (7, THREADS, THREADS // 2), strict=True)],
)
def test_no_two_threads_ever_hold_an_exclusive_address(
    threads: ThreadPoolExecutor, way: str, size: int, order: str, rotation: bool
) -> None:
    pool = IpPool.parse(f"10.0.0.1-10.0.0.{size}")
    spare = IpPool.parse("10.9.0.1-10.9.0.25") if way == "fallback" else None
    policy = LeasePolicy(order, True, way, TIMEOUT_S)
    book = LeaseManager(pool, policy, spare)
    holders = {address: threading.Lock() for address in chain(pool, spare or ())}
    start = threading.Barrier(THREADS)

    def work(user: int) -> int:
        start.wait(TIMEOUT_S)
        for _ in range(ROUNDS):
            lease = take(book, user, rotation=rotation)
            assert holders[lease.address].acquire(blocking=False), f"{lease.address} has two holders"
            time.sleep(0)  # let others run, else the address is hardly ever held while they acquire
            holders[lease.address].release()
            book.release(lease)
        return user

    assert list(threads.map(work, range(THREADS), timeout=TIMEOUT_S)) == list(range(THREADS))
    assert sum(use.total for use in book.used.values()) == THREADS * ROUNDS
    assert {use.active for use in book.used.values()} == {0}
    assert {use.active for use in pool.stats().values()} == {0}
    assert len(book._waiting[4]) == 0


@pytest.mark.parametrize("repetition", range(2))
@pytest.mark.parametrize("policy", [LeasePolicy(), exclusive("share"), LeasePolicy("least-used")])
def test_rotation_spreads_the_leases_evenly(threads: ThreadPoolExecutor, policy: LeasePolicy, repetition: int) -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1-10.0.0.7"), policy)
    start = threading.Barrier(THREADS)

    def work(user: int) -> list[Lease]:
        start.wait(TIMEOUT_S)
        return [take(book, user, rotation=True) for _ in range(ROUNDS)]

    leases = [lease for held in threads.map(work, range(THREADS), timeout=TIMEOUT_S) for lease in held]
    counts = Counter(lease.address for lease in leases)
    assert len(counts) == 7
    assert max(counts.values()) - min(counts.values()) <= 1
    list(threads.map(book.release, leases))
    assert {use.active for use in book.used.values()} == {0}


def test_closing_amid_the_work_ends_every_thread(threads: ThreadPoolExecutor) -> None:
    book = LeaseManager(IpPool.parse("10.0.0.1-10.0.0.3"), exclusive("wait"))
    done = count()
    reached = threading.Event()

    def work(user: int) -> str:
        for _ in range(100_000):
            try:
                lease = take(book, user, rotation=True)
            except PoolError as error:
                return str(error)
            if next(done) == 500:
                reached.set()
            book.release(lease)
        return "never told"

    working = [threads.submit(work, user) for user in range(THREADS)]
    assert reached.wait(TIMEOUT_S)
    book.close()
    assert {future.result(TIMEOUT_S).partition(": no address for user ")[0] for future in working} == {"ip pool"}
    assert {use.active for use in book.used.values()} == {0}
