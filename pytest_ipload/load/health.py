"""What a load tells of its own generator: checks with a name, each with its meaning for the numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pytest_ipload.load.saturation import USED_BY_OTHERS, saturation_signs
from pytest_ipload.load.user_time import UserTime
from pytest_ipload.stats.sample import ITERATION, LATENESS, OK, REQUEST, STEP
from pytest_ipload.units import format_count, format_duration, format_percent

if TYPE_CHECKING:
    from pytest_ipload.load.record import LoadRecord
    from pytest_ipload.load.vitals import Vitals
    from pytest_ipload.stats.measurements import Measurements

INVALID, SATURATED, UNHEALTHY, REMARK = SEVERITIES = ("invalid", "saturated", "unhealthy", "remark")
"""What was seen flatters the target; it makes the target look worse than it is; shown only; worth knowing only.

What the first two do to a verdict is told by ``verdict.health_rule``.
"""

MOST_DROPPED = 0.01
"""The share of the planned iterations that may be dropped."""
MOST_MISSING = 0.05
"""The share of the planned user-seconds in which users may be missing."""
LATEST_START_NS = 20_000_000
"""The generator's own lateness of iterations below which it is too small to matter, whatever the limit."""
_MOST_LISTED = 3
_MOST_NUMBERS = 100


class Kind(NamedTuple):
    """What all checks of one name have in common."""

    severity: str
    meaning: str
    effect: str
    """What it does to the numbers."""
    advice: str


_NEVER_SENT = "Such requests were never sent and are counted nowhere: the target got less load than was planned"

