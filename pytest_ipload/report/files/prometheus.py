"""Answers Prometheus' scrapes: the live numbers of running loads, and the results of finished ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric, start_http_server

from pytest_ipload.base.text import printable
from pytest_ipload.report.files import metrics
from pytest_ipload.report.files.session_metrics import SessionMetrics


class Exporter(SessionMetrics):
    """Serves the metrics of a session over HTTP until it is closed, in threads of its own."""

    def __init__(self, host: str, port: int) -> None:
        """Raises OSError if it cannot listen there. Port 0 is any free one."""
        super().__init__()
        registry = CollectorRegistry()
        registry.register(self)
        self._server, self._thread = start_http_server(port, host, registry)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_port}/metrics"

    def collect(self) -> Iterator[Metric]:
        """The interface that ``prometheus_client`` needs of a collector; called in the thread that answers."""
        for family, samples in self.families():
            yield _as_metric(family, samples)

    def describe(self) -> list[Metric]:
        """Empty, as there are no loads yet when the collector is registered."""
        return []

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _as_metric(family: metrics.Family, samples: Sequence[metrics.Sample]) -> Metric:
    metric = Metric(family.name, family.help, family.type, family.unit)
    for sample in samples:
        labels = {name: printable(value) for name, value in sample.labels.items()}
        metric.add_sample(sample.name, labels, sample.value)
    return metric
