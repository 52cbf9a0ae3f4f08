"""What the rule for saved runs is worth under several kinds of noise, in a session of many tests, and against a creep.

What is drawn is one value a run, as its p95: 20 ms, times what differs from run to run. That is lognormal with a
standard deviation of some percent; and on a machine of two kinds of neighbours, some runs are slower by a quarter
besides. The result is Markdown on stdout; progress is on stderr. What one run is, request by request, is drawn by
``baselines.py``, which compares rules.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from baselines import LIMIT, is_beyond_deviations
from options import count
from table import block, markdown

from pytest_ipload.verdict.regression.rules import ENOUGH_RUNS, RECENT_RUNS, judge_creep, judge_history

LEVEL_MS, SLOWER = 20.0, 1.25
SAVED = (8, 10, 20)
CHANGES = (0.2, 0.3)
TESTS = 20
"""Of a session."""
WINDOW, LONGEST = 20, 200
"""Newest runs that are compared with, and runs of a history; a store keeps the newest hundred in view."""
IN_VIEW = 100


@dataclass(frozen=True)
class Noise:
    """How values of runs differ without any change."""

    deviation: float
    """The standard deviation of the logarithm."""
    slow: float = 0.0
    """The share of runs that are slower by a quarter."""

    def __str__(self) -> str:
        humps = f"; {self.slow:.0%} of runs +25 %".replace("%", " %", 1) if self.slow else ""
        return f"{self.deviation:.0%}".replace("%", " %") + humps

    def draw(self, rng: random.Random, change: float = 0.0, is_slow: bool | None = None) -> float:
        """The value of a run; whether it is a slow one is drawn, if it is not said."""
        slow = rng.random() < self.slow if is_slow is None else is_slow
        return LEVEL_MS * (1 + change) * (SLOWER if slow else 1.0) * math.exp(rng.gauss(0, self.deviation))


KINDS = (Noise(0.02), Noise(0.05), Noise(0.1), *(Noise(sd, slow) for slow in (0.3, 0.1) for sd in (0.02, 0.05)))


def noise_row(noise: Noise, saved: int, number: int, rng: random.Random) -> list[str]:
    """What becomes of so many comparisons: without a change, and with each."""
    failed = dict.fromkeys((0.0, *CHANGES), 0)
    undecided = deviated = 0
    for change in failed:
        for _ in range(number):
            before, current = [noise.draw(rng) for _ in range(saved)], noise.draw(rng, change)
            judged = judge_history(LIMIT, current, before)
            failed[change] += judged.regressed
            if not change:
                undecided += judged.undecided
                deviated += is_beyond_deviations(current, before)
    cells = [failed[0.0], undecided, *(failed[change] for change in CHANGES), deviated]
    return [str(noise), str(saved), *(percent(cell, number) for cell in cells)]


def session_row(noise: Noise, saved: int, together: bool, number: int, rng: random.Random) -> list[str]:
    """The share of sessions of twenty tests with a false alarm, and of those that find one slower test.

    ``together``: all tests of a slow run are slow.
    """
    red, found = 0, dict.fromkeys(CHANGES, 0)
    for _ in range(number):
        slow = [rng.random() < noise.slow if together else None for _ in range(saved + 1)]
        tests = [[noise.draw(rng, is_slow=each) for each in slow] for _ in range(TESTS)]
        red += any(judge_history(LIMIT, now, before, comparisons=TESTS).regressed for now, *before in tests)
        now, *before = tests[0]
        for change in CHANGES:
            found[change] += judge_history(LIMIT, now * (1 + change), before, comparisons=TESTS).regressed
    humps = (", all tests at once" if together else ", each test by itself") if noise.slow else ""
    cells = [red, *(found[change] for change in CHANGES)]
    return [f"{noise}{humps}", str(saved), *(percent(cell, number) for cell in cells)]


def red_runs(noise: Noise, creep: float, rng: random.Random) -> Iterator[int]:
    """The numbers of the runs that fail, of two hundred each of which is slower than the one before.

    Those that pass are saved.
    """
    saved: list[float] = []
    for number in range(LONGEST):
        current = noise.draw(rng, (1 + creep) ** number - 1)
        if saved and is_red(current, saved[:IN_VIEW]):
            yield number
        else:
            saved.insert(0, current)


def is_red(current: float, saved: Sequence[float]) -> bool:
    """Whether a run fails beside saved ones, the newest first: as ``baselines.compare`` does it."""
    if judge_history(LIMIT, current, saved[:WINDOW]).regressed:
        return True
    recent, older = [current, *saved[: RECENT_RUNS - 1]], saved[RECENT_RUNS - 1 :]
    return len(older) >= ENOUGH_RUNS and judge_creep(LIMIT, recent, older[-WINDOW:]) is not None


def creep_row(noise: Noise, creep: float, number: int, rng: random.Random) -> list[str]:
    """When it is found, and how much slower the run is then than the first was."""
    firsts = [next(red_runs(noise, creep, rng), None) for _ in range(number)]
    found = sorted(first for first in firsts if first is not None)
    cells = [percent(len(found), number), "-", "-", "-"]
    if len(found) > 1:
        latest = quantiles(found, n=20)[-1]
        cells[1:] = [f"{median(found):.0f}", *(f"x{(1 + creep) ** run:.2f}" for run in (median(found), latest))]
    return [f"{creep:.1%} a run".replace("%", " %"), str(noise), *cells]


def percent(part: int, whole: int) -> str:
    """A share for a table."""
    return f"{part / whole * 100:.1f} %"


def tables(number: int, seed: int) -> Iterator[str]:
    """All results, as blocks for a page; so many comparisons of each kind, a fifth as many sessions and histories."""
    few = max(2, number // 5)

    def random_for(*what: object) -> random.Random:
        print(*what, file=sys.stderr)
        return random.Random(f"{seed} {what}")

    changes = [f"+{change:.0%}".replace("%", " %") for change in CHANGES]
    headers = ["noise", "saved runs", "no change", "undecided", *changes, "no change, by 3 MAD (not ours)"]
    rows = [noise_row(noise, saved, number, random_for(noise, saved)) for noise in KINDS for saved in SAVED]
    yield block("noise", [f"Share of {number} simulated comparisons that fail (seed {seed}).", markdown(headers, rows)])
    kinds = [(noise, together) for noise in KINDS for together in (False, True) if noise.slow or not together]
    rows = [
        session_row(noise, saved, together, few, random_for("session", noise, saved, together))
        for noise, together in kinds
        if noise.slow in (0.0, 0.1)
        for saved in SAVED[1:]
    ]
    how = f"Share of {few} simulated sessions of {TESTS} tests that fail, or find the test that became slower."
    yield block("sessions", [how, markdown(["noise", "saved runs", "no change", *changes], rows)])
    histories = few // 4 + 2
    creeps = [(creep, noise) for creep in (0.005, 0.01) for noise in KINDS[:2]]
    rows = [creep_row(noise, creep, histories, random_for("creep", noise, creep)) for creep, noise in creeps]
    rng = random_for("steady")
    steady = sum(1 for _ in range(histories) for _ in red_runs(KINDS[1], 0.0, rng))
    how = f"Of {histories} simulated histories. Without a creep, {percent(steady, histories * LONGEST)} of runs fail."
    headers = [
        "creep",
        "noise",
        f"found within {LONGEST} runs",
        "at run (median)",
        "slower by then",
        "in 95 % of cases",
    ]
    yield block("creep", [how, markdown(headers, rows)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--comparisons", type=count, default=2000, metavar="N", help="of each kind (default: 2000)")
    made.add_argument("--seed", type=int, default=1, metavar="N", help="of the simulation (default: 1)")
    options = made.parse_args(arguments)
    print("\n\n".join(tables(options.comparisons, options.seed)))


if __name__ == "__main__":
    main()
