"""How true the result of a capacity search is: on simulated targets, whose capacity is known.

The targets are queues: M/M/1, M/D/c with 4 servers, and one that breaks down at its capacity, which differs by 5 % from
round to round. Their requests are recorded, and each round is judged, by the code that real loads are judged by. The
result is Markdown on stdout; progress is on stderr.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from options import count
from table import block, markdown

from pytest_ipload.capacity.capacity_change import CapacityLimit, difference, judge_versions
from pytest_ipload.capacity.capacity_result import CapacityResult
from pytest_ipload.capacity.round_judge import is_within, state_of
from pytest_ipload.capacity.search import CapacitySearch
from pytest_ipload.capacity.search_plan import CapacityPlan
from pytest_ipload.capacity.search_round import RoundOutcome, RoundRequest
from pytest_ipload.stats.confidence import nearest_rank
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Chunk, Key
from pytest_ipload.stats.sample import FAILED, ITERATION, OK, REQUEST
from pytest_ipload.verdict.threshold.evaluate import evaluate
from pytest_ipload.verdict.threshold.measure import Scope
from pytest_ipload.verdict.threshold.selection import selections

NOISE = 0.05
"""The standard deviation of the logarithm of the capacity, from round to round."""
SERVERS = 4
LOWEST, HIGHEST = 60.0, 240.0
"""Between which capacities targets are drawn, per second."""
BELOW, UP_TO = (4.0, 16.0), 40.0
"""How far below its capacity a search starts, and how far above its start it ends."""
_NS = 1_000_000_000
_LONG_RUN = 400_000
_QUICK_S = 0.02
_BROKEN = 0.3
"""The share of requests that a broken target fails."""

Reply = tuple[float, float, bool]
"""When a request was sent, how many seconds it took, and whether it failed."""


def poisson(rng: random.Random, rate: float, seconds: float) -> Iterator[float]:
    """The times of arrivals."""
    now = rng.expovariate(rate)
    while now < seconds:
        yield now
        now += rng.expovariate(rate)


def one_server(rng: random.Random, rate: float, seconds: float, served: float) -> Iterator[Reply]:
    """M/M/1: exponential service times."""
    free = 0.0
    for now in poisson(rng, rate, seconds):
        free = max(free, now) + rng.expovariate(served)
        yield now, free - now, False


def several_servers(rng: random.Random, rate: float, seconds: float, served: float) -> Iterator[Reply]:
    """M/D/c: with constant service times, servers become free in turn."""
    takes, free = SERVERS / served, [0.0] * SERVERS
    for number, now in enumerate(poisson(rng, rate, seconds)):
        ended = max(free[number % SERVERS], now) + takes
        free[number % SERVERS] = ended
        yield now, ended - now, False


def breaks_down(rng: random.Random, rate: float, seconds: float, served: float) -> Iterator[Reply]:
    """Nothing happens up to a rate; above it, requests fail or take ten times as long."""
    is_broken = rate > served
    for now in poisson(rng, rate, seconds):
        takes = rng.lognormvariate(math.log(_QUICK_S), 0.3)
        fails = is_broken and rng.random() < _BROKEN
        yield now, takes * (10 if is_broken else 1), fails


@dataclass(frozen=True)
class Target:
    """A kind of target."""

    serve: Callable[[random.Random, float, float, float], Iterator[Reply]]
    """Its replies to requests at a rate, for some seconds, when it can serve so many per second."""
    limit: float | None
    """Of the p95, in service times; None: 100 ms."""
    servers: int = 1

    def limit_s(self, served: float) -> float:
        """The limit of the p95 in seconds."""
        return 0.1 if self.limit is None else self.limit * self.servers / served

    @property
    def used(self) -> float:
        """The true capacity, as a share of the requests that it can serve."""
        if self.limit is None:
            return 1.0
        if self.servers == 1:  # response times of M/M/1 are exponential, with the mean 1 / (served - rate)
            return 1 + math.log(0.05) / self.limit
        return used_by_simulation(self)


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "M/M/1": Target(one_server, 20.0),
        "M/D/4": Target(several_servers, 4.0, SERVERS),
        "cliff": Target(breaks_down, None),
    }
)


@lru_cache(maxsize=8)
def used_by_simulation(target: Target) -> float:
    """The same, where no formula is short: by halving, with very long loads of the same random numbers."""
    low, high = 0.5, 1.0
    while high - low > 0.0005:
        middle = (low + high) / 2
        times = sorted(takes for _, takes, _ in target.serve(random.Random(1), middle, _LONG_RUN / middle, 1.0))
        is_within = times[nearest_rank(len(times), 0.95) - 1] < target.limit_s(1.0)
        low, high = (middle, high) if is_within else (low, middle)
    return low


def run_round(
    rng: random.Random, target: Target, served: float, plan: CapacityPlan, request: RoundRequest
) -> RoundOutcome:
    """A round of a target that serves so many requests per second now."""
    settle_ns = round(request.settle_s * _NS)
    measured = Measurements(
        origin_ns=0, judged_from_ns=settle_ns, planned=False, selections=selections(plan.judged, planned=False)
    )
    times: dict[Key, array[int]] = {}
    for sent, takes, has_failed in target.serve(rng, request.level, request.duration_s, served):
        if sent < request.settle_s:
            continue
        start, latency = int(sent * _NS), int(takes * _NS)
        for kind in (REQUEST, ITERATION):
            key = kind, "GET /", None, 503 if has_failed else 200, FAILED if has_failed else OK
            times.setdefault(key, array("q")).extend((start, latency))
    measured.add_chunk(Chunk([], times))
    scope = Scope(request.measured_s, planned_seconds=request.measured_s)
    results = [evaluate(config, measured, scope) for config in plan.judged]
    state, threshold, reason = state_of(results)
    return RoundOutcome(state=state, within=is_within(results), threshold=threshold, reason=reason)


def search(rng: random.Random, target: Target, noise: float) -> tuple[float, CapacityResult]:
    """The true capacity of a drawn target, and what a search finds."""
    capacity = math.exp(rng.uniform(math.log(LOWEST), math.log(HIGHEST)))
    served = capacity / target.used
    start = capacity / math.exp(rng.uniform(*map(math.log, BELOW)))
    plan = CapacityPlan.parse(
        [f"p95 < {target.limit_s(served) * 1000:.6f}ms", "error_rate < 1%"], start=start, up_to=UP_TO * start
    )
    searching = CapacitySearch(plan)
    while (request := searching.next_round()) is not None:
        now_served = served * math.exp(rng.gauss(0, noise))
        searching.record(run_round(rng, target, now_served, plan, request))
    return capacity, searching.result()


@dataclass(frozen=True)
class Found:
    """What came of many searches."""

    held: int
    """The true capacity lies in the interval."""
    errors: Sequence[float]
    widths: Sequence[float]
    """Half of the interval, as a fraction of the rate."""
    rounds: Sequence[int]
    seconds: Sequence[float]
    confirmed: int

    @classmethod
    def of(cls, results: Sequence[tuple[float, CapacityResult]]) -> Found:
        """The figures of searches, with the true capacities."""
        rated = [(truth, each, each.rate) for truth, each in results if each.rate is not None]
        ends = [(truth, each.low or 0.0, math.inf if each.high is None else each.high) for truth, each, _ in rated]
        return cls(
            held=sum(low <= truth <= high for truth, low, high in ends),
            errors=[abs(rate / truth - 1) for truth, _, rate in rated],
            widths=[math.sqrt(high / low) - 1 if low else math.inf for _, low, high in ends],
            rounds=[len(each.rounds) for _, each in results],
            seconds=[sum(one.request.duration_s for one in each.rounds) for _, each in results],
            confirmed=sum(each.confirmed for _, each in results),
        )

    def row(self, name: str) -> tuple[str, ...]:
        """A row of the table."""
        number = len(self.rounds)
        return (
            name,
            f"{self.held / number:.1%}".replace("%", " %"),
            f"{statistics.median(self.errors):.1%} / {_high(self.errors):.1%}".replace("%", " %"),
            f"±{statistics.median(self.widths):.1%}".replace("%", " %"),
            f"{statistics.median(self.rounds):g} / {_high(self.rounds):g}",
            f"{statistics.median(self.seconds) / 60:.1f} / {_high(self.seconds) / 60:.1f} min",
            f"{self.confirmed / number:.0%}".replace("%", " %"),
        )


def _high(values: Sequence[float]) -> float:
    return sorted(values)[nearest_rank(len(values), 0.95) - 1]


HEADERS = ("target", "in the interval", "error: median / p95", "interval", "rounds: median / p95", "time", "confirmed")


PROMISES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
"""As shares of the true capacity."""


def kept(results: Sequence[tuple[float, CapacityResult]], name: str) -> tuple[str, ...]:
    """A row on promises: how often one so far from the capacity passes, and fails."""
    cells = []
    for promise in PROMISES:
        passed = sum(each.confirmed and (each.low or 0.0) >= promise * truth for truth, each in results)
        failed = sum(each.high is not None and each.high < promise * truth for truth, each in results)
        cells.append(f"{passed / len(results):.0%} / {failed / len(results):.0%}".replace("%", " %"))
    return name, *cells


CHANGES = (0.0, 0.05, 0.1, 0.2, 0.3)
"""By how much the capacity of the current version is lower."""
LIMIT = CapacityLimit.parse("capacity:10%")


def scaled(truth: float, result: CapacityResult, capacity: float) -> CapacityResult:
    """The result if the true capacity had been another one: nothing depends on how large it is."""

    def to(level: float | None) -> float | None:
        return None if level is None else level * capacity / truth

    return replace(result, rate=to(result.rate), low=to(result.low), high=to(result.high))


def compared(results: Sequence[tuple[float, CapacityResult]], name: str) -> tuple[str, ...]:
    """A row on two versions: of pairs of searches, as if they were of a base version, and of a current one."""
    cells, held, pairs = [], 0, list(zip(results[::2], results[1::2], strict=False))
    for change in CHANGES:
        judged = [judge_versions(LIMIT, scaled(*one, 100 * (1 - change)), scaled(*other, 100)) for one, other in pairs]
        regressed = sum(each is not None and each.regressed for each in judged)
        undecided = sum(each is not None and each.undecided for each in judged)
        cells.append(f"{regressed / len(pairs):.0%} / {undecided / len(pairs):.0%}".replace("%", " %"))
    for one, other in pairs:
        found = difference(scaled(*one, 100), scaled(*other, 100))
        held += found is not None and found.low <= 0 <= found.high
    return name, f"{held / len(pairs):.0%}".replace("%", " %"), *cells


def run_all(searches: int, seed: int, noise: float) -> dict[str, list[tuple[float, CapacityResult]]]:
    """The searches of each kind of target, with the true capacities."""
    found: dict[str, list[tuple[float, CapacityResult]]] = {}
    for name, target in TARGETS.items():
        rng, results = random.Random(f"{seed} {name} {noise}"), found.setdefault(name, [])
        for number in range(searches):
            results.append(search(rng, target, noise))
            if number % 25 == 24:
                print(f"{name}: {number + 1}", file=sys.stderr)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--searches", type=count, default=300, metavar="N", help="of each target (default: 300)")
    made.add_argument("--seed", type=int, default=1, metavar="N", help="of the simulation (default: 1)")
    made.add_argument(
        "--noise", type=float, default=NOISE, metavar="SD", help="of the capacity between rounds (default: %(default)g)"
    )
    options = made.parse_args(arguments)
    text = (
        f"{options.searches} simulated searches of each kind of target (seed {options.seed}), whose capacity differs "
        f"by {options.noise:.0%} from round to round; `step=10s`, `precision=5%`, started at a quarter to a sixteenth "
        "of the capacity."
    )
    found = run_all(options.searches, options.seed, options.noise)
    first = markdown(HEADERS, [Found.of(results).row(name) for name, results in found.items()])
    promises = "Share of them in which a promise (`at_least`) is passed / failed, by its share of the true capacity."
    promised = markdown(
        ("target", *(f"{promise:.0%}".replace("%", " %") for promise in PROMISES)),
        [kept(results, name) for name, results in found.items()],
    )
    changes = [f"{-change:.0%}".replace("%", " %") if change else "no change" for change in CHANGES]
    headers = ("target", "in the interval of the change", *changes)
    pairs = (
        f"Of {options.searches // 2} pairs of such searches: share in which the true change lies in its interval; and "
        f"share that is a regression / undecided with `--ipload-compare-fail {LIMIT.text}`, by the true change."
    )
    second = markdown(headers, [compared(results, name) for name, results in found.items()])
    print(block("capacity", [text, first, promises, promised, pairs, second]))


if __name__ == "__main__":
    main()
