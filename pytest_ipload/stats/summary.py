"""The numbers of a load, for people and reports, from what was measured.

Times are milliseconds, rates are fractions from 0 to 1. None means that something was not measured; such a field is
left out of ``as_dict``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.stats.latency_stats import LatencyStats, latency_stats, ms_of
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.own_summary import CheckStats, MetricStats, checks_of, metrics_of
from pytest_ipload.stats.sample import FAILED, FIRST_EVENT, GAP, ITERATION, OK, REQUEST, SETUP, STEP
from pytest_ipload.stats.series import Second
from pytest_ipload.stats.target_readings import TargetReadings, by_second

__all__ = [
    "Frame",
    "LatencyStats",
    "PlainResult",
    "RequestStats",
    "SourceStats",
    "StepStats",
    "Summary",
    "TimelinePoint",
    "latency_stats",
    "per_second",
    "plain",
    "ratio",
    "summarise",
]

_POINTS = (50, 95, 99)
"""The percentiles of each second."""


@dataclass(frozen=True)
class RequestStats:
    """All requests of one name."""

    name: str
    requests: int
    failed_requests: int
    rps: float
    latency: LatencyStats
    redirects: int | None = None
    retried_requests: int | None = None
    """How often one was sent again on a new connection, as a kept one had gone stale; None if that never happened."""
    ttfe: LatencyStats | None = None
    """From the request's start to its stream's first event; None if no event came."""
    gap: LatencyStats | None = None
    """From one event of a stream to the next; None if no stream had two."""
    http_version: str | None = None
    """The version of HTTP in which they were sent: ``1.1``, ``2`` or ``3``; None if unknown."""


@dataclass(frozen=True)
class SourceStats:
    """All requests from one source address."""

    source_address: str
    users: int
    connections: int
    requests: int
    failed_requests: int
    latency: LatencyStats


@dataclass(frozen=True)
class StepStats:
    """All runs of one step."""

    name: str
    count: int
    failed: int
    latency: LatencyStats


@dataclass(frozen=True)
class TimelinePoint:
    """One second of the load, or one step of several; ``users`` is the maximum number of concurrent users in it."""

    t_s: int
    users: int
    requests: int
    failed_requests: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    response_p50_ms: float | None = None
    response_p95_ms: float | None = None
    response_p99_ms: float | None = None
    histogram: str | None = None
    """Latencies of the successful ones: HdrHistogram V2, compressed, base64; in microseconds."""
    targets: Mapping[str, Mapping[str, float]] | None = None
    """The targets' own numbers, by name of the target and of the metric; None without any."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The numbers of one load. Everything but the timeline leaves the warm-up out."""

    duration_s: float
    users: int
    iterations: int
    failed_iterations: int
    planned_iterations: int | None
    """Of the open model: how many were due until the load ended, the warm-up included. None in the closed model."""
    dropped_iterations: int | None
    """Of the open model: how many of them never started. None in the closed model."""
    requests: int
    failed_requests: int
    error_rate: float | None
    request_error_rate: float | None
    rps: float
    iterations_per_second: float
    latency: LatencyStats
    response_time: LatencyStats | None
    ttfe: LatencyStats | None
    """Of streams, from the request's start to the first event; None if no event came."""
    gap: LatencyStats | None
    """Of streams, from one event to the next; None if no stream had two."""
    by_name: Sequence[RequestStats]
    by_source: Sequence[SourceStats]
    steps: Sequence[StepStats]
    checks: Sequence[CheckStats] | None
    """The test's own checks; None if it made none."""
    metrics: Sequence[MetricStats] | None
    """The test's own counts, gauges and observed times; None without any."""
    timeline: Sequence[TimelinePoint]
    timeline_step_s: int | None
    """How many seconds each of its points covers; None if it is one."""
    setup: Sequence[RequestStats] | None
    """Requests of the users' set-up and teardown."""
    retried_requests: int | None
    """How often one was sent again on a new connection, as a kept one had gone stale; None if that never happened."""
    warmup_requests: int | None
    warmup_iterations: int | None


