"""Which request says most about a red test."""

from __future__ import annotations

from typing import Any

import pytest
from support.results import failure, judged, load_result
from support.samples import request

from pytest_ipload.report.html.sections import sections_of
from pytest_ipload.report.telling import telling
from pytest_ipload.stats.sample import FAILED
from pytest_ipload.verdict.result import FailureSummary


def kept(name: str, kind: str = "slow", *, t_s: float = 1.0, latency_ms: float = 9.0, **more: Any) -> dict[str, Any]:
    fields = {"at": "", "user": 0, "iteration": 0, "status": 200}
    return {"name": name, "kind": kind, "t_s": t_s, "latency_ms": latency_ms, **fields, **more}


def red(evidence: list[dict[str, Any]], *expressions: str, failures: tuple[FailureSummary, ...] = ()) -> dict[str, Any]:
    """A test that these thresholds, of which the first fails, have made red."""
    samples = [request("GET /a", 50), request("GET /b", 5), request("GET /b", outcome=FAILED)]
    thresholds = [judged(each, samples) for each in expressions]
    result = load_result(samples, verdict="failed", thresholds=thresholds, failures=failures).as_dict()
    return {**result, "evidence": evidence}


ERROR = "HTTP 500: GET /b answered 500"
SLOW = [kept("GET /a", latency_ms=50.0), kept("GET /b", latency_ms=5.0)]
RARE = kept("GET /b", "failed", t_s=0.1, error="HTTP 503: GET /b answered 503", user=7)
OFTEN = kept("GET /b", "failed", t_s=0.2, error=ERROR, user=8)
SET_UP = {name: value for name, value in kept("log in", "failed", t_s=-1.0).items() if name != "iteration"}


@pytest.mark.parametrize(
    ("evidence", "expressions", "failures", "shown"),
    [
        ([*SLOW, RARE, OFTEN], ["request_error_rate < 1%"], (), RARE),  # the first
        ([*SLOW, RARE, OFTEN], ["request_error_rate < 1%"], (failure("HTTP 500"), failure("HTTP 503")), OFTEN),
        ([*SLOW, OFTEN], ["p95 < 1ms", "request_error_rate < 90%"], (), SLOW[0]),  # errors are tolerated
        ([*SLOW, OFTEN], ["p95{GET /b} < 1ms"], (), SLOW[1]),
        ([*SLOW, OFTEN], ["p95{GET *b} < 1ms"], (), SLOW[1]),
        ([OFTEN, SET_UP], ["p95{GET /a} < 1ms"], (), OFTEN),  # none of it is kept
        ([SET_UP, OFTEN], ["request_error_rate < 1%"], (), OFTEN),
        (SLOW, ["rps > 1000"], (), SLOW[0]),
        ([], ["p95 < 1ms"], (), None),
    ],
)
def test_it_is_one_that_the_verdict_is_about(
    evidence: list[dict[str, Any]], expressions: list[str], failures: tuple[FailureSummary, ...], shown: Any
) -> None:
    assert telling(red(evidence, *expressions, failures=failures)) == shown


@pytest.mark.parametrize(
    ("evidence", "expression", "title"),
    [
        ([OFTEN], "request_error_rate < 1%", "A request that shows it"),
        (SLOW, "p95 < 1ms", "A request that shows it"),
        (SLOW, "rps > 1000", "The slowest request"),
        (SLOW, "p95{metric:age} < 1ms", "The slowest request"),
    ],
)
def test_the_slowest_one_is_not_called_the_reason_of_something_else(
    evidence: list[dict[str, Any]], expression: str, title: str
) -> None:
    [section] = sections_of([red(evidence, expression)])
    assert section.telling_title == title


def test_what_failed_first_decides_what_is_told_first() -> None:
    errors_first, time_first = sections_of(
        [
            red([], *each)
            for each in (["request_error_rate < 1%", "p95 < 1ms"], ["p95 < 1ms", "request_error_rate < 1%"])
        ]
    )
    assert (errors_first.is_about_errors, time_first.is_about_errors) == (True, False)
