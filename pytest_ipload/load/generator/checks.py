"""Checks of the load generator by name, each with its effect on the numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pytest_ipload.base.health_catalogue import HealthCheck, fired, fired_by_message
from pytest_ipload.base.text import printable
from pytest_ipload.base.units import NS_PER_S, format_count, format_duration, format_number, format_percent
from pytest_ipload.load.generator.saturation import USED_BY_OTHERS, USERS_PER_WORKER, saturation_signs
from pytest_ipload.load.user_time import UserTime
from pytest_ipload.stats.own_summary import checks_of
from pytest_ipload.stats.sample import CHECK, FAILED, ITERATION, LATENESS, OBSERVED, OK, REQUEST, STEP
from pytest_ipload.stats.series_table import matches

if TYPE_CHECKING:
    from pytest_ipload.load.generator.monitor import GeneratorReadings
    from pytest_ipload.load.load_record import LoadRecord
    from pytest_ipload.stats.measurements import Measurements


MOST_DROPPED = 0.01
"""The largest share of the planned iterations that may be dropped."""
MOST_MISSING = 0.05
"""The share of the planned user-seconds in which users may be missing."""
LATEST_START_NS = 20_000_000
"""The generator's own lateness of iterations below which it is too small to matter, whatever the limit."""
MOST_JOINED = 0.01
"""The share of gaps between events that may be unknown: more would move a p99."""
_MOST_LISTED = 3
_MOST_NUMBERS = 100


@dataclass(frozen=True)
class CheckInput:
    """What the checks examine in one process, when the load is over."""

    record: LoadRecord
    vitals: GeneratorReadings
    foreseen: Sequence[HealthCheck] = ()
    """What was found before the load."""
    own_ports: Sequence[int] = ()
    """Ports of targets that this process serves itself."""
    left_fast_path: Mapping[str, int] = field(default_factory=dict)
    """Calls that did not take the fast path, by the hook that was there."""
    unbound_adapters: Sequence[str] = ()
    """Adapters that do not leave from the users' source addresses."""
    gaps: int = 0
    """Gaps between the events of streams."""
    joined_gaps: int = 0
    """Those of them whose length is not known."""
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
    """What the checks examine in the whole load, all its partitions together."""

    measured: Measurements
    planned_iterations: int | None
    dropped_iterations: int | None
    user_time: UserTime = field(default_factory=UserTime)
    late_starts: int = 0
    """How many users began late, of how many that began."""
    users_started: int = 0
    uncertain: Sequence[tuple[str, int]] = ()
    """Percentile thresholds with too few samples, and their number of samples."""
    is_cut_short: bool = False
    """Whether the load was aborted, from outside or by a threshold."""
    is_functional: bool = False
    """Whether the body ran once, as in any other test."""
    judges_dropped: bool = False
    """Whether a threshold judges the dropped iterations."""
    judges_failed: bool = True
    """Whether a threshold judges how many iterations failed."""
    judged_checks: Sequence[str] = ("*",)
    """Patterns of the names of checks that a threshold judges."""
    response_limits: Sequence[ResponseLimit] = ()


def examine(check_input: CheckInput) -> list[HealthCheck]:
    """The checks that fired in one process."""
    found = list(check_input.foreseen)
    if check_input.record.shortage is not None:
        found.append(fired_by_message("users-not-reached", check_input.record.shortage))
    return [
        *found,
        *_saturation(check_input),
        *_gaps(check_input),
        *_users(check_input.record),
        *_remarks(check_input),
    ]


def examine_whole(outcome: Outcome) -> list[HealthCheck]:
    """The checks that only the whole load can answer."""
    found = [*_shortfall(outcome), *_missing_users(outcome), *_late_users(outcome), *_faults(outcome.measured)]
    found += [*_lateness(outcome), *_names(outcome.measured), *_nothing(outcome)]
    found += [*_unjudged(outcome), *_unjudged_checks(outcome)]
    if outcome.uncertain:
        listed = ", ".join(f"'{expression}' on {format_count(count)}" for expression, count in outcome.uncertain)
        found.append(fired("too-few-samples", f"judged on too few samples: {listed}"))
    return found


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
        planned, missing = time.planned_ns / NS_PER_S, time.missing_ns / NS_PER_S
        who = [
            f"{format_count(count)} {'user' if count == 1 else 'users'} {what}"
            for count, what in ((time.absent_users, "never started an iteration"), (time.late_users, "started late"))
            if count
        ]
        seconds = f"users were missing for {format_number(missing)} of {format_number(planned)} planned user-seconds"
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


