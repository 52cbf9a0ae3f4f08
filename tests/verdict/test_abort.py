from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import iteration, measurements, request

from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FAILED, OK, Sample
from pytest_ipload.verdict.abort import AbortWatch, abort_reason, settled
from pytest_ipload.verdict.evaluate import evaluate
from pytest_ipload.verdict.expression import Threshold
from pytest_ipload.verdict.finding import Outcome, find
from pytest_ipload.verdict.judged import JudgedThreshold
from pytest_ipload.verdict.measure import Scope


def judged(
    expression: str, *, delay: float = 10.0, window: float | None = None, confidence: float | None = None
) -> JudgedThreshold:
    threshold = Threshold.parse(expression)
    return JudgedThreshold(threshold, abort_on_fail=True, delay=delay, window=window, confidence=confidence)


def load(count: int = 100, *, low_ms: float = 100, high_ms: float = 100, failed: int = 0) -> list[Sample]:
    """So many requests, one in each iteration, with latencies from low to high; the last ones failed."""
    step = (high_ms - low_ms) / max(1, count - 1)
    samples = []
    for number in range(count):
        outcome = FAILED if number >= count - failed else OK
        samples.append(request("GET /", low_ms + step * number, outcome=outcome))
        samples.append(iteration(low_ms + step * number, outcome=outcome))
    return samples


SCOPE = Scope(seconds=20.0, pool_size=10, addresses_used=6, dropped=3, planned_iterations=103)


def reason(expression: str, samples: list[Sample], scope: Scope = SCOPE, confidence: float | None = None) -> str | None:
    return abort_reason(judged(expression, confidence=confidence), measurements(samples), scope)


@pytest.mark.parametrize(
    ("expression", "aborts"),
    [
        # What only grows: past an upper limit it stays there; below a lower one it may still come.
        ("requests < 100", True),
        ("requests <= 99", True),
        ("requests <= 100", False),
        ("requests > 100", False),
        ("requests >= 1000", False),
        ("requests == 99", True),
        ("requests == 100", False),
        ("requests == 101", False),
        ("requests != 100", False),
        ("requests{GET /} < 100", True),
        ("requests{POST /} < 100", False),
        ("requests{status:503} < 100", False),
        ("iterations < 50", True),
        ("iterations > 500", False),
        ("errors < 2", True),
        ("errors <= 2", False),
        ("errors == 0", True),
        ("errors > 5", False),
        ("dropped_iterations == 0", True),
        ("dropped_iterations < 3", True),
        ("dropped_iterations <= 3", False),
        ("dropped_iterations > 3", False),
        ("ip_pool_usage < 60%", True),
        ("ip_pool_usage == 100%", False),
        ("ip_pool_usage > 60%", False),
        ("max < 197ms", True),
        ("max > 5s", False),
        ("max == 100ms", True),
        ("max == 5s", False),
        ("iteration.max < 100ms", True),
        ("failed.max < 100ms", True),
        # What only falls: the other way round.
        ("min > 101ms", True),
        ("min >= 100ms", False),
        ("min < 50ms", False),
        ("min == 150ms", True),
        ("min == 50ms", False),
        ("min != 100ms", False),
        # What does both: if it is beyond its limit now.
        ("mean < 148ms", True),
        ("mean < 152ms", False),
        ("mean > 152ms", True),
        ("mean == 1ms", False),
        ("mean != 148.485ms", False),
        # Percentiles and error rates: if all of their interval is.
        ("median < 130ms", True),
        ("median < 145ms", False),
        ("median > 170ms", True),
        ("median > 155ms", False),
        ("median == 1ms", False),
        ("p95 < 150ms", True),
        ("p99 > 5s", False),
        ("error_rate < 0.1%", True),
        ("error_rate < 1%", False),
        ("error_rate > 50%", True),
        ("error_rate > 3%", False),
        ("error_rate == 0%", True),
        ("error_rate <= 0%", True),
        ("error_rate == 1%", False),
        ("error_rate != 2%", False),
        ("request_error_rate < 0.1%", True),
        # Rates: of what is surely there, see below.
        ("rps > 7", True),
        ("rps > 5.5", False),
        ("rps < 4", True),
        ("rps < 5.5", False),
        ("rps == 1", False),
        ("iterations_per_second > 7", True),
        ("iterations_per_second < 4", True),
    ],
)
def test_it_aborts_when_the_threshold_cannot_hold_any_more(expression: str, aborts: bool) -> None:
    samples = load(100, low_ms=100, high_ms=200, failed=2)
    found = reason(expression, samples)
    assert (found is not None) is aborts
    if aborts:
        assert found == evaluate(judged(expression), measurements(samples), SCOPE).message