@dataclass(frozen=True)
class Frame:
    """What the numbers are counted over, besides the samples."""

    origin_ns: int
    ended_ns: int
    warmup_s: float
    users: int
    users_by_source: Mapping[str, int]
    lifetimes: Sequence[tuple[int, int]]
    planned_iterations: int | None = None
    dropped_iterations: int | None = None
    connections_by_source: Mapping[str, int] = field(default_factory=dict)
    """Those that were not opened for requests of a session."""
    http: str | None = None
    """The version of HTTP of all requests, but for those of the next names."""
    foreign_names: frozenset[str] = frozenset()
    """Names of requests in unknown versions."""
    targets: Sequence[TargetReadings] = ()

    def http_of(self, name: str) -> str | None:
        """The version of HTTP of the requests of a name; None if it is unknown."""
        return None if name in self.foreign_names else self.http

    @property
    def duration_s(self) -> float:
        """From the start of the load to its planned end, or to that of its last iteration if that is later."""
        return max(0, self.ended_ns - self.origin_ns) / NS_PER_S

    def judged_s(self, measured: Measurements) -> float:
        """The time that rates are counted over: from the warm-up's end to the planned one, or until the load ended."""
        ended_ns = self.ended_ns if measured.judged_until_ns is None else measured.judged_until_ns
        return max(0.0, (ended_ns - self.origin_ns) / NS_PER_S - self.warmup_s)


def summarise(measured: Measurements, frame: Frame) -> dict[str, Any]:
    """The fields of ``Summary``, as keyword arguments."""
    seconds = frame.judged_s(measured)
    requests, failed = measured.count(kind=REQUEST), measured.count(kind=REQUEST, outcome=FAILED)
    iterations, failed_iterations = measured.count(kind=ITERATION), measured.count(kind=ITERATION, outcome=FAILED)
    response = measured.response(kind=REQUEST, outcome=OK) if measured.planned else None
    setup = [_by_name(measured, frame, SETUP, name, 0.0) for name in measured.names(SETUP)]
    return {
        "duration_s": frame.duration_s,
        "users": frame.users,
        "iterations": iterations,
        "failed_iterations": failed_iterations,
        "planned_iterations": frame.planned_iterations,
        "dropped_iterations": frame.dropped_iterations,
        "requests": requests,
        "failed_requests": failed,
        "error_rate": ratio(failed_iterations, iterations),
        "request_error_rate": ratio(failed, requests),
        "rps": per_second(measured.ended_in_time(REQUEST), seconds),
        "iterations_per_second": per_second(measured.ended_in_time(ITERATION), seconds),
        "latency": latency_stats(measured.latency(kind=REQUEST, outcome=OK)),
        "response_time": None if response is None else latency_stats(response),
        **_of_events(measured),
        "by_name": [_by_name(measured, frame, REQUEST, name, seconds) for name in measured.names(REQUEST)],
        "by_source": _by_source(measured, frame),
        "steps": [_step(measured, name) for name in measured.names(STEP)],
        "checks": checks_of(measured),
        "metrics": metrics_of(measured, seconds),
        "timeline": _timeline(measured, frame),
        "timeline_step_s": measured.timeline.step_s if measured.timeline.step_s > 1 else None,
        "setup": setup or None,
        "retried_requests": _retries(measured, kind=REQUEST),
        "warmup_requests": measured.warmup_requests if frame.warmup_s else None,
        "warmup_iterations": measured.warmup_iterations if frame.warmup_s else None,
    }


def ratio(part: int, whole: int) -> float | None:
    """A fraction; None over nothing."""
    return part / whole if whole else None


def per_second(count: float, seconds: float) -> float:
    """A rate; 0 over no time."""
    return count / seconds if seconds > 0 else 0.0


def plain(value: Any) -> Any:
    """Dataclasses as dicts without the fields that are None, sequences as lists, all the way down."""
    if is_dataclass(value) and not isinstance(value, type):
        items = ((item.name, getattr(value, item.name)) for item in fields(value))
        return {name: plain(content) for name, content in items if content is not None}
    if isinstance(value, Mapping):
        return {name: plain(content) for name, content in value.items() if content is not None}
    if isinstance(value, (list, tuple)):
        return [plain(content) for content in value]
    return value


def _by_name(measured: Measurements, frame: Frame, kind: str, name: str, seconds: float) -> RequestStats:
    literal: dict[str, Any] = {"kind": kind, "exact_name": name}
    requests = measured.count(**literal)
    redirects = sum(series.redirects for _, series in measured.series(**literal))
    return RequestStats(
        name=name,
        requests=requests,
        failed_requests=measured.count(**literal, outcome=FAILED),
        rps=per_second(measured.ended_in_time(**literal), seconds),
        latency=latency_stats(measured.latency(**literal, outcome=OK)),
        redirects=redirects or None,
        retried_requests=_retries(measured, **literal),
        **(_of_events(measured, exact_name=name) if kind == REQUEST else {}),
        http_version=frame.http_of(name) if any(key.status for key, _ in measured.series(**literal)) else None,
    )


