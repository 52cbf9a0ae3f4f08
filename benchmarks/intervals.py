"""How often the intervals of thresholds hold the truth, and abort_on_fail is wrong: on simulated loads.

A load has 20 000 requests in 60 s that take 20 ms on average, lognormally distributed (30 % per request). On top of
that comes noise that requests of one time have in common, or errors in bursts. The truth is known, so it can be counted
how often it lies within the 95 % interval of one load. The result is Markdown on stdout; progress is on stderr.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import statistics
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType

from options import count
from table import ABSENT, block, markdown

from pytest_ipload.stats.confidence import quantile_ranks, share_interval
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Chunk, Key
from pytest_ipload.stats.sample import FAILED, ITERATION, OK, REQUEST
from pytest_ipload.verdict.threshold.abort import AbortWatch
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult, evaluate
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.measure import Scope
from pytest_ipload.verdict.threshold.remaining_load import Plan
from pytest_ipload.verdict.threshold.selection import selections

SECONDS, REQUESTS, LEVEL_MS, SPREAD = 60, 20_000, 20.0, 0.3
QUANTILES = (0.5, 0.95, 0.99)
ERRORS = 0.01
CONFIDENCE = 0.95
_NS = 1_000_000_000
_ABORT_RATE = 100
"""Requests per second of the loads that may be aborted."""
MARGINS = (-0.2, 0.0, 0.05)
"""By how much of the true p95 the limit is above it."""


@dataclass(frozen=True)
class Noise:
    """What the logarithms of latencies have in common within blocks of requests."""

    block: int = 1
    spread: float = 0.0
    """Of normally distributed levels."""
    memory: float = 0.0
    """How much of its level a block takes over from the one before: AR(1)."""
    bursts: float = 0.0
    """The share of blocks that are slower, in place of normally distributed levels."""
    burst: float = 1.0
    """By how much, as a logarithm."""

    def levels(self, rng: random.Random, requests: int) -> Iterator[float]:
        """That of each request."""
        level = rng.gauss(0, self.spread)
        for _ in range(-(-requests // self.block)):
            if self.bursts:
                level = self.burst if rng.random() < self.bursts else 0.0
            yield from itertools.repeat(level, self.block)
            level = self.memory * level + rng.gauss(0, self.spread * math.sqrt(1 - self.memory**2))

    def latencies_ns(self, rng: random.Random, requests: int) -> list[int]:
        """Of all requests of a load, in their order."""
        levels = itertools.islice(self.levels(rng, requests), requests)
        return [round(LEVEL_MS * 1e6 * math.exp(level + rng.gauss(0, SPREAD))) for level in levels]

    def true_ms(self, q: float) -> float:
        """The quantile ``q`` of all requests that there could be."""
        if not self.bursts:
            return LEVEL_MS * math.exp(NormalDist(0, math.hypot(SPREAD, self.spread)).inv_cdf(q))
        usual, slow = NormalDist(0, SPREAD), NormalDist(self.burst, SPREAD)
        low, high = -5.0, 5.0
        for _ in range(100):
            middle = (low + high) / 2
            share = (1 - self.bursts) * usual.cdf(middle) + self.bursts * slow.cdf(middle)
            low, high = (middle, high) if share < q else (low, middle)
        return LEVEL_MS * math.exp(low)


NOISES: Mapping[str, Noise] = MappingProxyType(
    {
        "none: independent requests": Noise(),
        "blocks of 50 requests, sd 5 %": Noise(50, 0.05),
        "blocks of 50 requests, sd 15 %": Noise(50, 0.15),
        "blocks of 500 requests, sd 5 %": Noise(500, 0.05),
        "blocks of 500 requests, sd 15 %": Noise(500, 0.15),
        "AR(1), 0.9 per 100 requests, sd 10 %": Noise(100, 0.1, 0.9),
        "3 % of blocks of 50 are x 2.7": Noise(50, bursts=0.03),
    }
)
BURSTS = (1, 10, 50)
"""The number of errors that come together."""
ABORT_NOISES: Mapping[str, Noise] = MappingProxyType(
    {
        "none: independent requests": Noise(),
        "blocks of 2 s, sd 10 %": Noise(2 * _ABORT_RATE, 0.1),
        "AR(1), 0.9 per second, sd 10 %": Noise(_ABORT_RATE, 0.1, 0.9),
    }
)


def failures(rng: random.Random, burst: int, requests: int) -> list[bool]:
    """Which requests fail: bursts begin at random, so that a share of ``ERRORS`` fails on average."""
    starts = 1 - (1 - ERRORS) ** (1 / burst)
    left, failed = 0, []
    for number in range(-burst, requests):  # what began before the load goes on in it
        if rng.random() < starts:
            left = burst
        if number >= 0:
            failed.append(left > 0)
        left -= 1
    return failed


def chunk(kind: str, latencies_ns: Sequence[int], failed: Sequence[bool], first: int, rate: float) -> Chunk:
    """Requests or iterations that start evenly spaced, from number ``first`` on."""
    times: dict[Key, array[int]] = {(kind, "GET /", None, 200, outcome): array("q") for outcome in (OK, FAILED)}
    good, bad = times.values()
    for number, (latency_ns, has_failed) in enumerate(zip(latencies_ns, failed, strict=True), first):
        (bad if has_failed else good).extend((round(number / rate * _NS), latency_ns))
    return Chunk([], {key: values for key, values in times.items() if values})


def empty(thresholds: Sequence[ThresholdConfig]) -> Measurements:
    """Measurements that are to be filled."""
    return Measurements(origin_ns=0, judged_from_ns=0, planned=False, selections=selections(thresholds, planned=False))


@dataclass
class Tally:
    """How often something was so."""

    loads: int = 0
    hits: int = 0

    def note(self, hit: bool) -> None:
        """One more load."""
        self.loads += 1
        self.hits += hit

    def __str__(self) -> str:
        return f"{self.hits / self.loads * 100:.0f} %" if self.loads else ABSENT


@dataclass
class Coverage:
    """What came of the intervals of one kind of noise and one metric."""

    independent: Tally
    """The interval of independent requests holds the truth."""
    ours: Tally
    """That of the report does."""
    fails: Tally
    """A threshold at the truth fails, with the confidence."""

    @classmethod
    def none(cls) -> Coverage:
        """Before the first load."""
        return cls(Tally(), Tally(), Tally())

    def note(self, result: ThresholdResult, plain: tuple[float, float], truth: float) -> None:
        """One more load: its result, and the interval of independent requests."""
        low, high = (
            end if end is not None else other for end, other in ((result.ci_low, 0.0), (result.ci_high, math.inf))
        )
        self.independent.note(plain[0] <= truth <= plain[1])
        self.ours.note(low <= truth <= high)
        self.fails.note(not result.passed)


def of_latencies(noise: Noise, loads: int, rng: random.Random) -> list[Coverage]:
    """Of each of ``QUANTILES``."""
    truths = [noise.true_ms(q) for q in QUANTILES]
    thresholds = [
        ThresholdConfig(Threshold.parse(f"p{q * 100:g} < {truth:.6f}ms"), confidence=CONFIDENCE)
        for q, truth in zip(QUANTILES, truths, strict=True)
    ]
    found = [Coverage.none() for _ in QUANTILES]
    for _ in range(loads):
        latencies_ns = noise.latencies_ns(rng, REQUESTS)
        measured = empty(thresholds)
        measured.add_chunk(chunk(REQUEST, latencies_ns, [False] * REQUESTS, 0, REQUESTS / SECONDS))
        latencies_ns.sort()
        for coverage, q, truth, judged in zip(found, QUANTILES, truths, thresholds, strict=True):
            low, high = quantile_ranks(REQUESTS, q, CONFIDENCE)
            plain = latencies_ns[(low or 1) - 1] / 1e6, latencies_ns[(high or REQUESTS) - 1] / 1e6
            coverage.note(evaluate(judged, measured, Scope(SECONDS)), plain, truth)
    return found


def of_errors(burst: int, loads: int, rng: random.Random) -> Coverage:
    """Of the share of failed requests."""
    judged = ThresholdConfig(Threshold.parse(f"request_error_rate < {ERRORS:.0%}"), confidence=CONFIDENCE)
    coverage = Coverage.none()
    for _ in range(loads):
        failed, measured = failures(rng, burst, REQUESTS), empty([judged])
        measured.add_chunk(chunk(REQUEST, [10**7] * REQUESTS, failed, 0, REQUESTS / SECONDS))
        plain = share_interval(sum(failed), REQUESTS, CONFIDENCE)
        coverage.note(evaluate(judged, measured, Scope(SECONDS)), plain, ERRORS)
    return coverage


@dataclass
class Aborts:
    """The outcome of loads that a threshold may abort."""

    failed: Tally
    """The whole load fails."""
    aborted: Tally
    wrongly: Tally
    """It was aborted, and would have passed."""
    seconds: list[int]
    """When those that fail were aborted."""


def of_aborts(noise: Noise, margin: float, plan: Plan, loads: int, rng: random.Random) -> Aborts:
    """A limit that lies by ``margin`` above the true p95, looked at each second."""
    limit = Threshold.parse(f"iteration.p95 < {noise.true_ms(0.95) * (1 + margin):.6f}ms")
    judged, found = ThresholdConfig(limit, abort_on_fail=True), Aborts(Tally(), Tally(), Tally(), [])
    for _ in range(loads):
        latencies_ns = noise.latencies_ns(rng, SECONDS * _ABORT_RATE)
        measured, watch = empty([judged]), AbortWatch([judged], plan)
        for second in range(SECONDS):
            first = second * _ABORT_RATE
            some = latencies_ns[first : first + _ABORT_RATE]
            measured.add_chunk(chunk(ITERATION, some, [False] * len(some), first, _ABORT_RATE))
            if watch.abort is None and second + 1 < SECONDS:
                watch.look(measured, Scope(second + 1, planned_seconds=SECONDS), second + 1)
        passes = evaluate(judged, measured, Scope(SECONDS)).passed
        found.failed.note(not passes)
        found.aborted.note(watch.abort is not None)
        found.wrongly.note(watch.abort is not None and passes)
        if watch.abort is not None and not passes:
            found.seconds.append(round(watch.abort.after_s))
    return found


def coverage_table(loads: int, seed: int) -> str:
    """One row a kind of noise."""
    rows = []
    for name, noise in NOISES.items():
        print(name, file=sys.stderr)
        found = of_latencies(noise, loads, random.Random(f"{seed} {name}"))
        rows.append((name, *(" / ".join(str(getattr(each, what)) for each in found) for what in _COLUMNS)))
    for burst in BURSTS:
        name = f"errors in bursts of {burst}" if burst > 1 else "errors, each by itself"
        print(name, file=sys.stderr)
        error = of_errors(burst, loads, random.Random(f"{seed} {name}"))
        rows.append((name, *(str(getattr(error, what)) for what in _COLUMNS)))
    return markdown(("noise", "independent", "spans", "fails at the truth"), rows)


_COLUMNS = ("independent", "ours", "fails")


def abort_table(loads: int, seed: int) -> str:
    """One row a kind of noise, plan and limit."""
    plans = {"by time": Plan(ends_s=SECONDS), "open model": Plan(iterations=SECONDS * _ABORT_RATE, ends_s=SECONDS)}
    rows = []
    for (name, noise), (kind, plan), margin in itertools.product(ABORT_NOISES.items(), plans.items(), MARGINS):
        print(f"{name}, {kind}, {margin:+.0%}", file=sys.stderr)
        found = of_aborts(noise, margin, plan, loads, random.Random(f"{seed} {name} {margin}"))
        when = f"{statistics.median(found.seconds):.0f} s" if found.seconds else ABSENT
        wrongly = f"{found.wrongly.hits / loads * 100:.1f} %"
        rows.append(
            (name, kind, f"{margin:+.0%}".replace("%", " %"), str(found.failed), str(found.aborted), when, wrongly)
        )
    return markdown(("noise", "load ends", "limit", "fail", "aborted", "after", "wrongly"), rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--loads", type=count, default=300, metavar="N", help="of each kind (default: 300)")
    made.add_argument("--seed", type=int, default=1, metavar="N", help="of the simulation (default: 1)")
    options = made.parse_args(arguments)
    which = f"{options.loads} simulated loads of {SECONDS} s (seed {options.seed})"
    covers = (
        f"Share of {which} whose 95 % interval of p50 / p95 / p99, or of an error rate of 1 %, holds the truth, for "
        "independent requests and by spans of the load; and share in which a threshold at the truth fails with "
        "`confidence=0.95`."
    )
    aborts = (
        f"Share of {which} with a limit so far above the true p95 that fail, that `abort_on_fail` aborts, after "
        "how long (median of those that fail), and that it aborts although they would have passed."
    )
    print(block("intervals", [covers, coverage_table(options.loads, options.seed)]))
    print(block("aborts", [aborts, abort_table(options.loads, options.seed)]))


if __name__ == "__main__":
    main()