@pytest.mark.parametrize(
    "expression",
    [
        *("p95 < 1us", "max < 1us", "min > 1h", "mean < 1us", "requests < 0", "iterations < 0", "errors < 0"),
        *("error_rate == 0%", "request_error_rate < 0%", "rps > 1000", "iterations_per_second > 1000"),
        *("failed.p95 < 1us", "p95{GET /other} < 1us", "connect.p95 < 1us", "rps{GET /other} > 5"),
    ],
)
def test_over_no_samples_it_never_aborts(expression: str) -> None:
    assert reason(expression, []) is None
    if "{" in expression or "." in expression:
        assert reason(expression, load()) is None


def test_without_an_arrival_plan_or_a_pool_nothing_is_dropped_or_used() -> None:
    for expression in ("dropped_iterations == 0", "ip_pool_usage < 1%"):
        assert reason(expression, load(), Scope(20.0)) is None


@pytest.mark.parametrize(("count", "aborts"), [(1, False), (2, True)])
def test_few_samples_do_not_abort_by_accident(count: int, aborts: bool) -> None:
    # Of a single slow sample nobody knows whether 95 % are faster; two are unlikely to be both of the other 5 %.
    assert (reason("p95 < 50ms", load(count)) is not None) is aborts
    assert reason("p95 < 150ms", load(count)) is None


def test_the_confidence_asked_for_decides() -> None:
    samples = load(100, low_ms=100, high_ms=200)
    assert reason("median < 139ms", samples) is not None
    assert reason("median < 139ms", samples, confidence=0.999) is None
    assert reason("error_rate < 1%", load(100, failed=4)) is not None
    assert reason("error_rate < 1%", load(100, failed=4), confidence=0.999) is None


@given(st.integers(1, 300), st.integers(0, 5), st.floats(1, 100), st.floats(0, 300), st.sampled_from(["<", ">"]))
def test_what_aborts_at_once_fails_at_once(count: int, failed: int, low: float, spread: float, operator: str) -> None:
    """Whatever it is: a load is not broken off by a threshold that holds as things stand."""
    samples = load(count, low_ms=low, high_ms=low + spread, failed=min(failed, count))
    measured = measurements(samples)
    for metric in ("p95", "median", "mean", "max", "min", "error_rate", "rps", "requests"):
        unit = {"error_rate": "%", "rps": "/s", "requests": ""}.get(metric, "ms")
        threshold = judged(f"{metric} {operator} 50{unit}")
        if abort_reason(threshold, measured, SCOPE) is not None:
            assert find(threshold, measured, SCOPE).outcome is Outcome.FAILS


class TestRates:
    def test_a_rate_takes_a_second(self) -> None:
        assert reason("rps < 5", load(100), Scope(0.9)) is None
        assert reason("rps < 5", load(100), Scope(1.0)) is not None

    def test_samples_that_are_on_their_way_are_allowed_for(self) -> None:
        # 100 in 10 s may be 15 per second, if those of the last three seconds have not come yet.
        assert reason("rps > 12", load(100, low_ms=1, high_ms=1), Scope(10.0)) is None
        assert reason("rps > 15", load(100, low_ms=1, high_ms=1), Scope(10.0)) is not None

    def test_the_slower_the_iterations_the_longer_they_are_waited_for(self) -> None:
        slow = [*load(99, low_ms=1, high_ms=1), *load(1, low_ms=4000)]
        assert settled(measurements(slow), Scope(10.0)).seconds == pytest.approx(3.0)
        assert reason("rps > 15", slow, Scope(10.0)) is None
        assert reason("rps > 15", slow, Scope(15.0)) is not None

    def test_nothing_is_said_before_there_is_a_second_of_which_all_is_known(self) -> None:
        assert reason("rps > 1000", load(1, low_ms=1), Scope(3.9)) is None
        assert reason("rps > 1000", load(1, low_ms=1), Scope(4.1)) is not None
        assert settled(measurements([]), Scope(1.0)).seconds == 0


def seconds(*latencies: float | None) -> Measurements:
    """One request in each second, of these latencies (None: no request), in windows of a second."""
    samples = [
        request(latency_ms=latency, at_ms=number * 1000)
        for number, latency in enumerate(latencies)
        if latency is not None
    ]
    return measurements(samples, window_ms=1000)


