"""Which of several bodies runs when: a pure function of the bodies' weights, of a seed, and of user and iteration."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from math import gcd

MOST_TURNS = 1000
"""In an order: a longer one would hardly come round in a load."""


def mixed_order(weights: Sequence[int]) -> list[int]:
    """The numbers of the bodies in turn, each as often as its weight says, and spread evenly.

    The order is as short as it can be: 4 and 2 make the order of 2 and 1. It is that of nginx's smooth weighted
    round-robin (I. Kulakov, "Upstream: smooth weighted round-robin balancing", 2012): in each turn every body gains
    its weight, the first of those that have most is taken, and loses the sum of all weights.

    Raises ``ValueError`` for weights that are not positive integers, and for an order of more than 1000 iterations.
    """
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 1:
            raise ValueError(f"weight {weight!r} is not a positive integer")
    divisor = gcd(*weights)
    shares = [weight // divisor for weight in weights]
    turns = sum(shares)
    if turns > MOST_TURNS:
        raise ValueError(
            f"the weights {', '.join(map(str, weights))} repeat only after {turns} iterations; "
            f"the maximum is {MOST_TURNS}; use a simpler ratio"
        )
    gained = [0] * len(shares)
    order = []
    for _ in range(turns):
        gained = [sum(pair) for pair in zip(gained, shares, strict=True)]
        taken = max(range(len(shares)), key=gained.__getitem__)
        gained[taken] -= turns
        order.append(taken)
    return order


_REMEMBERED = 1024
"""Orders of a seed, each of one cycle of some users."""


class WeightedOrder:
    """Which body user i runs in iteration j. Each has exactly its share of a user's full cycles, and of the users'.

    Without a seed, every cycle is ``mixed_order``. With one, each cycle is a shuffled one, so that no body always
    follows another; as many users as a cycle has iterations share it, each from its own place on.
    """

    def __init__(self, weights: Sequence[int], seed: int | None = None) -> None:
        """Raises ``ValueError`` as ``mixed_order`` does."""
        self._order = mixed_order(weights)
        self._seed = seed
        self._shuffled = lru_cache(maxsize=_REMEMBERED)(self._shuffle)

    def at(self, user: int, iteration: int) -> int:
        """The number of the body: the same in every run, and in however many processes the load is divided."""
        order, length = self._order, len(self._order)
        if self._seed is not None and length > 1:
            order = self._shuffled(user // length, iteration // length)
        return order[(user + iteration) % length]

    def _shuffle(self, group: int, cycle: int) -> list[int]:
        order, seed = list(self._order), self._seed or 0
        # As a number: to take a text as the seed takes several times as long, and cycles are short.
        sign, most = int(seed < 0), 1 << 32
        random.Random(((abs(seed) * 2 + sign) * most + group) * most + cycle).shuffle(order)
        return order
