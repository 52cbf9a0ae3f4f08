"""A response that its test calls a failure, after its request was recorded as a success."""

from __future__ import annotations

import sys
from typing import Any

from requests import Response

from pytest_ipload.base.code_location import place_of_frame
from pytest_ipload.base.errors import IploadError, SettingError
from pytest_ipload.base.masking import masked
from pytest_ipload.stats.sample import FAILED, OK, Problem, Sample
from pytest_ipload.transport.connect.binding import Binding

TYPE = "ResponseFailed"
"""The type of the failure in reports."""
_RECORDED, _STREAMING, _FAILURE = "_recorded", "_streaming", "_failure"
"""Attributes of a response: where it was recorded and with which times; whether it will be; and what failed it."""


def note_recorded(response: Response, binding: Binding, sample: Sample) -> Sample:
    """The sample of a response that did not come by the fast path; the response remembers it."""
    vars(response)[_RECORDED] = binding, sample.started_ns, sample.latency_ns
    return sample


def begin_stream(response: Response) -> None:
    """The response is recorded later, when its stream has ended."""
    vars(response)[_STREAMING] = True


def end_stream(response: Response, binding: Binding, sample: Sample | None) -> Sample | None:
    """The sample of a stream that has ended, failed if the response was."""
    vars(response)[_STREAMING] = False
    if sample is None:
        return None
    problem = vars(response).get(_FAILURE)
    if problem is not None and sample.outcome == OK:
        sample = sample._replace(outcome=FAILED, problem=problem)
    return note_recorded(response, binding, sample)


def fail_response(response: Any, why: object) -> None:
    """See ``LoadResponse.fail``."""
    if not isinstance(why, str) or not why.strip():
        raise SettingError(f"response.fail({why!r:.80}): say why, as a text that is not empty")
    state = vars(response)
    if _FAILURE in state:
        return
    problem = Problem(TYPE, masked(why), place_of_frame(sys._getframe(1)))
    if not state.get(_STREAMING):
        binding, started_ns, latency_ns = state.get(_RECORDED) or _of_fast_path(response)
        if binding is None or binding.fail_request is None:
            raise IploadError(
                f"response.fail({why!r:.200}): the response is not one of the user's session in a load test "
                "(ipload_session); use an assertion"
            )
        binding.fail_request(started_ns, latency_ns, problem)
    state[_FAILURE] = problem


def _of_fast_path(response: Any) -> tuple[Binding | None, int, int]:
    outgoing = vars(response).get("outgoing")
    binding = None if outgoing is None else outgoing.adapter.binding
    return binding, response.started_ns, response.latency_ns