class TestWindows:
    EACH = judged("max < 200ms", window=1.0)

    def test_a_full_window_that_failed_aborts(self) -> None:
        assert abort_reason(self.EACH, seconds(10, 412, 10), Scope(6.0)) == (
            "max 412 ms in the window 1s-2s, limit < 200 ms (1 request; 1 of 3 windows failed)"
        )
        assert abort_reason(self.EACH, seconds(10, 10, 10), Scope(6.0)) is None

    def test_a_window_of_which_samples_may_be_on_their_way_does_not_count_yet(self) -> None:
        assert abort_reason(self.EACH, seconds(10, 412), Scope(4.9)) is None
        assert abort_reason(self.EACH, seconds(10, 412), Scope(5.1)) is not None

    def test_a_window_without_samples_does_not_abort(self) -> None:
        assert abort_reason(self.EACH, seconds(10, None, None, 10), Scope(9.0)) is None

    def test_windows_that_were_looked_at_are_not_again(self) -> None:
        measured = seconds(10, 412, 10, 10)
        assert abort_reason(self.EACH, measured, Scope(9.0), first_window=1) is not None
        assert abort_reason(self.EACH, measured, Scope(9.0), first_window=2) is None

    def test_a_lower_limit_is_certain_when_its_window_is_full(self) -> None:
        assert abort_reason(judged("rps > 5", window=1.0), seconds(10, 10), Scope(5.5)) is not None
        assert abort_reason(judged("requests > 5", window=1.0), seconds(10, 10), Scope(5.5)) is not None


class TestWatch:
    SLOW = judged("max < 50ms", delay=5.0)
    MANY = judged("requests < 50", delay=2.0)

    def test_it_looks_at_each_threshold_after_its_delay(self) -> None:
        watch = AbortWatch([self.SLOW, self.MANY])
        measured = measurements(load())
        assert watch.look(measured, SCOPE, 1.9) is None
        assert watch.abort is None
        assert watch.look(measured, SCOPE, 2.0) == "requests 100, limit < 50"
        assert watch.abort is not None
        assert (watch.abort.judged, watch.abort.after_s, watch.abort.result.passed) == (self.MANY, 2.0, False)

    def test_the_first_threshold_comes_first(self) -> None:
        assert AbortWatch([self.SLOW, self.MANY]).look(measurements(load()), SCOPE, 5.0) == (
            "max 100 ms, limit < 50.0 ms (100 requests)"
        )

    def test_it_looks_at_none_that_did_not_ask_for_it(self) -> None:
        watch = AbortWatch([JudgedThreshold(Threshold.parse("max < 1ms"))])
        assert watch.watched == []
        assert watch.look(measurements(load()), SCOPE, 100.0) is None

    def test_the_delay_is_for_looking_not_for_what_is_seen(self) -> None:
        watch = AbortWatch([judged("max < 200ms", window=1.0, delay=8.0)])
        measured = seconds(412, 10, 10, 10, 10)
        assert watch.look(measured, Scope(7.5), 7.5) is None
        assert watch.look(measured, Scope(8.5), 8.5) is not None

    def test_it_looks_at_each_window_once(self) -> None:
        watch = AbortWatch([judged("max < 200ms", window=1.0, delay=1.0)])
        assert watch.look(seconds(10, 10), Scope(5.5), 5.5) is None
        assert watch.look(seconds(412, 10, 10), Scope(6.5), 6.5) is None  # that one was looked at, and held
        assert watch.look(seconds(412, 10, 10, 300), Scope(7.5), 7.5) == (
            "max 412 ms in the window 0s-1s, limit < 200 ms (1 request; 2 of 4 windows failed)"
        )

    def test_the_result_of_the_abort_says_when_it_was(self) -> None:
        watch = AbortWatch([self.SLOW, self.MANY])
        measured = measurements(load())
        watch.look(measured, SCOPE, 12.34)
        result = evaluate(self.SLOW, measured, SCOPE)
        assert watch.abort is not None
        assert watch.abort.judged is self.SLOW
        assert watch.abort.final(result) == replace(
            result, aborted=True, message="aborted after 12.3 s: max 100 ms, limit < 50.0 ms (100 requests)"
        )

    def test_it_stays_failed_although_the_last_samples_are_better(self) -> None:
        mean = judged("mean < 50ms")
        watch = AbortWatch([mean])
        watch.look(measurements(load(10)), SCOPE, 12.0)
        better = evaluate(mean, measurements(load(100, low_ms=1, high_ms=1)), SCOPE)
        assert better.passed
        assert watch.abort is not None
        final = watch.abort.final(better)
        assert (final.passed, final.measured, final.aborted) == (False, 100.0, True)
        assert final.message == "aborted after 12.0 s: mean 100 ms, limit < 50.0 ms (10 requests)"
