from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.base.units import (
    format_clock,
    format_count,
    format_duration,
    format_percent,
    format_setting,
    parse_duration,
    parse_percent,
    parse_rate,
    parse_span,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500us", 0.0005),
        ("20ms", 0.02),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1m30s", 90.0),
        ("1h2m3s4ms5us", 3723.004005),
        ("9ms", 0.009),
        ("0s", 0.0),
        ("  30s ", 30.0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "5", "1.5", "s", "5 s", "-5s", "+5s", "5sec", "5S", "5d", "1,5s", "5.s", "1e3s", "nan", "inf"),
        *("1s1m", "1s1s", "30s 5ms", "1m-", "1m30", "٣s"),
    ],
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(
        ValueError, match="is not a duration; a duration has a number and a unit, as in 500us"
    ) as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)


@given(st.floats(min_value=0, max_value=1e9))
def test_a_setting_is_written_as_it_is_read(seconds: float) -> None:
    assert parse_duration(format_setting(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0, "0s"),
        (1e-7, "0.1us"),
        (0.0005, "500us"),
        (0.25, "250ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (60, "1m"),
        (90, "90s"),
        (7200, "2h"),
        (86400, "24h"),
        (0.1 + 0.2, "300.00000000000004ms"),
    ],
)
def test_a_setting_has_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert format_setting(seconds) == text


@pytest.mark.parametrize(
    ("text", "span"),
    [("1s", (1.0, 1.0)), ("100ms-300ms", (0.1, 0.3)), ("0s-1m30s", (0.0, 90.0)), ("1s - 2s", (1.0, 2.0))],
)
def test_a_span_is_read(text: str, span: tuple[float, float]) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("300ms-100ms", "runs backwards; give the shorter duration first"),
        ("1s-", "is not a duration"),
        ("-1s", "is not a duration"),
        ("100-300ms", "'100' is not a duration"),
        ("1s-2s-3s", "'2s-3s' is not a duration"),
    ],
)
def test_what_is_no_span_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_span(text)


@pytest.mark.parametrize(
    ("text", "per_second"), [("100/s", 100.0), ("30/m", 0.5), ("3600/h", 1.0), (" 2.5 / s ", 2.5), (".5/s", 0.5)]
)
def test_a_rate_is_read(text: str, per_second: float) -> None:
    assert parse_rate(text) == per_second


@pytest.mark.parametrize("text", ["", "100", "100/", "/s", "100/ms", "100/d", "-1/s", "1e3/s", "100 per s"])
def test_what_is_no_rate_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a rate; .*100/s or 30/m"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "fraction"), [("1%", 0.01), ("0.5 %", 0.005), ("0.7%", 0.007), ("100%", 1.0), ("0%", 0.0), ("150%", 1.5)]
)
def test_a_percentage_is_read(text: str, fraction: float) -> None:
    assert parse_percent(text) == fraction


@pytest.mark.parametrize("text", ["", "1", "%", "-1%", "1 percent", "1%%", "1e2%"])
def test_what_is_no_percentage_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a percentage; write it as in 1% or 0\.5%"):
        parse_percent(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.16e-6, "0.16 us"),
        (85e-6, "85.0 us"),
        (999.4e-6, "999 us"),
        (999.6e-6, "1.00 ms"),
        (0.243, "243 ms"),
        (0.09994, "99.9 ms"),
        (0.09996, "100 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (1.5, "1.50 s"),
        (9.996, "10.0 s"),
        (99.9, "99.9 s"),
        (99.96, "1m40s"),
        (125.4, "2m05s"),
        (3599.6, "1h00m00s"),
        (-0.243, "-243 ms"),
    ],
)
def test_a_duration_for_people_has_three_digits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(min_value=1e-6, max_value=99))
def test_a_duration_for_people_is_off_by_half_a_percent_at_most(seconds: float) -> None:
    assert math.isclose(parse_duration(format_duration(seconds).replace(" ", "")), seconds, rel_tol=0.0051)


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (4812, "4 812"), (1234567, "1 234 567")])
def test_a_count_has_groups(number: int, text: str) -> None:
    assert format_count(number) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.0123456, "1.23 %"),
        (0.1 + 0.2, "30 %"),
        (2 / 3, "66.7 %"),
        (1e-7, "0.00001 %"),
        (0.9997, "99.97 %"),
        (0.99999999, "99.999999 %"),
        (64, "6400 %"),
    ],
)
def test_a_percentage_has_three_digits(fraction: float, text: str) -> None:
    assert format_percent(fraction) == text


@given(st.integers(min_value=1, max_value=10**9), st.data())
def test_a_percentage_is_all_or_nothing_only_if_it_is(whole: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(min_value=0, max_value=whole))
    text = format_percent(part / whole)
    assert (text == "0 %") == (part == 0)
    assert (text == "100 %") == (part == whole)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0:00"),
        (7.9, "0:07"),
        (59.99, "0:59"),
        (60.0, "1:00"),
        (750.0, "12:30"),
        (3599.9, "59:59"),
        (3723.0, "1:02:03"),
        (90_000.0, "25:00:00"),
    ],
)
def test_a_clock_shows_whole_seconds(seconds: float, text: str) -> None:
    assert format_clock(seconds) == text
