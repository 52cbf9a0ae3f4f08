from __future__ import annotations

from typing import Any

import pytest

from pytest_ipload.report.html.cells import ABSENT, clock, count, in_unit, milliseconds, rate, setting, share


@pytest.mark.parametrize("text", [count, milliseconds, share, rate])
def test_what_was_not_measured_is_absent(text: Any) -> None:
    assert text(None) == ABSENT
    assert text(0) != ABSENT


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "ms", ABSENT),
        (1234.5, "ms", "1.23 s"),
        (0.0125, "fraction", "1.25 %"),
        (104.4, "1/s", "104/s"),
        (4.119, "1/s", "4.12/s"),
        (4812.0, "count", "4 812"),
        (0.5, None, "0.5"),
    ],
)
def test_numbers_have_their_unit(value: float | None, unit: str | None, text: str) -> None:
    assert in_unit(value, unit) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (65, "1:05"), (3600, "1:00:00"), (90_061, "25:01:01")])
def test_times_of_a_load_are_those_of_the_charts(seconds: int, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("users", 50, "50"),
        ("duration_s", 90.0, "90s"),
        ("timeout_s", 30, "30s"),
        ("think_time_s", [0.1, 0.3], "100ms-300ms"),
        ("pacing_s", [1.0, 1.0], "1s"),
        ("arrival_rate", 100.0, "100/s"),
        ("stages", [[10.0, 50.0], [90.0, 2.5]], "10s:50,90s:2.5"),
        ("suppress_health_check", [], "none"),
        ("suppress_health_check", ["late-starts", "few-ports"], "late-starts, few-ports"),
        ("ip_exclusive", True, "yes"),
        ("ip_exclusive", False, "no"),
        ("base_url", "http://shop.test", "http://shop.test"),
    ],
)
def test_settings_are_shown_as_one_writes_them(key: str, value: Any, text: str) -> None:
    assert setting(value, key) == text
