"""Readings of targets: kept, merged, and summed up over the judged time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.targets import points, target_readings

from pytest_ipload.stats.target_readings import Point, PointLog, TargetReadings, by_second, labels_of, mean_of, merged
from pytest_ipload.stats.target_summary import JudgedMetric, judged_targets


class TestPoints:
    def test_a_mean_is_over_time(self) -> None:
        assert mean_of([Point(0, 1, 1, 10, 10, 10), Point(1, 4, 1, 50, 50, 50)]) == 40

    def test_readings_at_one_moment_count_alike(self) -> None:
        assert mean_of([Point(0, 0, 1, 10, 10, 10), Point(0, 0, 1, 20, 20, 20)]) == 15

    @given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.integers(2, 20), st.floats(0, 100))
    def test_joined_points_lose_nothing_but_their_times(self, values: list[float], most: int, border_s: float) -> None:
        log = PointLog(border_s, most)
        for second, value in enumerate(values):
            log.add(second, second + 1, value)
        assert len(log.points) <= most
        assert sum(point.readings for point in log.points) == len(values)
        assert max(point.high for point in log.points) == max(values)
        assert min(point.low for point in log.points) == min(values)
        assert mean_of(log.points) == pytest.approx(sum(values) / len(values))
        for side in (True, False):  # of the judged time, and of the warm-up
            found = sum(point.readings for point in log.points if (point.middle_s >= border_s) is side)
            assert found == sum((second + 0.5 >= border_s) is side for second in range(len(values)))

    def test_a_log_of_a_long_load_does_not_grow_and_all_its_points_are_equally_wide(self) -> None:
        log = PointLog()
        for second in range(20_000):
            log.add(second + 0.001, second + 1.001, second)
        assert 2000 < len(log.points) <= 4096
        widths = {round(point.width_s) for point in log.points[1:-1]}
        assert widths == {8}
        assert log.points[-1].high == 19_999


class TestMerge:
    def test_the_same_target_comes_once_with_the_readings_of_the_one_who_has_more(self) -> None:
        short, long = target_readings(metrics={"cpu": [1.0]}), target_readings(metrics={"cpu": [2.0, 3.0]})
        assert merged([short], [long]) == merged([long], [short]) == [long]

    @pytest.mark.parametrize("change", [{"name": "db"}, {"host": "other"}, {"pid": 8}, {"url": "http://x"}])
    def test_another_target_is_kept_beside_it(self, change: dict[str, Any]) -> None:
        one = target_readings()
        other = replace(one, **change)
        assert merged([one], [other]) == [one, other]

    def test_targets_of_one_name_are_told_apart_by_their_place(self) -> None:
        one, other, third = target_readings(), target_readings(pid=8), target_readings("db")
        assert labels_of([one, other, third]) == ["api (pid 7 on host)", "api (pid 8 on host)", "db"]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "container"},
        {"metrics": {"c p u": []}},
        {"metrics": {"cpu": [Point(2, 1, 1, 1, 1, 1)]}},
        {"metrics": {"cpu": [Point(0, 1, 0, 1, 1, 1)]}},
        {"metrics": {"cpu": [Point(0, 1e300, 1, 1, 1, 1)]}},
        {"metrics": {"cpu": [Point(0, 1, 1, float("nan"), 1, 1)]}},
        {"metrics": {"cpu": [Point(1, 2, 1, 1, 1, 1), Point(0, 1, 1, 1, 1, 1)]}},
        {"metrics": {"cpu": points([1.0] * 3000) + points([1.0] * 3000, 3000)}},
    ],
)
def test_what_no_load_has_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="target"):
        TargetReadings(**{"name": "api", "kind": "process", "host": "host", **change})


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({}, 0.0),
        ({"answered": 1, "failed": 3}, 0.75),
        ({"ended_s": 2.5}, 0.75),
        ({"ended_s": 1.0}, 1.0),
        ({"ended_s": 9.0}, 0.0),
        ({"answered": 1, "failed": 1, "ended_s": 3.0}, 0.75),
    ],
)
def test_for_how_much_of_the_judged_time_there_are_no_readings(change: dict[str, Any], missing: float) -> None:
    target = TargetReadings("api", "process", "host", **change)
    assert target.missing(2.0, 4.0) == pytest.approx(missing)


def test_a_second_of_the_timeline_has_the_values_that_stand_for_it() -> None:
    targets = [target_readings(metrics={"cpu": [1.0, 2, 3]}), target_readings("db", {"rss": [10.0, 20]})]
    assert by_second(targets, 1) == {
        0: {"api": {"cpu": 1}, "db": {"rss": 10}},
        1: {"api": {"cpu": 2}, "db": {"rss": 20}},
        2: {"api": {"cpu": 3}},
    }
    assert by_second(targets, 2)[0] == {"api": {"cpu": 1.5}, "db": {"rss": 15}}


class TestSummary:
    def test_only_the_judged_time_counts(self) -> None:
        [target] = judged_targets([target_readings(metrics={"cpu": [9.0, 1, 2, 3, 9]})], 1.0, 4.25)
        stats = target.stats().metrics["cpu"]
        assert (stats.samples, stats.mean, stats.max, stats.min, stats.last) == (3, 2, 3, 1, 3)

    def test_a_metric_without_a_judged_reading_is_absent(self) -> None:
        [target] = judged_targets([target_readings(metrics={"cpu": [9.0]})], 1.0, 4.0)
        assert target.stats().metrics == {}

    def test_growth_is_per_hour(self) -> None:
        metric = JudgedMetric(points([1e6 * second for second in range(60)]))
        stats = metric.stats("bytes")
        assert stats.growth_per_hour == stats.growth_low == stats.growth_high == 3.6e9

    def test_a_level_grows_from_what_it_was_when_the_judged_time_began(self) -> None:
        metrics = {"cpu": [9.0, 1, 2], "rss": [5.0, 6, 8]}
        [target] = judged_targets([target_readings(metrics=metrics)], 1.0, 4.0)
        found = {name: len(metric.levels) for name, metric in target.metrics.items()}
        assert found == {"cpu": 2, "rss": 3}
        assert target.stats().metrics["rss"].samples == 2

    def test_of_a_short_load_the_growth_has_no_interval(self) -> None:
        stats = JudgedMetric(points([1.0, 2, 3])).stats("bytes")
        assert stats.growth_per_hour == 3600
        assert stats.growth_low is None
        assert JudgedMetric(points([1.0])).stats("bytes").growth_per_hour is None

    def test_percentiles_are_by_nearest_rank(self) -> None:
        metric = JudgedMetric(points([float(value) for value in range(1, 21)]))
        assert (metric.quantile(0.5), metric.quantile(0.95)) == (10, 19)
