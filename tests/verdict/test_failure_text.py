from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.results import failure, judged, load_result
from support.samples import request

from pytest_ipload.report.html.html_tables import failure_table
from pytest_ipload.stats.evidence.evidence import Evidence
from pytest_ipload.verdict.failure_text import failure_message
from pytest_ipload.verdict.result import Traceback


def test_thresholds_come_first_then_failures_then_a_traceback() -> None:
    samples = [request(latency_ms=10)]
    result = load_result(
        samples, verdict="failed", thresholds=[judged("p95 < 1ms", samples)], failures=[failure(count=3)]
    )
    assert failure_message(replace(result, traceback=Traceback("ValueError", "line 1\nline 2"))).splitlines() == [
        "p95 10.0 ms, limit < 1.00 ms (1 request, uncertain: p95 needs 200)",
        "",
        "0 iterations failed:",
        "  3 x HTTP 503 at test_a.py:3: no (first: user 0, iteration 0)",
        "",
        "the first ValueError:",
        "line 1",
        "line 2",
    ]


def test_a_body_that_raised_after_a_failed_request_names_it() -> None:
    def of(error: str, **more: Any) -> Evidence:
        fields: dict[str, Any] = {
            "name": "GET /",
            "kind": "failed",
            "at": "",
            "t_s": 1.0,
            "user": 0,
            "iteration": 0,
            **more,
        }
        return Evidence(**fields, source_address=None, status=500, latency_ms=1.0, error=error)

    raised = load_result([], verdict="failed", failures=[failure("KeyError", "'order'")])
    others = [of("HTTP 503: of another iteration", iteration=1, t_s=0.1), of("HTTP 404: later", t_s=2.0)]
    result = replace(raised, evidence=[*others, of("HTTP 500: GET / answered 500")])
    line = "  1 x KeyError at test_a.py:3: 'order' (first: user 0, iteration 0, after HTTP 500: GET / answered 500)"
    assert line in failure_message(result).splitlines()
    cells = failure_table(result.as_dict()).rows[0]
    assert cells[3] == "'order', after HTTP 500: GET / answered 500"
    itself = replace(result, failures=[failure("HTTP 500", "GET / answered 500")])
    assert "after" not in failure_message(itself)


def test_what_a_terminal_would_obey_is_spelled_out_and_lines_stay_lines() -> None:
    evil = "a\x1b[31m\u202e\x00\ud800"
    result = load_result([], verdict="invalid", reason=evil, failures=[failure(evil, evil, evil)])
    traceback = Traceback(evil, f"def test():\n\traise {evil}\r\n")
    message = failure_message(replace(result, traceback=traceback))
    assert all(line.isprintable() for line in message.split("\n"))
    assert message.count(r"a\x1b[31m\u202e\x00\ud800") == 6
    assert message.split("\n")[-3:] == ["def test():", r"        raise a\x1b[31m\u202e\x00\ud800\r", ""]


def test_an_exception_without_a_text_ends_with_its_place() -> None:
    result = load_result([], verdict="failed", failures=[failure("ValueError", message="")])
    assert "  1 x ValueError at test_a.py:3 (first: user 0, iteration 0)" in failure_message(result).splitlines()