HEALTH_CHECKS: Mapping[str, Kind] = {
    "rate-not-reached": Kind(
        INVALID,
        "more than 1 % of the planned iterations never started",
        "The target got less load than was planned, and the least of it when it was slow",
        "Allow more max_users, lower the rate, or judge it yourself with a threshold on dropped_iterations",
    ),
    "users-not-reached": Kind(
        INVALID,
        "users were missing for more than 5 % of the planned time",
        "The target got less load than was planned",
        "Set users up before the load (set_up='before'), speed their set-up up, or use fewer users",
    ),
    "different-targets": Kind(
        INVALID,
        "the processes that share the load did not load the same target",
        "Each target got a part of the load only",
        "A fixture that starts the target starts one in each worker: start it once, before the workers (in "
        "pytest_sessionstart of a conftest.py), or give each load one worker (--ipload-shards=1)",
    ),
    "ports-exhausted": Kind(
        INVALID,
        "no local port was left for a connection",
        _NEVER_SENT,
        "Add source addresses, or keep connections alive",
    ),
    "files-exhausted": Kind(
        INVALID,
        "this process could not open another file or socket",
        _NEVER_SENT,
        "Raise the limit with 'ulimit -n', or use fewer users",
    ),
    "source-not-local": Kind(
        INVALID,
        "a source address is not one of this host",
        _NEVER_SENT,
        "Remove it from the pool",
    ),
    "source-family-mismatch": Kind(
        INVALID,
        "a target has no address of the source address's family",
        _NEVER_SENT,
        "Add a source address of its family to the pool",
    ),
    "source-not-usable": Kind(
        INVALID,
        "a source address cannot be used to reach the target",
        _NEVER_SENT,
        "Remove it from the pool",
    ),
    "source-address": Kind(
        INVALID,
        "a source address cannot be bound",
        _NEVER_SENT,
        "Remove it from the pool",
    ),
    "generator-saturated": Kind(
        SATURATED,
        "the generator was too busy, or was kept waiting too long, to keep up with the load",
        "Latencies may hold time that the generator needed for itself, and rates may be those of the generator: the "
        "target may look worse than it is, but not better",
        "Use fewer users or more think time, or do less in the body",
    ),
    "late-iterations": Kind(
        UNHEALTHY,
        "the generator started iterations late, by more than the limit for response times",
        "Response times leave this lateness out, but iterations that are late come in bunches, which are harder on the "
        "target than the plan",
        "Use fewer users or a lower rate, or do less in the body and in the set-up of users",
    ),
    "late-starts": Kind(
        UNHEALTHY,
        "users started more than 50 ms late",
        "Until then the target got less load than was planned",
        "Use a longer ramp-up, or do less in the set-up of users and in the body",
    ),
    "unstoppable-users": Kind(
        UNHEALTHY,
        "users that did not stop when the load was over",
        "The iteration that was running counts as failed, and their threads may disturb the tests that follow",
        "Give what they wait for a timeout",
    ),
    "too-many-names": Kind(
        UNHEALTHY,
        "more request names than are kept apart",
        "Thresholds and rows of single names miss these samples",
        "Give requests whose path holds an id a name of their own, as in name='GET /items/ID'",
    ),
    "bare-calls": Kind(
        UNHEALTHY,
        "the body sends requests past its session",
        "Such calls leave from any address, are not timed and are not held to the allowed hosts",
        "Use ipload_session",
    ),
    "shared-fixture": Kind(
        UNHEALTHY,
        "all users share a value that is not made for threads",
        "Users may wait for each other, which is in the latencies, or spoil each other's data",
        "Make the fixture depend on ipload_user: then each user has one of its own",
    ),
    "own-adapter": Kind(
        UNHEALTHY,
        "an adapter of the test's own does not use the users' source addresses",
        "Requests through it leave from any address",
        "Mount a requests.adapters.HTTPAdapter, one for each session, without source addresses of its own",
    ),
    "few-ports": Kind(
        UNHEALTHY,
        "this host has fewer local ports than the load may need",
        "Connections fail when they run out",
        "Use more source addresses or fewer users",
    ),
    "too-few-samples": Kind(
        REMARK,
        "a percentile with fewer samples than it wants",
        "A percentile p wants 10/(1-p) samples, 200 for p95 and 1 000 for p99; with fewer it changes from run to run",
        "Let the load run longer, or judge a lower percentile",
    ),
    "nothing-measured": Kind(
        REMARK,
        "iterations completed, and no request was measured",
        "There are no latencies, and only iterations that failed can fail the test",
        "Send the requests through ipload_session (a client of the project's own can be given it, as in "
        "client.session = ipload_session in a fixture), or time calls of another protocol with ipload_user.measure()",
    ),
    "target-in-process": Kind(
        REMARK,
        "the target is served by the process that loads it",
        "It shares the interpreter with the load: the time of both is in the latencies",
        "Run the server as a process of its own",
    ),
    "clock-not-synchronised": Kind(
        REMARK,
        "nothing keeps the clock of a segment's machine right, and the target's clock is unknown",
        "Whether the segments ran at the same time is known only as well as their clocks agree",
        "Run NTP on the machines, or set a base_url whose replies have a Date",
    ),
    "fast-path-left": Kind(
        REMARK,
        "another library has hooks in requests, urllib3 or http.client",
        "Requests went through the hooks, which takes more processor time for each: rates may be lower",
        "Remove the hooks during loads if they are not meant for them; with fast=False (--ipload-fast off) no request "
        "takes the fast path, and this is not said",
    ),
    "not-pinned": Kind(
        REMARK,
        "the load was not kept on one processor",
        "Handing over from one processor to another takes time: latencies may be higher and rates lower",
        "Let the process choose its processors, or set pin to 'off'",
    ),
    "shared-cpu": Kind(
        REMARK,
        "the loads of several workers run on one processor",
        "Loads that run at the same time slow each other down",
        "With pin 'auto', and no more workers than processors, each worker has its own",
    ),
}
"""All checks by name."""


@dataclass(frozen=True)
class HealthCheck:
    """A check that fired."""

    name: str
    what: str
    """What was seen, with numbers."""
    effect: str
    """What it does to the numbers of the load."""
    advice: str
    severity: str

    def __post_init__(self) -> None:
        """ValueError for a severity that there is not: a check may come from a file."""
        if self.severity not in SEVERITIES:
            raise ValueError(f"{self.severity!r} is no severity of a health check; known: {', '.join(SEVERITIES)}")

    @property
    def paragraph(self) -> str:
        """All three."""
        return f"{self.what}. {self.effect}. {self.advice}"

    @property
    def note(self) -> str:
        """The paragraph, with the check's name before it."""
        return f"{self.name}: {self.paragraph}"


