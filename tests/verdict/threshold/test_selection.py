from __future__ import annotations

import pytest
from support.samples import measurements, request, step

from pytest_ipload.stats.sample import FAILED, ITERATION, OK, REQUEST, STEP
from pytest_ipload.stats.spans import Selection
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.selection import noun_of, selection_of, selections, times_of


@pytest.mark.parametrize(
    ("expression", "planned", "expected", "noun"),
    [
        ("p95 < 1s", False, Selection(REQUEST, "latency", outcome=OK), "requests"),
        ("p95 < 1s", True, Selection(REQUEST, "response", outcome=OK), "requests"),
        ("raw.p95 < 1s", True, Selection(REQUEST, "latency", outcome=OK), "requests"),
        ("failed.p95 < 1s", True, Selection(REQUEST, "latency", outcome=FAILED), "failed requests"),
        ("iteration.p95 < 1s", True, Selection(ITERATION, "response", outcome=OK), "iterations"),
        ("ttfb.p95 < 1s", True, Selection(REQUEST, "first_byte", outcome=OK), "connections"),
        ("p95{step:pay} < 1s", False, Selection(STEP, "latency", name="pay", outcome=OK), "steps"),
        ("p95{GET /*} < 1s", False, Selection(REQUEST, "latency", name="GET /*", outcome=OK), "requests"),
        ("max{status:200} < 1s", False, Selection(REQUEST, "latency", status=200, outcome=OK), "requests"),
        ("error_rate < 1%", True, Selection(ITERATION, "outcome"), "iterations"),
        (
            "request_error_rate{source:10.0.0.1} < 1%",
            False,
            Selection(REQUEST, "outcome", source_address="10.0.0.1"),
            "requests",
        ),
    ],
)
def test_a_threshold_is_about_certain_samples(expression: str, planned: bool, expected: Selection, noun: str) -> None:
    selection = selection_of(Threshold.parse(expression), planned)
    assert selection == expected
    assert noun_of(expected) == noun


def test_counts_are_about_no_samples_in_particular() -> None:
    assert selection_of(Threshold.parse("requests > 5"), planned=False) is None


def test_only_what_needs_spans_has_them() -> None:
    def judged(expression: str, **more: float | bool) -> ThresholdConfig:
        return ThresholdConfig(Threshold.parse(expression), **more)  # type: ignore[arg-type]  # each fits its field

    without = [
        judged("max < 1s"),
        judged("mean < 1s"),
        judged("error_rate < 1%"),
        judged("rps > 1"),
        judged("errors < 1"),
    ]
    assert selections([*without, judged("p95 < 1s", window=1.0)], planned=False) == []
    assert selections([judged("p95 < 1s"), judged("p99 < 1s")], planned=False) == [
        Selection(REQUEST, "latency", outcome=OK)
    ]
    assert len(selections([judged("error_rate < 1%", confidence=0.9)], planned=False)) == 1
    watched = [judged(each.threshold.text, abort_on_fail=True) for each in without]
    assert len(selections(watched, planned=False)) == 3


def test_its_times_are_those_of_the_table() -> None:
    table = measurements([request(latency_ms=5), step("pay", 7), request(latency_ms=9, outcome=FAILED)])
    for expression, ms in (("p95 < 1s", 5), ("p95{step:pay} < 1s", 7), ("failed.p95 < 1s", 9)):
        selection = selection_of(Threshold.parse(expression), planned=False)
        assert selection is not None
        assert times_of(table, selection).max_ns == ms * 1_000_000
