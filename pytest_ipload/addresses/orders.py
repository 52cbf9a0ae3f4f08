"""In which order the addresses of a pool are leased. Addresses are positions from 0 to ``count - 1`` here.

Nothing here has a lock or ever looks through all positions: a network may have 2**64 of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from random import Random
from typing import Protocol


class Positions:
    """Which positions are leased and how often each one is."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._leases: dict[int, int] = {}
        self._taken: list[int] = []  # the keys above, sorted

    @property
    def free(self) -> int:
        """How many positions are not leased."""
        return self.count - len(self._taken)

    def is_free(self, position: int) -> bool:
        """Whether the position is free."""
        return position not in self._leases

    def first_free(self, start: int) -> int:
        """The first free position from ``start`` upwards; after the last one comes the first. One must be free."""
        return self.nth_free((start - bisect_left(self._taken, start)) % self.free)

    def nth_free(self, n: int) -> int:
        """The free position that has ``n`` free ones below it; ``n`` is less than ``free``."""
        # Below the i-th taken position (from 0) are i taken ones, and all others are free.
        return n + bisect_right(range(len(self._taken)), n, key=lambda i: self._taken[i] - i)

    def take(self, position: int) -> None:
        """Count one more lease of the position."""
        if position not in self._leases:
            insort(self._taken, position)
        self._leases[position] = self._leases.get(position, 0) + 1

    def give_back(self, position: int) -> None:
        """Count one lease of the position less."""
        self._leases[position] -= 1
        if not self._leases[position]:
            del self._leases[position]
            del self._taken[bisect_left(self._taken, position)]


class Order(Protocol):
    """Chooses positions."""

    def choose(self, user: int, rotation: bool, exclusive: bool) -> int:
        """The position of the user's next lease, which is then taken.

        With ``rotation`` each lease of a user may be another one. With ``exclusive`` it is a free one; then one must
        be free.
        """

    def returned(self, position: int) -> None:
        """Take note that a lease of the position, already given back, has ended."""


class RoundRobin:
    """The position at the user's turn modulo the count; in rotation the next one of a turn that all users share."""

    def __init__(self, positions: Positions, seed: int, turn_of: Callable[[int], int] = int) -> None:
        self._positions = positions
        self._turn_of = turn_of
        self._next = 0

    def choose(self, user: int, rotation: bool, exclusive: bool) -> int:
        """See ``Order``. A taken position is passed over upwards, and the turn goes on from the one that was given."""
        position = (self._next if rotation else self._turn_of(user)) % self._positions.count
        if exclusive:
            position = self._positions.first_free(position)
        if rotation:
            self._next = position + 1
        return position

    def returned(self, position: int) -> None:
        """See ``Order``: the turn does not depend on what was given back."""


class SeededRandom:
    """A random position: always the same one for a user, or in rotation the next one of the user's own stream."""

    def __init__(self, positions: Positions, seed: int, turn_of: Callable[[int], int] = int) -> None:
        self._positions = positions
        self._seed = seed
        self._streams: dict[int, Random] = {}

    def choose(self, user: int, rotation: bool, exclusive: bool) -> int:
        """See ``Order``. Where the position is taken, the same stream chooses among the free ones."""
        stream = self._streams.get(user) if rotation else None
        if stream is None:
            stream = Random(f"{self._seed}/{user}")  # a text is hashed alike in every process
            if rotation:
                self._streams[user] = stream
        position = stream.randrange(self._positions.count)
        if exclusive and not self._positions.is_free(position):
            position = self._positions.nth_free(stream.randrange(self._positions.free))
        return position

    def returned(self, position: int) -> None:
        """See ``Order``: chance does not depend on what was given back."""


class LeastUsed:
    """The position with the fewest leases now, then the fewest ever, then the first.

    As none is leased twice before each was leased once, those that were never leased are the ones from ``_fresh``
    upwards. The others are in a heap. An entry of it is replaced by a new one when its position's numbers change; the
    old one stays until it comes up, or until such entries are the majority.
    """

    def __init__(self, positions: Positions, seed: int, turn_of: Callable[[int], int] = int) -> None:
        self._positions = positions
        self._fresh = 0
        self._use: dict[int, tuple[int, int]] = {}  # leases now and ever
        self._heap: list[tuple[int, int, int]] = []  # the same, and the position

    def choose(self, user: int, rotation: bool, exclusive: bool) -> int:
        """See ``Order``. The order leads to a free position by itself, if there is one."""
        if self._fresh < self._positions.count:
            position = self._fresh
            self._fresh += 1
        else:
            while self._use[self._heap[0][2]] != self._heap[0][:2]:
                heappop(self._heap)
            position = heappop(self._heap)[2]
        active, total = self._use.get(position, (0, 0))
        self._note(position, active + 1, total + 1)
        return position

    def returned(self, position: int) -> None:
        """See ``Order``."""
        active, total = self._use[position]
        self._note(position, active - 1, total)

    def _note(self, position: int, active: int, total: int) -> None:
        self._use[position] = active, total
        heappush(self._heap, (active, total, position))
        if len(self._heap) > 2 * len(self._use) + 64:
            self._heap = [(*use, place) for place, use in self._use.items()]
            heapify(self._heap)


ORDERS: Mapping[str, Callable[..., Order]] = {
    "round-robin": RoundRobin,
    "random": SeededRandom,
    "least-used": LeastUsed,
}
"""Every order by its name in the settings; each is made of the positions, a seed and the turns of users."""
