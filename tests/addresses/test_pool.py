from __future__ import annotations

import doctest
import ipaddress
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_ipload.addresses import pool as pool_module
from pytest_ipload.addresses.host import probe
from pytest_ipload.addresses.pool import IpPool, Lease, LeaseStats
from pytest_ipload.addresses.spec import AddressBlock
from pytest_ipload.base.errors import PoolError

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is local on Linux only")


def make_pool(*sizes: tuple[int, int]) -> IpPool:
    """A pool with blocks of (version, count), apart from each other."""
    starts = {4: int(ipaddress.ip_address("10.0.0.1")), 6: int(ipaddress.ip_address("2001:db8::1"))}
    blocks = []
    for version, count in sizes:
        blocks.append(AddressBlock(starts[version], count, version, "made"))
        starts[version] += count + 3
    return IpPool(blocks)


pools = st.lists(st.tuples(st.sampled_from([4, 6]), st.integers(1, 9)), min_size=1, max_size=6).map(
    lambda sizes: make_pool(*sizes)
)


def test_a_pool_is_a_sequence_of_addresses() -> None:
    pool = IpPool.parse("10.0.0.8/30, 2001:db8::1, 10.0.0.1")
    addresses = ["10.0.0.9", "10.0.0.10", "2001:db8::1", "10.0.0.1"]
    assert list(pool) == [pool[index] for index in range(len(pool))] == addresses
    assert [pool[index] for index in (-1, -4)] == ["10.0.0.1", "10.0.0.9"]
    assert pool
    for index in (4, -5):
        with pytest.raises(IndexError, match=f"index {index} is out of range for an ip pool of 4 addresses"):
            pool[index]


def test_a_pool_contains_its_addresses_however_they_are_written() -> None:
    pool = IpPool.parse("10.0.0.8/30, 2001:db8::1")
    assert "10.0.0.10" in pool
    assert "2001:DB8:0::1" in pool
    for other in ("10.0.0.8", "2001:db8::2", "::10.0.0.9", "eth0", "", 167772169, None):
        assert other not in pool


@pytest.mark.parametrize(
    ("sizes", "families"), [([], ()), ([(4, 2)], (4,)), ([(6, 1)], (6,)), ([(6, 1), (4, 1), (6, 1)], (4, 6))]
)
def test_the_families_are_sorted(sizes: list[tuple[int, int]], families: tuple[int, ...]) -> None:
    assert make_pool(*sizes).families == families


def test_an_empty_pool_is_falsy_and_has_nothing_to_lease() -> None:
    pool = IpPool()
    assert not pool
    assert (len(pool), list(pool), pool.families, pool.stats()) == (0, [], (), {})
    pool.validate()
    for family in (None, 4, 6):
        with pytest.raises(PoolError, match=r"\Aip pool is empty: no address for user 3\Z"):
            pool.acquire(3, family)


def test_a_file_is_relative_to_the_base_or_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pool.txt").write_text("10.0.0.1\n")
    assert list(IpPool.parse("@pool.txt", base=tmp_path)) == ["10.0.0.1"]
    monkeypatch.chdir(tmp_path)
    assert list(IpPool.parse("@pool.txt")) == ["10.0.0.1"]


@pytest.mark.skipif(sys.platform != "linux", reason="interface names need Linux")
def test_an_interface_is_asked_of_this_host() -> None:
    assert "127.0.0.1" in IpPool.parse("lo")


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        (IpPool(), "<IpPool: empty>"),
        (make_pool((4, 3)), "<IpPool: 3 addresses, 10.0.0.1 to 10.0.0.3>"),
        (
            IpPool.parse("2001:db8::/64").shard(1, 2),
            f"<IpPool: {2**63 - 1} addresses, 2001:db8::2 to 2001:db8::ffff:ffff:ffff:fffe>",
        ),
    ],
)
def test_the_repr_is_short(pool: IpPool, text: str) -> None:
    assert repr(pool) == text


def test_the_example_in_the_docstring_holds() -> None:
    results = doctest.testmod(pool_module)
    assert results.attempted > 4
    assert results.failed == 0


def test_a_huge_network_is_leased_without_being_expanded() -> None:
    pool = IpPool.parse("10.0.0.1, 2001:db8::/64")
    assert pool
    assert pool.acquire(2**64 - 2, 6).address == "2001:db8::ffff:ffff:ffff:ffff"
    assert pool.shard(3, 4).acquire(2).address == "2001:db8::b"
    with pytest.raises(OverflowError):
        len(pool)


# Shards


