"""How a session's calls become samples, and what is kept of some of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from requests import PreparedRequest, Response

from pytest_ipload.base.traceparent import HEADER, Traceparent, Tracer
from pytest_ipload.stats.evidence.evidence import Exchange
from pytest_ipload.stats.evidence.keeper import UserEvidence
from pytest_ipload.stats.sample import Sample
from pytest_ipload.transport.bound_session import BoundSession
from pytest_ipload.transport.call import USUAL, Call
from pytest_ipload.transport.captured import captured
from pytest_ipload.transport.fast_path.fast_path import FastPath, hop_of
from pytest_ipload.transport.fast_path.prepared_call import NO_FLOOR, PreparedCall
from pytest_ipload.transport.response import LoadResponse


class RecordingSession(BoundSession):
    """A session that hands its calls on as samples."""

    record: Callable[[Sample], None] | None
    evidence: UserEvidence | None = None
    """Gets the requests and replies that may be worth keeping; None if none are kept."""
    tracer: Tracer | None = None
    """Gives each request its ``traceparent``; None if they get none."""

    def hand_on(self, sample: Sample | None, call: Call, response: Response | None, error: object = None) -> None:
        """Record the sample of a call that has ended, if there is one."""
        if sample is None or self.record is None:
            return
        if self.evidence is not None:
            self.evidence.exchange = sample.started_ns, partial(_exchange_of, call, response, error)
        self.record(sample)

    def _record_unusual(self, reply: LoadResponse, call: Call) -> None:
        """Record a reply of the fast path that has failed, or came on a new connection."""
        call.begin(reply.request)
        call.hops.append(hop_of(reply))
        self.hand_on(call.sample(reply), call, reply)

    def _offer(self, outgoing: PreparedCall, label: str, reply: LoadResponse) -> None:
        """An ordinary reply of the fast path may be one of the slowest of its name.

        What the next one has to exceed is kept with its request. It grows meanwhile, by the requests of other users:
        to come here too often does no harm.
        """
        evidence = self.evidence
        outgoing.floor_name, outgoing.floor_ns = label, NO_FLOOR if evidence is None else evidence.floors[label]
        if evidence is None or reply.latency_ns <= outgoing.floor_ns:
            return
        times = reply.started_ns, reply.latency_ns
        make = partial(_exchange_of_reply, reply)
        evidence.keep(label, *times, reply.status_code, reply.source_address, make)

    def _record_interrupted(self, fast_path: FastPath, name: str | None, error: BaseException) -> None:
        """Record a request of the fast path that was interrupted at the end of the load: it has failed."""
        outgoing, hop = fast_path.interrupted, self.binding.thread.interrupted
        fast_path.interrupted = self.binding.thread.interrupted = None
        if self.record is not None and self.binding.ended and outgoing is not None and hop is not None:
            call = Call(name or outgoing.label, USUAL)
            call.hops.append(hop)
            self.record(cast(Sample, call.sample(None, error)))  # a call with a hop has one

    def _trace(self, request: PreparedRequest) -> None:
        """Give a request its ``traceparent``, unless its user has; one that a redirect leads to gets a new one."""
        tracer = self.tracer
        if tracer is None or not isinstance(request.headers.get(HEADER, tracer.last), Traceparent):
            return
        is_sent = self.binding.thread.fall_back is not None and tracer.last  # by the fast path, with this header
        request.headers[HEADER] = tracer.last if is_sent else tracer.header()


def _exchange_of_reply(reply: LoadResponse) -> Exchange:
    return captured(reply.request, reply)


def _exchange_of(call: Call, response: Response | None, error: object) -> Exchange:
    answered = response if response is not None else getattr(error, "response", None)
    request = getattr(answered, "request", None) or getattr(error, "request", None) or call.request
    return captured(request, answered, call.request)