def _of_events(measured: Measurements, **where: Any) -> dict[str, LatencyStats | None]:
    """The times of streams."""
    times = {field: measured.latency(kind, **where) for field, kind in (("ttfe", FIRST_EVENT), ("gap", GAP))}
    return {field: latency_stats(histogram) if histogram.count else None for field, histogram in times.items()}


def _retries(measured: Measurements, kind: str, **where: Any) -> int | None:
    return sum(series.retries for _, series in measured.series(kind, **where)) or None


def _by_source(measured: Measurements, frame: Frame) -> list[SourceStats]:
    seen = [address for address in measured.source_addresses() if address is not None]
    others = dict.fromkeys([*frame.users_by_source, *frame.connections_by_source])
    return [
        SourceStats(
            source_address=address,
            # Where no lease says so, the system chose the address, for each user by where it went.
            users=frame.users_by_source.get(address, frame.users),
            connections=_connections(measured, address) + frame.connections_by_source.get(address, 0),
            requests=measured.count(REQUEST, source_address=address),
            failed_requests=measured.count(REQUEST, source_address=address, outcome=FAILED),
            latency=latency_stats(measured.latency(REQUEST, source_address=address, outcome=OK)),
        )
        for address in dict.fromkeys([*seen, *others])
    ]


def _connections(measured: Measurements, address: str) -> int:
    """All that were opened from the address: of the set-up and the warm-up too, as they are used later."""
    kept = (series for kind in (REQUEST, SETUP) for _, series in measured.series(kind, source_address=address))
    return sum(series.connections for series in kept) + measured.warmup_connections.get(address, 0)


def _step(measured: Measurements, name: str) -> StepStats:
    return StepStats(
        name=name,
        count=measured.count(STEP, exact_name=name),
        failed=measured.count(STEP, exact_name=name, outcome=FAILED),
        latency=latency_stats(measured.latency(STEP, exact_name=name, outcome=OK)),
    )


def _timeline(measured: Measurements, frame: Frame) -> list[TimelinePoint]:
    """All steps up to the last one with a request; those in which none ended are what a stalled target looks like."""
    timeline = measured.timeline
    step_s, steps = timeline.step_s, timeline.steps()
    targets = by_second(frame.targets, step_s)
    # A target that no request comes back from still has numbers of its own.
    last = min(max(targets, default=-1), int(frame.duration_s) // step_s)
    length = max(timeline.end // step_s, last + 1 if last * step_s < frame.duration_s else last)
    users = _users_by_step(frame.lifetimes, frame.origin_ns, step_s * NS_PER_S, length)
    nothing = Second(planned=measured.planned)
    return [
        _point(number * step_s, most, steps.get(number) or nothing, targets.get(number))
        for number, most in enumerate(users)
    ]


def _point(t_s: int, users: int, second: Second, targets: Mapping[str, Mapping[str, float]] | None) -> TimelinePoint:
    latency, response = second.peek()
    return TimelinePoint(
        t_s=t_s,
        users=users,
        requests=second.requests,
        failed_requests=second.failed_requests,
        max_ms=ms_of(latency.max_ns),
        histogram=latency.encode() if latency.count else None,
        targets=targets,
        **{f"p{q}_ms": ms_of(latency.quantile(q / 100)) for q in _POINTS},
        **{f"response_p{q}_ms": ms_of(response.quantile(q / 100)) for q in _POINTS if response is not None},
    )


def _users_by_step(lifetimes: Sequence[tuple[int, int]], origin_ns: int, step_ns: int, steps: int) -> list[int]:
    """The largest number of lifetimes that overlap at one moment of each step."""
    # At the same moment, arrivals come before departures: a lifetime of zero counts too.
    changes = deque(sorted([(start, -1) for start, _ in lifetimes] + [(stop, 1) for _, stop in lifetimes]))
    users, now = [], 0
    for step in range(steps):
        most = now
        while changes and changes[0][0] < origin_ns + (step + 1) * step_ns:
            now -= changes.popleft()[1]
            most = max(most, now)
        users.append(most)
    return users


PlainResult = Mapping[str, Any]
"""A result in plain values, as ``LoadResult.as_dict`` makes them and the JSON report has them."""
