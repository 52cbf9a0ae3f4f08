"""Answers Prometheus' scrapes: the live numbers of running loads, and the results of finished ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from threading import Lock
from typing import Any

from prometheus_client import CollectorRegistry, Metric, start_http_server

from pytest_ipload.base.environment import environment
from pytest_ipload.base.text import printable
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.report.files import metrics
from pytest_ipload.stats.live import LiveNumbers

USERS_AT_WORK = metrics.Family(
    "ipload_users_at_work", "gauge", "Users currently running iterations, until the load test has results."
)
_Told = tuple[metrics.Family, metrics.Sample]


class Exporter:
    """Serves the metrics of a session over HTTP until it is closed.

    A load test is exported with its live numbers until its results replace them: the same counters
    and histograms with the same labels, and more. ``show`` and ``end`` only store what they are given; the work is
    done in the thread that answers.
    """

    def __init__(self, host: str, port: int) -> None:
        """Raises OSError if it cannot listen there. Port 0 is any free one."""
        self._lock = Lock()
        self._finished: dict[tuple[str, str], list[_Told]] = {}
        self._runs: dict[tuple[str, str], int] = {}
        """Of each finished test: how many loads it has run."""
        self._live: dict[str, list[LiveNumbers]] = {}
        """By test: its loads so far."""
        self._running: set[str] = set()
        """The tests whose last load is running."""
        self._build = metrics.metrics_of({"environment": environment(), "tests": []})
        registry = CollectorRegistry()
        registry.register(self)
        self._server, self._thread = start_http_server(port, host, registry)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_port}/metrics"

    def show(self, nodeid: str, numbers: LiveNumbers) -> None:
        """Store the live numbers of a test's load."""
        with self._lock:
            loads = self._live.setdefault(nodeid, [])
            if nodeid in self._running:
                loads.pop()
            loads.append(numbers)
            self._running.add(nodeid)

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

    def collect(self) -> Iterator[Metric]:
        """The interface that ``prometheus_client`` needs of a collector; called in the thread that answers."""
        with self._lock:
            finished = list(chain.from_iterable(self._finished.values()))
            live = [
                (_labels(nodeid, number), numbers)
                for nodeid, loads in self._live.items()
                for number, numbers in enumerate(loads, start=self._runs_of(nodeid) + 1)
            ]
        families: dict[metrics.Family, list[metrics.Sample]] = {}
        for family, sample in chain(finished, chain.from_iterable(_of_live(*each) for each in live)):
            families.setdefault(family, []).append(sample)
        for family, samples in chain(self._build, families.items()):
            yield _as_metric(family, samples)

    def describe(self) -> list[Metric]:
        """Empty, as there are no loads yet when the collector is registered."""
        return []

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _runs_of(self, nodeid: str) -> int:
        return sum(count for test, count in self._runs.items() if test[0] == nodeid)


def _labels(nodeid: str, run: int) -> dict[str, str]:
    return {"test": nodeid, "run": str(run)}


def _of_live(labels: metrics.Labels, numbers: LiveNumbers) -> Iterator[_Told]:
    yield USERS_AT_WORK, USERS_AT_WORK.sample(labels, numbers.users)
    yield metrics.ITERATIONS, metrics.ITERATIONS.sample(labels, numbers.iterations)
    yield metrics.FAILED_ITERATIONS, metrics.FAILED_ITERATIONS.sample(labels, numbers.failed_iterations)
    for name, row in numbers.by_name.items():
        of_name = {**labels, "name": name}
        yield metrics.REQUESTS, metrics.REQUESTS.sample(of_name, row.latency.count + row.failed_requests)
        yield metrics.FAILED_REQUESTS, metrics.FAILED_REQUESTS.sample(of_name, row.failed_requests)
        total_s = row.latency.total_ns / NS_PER_S
        for sample in metrics.histogram_samples(metrics.LATENCY, of_name, row.latency, total_s):
            yield metrics.LATENCY, sample


def _as_metric(family: metrics.Family, samples: Sequence[metrics.Sample]) -> Metric:
    metric = Metric(family.name, family.help, family.type, family.unit)
    for sample in samples:
        labels = {name: printable(value) for name, value in sample.labels.items()}
        metric.add_sample(sample.name, labels, sample.value)
    return metric
