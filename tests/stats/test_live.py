from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.live import histogram, live_numbers
from support.samples import MS, iteration, measurements, request

from pytest_ipload.stats.live import LiveNumbers, LiveWatch, NameNumbers, together
from pytest_ipload.stats.sample import FAILED

CART = NameNumbers(failed_requests=2, latency=histogram(5, 7))


def watch(planned_s: float | None = 60.0, *, names: bool = False) -> LiveWatch:
    return LiveWatch(planned_s, None, (2, 10), names=names)


class TestPlainForm:
    @pytest.mark.parametrize(
        "numbers",
        [
            live_numbers(),
            live_numbers(by_name={"GET /cart": CART, "é\x1b": NameNumbers()}),
            live_numbers(round=(2, 10)),
            live_numbers(planned_s=None, planned_iterations=70, requests_per_s=None, recent=histogram()),
        ],
        ids=["usual", "names", "rounds", "unknown"],
    )
    def test_it_is_lossless(self, numbers: LiveNumbers) -> None:
        assert LiveNumbers.from_plain(json.loads(json.dumps(numbers.to_plain()))) == numbers

    @pytest.mark.parametrize(
        "change",
        [
            lambda plain: plain.pop("users"),
            lambda plain: plain.update(more=1),
            lambda plain: plain.update(users=-1),
            lambda plain: plain.update(users=True),
            lambda plain: plain.update(failed_requests=plain["requests"] + 1),
            lambda plain: plain.update(failed_iterations=plain["iterations"] + 1),
            lambda plain: plain.update(planned_iterations=1.5),
            lambda plain: plain.update(elapsed_s=-0.1),
            lambda plain: plain.update(elapsed_s="12"),
            lambda plain: plain.update(elapsed_s=None),
            lambda plain: plain.update(planned_s=float("inf")),
            lambda plain: plain.update(requests_per_s=float("nan")),
            lambda plain: plain.update(round=[0, 10]),
            lambda plain: plain.update(round=[11, 10]),
            lambda plain: plain.update(round=3),
            lambda plain: plain.update(set_up=[3, 2]),
            lambda plain: plain.update(set_up=[1]),
            lambda plain: plain.update(recent={}),
            lambda plain: plain.update(by_name={}),
            lambda plain: plain.update(by_name=[["GET /", 1]]),
            lambda plain: plain.update(by_name=[[7, 1, histogram().to_plain()]]),
            lambda plain: plain.update(by_name=[["GET /", -1, histogram().to_plain()]]),
            lambda plain: plain.update(by_name=[["GET /", 1, histogram().to_plain()]] * 2),
            lambda plain: plain.update(by_name=[[str(n), 1, histogram().to_plain()] for n in range(1002)]),
        ],
    )
    def test_anything_else_is_refused(self, change: Callable[[dict[str, Any]], object]) -> None:
        plain = live_numbers().to_plain()
        change(plain)
        with pytest.raises(ValueError, match=r"live numbers|histogram"):
            LiveNumbers.from_plain(plain)

    def test_what_is_no_dict_is_refused(self) -> None:
        with pytest.raises(ValueError, match="live numbers"):
            LiveNumbers.from_plain([])


class TestTogether:
    def test_parts_add_up(self) -> None:
        one = live_numbers(users=3, requests=10, failed_requests=1, recent=histogram(10), by_name={"GET /cart": CART})
        other = live_numbers(
            users=2, requests=5, failed_requests=0, recent=histogram(30), by_name={"GET /cart": CART, "POST /": CART}
        )
        whole = together([one, other], 13.0)
        assert (whole.elapsed_s, whole.planned_s, whole.users) == (13.0, 90.0, 5)
        assert together([live_numbers(round=(2, 10))], 13.0).round == (2, 10)
        assert (whole.requests, whole.failed_requests, whole.requests_per_s) == (15, 1, 2 * 12_340)
        assert (whole.iterations, whole.failed_iterations) == (100_000, 100)
        assert whole.recent == histogram(10, 30)
        assert whole.by_name == {
            "GET /cart": NameNumbers(failed_requests=4, latency=histogram(5, 5, 7, 7)),
            "POST /": NameNumbers(failed_requests=2, latency=histogram(5, 7)),
        }
        assert one.by_name == {"GET /cart": NameNumbers(2, histogram(5, 7))}, "the parts stay what they are"

    def test_a_rate_that_one_does_not_know_is_not_known(self) -> None:
        assert together([live_numbers(), live_numbers(requests_per_s=None)], 1.0).requests_per_s is None


class TestErrorRate:
    @pytest.mark.parametrize(
        ("iterations", "failed", "rate"), [(0, 0, None), (200, 0, 0.0), (200, 1, 0.005), (3, 3, 1.0)]
    )
    def test_it_is_the_share_of_failed_iterations(self, iterations: int, failed: int, rate: float | None) -> None:
        assert live_numbers(iterations=iterations, failed_iterations=failed).error_rate == rate