def fired(name: str, what: str, advice: str = "") -> HealthCheck:
    """The check with what was seen; ``advice`` takes the place of the usual one.

    A name that is not in the table is that of a fault that an exception of somebody else names.
    """
    kind = HEALTH_CHECKS.get(name, HEALTH_CHECKS["source-address"])
    return HealthCheck(name, what, kind.effect, advice or kind.advice, kind.severity)


def fired_by_message(name: str, message: str) -> HealthCheck:
    """The same from a message of the form ``what; advice``."""
    what, _, advice = message.rpartition("; ")
    return fired(name, what, advice[:1].upper() + advice[1:]) if what else fired(name, message)


@dataclass(frozen=True)
class Signs:
    """What the checks look at in one process, when the load is over."""

    record: LoadRecord
    vitals: Vitals
    foreseen: Sequence[HealthCheck] = ()
    """What was found before the load."""
    own_ports: Sequence[int] = ()
    """Ports of targets that this process serves itself."""
    left_fast_path: Mapping[str, int] = field(default_factory=dict)
    """Calls that did not take the fast path, by the hook that was there."""
    unbound_adapters: Sequence[str] = ()
    """Adapters that do not leave from the users' source addresses."""
    workers_on_cpu: int = 1
    """How many workers load from the CPU that this load was kept on."""


