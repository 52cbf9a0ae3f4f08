"""The distribution of a time, for people and reports. Times are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_ipload.base.units import NS_PER_MS
from pytest_ipload.stats.histogram import Histogram


@dataclass(frozen=True)
class LatencyStats:
    """The distribution of a time: nearest-rank percentiles with an error of at most 0.1 % (or 0.5 us)."""

    count: int
    min_ms: float | None = None
    mean_ms: float | None = None
    max_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p99_9_ms: float | None = None
    histogram: str | None = None
    """HdrHistogram V2, compressed, base64; in microseconds."""


def latency_stats(histogram: Histogram) -> LatencyStats:
    """The statistics of one histogram; only the count, when it is empty."""
    if not histogram.count:
        return LatencyStats(0)
    return LatencyStats(
        count=histogram.count,
        min_ms=ms_of(histogram.min_ns),
        mean_ms=ms_of(histogram.mean_ns),
        max_ms=ms_of(histogram.max_ns),
        p50_ms=ms_of(histogram.quantile(0.5)),
        p90_ms=ms_of(histogram.quantile(0.9)),
        p95_ms=ms_of(histogram.quantile(0.95)),
        p99_ms=ms_of(histogram.quantile(0.99)),
        p99_9_ms=ms_of(histogram.quantile(0.999)),
        histogram=histogram.encode(),
    )


def ms_of(nanoseconds: float | None) -> float | None:
    """Milliseconds; None stays None."""
    return None if nanoseconds is None else nanoseconds / NS_PER_MS
