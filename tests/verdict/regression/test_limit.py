from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.base.errors import SettingError
from pytest_ipload.verdict.regression.limit import CompareLimit


@pytest.mark.parametrize(
    ("text", "normal", "metric", "relative", "floor", "unit"),
    [
        ("p95:10%", "p95:10%", "p95", 0.1, None, "ms"),
        ("p95:10%,50ms", "p95:10%,50ms", "p95", 0.1, 50, "ms"),
        (" p(95) : 10 % , 50 ms ", "p95:10%,50ms", "p95", 0.1, 50, "ms"),
        ("max:1.5s", "max:1.5s", "max", 0, 1500, "ms"),
        ("median:0.5%,9ms", "median:0.5%,9ms", "median", 0.005, 9, "ms"),
        ("mean:100%", "mean:100%", "mean", 1, None, "ms"),
        ("min:1%", "min:1%", "min", 0.01, None, "ms"),
        ("raw.p99.9:10%", "raw.p99.9:10%", "raw.p99.9", 0.1, None, "ms"),
        ("p95{GET /a:b}:10%", "p95{GET /a:b}:10%", "p95{GET /a:b}", 0.1, None, "ms"),
        ("p95{GET /a, b}:10%,1ms", "p95{GET /a, b}:10%,1ms", "p95{GET /a, b}", 0.1, 1, "ms"),
        ("p95{step:checkout}:10%", "p95{step:checkout}:10%", "p95{step:checkout}", 0.1, None, "ms"),
        ("error_rate:0%,1%", "error_rate:0%,1%", "error_rate", 0, 0.01, "fraction"),
        ("error_rate:50%", "error_rate:50%", "error_rate", 0.5, None, "fraction"),
        (
            "request_error_rate{GET *}:10%",
            "request_error_rate{GET *}:10%",
            "request_error_rate{GET *}",
            0.1,
            None,
            "fraction",
        ),
        ("rps:10%", "rps:10%", "rps", 0.1, None, "1/s"),
        ("rps{GET /}:10%,60/m", "rps{GET /}:10%,60/m", "rps{GET /}", 0.1, 1, "1/s"),
        ("iterations_per_second:5/s", "iterations_per_second:5/s", "iterations_per_second", 0, 5, "1/s"),
    ],
)
def test_each_form_is_read(
    text: str, normal: str, metric: str, relative: float, floor: float | None, unit: str
) -> None:
    limit = CompareLimit.parse(text)
    assert (limit.text, limit.metric.text, limit.unit) == (normal, metric, unit)
    assert limit.relative == pytest.approx(relative)
    assert limit.floor == floor
    assert CompareLimit.parse(normal) == limit


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("p95", "there is no ':' followed by a change, as in 'p95:10%'"),
        ("p95{step:x}", "there is no ':' followed by a change"),
        ("", "there is no ':'"),
        (":10%", "no metric at the start"),
        ("p95:", "change for p95 is not valid: '' is not a duration"),
        ("p95:10", "'10' is not a duration.*; a relative change is a percentage"),
        ("p95:-10%", "'-10%' is not a percentage"),
        ("p95:50ms,10%", "'50ms' is not a percentage; the percentage comes first"),
        ("p95:10%,10%", "change for p95 is not valid: '10%' is not a duration"),
        ("p95:1%,2ms,3ms", "more than a percentage and a floor"),
        ("p95:" + "9" * 400 + "%", "'9+' is too large"),
        ("rps:10%,5ms", "change for rps is not valid: '5ms' is not a rate"),
        ("error_rate:1%,1ms", "change for error_rate is not valid"),
        ("p95x:10%", r"'p95x' is not a metric \(did you mean 'p95'\?\)"),
        ("p95{}:10%", "selector {} is empty"),
        ("p95{GET /:10%", "selector has no closing '}'"),
        ("p95{GET /}x:10%", "unexpected 'x' after the selector"),
        ("error_rate{GET /}:10%", "error_rate is the share of failed iterations and takes no selector"),
        (
            "p95{source:10.0.0.1}:10%",
            "{source:10.0.0.1} cannot be compared: values are saved by request name and by step, and by observed ",
        ),
        ("p95{status:200}:10%", "{status:200} cannot be compared"),
        ("tls.p95:10%", "'tls.p95' cannot be compared; metrics that can be compared are"),
        ("failed.p95:10%", "'failed.p95' cannot be compared"),
        ("target.rss.growth{api}:10%", "'target.rss.growth{api}' cannot be compared"),
        ("target.cpu.p95:10%", "'target.cpu.p95' cannot be compared"),
        ("target.rss.max:10%,5%", "change for target.rss.max is not valid: '5%' is not a size"),
        ("requests:10%", "'requests' cannot be compared"),
        ("ip_pool_usage:10%", "'ip_pool_usage' cannot be compared"),
    ],
)
def test_what_is_wrong_is_said(text: str, complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint) as caught:
        CompareLimit.parse(text)
    assert str(caught.value).startswith(f"limit {text!r}: ")


def test_the_examples_of_the_documentation_are_limits() -> None:
    page = (Path(__file__).parents[3] / "docs" / "baselines.md").read_text(encoding="utf-8")
    examples = re.findall(r"^\| `([^`]*:[^`]*)` \|", page, re.MULTILINE)
    assert [CompareLimit.parse(text).text for text in examples] == examples
    assert {CompareLimit.parse(text).unit for text in examples} == {"ms", "fraction", "1/s", "%"}


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for attempt in (text, f"p95:{text}", f"p95{{{text}}}:10%", f"rps:10%,{text}"):
        with suppress(SettingError):
            limit = CompareLimit.parse(attempt)
            assert CompareLimit.parse(limit.text) == limit


@pytest.mark.parametrize(
    ("text", "baseline", "noise", "tolerance"),
    [
        ("p95:10%", 200, 0, 20),
        ("p95:10%,50ms", 200, 0, 50),
        ("p95:10%,50ms", 1000, 0, 100),
        ("p95:10%,50ms", 200, 60, 60),
        ("p95:50ms", 200, 0, 50),
        ("error_rate:10%", 0, 0, 0),
    ],
)
def test_the_largest_of_share_floor_and_noise_is_tolerated(
    text: str, baseline: float, noise: float, tolerance: float
) -> None:
    assert CompareLimit.parse(text).tolerance(baseline, noise) == pytest.approx(tolerance)


@pytest.mark.parametrize(
    ("text", "difference", "beyond"),
    [
        ("p95:10%", 10, False),
        ("p95:10%", 10.001, True),
        ("p95:10%", -50, False),
        ("rps:10%", -10, False),
        ("rps:10%", -10.001, True),
        ("rps:10%", 50, False),
    ],
)
def test_a_rate_is_worse_if_it_is_lower_all_others_if_they_are_higher(
    text: str, difference: float, beyond: bool
) -> None:
    limit = CompareLimit.parse(text)
    assert limit.is_beyond(difference, limit.tolerance(100)) == beyond


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("p95:10%", "limit +10 %"),
        ("p95:10%,50ms", "limit +10 %, at least 50.0 ms"),
        ("p95:50ms", "limit +50.0 ms"),
        ("p95:0%", "limit +0 %"),
        ("rps:10%", "limit -10 %"),
        ("error_rate:0%,1%", "limit +1 %"),
    ],
)
def test_people_read(text: str, shown: str) -> None:
    assert CompareLimit.parse(text).limit_text == shown
