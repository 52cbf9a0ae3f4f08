"""Who leases which address in one load: the order, exclusive leases, and what to do when no address is free."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pytest_ipload.addresses.orders import ORDERS, Order, Positions
from pytest_ipload.addresses.pool import IpPool, Lease, LeaseStats, Usage
from pytest_ipload.base import real_time
from pytest_ipload.base.errors import PoolError, PoolExhausted, SettingError
from pytest_ipload.base.units import format_count, format_duration

ON_EXHAUSTION = ("share", "wait", "fail", "fallback")


@dataclass(frozen=True)
class LeasePolicy:
    """How the addresses of a pool are leased. Raises ``SettingError`` for a value that is not allowed."""

    order: str = "round-robin"
    """``round-robin``, ``random`` or ``least-used``; see ``LeaseManager.acquire``."""
    exclusive: bool = False
    """Whether an address has at most one lease at a time."""
    on_exhaustion: str = "share"
    """What to do when leases are exclusive and no address is free: ``share`` one all the same, ``wait`` until one is
    released, ``fail``, or lease from the ``fallback`` pool."""
    wait_s: float | None = None
    """The longest wait in seconds; None for no limit."""
    seed: int = 0
    """Seed of the order ``random``."""

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("order", self.order, tuple(ORDERS)),
            ("on_exhaustion", self.on_exhaustion, ON_EXHAUSTION),
        ):
            if value not in allowed:
                raise SettingError(f"lease policy: {name}={value!r} is unknown; allowed: {', '.join(allowed)}")
        if self.wait_s is not None and not 0 <= self.wait_s < math.inf:
            raise SettingError(
                f"lease policy: wait_s={self.wait_s!r} is not a valid time; give 0 or more seconds, or None"
            )


class LeaseManager:
    """The leases of one load, from any thread.

    ::

        leases = LeaseManager(IpPool.parse("127.0.1.0/28"), LeasePolicy("random", exclusive=True, on_exhaustion="wait"))
        lease = leases.acquire(user=3, family=4)
        leases.release(lease)
        leases.close()                       # the load is over: whoever waits for an address gets an error

    The pools count the leases too (``IpPool.stats``), beside those that are acquired from them directly.
    Leases are exclusive within one manager.
    """

    def __init__(
        self,
        pool: IpPool,
        policy: LeasePolicy = LeasePolicy(),  # shared by all calls, as it is frozen
        fallback: IpPool | None = None,
        *,
        turn_of: Callable[[int], int] = int,
        clock: Callable[[], float] = real_time.monotonic,
    ) -> None:
        """``clock`` returns seconds; it decides when a wait is over.

        ``turn_of`` gives a user's position among the users of this pool, if they are not all users: with users 0, 2,
        4 ... only, every other address would never be leased.

        Raises ``SettingError`` if there is a fallback pool without the policy ``fallback`` or the other way round,
        and ``PoolError`` if it is empty or shares an address with the pool.
        """
        if (fallback is not None) != (policy.on_exhaustion == "fallback"):
            raise SettingError("lease policy: on_exhaustion='fallback' and a fallback pool must be given together")
        if fallback is not None and not fallback:
            raise PoolError("ip pool: the fallback pool is empty")
        if fallback is not None and (common := pool.first_common(fallback)) is not None:
            raise PoolError(f"ip pool: {common} is also in the fallback pool; remove it from one of the two")
        self.policy = policy
        self._pool = pool
        self._fallback = fallback
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        self._desks = {family: _Desk(pool, family, policy, turn_of, "pool") for family in pool.families}
        spare = fallback or IpPool()
        self._spare = {family: _Desk(spare, family, policy, turn_of, "fallback pool") for family in spare.families}
        self._waiting: dict[int, deque[_Waiter]] = {family: deque() for family in pool.families}
        self._held: dict[int, tuple[Lease, _Desk, int]] = {}  # by identity: equal leases may be held at once
        self._used: dict[str, Usage] = {}

    @property
    def addresses_total(self) -> int:
        """The number of addresses that leases can come from, the fallback pool's included."""
        return self._pool.size + (self._fallback.size if self._fallback is not None else 0)

    @property
    def used(self) -> dict[str, LeaseStats]:
        """The use of every address in this load as of now, in the order of the first lease."""
        with self._lock:
            return {address: usage.stats() for address, usage in self._used.items()}

    def acquire(
        self, user: int, family: int, *, rotation: bool = False, block: bool = True, only_free: bool = False
    ) -> Lease | None:
        """Lease an address of a family, 4 or 6, to a user.

        Without ``rotation`` a user gets the same address each time, with it each time the next one of the order:

        - ``round-robin``: the address at the user's turn modulo their number; in rotation the next one of a turn that
          all users share.
        - ``random``: the same for the same seed and user in every run; in rotation the next one of the user's stream.
        - ``least-used``, with or without rotation: the address with the fewest leases held in this manager, then the
          fewest ever, then the first.

        If leases are exclusive and that one is taken, it is the next free one upwards (``round-robin``) or a random
        free one (``random``). If none is free the policy decides. Waiting users are served in the order in which
        they came; a waiting user should hold no lease of this manager, as all could wait for each other. With
        ``block=False`` the call does not wait: None means that no address is free for this user. With ``only_free`` it
        does so whatever the policy is, for a user who can try again later.

        Raises ``PoolExhausted`` if no address is free and the policy has no other way, or the wait was too long;
        ``PoolError`` if the pool has no address of the family, or when the manager is closed.
        """
        if family not in (4, 6):
            raise PoolError(f"ip pool: the family of a lease is 4 or 6, not {family!r}")
        with self._lock:
            self._refuse_if_closed(user)
            desk = self._desks.get(family)
            if desk is None:
                return self._pool.acquire(user, family)  # raises what is wrong: the pool knows best
            # While a user waits nothing is free: a released address is handed over at once.
            if not self.policy.exclusive or desk.positions.free:
                return self._grant(desk, user, rotation)
            if only_free:
                return None
            return self._when_exhausted(desk, user, rotation, block)

    def release(self, lease: Lease) -> None:
        """Give back a lease, the very object that ``acquire`` returned, also after ``close``.

        Raises ``PoolError`` for one that was released before, or that another manager granted.
        """
        with self._lock:
            self._take_back(lease)

    def close(self) -> None:
        """End the leasing: waiting and later callers get a ``PoolError``. Held leases can still be released."""
        with self._lock:
            self._closed = True
            for waiter in (waiter for line in self._waiting.values() for waiter in line):
                waiter.served.notify()

    def reopen(self) -> None:
        """Go on after ``close``: another round of the load begins."""
        with self._lock:
            self._closed = False

    def _grant(self, desk: _Desk, user: int, rotation: bool, *, shared: bool = False) -> Lease:
        lease, position = desk.take(user, rotation, exclusive=self.policy.exclusive and not shared)
        self._held[id(lease)] = lease, desk, position
        self._used.setdefault(lease.address, Usage()).add(user)
        return lease

    def _when_exhausted(self, desk: _Desk, user: int, rotation: bool, block: bool) -> Lease | None:
        way = self.policy.on_exhaustion
        if way == "share":
            return self._grant(desk, user, rotation, shared=True)
        if way == "wait":
            return self._wait(desk, user, rotation) if block else None
        if way == "fallback":
            spare = self._spare.get(desk.family)
            if spare is not None and spare.positions.free:
                return self._grant(spare, user, rotation)
            state = f"and {spare}" if spare is not None else f"and the fallback pool has no IPv{desk.family} address"
            raise _exhausted(user, f"{desk}, {state}", "add addresses to one of them or use fewer users")
        raise _exhausted(
            user, str(desk), "add addresses, use fewer users, or set on_exhaustion to 'share', 'wait' or 'fallback'"
        )

    def _wait(self, desk: _Desk, user: int, rotation: bool) -> Lease:
        """Wait, with the lock released meanwhile, for the turn of this user and a free address."""
        waiter = _Waiter(user, rotation, threading.Condition(self._lock))
        line = self._waiting[desk.family]
        started = self._clock()
        line.append(waiter)
        try:
            while waiter.lease is None:
                self._refuse_if_closed(user)
                limit = self.policy.wait_s
                waited = self._clock() - started
                if limit is not None and waited >= limit:
                    raise _exhausted(
                        user,
                        f"{desk}, even after waiting {format_duration(waited)}",
                        "add addresses, use fewer users, or allow a longer wait",
                    )
                waiter.served.wait(None if limit is None else min(limit - waited, threading.TIMEOUT_MAX))
        except BaseException:
            if waiter.lease is None:
                line.remove(waiter)
            else:  # interrupted after the address was handed over
                self._take_back(waiter.lease)
            raise
        return waiter.lease

    def _take_back(self, lease: Lease) -> None:
        held = self._held.pop(id(lease), None)
        if held is None:
            raise PoolError(
                f"ip pool: the lease of {lease.address} to user {lease.user} is not held here; "
                "release a lease once, and to the lease manager that granted it"
            )
        _, desk, position = held
        desk.give_back(lease, position)
        self._used[lease.address].active -= 1
        self._serve(desk)

    def _serve(self, desk: _Desk) -> None:
        """Hand free addresses over to the users that have waited longest."""
        line = self._waiting[desk.family]
        while line and desk.positions.free and not self._closed:
            waiter = line.popleft()
            waiter.lease = self._grant(desk, waiter.user, waiter.rotation)
            waiter.served.notify()

    def _refuse_if_closed(self, user: int) -> None:
        if self._closed:
            raise PoolError(f"ip pool: no address for user {user}: the load has ended")


