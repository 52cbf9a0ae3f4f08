from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.results import load_result
from support.samples import iteration, measurements, request
from support.searches import plan

from pytest_ipload.capacity.round_judge import outcome_of
from pytest_ipload.capacity.search_round import FAILS, GENERATOR_LIMITED, HOLDS, UNDECIDED
from pytest_ipload.stats.sample import FAILED, OK, Sample
from pytest_ipload.verdict.result import LoadResult
from pytest_ipload.verdict.threshold.evaluate import evaluate
from pytest_ipload.verdict.threshold.measure import Scope


def samples(slow: int, *, failed: int = 0, count: int = 1000) -> list[Sample]:
    """Requests of 100 ms, of which some take 300 ms, and their iterations, of which some fail."""
    latencies = [300 if number < slow else 100 for number in range(count)]
    outcomes = [FAILED if number < failed else OK for number in range(count)]
    return [
        *(request(latency_ms=latency, at_ms=10 * number) for number, latency in enumerate(latencies)),
        *(iteration(latency_ms=latency, outcome=each) for latency, each in zip(latencies, outcomes, strict=True)),
    ]


def judged(taken: Sequence[Sample], verdict: str = "passed", reason: str = "") -> LoadResult:
    """A round's result."""
    configs = plan("p95 < 200ms", "error_rate < 1%").judged
    results = [evaluate(config, measurements(taken), Scope(10.0)) for config in configs]
    return load_result(taken, thresholds=results, verdict=verdict, reason=reason)


@pytest.mark.parametrize(
    ("slow", "failed", "state", "within", "threshold"),
    [
        (0, 0, HOLDS, True, None),
        (45, 0, UNDECIDED, True, "p95 < 200ms"),
        (55, 0, UNDECIDED, False, "p95 < 200ms"),
        (200, 0, FAILS, False, "p95 < 200ms"),
        (0, 8, UNDECIDED, True, "error_rate < 1%"),
        (0, 12, UNDECIDED, False, "error_rate < 1%"),
        (0, 50, FAILS, False, "error_rate < 1%"),
        (45, 12, UNDECIDED, False, "error_rate < 1%"),
        (45, 50, FAILS, False, "error_rate < 1%"),
        (0, 1000, FAILS, False, "error_rate < 1%"),
    ],
)
def test_the_worst_expression_decides(slow: int, failed: int, state: str, within: bool, threshold: str | None) -> None:
    outcome = outcome_of(judged(samples(slow, failed=failed)))
    assert (outcome.state, outcome.within, outcome.threshold) == (state, within, threshold)
    assert (outcome.reason == "") == (state == HOLDS)
    assert threshold is None or outcome.reason.startswith(threshold.split(" < ", maxsplit=1)[0])


def test_its_numbers_are_those_of_the_load() -> None:
    outcome = outcome_of(judged(samples(100, failed=20)))
    assert (outcome.p50_ms, outcome.p95_ms, outcome.p99_ms) == pytest.approx((100, 300, 300), rel=0.001)
    assert (outcome.error_rate, outcome.aborted) == (0.02, False)
    assert outcome_of(replace(judged(samples(0)), aborted_s=2.5)).aborted


def test_an_invalid_round_says_nothing_about_the_target() -> None:
    outcome = outcome_of(judged(samples(200), "invalid", "generator-saturated: too busy"))
    assert (outcome.state, outcome.threshold) == (GENERATOR_LIMITED, None)
    assert outcome.reason == "generator-saturated: too busy"


def test_objections_of_plugins_fail_a_round() -> None:
    outcome = outcome_of(judged(samples(0), "failed", "3 orders are missing"))
    assert (outcome.state, outcome.threshold, outcome.reason) == (FAILS, None, "3 orders are missing")


def test_a_round_that_ended_in_an_error_has_no_outcome() -> None:
    with pytest.raises(ValueError, match="a round that ended in an error has no outcome: no server"):
        outcome_of(judged(samples(0), "error", "no server"))
