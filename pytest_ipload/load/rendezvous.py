"""Rendezvous: users wait for each other, and go on all at once."""

from __future__ import annotations

import threading

from pytest_ipload.base.errors import RendezvousEnded, RendezvousTimeout, SettingError
from pytest_ipload.base.units import format_duration
from pytest_ipload.load.partition import WHOLE, Partition
from pytest_ipload.settings.parsing import as_label, as_seconds


class _Waiter:
    """One waiting user."""

    def __init__(self, user: int) -> None:
        self.user = user
        self.is_met = False
        # A bare lock, not a Condition: an exception that another thread raises in this one (an interruption) does not
        # arrive while it waits, and must not arrive in the middle of a Condition's own Python code either.
        self._gate = threading.Lock()
        self._gate.acquire()

    def wait(self, seconds: float) -> None:
        """Wait until woken, at most for ``seconds``."""
        self._gate.acquire(timeout=seconds)

    def wake(self) -> None:
        """End the waiting, if it has not ended yet."""
        if self._gate.locked():
            self._gate.release()


class _Group:
    """The users waiting for their group of ``size`` to be complete."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.waiters: set[_Waiter] = set()


class RendezvousPoints:
    """All rendezvous of one load, by name; safe to use from all threads."""

    def __init__(self, users: int, is_functional: bool = False, share: Partition = WHOLE) -> None:
        """``users`` is the largest number of users of the whole load at once.

        A functional test does not wait: it has one user. The users of one partition meet among themselves, for its
        part of n: waiting for other processes would add a delay.
        """
        self._users = users
        self._share = share
        self._is_functional = is_functional
        self._lock = threading.Lock()
        self._groups: dict[str, _Group] = {}
        self._interrupted: set[int] = set()
        self._is_over = False

    def arrive(self, user: int, name: str, n: int, timeout: float | str) -> None:
        """Wait until ``n`` users are there. ``timeout`` is seconds or a text such as ``5s``.

        Raises RendezvousTimeout; RendezvousEnded when the load is over, or the user is interrupted; SettingError.
        """
        seconds = self._checked(name, n, timeout)
        if self._is_functional:
            return
        waiter = _Waiter(user)
        here = max(1, self._share.size_of(n))
        present = 0
        try:
            self._enter(name, here, waiter)
            waiter.wait(seconds)
        finally:
            present = self._leave(name, waiter)
        if waiter.is_met:
            return
        self._refuse_if_over(name, user)
        raise RendezvousTimeout(
            f"rendezvous {name!r}: {present} of {here} users arrived within {format_duration(seconds)}; wait for fewer "
            "users, give a longer timeout, or make the number of iterations that reach it a multiple of n"
        )

    @property
    def waiting(self) -> int:
        """How many users wait at this moment."""
        with self._lock:
            return sum(len(group.waiters) for group in self._groups.values())

    def interrupt(self, user: int) -> None:
        """The user's waits end, now and later."""
        with self._lock:
            self._interrupted.add(user)
            self._dismiss(user)

    def close(self) -> None:
        """The load is over: all waiting ends. May be called again."""
        with self._lock:
            self._is_over = True
            self._dismiss(None)

    def reopen(self) -> None:
        """Another round of the load begins."""
        with self._lock:
            self._is_over = False
            self._interrupted.clear()

    def _checked(self, name: str, n: int, timeout: float | str) -> float:
        """The timeout in seconds."""
        try:
            as_label(name, "the name of a rendezvous")
        except ValueError as error:
            raise SettingError(str(error)) from None
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise SettingError(
                f"rendezvous {name!r}: n={n!r} is not a valid number of users; give a whole number of 1 or more"
            )
        if n > self._users and not self._is_functional:
            raise SettingError(
                f"rendezvous {name!r} waits for {n} users, but the load never has more than {self._users} at once; "
                f"wait for at most {self._users}, or give the load more users"
            )
        try:
            return as_seconds(timeout)
        except ValueError as error:
            raise SettingError(f"rendezvous {name!r}: timeout: {error}") from None

    def _enter(self, name: str, n: int, waiter: _Waiter) -> None:
        """Join the waiting users; the last one wakes them all, itself included."""
        with self._lock:
            self._refuse_if_over(name, waiter.user)
            group = self._groups.setdefault(name, _Group(n))
            if group.size != n:
                raise SettingError(
                    f"rendezvous {name!r}: user {waiter.user} waits for {n} users, but others wait there for "
                    f"{group.size}; all must give the same n"
                )
            group.waiters.add(waiter)
            if len(group.waiters) >= n:
                for each in group.waiters:
                    each.is_met = True
                    each.wake()
                del self._groups[name]  # later users form the next group of n

    def _leave(self, name: str, waiter: _Waiter) -> int:
        """Stop waiting; returns how many were waiting."""
        with self._lock:
            group = self._groups.get(name)
            if group is None or waiter not in group.waiters:
                return 0
            present = len(group.waiters)
            self._part(name, group, {waiter})
            return present

    def _refuse_if_over(self, name: str, user: int) -> None:
        if self._is_over or user in self._interrupted:
            raise RendezvousEnded(f"rendezvous {name!r}: the load has ended")

    def _dismiss(self, user: int | None) -> None:
        """Send one user, or all, away without having met."""
        for name, group in list(self._groups.items()):
            leaving = {each for each in group.waiters if user is None or each.user == user}
            for waiter in leaving:
                waiter.wake()
            self._part(name, group, leaving)

    def _part(self, name: str, group: _Group, leaving: set[_Waiter]) -> None:
        group.waiters -= leaving
        if not group.waiters:
            del self._groups[name]
