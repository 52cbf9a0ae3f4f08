from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import iteration, measurements, request, step

from pytest_ipload.stats.confidence import nearest_rank, quantile_ranks
from pytest_ipload.stats.sample import FAILED, FAULT, SETUP, Sample
from pytest_ipload.verdict.evaluate import ThresholdResult, evaluate
from pytest_ipload.verdict.expression import Threshold
from pytest_ipload.verdict.judged import WARN, JudgedThreshold, with_implied
from pytest_ipload.verdict.measure import Scope

SCOPE = Scope(seconds=10.0, pool_size=4, addresses_used=3)

LOAD = [
    # Latencies are told apart by selector: 10-20 ms for the cart, 30 for orders, 90 for what failed.
    request("GET /cart", 10, status=200, source_address="127.0.0.2"),
    request("GET /cart", 20, status=200, source_address="127.0.0.3"),
    request("GET /cart", 90, status=503, source_address="127.0.0.3", outcome=FAILED),
    request("POST /orders", 30, status=201, source_address="127.0.0.2", connections=1, connect_ns=1_000_000,
            tls_ns=2_000_000, first_byte_ns=25_000_000),
    request("POST /orders", 95, outcome=FAILED),
    step("checkout", 40),
    step("checkout", 99, outcome=FAILED),
    step("browse", 50),
    iteration(60),
    iteration(70),
    iteration(80, outcome=FAILED),
    iteration(75),
    request("GET /login", 500)._replace(kind=SETUP),
    request("GET /cart", 700, outcome=FAULT, fault="ports-exhausted"),
]  # fmt: skip  # one sample, one line

PLANNED_LOAD = [
    request("GET /cart", 10, lateness_ns=100_000_000),
    request("GET /cart", 20, lateness_ns=200_000_000),
    request("GET /cart", 30, lateness_ns=300_000_000, outcome=FAILED),
    step("checkout", 40, lateness_ns=400_000_000),
    iteration(60, lateness_ns=600_000_000),
]


def judge(
    expression: str,
    samples: list[Sample] = LOAD,
    *,
    planned: bool = False,
    severity: str = "fail",
    scope: Scope = SCOPE,
) -> ThresholdResult:
    threshold = JudgedThreshold(Threshold.parse(expression), severity)
    return evaluate(threshold, measurements(samples, planned=planned), scope)


@pytest.mark.parametrize(
    ("metric", "milliseconds", "samples"),
    [
        ("p95", 30, 3),
        ("p50", 20, 3),
        ("p(33.3)", 10, 3),
        ("median", 20, 3),
        ("mean", 20, 3),
        ("min", 10, 3),
        ("max", 30, 3),
        ("raw.max", 30, 3),
        ("max{GET /cart}", 20, 2),
        ("max{* /*}", 30, 3),
        ("max{GET *}", 20, 2),
        ("max{source:127.0.0.2}", 30, 2),
        ("max{source:127.0.0.3}", 20, 1),
        ("max{status:201}", 30, 1),
        ("raw.mean{GET /cart}", 15, 2),
        ("max{step:checkout}", 40, 1),
        ("max{step:*}", 50, 2),
        ("raw.min{step:*}", 40, 2),
        ("failed.max{step:checkout}", 99, 1),
        ("failed.min", 90, 2),
        ("failed.max{GET /cart}", 90, 1),
        ("failed.max{status:503}", 90, 1),
        ("failed.p50{source:127.0.0.3}", 90, 1),
        ("iteration.min", 60, 3),
        ("iteration.max", 75, 3),
        ("connect.p99", 1, 1),
        ("tls.p99{POST /orders}", 2, 1),
        ("ttfb.max{source:127.0.0.2}", 25, 1),
    ],
)
def test_a_time_is_measured_over_the_samples_that_it_names(metric: str, milliseconds: float, samples: int) -> None:
    result = judge(f"{metric} <= {milliseconds + 0.2}ms")
    assert result.measured == pytest.approx(milliseconds, rel=0.001)
    assert result.limit == milliseconds + 0.2
    assert (result.samples, result.unit, result.passed) == (samples, "ms", True)
    assert not judge(f"{metric} < {milliseconds - 0.2}ms").passed


