"""Stacks of Flask's development server, sampled with py-spy: of each interval whether it was slow, and its samples.

Recorded by ``benchmarks/explain.py`` on a machine that was busy with other work.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class Recorded(NamedTuple):
    """One load. Each row: whether the interval was slow (1) or not (0), and the samples of each function."""

    functions: list[str]
    rows: list[list[int]]

    def observations(self) -> list[tuple[bool, Counter[str]]]:
        """As they are compared."""
        return [(bool(slow), Counter(dict(zip(self.functions, counts, strict=True)))) for slow, *counts in self.rows]


SLOW_IN_6_OF_12 = Recorded(
    ["load_cart", "count_price", "socketserver", "compute", "selectors", "others"],
    [
        [1, 36, 39, 17, 18, 1, 3],
        [0, 81, 3, 10, 1, 0, 0],
        [0, 88, 0, 15, 3, 1, 1],
        [0, 79, 0, 10, 1, 0, 1],
        [1, 50, 59, 18, 6, 0, 3],
        [1, 24, 45, 24, 9, 0, 0],
        [1, 45, 32, 30, 10, 3, 1],
        [0, 79, 19, 5, 1, 0, 0],
        [0, 86, 0, 12, 5, 0, 0],
        [0, 87, 0, 4, 3, 0, 0],
        [1, 29, 49, 22, 8, 0, 1],
        [1, 26, 49, 24, 10, 2, 1],
    ],
)
"""``count_price`` computes in the slow seconds; ``load_cart``, which sleeps, loses half of its share."""

SLOW_IN_8_OF_12 = Recorded(
    ["load_cart", "count_price", "socketserver", "compute", "selectors", "others"],
    [
        [1, 38, 43, 30, 8, 0, 2],
        [1, 55, 38, 18, 17, 1, 0],
        [1, 82, 20, 7, 4, 0, 0],
        [0, 74, 0, 16, 1, 0, 0],
        [0, 81, 0, 8, 3, 1, 0],
        [1, 53, 32, 24, 8, 1, 0],
        [1, 53, 43, 22, 3, 0, 1],
        [1, 32, 49, 35, 5, 0, 0],
        [1, 59, 30, 18, 8, 1, 0],
        [0, 87, 0, 9, 3, 1, 0],
        [0, 81, 0, 11, 5, 1, 0],
        [1, 51, 33, 25, 2, 1, 0],
    ],
)
"""The same, with four seconds that are slow in part."""

LOCK = Recorded(
    ["price_of", "load_cart", "socketserver", "compute", "selectors", "others"],
    [
        [1, 39, 5, 0, 0, 0, 0],
        [1, 53, 7, 0, 0, 0, 0],
        [1, 45, 7, 2, 0, 0, 0],
        [1, 35, 21, 8, 0, 0, 0],
        [0, 0, 32, 3, 2, 2, 0],
        [0, 0, 34, 7, 2, 4, 3],
        [0, 0, 23, 13, 3, 1, 0],
        [0, 0, 42, 5, 2, 0, 1],
        [0, 0, 29, 5, 0, 0, 1],
        [1, 50, 52, 6, 0, 0, 3],
        [1, 87, 14, 0, 0, 0, 0],
        [1, 92, 17, 0, 0, 0, 0],
        [1, 77, 13, 0, 1, 0, 1],
        [1, 40, 5, 0, 0, 0, 0],
        [1, 60, 8, 0, 0, 0, 0],
        [1, 48, 23, 6, 1, 0, 1],
        [0, 0, 40, 7, 3, 2, 0],
        [0, 0, 29, 10, 3, 3, 0],
        [0, 0, 26, 12, 2, 0, 1],
        [0, 0, 50, 9, 4, 2, 1],
        [0, 0, 16, 5, 0, 2, 1],
        [1, 29, 21, 3, 0, 1, 0],
        [1, 68, 10, 0, 0, 0, 0],
        [1, 25, 1, 0, 0, 0, 0],
        [1, 8, 0, 1, 0, 0, 0],
    ],
)
"""``price_of`` waits for a lock in the slow half-seconds."""

UNCHANGED = Recorded(
    ["load_cart", "socketserver", "compute", "selectors", "werkzeug", "others"],
    [
        [1, 11, 6, 0, 1, 0, 0],
        [1, 34, 3, 0, 0, 0, 0],
        [0, 34, 7, 0, 0, 0, 1],
        [0, 56, 5, 2, 2, 0, 2],
        [1, 52, 9, 0, 0, 1, 1],
        [1, 40, 8, 1, 0, 0, 2],
        [0, 69, 10, 3, 0, 0, 0],
        [0, 28, 4, 3, 1, 0, 0],
        [0, 35, 4, 4, 2, 0, 1],
        [1, 46, 11, 4, 3, 0, 0],
        [0, 38, 5, 3, 1, 1, 1],
        [0, 37, 7, 1, 0, 0, 0],
        [1, 49, 5, 0, 2, 0, 0],
        [1, 18, 11, 2, 0, 0, 0],
        [1, 41, 8, 1, 1, 0, 3],
        [0, 24, 6, 3, 0, 0, 0],
        [0, 35, 11, 4, 1, 0, 1],
        [1, 48, 15, 3, 2, 2, 2],
        [1, 56, 18, 3, 0, 1, 0],
        [1, 50, 13, 1, 6, 1, 3],
    ],
)
"""Nothing is slow but the machine; the limit is among the usual times."""

UNCHANGED_BUT_SLOWER = Recorded(
    ["load_cart", "socketserver", "compute", "selectors", "threading", "others"],
    [
        [0, 31, 6, 1, 0, 0, 0],
        [0, 52, 2, 1, 0, 0, 0],
        [0, 39, 2, 0, 0, 0, 0],
        [0, 54, 12, 1, 0, 0, 0],
        [0, 41, 4, 1, 0, 1, 0],
        [0, 48, 2, 3, 0, 0, 0],
        [0, 64, 3, 2, 0, 0, 0],
        [0, 34, 2, 0, 0, 0, 0],
        [0, 61, 1, 3, 0, 0, 1],
        [0, 98, 6, 2, 1, 0, 0],
        [0, 55, 1, 0, 0, 0, 0],
        [0, 54, 3, 2, 0, 0, 0],
        [0, 64, 8, 0, 0, 0, 3],
        [0, 35, 1, 1, 0, 0, 0],
        [1, 74, 8, 5, 1, 0, 1],
        [1, 38, 5, 1, 2, 1, 0],
        [1, 65, 5, 0, 0, 0, 2],
        [1, 26, 7, 0, 1, 0, 0],
        [1, 53, 7, 2, 0, 0, 1],
        [1, 43, 6, 3, 0, 1, 0],
    ],
)
"""Nothing is slow, and the machine was busier at the end."""

ONE_SLOW_FOR_ANOTHER_REASON = Recorded(
    ["load_cart", "count_price", "socketserver", "compute", "selectors", "others"],
    [
        [1, 19, 0, 3, 0, 0, 0],
        [0, 42, 0, 2, 1, 5, 0],
        [0, 32, 0, 10, 3, 0, 0],
        [0, 44, 0, 14, 0, 4, 2],
        [0, 39, 0, 14, 3, 7, 1],
        [0, 23, 0, 0, 3, 0, 0],
        [1, 27, 66, 23, 9, 2, 0],
        [1, 17, 16, 9, 7, 0, 1],
        [1, 17, 14, 9, 2, 0, 0],
        [1, 14, 27, 9, 6, 0, 0],
        [1, 7, 14, 0, 4, 0, 0],
        [1, 15, 29, 13, 7, 0, 0],
        [0, 26, 2, 14, 3, 0, 1],
        [0, 17, 0, 5, 0, 0, 0],
        [0, 16, 0, 7, 2, 0, 1],
        [0, 35, 0, 14, 2, 1, 3],
        [0, 29, 0, 6, 2, 0, 1],
        [0, 4, 0, 3, 0, 0, 0],
    ],
)
"""``count_price`` computes in seven half-seconds, and another one was slow as the machine was busy."""
