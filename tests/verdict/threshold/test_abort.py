from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import iteration, measurements, request

from pytest_ipload.load.set_up import SetUps
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FAILED, OK, Sample
from pytest_ipload.verdict.threshold.abort import AbortWatch, abort_reason, settled
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import evaluate
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.finding import Outcome, find
from pytest_ipload.verdict.threshold.measure import Scope
from pytest_ipload.verdict.threshold.remaining_load import Plan
from pytest_ipload.verdict.threshold.selection import selections


def judged(
    expression: str, *, delay: float = 10.0, window: float | None = None, confidence: float | None = None
) -> ThresholdConfig:
    threshold = Threshold.parse(expression)
    return ThresholdConfig(threshold, abort_on_fail=True, delay=delay, window=window, confidence=confidence)


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
PLAN = Plan(iterations=110, ends_s=22.0)
"""Ten more iterations may come, in two seconds."""


def reason(
    expression: str,
    samples: list[Sample],
    scope: Scope = SCOPE,
    confidence: float | None = None,
    plan: Plan = PLAN,
) -> str | None:
    return abort_reason(judged(expression, confidence=confidence), measurements(samples), scope, plan)


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
        # What does both: if ten more iterations cannot bring it back. They may be as fast as they like, or as slow.
        ("mean < 132ms", True),
        ("mean < 134ms", False),
        ("mean > 152ms", False),
        ("mean == 1ms", False),
        ("mean != 148.485ms", False),
        ("median < 130ms", True),
        ("median < 145ms", False),
        ("median > 170ms", True),
        ("median > 150ms", False),
        ("median == 1ms", False),
        ("p95 < 150ms", True),
        ("p95 < 193ms", False),
        ("p99 > 5s", False),
        ("error_rate < 1.8%", True),
        ("error_rate < 2%", False),
        ("error_rate > 11%", True),
        ("error_rate > 10%", False),
        ("error_rate == 0%", True),
        ("error_rate <= 0%", True),
        ("error_rate == 1%", False),
        ("error_rate != 2%", False),
        ("request_error_rate < 1.8%", True),
        ("request_error_rate < 1.9%", False),
        ("rps > 5", True),
        ("rps > 4.9", False),
        ("rps < 4.5", True),
        ("rps < 4.6", False),
        ("rps == 1", False),
        ("iterations_per_second > 5", True),
        ("iterations_per_second < 4.5", True),
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


def test_a_confidence_wants_the_whole_interval_to_be_lost() -> None:
    samples = load(100, low_ms=100, high_ms=200)
    assert reason("median < 143ms", samples) is not None
    assert reason("median < 143ms", samples, confidence=0.95) is None
    assert reason("median < 130ms", samples, confidence=0.95) is not None
    assert reason("median < 130ms", samples, confidence=0.999999) is None
    assert reason("error_rate < 2%", load(100, failed=4)) is not None
    assert reason("error_rate < 2%", load(100, failed=4), confidence=0.95) is None
    assert reason("error_rate < 2%", load(100, failed=9), confidence=0.95) is not None


def test_a_body_makes_as_many_requests_as_it_did_so_far() -> None:
    twice = [*load(50, low_ms=100), *(request("GET /more", 10) for _ in range(50))]
    plan = Plan(iterations=100)  # 100 more requests may come, 50 of them slow ones
    assert reason("median < 50ms", twice, plan=plan) is None
    assert reason("p74 < 50ms", twice, plan=plan) is None
    assert reason("p76 < 50ms", twice, plan=plan) is not None
    assert reason("p51{GET /} < 50ms", twice, plan=plan) is not None


def test_what_failed_so_far_may_succeed_later() -> None:
    samples = load(100, low_ms=100, failed=90)  # ten slow successes of a hundred
    assert reason("p95 < 50ms", samples, plan=Plan(iterations=250)) is None
    assert reason("p95 < 50ms", samples, plan=Plan(iterations=190)) is not None


