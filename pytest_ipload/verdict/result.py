"""The result of a load test: its verdict and all its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_ipload.base.health_catalogue import REMARK, HealthCheck
from pytest_ipload.base.masking import masked_values
from pytest_ipload.stats.evidence.evidence import Evidence
from pytest_ipload.stats.summary import LatencyStats, Summary, plain
from pytest_ipload.stats.target_summary import TargetStats
from pytest_ipload.verdict.explanation import Explanation
from pytest_ipload.verdict.regression.comparison import ComparedWith, Comparison, failed_of
from pytest_ipload.verdict.threshold.config import FAIL
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult

PASSED, UNDECIDED, FAILED, INVALID, ERROR = VERDICTS = ("passed", "undecided", "failed", "invalid", "error")
"""From the best to the worst. *undecided*: a promise that lies within the interval of a capacity. *error*: the load
test did not finish, so nothing was judged."""


@dataclass(frozen=True)
class FirstFailure:
    """Where the first failure of a group happened."""

    user: int
    iteration: int | None
    """None for a failure in the user's set-up."""
    source_address: str | None
    trace_id: str | None = None
    """The trace of the iteration, with ``--ipload-trace``."""


@dataclass(frozen=True)
class FailureSummary:
    """Failed iterations, or users whose set-up failed, with the same exception type and place."""

    type: str
    message: str
    location: str
    count: int
    first: FirstFailure
    users: Sequence[int] | None = None
    """The first users whose set-up failed; None for failed iterations."""


@dataclass(frozen=True)
class Traceback:
    """The first failure of the most frequent kind in full, as pytest shows it."""

    type: str
    text: str


@dataclass(frozen=True)
class FiredCheck:
    """A health check of the generator that fired."""

    name: str
    severity: str
    """``invalid``, ``saturated``, ``unhealthy`` or ``remark``."""
    text: str
    """What was observed, what it does to the numbers, and what to do."""


@dataclass(frozen=True, kw_only=True)
class GeneratorHealth:
    """The health of the load generator. ``cpu_share`` is in processor cores: 1.0 is one core, full."""

    healthy: bool = True
    """Whether no check fired except remarks."""
    cpu_share: float | None = None
    timer_lag_p99_ms: float | None = None
    """Timer lag of the executor, 99th percentile."""
    lateness: LatencyStats | None = None
    """Lateness of iterations caused by the generator; None where they had no planned starts."""
    late_starts: int = 0
    interrupted_iterations: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    """Errors on the generator's side by name, such as ``ports-exhausted``; not counted as requests."""
    notes: Sequence[str] = ()
    """The name and the text of each check that fired."""
    checks: Sequence[FiredCheck] = ()
    suppressed: Sequence[str] = ()
    """The names of the checks that fired but are suppressed."""
    pinned_cpu: int | None = None
    """The number of the CPU that the load was pinned to; None where it was not pinned."""

    @classmethod
    def of(cls, checks: Sequence[HealthCheck], suppressed: Sequence[str] = (), **measured: Any) -> GeneratorHealth:
        """From the checks that fired; ``measured`` are the numbers."""
        return cls(
            healthy=all(check.severity == REMARK for check in checks),
            notes=[check.note for check in checks],
            checks=[FiredCheck(check.name, check.severity, check.paragraph) for check in checks],
            suppressed=suppressed,
            **measured,
        )


@dataclass(frozen=True)
class ShardStats:
    """One process's partition of a load."""

    index: int
    name: str
    """The name of the process: ``gw0``, or that of a segment."""
    host: str
    users: int
    iterations: int
    requests: int
    failed_requests: int
    start_skew_ms: float
    """How much later than agreed its load began."""
    cpu_share: float | None
    pinned_cpu: int | None
    clock_offset_ms: list[float] | None = None
    """By how many milliseconds the clock of its machine is ahead, at least and at most; None where it is unknown."""
    clock_reference: str | None = None
    """Of which clock."""


@dataclass(frozen=True)
class TlsHandshakes:
    """The TLS handshakes of all connections that the users' sessions opened, set-up, warm-up and teardown included."""

    full: int
    resumed: int
    """Those that continued a TLS session of an earlier connection."""

    def __add__(self, other: TlsHandshakes) -> TlsHandshakes:
        return TlsHandshakes(self.full + other.full, self.resumed + other.resumed)


@dataclass(frozen=True, kw_only=True)
class RoundStats:
    """One of several rounds of a load."""

    role: str
    """``current``, or ``base`` for the target to compare with."""
    base_url: str | None
    verdict: str
    reason: str
    started_at: str
    duration_s: float
    requests: int
    rps: float
    error_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True)
class UnusedAddresses:
    """The addresses of the pool that were never leased."""

    count: int
    first: Sequence[str]
    """The first hundred of them."""


CALL, TEARDOWN = "call", "teardown"


