from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.base.errors import SettingError
from pytest_ipload.verdict.threshold.expression import _UNITS, FAMILIES, Metric, Threshold
from pytest_ipload.verdict.threshold.selector import Selector


@pytest.mark.parametrize(
    ("text", "normal", "fields"),
    [
        ("p95 < 200ms", "p95 < 200ms", (None, "percentile", 0.95, None, "<", 0.2)),
        ("p95<200ms", "p95 < 200ms", (None, "percentile", 0.95, None, "<", 0.2)),
        ("  p95  <=  200 ms ", "p95 <= 200ms", (None, "percentile", 0.95, None, "<=", 0.2)),
        ("p(95) < 9ms", "p95 < 9ms", (None, "percentile", 0.95, None, "<", 0.009)),
        ("p99.9 < 1m30s", "p99.9 < 1m30s", (None, "percentile", 0.999, None, "<", 90)),
        ("p(99.90) < 1s", "p99.9 < 1s", (None, "percentile", 0.999, None, "<", 1)),
        ("p50 < 1s", "p50 < 1s", (None, "percentile", 0.5, None, "<", 1)),
        ("median < 500us", "median < 500us", (None, "median", 0.5, None, "<", 0.0005)),
        ("mean > 1s", "mean > 1s", (None, "mean", None, None, ">", 1)),
        ("min >= 0s", "min >= 0s", (None, "min", None, None, ">=", 0)),
        ("max != 2h", "max != 2h", (None, "max", None, None, "!=", 7200)),
        ("error_rate == 0%", "error_rate == 0%", (None, "error_rate", None, None, "==", 0)),
        ("error_rate<99.9 %", "error_rate < 99.9%", (None, "error_rate", None, None, "<", 0.999)),
        ("request_error_rate < 1%", "request_error_rate < 1%", (None, "request_error_rate", None, None, "<", 0.01)),
        ("ip_pool_usage > 250%", "ip_pool_usage > 250%", (None, "ip_pool_usage", None, None, ">", 2.5)),
        ("requests >= 1000", "requests >= 1000", (None, "requests", None, None, ">=", 1000)),
        ("iterations > .5", "iterations > .5", (None, "iterations", None, None, ">", 0.5)),
        ("errors < 3", "errors < 3", (None, "errors", None, None, "<", 3)),
        ("dropped_iterations == 0", "dropped_iterations == 0", (None, "dropped_iterations", None, None, "==", 0)),
        ("rps > 100", "rps > 100", (None, "rps", None, None, ">", 100)),
        ("rps > 100 / s", "rps > 100/s", (None, "rps", None, None, ">", 100)),
        (
            "iterations_per_second>=30/m",
            "iterations_per_second >= 30/m",
            (None, "iterations_per_second", None, None, ">=", 0.5),
        ),
    ],
)
def test_each_metric_is_read(text: str, normal: str, fields: tuple[Any, ...]) -> None:
    threshold = Threshold.parse(text)
    assert threshold == Threshold(normal, Metric(*fields[:4]), *fields[4:])
    assert threshold.text == normal
    assert Threshold.parse(normal) == threshold


def test_a_brace_that_belongs_to_a_template_does_not_close_the_selector() -> None:
    with pytest.raises(SettingError, match="the selector has no closing '}'"):
        Threshold.parse("p99{GET /items/{id} < 1s")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("statistic", ["p99.9", "median", "mean", "min", "max"])
def test_each_family_goes_before_each_time(family: str, statistic: str) -> None:
    threshold = Threshold.parse(f"{family}.{statistic} < 1s")
    assert threshold.family == family
    assert threshold.metric == f"{family}.{statistic}"
    assert threshold.statistic_text == statistic


@pytest.mark.parametrize(
    ("text", "kind", "pattern", "metric"),
    [
        ("p99{GET /cart} < 1s", "name", "GET /cart", "p99{GET /cart}"),
        ("p99 { GET /a b/*/9 } < 1s", "name", "GET /a b/*/9", "p99{GET /a b/*/9}"),
        ("p99{a<=b == {c} < 1s", "name", "a<=b == {c", "p99{a<=b == {c}"),
        ("p99{GET /items/{id}} < 1s", "name", "GET /items/{id}", "p99{GET /items/{id}}"),
        (
            "p99{*/{shop}/items/{rest:path}*} < 1s",
            "name",
            "*/{shop}/items/{rest:path}*",
            "p99{*/{shop}/items/{rest:path}*}",
        ),
        ("p99{http://x:80/} < 1s", "name", "http://x:80/", "p99{http://x:80/}"),
        ("raw.p99{step: check out} < 1s", "step", "check out", "raw.p99{step:check out}"),
        ("failed.max{step:a*} < 1s", "step", "a*", "failed.max{step:a*}"),
        ("p99{source:10.0.0.5} < 1s", "source", "10.0.0.5", "p99{source:10.0.0.5}"),
        ("ttfb.p99{source:2001:DB8:0::0001} < 1s", "source", "2001:db8::1", "ttfb.p99{source:2001:db8::1}"),
        ("p99{status:503} < 1s", "status", "503", "p99{status:503}"),
    ],
)
def test_each_selector_is_read(text: str, kind: str, pattern: str, metric: str) -> None:
    threshold = Threshold.parse(text)
    assert threshold.selector == Selector(kind, pattern)
    assert threshold.metric == metric
    assert threshold.text == f"{metric} < 1s"
    assert Threshold.parse(threshold.text) == threshold


