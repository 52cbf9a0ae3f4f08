"""Keeps the slowest and the first failed requests of each name, while the load runs.

All users of a process share one keeper. An ordinary request takes no lock: it costs one comparison with the latency
that it has to exceed, or had to exceed when its user asked last. That one is never too high, as the latencies of a
name's heap only grow. Whoever changes a heap or a list holds the lock.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import NamedTuple, Protocol

from pytest_ipload.stats.evidence.evidence import FAILED_REQUEST, SLOW, Evidence, Exchange
from pytest_ipload.stats.sample import FAILED, OK, REQUEST, SETUP, Sample, timed_sample

MOST_KEPT = 6000
"""Requests that are kept at the most, of all names together."""
MOST_CHARACTERS = 4_000_000
"""The size of all evidence on one load test."""
_NOT_KEPT = 1 << 62

MakeExchange = Callable[[], Exchange]
Rank = tuple[int, int]


class Whose(Protocol):
    """The user that a request belongs to."""

    index: int
    iteration: int

    @property
    def is_iterating(self) -> bool:
        """Whether an iteration is running."""


class Kept(NamedTuple):
    """A request that is kept."""

    sample: Sample
    user: int
    iteration: int | None
    exchange: Exchange | None


class Floors(dict[str, int]):
    """By name, the latency that a request has to exceed to be among the slowest."""

    of_unknown = -1

    def __missing__(self, name: str) -> int:
        return self.of_unknown


class EvidenceKeeper:
    """The slowest ``most`` and the first ``most`` failed requests of each name."""

    def __init__(self, most: int, judged_from_ns: Callable[[], int]) -> None:
        """Requests that started before ``judged_from_ns`` are in the warm-up."""
        self.most = most
        self.floors = Floors()
        self._judged_from_ns = judged_from_ns
        self._most_names = max(1, MOST_KEPT // (2 * most))
        self._slow: dict[str, list[tuple[int, int, Kept]]] = {}
        self._failed: dict[tuple[str, str], list[Kept]] = {}
        self._numbers = count()
        self._lock = threading.Lock()
        self._withdrawn: set[tuple[str, int, int]] = set()

    def begin_again(self) -> None:
        """Another round of the load begins: keep nothing of the one before but what users did in their set-up."""
        self.floors.clear()
        self.floors.of_unknown = Floors.of_unknown
        self._slow.clear()
        for key in [key for key in self._failed if key[0] != SETUP]:
            del self._failed[key]

    def is_judged(self, sample: Sample) -> bool:
        """Whether the request is not one of the warm-up."""
        return sample.started_ns >= self._judged_from_ns()

    def offer_slow(self, sample: Sample, user: Whose, make: MakeExchange | None) -> None:
        """Keep a successful request if it is among the slowest of its name."""
        if sample.latency_ns <= self.floors[sample.name] or not self.is_judged(sample):
            return
        entry = (sample.latency_ns, next(self._numbers), _kept(sample, user, make))
        with self._lock:
            heap = self._slow.get(sample.name)
            if heap is None:
                if len(self._slow) >= self._most_names:
                    self.floors.of_unknown = _NOT_KEPT
                    return
                heap = self._slow[sample.name] = []
            if len(heap) < self.most:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)
            if len(heap) >= self.most:
                self.floors[sample.name] = heap[0][0]

    def offer_failed(self, sample: Sample, user: Whose, make: MakeExchange | None) -> None:
        """Keep a failed request if it is among the first of its name."""
        key = sample.kind, sample.name
        known = self._failed.get(key)
        is_full = len(self._failed) >= self._most_names if known is None else len(known) >= self.most
        if is_full or not (sample.kind == SETUP or self.is_judged(sample)):
            return
        kept = _kept(sample, user, make)
        with self._lock:
            if key not in self._failed and len(self._failed) >= self._most_names:
                return
            known = self._failed.setdefault(key, [])
            if len(known) < self.most:
                known.append(kept)

    def withdraw(self, sample: Sample, user: Whose) -> None:
        """A request that was offered as a success is none."""
        if sample.latency_ns >= self.floors[sample.name]:
            self._withdrawn.add((sample.name, sample.started_ns, user.index))

    def kept(self) -> Iterator[tuple[str, Kept]]:
        """What is kept, with its kind: of each name the failed ones first, then the slowest, the worst first."""
        for failed in list(self._failed.values()):
            yield from ((FAILED_REQUEST, each) for each in failed[: self.most])
        for heap in list(self._slow.values()):
            slowest = (each for *_, each in sorted(heap, key=_by_latency)[: self.most])
            yield from ((SLOW, each) for each in slowest if not self._is_withdrawn(each))

    def _is_withdrawn(self, kept: Kept) -> bool:
        return (kept.sample.name, kept.sample.started_ns, kept.user) in self._withdrawn


def _kept(sample: Sample, user: Whose, make: MakeExchange | None) -> Kept:
    return Kept(sample, user.index, user.iteration if user.is_iterating else None, None if make is None else make())


def _by_latency(entry: tuple[int, int, Kept]) -> Rank:
    return -entry[0], entry[1]


class UserEvidence:
    """One user's way to the keeper. Its ``record`` takes the user's samples on their way to the recorder."""

    def __init__(self, keeper: EvidenceKeeper | None, record: Callable[[Sample], None]) -> None:
        self.floors = Floors() if keeper is None else keeper.floors
        """What a request has to exceed to be worth ``keep``."""
        self.user: Whose
        """To be set before anything is recorded."""
        self.exchange: tuple[int, MakeExchange] | None = None
        """Of the sample that is about to be recorded: its start, and what makes its exchange."""
        self._keeper = keeper
        self._record = record

    def keep(
        self, name: str, started_ns: int, latency_ns: int, status: int, source: str | None, make: MakeExchange
    ) -> None:
        """A success on a kept connection, which is only tallied, may be one of the slowest."""
        kind = REQUEST if self.user.is_iterating else SETUP
        self._offer(timed_sample(kind, name, started_ns, latency_ns, OK, status, source), make)

    def fail(self, sample: Sample, make: MakeExchange) -> None:
        """A sample that was taken as a success has failed after all, and is about to be recorded as such."""
        if self._keeper is not None:
            self._keeper.withdraw(sample, self.user)
        self.exchange = sample.started_ns, make

    def record(self, sample: Sample) -> None:
        """Take a sample, and hand it on."""
        noted, self.exchange = self.exchange, None
        if sample.kind in (REQUEST, SETUP):
            # Two threads of the user may record at once.
            self._offer(sample, None if noted is None or noted[0] != sample.started_ns else noted[1])
        self._record(sample)

    def _offer(self, sample: Sample, make: MakeExchange | None) -> None:
        if self._keeper is None:
            return
        if sample.outcome == FAILED:
            self._keeper.offer_failed(sample, self.user, make)
        elif sample.outcome == OK and sample.kind == REQUEST:
            self._keeper.offer_slow(sample, self.user, make)


def merged(evidence: Iterable[Evidence], most: int) -> list[Evidence]:
    """The evidence of several processes as that of one: ``most`` of each name and kind, within the size of a report."""
    groups: dict[tuple[str, str, bool], list[Evidence]] = {}
    for each in evidence:
        groups.setdefault((each.name, each.kind, each.iteration is None), []).append(each)
    ranked = [
        (rank, number, each)
        for number, group in enumerate(groups.values())
        for rank, each in enumerate(sorted(group, key=_worst_first)[:most])
    ]
    kept, size = [], 0
    for rank, number, each in sorted(ranked, key=lambda entry: (entry[0], entry[2].kind, entry[1])):
        size += each.size
        if size > MOST_CHARACTERS:
            break
        kept.append((number, rank, each))
    return [each for _, _, each in sorted(kept, key=lambda entry: (entry[2].name, entry[2].kind, *entry[:2]))]


def _worst_first(evidence: Evidence) -> float:
    """Of failed ones the first, of others the slowest."""
    return evidence.t_s if evidence.kind == FAILED_REQUEST else -evidence.latency_ms