@given(st.integers(1, 300), st.integers(0, 5), st.floats(1, 100), st.floats(0, 300), st.sampled_from(["<", ">"]))
def test_what_aborts_at_once_fails_at_once(count: int, failed: int, low: float, spread: float, operator: str) -> None:
    """Whatever it is: a load is not broken off by a threshold that holds as things stand."""
    samples = load(count, low_ms=low, high_ms=low + spread, failed=min(failed, count))
    measured = measurements(samples)
    for metric in ("p95", "median", "mean", "max", "min", "error_rate", "rps", "requests"):
        unit = {"error_rate": "%", "rps": "/s", "requests": ""}.get(metric, "ms")
        threshold = judged(f"{metric} {operator} 50{unit}")
        if abort_reason(threshold, measured, SCOPE, PLAN) is not None:
            assert find(threshold, measured, SCOPE).outcome is Outcome.FAILS


def every_second(
    latencies: Sequence[float],
    threshold: ThresholdConfig,
    *,
    per_second: int | Sequence[int] = 20,
    failing: range = range(0),
) -> Measurements:
    """As many iterations of one request in each second of the load, of these latencies; some seconds fail."""
    samples = []
    for number, latency in enumerate(latencies):
        many = per_second if isinstance(per_second, int) else per_second[number]
        outcome = FAILED if number in failing else OK
        for each in range(many):
            at_ms = number * 1000 + each * 1000 / many
            samples += [request(latency_ms=latency, at_ms=at_ms, outcome=outcome)]
            samples += [iteration(latency, at_ms=at_ms, outcome=outcome)]
    return measurements(samples, selections=selections([threshold], planned=False))


class TestByTime:
    """A closed load that ends by time: nobody planned how many iterations it has."""

    PLAN = Plan(ends_s=60.0)
    SLOW = judged("p95 < 50ms", delay=2.0)

    def aborts_after(self, latencies: Sequence[float], threshold: ThresholdConfig = SLOW, **more: Any) -> int | None:
        """The first second after which it is broken off; the plan is one of 60 s."""
        plan = more.pop("plan", self.PLAN)
        for elapsed in range(1, len(latencies) + 1):
            measured = every_second(latencies[:elapsed], threshold, **more)
            if AbortWatch([threshold], plan).look(measured, Scope(elapsed), elapsed) is not None:
                return elapsed
        return None

    def test_one_that_is_slow_throughout_is_broken_off_a_delay_after_the_delay(self) -> None:
        assert self.aborts_after([100.0] * 20) == 4

    def test_a_cold_start_is_no_proof(self) -> None:
        assert self.aborts_after([100.0] * 3 + [5.0] * 57) is None
        assert self.aborts_after([100.0] * 4 + [5.0] * 56, per_second=[5] * 4 + [100] * 56) is None

    def test_it_is_broken_off_when_the_rest_cannot_make_up_for_it(self) -> None:
        assert self.aborts_after([*[5.0] * 30, *[100.0] * 30]) == 34  # 5 % of 60 s, and what may be on its way

    def test_as_many_may_come_as_in_the_fastest_second(self) -> None:
        usual = self.aborts_after([*[5.0] * 30, *[100.0] * 30])
        burst = self.aborts_after([*[5.0] * 30, *[100.0] * 30], per_second=[200, *[20] * 59])
        assert usual is not None
        assert burst is None or burst > usual

    def test_users_who_are_still_to_come_count(self) -> None:
        few = Plan(ends_s=60.0, lives=((0.0, 60.0), *[(50.0, 60.0)] * 99))
        latencies = [*[5.0] * 30, *[100.0] * 20]
        assert self.aborts_after(latencies) is not None
        assert self.aborts_after(latencies, plan=few) is None

    def test_few_samples_prove_nothing(self) -> None:
        assert self.aborts_after([100.0] * 5, per_second=[0, 0, 1, 1, 1]) is None

    def test_a_dead_target_is_given_up(self) -> None:
        threshold = judged("error_rate < 50%", delay=2.0)
        assert self.aborts_after([5.0] * 20, threshold, failing=range(20)) == 5

    def test_errors_that_come_and_go_are_not(self) -> None:
        for some in (range(2), range(2, 5), range(6, 20)):
            assert self.aborts_after([5.0] * 20, judged("error_rate < 50%", delay=2.0), failing=some) is None

    def test_a_mean_is_given_up_when_times_of_zero_would_not_save_it(self) -> None:
        mean = judged("mean < 50ms", delay=2.0)
        assert self.aborts_after([400.0] * 20, mean) == 8
        assert self.aborts_after([60.0] * 20, mean) is None

    def test_a_rate_is_given_up_when_the_fastest_second_would_not_save_it(self) -> None:
        assert self.aborts_after([5.0] * 20, judged("rps > 25", delay=2.0)) == 5
        assert self.aborts_after([5.0] * 24, judged("rps > 25", delay=2.0), per_second=[30, *[10] * 23]) == 21
        assert self.aborts_after([5.0] * 20, judged("rps > 19", delay=2.0)) is None
        assert self.aborts_after([5.0] * 20, judged("rps < 5", delay=2.0)) == 15  # 300 of 60 s are there

    def test_where_nothing_is_known_of_the_end_only_what_is_beyond_noise_is_given_up(self) -> None:
        assert self.aborts_after([100.0] * 20, plan=Plan()) == 4
        assert self.aborts_after([*[5.0] * 10, *[100.0] * 30], plan=Plan()) is None