@settings(deadline=None)
@given(pool=pools, data=st.data())
def test_shards_are_strides_that_partition_the_pool(pool: IpPool, data: st.DataObject) -> None:
    addresses = list(pool)
    count = data.draw(st.integers(1, len(addresses)))
    shards = [pool.shard(index, count) for index in range(count)]
    assert [list(shard) for shard in shards] == [addresses[index::count] for index in range(count)]
    assert sorted(address for shard in shards for address in shard) == sorted(addresses)


@settings(deadline=None)
@given(pool=pools, data=st.data())
def test_a_shard_is_a_pool_like_any_other(pool: IpPool, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(pool)))
    index = data.draw(st.integers(0, count - 1))
    shard = pool.shard(index, count)
    addresses = list(pool)[index::count]
    assert [shard[position] for position in range(len(shard))] == addresses
    assert [address for address in pool if address in shard] == addresses
    parts = data.draw(st.integers(1, len(shard)))
    assert list(shard.shard(parts - 1, parts)) == addresses[parts - 1 :: parts]
    for family in shard.families:
        members = [address for address in addresses if ipaddress.ip_address(address).version == family]
        user = data.draw(st.integers(0, 50))
        assert shard.acquire(user, family).address == members[user % len(members)]


@pytest.mark.parametrize("index", [0, 3])
def test_more_shards_than_addresses_are_refused_in_every_shard(index: int) -> None:
    with pytest.raises(PoolError, match=r"\Aip pool: 3 addresses are not enough for 4 shards"):
        make_pool((4, 2), (6, 1)).shard(index, 4)


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0)])
def test_a_shard_that_does_not_exist_is_refused(index: int, count: int) -> None:
    with pytest.raises(PoolError, match=f"shard {index} of {count} does not exist"):
        make_pool((4, 9)).shard(index, count)


# Without some addresses


@settings(deadline=None)
@given(pool=pools, data=st.data())
def test_a_pool_without_some_addresses_has_the_others_in_their_order(pool: IpPool, data: st.DataObject) -> None:
    parts = data.draw(st.integers(1, len(pool)))
    pool = pool.shard(parts - 1, parts)
    removed = data.draw(st.lists(st.sampled_from(list(pool))))
    rest = pool.without(address.upper() for address in removed)
    expected = [address for address in pool if address not in removed]
    assert list(rest) == [rest[index] for index in range(len(rest))] == expected
    assert rest.families == tuple(v for v in (4, 6) if any((":" in address) == (v == 6) for address in expected))


def test_a_huge_network_without_some_addresses_is_not_expanded() -> None:
    rest = IpPool.parse("10.0.0.1, 2001:db8::/64").without(["2001:db8::3", "10.0.0.1", "2001:db8::1"])
    assert rest.size == 2**64 - 3
    assert [rest[index] for index in (0, 1, -1)] == ["2001:db8::2", "2001:db8::4", "2001:db8::ffff:ffff:ffff:ffff"]


def test_leaving_out_half_of_many_single_addresses_is_quick() -> None:
    blocks = [AddressBlock(number, 1, 4, "made") for number in range(1, 65_536, 2)]
    pool = IpPool(blocks)
    started = time.perf_counter()
    assert len(pool.without(list(pool)[::2])) == len(pool) // 2
    assert time.perf_counter() - started < 10  # 0.3 s; looking up each one takes minutes


def test_a_pool_without_some_addresses_has_leases_of_its_own() -> None:
    pool = make_pool((4, 3))
    pool.acquire(0)
    rest = pool.without(["10.0.0.2"])
    assert rest.stats() == {}
    assert [rest.acquire(user).address for user in range(3)] == ["10.0.0.1", "10.0.0.3", "10.0.0.1"]


@pytest.mark.parametrize("stray", ["10.0.0.9", "2001:db8::1", "eth0", ""])
def test_only_addresses_of_the_pool_can_be_left_out(stray: str) -> None:
    message = (
        f"{stray!r} cannot be excluded because it is not in the pool (<IpPool: 3 addresses, 10.0.0.1 to 10.0.0.3>)"
    )
    with pytest.raises(PoolError, match=rf"\Aip pool: {re.escape(message)}\Z"):
        make_pool((4, 3)).without(["10.0.0.1", stray])


def test_two_pools_may_have_an_address_in_common() -> None:
    pool = IpPool.parse("10.0.0.0/24, 2001:db8::/64")
    assert pool.first_common(IpPool.parse("10.0.1.0/24, 10.0.0.7")) == "10.0.0.7"
    assert pool.first_common(IpPool.parse("10.0.1.0/24, 2001:db9::/64")) is None
    assert pool.shard(0, 2).first_common(pool.shard(1, 2)) is None
    assert pool.first_common(IpPool()) is None