@pytest.mark.parametrize("metric", ["requests", "rps"])
@pytest.mark.parametrize("selector", ["GET /*", "source:10.0.0.5", "status:503"])
def test_what_is_counted_by_request_takes_a_selector(metric: str, selector: str) -> None:
    assert Threshold.parse(f"{metric}{{{selector}}} > 5").metric == f"{metric}{{{selector}}}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no metric at the start; metrics are p95"),
        ("   ", "no metric"),
        ("< 5ms", "no metric"),
        ("{GET /} < 5ms", "no metric"),
        ("p95", "no operator and no limit"),
        ("p95 200ms", "no operator and no limit"),
        ("p95 = 200ms", "'= 200ms' found where an operator was expected; the operators are <=, >=, ==, !=, <, >"),
        ("p95 =< 200ms", "found where an operator was expected"),
        ("p95 ! 200ms", "found where an operator was expected"),
        ("p95{a} b < 1s", "'b < 1s' found where"),
        ("p95} < 1s", "'} < 1s' found where"),
        ("p95{GET / < 1s", "no closing '}'"),
        ("p95 <", "no limit after the operator '<'"),
        ("p95{} < 1s", "the selector {} is empty; write a request name, step:NAME, source:"),
        ("p95{step: } < 1s", "is empty"),
        ("P95 < 1s", "'P95' is not a metric (did you mean 'p95'?)"),
        ("ERROR_RATE < 1%", "did you mean 'error_rate'?"),
        ("p95. < 1s", "did you mean 'p95'?"),
        ("meen < 1s", "did you mean 'mean'?"),
        ("avg < 1s", "did you mean 'mean'?"),
        ("iteration.med < 1s", "did you mean 'iteration.median'?"),
        ("eror_rate < 1%", "did you mean 'error_rate'?"),
        ("iterations_per_sec > 1", "did you mean 'iterations_per_second'?"),
        ("itration.p95 < 1s", "did you mean 'iteration.p95'?"),
        ("raw.medain < 1s", "did you mean 'raw.median'?"),
        ("xyzzy < 1s", "'xyzzy' is not a metric; metrics are p95"),
        ("raw < 1s", "'raw' is not a metric"),
        ("percentile < 1s", "'percentile' is not a metric"),
        ("p(95 < 1s", "'p(95' is not a metric"),
        ("p-5 < 1s", "'p-5' is not a metric"),
        ("p100 < 1s", "must be below 100; the largest value is 'max'"),
        ("p(250) < 1s", "must be below 100"),
        ("p0 < 1s", "must be above 0; the smallest value is 'min'"),
        ("raw.rps > 5", "'raw' only applies to times (p95, median, mean, min, max), not to 'rps'"),
        ("iteration.error_rate < 1%", "write 'error_rate'"),
        ("p95 < 200", "the limit of p95 is not valid: '200' is not a duration; a duration has a number and a unit"),
        ("raw.max < 5 0ms", "the limit of raw.max is not valid: '5 0ms' is not a duration"),
        ("p95 < 5m s", "is not a duration"),
        ("p95 < 1%", "is not a duration"),
        ("p95 < 1s < 2s", "is not a duration"),
        ("p95 <== 1s", "is not a duration"),
        ("error_rate < 0.01", "the limit of error_rate is not valid: '0.01' is not a percentage; write it as in 1%"),
        ("error_rate < 1s", "is not a percentage"),
        ("error_rate < 101%", "above 100%"),
        ("request_error_rate < 150%", "above 100%"),
        ("requests > 10/s", "'10/s' is not a plain number, as in 1000"),
        ("requests > 1e3", "is not a plain number"),
        ("requests > 1 000", "is not a plain number"),
        ("requests > many", "is not a plain number"),
        ("rps > fast", "'fast' is not a number or a rate, as in 50 or 50/s"),
        ("rps > 5/d", "is not a rate"),
        ("rps > 5%", "is not a number or a rate"),
        ("p95 < -5ms", "the limit '-5ms' is negative"),
        ("requests > -1", "is negative"),
        ("rps > nan", "is not a number"),
        ("requests < inf", "is not a plain number"),
        ("p95 < nan", "is not a duration"),
        (f"requests < {'9' * 400}", "is too large"),
        (f"p95 < {'9' * 400}s", "is too large"),
        ("p95{source:10.0.0.*} < 1s", "'10.0.0.*' in the selector is not a valid IP address, as in source:10.0.0.5"),
        ("p95{source:localhost} < 1s", "is not a valid IP address"),
        (
            "p95{status:5xx} < 1s",
            "'5xx' in the selector is not a valid status code: give three digits, as in status:503",
        ),
        ("p95{status:50} < 1s", "is not a valid status code"),
        ("p95{status:٥٠٣} < 1s", "is not a valid status code"),
        ("error_rate{GET /} < 1%", "takes no selector; write request_error_rate{GET /}"),
        (
            "error_rate{step:a} < 1%",
            "takes no selector; a step has times only, as in p95{step:a}; name its requests (name=) to judge their "
            "errors",
        ),
        ("iteration.p95{GET /} < 1s", "a time of iterations takes no selector"),
        ("iteration.p95{step:a} < 1s", "a time of iterations takes no selector"),
        ("iterations{GET /} > 1", "iterations takes no selector; got {GET /}"),
        ("errors{GET /} > 1", "errors takes no selector"),
        ("dropped_iterations{source:10.0.0.5} > 1", "dropped_iterations takes no selector"),
        ("iterations_per_second{GET /} > 1", "iterations_per_second takes no selector"),
        ("ip_pool_usage{source:10.0.0.5} > 1%", "ip_pool_usage takes no selector"),
        ("rps{step:a} > 1", "rps is measured for requests, not steps"),
        ("requests{step:a} > 1", "requests is measured for requests, not steps"),
        ("request_error_rate{step:a} < 1%", "not steps"),
        ("connect.p95{step:a} < 1s", "connect is measured for requests, not steps"),
        ("tls.p95{step:a} < 1s", "not steps"),
        ("ttfb.p95{step:a} < 1s", "not steps"),
    ],
)
def test_each_fault_is_named(text: str, complaint: str) -> None:
    with pytest.raises(SettingError) as caught:
        Threshold.parse(text)
    message = str(caught.value)
    assert message.startswith(f"threshold {text!r}: ")
    assert complaint in message


