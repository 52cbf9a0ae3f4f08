"""Which of several bodies runs when: a pure function of the bodies' weights."""

from __future__ import annotations

from collections.abc import Sequence
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
