"""Samples and measurements made by hand, with times in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import ITERATION, REQUEST, STEP, Sample
from pytest_ipload.stats.spans import Selection

MS = 1_000_000
SECOND = 1_000_000_000
ORIGIN = 50 * SECOND
"""When each load of these tests begins, by its clock."""


def request(name: str = "GET /", latency_ms: float = 10, *, at_ms: float = 0, **more: Any) -> Sample:
    """A request that starts ``at_ms`` after the load's begin."""
    return Sample(REQUEST, name, ORIGIN + round(at_ms * MS), round(latency_ms * MS), **more)


def iteration(latency_ms: float = 10, **more: Any) -> Sample:
    """An iteration."""
    return request("", latency_ms, **more)._replace(kind=ITERATION)


def step(name: str, latency_ms: float = 10, **more: Any) -> Sample:
    """A step."""
    return request(name, latency_ms, **more)._replace(kind=STEP)


def measurements(
    samples: Iterable[Sample],
    *,
    warmup_ms: int = 0,
    planned: bool = False,
    window_ms: int | None = None,
    selections: Iterable[Selection] = (),
) -> Measurements:
    """The samples, folded."""
    measured = Measurements(
        origin_ns=ORIGIN,
        judged_from_ns=ORIGIN + warmup_ms * MS,
        planned=planned,
        window_lengths_ns=[] if window_ms is None else [window_ms * MS],
        selections=selections,
    )
    measured.add(samples)
    return measured
