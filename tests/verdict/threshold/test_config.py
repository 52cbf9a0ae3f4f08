from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_ipload.base.errors import SettingError
from pytest_ipload.verdict.threshold.config import WARN, ThresholdConfig, window_lengths, with_implied
from pytest_ipload.verdict.threshold.expression import Threshold


def judged(expression: str = "p95 < 200ms", **settings: Any) -> ThresholdConfig:
    return ThresholdConfig(Threshold.parse(expression), **settings)


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
        given_thresholds = [ThresholdConfig(Threshold.parse(text)) for text in expressions]
        judged = with_implied(given_thresholds)
        assert judged[: len(expressions)] == given_thresholds
        assert [each.threshold.text for each in judged[len(expressions) :]] == ["error_rate == 0%"] * implied

    def test_a_mere_warning_about_errors_does_not_allow_them(self) -> None:
        judged = with_implied([ThresholdConfig(Threshold.parse("error_rate < 1%"), WARN)])
        assert [(each.threshold.text, each.severity) for each in judged] == [
            ("error_rate < 1%", "warn"),
            ("error_rate == 0%", "fail"),
        ]


@pytest.mark.parametrize(
    ("expression", "settings", "complaint"),
    [
        ("p95 < 1s", {"severity": WARN, "abort_on_fail": True},
         "abort_on_fail=True and severity='warn' contradict each other: a warning cannot abort the load"),
        ("p95 < 1s", {"window": 0.05}, "window=50ms is too short; the shortest window is 100ms"),
        ("dropped_iterations == 0", {"window": 10.0},
         "dropped_iterations is counted over the whole load and takes no window"),
        ("ip_pool_usage > 1%", {"window": 10.0}, "ip_pool_usage is counted over the whole load and takes no window"),
        ("mean < 1s", {"confidence": 0.9},
         "confidence only applies to percentiles, error_rate, request_error_rate and check_rate: there is no"),
        ("iteration.max < 1s", {"confidence": 0.9}, "there is no interval for iteration.max"),
        ("rps > 5", {"confidence": 0.9}, "there is no interval for rps"),
        ("errors < 5", {"confidence": 0.9}, "there is no interval for errors"),
        ("ip_pool_usage > 5%", {"confidence": 0.9}, "there is no interval for ip_pool_usage"),
        ("p95 == 1s", {"confidence": 0.9}, "confidence does not apply to '==', as an interval is never equal to one"),
        ("error_rate != 0%", {"confidence": 0.9}, "confidence does not apply to '!='"),
    ],
)  # fmt: skip  # the expected texts read better so
def test_settings_that_make_no_sense_are_refused(expression: str, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingError, match=re.escape(complaint)) as raised:
        judged(expression, **settings)
    assert str(raised.value).startswith(f"threshold {expression!r}: ")


@pytest.mark.parametrize(
    "expression",
    ["p95 < 1s", "median > 1ms", "failed.p50{step:x} <= 1s", "error_rate < 1%", "request_error_rate{a} >= 1%"],
)
def test_what_has_an_interval_takes_a_confidence(expression: str) -> None:
    assert judged(expression, confidence=0.99, window=0.1).window_ns == 100_000_000


def test_each_length_of_windows_is_kept_once() -> None:
    assert window_lengths([judged(), judged(window=10.0), judged("max < 1s", window=0.5), judged(window=10.0)]) == [
        500_000_000,
        10_000_000_000,
    ]
    assert window_lengths([judged()]) == []


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "p95 < 200ms"),
        ({"window": 10.0}, "p95 < 200ms (window 10s)"),
        ({"abort_on_fail": True}, "p95 < 200ms (abort_on_fail after 10s)"),
        ({"severity": WARN, "window": 0.5, "confidence": 0.9},
         "p95 < 200ms (window 500ms, confidence 0.9, severity warn)"),
    ],
)  # fmt: skip  # the expected texts read better so
def test_the_text_has_all_that_was_set(settings: dict[str, Any], text: str) -> None:
    assert judged(**settings).text == text
