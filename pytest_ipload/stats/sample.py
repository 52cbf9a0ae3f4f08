"""One timed thing, as the user's thread hands it over."""

from __future__ import annotations

from typing import NamedTuple

REQUEST = "request"
STEP = "step"
SETUP = "setup"  # a request outside the iterations: in a per-user fixture's set-up or teardown
ITERATION = "iteration"
LATENESS = "lateness"  # of one planned iteration: what of it was the generator's own doing, as a latency
FIRST_EVENT = "ttfe"  # of a stream: from the start of its request to the first event
GAP = "gap"  # of a stream: from one event to the next
CHECK = "check"  # of the test's own; it takes no time, and fails alone
OBSERVED = "metric"  # a time that the test observed: a sample that ended when it was reported
KINDS = (REQUEST, STEP, SETUP, ITERATION, LATENESS, FIRST_EVENT, GAP, CHECK, OBSERVED)
COUNT = "count"  # numbers of the test's own, kept apart from samples: what is added up
GAUGE = "gauge"  # and what goes up and down

OK = "ok"
FAILED = "failed"
FAULT = "fault"  # the generator's own side failed: not the target's error


class Problem(NamedTuple):
    """Why a sample failed, in words that group well: the same cause gives the same type and location."""

    type: str
    """The exception's type name, or ``HTTP 503`` for a reply that does not count as a success."""
    message: str
    location: str
    """``file:line`` in the user's code; empty when unknown."""


class Sample(NamedTuple):
    """One request, step or iteration. Times are nanoseconds of ``time.perf_counter_ns``."""

    kind: str
    name: str
    started_ns: int
    latency_ns: int
    """Service time: from the request's start to the last byte of its body (sum over the hops of a redirect)."""
    outcome: str = OK
    """``ok``, ``failed`` or ``fault``; see the constants above."""
    status: int = 0
    """HTTP status of the last reply; 0 where there was none."""
    source_address: str | None = None
    redirects: int = 0
    connections: int = 0
    """Connections opened for this sample; the three times below are of the last one and absent where it is 0."""
    connect_ns: int | None = None
    tls_ns: int | None = None
    first_byte_ns: int | None = None
    """From the request's start to the first byte of the reply's head."""
    opening_ns: tuple[int, int] | None = None
    """Connecting and TLS of all these connections, in sum; None where that of one of them is unknown."""
    problem: Problem | None = None
    fault: str | None = None
    """The name of the generator's fault (``ports-exhausted`` ...), with the outcome ``fault``."""
    lateness_ns: int = 0
    """How late the iteration was because its user was still busy; added to the latency it gives the response time."""
    retries: int = 0
    """How often a request was sent again, on a new connection, because a kept one had gone stale."""


_new = tuple.__new__  # what the constructor of a NamedTuple calls when it has sorted out its arguments


def timed_sample(
    kind: str,
    name: str,
    started_ns: int,
    latency_ns: int,
    outcome: str = OK,
    status: int = 0,
    source_address: str | None = None,
    lateness_ns: int = 0,
) -> Sample:
    """A ``Sample`` of these fields, the others being what they are by default: in two thirds of the time."""
    fields = (
        kind, name, started_ns, latency_ns, outcome, status, source_address,
        0, 0, None, None, None, None, None, None, lateness_ns, 0,
    )  # fmt: skip
    return _new(Sample, fields)


def with_lateness(sample: Sample, lateness_ns: int) -> Sample:
    """The sample with another lateness, as ``_replace`` makes it: in a third of the time."""
    return _new(Sample, (*sample[:-2], lateness_ns, sample.retries))  # the last two fields