class ResponseLimit(NamedTuple):
    """A threshold with an upper limit for response times."""

    expression: str
    quantile: float
    """The one that it is about, or the one that comes closest."""
    limit_ns: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the checks look at in the whole load, all its parts together."""

    measured: Measurements
    planned_iterations: int | None
    dropped_iterations: int | None
    user_time: UserTime = field(default_factory=UserTime)
    late_starts: int = 0
    """How many users began late, of how many that began."""
    users_started: int = 0
    uncertain: Sequence[tuple[str, int]] = ()
    """Percentile thresholds with too few samples, and how many there were."""
    is_cut_short: bool = False
    """Whether the load was broken off, or ended by a threshold."""
    is_functional: bool = False
    """Whether the body ran once, as in any other test."""
    judges_dropped: bool = False
    """Whether a threshold judges the dropped iterations."""
    response_limits: Sequence[ResponseLimit] = ()


def examine(signs: Signs) -> list[HealthCheck]:
    """The checks that fired in one process."""
    found = list(signs.foreseen)
    if signs.record.shortage is not None:
        found.append(fired_by_message("users-not-reached", signs.record.shortage))
    return [*found, *_saturation(signs.vitals), *_users(signs.record), *_remarks(signs)]


def examine_whole(outcome: Outcome) -> list[HealthCheck]:
    """The checks that only the whole load can tell."""
    found = [*_shortfall(outcome), *_missing_users(outcome), *_late_users(outcome), *_faults(outcome.measured)]
    found += [*_lateness(outcome), *_names(outcome.measured), *_nothing(outcome)]
    if outcome.uncertain:
        listed = ", ".join(f"'{expression}' on {format_count(count)}" for expression, count in outcome.uncertain)
        found.append(fired("too-few-samples", f"judged on few samples: {listed}"))
    return found


def by_gravity(checks: Iterable[HealthCheck]) -> list[HealthCheck]:
    """The checks, the gravest first."""
    return sorted(checks, key=lambda check: SEVERITIES.index(check.severity))


def _shortfall(outcome: Outcome) -> Iterator[HealthCheck]:
    planned, dropped = outcome.planned_iterations, outcome.dropped_iterations
    if planned and dropped is not None and not (outcome.is_cut_short or outcome.judges_dropped):
        share = dropped / planned
        if share > MOST_DROPPED:
            numbers = f"{format_count(dropped)} of {format_count(planned)} planned iterations never started"
            yield fired("rate-not-reached", f"{numbers} ({format_percent(share)})")


def _missing_users(outcome: Outcome) -> Iterator[HealthCheck]:
    time = outcome.user_time
    if time.missing_share > MOST_MISSING and not outcome.is_cut_short:
        planned, missing = time.planned_ns / 1e9, time.missing_ns / 1e9
        who = [
            f"{format_count(count)} {'user' if count == 1 else 'users'} {what}"
            for count, what in ((time.absent_users, "never began to iterate"), (time.late_users, "began too late"))
            if count
        ]
        seconds = f"users were missing for {missing:.3g} of {planned:.3g} planned user-seconds"
        yield fired("users-not-reached", f"{seconds} ({format_percent(time.missing_share)}): {', '.join(who)}")


def _faults(measured: Measurements) -> Iterator[HealthCheck]:
    for fault, count in measured.faults.items():
        times = f"{format_count(count)} {'time' if count == 1 else 'times'}"
        yield fired_by_message(fault, f"{times}: {measured.fault_messages[fault]}")


def _lateness(outcome: Outcome) -> Iterator[HealthCheck]:
    lateness = outcome.measured.latency(LATENESS)
    for limit in outcome.response_limits:
        late_ns = lateness.quantile(limit.quantile)
        if late_ns is not None and late_ns >= max(LATEST_START_NS, limit.limit_ns):
            late = f"{_duration(late_ns)} late (p{limit.quantile * 100:g} of {format_count(lateness.count)} iterations)"
            yield fired("late-iterations", f"the generator started iterations {late}, judged by '{limit.expression}'")
            break


def _saturation(vitals: Vitals) -> Iterator[HealthCheck]:
    if seen := saturation_signs(vitals):
        advice = "Stop what else runs on this processor, or give the load another one (--ipload-pin)"
        yield fired("generator-saturated", ", ".join(seen), advice if seen[-1] == USED_BY_OTHERS else "")


def _late_users(outcome: Outcome) -> Iterator[HealthCheck]:
    if outcome.late_starts:
        users = f"{format_count(outcome.late_starts)} of {format_count(outcome.users_started)} users"
        yield fired("late-starts", f"{users} started more than 50 ms after their time")


def _users(record: LoadRecord) -> Iterator[HealthCheck]:
    if lines := [*record.abandoned, *record.cut_short.values()]:
        yield fired("unstoppable-users", "; ".join(_listed(lines, [*record.abandoned_users, *record.cut_short])))


def _listed(lines: Sequence[str], users: Sequence[int]) -> list[str]:
    """The first lines, and the numbers of the users that the others are about."""
    more = len(lines) - _MOST_LISTED
    if more <= 0:
        return list(lines)
    numbers = ", ".join(map(str, users[_MOST_LISTED : _MOST_LISTED + _MOST_NUMBERS]))
    which = (
        f": {'user' if more == 1 else 'users'} {numbers}{', ...' if more > _MOST_NUMBERS else ''}" if numbers else ""
    )
    return [*lines[:_MOST_LISTED], f"and {format_count(more)} more{which}"]


def _names(measured: Measurements) -> Iterator[HealthCheck]:
    if measured.names_dropped:
        samples = f"{format_count(measured.names_dropped)} samples"
        yield fired("too-many-names", f"{samples} are counted as '(other names)'")


def _nothing(outcome: Outcome) -> Iterator[HealthCheck]:
    """Requests that go past the session leave no trace: a client that all users share, say."""
    measured = outcome.measured
    completed = measured.count(ITERATION, outcome=OK)
    is_timed = measured.count(REQUEST) or measured.count(STEP) or measured.faults
    if completed and not (is_timed or outcome.is_functional):
        yield fired("nothing-measured", f"{format_count(completed)} iterations completed and no request was measured")


def _remarks(signs: Signs) -> Iterator[HealthCheck]:
    if signs.unbound_adapters:
        yield fired("own-adapter", f"mounted: {', '.join(signs.unbound_adapters)}")
    if signs.left_fast_path:
        seen = [f"{format_count(count)} requests: {hook}" for hook, count in signs.left_fast_path.items()]
        yield fired("fast-path-left", "; ".join(seen[:_MOST_LISTED]))
    if signs.own_ports:
        ports = f"port{'s' if len(signs.own_ports) > 1 else ''} {', '.join(map(str, signs.own_ports))}"
        yield fired("target-in-process", f"this very process listens on {ports}, as Django's live_server does")
    if signs.record.pin_problem is not None:
        yield fired("not-pinned", signs.record.pin_problem)
    if signs.workers_on_cpu > 1 and signs.record.pinned_cpu is not None:
        workers = f"the loads of {signs.workers_on_cpu} workers"
        yield fired("shared-cpu", f"{workers} run on CPU {signs.record.pinned_cpu}")


def _duration(ns: int) -> str:
    return format_duration(ns / 1e9)
