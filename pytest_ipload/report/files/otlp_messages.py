"""The metrics as a request of OTLP: https://opentelemetry.io/docs/specs/otlp/

Names, labels and buckets are those of ``metrics``. A counter is a monotonic sum, a stateset and an info are gauges, and
all temporality is cumulative, since the start of the session. Units are those of UCUM, from which Prometheus makes the
names that it has for the same metrics elsewhere (``_total``, ``_bucket``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from pytest_ipload.base.text import printable
from pytest_ipload.report.files.metrics import BUCKETS_S, COUNTER, HISTOGRAM, INFO, Family, Labels, Sample
from pytest_ipload.report.files.metrics import Metric as Told

_UNITS = {"seconds": "s", "ratio": "1", "cores": "{core}"}
_SCOPE = "pytest-ipload"
_OWNER = ("test", "run")
"""The labels that say which load a sample is of."""


class MessageMaker:
    """Makes the requests of one session."""

    def __init__(self, resource: Mapping[str, str], labels: Labels, began_ns: int) -> None:
        """``resource`` and ``labels`` are attributes of everything, ``began_ns`` the session's start, Unix time."""
        self._resource = resource
        self._labels = labels
        self._began_ns = began_ns
        self._pause: Callable[[], object] | None = None

    def request(
        self, told: Iterable[Told], now_ns: int, pause: Callable[[], object] | None = None
    ) -> ExportMetricsServiceRequest:
        """All metrics, those of each load with a resource of their own. ``pause`` is called after each histogram."""
        self._pause = pause
        by_owner: dict[tuple[str, ...], dict[Family, list[Sample]]] = {}
        for family, samples in told:
            for sample in samples:
                owner = tuple(sample.labels[each] for each in _OWNER if each in sample.labels)
                by_owner.setdefault(owner, {}).setdefault(family, []).append(sample)
        return ExportMetricsServiceRequest(
            resource_metrics=[
                ResourceMetrics(resource=self._resource_of(owner), scope_metrics=[self._scope(families, now_ns)])
                for owner, families in by_owner.items()
            ]
        )

    def _resource_of(self, owner: Sequence[str]) -> Resource:
        load = {f"ipload.{name}": value for name, value in zip(_OWNER, owner, strict=False)}
        return Resource(attributes=_attributes({**self._resource, **load}))

    def _scope(self, families: Mapping[Family, Sequence[Sample]], now_ns: int) -> ScopeMetrics:
        scope = InstrumentationScope(name=_SCOPE, version=self._resource.get("service.version", ""))
        return ScopeMetrics(scope=scope, metrics=[self._metric(*each, now_ns) for each in families.items()])

    def _metric(self, family: Family, samples: Sequence[Sample], now_ns: int) -> Metric:
        name = samples[0].name if family.type == INFO else family.name
        metric = Metric(name=name, description=family.help, unit=_UNITS.get(family.unit, ""))
        if family.type == HISTOGRAM:
            points = list(self._distributions(samples, now_ns))
            histogram = Histogram(data_points=points, aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE)
            metric.histogram.CopyFrom(histogram)
        elif family.type == COUNTER:
            counted = [self._counted(sample, now_ns) for sample in samples]
            total = Sum(
                data_points=counted, aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE, is_monotonic=True
            )
            metric.sum.CopyFrom(total)
        else:
            metric.gauge.CopyFrom(Gauge(data_points=[self._level(sample, now_ns) for sample in samples]))
        return metric

    def _counted(self, sample: Sample, now_ns: int) -> NumberDataPoint:
        return NumberDataPoint(
            attributes=self._attributes(sample.labels),
            start_time_unix_nano=self._began_ns,
            time_unix_nano=now_ns,
            as_int=int(sample.value),
        )

    def _level(self, sample: Sample, now_ns: int) -> NumberDataPoint:
        attributes = self._attributes(sample.labels)
        return NumberDataPoint(attributes=attributes, time_unix_nano=now_ns, as_double=sample.value)

    def _distributions(self, samples: Iterable[Sample], now_ns: int) -> Iterator[HistogramDataPoint]:
        """A histogram's buckets, number and sum come as samples, the last of them being the sum."""
        up_to: list[int] = []
        for sample in samples:
            if "le" in sample.labels:
                up_to.append(int(sample.value))
            elif sample.name.endswith("_sum"):
                yield HistogramDataPoint(
                    attributes=self._attributes(sample.labels),
                    start_time_unix_nano=self._began_ns,
                    time_unix_nano=now_ns,
                    count=up_to[-1],
                    sum=sample.value if math.isfinite(sample.value) else None,
                    explicit_bounds=BUCKETS_S,
                    bucket_counts=[more - fewer for fewer, more in zip([0, *up_to], up_to, strict=False)],
                )
                up_to = []
                if self._pause is not None:
                    self._pause()

    def _attributes(self, labels: Labels) -> list[KeyValue]:
        return _attributes({**labels, **self._labels})


def _attributes(values: Mapping[str, str]) -> list[KeyValue]:
    """As attributes. Unprintable characters are escaped as in the other formats, and protobuf has no surrogates."""
    return [KeyValue(key=key, value=AnyValue(string_value=printable(text))) for key, text in values.items()]
