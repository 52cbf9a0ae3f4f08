"""The pool of source addresses, and who holds which one."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import accumulate, groupby
from pathlib import Path
from typing import NamedTuple

from pytest_ipload.addresses import probe
from pytest_ipload.addresses.spec import AddressBlock, address_text, parse_spec
from pytest_ipload.errors import PoolError
from pytest_ipload.units import format_count

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


@dataclass(frozen=True)
class LeaseStats:
    """How much one address was used."""

    active: int
    """Leases that are held now."""
    total: int
    """Leases ever given out."""
    users: int
    """Distinct users that ever held one."""


class IpPool:
    """Source addresses for virtual users: an immutable sequence of addresses, with a book of leases.

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

    The addresses are computed when they are asked for, so the size of a network costs nothing. An empty pool is
    falsy; it means that nobody is bound to an address. Leases may be acquired and released from any thread.
    As with ``range``, ``len()`` raises ``OverflowError`` above ``sys.maxsize``.
    """

    def __init__(self, blocks: Iterable[AddressBlock] = ()) -> None:
        self._set_addresses(_Addresses(_Run(block.version, block.numbers) for block in blocks))
        self._lock = threading.Lock()
        self._held: dict[int, Lease] = {}  # by identity: equal leases may be held at once
        self._usage: dict[str, _Usage] = {}

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
        return isinstance(address, str) and address in self._addresses

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

        The check opens connections of this process to itself; see :func:`pytest_ipload.addresses.probe.unusable`.
        Raises ``PoolError`` with the unusable addresses, grouped by reason, or when the pool has more than
        65 536 addresses.
        """
        count = self._addresses.count
        if count > MAX_VALIDATED:
            raise PoolError(
                f"ip pool: {format_count(count)} addresses are too many to check (at most "
                f"{format_count(MAX_VALIDATED)}); use a smaller pool"
            )
        if faults := probe.unusable(list(self)):
            raise PoolError(_complaint(faults, count))

    def shard(self, index: int, count: int) -> IpPool:
        """The part of process ``index`` when ``count`` processes share the pool: every ``count``-th address.

        The shards are disjoint and together they are the pool. The leases of a shard are counted in its own book.
        Raises ``PoolError`` if there are more processes than addresses.
        """
        if not 0 <= index < count:
            raise PoolError(f"ip pool: there is no shard {index} of {count}; the first is 0, the last {count - 1}")
        if self._addresses.count < count:
            raise PoolError(
                f"ip pool: {self._addresses.count} addresses are too few for {count} shards, as no two of them may "
                "have the same address; add addresses or use fewer shards"
            )
        shard = IpPool()
        shard._set_addresses(self._addresses.every(count, start=index))
        return shard

    def acquire(self, user: int, family: int | None = None) -> Lease:
        """Lease an address to a user: the one at ``user`` modulo the number of addresses, so always the same.

        ``family`` is that of the destination, 4 or 6, and then only the pool's addresses of this family count;
        with None they all do. Addresses are shared when there are more users than addresses.
        Raises ``PoolError`` if the pool has no address of the family.
        """
        if family not in self._by_family:
            raise PoolError(f"ip pool: the family of a lease is 4, 6 or None, not {family!r}")
        candidates = self._by_family[family]
        if not candidates.count:
            raise PoolError(self._shortage(user, family))
        version, number = candidates.find(user % candidates.count)
        lease = Lease(address_text(number, version), user, version)
        with self._lock:
            self._held[id(lease)] = lease
            usage = self._usage.setdefault(lease.address, _Usage())
            usage.active += 1
            usage.total += 1
            usage.users.add(user)
        return lease

    def release(self, lease: Lease) -> None:
        """Give back a lease, the very object that ``acquire`` returned.

        Raises ``PoolError`` for one that was given back before, or is of another pool.
        """
        with self._lock:
            if self._held.pop(id(lease), None) is None:
                raise PoolError(
                    f"ip pool: the lease of {lease.address} to user {lease.user} is not held here; "
                    "release a lease once, and to the pool that gave it"
                )
            self._usage[lease.address].active -= 1

    def stats(self) -> dict[str, LeaseStats]:
        """The use of every address that was ever leased, as of now, in the order of the first lease."""
        with self._lock:
            return {
                address: LeaseStats(usage.active, usage.total, len(usage.users))
                for address, usage in self._usage.items()
            }

    def _set_addresses(self, addresses: _Addresses) -> None:
        self._addresses = addresses
        self._by_family = {None: addresses, 4: addresses.of_family(4), 6: addresses.of_family(6)}

    def _shortage(self, user: int, family: int | None) -> str:
        if not self:
            return f"ip pool is empty: no address for user {user}"
        other = 4 if family == 6 else 6
        return (
            f"ip pool has no IPv{family} address for user {user}, only IPv{other} ({self!r}); "
            f"add an IPv{family} address, or use a target that has an IPv{other} address"
        )


