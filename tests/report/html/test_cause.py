"""Why a test is red, as its section begins."""

from __future__ import annotations

import pytest
from support.pages import full_result, with_optional
from support.results import judged, load_result
from support.samples import request

from pytest_ipload.report.html.cause import names_beyond, reasons_of
from pytest_ipload.stats.summary import PlainResult


def result_of(*expressions: str, slow_ms: int = 50, **fields: object) -> PlainResult:
    """A load of a slow and a fast request, judged."""
    samples = [request(name, ms) for name, ms in (("GET /slow", slow_ms), ("GET /fast", 1)) for _ in range(10)]
    return {**load_result(samples, thresholds=[judged(each, samples) for each in expressions]).as_dict(), **fields}


def test_a_reason_has_a_part_for_all_that_failed() -> None:
    parts = [
        "p95 9 ms; of a name, limit < 1 ms",
        "late-starts: 3 of 5; x",
        "rps 3",
        "a plugin; its reason",
        "although y",
    ]
    result = {
        "reason": "; ".join(parts),
        "thresholds": [{"message": parts[0]}],
        "generator": {"checks": [{"name": "late-starts"}]},
        "comparisons": [{"message": parts[2]}, {"message": ""}, {}],
        "objections": [parts[3]],
    }
    assert reasons_of(result) == parts
    assert reasons_of({"reason": "the set-up failed: a; b"}) == ["the set-up failed: a; b"]
    assert reasons_of({"reason": ""}) == []
    assert len(reasons_of(with_optional(full_result(message="slower"), "slower"))) == 2


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("p95 < 20ms", ["p95 by request name: GET /slow 50.0 ms; the other 1 within the limit"]),
        ("median < 500us", []),  # all are
        ("p95 < 2s", []),  # it held
        ("p95{GET /slow} < 20ms", []),  # of one name
        ("iteration.p95 < 20ms", []),
    ],
)
def test_the_request_names_beyond_a_limit_are_named(expression: str, shown: list[str]) -> None:
    assert names_beyond(result_of(expression)) == shown


def test_what_is_not_known_by_name_is_not_told_by_name() -> None:
    assert names_beyond(result_of("p95 < 20ms", response_time={})) == []
