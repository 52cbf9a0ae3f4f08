from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import MS, ORIGIN, SECOND, iteration, measurements, request, step

from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.sample import FAILED, FAULT, SETUP, Sample
from pytest_ipload.stats.summary import Frame, LatencyStats, Summary, latency_stats, per_second, plain, ratio, summarise

Lifetimes = Sequence[tuple[float, float]]


def summary(
    samples: Sequence[Sample],
    *,
    seconds: float = 10,
    warmup_s: float = 0,
    planned: bool = False,
    users_by_source: dict[str, int] | None = None,
    connections_by_source: dict[str, int] | None = None,
    lifetimes_s: Lifetimes = (),
) -> Summary:
    frame = Frame(
        origin_ns=ORIGIN,
        ended_ns=ORIGIN + round(seconds * SECOND),
        warmup_s=warmup_s,
        users=3,
        users_by_source=users_by_source or {},
        connections_by_source=connections_by_source or {},
        lifetimes=[(ORIGIN + round(start * SECOND), ORIGIN + round(stop * SECOND)) for start, stop in lifetimes_s],
    )
    return Summary(**summarise(measurements(samples, warmup_ms=round(warmup_s * 1000), planned=planned), frame))


def rows(stats: Sequence[Any], *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, field) for field in fields) for row in stats]


class TestCounts:
    SAMPLES = (
        *(request("GET /cart", latency) for latency in (10, 20, 30)),
        request("GET /cart", 900, outcome=FAILED),
        request("POST /orders", 40),
        iteration(),
        iteration(),
        iteration(),
        iteration(outcome=FAILED),
    )

    def test_totals_and_rates(self) -> None:
        total = summary(self.SAMPLES)
        assert (total.users, total.duration_s) == (3, 10.0)
        assert (total.iterations, total.failed_iterations, total.error_rate) == (4, 1, 0.25)
        assert (total.requests, total.failed_requests, total.request_error_rate) == (5, 1, 0.2)
        assert (total.rps, total.iterations_per_second) == (0.5, 0.4)
        assert (total.setup, total.warmup_requests, total.warmup_iterations, total.response_time) == (None,) * 4

    def test_latency_is_that_of_successful_requests(self) -> None:
        latency = summary(self.SAMPLES).latency
        assert (latency.count, latency.min_ms, latency.mean_ms, latency.max_ms) == (4, 10.0, 25.0, 40.0)
        assert latency.p50_ms == pytest.approx(20, rel=0.001)
        assert latency.p99_9_ms == pytest.approx(40, rel=0.001)

    def test_names_are_in_order_of_first_sight(self) -> None:
        by_name = summary(self.SAMPLES).by_name
        assert rows(by_name, "name", "requests", "failed_requests", "rps", "redirects") == [
            ("GET /cart", 4, 1, 0.4, None),
            ("POST /orders", 1, 0, 0.1, None),
        ]
        assert [row.latency.count for row in by_name] == [3, 1]

    def test_a_name_with_a_star_is_no_pattern(self) -> None:
        by_name = summary([request("GET /*"), request("GET /a"), request("GET /*")]).by_name
        assert rows(by_name, "name", "requests") == [("GET /*", 2), ("GET /a", 1)]

    def test_redirects_are_added_up_where_there_were_any(self) -> None:
        by_name = summary([request(redirects=2), request(redirects=1), request("GET /other")]).by_name
        assert rows(by_name, "redirects") == [(3,), (None,)]

    def test_retries_are_added_up_where_there_were_any_but_not_those_of_the_set_up(self) -> None:
        samples = [
            *(request(retries=1), request(retries=2, outcome=FAILED), request("GET /other")),
            request("POST /login", retries=4)._replace(kind=SETUP),
        ]
        total = summary(samples)
        assert rows(total.by_name, "retried_requests") == [(3,), (None,)]
        assert total.retried_requests == 3
        assert total.setup is not None
        assert rows(total.setup, "retried_requests") == [(4,)]
        assert summary(self.SAMPLES).retried_requests is None

    def test_over_nothing_there_are_no_shares_and_no_times(self) -> None:
        nothing = summary([])
        assert (nothing.error_rate, nothing.request_error_rate) == (None, None)
        assert (nothing.rps, nothing.latency) == (0.0, LatencyStats(0))
        assert (nothing.by_name, nothing.by_source, nothing.steps, nothing.timeline) == ([], [], [], [])

    def test_over_no_time_rates_are_zero(self) -> None:
        assert summary(self.SAMPLES, seconds=0).rps == 0.0
        assert summary(self.SAMPLES, seconds=-1).duration_s == 0.0

    def test_with_a_plan_there_is_a_response_time(self) -> None:
        planned = summary([request(latency_ms=10, lateness_ns=5 * MS)], planned=True)
        assert planned.response_time is not None
        assert (planned.latency.max_ms, planned.response_time.max_ms) == (10.0, 15.0)

    def test_faults_of_the_generator_are_no_requests(self) -> None:
        total = summary([request(outcome=FAULT, fault="ports-exhausted"), request()])
        assert (total.requests, total.failed_requests, total.by_name[0].requests) == (1, 0, 1)