# Leases


@pytest.mark.parametrize(
    ("user", "family", "address"),
    [
        (0, None, "10.0.0.1"),
        (2, None, "2001:db8::1"),
        (4, None, "10.0.0.1"),
        (0, 4, "10.0.0.1"),
        (2, 4, "10.0.0.6"),
        (3, 4, "10.0.0.1"),
        (7, 6, "2001:db8::1"),
    ],
)
def test_a_user_always_gets_the_address_of_its_turn(user: int, family: int | None, address: str) -> None:
    pool = make_pool((4, 2), (6, 1), (4, 1))
    expected = Lease(address, user, 6 if ":" in address else 4)
    assert [pool.acquire(user, family) for _ in range(3)] == [expected] * 3


def test_a_family_that_the_pool_lacks_is_refused() -> None:
    message = (
        "ip pool has no IPv6 address for user 7, only IPv4 (<IpPool: 2 addresses, 10.0.0.1 to 10.0.0.2>); "
        "add an IPv6 address, or use a target that has an IPv4 address"
    )
    with pytest.raises(PoolError, match=rf"\A{re.escape(message)}\Z"):
        make_pool((4, 2)).acquire(7, 6)
    with pytest.raises(PoolError, match="no IPv4 address for user 7, only IPv6"):
        make_pool((6, 2)).acquire(7, 4)


def test_a_family_is_4_or_6_not_a_constant_of_the_socket_module() -> None:
    with pytest.raises(PoolError, match="family of a lease is 4, 6 or None, not 10"):
        make_pool((6, 1)).acquire(0, 10)


def test_the_book_counts_leases_and_distinct_users() -> None:
    pool = make_pool((4, 3))
    leases = [pool.acquire(user) for user in (0, 3, 0, 1)]
    assert pool.stats() == {"10.0.0.1": LeaseStats(3, 3, 2), "10.0.0.2": LeaseStats(1, 1, 1)}
    before = pool.stats()
    for lease in leases:
        pool.release(lease)
    assert pool.stats() == {"10.0.0.1": LeaseStats(0, 3, 2), "10.0.0.2": LeaseStats(0, 1, 1)}
    assert before["10.0.0.1"].active == 3


def test_a_lease_is_released_once_even_if_an_equal_one_is_held() -> None:
    pool = make_pool((4, 2))
    first, second = pool.acquire(0), pool.acquire(0)
    pool.release(first)
    with pytest.raises(PoolError, match=r"lease of 10\.0\.0\.1 to user 0 is not held here"):
        pool.release(first)
    assert pool.stats()["10.0.0.1"].active == 1
    pool.release(second)
    assert pool.stats()["10.0.0.1"].active == 0


def test_a_lease_of_another_pool_is_refused() -> None:
    pool = make_pool((4, 2))
    pool.acquire(0)
    with pytest.raises(PoolError, match="to the pool that granted it"):
        pool.release(make_pool((4, 2)).acquire(0))


def test_a_lease_cannot_be_changed() -> None:
    lease = make_pool((4, 2)).acquire(0)
    with pytest.raises(FrozenInstanceError):
        lease.address = "10.0.0.2"  # type: ignore[misc]  # that it is refused is the claim


def test_threads_share_the_addresses_evenly_and_lose_no_lease() -> None:
    pool = make_pool((4, 5), (6, 3))
    start = threading.Barrier(50)

    def hold(thread: int) -> list[Lease]:
        start.wait(timeout=30)
        return [pool.acquire(thread * 100 + turn) for turn in range(100)]

    with ThreadPoolExecutor(50) as threads:
        leases = [lease for held in threads.map(hold, range(50)) for lease in held]
        totals = [use.total for use in pool.stats().values()]
        assert sum(totals) == sum(use.active for use in pool.stats().values()) == 5000
        assert max(totals) - min(totals) <= 1
        assert len(totals) == 8
        list(threads.map(pool.release, leases))
    assert {use.active for use in pool.stats().values()} == {0}


# Validation


@linux_only
def test_addresses_of_this_host_are_valid() -> None:
    IpPool.parse("127.0.1.0/28, ::1, 127.9.9.9").validate()