@dataclass
class _Usage:
    active: int = 0
    total: int = 0
    users: set[int] = field(default_factory=set)


class _Run(NamedTuple):
    """Evenly spaced addresses of one family, as numbers; never empty."""

    version: int
    numbers: range

    @property
    def size(self) -> int:
        """As ``len(self.numbers)``, also where that overflows."""
        return (self.numbers[-1] - self.numbers[0]) // self.numbers.step + 1


class _Addresses:
    """A sequence of runs, indexed as one sequence of addresses without making them."""

    def __init__(self, runs: Iterable[_Run]) -> None:
        self._runs = tuple(runs)
        self._ends = tuple(accumulate(run.size for run in self._runs))
        self.count = self._ends[-1] if self._ends else 0

    def find(self, index: int) -> tuple[int, int]:
        """The family and number of the address at an index from 0 to ``count - 1``."""
        position = bisect_right(self._ends, index)
        run = self._runs[position]
        return run.version, run.numbers[index - self._ends[position]]  # counted from the run's end

    def __getitem__(self, index: int) -> str:
        if not -self.count <= index < self.count:
            raise IndexError(f"index {index} is out of range for an ip pool of {self.count} addresses")
        version, number = self.find(index % self.count)
        return address_text(number, version)

    def __iter__(self) -> Iterator[str]:
        return (address_text(number, run.version) for run in self._runs for number in run.numbers)

    def __contains__(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(run.version == address.version and int(address) in run.numbers for run in self._runs)

    def of_family(self, version: int) -> _Addresses:
        """Only the addresses of one family, in the same order."""
        return _Addresses(run for run in self._runs if run.version == version)

    def every(self, step: int, *, start: int) -> _Addresses:
        """As the slice ``[start::step]``."""
        runs = []
        for run, end in zip(self._runs, self._ends, strict=True):
            begin = end - run.size
            numbers = run.numbers[(start - begin) % step :: step]
            if numbers:
                runs.append(_Run(run.version, numbers))
        return _Addresses(runs)


def _complaint(faults: Sequence[probe.Unusable], count: int) -> str:
    """The faults of a pool of ``count`` addresses in one sentence for each reason, and what to do."""
    sentences = []
    # Sorting is stable: within a reason the pool's order holds.
    for reason, group in groupby(sorted(faults, key=lambda fault: fault.reason), key=lambda fault: fault.reason):
        addresses = [fault.address for fault in group]
        listed = ", ".join(addresses[:_NAMED_IN_ERRORS])
        if len(addresses) > _NAMED_IN_ERRORS:
            listed += f" and {format_count(len(addresses) - _NAMED_IN_ERRORS)} more"
        sentences.append(f"{format_count(len(addresses))} of {format_count(count)} addresses are {reason}: {listed}")
    missing = next((fault.address for fault in faults if fault.reason == probe.NOT_ON_THIS_HOST), None)
    command = probe.how_to_add(missing) if missing else ""
    advice = (
        f"add missing ones with '{command}', or remove them from the pool" if command else "remove them from the pool"
    )
    return f"ip pool: {'; '.join([*sentences, advice])}"
