"""A receiver of OTLP on loopback: it parses what it gets, and can refuse it, or keep silent."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint
from support.running_server import RunningServer

Labels = frozenset[tuple[str, str]]
Answer = Callable[[int], int]
"""The status for the push of this number, from 0."""


class OtlpReceiver(RunningServer):
    """A context manager. ``pushes`` are the requests that it accepted, ``heads`` the path and header of all."""

    daemon_threads = True

    def __init__(
        self, answer: Answer = lambda number: 200, rejected: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.peers: set[str] = set()
        self.answer = answer
        self.rejected = rejected
        self.heads: list[tuple[str, Mapping[str, str]]] = []
        self.pushes: list[ExportMetricsServiceRequest] = []

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_port}"

    @property
    def last(self) -> dict[tuple[str, Labels], Any]:
        """The values of the last push."""
        return values_of(self.pushes[-1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: OtlpReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/x-protobuf"
        server = self.server
        server.peers.add(self.client_address[0])
        status = server.answer(len(server.heads))
        server.heads.append((self.path, dict(self.headers)))
        if status == 200:
            server.pushes.append(ExportMetricsServiceRequest.FromString(body))
        response = ExportMetricsServiceResponse()
        if server.rejected:
            response.partial_success.rejected_data_points = server.rejected
            response.partial_success.error_message = "too many series"
        reply = response.SerializeToString()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def metrics_of(request: ExportMetricsServiceRequest) -> list[Metric]:
    """All metrics of a request, whatever they are of."""
    return [
        metric for resource in request.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    ]


def texts(attributes: Any) -> dict[str, str]:
    """Attributes by their keys."""
    pairs: list[KeyValue] = list(attributes)
    return {pair.key: pair.value.string_value for pair in pairs}


def points_of(metric: Metric) -> list[NumberDataPoint | HistogramDataPoint]:
    """Its points, whatever its type."""
    return list(getattr(metric, str(metric.WhichOneof("data"))).data_points)


def values_of(request: ExportMetricsServiceRequest) -> dict[tuple[str, Labels], Any]:
    """The value of each number, and number, sum and buckets of each histogram, by name and attributes."""
    found: dict[tuple[str, Labels], Any] = {}
    for metric in metrics_of(request):
        for point in points_of(metric):
            key = metric.name, frozenset(texts(point.attributes).items())
            assert key not in found, key
            if isinstance(point, HistogramDataPoint):
                found[key] = point.count, point.sum, list(point.bucket_counts)
            else:
                found[key] = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
    return found
