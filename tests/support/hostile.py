"""JSON that was changed with bad intent, by a seeded random generator."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, 1.5, -0.5, 10**6, 10**9, 10**12, 2**31, 2**53,
    2**63 - 1, 2**63, -(2**63), 10**30, 10**400,
    1e9, 1e12, 1e18, 1e300, 1e308, 5e-324, float("nan"), float("inf"), -float("inf"),
    "", "x", "\ud800", "\x00", "\x1b[31m", "\u2028", "a" * 5000, "../../x", "<b>", "127.0.0.1", "fail", "warn",
    "p95 < 1s", "p95 < 9" + "9" * 300 + "s",
    [], {}, [[]], [1, 2], {"a": 1}, [[1, 2]], {"": 0},
)  # fmt: skip
"""What to put in the place of a value."""

Path = tuple[Any, ...]


def paths_of(value: Any, path: Path = ()) -> Iterator[Path]:
    """The places of all values, those that hold others too."""
    yield path
    if isinstance(value, dict):
        for key, content in value.items():
            yield from paths_of(content, (*path, key))
    elif isinstance(value, list):
        for place, content in enumerate(value):
            yield from paths_of(content, (*path, place))


def mutated(rng: random.Random, value: Any, changes: int) -> Any:
    """A copy with so many places changed, taken away or doubled."""
    root = {"": copy.deepcopy(value)}
    for _ in range(changes):
        path = ("", *rng.choice(list(paths_of(root[""]))))
        holder: Any = root
        for key in path[:-1]:
            holder = holder[key]
        _change(rng, holder, path[-1])
    return root[""]


def _change(rng: random.Random, holder: Any, key: Any) -> None:
    old = holder[key]
    what = rng.random()
    if type(old) in (int, float) and abs(old) < 1e300 and what < 0.3:
        holder[key] = rng.choice([-old, old + 1, old - 1, old * 2, old * 10**6, old * 10**12, float(old)])
    elif what < 0.8:
        holder[key] = rng.choice(HOSTILE)
    elif what < 0.9 and isinstance(old, list):
        holder[key] = old * rng.choice([2, 3, 100])
    elif isinstance(holder, dict) and key != "":
        if what < 0.95:
            del holder[key]
        else:
            holder["more"] = old