@pytest.mark.parametrize(
    ("expression", "measured", "unit", "samples"),
    [
        ("error_rate < 26%", 0.25, "fraction", 4),
        ("request_error_rate <= 40%", 0.4, "fraction", 5),
        ("request_error_rate{GET /cart} < 34%", pytest.approx(1 / 3), "fraction", 3),
        ("request_error_rate{source:127.0.0.2} == 0%", 0.0, "fraction", 2),
        ("requests == 5", 5, "count", 5),
        ("requests{GET /cart} >= 3", 3, "count", 3),
        ("requests{status:503} <= 1", 1, "count", 5),
        ("requests{status:500} < 1", 0, "count", 5),
        ("requests{status:500} == 0", 0, "count", 5),
        ("iterations == 4", 4, "count", 4),
        ("errors <= 1", 1, "count", 4),
        ("errors != 2", 1, "count", 4),
        ("rps > 0.4", 0.5, "1/s", 5),
        ("rps{GET /cart} < 20/m", 0.3, "1/s", 3),
        ("rps{status:503} <= 0.1/s", 0.1, "1/s", 5),
        ("iterations_per_second >= 0.4/s", 0.4, "1/s", 4),
        ("ip_pool_usage > 74%", 0.75, "fraction", 4),
    ],
)
def test_rates_and_counts_are_measured(expression: str, measured: float, unit: str, samples: int) -> None:
    result = judge(expression)
    assert (result.measured, result.unit, result.samples, result.passed) == (measured, unit, samples, True)
    assert (result.ci_low, result.ci_high, result.uncertain) == (None, None, False)


@pytest.mark.parametrize(
    ("expression", "limit"),
    [("error_rate < 26%", 0.26), ("rps > 30/m", 0.5), ("errors < 7", 7), ("p95 < 1.5s", 1500), ("max < 9ms", 9)],
)
def test_the_limit_has_the_unit_of_what_is_measured(expression: str, limit: float) -> None:
    assert judge(expression).limit == limit


@pytest.mark.parametrize(
    ("metric", "milliseconds"),
    [
        ("max", 220),
        ("min", 110),
        ("mean{GET /cart}", 165),
        ("max{step:checkout}", 440),
        ("iteration.max", 660),
        ("raw.max", 20),
        ("raw.max{step:checkout}", 40),
        ("failed.max", 30),
    ],
)
def test_with_a_plan_the_response_time_is_judged_and_raw_is_the_latency(metric: str, milliseconds: float) -> None:
    result = judge(f"{metric} < 1h", PLANNED_LOAD, planned=True)
    assert result.measured == pytest.approx(milliseconds, rel=0.001)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("p95{GET /crat} < 1s", "p95{GET /crat}: no samples, limit < 1.00 s; request names seen: 'GET /cart', 'POST "
         "/orders'"),
        ("max{step:pay} < 1s", "max{step:pay}: no samples, limit < 1.00 s; steps seen: 'checkout', 'browse'"),
        ("requests{GET /crat} < 5", "requests{GET /crat}: no samples, limit < 5; request names seen: 'GET /cart', "
         "'POST /orders'"),
        ("p95{source:10.0.0.1} < 1s", "p95{source:10.0.0.1}: no samples, limit < 1.00 s"),
        ("p95{status:500} < 1s", "p95{status:500}: no samples, limit < 1.00 s"),
        ("connect.p95{GET /cart} < 1s", "connect.p95{GET /cart}: no samples, limit < 1.00 s; request names seen: "
         "'GET /cart', 'POST /orders'"),
    ],
)  # fmt: skip  # the expected texts read better so
def test_over_no_samples_a_threshold_fails_and_says_what_there_was(expression: str, message: str) -> None:
    result = judge(expression)
    assert (result.passed, result.measured, result.samples, result.message) == (False, None, 0, message)


@pytest.mark.parametrize(
    "expression",
    [
        *("p95 < 1s", "max >= 0s", "error_rate == 0%", "error_rate <= 100%", "request_error_rate < 1%", "rps < 5"),
        *("requests < 5", "requests >= 0", "iterations != 5", "errors < 5", "iterations_per_second < 1"),
        *("failed.p95 < 1s", "iteration.p95 < 1s", "requests{status:500} < 1"),
    ],
)
def test_over_nothing_at_all_a_threshold_fails(expression: str) -> None:
    result = judge(expression, [])
    assert not result.passed
    assert result.measured is None
    assert ": no samples, limit " in result.message


def test_a_pool_without_addresses_has_no_usage() -> None:
    assert not judge("ip_pool_usage >= 0%", scope=Scope(10.0)).passed