@linux_only
def test_each_reason_has_its_addresses_and_what_to_do() -> None:
    pool = IpPool.parse("203.0.113.7, 127.0.0.2, 127.255.255.255, 2001:db8::7, 203.0.113.8")
    message = (
        "ip pool: 1 of 5 addresses are broadcast or multicast (the kernel uses 127.0.0.1 instead): 127.255.255.255; "
        "3 of 5 addresses are not on this host: 203.0.113.7, 2001:db8::7, 203.0.113.8; "
        "add missing ones with 'ip addr add 203.0.113.7/32 dev lo', or remove them from the pool"
    )
    with pytest.raises(PoolError, match=rf"\A{re.escape(message)}\Z"):
        pool.validate()


@linux_only
def test_addresses_that_nobody_can_add_are_to_be_removed() -> None:
    with pytest.raises(PoolError, match=r"127\.255\.255\.255; remove them from the pool\Z"):
        IpPool.parse("127.255.255.255").validate()


@linux_only
def test_the_unusable_addresses_can_be_left_out() -> None:
    pool = IpPool.parse("203.0.113.7, 127.0.0.2, 127.255.255.255")
    faults = pool.unusable()
    assert [fault.address for fault in faults] == ["203.0.113.7", "127.255.255.255"]
    rest = pool.without(fault.address for fault in faults)
    assert list(rest) == ["127.0.0.2"]
    rest.validate()


@linux_only
def test_free_bind_addresses_are_checked_as_such() -> None:
    assert IpPool.parse("127.0.0.2, freebind:127.0.1.0/30").unusable() == []
    message = (
        "ip pool: 1 of 4 addresses are not on this host: 203.0.113.7; "
        "2 of 4 addresses are not routed to this host: 198.51.100.1, 198.51.100.2; "
        "add missing ones with 'ip addr add 203.0.113.7/32 dev lo', "
        "route them to this host with 'ip route add local 198.51.100.0/30 dev lo', or remove them from the pool"
    )
    with pytest.raises(PoolError, match=rf"\A{re.escape(message)}\Z"):
        IpPool.parse("freebind: 198.51.100.0/30, 203.0.113.7, 127.0.0.3").validate()


@pytest.mark.parametrize(
    ("spec", "reason", "advice"),
    [
        (
            "freebind:2001:db8::/120",
            probe.NOT_ROUTED,
            "route them to this host with 'ip -6 route add local 2001:db8::/120 dev lo'",
        ),
        (
            "freebind:2001:db8::1-2001:db8::9",
            probe.NOT_ROUTED,
            "route them to this host with 'ip -6 route add local 2001:db8::1 dev lo'",
        ),
        ("2001:db8::/120", probe.LOCAL_BY_ROUTE, "write 'freebind:2001:db8::/120'"),
        ("2001:db8::1-2001:db8::9", probe.LOCAL_BY_ROUTE, "write 'freebind:2001:db8::1-2001:db8::9'"),
    ],
)
@linux_only
def test_the_advice_is_made_of_the_item_of_the_spec(
    monkeypatch: pytest.MonkeyPatch, spec: str, reason: str, advice: str
) -> None:
    monkeypatch.setattr(probe, "unusable", lambda *_, **__: [probe.Unusable("2001:db8::1", reason)])
    with pytest.raises(PoolError, match=rf"{re.escape(advice)}, or remove them from the pool\Z"):
        IpPool.parse(spec).validate()


@pytest.mark.parametrize(
    ("count", "tail"),
    [(10, r"203\.0\.113\.9, 203\.0\.113\.10; add "), (11, r"203\.0\.113\.10 and 1 more; "), (254, " and 244 more; ")],
)
def test_a_long_list_is_cut_at_ten(count: int, tail: str) -> None:
    pool = IpPool.parse(f"203.0.113.1-203.0.113.{count}")
    with pytest.raises(PoolError, match=rf"\Aip pool: {count} of {count} addresses are not on this host: .*{tail}"):
        pool.validate()


def test_without_a_known_command_the_advice_is_to_remove(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "how_to_add", lambda address: "")
    with pytest.raises(PoolError, match=r"203\.0\.113\.7; remove them from the pool\Z"):
        IpPool.parse("203.0.113.7").validate()


def test_a_pool_too_large_to_check_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []

    def count(addresses: list[str], *, freebind: set[str]) -> list[probe.Unusable]:
        assert not freebind
        checked.append(len(addresses))
        return []

    monkeypatch.setattr(probe, "unusable", count)
    make_pool((4, 65_536)).validate()
    for pool in (make_pool((4, 65_537)), IpPool.parse("2001:db8::/64")):
        with pytest.raises(PoolError, match=r"addresses are too many to check \(maximum 65.536\); use a smaller pool"):
            pool.validate()
    assert checked == [65_536]
