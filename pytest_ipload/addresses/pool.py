"""The pool of source addresses, and who holds which one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import groupby
from pathlib import Path

from pytest_ipload.addresses.host import probe
from pytest_ipload.addresses.sequence import AddressSequence, Run, first_common, parse_address
from pytest_ipload.addresses.source_address import FREEBIND_PREFIX, SourceAddress
from pytest_ipload.addresses.spec import AddressBlock, address_text, parse_spec
from pytest_ipload.base.errors import PoolError
from pytest_ipload.base.units import format_count

MAX_VALIDATED = 65_536
"""A larger pool is not validated address by address; it is refused."""

_NAMED_IN_ERRORS = 10


@dataclass(frozen=True)
class Lease:
    """A source address in the hands of a virtual user, from ``acquire`` to ``release``."""

    address: str
    user: int
    """The index of the virtual user."""
    family: int
    """4 or 6: the family of the address."""
    freebind: bool = False
    """Whether a socket is bound to it with the free-bind option; see ``host.bind_source``."""

    @property
    def source(self) -> SourceAddress:
        """What sockets are bound to."""
        return SourceAddress(self.address, self.freebind)


@dataclass(frozen=True)
class LeaseStats:
    """How much one address was used."""

    active: int
    """Leases that are held now."""
    total: int
    """Leases ever given out."""
    users: int
    """Distinct users that ever held one."""


@dataclass
class Usage:
    """The count behind ``LeaseStats``; whoever changes it holds a lock."""

    active: int = 0
    total: int = 0
    users: set[int] = field(default_factory=set)

    def add(self, user: int) -> None:
        """Count one more lease."""
        self.active += 1
        self.total += 1
        self.users.add(user)

    def stats(self) -> LeaseStats:
        """The numbers as of now."""
        return LeaseStats(self.active, self.total, len(self.users))


class IpPool:
    """Source addresses for virtual users: an immutable sequence of addresses, that manages their leases.

    ::

        >>> pool = IpPool.parse("127.0.1.0/28")
        >>> len(pool), pool[0], pool[-1]
        (14, '127.0.1.1', '127.0.1.14')
        >>> lease = pool.acquire(user=15)       # round-robin: user u has address u mod 14, always
        >>> lease.address
        '127.0.1.2'
        >>> pool.release(lease)
        >>> pool.stats()
        {'127.0.1.2': LeaseStats(active=0, total=1, users=1)}

    The addresses are computed on demand, so the size of a network costs nothing. An empty pool is
    falsy; it means that users are not bound to addresses. Leases may be acquired and released from any thread.
    As with ``range``, ``len()`` raises ``OverflowError`` above ``sys.maxsize``.
    """

    def __init__(self, blocks: Iterable[AddressBlock] = ()) -> None:
        self._set_addresses(AddressSequence(Run(block, block.numbers) for block in blocks))
        self._lock = threading.Lock()
        self._held: dict[int, Lease] = {}  # by identity: equal leases may be held at once
        self._usage: dict[str, Usage] = {}

    @classmethod
    def parse(cls, spec: str, *, base: Path | None = None) -> IpPool:
        """The pool that a spec names: ``10.0.0.5-10.0.0.20, 2001:db8::/120, eth0, @more.txt``.

        The grammar is in :func:`pytest_ipload.addresses.spec.parse_spec`; an ``@file`` is relative to ``base``,
        by default the current directory. Raises ``PoolError``, which names the item and the cause.
        """
        return cls(parse_spec(spec, base=base or Path(), interface_addresses=probe.interface_addresses))

    def __len__(self) -> int:
        return self._addresses.count

    def __bool__(self) -> bool:
        return self._addresses.count > 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._addresses)

    def __getitem__(self, index: int) -> str:
        return self._addresses[index]

    def __contains__(self, address: object) -> bool:
        """Whether the pool has the address, however it is written (``2001:DB8::0:1``)."""
        return isinstance(address, str) and (parsed := parse_address(address)) is not None and parsed in self._addresses

    def __repr__(self) -> str:
        count = self._addresses.count
        return f"<IpPool: {count} addresses, {self[0]} to {self[-1]}>" if count else "<IpPool: empty>"

    @property
    def size(self) -> int:
        """The number of addresses, also where ``len()`` overflows."""
        return self._addresses.count

    @property
    def families(self) -> tuple[int, ...]:
        """The address families the pool has: 4, 6, both (in this order) or none."""
        return tuple(version for version in (4, 6) if self._by_family[version].count)

    def validate(self) -> None:
        """Check that every address is on this host and works as a source; an empty pool passes.

        The check opens connections of this process to itself; see :func:`pytest_ipload.addresses.host.probe.unusable`.
        Raises ``PoolError`` with the unusable addresses, grouped by reason, or when the pool has more than
        65 536 addresses.
        """
        if faults := self.unusable():
            raise PoolError(self._complaint(faults))

    def unusable(self) -> list[probe.Unusable]:
        """The addresses that do not work as a source and why, in the pool's order; see ``validate``.

        Raises ``PoolError`` when the pool has more than 65 536 addresses.
        """
        count = self._addresses.count
        if count > MAX_VALIDATED:
            raise PoolError(
                f"ip pool: {format_count(count)} addresses are too many to check (maximum "
                f"{format_count(MAX_VALIDATED)}); use a smaller pool"
            )
        freebind = {
            address_text(number, run.version) for run in self._addresses.runs if run.freebind for number in run.numbers
        }
        return probe.unusable(list(self), freebind=freebind)

    def without(self, addresses: Iterable[str]) -> IpPool:
        """The pool without some of its addresses, in the same order and with leases of its own; it may be empty.

        Raises ``PoolError`` for a text that is not an address of the pool.
        """
        texts = list(addresses)
        parsed = [parse_address(text) for text in texts]
        removed: dict[int, set[int]] = {4: set(), 6: set()}
        for address in parsed:
            if address is not None:
                removed[address.version].add(int(address))
        rest = self._addresses.without(removed)
        # To look up each text would be slow in a pool of many blocks.
        if None in parsed or rest.count + sum(map(len, removed.values())) != self._addresses.count:
            stray = next(text for text in texts if text not in self)
            raise PoolError(f"ip pool: {stray!r} cannot be excluded because it is not in the pool ({self!r})")
        return self._part(rest)

    def first_common(self, other: IpPool) -> str | None:
        """An address that both pools have; None if they have none in common."""
        return first_common(self._addresses, other._addresses)

    def shard(self, index: int, count: int) -> IpPool:
        """The part of process ``index`` when ``count`` processes share the pool: every ``count``-th address.

        The shards are disjoint and together they are the pool. Each shard counts its own leases.
        Raises ``PoolError`` if there are more processes than addresses.
        """
        if not 0 <= index < count:
            raise PoolError(f"ip pool: shard {index} of {count} does not exist; give a number from 0 to {count - 1}")
        if self._addresses.count < count:
            raise PoolError(
                f"ip pool: {self._addresses.count} addresses are not enough for {count} shards, because no two may "
                "share an address; add addresses or use fewer shards"
            )
        return self._part(self._addresses.every(count, start=index))

    def count(self, family: int | None = None) -> int:
        """The number of addresses of a family, 4 or 6; with None, of all."""
        return self._of_family(family).count

    def acquire(self, user: int, family: int | None = None) -> Lease:
        """Lease an address to a user: the one at ``user`` modulo the number of addresses, so always the same.

        ``family`` is that of the destination, 4 or 6, and then only the pool's addresses of this family count;
        with None they all do. Addresses are shared when there are more users than addresses.
        Raises ``PoolError`` if the pool has no address of the family.
        """
        count = self.count(family)
        if not count:
            raise PoolError(self._shortage(user, family))
        return self.acquire_at(user % count, user, family)

    def acquire_at(self, index: int, user: int, family: int | None = None) -> Lease:
        """Lease the address at an index of those of the family to a user, whoever else has it.

        Raises ``PoolError`` if there is no such index.
        """
        candidates = self._of_family(family)
        if not 0 <= index < candidates.count:
            raise PoolError(self._shortage(user, family) if not candidates.count else f"ip pool has no address {index}")
        run, number = candidates.find(index)
        lease = Lease(address_text(number, run.version), user, run.version, run.freebind)
        with self._lock:
            self._held[id(lease)] = lease
            self._usage.setdefault(lease.address, Usage()).add(user)
        return lease

    def release(self, lease: Lease) -> None:
        """Give back a lease, the very object that ``acquire`` returned.

        Raises ``PoolError`` for one that was given back before, or is of another pool.
        """
        with self._lock:
            if self._held.pop(id(lease), None) is None:
                raise PoolError(
                    f"ip pool: the lease of {lease.address} to user {lease.user} is not held here; "
                    "release a lease once, and to the pool that granted it"
                )
            self._usage[lease.address].active -= 1

    def stats(self) -> dict[str, LeaseStats]:
        """The use of every address that was ever leased, as of now, in the order of the first lease."""
        with self._lock:
            return {address: usage.stats() for address, usage in self._usage.items()}

    def _set_addresses(self, addresses: AddressSequence) -> None:
        self._addresses = addresses
        self._by_family = {None: addresses, 4: addresses.of_family(4), 6: addresses.of_family(6)}

    def _part(self, addresses: AddressSequence) -> IpPool:
        """A pool of some of the addresses."""
        part = IpPool()
        part._set_addresses(addresses)
        return part

    def _of_family(self, family: int | None) -> AddressSequence:
        if family not in self._by_family:
            raise PoolError(f"ip pool: the family of a lease is 4, 6 or None, not {family!r}")
        return self._by_family[family]

    def _shortage(self, user: int, family: int | None) -> str:
        if not self:
            return f"ip pool is empty: no address for user {user}"
        other = 4 if family == 6 else 6
        return (
            f"ip pool has no IPv{family} address for user {user}, only IPv{other} ({self!r}); "
            f"add an IPv{family} address, or use a target that has an IPv{other} address"
        )

    def _complaint(self, faults: Sequence[probe.Unusable]) -> str:
        """The faults of the pool in one sentence for each reason, and what to do."""
        count = format_count(self._addresses.count)
        parts = []
        # Sorting is stable: within a reason the pool's order holds.
        for reason, group in groupby(sorted(faults, key=lambda fault: fault.reason), key=lambda fault: fault.reason):
            addresses = [fault.address for fault in group]
            listed = ", ".join(addresses[:_NAMED_IN_ERRORS])
            if len(addresses) > _NAMED_IN_ERRORS:
                listed += f" and {format_count(len(addresses) - _NAMED_IN_ERRORS)} more"
            parts.append(f"{format_count(len(addresses))} of {count} addresses are {reason}: {listed}")
        first = {fault.reason: fault.address for fault in reversed(faults)}
        advice = list(self._advice(first))
        advice.append("or remove them from the pool" if advice else "remove them from the pool")
        return f"ip pool: {'; '.join([*parts, ', '.join(advice)])}"

    def _advice(self, first: Mapping[str, str]) -> Iterator[str]:
        """What to do about each reason, given the first address that has it."""
        if (missing := first.get(probe.NOT_ON_THIS_HOST)) and (command := probe.how_to_add(missing)):
            yield f"add missing ones with '{command}'"
        if unrouted := first.get(probe.NOT_ROUTED):
            item = self._item(unrouted)
            # A range is seldom a network, and a larger network could take addresses that others have.
            yield f"route them to this host with '{probe.how_to_route(item if '/' in item else unrouted)}'"
        if plain := first.get(probe.LOCAL_BY_ROUTE):
            yield f"write '{FREEBIND_PREFIX}{self._item(plain)}'"

    def _item(self, address: str) -> str:
        """The item of the spec that named one of the pool's addresses, without the mark of free-bind addresses."""
        run = self._addresses.run_of(ip_address(address))
        return run.block.text.removeprefix(FREEBIND_PREFIX).strip() if run is not None else address