@pytest.mark.parametrize("expression", ["requests == 0", "requests{GET /admin} == 0", "errors == 0", "iterations == 0"])
def test_a_count_of_nothing_is_zero_where_zero_is_asked_for(expression: str) -> None:
    result = judge(expression, [])
    assert (result.passed, result.measured, result.limit) == (True, 0, 0)


def test_many_names_are_not_all_listed() -> None:
    result = judge("p95{nothing} < 1s", [request(f"GET /{number}") for number in range(12)])
    assert result.message.endswith("'GET /8', 'GET /9', ...")


def test_control_characters_in_names_are_shown_as_such() -> None:
    result = judge("p95{nothing} < 1s", [request("a\x1b[31m\nb")])
    assert result.message.endswith(r"request names seen: 'a\x1b[31m\nb'")


def test_the_message_has_the_measured_value_first_then_limit_count_and_interval() -> None:
    count = 4812
    low, high = quantile_ranks(count, 0.95)
    assert low is not None
    assert high is not None
    values = [231] * low + [243] * (nearest_rank(count, 0.95) - low)
    values += [258] * (count - len(values))
    result = judge("p95 < 200ms", [request(latency_ms=value) for value in values])
    assert result.message == "p95 243 ms, limit < 200 ms (4 812 requests, 95 % CI 231-258 ms)"
    assert not result.passed
    assert not result.uncertain
    assert [result.ci_low, result.measured, result.ci_high] == pytest.approx([231, 243, 258], rel=0.001)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("max{GET /cart} < 10ms", "max{GET /cart} 20.0 ms, limit < 10.0 ms (2 requests)"),
        ("failed.max<1s", "failed.max 95.0 ms, limit < 1.00 s (2 failed requests)"),
        ("failed.max{step:checkout} < 1s", "failed.max{step:checkout} 99.0 ms, limit < 1.00 s (1 failed step)"),
        ("connect.max < 1s", "connect.max 1.00 ms, limit < 1.00 s (1 connection)"),
        ("iteration.mean < 1s", "iteration.mean 68.3 ms, limit < 1.00 s (3 iterations)"),
        ("error_rate < 1%", "error_rate 25 %, limit < 1 % (1 of 4 iterations failed)"),
        ("request_error_rate < 1%", "request_error_rate 40 %, limit < 1 % (2 of 5 requests failed)"),
        ("errors == 0", "errors 1, limit == 0 (1 of 4 iterations failed)"),
        ("requests > 1000", "requests 5, limit > 1 000"),
        ("rps > 50", "rps 0.5/s, limit > 50/s (5 requests)"),
        ("iterations_per_second > 1", "iterations_per_second 0.4/s, limit > 1/s (4 iterations)"),
        ("ip_pool_usage == 100%", "ip_pool_usage 75 %, limit == 100 % (3 of 4 addresses in use)"),
    ],
)
def test_the_message_says_what_was_measured_and_over_how_much(expression: str, message: str) -> None:
    assert judge(expression).message == message


@pytest.mark.parametrize(
    ("latencies", "expression", "message"),
    [
        ([200.4] * 20, "mean < 200ms", "mean 200 ms (400 us more), limit < 200 ms (20 requests)"),
        ([199.6] * 20, "mean > 200ms", "mean 200 ms (400 us less), limit > 200 ms (20 requests)"),
        ([200] * 20, "mean < 200ms", "mean 200 ms, limit < 200 ms (20 requests)"),
    ],
)
def test_a_value_that_looks_like_the_limit_says_by_how_much_it_differs(
    latencies: list[float], expression: str, message: str
) -> None:
    result = judge(expression, [request(latency_ms=latency) for latency in latencies])
    assert (result.message, result.passed) == (message, False)


@pytest.mark.parametrize(
    ("metric", "enough", "noted"),
    [("p95", 200, "p95 wants 200"), ("median", 20, "median wants 20"), ("p99.9", 10_000, "p99.9 wants 10 000")],
)
def test_a_percentile_of_too_few_samples_is_uncertain_and_says_how_many_it_wants(
    metric: str, enough: int, noted: str
) -> None:
    few = judge(f"{metric} < 1s", [request()] * (enough - 1))
    many = judge(f"{metric} < 1s", [request()] * enough)
    assert (few.uncertain, few.passed, noted in few.message) == (True, True, True)
    assert (many.uncertain, many.passed, "uncertain" in many.message) == (False, True, False)