class TestWarmUp:
    SAMPLES = (
        request("GET /early", 100, at_ms=1999),
        request("GET /late", 10, at_ms=2000),
        request("GET /late", 20, at_ms=5000),
        step("early", at_ms=0),
        iteration(at_ms=0),
        iteration(at_ms=2000),
    )

    def test_what_started_in_it_is_only_counted(self) -> None:
        total = summary(self.SAMPLES, warmup_s=2)
        assert (total.warmup_requests, total.warmup_iterations) == (1, 1)
        assert (total.requests, total.iterations, total.latency.max_ms) == (2, 1, 20.0)
        assert rows(total.by_name, "name") == [("GET /late",)]
        assert total.steps == []

    def test_rates_are_over_the_rest_of_the_time(self) -> None:
        total = summary(self.SAMPLES, warmup_s=2)
        assert (total.duration_s, total.rps, total.by_name[0].rps) == (10.0, 0.25, 0.25)

    def test_the_timeline_shows_it(self) -> None:
        assert sum(point.requests for point in summary(self.SAMPLES, warmup_s=2).timeline) == 3

    def test_a_load_shorter_than_its_warm_up_has_no_rate(self) -> None:
        assert summary([], seconds=1, warmup_s=2).rps == 0.0

    def test_set_up_in_it_is_shown_all_the_same(self) -> None:
        total = summary([request("GET /login")._replace(kind=SETUP)], warmup_s=2)
        assert total.setup is not None
        assert (rows(total.setup, "name", "requests"), total.warmup_requests) == ([("GET /login", 1)], 0)


def test_requests_of_set_up_and_tear_down_are_apart() -> None:
    login = [request("GET /login", outcome=outcome)._replace(kind=SETUP) for outcome in ("ok", FAILED)]
    total = summary([*login, request("GET /cart")])
    assert (total.requests, total.failed_requests, rows(total.by_name, "name")) == (1, 0, [("GET /cart",)])
    assert total.setup is not None
    assert rows(total.setup, "name", "requests", "failed_requests", "rps") == [("GET /login", 2, 1, 0.0)]


def test_steps_have_counts_failures_and_the_times_of_those_that_went_well() -> None:
    total = summary([step("pay", 10), step("pay", 30), step("pay", 900, outcome=FAILED), step("browse", 5)])
    assert rows(total.steps, "name", "count", "failed") == [("pay", 3, 1), ("browse", 1, 0)]
    assert [row.latency.max_ms for row in total.steps] == [30.0, 5.0]
    assert total.requests == 0


class TestBySource:
    SAMPLES = (
        request("GET /", 10, source_address="127.0.0.3", connections=1),
        request("GET /", 20, source_address="127.0.0.3", outcome=FAILED),
        request("GET /", 30, source_address="127.0.0.2"),
        request("GET /login", source_address="127.0.0.2", connections=2)._replace(kind=SETUP),
        request("GET /", 40),
        step("pay", source_address="127.0.0.3", connections=9),
        iteration(source_address="127.0.0.3"),
    )

    def test_each_address_has_its_own_numbers(self) -> None:
        by_source = summary(self.SAMPLES, users_by_source={"127.0.0.2": 2, "127.0.0.3": 1}).by_source
        assert rows(by_source, "source_address", "users", "connections", "requests", "failed_requests") == [
            ("127.0.0.3", 1, 1, 2, 1),
            ("127.0.0.2", 2, 2, 1, 0),
        ]
        assert [row.latency.max_ms for row in by_source] == [10.0, 30.0]

    def test_an_address_that_was_leased_and_sent_nothing_is_there_too(self) -> None:
        by_source = summary([], users_by_source={"127.0.0.9": 4}).by_source
        assert rows(by_source, "source_address", "users", "requests") == [("127.0.0.9", 4, 0)]

    def test_connections_of_other_clients_are_added(self) -> None:
        others = {"127.0.0.3": 4, "127.0.0.8": 1}
        by_source = summary(self.SAMPLES, users_by_source={"127.0.0.3": 1}, connections_by_source=others).by_source
        assert rows(by_source, "source_address", "users", "connections", "requests") == [
            ("127.0.0.3", 1, 5, 2),
            ("127.0.0.2", 3, 2, 1),
            ("127.0.0.8", 3, 1, 0),
        ]

    def test_one_that_the_system_chose_is_that_of_all_users(self) -> None:
        (row,) = summary([request(source_address="127.0.0.1")]).by_source
        assert (row.source_address, row.users, row.requests) == ("127.0.0.1", 3, 1)


