"""Live numbers made by hand."""

from __future__ import annotations

from typing import Any

from support.samples import MS

from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.live import LiveNumbers


def histogram(*latencies_ms: float) -> Histogram:
    """Of these durations."""
    made = Histogram()
    for latency in latencies_ms:
        made.record(round(latency * MS))
    return made


def live_numbers(**fields: Any) -> LiveNumbers:
    """Those of a load in the midst of its time, but for what is given."""
    values: dict[str, Any] = {
        "elapsed_s": 12.3,
        "planned_s": 90.0,
        "planned_iterations": None,
        "users": 50,
        "requests": 150_000,
        "failed_requests": 150,
        "iterations": 50_000,
        "failed_iterations": 50,
        "warmup_iterations": 0,
        "requests_per_s": 12_340.0,
        "recent": histogram(20, 23.1),
        "by_name": {},
    }
    return LiveNumbers(**{**values, **fields})