@pytest.mark.parametrize("metric", ["mean", "min", "max"])
def test_what_is_no_percentile_has_no_interval(metric: str) -> None:
    result = judge(f"{metric} < 1s", [request()] * 3)
    assert (result.ci_low, result.ci_high, result.uncertain) == (None, None, False)


@pytest.mark.parametrize(
    ("count", "interval"),
    [(1, None), (20, "95 % CI above 4.00 ms"), (200, "95 % CI 4.00-6.00 ms")],
)
def test_an_interval_that_few_samples_cannot_close_is_open(count: int, interval: str | None) -> None:
    low, _ = quantile_ranks(count, 0.95)
    latencies = [4] * (low or 0) + [5] * (nearest_rank(count, 0.95) - (low or 0))
    latencies += [6] * (count - len(latencies))
    result = judge("p95 < 1s", [request(latency_ms=latency) for latency in latencies])
    if interval is None:
        assert "CI" not in result.message
    else:
        assert interval in result.message


@pytest.mark.parametrize(
    ("low", "high", "interval"),
    [(0.5, 1.5, "500 us-1.50 ms"), (5, 5, "5.00-5.00 ms"), (90_000, 130_000, "90.0 s-2m10s")],
)
def test_an_interval_has_its_unit_once_if_both_ends_have_the_same(low: float, high: float, interval: str) -> None:
    ranks = quantile_ranks(1000, 0.5)
    assert ranks[0] is not None
    latencies = [low] * ranks[0] + [high] * (1000 - ranks[0])
    result = judge("median < 1h", [request(latency_ms=latency) for latency in latencies])
    assert f"95 % CI {interval})" in result.message


@given(st.lists(st.floats(min_value=0.1, max_value=5000), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99]))
def test_the_interval_holds_the_measured_percentile(latencies: list[float], quantile: float) -> None:
    result = judge(f"p{quantile * 100:g} < 1s", [request(latency_ms=latency) for latency in latencies])
    assert result.measured is not None
    assert result.ci_low is None or result.ci_low <= result.measured
    assert result.ci_high is None or result.measured <= result.ci_high
    assert result.passed == (result.measured < 1000)


def test_durations_are_reported_in_whole_nanoseconds() -> None:
    result = judge("max < 9ms", [request(latency_ms=30.000001)])
    assert (result.measured, result.limit) == (30.000001, 9.0)


def test_a_warning_is_judged_alike_and_keeps_its_severity() -> None:
    result = judge("max < 1ms", severity=WARN)
    assert (result.severity, result.passed) == ("warn", False)
    assert result.message == judge("max < 1ms").message


def test_the_expression_is_shown_in_its_normal_form() -> None:
    assert judge(" p(95) {GET /cart}<  200 ms ").expression == "p95{GET /cart} < 200ms"


class TestImplied:
    @pytest.mark.parametrize(
        ("expressions", "implied"),
        [
            ([], True),
            (["p95 < 1s", "requests > 1", "failed.p95 < 1s"], True),
            (["error_rate < 1%"], False),
            (["request_error_rate < 1%"], False),
            (["request_error_rate{GET /} < 1%"], False),
            (["errors < 3"], False),
        ],
    )
    def test_no_errors_are_implied_unless_a_threshold_speaks_of_them(
        self, expressions: list[str], implied: bool
    ) -> None:
        given_thresholds = [JudgedThreshold(Threshold.parse(text)) for text in expressions]
        judged = with_implied(given_thresholds)
        assert judged[: len(expressions)] == given_thresholds
        assert [each.threshold.text for each in judged[len(expressions) :]] == ["error_rate == 0%"] * implied

    def test_a_mere_warning_about_errors_does_not_allow_them(self) -> None:
        judged = with_implied([JudgedThreshold(Threshold.parse("error_rate < 1%"), WARN)])
        assert [(each.threshold.text, each.severity) for each in judged] == [
            ("error_rate < 1%", "warn"),
            ("error_rate == 0%", "fail"),
        ]


def test_what_was_measured_before_the_warm_up_ended_is_not_judged() -> None:
    samples = [request(latency_ms=500), request(latency_ms=10, at_ms=2000)]
    threshold = JudgedThreshold(Threshold.parse("max < 100ms"))
    assert not evaluate(threshold, measurements(samples), SCOPE).passed
    assert evaluate(threshold, measurements(samples, warmup_ms=1000), SCOPE).passed