class TestTimeline:
    def test_a_request_is_in_the_second_in_which_it_ended(self) -> None:
        samples = [
            request(latency_ms=999, at_ms=0),
            request(latency_ms=1000, at_ms=0),
            request(latency_ms=10, at_ms=1500, outcome=FAILED),
            request(latency_ms=20, at_ms=1500),
        ]
        timeline = summary(samples).timeline
        assert rows(timeline, "t_s", "requests", "failed_requests") == [(0, 1, 0), (1, 3, 1)]
        assert timeline[1].p50_ms == pytest.approx(20, rel=0.001)
        assert timeline[1].p95_ms == pytest.approx(1000, rel=0.001)

    def test_a_second_in_which_nothing_ended_is_there_without_times(self) -> None:
        timeline = summary([request(at_ms=0), request(at_ms=3000)]).timeline
        assert rows(timeline, "t_s", "requests") == [(0, 1), (1, 0), (2, 0), (3, 1)]
        assert (timeline[1].p50_ms, timeline[1].p95_ms) == (None, None)
        assert plain(timeline[1]) == {"t_s": 1, "users": 0, "requests": 0, "failed_requests": 0}

    @pytest.mark.parametrize(
        ("lifetimes", "users"),
        [
            ([], [0, 0, 0]),
            ([(0, 3)], [1, 1, 1]),
            ([(0, 0.5), (0.6, 0.9)], [1, 0, 0]),
            ([(0, 0.5), (0.4, 1.5)], [2, 1, 0]),
            ([(0, 2.5), (0.5, 2.5), (1.5, 2.5)], [2, 3, 3]),
            ([(1, 1)], [0, 1, 0]),
            ([(0, 1), (1, 2)], [1, 2, 1]),
            ([(5, 9)], [0, 0, 0]),
        ],
    )
    def test_users_are_the_most_at_once_in_each_second(self, lifetimes: Lifetimes, users: list[int]) -> None:
        timeline = summary([request(at_ms=2500)], lifetimes_s=lifetimes).timeline
        assert [point.users for point in timeline] == users

    @given(
        st.lists(
            st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair) / 10, max(pair) / 10)),
            max_size=12,
        )
    )
    def test_users_agree_with_a_count_at_every_moment(self, lifetimes: list[tuple[float, float]]) -> None:
        timeline = summary([request(at_ms=4500)], lifetimes_s=lifetimes).timeline
        for point in timeline:
            moments = [point.t_s + tenth / 10 for tenth in range(10)]
            counts = [sum(start <= moment <= stop for start, stop in lifetimes) for moment in moments]
            assert point.users == max(counts)

    @given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 3000), st.booleans()), max_size=40))
    def test_its_requests_are_all_requests(self, requests: list[tuple[int, int, bool]]) -> None:
        samples = [
            request(at_ms=at, latency_ms=latency, outcome=FAILED if failed else "ok")
            for at, latency, failed in requests
        ]
        total = summary(samples)
        assert sum(point.requests for point in total.timeline) == total.requests == len(requests)
        assert sum(point.failed_requests for point in total.timeline) == total.failed_requests
        assert [point.t_s for point in total.timeline] == list(range(len(total.timeline)))


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=100))
def test_statistics_are_in_order(nanoseconds: list[int]) -> None:
    histogram = Histogram()
    for each in nanoseconds:
        histogram.record(each)
    stats = latency_stats(histogram)
    in_order = [stats.min_ms, stats.p50_ms, stats.p90_ms, stats.p95_ms, stats.p99_ms, stats.p99_9_ms, stats.max_ms]
    assert all(low is not None and high is not None and low <= high for low, high in itertools.pairwise(in_order))
    assert stats.min_ms is not None
    assert stats.max_ms is not None
    assert stats.mean_ms is not None
    assert stats.min_ms <= stats.mean_ms <= stats.max_ms
    assert (stats.count, stats.histogram is None) == (len(nanoseconds), False)


@pytest.mark.parametrize(("part", "whole", "expected"), [(1, 4, 0.25), (0, 4, 0.0), (0, 0, None)])
def test_a_ratio_over_nothing_is_none(part: int, whole: int, expected: float | None) -> None:
    assert ratio(part, whole) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(2.0, 5.0), (0.0, 0.0), (-1.0, 0.0)])
def test_a_rate_over_no_time_is_zero(seconds: float, expected: float) -> None:
    assert per_second(10, seconds) == expected


def test_plain_values_leave_out_none_all_the_way_down() -> None:
    nested = {"a": None, "b": [LatencyStats(0), {"c": None, "d": (1, None)}], "e": 0, "f": ""}
    assert plain(nested) == {"b": [{"count": 0}, {"d": [1, None]}], "e": 0, "f": ""}
