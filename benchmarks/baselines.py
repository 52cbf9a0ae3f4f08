"""How often the rules for baselines raise a false alarm, and what they find: on simulated runs, whose truth is known.

A run's requests take 20 ms on average, lognormally distributed. Without any change the level of a run differs by 5 %
from that of the next (its luck), drifts in the course of the run (AR(1), another 5 %), and one request in a hundred
stalls for 100 ms on average. What is compared is the p95. The result is Markdown on stdout; progress is on stderr.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType

from options import count
from table import block, markdown

from pytest_ipload.stats.confidence import nearest_rank
from pytest_ipload.stats.rank_test import p_larger
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.regression.rules import judge_history, judge_rounds

LIMIT = CompareLimit.parse("p95:10%")
CHANGES = (0.0, 0.1, 0.2, 0.3)
"""What the p95 of the current runs is made higher by."""
MOST_SAVED, MOST_ROUNDS = 20, 8
"""Runs that are drawn for each comparison."""


@dataclass(frozen=True)
class Simulation:
    """How runs are made up. Shares are standard deviations of the logarithm."""

    seconds: int = 20
    requests_per_s: int = 50
    level_ms: float = 20.0
    spread: float = 0.25
    luck: float = 0.05
    drift: float = 0.05
    drift_memory: float = 0.9
    """How much of its drift a second takes over from the one before."""
    stalls: float = 0.01
    stall_ms: float = 100.0

    def run(self, rng: random.Random, change: float) -> list[float]:
        """The latencies of one run, in milliseconds."""
        level = math.log(self.level_ms * (1 + change)) + rng.gauss(0, self.luck)
        drift = rng.gauss(0, self.drift)
        latencies = []
        for _ in range(self.seconds):
            drift = self.drift_memory * drift + rng.gauss(0, self.drift * math.sqrt(1 - self.drift_memory**2))
            for _ in range(self.requests_per_s):
                stall = rng.expovariate(1 / self.stall_ms) if rng.random() < self.stalls else 0.0
                latencies.append(math.exp(rng.gauss(level + drift, self.spread)) + stall)
        return latencies


@dataclass(frozen=True)
class Sides:
    """The runs of one comparison."""

    current: Sequence[Sequence[float]]
    base: Sequence[Sequence[float]]

    def p95(self, current: int, base: int) -> tuple[list[float], list[float]]:
        """That of so many runs of each side."""
        return [p95(run) for run in self.current[:current]], [p95(run) for run in self.base[:base]]


def p95(latencies: Sequence[float]) -> float:
    """By nearest rank."""
    return sorted(latencies)[nearest_rank(len(latencies), 0.95) - 1]


def by_history(saved: int) -> Callable[[Sides], bool]:
    """The rule for one run beside so many saved ones."""

    def judge(sides: Sides) -> bool:
        [current], base = sides.p95(1, saved)
        return judge_history(LIMIT, current, base).regressed

    return judge


def is_beyond_deviations(current: float, saved: Sequence[float]) -> bool:
    """Beyond the limit and three standard deviations, taken from the median absolute deviation: not our rule."""
    middle = median(saved)
    noise = 3 * 1.4826 * median(abs(value - middle) for value in saved)
    return LIMIT.is_beyond(current - middle, LIMIT.tolerance(middle, noise))


def by_deviations(saved: int) -> Callable[[Sides], bool]:
    """What is common, beside so many saved runs: it takes noise for normally distributed."""

    def judge(sides: Sides) -> bool:
        [current], base = sides.p95(1, saved)
        return is_beyond_deviations(current, base)

    return judge


def by_rounds(rounds: int) -> Callable[[Sides], bool]:
    """The rule for so many rounds of each side."""
    return lambda sides: judge_rounds(LIMIT, *sides.p95(rounds, rounds)).regressed


def by_requests(sides: Sides) -> bool:
    """What not to do: a test over the requests of one run a side (Mann-Whitney, normal approximation, p < 0.01)."""
    first, second = sides.current[0][:200], sides.base[0][:200]
    worse = sum((one > other) + (one == other) / 2 for one in first for other in second)
    count, other_count = len(first), len(second)
    middle, spread = count * other_count / 2, math.sqrt(count * other_count * (count + other_count + 1) / 12)
    return (worse - middle) / spread > 2.326


def by_ranks_alone(sides: Sides) -> bool:
    """The exact Mann-Whitney test over five rounds of each side, without a limit."""
    return p_larger(*sides.p95(5, 5)) < 0.05


RULES: Mapping[str, Callable[[Sides], bool]] = MappingProxyType(
    {
        "a test over 200 requests of one run a side (not ours)": by_requests,
        "8 saved runs, limit 10 % and 3 MAD": by_deviations(8),
        "10 saved runs, limit 10 % and 3 MAD": by_deviations(10),
        "20 saved runs, limit 10 % and 3 MAD": by_deviations(20),
        "8 saved runs, limit 10 % and beyond all of them": by_history(8),
        "10 saved runs, limit 10 % and beyond all of them": by_history(10),
        "20 saved runs, limit 10 % and beyond all of them": by_history(20),
        "5 rounds a side, Mann-Whitney alone (not ours)": by_ranks_alone,
        "4 rounds a side, limit 10 % and Mann-Whitney": by_rounds(4),
        "5 rounds a side, limit 10 % and Mann-Whitney": by_rounds(5),
        "8 rounds a side, limit 10 % and Mann-Whitney": by_rounds(8),
    }
)


def comparisons(simulation: Simulation, change: float, number: int, seed: int) -> Iterator[Sides]:
    """So many independent comparisons; the same seed makes the same ones."""
    rng = random.Random(f"{seed} {change}")
    for _ in range(number):
        current = [simulation.run(rng, change) for _ in range(MOST_ROUNDS)]
        yield Sides(current, [simulation.run(rng, 0.0) for _ in range(MOST_SAVED)])


def shares(simulation: Simulation, change: float, number: int, seed: int) -> dict[str, float]:
    """Which share of the comparisons each rule fails."""
    failed = dict.fromkeys(RULES, 0)
    for sides in comparisons(simulation, change, number, seed):
        for name, judge in RULES.items():
            failed[name] += judge(sides)
    return {name: times / number for name, times in failed.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--comparisons", type=count, default=500, metavar="N", help="of each change (default: 500)")
    made.add_argument("--seed", type=int, default=1, metavar="N", help="of the simulation (default: 1)")
    options = made.parse_args(arguments)
    columns = []
    for change in CHANGES:
        print(f"change {change:.0%}", file=sys.stderr)
        columns.append(shares(Simulation(), change, options.comparisons, options.seed))
    headers = ("rule", "no change", *(f"+{change:.0%}".replace("%", " %") for change in CHANGES[1:]))
    rows = [(name, *(f"{column[name] * 100:.1f} %" for column in columns)) for name in RULES]
    how = f"Share of {options.comparisons} simulated comparisons of the p95 that fail (seed {options.seed})."
    print(block("baselines", [how, markdown(headers, rows)]))


if __name__ == "__main__":
    main()
