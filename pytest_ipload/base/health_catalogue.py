"""The health checks of the generator: their names, what each means for the numbers, and one that fired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

INVALID, SATURATED, UNHEALTHY, REMARK = SEVERITIES = ("invalid", "saturated", "unhealthy", "remark")
"""In this order: it flatters the target; it makes the target look worse than it is; shown only; for information.

``verdict.health_rule`` applies the first two to verdicts.
"""


class Kind(NamedTuple):
    """What all checks of one name have in common."""

    severity: str
    meaning: str
    effect: str
    """How it affects the numbers."""
    advice: str


_NEVER_SENT = "Such requests were never sent and are not counted: the target got less load than planned"


HEALTH_CHECKS: Mapping[str, Kind] = {
    "rate-not-reached": Kind(
        INVALID,
        "more than 1 % of the planned iterations never started",
        "The target got less load than planned, and the slower the target, the less load it got",
        "Raise max_users, lower the rate, or set a threshold on dropped_iterations yourself",
    ),
    "users-not-reached": Kind(
        INVALID,
        "users were missing for more than 5 % of the planned time",
        "The target got less load than planned",
        "Set users up before the load (set_up='before'), speed up their set-up, or use fewer users",
    ),
    "different-targets": Kind(
        INVALID,
        "the processes sharing the load connected to different targets",
        "Each target got only part of the load",
        "A fixture that starts the target starts one in each worker: start it once, before the workers (in "
        "pytest_sessionstart of a conftest.py), or give each load one worker (--ipload-shards=1)",
    ),
    "partner-ended": Kind(
        INVALID,
        "a load that runs together with this one ended before its time",
        "From then on the target got less load than planned",
        "The result of the other load says why it ended",
    ),
    "partner-failed": Kind(
        INVALID,
        "all iterations of a load that runs together with this one failed",
        "The target may have got less load than planned, or none of the other load's",
        "The result of the other load says why they failed; if they are meant to fail, suppress this check",
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
        "a target has no address of the same family as the source address",
        _NEVER_SENT,
        "Add a source address of the target's family to the pool",
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
        "the generator was too busy, or waited too long for a processor, to keep up with the load",
        "Latencies may include time that the generator itself took, and rates may be limited by the generator: the "
        "target may look worse than it is, but not better",
        "Use fewer users or more think time, or do less in the body",
    ),
    "events-read-late": Kind(
        SATURATED,
        "more than 1 % of the gaps between events were not measured, because the events were read too late",
        "Of events that waited together, the first has the whole gap and the others 0: high percentiles of gaps may be "
        "too high, and low ones too low",
        "Do less for each event, or after the stream; stop other work on this processor; or use fewer users",
    ),
    "late-iterations": Kind(
        UNHEALTHY,
        "the generator started iterations late, by more than the limit for response times",
        "Response times exclude this lateness, but late iterations come in bursts, which are harder on the "
        "target than the plan",
        "Use fewer users or a lower rate, or do less in the body and in the set-up of users",
    ),
    "late-starts": Kind(
        UNHEALTHY,
        "users started more than 50 ms late",
        "Until then the target got less load than planned",
        "Use a longer ramp-up, or do less in the set-up of users and in the body",
    ),
    "unstoppable-users": Kind(
        UNHEALTHY,
        "users did not stop when the load ended",
        "Their running iteration counts as failed, and their threads may disturb the tests that follow",
        "Set a timeout on whatever they wait for",
    ),
    "too-many-names": Kind(
        UNHEALTHY,
        "more names of requests, checks or metrics than are kept separately",
        "Thresholds and rows for individual names do not include these samples",
        "If a path contains an id, give its requests one name: by the ini key ipload_names (/items/{id}), or by name=. "
        "Give checks and metrics names without ids",
    ),
    "bare-calls": Kind(
        UNHEALTHY,
        "the body bypasses its session",
        "Such requests are not timed; with bind_sockets='session' they also leave from any address and are not "
        "checked against the allowed hosts",
        "Use ipload_session, or time them with ipload_user.measure()",
    ),
    "shared-fixture": Kind(
        UNHEALTHY,
        "all users share a value that is not thread-safe",
        "Users may wait for each other, which adds to the latencies, or corrupt each other's data",
        "Make the fixture depend on ipload_user; then each user has its own",
    ),
    "own-adapter": Kind(
        UNHEALTHY,
        "a mounted adapter does not use the users' source addresses",
        "Requests sent through it may leave from any address",
        "Mount a separate requests.adapters.HTTPAdapter on each session, with no source address of its own",
    ),
    "few-ports": Kind(
        UNHEALTHY,
        "this host has fewer local ports than the load may need",
        "Connections fail when they run out",
        "Use more source addresses or fewer users",
    ),
    "too-few-samples": Kind(
        REMARK,
        "a percentile has too few samples",
        "A percentile p needs 10/(1-p) samples, 200 for p95 and 1 000 for p99; with fewer it varies from run to run",
        "Run longer, or judge a lower percentile",
    ),
    "partner-skipped": Kind(
        REMARK,
        "a load test that should have run together with this one was skipped",
        "The target got less load than with all of them",
        "The report of the other test says why it was skipped",
    ),
    "nothing-measured": Kind(
        REMARK,
        "iterations completed, but no request was measured",
        "There are no latencies, and only failed iterations can fail the test",
        "Send the requests through ipload_session (give your own client the session, as in "
        "client.session = ipload_session in a fixture), or time calls of other protocols with ipload_user.measure()",
    ),
    "failures-not-judged": Kind(
        REMARK,
        "iterations failed, and no threshold judges that",
        "Thresholds on requests do not see iterations that fail by an exception or an assertion: the test may pass "
        "although all of them failed",
        "Add error_rate < 1%, or the share that may fail",
    ),
    "checks-not-judged": Kind(
        REMARK,
        "checks failed, and no threshold is about them",
        "A threshold on some checks replaces the implied one on all: the test may pass although others failed",
        "Add check_rate == 100%, or the share that has to hold",
    ),
    "no-step-run": Kind(
        REMARK,
        "the iterations of a scenario file ran no request, action or component",
        "The target had nothing to do, so the result says nothing about it",
        "See which 'if' or 'repeat' of the scenario left its steps out",
    ),
    "target-in-process": Kind(
        REMARK,
        "the target runs in the process that generates the load",
        "It shares the interpreter with the load: latencies include time spent on the load",
        "Run the server in a separate process",
    ),
    "segments-missing": Kind(
        UNHEALTHY,
        "segments are missing, and `merge --min-segments` allows that",
        "The target got less load than planned. Nothing is scaled up: thresholds on counts and rates are judged only "
        "where the missing segments could not change them, and make the load invalid otherwise",
        "See why these segments left no result",
    ),
    "clock-not-synchronised": Kind(
        REMARK,
        "a segment's clock is not synchronised, and the target's clock is unknown",
        "Whether the segments ran at the same time is known only as precisely as their clocks agree",
        "Run NTP on the machines, or set a base_url whose responses have a Date header",
    ),
    "fast-path-left": Kind(
        REMARK,
        "functions of requests, urllib3 or http.client are patched or overridden, or log each request",
        "Requests went through them, which takes more processor time per request: rates may be lower",
        "Remove them during loads if they are not needed; with fast=False (--ipload-fast off) no request "
        "takes the fast path, and this check does not fire",
    ),
    "not-pinned": Kind(
        REMARK,
        "the load was not pinned to one processor",
        "Switching processors takes time: latencies may be higher and rates lower",
        "Allow the process to choose its processors, or set pin to 'off'",
    ),
    "waited-for-loads": Kind(
        REMARK,
        "the load of ipload.run waited for those of other workers' tests",
        "The measurement is not affected, but the wait counts against a timeout of the test",
        "Run these tests without -n, or with --ipload-concurrent if they may disturb each other",
    ),
    "shared-cpu": Kind(
        REMARK,
        "the loads of several workers run on one processor",
        "Concurrent loads slow each other down",
        "Set pin to 'auto' and use at most one worker per processor: then each worker has its own",
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
    """How it affects the numbers of the load."""
    advice: str
    severity: str

    def __post_init__(self) -> None:
        """ValueError for an unknown severity: a check may come from a file."""
        if self.severity not in SEVERITIES:
            raise ValueError(
                f"{self.severity!r} is not a valid severity of a health check; allowed: {', '.join(SEVERITIES)}"
            )

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

    A name that is not in the table is a generator error named by an exception from outside this package.
    """
    kind = HEALTH_CHECKS.get(name, HEALTH_CHECKS["source-address"])
    return HealthCheck(name, what, kind.effect, advice or kind.advice, kind.severity)


def fired_by_message(name: str, message: str) -> HealthCheck:
    """The same from a message of the form ``what; advice``."""
    what, _, advice = message.rpartition("; ")
    return fired(name, what, advice[:1].upper() + advice[1:]) if what else fired(name, message)


def by_gravity(checks: Iterable[HealthCheck]) -> list[HealthCheck]:
    """The checks, the most severe first."""
    return sorted(checks, key=lambda check: SEVERITIES.index(check.severity))
