"""What one process measured of a load, or several together: the input of a conclusion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from typing import Any

from pytest_ipload.base.environment import host_name
from pytest_ipload.base.health_catalogue import HealthCheck
from pytest_ipload.base.units import MS_PER_S, NS_PER_MS
from pytest_ipload.load.failure_log import MAX_USERS
from pytest_ipload.load.set_up import SetUps
from pytest_ipload.load.user_time import UserTime
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.evidence.evidence import Evidence
from pytest_ipload.stats.evidence.keeper import merged as merged_evidence
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FAILED, ITERATION, REQUEST
from pytest_ipload.stats.stacks import StackSamples, merged_stacks
from pytest_ipload.stats.target_readings import TargetReadings
from pytest_ipload.stats.target_readings import merged as merged_readings
from pytest_ipload.verdict.codec import decode, encode
from pytest_ipload.verdict.origin import ClockOffset, Origin
from pytest_ipload.verdict.plausibility import check_values
from pytest_ipload.verdict.result import FailureSummary, ShardStats, TlsHandshakes, Traceback
from pytest_ipload.verdict.rounds import RoundNote
from pytest_ipload.verdict.threshold.abort import Abort
from pytest_ipload.verdict.threshold.config import ThresholdConfig, window_lengths

_MOST_UNUSED = 100
_SHORTEST_SHARE_NS = 10_000_000
"""In a shorter load the processor time says nothing: most of it is spent on the start and the end."""


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What was measured of a partition, or of the whole load. Times without a unit are nanoseconds since its start."""

    nodeid: str
    profile: LoadProfile
    """The profile of the whole load."""
    thresholds: list[ThresholdConfig]
    strict: bool
    started_at: float
    """Unix seconds, by the clock of its machine."""
    late: int
    """How long after the agreed instant the load began."""
    measured: Measurements
    ended: int
    """When the last iteration ended."""
    users: int
    lifetimes: list[tuple[int, int]]
    """When each user's iterations began and ended."""
    users_by_source: dict[str, int]
    pool_size: int
    shares_pool: bool
    """Whether other processes use the same addresses, as there are too few for each to have its own."""
    unused_count: int
    unused_first: list[str]
    planned_iterations: int | None
    dropped_iterations: int | None
    late_starts: int
    interrupted: int
    checks: list[HealthCheck]
    """The health checks that one process can make."""
    lags: Histogram
    cpu_ns: int
    pinned_cpu: int | None
    failures: list[FailureSummary]
    traceback: Traceback | None
    broken_off: str | None
    """Why the load was aborted."""
    abort: Abort | None
    shards: list[ShardStats] = field(default_factory=list)
    """The shards that it was merged from, where there were several."""
    set_ups: SetUps = field(default_factory=SetUps)
    user_time: UserTime = field(default_factory=UserTime)
    """How long users that failed to start would have been active."""
    round: RoundNote | None = None
    """Which of several rounds it belongs to; None where there is one load."""
    search: str | None = None
    """Which load of a capacity search it belongs to, as text; None where there is none."""
    together: str | None = None
    """The name of the group of loads that it ran together with; None where it ran alone."""
    error: str | None = None
    """What ended the load test as an error, such as a user's set-up that failed; None if nothing did."""

    connections_by_source: dict[str, int] = field(default_factory=dict)
    """Connections that were not opened for requests of a session, by the address that they left from."""
    targets: list[list[str]] = field(default_factory=list)
    """The targets on loopback addresses that each of its processes connected to."""
    foreign_names: list[str] = field(default_factory=list)
    """Names of requests that adapters of the user's own sent, in whatever version of HTTP."""
    tls_handshakes: TlsHandshakes | None = None
    """None without ``tls_resumption``."""
    target_readings: list[TargetReadings] = field(default_factory=list)
    """The targets' own numbers; each target once."""
    stacks: StackSamples | None = None
    """The stacks of the target; None where they were not to be sampled here."""
    evidence: list[Evidence] = field(default_factory=list)
    evidence_most: int = 0
    """How many requests of each name and kind are kept."""
    clock: ClockOffset | None = None
    """Of a segment: the offset of the clock that ``started_at`` was read from."""
    origin: Origin | None = None
    """Of a segment: where it comes from."""

    def __post_init__(self) -> None:
        """ValueError for fields that contradict each other: it may come from a file."""
        missing = set(window_lengths(self.thresholds)) - set(self.measured.windows)
        if missing or (self.abort is not None and not 0 <= self.abort.number < len(self.thresholds)):
            raise ValueError(f"shard result of {self.nodeid}: its thresholds, windows and abort contradict each other")
        if self.measured.planned != self.profile.planned or (self.planned_iterations is None) != (
            self.dropped_iterations is None
        ):
            raise ValueError(f"shard result of {self.nodeid}: its plan and its measurements contradict each other")

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain values that JSON and execnet carry without loss."""
        plain: dict[str, Any] = encode(self)
        return plain

    @classmethod
    def from_plain(cls, plain: object, where: str = "part") -> ShardResult:
        """Read what ``to_plain`` wrote; ``ValueError`` if it is anything else."""
        part = decode(cls, plain, where)
        try:
            check_values(part)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        return part


def as_shard(part: ShardResult, index: int, name: str) -> ShardResult:
    """The shard result, of this machine, with its own entry in ``shards``, for when it is merged with others."""
    requests, iterations = part.measured.count(REQUEST), part.measured.count(ITERATION)
    failed = part.measured.count(REQUEST, outcome=FAILED)
    skew_ms, pinned = round(part.late / NS_PER_MS, 3), part.pinned_cpu
    share = cpu_share(part.cpu_ns, part.ended)
    clock = part.clock
    ends_ms = None if clock is None else [round(each * MS_PER_S, 1) for each in (clock.low_s, clock.high_s)]
    known = ends_ms, None if clock is None else clock.reference
    numbers = part.users, iterations, requests, failed, skew_ms, share, pinned
    return replace(part, shards=[ShardStats(index, name, host_name(), *numbers, *known)])


def cpu_share(cpu_ns: int, lasted_ns: int) -> float | None:
    """How much of one processor core a load used; None where it was too short to say."""
    return round(cpu_ns / lasted_ns, 3) if lasted_ns >= _SHORTEST_SHARE_NS else None


def merge(parts: Iterable[ShardResult], *, are_owned: bool = False) -> ShardResult:
    """The shard results of one load as one; their order does not matter, except for which failure came first.

    They are not modified, except for the first one if they ``are_owned``: it becomes the whole, which saves a copy.
    ``ValueError`` if they do not belong to the same load, or if there are none.
    """
    each = iter(parts)
    first = next(each, None)
    if first is None:
        raise ValueError("there is no shard result of the load")
    return reduce(merge_into, each, first if are_owned else own_copy(first))


def own_copy(part: ShardResult) -> ShardResult:
    """A copy of a shard result, for others to be merged into."""
    lags = Histogram()
    lags.merge(part.lags)
    return replace(part, measured=part.measured.copy(), lags=lags)


def merge_into(one: ShardResult, other: ShardResult) -> ShardResult:
    """Merge another shard result into one that is not used elsewhere: its measurements become those of both.

    ``ValueError``, and then nothing has changed, if they do not belong to the same load.
    """
    for name in ("nodeid", "profile", "thresholds", "strict", "round", "search", "together"):
        if (first := getattr(one, name)) != (second := getattr(other, name)):
            raise ValueError(f"the shard results of {one.nodeid} differ in their {_difference(name, first, second)}")
    one.measured.merge(other.measured)
    one.lags.merge(other.lags)
    sources = _added(one.users_by_source, other.users_by_source)
    return replace(
        one,
        started_at=min(one.started_at, other.started_at),
        late=max(one.late, other.late),
        ended=max(one.ended, other.ended),
        users=one.users + other.users,
        set_ups=one.set_ups + other.set_ups,
        user_time=one.user_time + other.user_time,
        lifetimes=[*one.lifetimes, *other.lifetimes],
        users_by_source=sources,
        connections_by_source=_added(one.connections_by_source, other.connections_by_source),
        **_pool(one, other, sources),
        planned_iterations=_sum(one.planned_iterations, other.planned_iterations),
        dropped_iterations=_sum(one.dropped_iterations, other.dropped_iterations),
        late_starts=one.late_starts + other.late_starts,
        interrupted=one.interrupted + other.interrupted,
        checks=_checks(one.checks, other.checks),
        cpu_ns=one.cpu_ns + other.cpu_ns,
        pinned_cpu=None,
        failures=_failures([*one.failures, *other.failures]),
        traceback=one.traceback or other.traceback,
        broken_off=one.broken_off or other.broken_off,
        abort=one.abort or other.abort,
        error=one.error or other.error,
        targets=[*one.targets, *other.targets],
        foreign_names=[*dict.fromkeys((*one.foreign_names, *other.foreign_names))],
        tls_handshakes=_handshakes(one.tls_handshakes, other.tls_handshakes),
        target_readings=merged_readings(one.target_readings, other.target_readings),
        stacks=merged_stacks(one.stacks, other.stacks),
        evidence=merged_evidence([*one.evidence, *other.evidence], max(one.evidence_most, other.evidence_most)),
        evidence_most=max(one.evidence_most, other.evidence_most),
        clock=one.clock or other.clock,
        origin=None,
        shards=sorted([*one.shards, *other.shards], key=lambda shard: shard.index),
    )


def _difference(name: str, one: object, other: object) -> str:
    if isinstance(one, LoadProfile) and isinstance(other, LoadProfile):
        keys = (field.name for field in fields(one))
        name, one, other = next(
            (key, getattr(one, key), getattr(other, key)) for key in keys if getattr(one, key) != getattr(other, key)
        )
    hint = ""
    if name == "base_url":
        hint = (
            ": a fixture that starts a target does so in each worker; start it once, before the workers, or give each "
            "load one worker (--ipload-shards=1)"
        )
    return f"{name} ({one!r:.80} and {other!r:.80}): they do not belong to the same load{hint}"


def _pool(one: ShardResult, other: ShardResult, sources: Mapping[str, int]) -> dict[str, Any]:
    """The number of addresses, and which of them were never used."""
    unused = list(dict.fromkeys([*one.unused_first, *other.unused_first]))
    if one.shares_pool and other.shares_pool:
        unused = [address for address in unused if address not in sources]
        # Few enough addresses to be listed in full; those of two hosts differ.
        size = max(one.pool_size, other.pool_size, len(sources) + len(unused))
        count = max(0, size - len(sources))
    elif all(len(part.unused_first) == part.unused_count for part in (one, other)):
        # Segments may have the same pool, and one of them uses what another one does not.
        unused = [address for address in unused if address not in sources]
        size, count = max(one.pool_size, other.pool_size, len(sources) + len(unused)), len(unused)
    else:
        size, count = one.pool_size + other.pool_size, one.unused_count + other.unused_count
    return {"pool_size": size, "unused_count": count, "unused_first": unused[:_MOST_UNUSED]}


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    added = {**one}
    for source, count in other.items():
        added[source] = added.get(source, 0) + count
    return added


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _handshakes(one: TlsHandshakes | None, other: TlsHandshakes | None) -> TlsHandshakes | None:
    return one or other if one is None or other is None else one + other


def _checks(one: Iterable[HealthCheck], other: Iterable[HealthCheck]) -> list[HealthCheck]:
    """The checks of both; of the same name as one check, with both observations."""
    found = {check.name: check for check in one}
    for check in other:
        known = found.get(check.name)
        if known is None:
            found[check.name] = check
        elif check.what not in known.what.split(" | "):
            found[check.name] = replace(known, what=f"{known.what} | {check.what}")
    return list(found.values())


def _failures(failures: Iterable[FailureSummary]) -> list[FailureSummary]:
    """Groups of the same kind and place merged, the most frequent first."""
    groups: dict[tuple[str, str], FailureSummary] = {}
    for failure in failures:
        known = groups.get((failure.type, failure.location))
        if known is None:
            groups[failure.type, failure.location] = failure
            continue
        users = [*(known.users or ()), *(failure.users or ())][:MAX_USERS]
        groups[failure.type, failure.location] = replace(
            known, count=known.count + failure.count, users=sorted(users) or None
        )
    return sorted(groups.values(), key=lambda failure: -failure.count)
