from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.report.html.points import Points, points_of


def second(t_s: int, **values: Any) -> dict[str, Any]:
    return {"t_s": t_s, "users": 1, "requests": 10, "failed_requests": 0, **values}


def test_a_short_load_has_a_point_for_each_second() -> None:
    points = points_of([second(0, p50_ms=1.0), second(1), second(2, p50_ms=3.0, max_ms=9.0)], 3600)
    assert points == Points(
        1,
        3,
        {
            "users": [1, 1, 1],
            "requests": [10, 10, 10],
            "failed_requests": [0, 0, 0],
            "p50_ms": [1.0, None, 3.0],
            "max_ms": [None, None, 9.0],
        },
    )
    assert points.note == ""


def test_a_long_one_has_the_worst_second_of_each_point() -> None:
    timeline = [
        second(0, users=5, requests=10, p95_ms=1.0),
        second(1, users=6, requests=0, failed_requests=3),
        second(2, users=7, requests=20, p95_ms=4.0),
        second(3, users=4, requests=30, failed_requests=1, p95_ms=2.0),
        second(4, users=1, requests=40),
    ]
    points = points_of(timeline, 3)
    assert (points.width_s, points.size) == (2, 3)
    assert points.values == {
        "users": [6, 7, 1],
        "requests": [0, 20, 40],
        "failed_requests": [3, 1, 0],
        "p95_ms": [1.0, 4.0, None],
    }
    assert points.note.startswith(
        "Each point stands for 2 seconds and shows the worst of each value: the highest latency"
    )
    assert [points.start_s(point) for point in range(3)] == [0, 2, 4]


def test_of_longer_steps_there_are_numbers_per_second() -> None:
    timeline = [second(0, p95_ms=1.0), second(4, requests=2, failed_requests=2, p95_ms=3.0), second(8, requests=40)]
    points = points_of(timeline, 10, 4)
    assert (points.width_s, points.size, points.start_s(2)) == (4, 3, 8)
    assert points.values == {
        "users": [1, 1, 1],
        "requests": [2.5, 0.5, 10],
        "failed_requests": [0, 0.5, 0],
        "p95_ms": [1.0, 3.0, None],
    }
    assert points.note == (
        "The load was so long that it is kept in steps of 4 seconds: requests and failed requests are per "
        "second, on average over a step"
    )
    thinned = points_of(timeline, 2, 4)
    assert (thinned.width_s, thinned.values["requests"]) == (8, [0.5, 10])
    assert thinned.note.endswith(". Each point stands for 8 seconds and shows the worst of their steps")


def test_a_second_that_is_missing_is_a_gap() -> None:
    assert points_of([second(0), second(2)], 10).values["requests"] == [10, None, 10]


def test_a_load_without_requests_has_none() -> None:
    assert points_of([], 10) == Points(1, 0, {})


@given(
    st.lists(st.tuples(st.integers(0, 50), st.none() | st.floats(0.001, 1e4)), min_size=1, max_size=200),
    st.integers(1, 60),
)
def test_nothing_bad_is_lost(rows: list[tuple[int, float | None]], most: int) -> None:
    timeline = [second(t_s, requests=number, p99_ms=p99) for t_s, (number, p99) in enumerate(rows)]
    points = points_of(timeline, most)
    assert points.size <= most
    assert (points.size - 1) * points.width_s < len(rows) <= points.size * points.width_s
    assert min(value for value in points.values["requests"] if value is not None) == min(number for number, _ in rows)
    latencies = [p99 for _, p99 in rows if p99 is not None]
    if latencies:
        assert max(value for value in points.values["p99_ms"] if value is not None) == max(latencies)
    else:
        assert "p99_ms" not in points.values


@pytest.mark.parametrize(("seconds", "most", "width"), [(3600, 3600, 1), (3601, 3600, 2), (86_400, 3600, 24)])
def test_as_few_seconds_as_fit_stand_together(seconds: int, most: int, width: int) -> None:
    assert points_of([second(t_s) for t_s in range(seconds)], most).width_s == width
