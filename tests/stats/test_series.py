from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.sample import FAULT, OK, REQUEST, Sample
from pytest_ipload.stats.series import Second, Series, SeriesKey

KEY = SeriesKey(REQUEST, "GET /", "127.0.0.2", 200, OK)


def histogram(*ns: int) -> Histogram:
    result = Histogram()
    for each in ns:
        result.record(each)
    return result


def series(*, planned: bool = True, latency_ns: int = 5_000_000) -> Series:
    """Of one sample, with all that a sample can have."""
    result = Series(planned=planned)
    result.latency.record(latency_ns)
    if result.response is not None:
        result.response.record(latency_ns + 1_000_000)
    result.add_connections(
        Sample(
            *(REQUEST, "GET /", 0, latency_ns),
            redirects=1,
            connections=2,
            connect_ns=3_000,
            tls_ns=4_000,
            first_byte_ns=5_000,
            retries=3,
        )
    )
    return result


@pytest.mark.parametrize("planned", [True, False])
def test_the_plain_form_is_lossless(planned: bool) -> None:
    plain = series(planned=planned).to_plain()
    assert (plain["redirects"], plain["connections"], plain["retries"]) == (1, 2, 3)
    assert Series.from_plain(plain, planned=planned).to_plain() == plain
    assert SeriesKey.from_plain(list(KEY)) == KEY


def test_merging_adds_everything_up() -> None:
    whole = series()
    whole.merge(series(latency_ns=7_000_000))
    assert whole.latency == histogram(5_000_000, 7_000_000)
    assert whole.response == histogram(6_000_000, 8_000_000)
    assert (whole.redirects, whole.connections, whole.retries) == (2, 4, 6)
    assert (whole.connect, whole.tls, whole.first_byte) == (
        histogram(3_000, 3_000),
        histogram(4_000, 4_000),
        histogram(5_000, 5_000),
    )


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("redirects", -1, "redirects"),
        ("connections", "1", "connections"),
        ("retries", None, "retries"),
        ("latency", {}, "histogram"),
        ("latency", None, "histogram"),
        ("response", None, "response"),
        ("response", Histogram().to_plain(), "response"),
        ("connect", histogram(1, 2).to_plain(), "more values"),
        ("tls", 5, "histogram"),
        ("extra", 1, "expected a dict with the keys"),
    ],
)
def test_a_wrong_series_is_refused(field: str, value: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Series.from_plain({**series().to_plain(), field: value}, planned=True)


def test_a_planned_series_has_no_place_in_an_unplanned_load() -> None:
    with pytest.raises(ValueError, match="response"):
        Series.from_plain(series().to_plain(), planned=False)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("kind", ("other", [], 5, None)),
        ("name", (5, [], None)),
        ("source_address", (5, [], True)),
        ("status", ("200", [], None, True, -1)),
        ("outcome", ("other", [], 5, None, FAULT)),
    ],
)
def test_a_wrong_key_is_refused(field: str, wrong: Sequence[Any]) -> None:
    for value in wrong:
        with pytest.raises(ValueError, match="series key"):
            SeriesKey.from_plain(list(KEY._replace(**{field: value})))


@pytest.mark.parametrize("parts", [None, {}, [REQUEST, "a"], [*KEY, 1]])
def test_what_is_no_key_is_refused(parts: Any) -> None:
    with pytest.raises(ValueError, match="series key"):
        SeriesKey.from_plain(parts)


def second() -> Second:
    result = Second(planned=True)
    result.requests, result.failed_requests = 3, 1
    result.latency.merge(histogram(5, 6))
    assert result.response is not None
    result.response.merge(histogram(7, 8))
    return result


def test_a_second_of_two_parts() -> None:
    whole = second()
    whole.merge(second())
    assert (whole.requests, whole.failed_requests, whole.latency) == (6, 2, histogram(5, 6, 5, 6))
    assert whole.response == histogram(7, 8, 7, 8)
    assert Second.from_plain(whole.to_plain(), planned=True).to_plain() == whole.to_plain()


def test_a_second_without_a_plan_has_no_response_times() -> None:
    closed = Second(planned=False)
    closed.merge(second())
    assert (closed.requests, closed.response) == (3, None)
    assert Second.from_plain(closed.to_plain(), planned=False).to_plain() == closed.to_plain()
    for plain, planned in ((closed.to_plain(), True), (second().to_plain(), False)):
        with pytest.raises(ValueError, match="second response: expected one per latency"):
            Second.from_plain(plain, planned=planned)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("requests", 9, "second: its number of requests is not"),
        ("failed_requests", -1, "failed_requests"),
        ("latency", None, "histogram"),
        ("response", histogram(5).to_plain(), "second response: expected one per latency in a planned load"),
        ("extra", 1, "expected a dict with the keys"),
    ],
)
def test_a_wrong_second_is_refused(field: str, value: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Second.from_plain({**second().to_plain(), field: value}, planned=True)


def packed_second() -> Second:
    second = Second(planned=False)
    for us in range(2000):
        second.latency.record(us * 1000 + 1)
    second.requests = 2000
    second.pack()
    return second


def test_a_packed_second_is_small_and_keeps_all_but_its_fine_bins() -> None:
    second, exact = packed_second(), histogram(*(us * 1000 + 1 for us in range(2000)))
    assert second._latency._packed is not None
    assert len(second._latency._packed) < 700, "of 900 bins"
    plain = second.to_plain()
    assert {**plain["latency"], "bins": None} == {**exact.to_plain(), "bins": None}
    for quantile, found in ((q, second.peek()[0].quantile(q)) for q in (0.5, 0.95)):
        true = exact.quantile(quantile)
        assert true is not None
        assert found is not None
        assert true <= found <= true * 1.008
    assert second._latency._packed is not None, "to look at it does not unpack it"


def test_packing_twice_changes_nothing_and_samples_may_still_come() -> None:
    second = packed_second()
    before = second.to_plain()
    second.pack()
    assert second.to_plain() == before
    second.latency.record(5)
    assert second.latency.count == 2001
    second.pack()
    assert second.to_plain()["latency"]["count"] == 2001


def test_a_second_without_a_success_stays_empty() -> None:
    second = Second(planned=False)
    second.failed_requests = second.requests = 1
    second.pack()
    assert second.peek()[0].quantile(0.5) is None
    assert second.to_plain()["latency"]["count"] == 0