class TestLiveWatch:
    def test_it_counts_all_requests_and_the_judged_iterations(self) -> None:
        samples = [
            request(at_ms=0),
            iteration(at_ms=0),
            request(at_ms=1500, outcome=FAILED),
            iteration(at_ms=1500, outcome=FAILED),
            iteration(at_ms=1600),
        ]
        seen = watch().look(measurements(samples, warmup_ms=1000), 2.0, users=3)
        assert (seen.elapsed_s, seen.planned_s, seen.users) == (2.0, 60.0, 3)
        assert (seen.requests, seen.failed_requests) == (2, 1)
        assert (seen.iterations, seen.failed_iterations, seen.warmup_iterations) == (2, 1, 1)
        assert (seen.by_name, seen.round) == ({}, (2, 10))

    @pytest.mark.parametrize(
        ("elapsed_s", "rate"),
        [(1.0, None), (1.99, None), (2.1, 10.0), (3.1, 15.0), (4.1, 20.0), (6.1, 30.0), (7.1, 40.0), (30.0, 0.0)],
    )
    def test_the_rate_is_that_of_whole_seconds_of_which_all_samples_came_in(
        self, elapsed_s: float, rate: float | None
    ) -> None:
        growing = [request(latency_ms=1, at_ms=1000 * second) for second in range(20) for _ in range(10 * second + 10)]
        seen = watch().look(measurements(growing), elapsed_s, users=1)
        assert seen.requests_per_s == rate

    @pytest.mark.parametrize(
        ("pause_s", "latency_ms", "first_s"), [(0, 1, 2), (0.5, 1, 3), (60, 1, 3), (0, 800, 4), (0, 1600, 6)]
    )
    def test_the_rate_waits_for_those_who_are_slow(self, pause_s: float, latency_ms: float, first_s: int) -> None:
        looking = LiveWatch(60.0, None, pause_s=pause_s)
        samples = [iteration(latency_ms), request(latency_ms=1), request(latency_ms=1)]
        rates = {
            second: looking.look(measurements(samples), second + 0.1, users=1).requests_per_s for second in range(9)
        }
        assert min(second for second, rate in rates.items() if rate is not None) == first_s

    def test_requests_that_take_long_are_waited_for_also_before_an_iteration_ended(self) -> None:
        samples = [request(latency_ms=2500)]
        looking = watch()
        assert looking.look(measurements(samples), 4.1, users=1).requests_per_s is None
        assert looking.look(measurements(samples), 4.6, users=1).requests_per_s == 0.0

    def test_recent_are_the_successful_requests_of_the_last_seconds(self) -> None:
        samples = [request(latency_ms=second + 1, at_ms=1000 * second) for second in range(20)]
        samples.append(request(latency_ms=500, at_ms=19_000, outcome=FAILED))
        seen = watch().look(measurements(samples), 20.1, users=1)
        assert seen.recent == histogram(*range(16, 21))

    def test_with_a_plan_they_are_response_times(self) -> None:
        samples = [request(latency_ms=10, lateness_ns=90 * MS), request(latency_ms=10)]
        seen = watch().look(measurements(samples, planned=True), 1.0, users=1)
        assert seen.recent == histogram(10, 100)

    def test_names_are_told_if_wanted(self) -> None:
        samples = [
            request("GET /", 5, source_address="127.0.0.1", status=200),
            request("GET /", 7, source_address="127.0.0.2", status=200),
            request("GET /", 9, status=503, outcome=FAILED),
            request("POST /", 11),
        ]
        seen = watch(names=True).look(measurements(samples), 1.0, users=1)
        assert seen.by_name == {
            "GET /": NameNumbers(failed_requests=1, latency=histogram(5, 7)),
            "POST /": NameNumbers(failed_requests=0, latency=histogram(11)),
        }

    def test_many_series_are_added_up_less_often(self) -> None:
        looking = watch(names=True)
        old = measurements([request(f"GET /{number}") for number in range(200)])
        new = measurements([request("GET /new")])
        seen = [
            list(looking.look(measured, second, users=1).by_name)
            for measured, second in ((old, 1.0), (new, 2.0), (new, 4.9), (new, 5.0), (old, 5.1))
        ]
        assert [len(names) for names in seen] == [200, 200, 200, 1, 200]

    def test_but_those_of_the_end_are_told_at_once(self) -> None:
        looking = watch(names=True)
        looking.look(measurements([request(f"GET /{number}") for number in range(2000)]), 1.0, users=1)
        assert list(looking.look(measurements([request("GET /new")]), 1.1, users=0).by_name) == ["GET /new"]