@dataclass(frozen=True)
class PhaseError:
    """Why pytest reported a test as failed, or as an error, besides the verdict on its load."""

    phase: str
    """The phase of pytest: ``call`` or ``teardown``."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class LoadResult(Summary):
    """One load test's verdict and numbers.

    The attributes are the fields of a test in the JSON report: ``result.requests``, ``result.latency.p95_ms``,
    ``result.by_name[0].rps``. Times are milliseconds (``_ms``) or seconds (``_s``), rates fractions from 0 to 1.
    """

    nodeid: str
    verdict: str
    """``passed``, ``undecided``, ``failed``, ``invalid`` or ``error``."""
    reason: str
    """Why it is not ``passed``; empty if it is."""
    together: str | None = None
    """The name of the group of load tests that it ran together with; None where it ran alone."""
    test_errors: Sequence[PhaseError] | None = None
    """Why the test fails although its verdict does not say so; None where pytest reported nothing else."""
    profile: Mapping[str, Any]
    started_at: str
    """ISO 8601, UTC."""
    aborted_s: float | None = None
    """When a threshold aborted the load, in seconds since its start; None where none did."""
    set_up_error_rate: float | None = None
    """The share of users whose set-up failed; None where none was set up."""
    thresholds: Sequence[ThresholdResult]
    objections: Sequence[str] | None = None
    """Reasons of plugins to fail it; None if they gave none."""
    failures: Sequence[FailureSummary]
    evidence: Sequence[Evidence] | None = None
    """The slowest and the first failed requests of each name; None if none are kept."""
    traceback: Traceback | None = None
    """None without failures, and where a failure has no traceback, such as a reply with an error status."""
    tls_handshakes: TlsHandshakes | None = None
    """None without ``tls_resumption``."""
    unused_addresses: UnusedAddresses | None = None
    """None without a pool, or where all addresses were used."""
    generator: GeneratorHealth
    targets: Sequence[TargetStats] | None = None
    """The targets' own numbers over the judged time; None where no target was given."""
    shards: Sequence[ShardStats] | None = None
    """The processes that shared the load; None where it was one."""
    capacity: Mapping[str, Any] | None = None
    """What a capacity search found; the other numbers are those of one of its rounds. None without a search."""
    rounds: Sequence[RoundStats] | None = None
    """All rounds, where the load was run in several: the other numbers are those of one of them."""
    comparisons: Sequence[Comparison] | None = None
    """With a baseline; None where none was requested."""
    explain: Explanation | None = None
    """What the stacks of the target say about a failure; None where they were not sampled."""
    baseline: ComparedWith | None = None
    """The saved runs that it was compared with; None where no comparison was requested."""

    def with_objections(self, objections: Sequence[str]) -> LoadResult:
        """The result with reasons against it: it has failed then, unless it is invalid."""
        if not objections:
            return self
        if self.verdict in (INVALID, ERROR):
            return replace(self, objections=objections)
        reason = "; ".join(filter(None, [self.reason, *objections]))
        return replace(self, verdict=FAILED, reason=reason, objections=objections)

    def with_explanation(self, explain: Explanation) -> LoadResult:
        """The result with what the stacks of the target say."""
        return replace(self, explain=explain)

    @property
    def fails_by_comparison(self) -> bool:
        """Whether only comparisons with a baseline fail it."""
        is_promise_broken = self.capacity is not None and self.capacity.get("verdict") == FAILED
        is_by_others = failures_of(self.thresholds) or self.objections or is_promise_broken
        return bool(failed_of(self.comparisons)) and not is_by_others

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, without the fields that were not measured."""
        ordered = {name: getattr(self, name) for name in _FIRST}
        ordered.update({name: value for name, value in vars(self).items() if name not in ordered})
        return _shown(ordered)


_FIRST = ("nodeid", "verdict", "reason", "together", "profile", "started_at", "duration_s")


@dataclass(frozen=True, kw_only=True)
class UnmeasuredResult:
    """A load test that ended in an error before its load began: there are no numbers."""

    nodeid: str
    verdict: str = ERROR
    reason: str
    test_errors: Sequence[PhaseError] | None = None
    profile: Mapping[str, Any] | None = None
    """The settings; None where the settings were the error, or were not resolved yet."""
    together: str | None = None
    """The name of the group of load tests that it should have run together with."""
    evidence: Sequence[Evidence] | None = None
    """The first failed requests of its users' set-ups; None if there are none."""

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, without the fields that are not known."""
        return _shown(self)


def _shown(result: Any) -> dict[str, Any]:
    """As plain values without secrets, for anything that leaves the process. The test's name stays as pytest has it."""
    values: dict[str, Any] = plain(result)
    return {**masked_values(values), "nodeid": values["nodeid"]}


def is_measured(result: Mapping[str, Any]) -> bool:
    """Whether a result, as plain values, has numbers: whether its load began."""
    return "started_at" in result


def failures_of(thresholds: Sequence[ThresholdResult], comparisons: Sequence[Comparison] | None = ()) -> list[str]:
    """What fails the test: the thresholds, the one that aborted the load first, then the comparisons."""
    failed = [result for result in thresholds if not result.passed and result.severity == FAIL]
    messages = [result.message for result in sorted(failed, key=lambda result: not result.aborted)]
    return [*messages, *(comparison.message for comparison in failed_of(comparisons))]
