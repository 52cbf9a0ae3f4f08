"""The timeline of loads of any length: what it keeps, and how much of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import ORIGIN, SECOND, measurements, request

from pytest_ipload.stats.summary import Frame, summarise
from pytest_ipload.stats.timeline import MOST_STEPS, Timeline

Requests = list[tuple[int, int]]
"""The second of each, and its latency in milliseconds."""
HOUR = 3600
requests_of_hours = st.lists(st.tuples(st.integers(0, 5 * HOUR), st.integers(1, 50)), max_size=40)


def timeline_of(requests: Requests) -> Timeline:
    timeline = Timeline(planned=False)
    for number, ms in requests:
        second = timeline.at(number)
        second.requests += 1
        second.latency.record(ms * 1_000_000)
    return timeline


def merged(*parts: Timeline) -> Timeline:
    whole = Timeline(planned=False)
    for part in parts:
        whole.merge(part)
    return whole


def counts(timeline: Timeline) -> dict[int, tuple[int, int, int | None, int | None]]:
    """By the start of each step: its requests, and of their latencies the sum, the smallest and the largest."""
    return {
        number * timeline.step_s: (step.requests, latency.total_ns, latency.min_ns, latency.max_ns)
        for number, step in timeline.steps().items()
        for latency in [step.peek()[0]]
    }


def by_steps(requests: Requests, step_s: int) -> dict[int, tuple[int, int, int | None, int | None]]:
    """The same, the plain way."""
    groups: dict[int, list[int]] = {}
    for number, ms in sorted(requests):
        groups.setdefault(number // step_s * step_s, []).append(ms * 1_000_000)
    return {start: (len(group), sum(group), min(group), max(group)) for start, group in groups.items()}


@pytest.mark.parametrize(
    ("seconds", "step_s"),
    [(HOUR + 60, 1), (MOST_STEPS, 1), (MOST_STEPS + 1, 2), (2 * HOUR, 2), (2 * MOST_STEPS + 1, 4)],
)
def test_a_load_of_an_hour_has_its_seconds_and_a_longer_one_steps(seconds: int, step_s: int) -> None:
    requests = [(number, 1 + number % 7) for number in range(seconds)]
    timeline = timeline_of(requests)
    assert (timeline.step_s, timeline.requests, timeline.end) == (step_s, seconds, -(-seconds // step_s) * step_s)
    assert counts(timeline) == by_steps(requests, step_s)
    assert len(timeline.to_plain()["steps"]) <= MOST_STEPS


def test_days_take_no_more_memory_than_an_hour() -> None:
    timeline = Timeline(planned=True)
    for number in range(0, 200_000, 10):
        timeline.at(number).requests += 1
        assert len(timeline._steps) + len(timeline._open) <= MOST_STEPS + 10
    assert (timeline.step_s, timeline.requests) == (64, 20_000)


@given(requests_of_hours, requests_of_hours)
def test_parts_together_are_the_whole(one: Requests, other: Requests) -> None:
    parts = [timeline_of(one), timeline_of(other)]
    read = [Timeline.from_plain(json.loads(json.dumps(part.to_plain())), planned=False) for part in parts]
    for whole in (merged(*parts), merged(*reversed(parts)), merged(*read)):
        assert counts(whole) == by_steps([*one, *other], whole.step_s)
        assert whole.requests == len(one) + len(other)


@given(requests_of_hours)
def test_it_comes_back_from_plain_values_as_it_was(requests: Requests) -> None:
    plain = timeline_of(requests).to_plain()
    assert Timeline.from_plain(json.loads(json.dumps(plain)), planned=False).to_plain() == plain


def test_the_newest_seconds_of_a_long_load_can_be_looked_at_one_by_one() -> None:
    timeline = timeline_of([(number, 1) for number in range(3 * HOUR)] + [(3 * HOUR - 2, 9)] * 4)
    assert timeline.step_s == 4
    assert [second.requests for second in timeline.since(3 * HOUR - 3)] == [1, 5, 1]
    assert timeline.requests_between(3 * HOUR - 2, 3 * HOUR) == 6
    assert timeline.requests_between(HOUR, HOUR + 10) == 10, "the share of steps that are not whole"


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ({"step_s": 3}, "expected a power of two"),
        ({"step_s": 0}, "step_s"),
        ({"steps": [[1, None]]}, "second"),
        ({"steps": {}}, "timeline steps"),
        ({"more": 1}, "timeline"),
    ],
)
def test_anything_else_is_refused(damage: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Timeline.from_plain({**timeline_of([(1, 1)]).to_plain(), **damage}, planned=False)


def test_a_file_cannot_make_a_report_longer_than_a_load_does() -> None:
    plain = {"step_s": 1, "steps": timeline_of([(900_000, 1)]).to_plain()["steps"][:1]}
    plain["steps"][0][0] = 900_000
    timeline = Timeline.from_plain(plain, planned=False)
    assert timeline.end // timeline.step_s <= MOST_STEPS


@pytest.mark.parametrize(("last_s", "step_s", "points"), [(HOUR, None, HOUR + 1), (3 * HOUR, 4, 2701)])
def test_the_result_says_how_long_its_steps_are(last_s: int, step_s: int | None, points: int) -> None:
    measured = measurements([request(latency_ms=5, at_ms=at_s * 1000) for at_s in (0, 1, last_s - 15, last_s - 2)])
    measured.add([request(latency_ms=5, at_ms=last_s * 1000)] * 3)
    lifetimes = [(ORIGIN, ORIGIN + last_s * SECOND), (ORIGIN + 2 * SECOND, ORIGIN + 3 * SECOND)]
    summary = summarise(
        measured,
        Frame(ORIGIN, ORIGIN + (last_s + 1) * SECOND, 0.0, 2, users_by_source={}, lifetimes=lifetimes),
    )
    timeline = summary["timeline"]
    assert (summary["timeline_step_s"], len(timeline)) == (step_s, points)
    assert timeline[-1].t_s == (points - 1) * (step_s or 1)
    assert [timeline[place].users for place in (0, -1)] == [2 if step_s else 1, 1]
    assert timeline[0].requests == (2 if step_s else 1)