def _saturation(check_input: CheckInput) -> Iterator[HealthCheck]:
    seen, users = saturation_signs(check_input.vitals), check_input.record.users_started
    if not seen:
        return
    advice = ""
    if seen[-1] == USED_BY_OTHERS:
        advice = "Stop other work on this processor, or pin the load to another one (--ipload-pin)"
    elif users > USERS_PER_WORKER:
        advice = (
            f"Spread the {format_count(users)} users of this process over more workers (pytest -n), at most "
            f"{USERS_PER_WORKER} in each: beyond that, each request takes more processor time. Or use fewer users or "
            "more think time, or do less in the body"
        )
    yield fired("generator-saturated", ", ".join(seen), advice)


def _gaps(check_input: CheckInput) -> Iterator[HealthCheck]:
    gaps, joined = check_input.gaps, check_input.joined_gaps
    if joined > MOST_JOINED * gaps:
        numbers = (
            f"{format_count(joined)} of {format_count(gaps)} gaps between events ({format_percent(joined / gaps)})"
        )
        yield fired("events-read-late", f"{numbers} were not measured: the events waited to be read, together")


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
    dropped = measured.names_dropped + sum(measured.values.names_dropped.values())
    if dropped:
        yield fired("too-many-names", f"{format_count(dropped)} samples are counted as '(other names)'")


def _nothing(outcome: Outcome) -> Iterator[HealthCheck]:
    """Requests that bypass the session leave no trace, such as those of a client that all users share."""
    measured = outcome.measured
    completed = measured.count(ITERATION, outcome=OK)
    is_timed = any(map(measured.count, (REQUEST, STEP, CHECK, OBSERVED))) or measured.values or measured.faults
    if completed and not (is_timed or outcome.is_functional):
        yield fired("nothing-measured", f"{format_count(completed)} iterations completed but no request was measured")


def _unjudged(outcome: Outcome) -> Iterator[HealthCheck]:
    """A threshold on some of the requests, or on requests alone, leaves room for iterations that all fail."""
    failed, iterations = outcome.measured.count(ITERATION, outcome=FAILED), outcome.measured.count(ITERATION)
    if failed and not outcome.judges_failed:
        numbers = f"{format_count(failed)} of {format_count(iterations)} iterations failed"
        yield fired("failures-not-judged", f"{numbers}, and no threshold judges that")


def _unjudged_checks(outcome: Outcome) -> Iterator[HealthCheck]:
    """A threshold on some of the checks replaces the implied one, which is about all of them."""
    lines = [
        f"{printable(repr(row.name))} failed {format_count(row.failed)} of {format_count(row.total)} times"
        for row in checks_of(outcome.measured) or ()
        if row.failed and not any(matches(pattern, row.name) for pattern in outcome.judged_checks)
    ]
    if lines:
        yield fired("checks-not-judged", f"no threshold is about these checks: {', '.join(_listed(lines, ()))}")


def _remarks(check_input: CheckInput) -> Iterator[HealthCheck]:
    if check_input.unbound_adapters:
        yield fired("own-adapter", f"mounted: {', '.join(check_input.unbound_adapters)}")
    if check_input.left_fast_path:
        seen = [f"{format_count(count)} requests: {hook}" for hook, count in check_input.left_fast_path.items()]
        yield fired("fast-path-left", "; ".join(seen[:_MOST_LISTED]))
    if check_input.own_ports:
        ports = f"port{'s' if len(check_input.own_ports) > 1 else ''} {', '.join(map(str, check_input.own_ports))}"
        yield fired("target-in-process", f"this process itself listens on {ports}, as Django's live_server does")
    if check_input.record.pin_problem is not None:
        yield fired("not-pinned", check_input.record.pin_problem)
    if check_input.workers_on_cpu > 1 and check_input.record.pinned_cpu is not None:
        workers = f"the loads of {check_input.workers_on_cpu} workers"
        yield fired("shared-cpu", f"{workers} run on CPU {check_input.record.pinned_cpu}")


def _duration(ns: int) -> str:
    return format_duration(ns / NS_PER_S)