def test_what_is_no_text_is_refused() -> None:
    number: Any = 95
    with pytest.raises(SettingError, match="threshold 95: expected a text such as 'p95 < 200ms'"):
        Threshold.parse(number)


@pytest.mark.parametrize(
    ("operator", "below", "equal", "above"),
    [
        ("<", True, False, False),
        ("<=", True, True, False),
        (">", False, False, True),
        (">=", False, True, True),
        ("==", False, True, False),
        ("!=", True, False, True),
    ],
)
def test_each_operator_compares(operator: str, below: bool, equal: bool, above: bool) -> None:
    threshold = Threshold.parse(f"p95 {operator} 200ms")
    assert [threshold.holds(measured) for measured in (0.199, 0.2, 0.201)] == [below, equal, above]
    assert not threshold.holds(math.nan)


@pytest.mark.parametrize("ms", [9, 57, 113, 243, 1001])
def test_a_value_equal_to_the_limit_is_equal_in_spite_of_binary_fractions(ms: int) -> None:
    for measured in (ms * 1_000_000 / 1e9, ms * 1_000_000 * 1e-9, ms * 0.001):
        assert Threshold.parse(f"p95 <= {ms}ms").holds(measured)
        assert not Threshold.parse(f"p95 < {ms}ms").holds(measured)


@pytest.mark.parametrize(
    ("text", "unit", "measured", "shown", "limit"),
    [
        ("p95 < 200ms", "duration", 0.243, "243 ms", "< 200 ms"),
        ("error_rate <= 1%", "fraction", 0.0153, "1.53 %", "<= 1 %"),
        ("requests >= 5000", "count", 4812, "4 812", ">= 5 000"),
        ("errors < 2.5", "count", 0, "0", "< 2.5"),
        ("rps > 50", "rate", 48.26, "48.3/s", "> 50/s"),
        ("iterations_per_second > 30/m", "rate", 1234.5, "1 234/s", "> 0.5/s"),
    ],
)
def test_values_are_shown_with_their_unit(text: str, unit: str, measured: float, shown: str, limit: str) -> None:
    threshold = Threshold.parse(text)
    assert threshold.unit == unit
    assert threshold.format(measured) == shown
    assert threshold.limit_text == limit