class _Desk:
    """Where the addresses of one family of one pool are leased."""

    def __init__(
        self, pool: IpPool, family: int, policy: LeasePolicy, turn_of: Callable[[int], int], name: str
    ) -> None:
        self.family = family
        self.positions = Positions(pool.count(family))
        self._pool = pool
        self._name = name
        self._order: Order = ORDERS[policy.order](self.positions, policy.seed, turn_of)

    def __str__(self) -> str:
        """That all addresses are leased."""
        count = self.positions.count
        if count == 1:
            return f"the only IPv{self.family} address of the {self._name} is leased"
        return f"all {format_count(count)} IPv{self.family} addresses of the {self._name} are leased"

    def take(self, user: int, rotation: bool, *, exclusive: bool) -> tuple[Lease, int]:
        """A lease and the position of its address."""
        position = self._order.choose(user, rotation, exclusive)
        self.positions.take(position)
        return self._pool.acquire_at(position, user, self.family), position

    def give_back(self, lease: Lease, position: int) -> None:
        self._pool.release(lease)
        self.positions.give_back(position)
        self._order.returned(position)


@dataclass(eq=False)
class _Waiter:
    """A user waiting for an address."""

    user: int
    rotation: bool
    served: threading.Condition
    lease: Lease | None = None


def _exhausted(user: int, state: str, advice: str) -> PoolExhausted:
    return PoolExhausted(f"ip pool: no address for user {user}: {state}; {advice}")
