"""``--ipload-explain``, simulated: how often a slow function is named by its strength, and how often one that is not.

Pure and seeded, so the same on each machine. Stacks of six busy threads, counted by half-seconds: each has a mixture of
17 functions of its own, which drifts (AR(1) with 0.5, a standard deviation of 30 % of each function's share), and
threads stay where they are for three samples. In the slow half-seconds one function, of 1 % as a rule, takes the given
share of the time from all others; those at the edges of an episode are slow in part. Prints Markdown; takes 3 minutes.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections import Counter
from collections.abc import Callable

from options import count
from table import markdown

from pytest_ipload.stats.share_growth import grown_in_time

SLOW = "slow"
USUAL = {"db": 55, "render": 12, "log": 10, "auth": 6, "cache": 5, SLOW: 1, **{f"f{n}": 1 for n in range(11)}}
"""Percent of the time, about."""
STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.4)
_SAMPLES = 75
"""Of six threads in half a second, 25 times a second."""
_ALIKE = 3
_DRIFT, _SPREAD = 0.5, 0.3


def half(generator: random.Random, length: int) -> list[bool]:
    """Slow for three seconds of six."""
    phase = generator.randrange(12)
    return [((number + phase) // 6) % 2 == 1 for number in range(length)]


def once(generator: random.Random, length: int) -> list[bool]:
    """Slow once, for two to four seconds."""
    lasts = generator.randint(4, 8)
    begins = generator.randrange(length - lasts)
    return [begins <= number < begins + lasts for number in range(length)]


def now_and_then(generator: random.Random, length: int) -> list[bool]:
    """Slow in a quarter of the half-seconds, more often after one that was."""
    return [value > 0.67 for value in _drifting(generator, length, 1.0)]


PATTERNS: dict[str, Callable[[random.Random, int], list[bool]]] = {
    "3 s of 6": half,
    "once, 2 to 4 s": once,
    "a quarter of the time": now_and_then,
}


def _drifting(generator: random.Random, length: int, spread: float) -> list[float]:
    value, values = generator.gauss(0, spread), []
    for _ in range(length):
        value = _DRIFT * value + generator.gauss(0, spread * math.sqrt(1 - _DRIFT**2))
        values.append(value)
    return values


def observed(generator: random.Random, slow: list[bool], strength: float) -> list[tuple[bool, Counter[str]]]:
    """Whether each half-second is slow, and its samples."""
    drifts = [_drifting(generator, len(slow), _SPREAD) for _ in USUAL]
    found = []
    for number, is_slow in enumerate(slow):
        is_edge = number > 0 and slow[number - 1] is not is_slow
        share = strength * (generator.uniform(0.5, 1) if is_edge else 1.0) * is_slow
        if is_edge and not is_slow:
            share = strength * generator.uniform(0, 0.5)
        weights = [usual * math.exp(drift[number]) for usual, drift in zip(USUAL.values(), drifts, strict=True)]
        total = sum(weights)
        weights = [weight * (1 - share) for weight in weights]
        weights[list(USUAL).index(SLOW)] += share * total
        samples: Counter[str] = Counter()
        for _ in range(max(2, round(generator.gauss(_SAMPLES, _SAMPLES / 7))) // _ALIKE):
            samples[generator.choices(list(USUAL), weights)[0]] += _ALIKE
        found.append((is_slow, samples))
    return found


def named(pattern: str, length: int, strength: float, seed: int) -> list[str]:
    """The functions that are named in a simulated load."""
    generator = random.Random(f"{pattern} {length} {seed}")
    slow = PATTERNS[pattern](generator, length)
    return [each.part for each in grown_in_time(observed(generator, slow, strength), seed)]


def row(pattern: str, seconds: int, runs: int) -> list[str]:
    """The cells of a pattern: how often another function is named, and the slow one first, by strength."""
    cells = []
    for strength in STRENGTHS:
        found = [named(pattern, 2 * seconds, strength, seed) for seed in range(runs)]
        first = sum(each[:1] == [SLOW] for each in found)
        others = sum(bool(set(each) - {SLOW}) for each in found)
        cells.append(f"{first / runs:.0%}, {others / runs:.0%}" if strength else f"{(first + others) / runs:.0%}")
    return [f"{pattern}, load of {seconds} s", *cells]


def main() -> int:
    """Simulate, and print."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--runs", type=count, default=100, metavar="N", help="of each cell (default: %(default)s)")
    options = made.parse_args()
    heads = ["slow", *(f"+{100 * strength:.0f} points" if strength else "unchanged" for strength in STRENGTHS)]
    cells = [row(pattern, seconds, options.runs) for pattern in PATTERNS for seconds in (10, 30)]
    print("<!-- results: explain-power -->")
    print(markdown(heads, cells))
    print("<!-- end of results: explain-power -->")
    return 0


if __name__ == "__main__":
    sys.exit(main())