labels = st.one_of(st.text().map(lambda text: text.replace("}", "")), st.sampled_from(["GET /*", "step:a", "a<b"]))
selectors = st.one_of(
    labels,
    labels.map("step:{}".format),
    st.ip_addresses().map("source:{}".format),
    st.integers(100, 999).map("status:{}".format),
)
percentiles = st.decimals(0, 100, places=3).map("p{}".format)
metrics = st.one_of(percentiles, st.sampled_from([name for name in _UNITS if name != "percentile"]))
limits = st.builds(
    "{}{}{}".format,
    st.decimals(0, 10**6, places=4),
    st.sampled_from(["", " "]),
    st.sampled_from(["", "us", "ms", "s", "m", "h", "%", "/s", "/ m"]),
)
expressions = st.builds(
    "{}{}{}{}{}".format,
    st.one_of(st.just(""), st.sampled_from(FAMILIES).map("{}.".format)),
    metrics,
    st.one_of(st.just(""), selectors.map(lambda text: f"{{{text}}}")),
    st.sampled_from(["<", "<=", " > ", ">=", "==", "!="]),
    limits,
)


def assert_parses_or_is_refused(text: str) -> None:
    try:
        threshold = Threshold.parse(text)
    except SettingError:
        return
    again = Threshold.parse(threshold.text)
    assert again == threshold
    assert again.text == threshold.text
    assert threshold.text.startswith(f"{threshold.metric} {threshold.operator} ")
    assert math.isfinite(threshold.limit)
    assert threshold.limit_text


@given(expressions)
def test_expressions_round_trip(text: str) -> None:
    assert_parses_or_is_refused(text)


@given(st.one_of(st.text(), st.text("p95.(){}<>=! %/smhu0", max_size=20)))
def test_any_text_parses_or_is_refused(text: str) -> None:
    assert_parses_or_is_refused(text)


@given(
    st.sampled_from(["", *(f"{family}." for family in FAMILIES if family not in ("iteration",))]),
    st.decimals("0.001", "99.999", places=3),
    st.one_of(st.none(), st.sampled_from(["GET /a*", "source:10.0.0.5", "status:404"])),
    st.integers(0, 10**9),
)
def test_every_valid_percentile_is_accepted(family: str, percent: Any, selector: str | None, us: int) -> None:
    where = "" if selector is None else f"{{{selector}}}"
    threshold = Threshold.parse(f"{family}p{percent}{where} < {us}us")
    assert threshold.quantile == float(percent / 100)
    assert threshold.limit == us / 1_000_000
    assert Threshold.parse(threshold.text) == threshold


@pytest.mark.parametrize(
    ("text", "pattern", "metric"),
    [
        ("p95{GET /items/{id}} < 1s", "GET /items/{id}", "p95{GET /items/{id}}"),
        ("p95{GET /{a}/x/{b}} < 1s", "GET /{a}/x/{b}", "p95{GET /{a}/x/{b}}"),
        ("p95{GET /a}b} < 1s", "GET /a}b", "p95{GET /a}b}"),
        ("p95{name:step:x} < 1s", "step:x", "p95{name:step:x}"),
        ("p95{name: status:503} < 1s", "status:503", "p95{name:status:503}"),
        ("p95{name:name:x} < 1s", "name:x", "p95{name:name:x}"),
        ("p95{name:GET /} < 1s", "GET /", "p95{GET /}"),
        ("p95{POST http://shop/} < 1s", "POST http://shop/", "p95{POST http://shop/}"),
    ],
)
def test_every_request_name_can_be_selected(text: str, pattern: str, metric: str) -> None:
    threshold = Threshold.parse(text)
    assert threshold.selector == Selector("name", pattern)
    assert threshold.metric == metric
    assert Threshold.parse(threshold.text) == threshold
    assert Metric.parse(metric).selector == threshold.selector


@pytest.mark.parametrize(("sign", "operator"), [("≤", "<="), ("≥", ">="), ("≠", "!=")])
@pytest.mark.parametrize("metric", ["p95", "p95{GET /}"])
def test_a_sign_that_is_no_operator_is_named(metric: str, sign: str, operator: str) -> None:
    with pytest.raises(SettingError, match=f"'{sign}' is not an operator; write '{re.escape(operator)}'"):
        Threshold.parse(f"{metric} {sign} 200ms")
