"""The result of a load test: its verdict and all its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ipload.stats.summary import Summary, plain
from pytest_ipload.verdict.evaluate import ThresholdResult
from pytest_ipload.verdict.judged import FAIL

PASSED, FAILED, INVALID = "passed", "failed", "invalid"


@dataclass(frozen=True)
class FirstFailure:
    """Where the first of a group of failures happened."""

    user: int
    iteration: int
    source_address: str | None


@dataclass(frozen=True)
class FailureSummary:
    """Failed iterations with the same exception type and place."""

    type: str
    message: str
    location: str
    count: int
    first: FirstFailure


@dataclass(frozen=True)
class GeneratorHealth:
    """How the generator itself fared. ``cpu_share`` is in processor cores: 1.0 is one core, full."""

    healthy: bool
    cpu_share: float | None
    late_starts: int
    interrupted_iterations: int
    faults: Mapping[str, int]
    """Faults of the generator's own side by name, such as ``ports-exhausted``; not counted as requests."""
    notes: Sequence[str]
    """What was wrong, and what else there is to know."""
    pinned_cpu: int | None = None
    """The number of the CPU that the load was kept on; None where it was not."""


@dataclass(frozen=True)
class UnusedAddresses:
    """The addresses of the pool that no user leased."""

    count: int
    first: Sequence[str]
    """The first hundred of them."""


@dataclass(frozen=True, kw_only=True)
class LoadResult(Summary):
    """One load test's verdict and numbers.

    The attributes are the fields of a test in the JSON report: ``result.requests``, ``result.latency.p95_ms``,
    ``result.by_name[0].rps``. Times are milliseconds (``_ms``) or seconds (``_s``), rates fractions from 0 to 1.
    """

    nodeid: str
    verdict: str
    """``passed``, ``failed`` or ``invalid``."""
    reason: str
    """Why it is not ``passed``; empty if it is."""
    profile: Mapping[str, Any]
    started_at: str
    """ISO 8601, UTC."""
    aborted_s: float | None = None
    """When a threshold broke the load off, in seconds since its start; None where none did."""
    thresholds: Sequence[ThresholdResult]
    failures: Sequence[FailureSummary]
    unused_addresses: UnusedAddresses | None = None
    """None without a pool, or where all addresses were used."""
    generator: GeneratorHealth

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, without the fields that were not measured."""
        ordered = {name: getattr(self, name) for name in _FIRST}
        ordered.update({name: value for name, value in vars(self).items() if name not in ordered})
        values: dict[str, Any] = plain(ordered)
        return values


_FIRST = ("nodeid", "verdict", "reason", "profile", "started_at", "duration_s")


def decide(thresholds: Sequence[ThresholdResult], invalid: Sequence[str]) -> tuple[str, str]:
    """The verdict and its reason. What makes the measurement invalid comes before what it says."""
    if invalid:
        return INVALID, "; ".join(invalid)
    failed = failures_of(thresholds)
    return (FAILED, "; ".join(failed)) if failed else (PASSED, "")


def failures_of(thresholds: Sequence[ThresholdResult]) -> list[str]:
    """What the thresholds say that fail the test; the one that broke the load off comes first."""
    failed = [result for result in thresholds if not result.passed and result.severity == FAIL]
    return [result.message for result in sorted(failed, key=lambda result: not result.aborted)]
