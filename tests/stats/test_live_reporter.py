from __future__ import annotations

import pytest
from support.samples import iteration, measurements, request

from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.live import LiveNumbers
from pytest_ipload.stats.live_reporter import LiveReporter

PROFILE = LoadProfile(users=4, ramp_up=1.0, duration=9.0)
MEASURED = measurements([request(), iteration()])


class Onlooker:
    def __init__(self, *, wants_names: bool = False) -> None:
        self.wants_names = wants_names
        self.shown: list[tuple[str, LiveNumbers]] = []
        self.ended: list[tuple[str, LiveNumbers | None]] = []

    def show(self, nodeid: str, numbers: LiveNumbers) -> None:
        self.shown.append((nodeid, numbers))

    def load_ended(self, nodeid: str, numbers: LiveNumbers | None) -> None:
        self.ended.append((nodeid, numbers))


def test_a_load_is_shown_until_it_ends() -> None:
    onlooker = Onlooker()
    showing = LiveReporter("test_a.py::test_a", PROFILE, onlooker)
    showing.show(MEASURED, 1.0, users=3)
    showing.end(MEASURED, 1.5)
    ((nodeid, numbers),) = onlooker.shown
    assert (nodeid, numbers.elapsed_s, numbers.planned_s, numbers.users) == ("test_a.py::test_a", 1.0, 10.0, 3)
    assert (numbers.requests, numbers.iterations, numbers.by_name) == (1, 1, {})
    ((nodeid, last),) = onlooker.ended
    assert last is not None
    assert (nodeid, last.elapsed_s, last.users) == ("test_a.py::test_a", 1.5, 0)


def test_names_are_for_those_who_want_them() -> None:
    onlooker = Onlooker(wants_names=True)
    LiveReporter("test_a", PROFILE, onlooker).show(MEASURED, 1.0, users=1)
    assert list(onlooker.shown[0][1].by_name) == ["GET /"]


def test_a_body_that_runs_once_is_not_shown() -> None:
    onlooker = Onlooker()
    showing = LiveReporter("test_a", LoadProfile(), onlooker)
    showing.show(MEASURED, 1.0, users=1)
    showing.end(MEASURED, 2.0)
    assert (onlooker.shown, onlooker.ended) == ([], [])


def test_nobody_has_to_look_on() -> None:
    showing = LiveReporter("test_a", PROFILE, None)
    showing.show(MEASURED, 1.0, users=1)
    showing.end(MEASURED, 2.0)


@pytest.mark.parametrize(
    ("profile", "iterations"),
    [
        (LoadProfile(users=4), 4),
        (LoadProfile(users=4, iterations=5), 20),
        (LoadProfile(users=4, total_iterations=7), 7),
        (LoadProfile(users=4, iterations=5, total_iterations=7), 7),
        (LoadProfile(users=4, iterations=5, total_iterations=70), 20),
        (LoadProfile(users=4, duration=5.0), None),
        (LoadProfile(users=4, duration=5.0, total_iterations=7), None),
        (LoadProfile(users=4, arrival_rate=5.0, total_iterations=7), 7),
        (LoadProfile(users=4, arrival_rate=5.0, duration=5.0), None),
    ],
)
def test_the_plan_is_in_iterations_where_they_end_the_load(profile: LoadProfile, iterations: int | None) -> None:
    onlooker = Onlooker()
    LiveReporter("test_a", profile, onlooker).show(MEASURED, 1.0, users=1)
    assert onlooker.shown[0][1].planned_iterations == iterations