def test_samples_that_are_on_their_way_are_waited_for_as_long_as_the_slowest_iteration_takes() -> None:
    slow = [*load(99, low_ms=1, high_ms=1), *load(1, low_ms=4000)]
    assert settled(measurements(slow), Scope(10.0)).seconds == pytest.approx(3.0)
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
        assert (watch.abort.number, watch.abort.after_s, watch.abort.result.passed) == (1, 2.0, False)  # MANY

    def test_the_first_threshold_comes_first(self) -> None:
        assert AbortWatch([self.SLOW, self.MANY]).look(measurements(load()), SCOPE, 5.0) == (
            "max 100 ms, limit < 50.0 ms (100 requests)"
        )

    def test_it_looks_at_none_that_did_not_ask_for_it(self) -> None:
        watch = AbortWatch([ThresholdConfig(Threshold.parse("max < 1ms"))])
        assert watch.watched == {}
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
        assert watch.abort.number == 0  # SLOW
        assert watch.abort.final(result) == replace(
            result, aborted=True, message="aborted after 12.3 s: max 100 ms, limit < 50.0 ms (100 requests)"
        )

    def test_it_stays_failed_although_the_last_samples_are_better(self) -> None:
        mean = judged("mean < 50ms")
        watch = AbortWatch([mean], Plan(iterations=11))
        watch.look(measurements(load(10)), SCOPE, 12.0)
        better = evaluate(mean, measurements(load(100, low_ms=1, high_ms=1)), SCOPE)
        assert better.passed
        assert watch.abort is not None
        final = watch.abort.final(better)
        assert (final.passed, final.measured, final.aborted) == (False, 100.0, True)
        assert final.message == "aborted after 12.0 s: mean 100 ms, limit < 50.0 ms (10 requests)"


@pytest.mark.parametrize(
    ("expression", "set_ups", "hopeless"),
    [
        ("set_up_error_rate < 10%", SetUps(20, 5, 1), False),  # those who are still to come may succeed
        ("set_up_error_rate < 10%", SetUps(20, 5, 2), True),
        ("set_up_error_rate < 10%", SetUps(20, 20, 1), False),
        ("set_up_error_rate == 100%", SetUps(20, 5, 2), False),
    ],
)
def test_failed_set_ups_break_a_load_off_if_the_rest_cannot_make_up_for_them(
    expression: str, set_ups: SetUps, hopeless: bool
) -> None:
    scope = Scope(20.0, set_ups=set_ups)
    assert (abort_reason(judged(expression), measurements([]), scope) is not None) is hopeless
