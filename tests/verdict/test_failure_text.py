from __future__ import annotations

from dataclasses import replace

from support.results import failure, judged, load_result
from support.samples import request

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
