"""The metrics of a target that an endpoint knows: its own ``/metrics``, or a server of Prometheus."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pytest_ipload.base import real_time
from pytest_ipload.base.errors import TargetLost
from pytest_ipload.stats.target_readings import CPU
from pytest_ipload.transport.exposition import CPU_SECONDS, GAUGES, START_TIME, process_metrics
from pytest_ipload.transport.metrics_endpoint import TIMEOUT_S, EndpointError, MetricsEndpoint

_OK = 200
_LONGEST_TEXT = 200
Reading = tuple[Mapping[str, float], float | None]
"""Gauges by metric, and the seconds of processor time since the reading before; None if it does not say."""


class ExpositionReader:
    """Reads the standard metrics of a process from its own endpoint."""

    def __init__(self, endpoint: MetricsEndpoint) -> None:
        self._endpoint = endpoint
        self._path = endpoint.path if endpoint.path not in ("", "/") else "/metrics"
        if endpoint.query:
            self._path += f"?{endpoint.query}"
        self._cpu_s: float | None = None
        self._started: float | None = None
        self.notes: list[str] = []
        """What limits the readings."""

    def read(self) -> Reading:
        """One reading. Raises EndpointError; TargetLost if another process answers."""
        status, body = self._endpoint.get(self._path)
        if status != _OK:
            raise EndpointError(f"{self._endpoint.url} replied with status {status}")
        try:
            found = process_metrics(body.decode("utf-8", "replace"))
        except ValueError as error:
            raise EndpointError(f"the reply of {self._endpoint.url} is not valid: {error}") from None
        if not set(found) - {START_TIME}:
            raise EndpointError(
                f"the reply of {self._endpoint.url} has none of the standard metrics of a process "
                f"({', '.join([CPU_SECONDS, *GAUGES])})"
            )
        self._check_same(found)
        used = None
        if (cpu_s := found.get(CPU_SECONDS)) is not None:
            used = 0.0 if self._cpu_s is None else max(0.0, cpu_s - self._cpu_s)
            self._cpu_s = cpu_s
        return {name: found[there] for there, name in GAUGES.items() if there in found}, used

    def interrupt(self) -> None:
        """End a reading that is on its way."""
        self._endpoint.interrupt()

    def close(self) -> None:
        """Nothing is kept open."""

    def _check_same(self, found: Mapping[str, float]) -> None:
        started = found.get(START_TIME)
        if started is None:
            return
        if self._started is not None and started != self._started:
            raise TargetLost(
                f"another process answers at {self._endpoint.url} (it started at another time): the target was "
                "restarted, or the endpoint is that of several processes"
            )
        self._started = started


class QueryReader:
    """Reads the values of PromQL queries from a server of Prometheus."""

    def __init__(self, endpoint: MetricsEndpoint, queries: Mapping[str, str]) -> None:
        """A query named ``cpu`` has to be in cores, as its seconds per second are."""
        self._endpoint = endpoint
        self._queries = queries
        self._path = endpoint.path.rstrip("/") + "/api/v1/query"
        self.notes: list[str] = []
        """What limits the readings."""

    def read(self) -> Reading:
        """One reading, without queries that have no value now. Raises EndpointError."""
        deadline = real_time.monotonic() + TIMEOUT_S
        values = {}
        for name, query in self._queries.items():
            value = self._value(name, query, deadline)
            if value is not None:
                values[name] = value * 100 if name == CPU else value
        return values, None

    def interrupt(self) -> None:
        """End a reading that is on its way."""
        self._endpoint.interrupt()

    def close(self) -> None:
        """Nothing is kept open."""

    def _value(self, name: str, query: str, deadline: float) -> float | None:
        status, body = self._endpoint.get(f"{self._path}?{urlencode({'query': query})}", deadline=deadline)
        what = f"the query {name!r} at {self._endpoint.url}"
        try:
            reply = json.loads(body)
            if status != _OK or reply["status"] != "success":
                raise EndpointError(f"{what} failed: {str(reply.get('error', reply))[:_LONGEST_TEXT]}")
            value = _single(reply["data"])
        except EndpointError:
            raise
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            why = error if isinstance(error, ManyValuesError) else f"not a reply of Prometheus (status {status})"
            raise EndpointError(f"{what}: {why}") from None
        return value if value is not None and math.isfinite(value) else None


class ManyValuesError(ValueError):
    """A query has several values."""


def _single(data: Any) -> float | None:
    """The value of a scalar, or of a vector with one series; None for an empty one."""
    if data["resultType"] == "scalar":
        return float(data["result"][1])
    if data["resultType"] != "vector":
        raise ManyValuesError(f"it gives a {data['resultType']}; write a query that gives one value")
    result = data["result"]
    if len(result) > 1:
        raise ManyValuesError(f"it gives {len(result)} series; write a query that gives one, such as sum(...)")
    return float(result[0]["value"][1]) if result else None
