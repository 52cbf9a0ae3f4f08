"""The metrics of a session while it runs: live numbers of running loads, and the results of finished ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from threading import Lock
from typing import Any

from pytest_ipload.base.environment import environment
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.report.files import metrics
from pytest_ipload.stats.live import LiveNumbers

_SAMPLES_BEFORE_A_PAUSE = 20
"""About those of one request name."""
_Told = tuple[metrics.Family, metrics.Sample]


class SessionMetrics:
    """What the session's load tests can tell at any time.

    A load test is exported with its live numbers until its results replace them: the same counters
    and histograms with the same labels, and more. ``show`` and ``end`` only store what they are given; the work is
    done in the thread that calls ``families``.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._finished: dict[tuple[str, str], list[_Told]] = {}
        self._runs: dict[tuple[str, str], int] = {}
        """Of each finished test: how many loads it has run."""
        self._live: dict[str, list[LiveNumbers]] = {}
        """By test: its loads so far."""
        self._running: set[str] = set()
        """The tests whose last load is running."""
        self._build = metrics.metrics_of({"environment": environment(), "tests": []})
        self.changes = 0
        """Grows with each change, so that a reader knows whether there is anything new."""

    def show(self, nodeid: str, numbers: LiveNumbers) -> None:
        """Store the live numbers of a test's load."""
        with self._lock:
            loads = self._live.setdefault(nodeid, [])
            if nodeid in self._running:
                loads.pop()
            loads.append(numbers)
            self._running.add(nodeid)
            self.changes += 1

    def erase(self) -> None:
        """Nothing to do: this does not write to the terminal."""

    def end(self, nodeid: str, numbers: LiveNumbers | None) -> None:
        """A load is over, and no user is active any more."""
        if numbers is not None:
            self.show(nodeid, numbers)
        with self._lock:
            if nodeid in self._running:
                self._live[nodeid][-1] = replace(self._live[nodeid][-1], users=0)
                self._running.discard(nodeid)
                self.changes += 1

    def finish(self, nodeid: str, worker: str, results: Sequence[Mapping[str, Any]]) -> None:
        """The results of a test, or of its rerun on the same worker, which replace the live numbers."""
        with self._lock:
            before = sum(count for test, count in self._runs.items() if test[0] == nodeid and test[1] != worker)
            self._runs[nodeid, worker] = len(results)
            self._live.pop(nodeid, None)
            self._finished[nodeid, worker] = [
                pair
                for number, result in enumerate(results, start=before + 1)
                for pair in metrics.of_test(result, _labels(nodeid, number))
            ]
            self.changes += 1

    def conclude(self, results: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> None:
        """The session is over: by test and worker, all results that its reports have, in their order."""
        with self._lock:
            self._finished.clear()
            self._runs.clear()
        for (nodeid, worker), found in results.items():
            self.finish(nodeid, worker, found)

    def families(self, pause: Callable[[], object] | None = None) -> list[metrics.Metric]:
        """All there is to tell now. ``pause`` is called now and then: with many names, this takes a while."""
        with self._lock:
            finished = list(chain.from_iterable(self._finished.values()))
            live = [
                (_labels(nodeid, number), numbers)
                for nodeid, loads in self._live.items()
                for number, numbers in enumerate(loads, start=self._runs_of(nodeid) + 1)
            ]
        found: dict[metrics.Family, list[metrics.Sample]] = {}
        told = chain(finished, chain.from_iterable(_of_live(*each) for each in live))
        for number, (family, sample) in enumerate(told):
            found.setdefault(family, []).append(sample)
            if pause is not None and number % _SAMPLES_BEFORE_A_PAUSE == 0:
                pause()
        return [*self._build, *(metrics.Metric(family, samples) for family, samples in found.items())]

    def _runs_of(self, nodeid: str) -> int:
        return sum(count for test, count in self._runs.items() if test[0] == nodeid)


def _labels(nodeid: str, run: int) -> dict[str, str]:
    return {"test": nodeid, "run": str(run)}


def _of_live(labels: metrics.Labels, numbers: LiveNumbers) -> Iterator[_Told]:
    yield metrics.USERS_AT_WORK, metrics.USERS_AT_WORK.sample(labels, numbers.users)
    yield metrics.ITERATIONS, metrics.ITERATIONS.sample(labels, numbers.iterations)
    yield metrics.FAILED_ITERATIONS, metrics.FAILED_ITERATIONS.sample(labels, numbers.failed_iterations)
    for name, row in numbers.by_name.items():
        of_name = {**labels, "name": name}
        yield metrics.REQUESTS, metrics.REQUESTS.sample(of_name, row.latency.count + row.failed_requests)
        yield metrics.FAILED_REQUESTS, metrics.FAILED_REQUESTS.sample(of_name, row.failed_requests)
        total_s = row.latency.total_ns / NS_PER_S
        for sample in metrics.histogram_samples(metrics.LATENCY, of_name, row.latency, total_s):
            yield metrics.LATENCY, sample
