"""The source addresses of a load's users: leased before the set-up, for as long as the binding says."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from pytest_ipload.addresses.leasing import LeaseManager
from pytest_ipload.addresses.pool import Lease, LeaseStats
from pytest_ipload.load.user import VirtualUser

USER, ITERATION, REQUEST = "user", "iteration", "request"


class UserLeases:
    """What the users of one load hold; safe to use from all threads."""

    def __init__(self, manager: LeaseManager, families: tuple[int, ...], binding: str) -> None:
        """``binding`` is how long a lease lasts: ``user``, ``iteration`` or ``request``."""
        self._manager = manager
        self._families = families
        self._rotation = binding != USER
        self._binding = binding
        self._lock = threading.Lock()
        self._held: dict[int, list[Lease]] = {}

    def admit(self, user: VirtualUser, *, block: bool, only_free: bool = False) -> bool:
        """Lease an address of each family; False if there is none to be had without waiting. Raises PoolError.

        With ``only_free`` also if there is none without sharing it, or taking it from the fallback pool.
        """
        leases: list[Lease] = []
        for family in self._families:
            lease = self._manager.acquire(user.index, family, rotation=self._rotation, block=block, only_free=only_free)
            if lease is None:
                self._release(leases)
                return False
            leases.append(lease)
        with self._lock:
            self._held[user.index] = leases
        user.bind(tuple(lease.source for lease in leases))
        if self._binding == ITERATION:
            user.before_iteration = self.renew
        return True

    def admit_if_free(self, user: VirtualUser) -> bool:
        """Lease an address of each family, only if one is free of each."""
        return self.admit(user, block=False, only_free=True)

    def renew(self, user: VirtualUser) -> None:
        """Release what the user holds and lease again, for the next iteration or request."""
        self.give_back(user)
        self.admit(user, block=True)

    def give_back(self, user: VirtualUser) -> None:
        """Release what the user holds."""
        with self._lock:
            leases = self._held.pop(user.index, [])
        self._release(leases)

    def close(self) -> None:
        """The load is over: no more leases are given, and waiting users stop waiting."""
        self._manager.close()

    def reopen(self) -> None:
        """Another round of the load begins."""
        self._manager.reopen()

    @property
    def used(self) -> Mapping[str, LeaseStats]:
        """The addresses that were leased in this load."""
        return self._manager.used

    @property
    def addresses_total(self) -> int:
        """How many addresses there are to lease."""
        return self._manager.addresses_total

    def _release(self, leases: list[Lease]) -> None:
        for lease in leases:
            self._manager.release(lease)
