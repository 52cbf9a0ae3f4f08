"""Settings of a load's shape that come from several places."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.resolution import resolve
from pytest_ipload.settings.session_settings import SessionSettings
from pytest_ipload.settings.table import BY_KEY

Given = dict[str, Any]

WAVE = "10s:50,20s:50,10s:0"
RATES = "10s:100,10s:50"


def profile_of(command_line: Given | None = None, marker: Given | None = None, ini: Given | None = None) -> LoadProfile:
    """The profile from settings as they are written."""
    line, far = (
        {key: BY_KEY[key].parse(value) for key, value in (given or {}).items()} for given in (command_line, ini)
    )
    return resolve(SessionSettings(line, far, (), (), False), [(marker or {}, ())], "test_a.py::test_a")


def test_stages_say_how_many_users_there_are() -> None:
    profile = profile_of(marker={"stages": WAVE})
    assert (profile.users, profile.origins["users"], profile.duration) == (50, "marker", None)
    assert (profile.full_until, profile.ends_at, profile.is_open) == (40.0, 40.0, False)


@pytest.mark.parametrize(
    ("command_line", "stages", "users"),
    [
        ({"users": 5}, "10s:5,20s:5,10s:0", 5),
        ({"users": 100}, "10s:100,20s:100,10s:0", 100),
        ({"duration": "4s"}, "1s:50,2s:50,1s:0", 50),
        ({"users": 3, "duration": "80s"}, "20s:3,40s:3,20s:0", 3),
        ({"stages": "5s:7"}, "5s:7", 7),
    ],
)
def test_what_is_nearer_scales_the_stages(command_line: Given, stages: str, users: int) -> None:
    profile = profile_of(command_line, {"stages": WAVE})
    assert (str(profile.stages), profile.users) == (stages, users)
    assert profile.origins["users"] == ("command line" if {"users", "stages"} & set(command_line) else "marker")


def test_what_is_farther_gives_way_to_the_stages() -> None:
    far = {"users": 7, "duration": "5s", "ramp_up": "1s"}
    profile = profile_of(marker={"stages": WAVE}, ini=far)
    assert (str(profile.stages), profile.users, profile.ramp_up, profile.duration) == (WAVE, 50, 0.0, None)
    profile = profile_of({"stages": "5s:3"}, {"users": 9, "duration": "1m", "ramp_down": "3s"})
    assert (profile.users, profile.ends_at) == (3, 5.0)


def test_scaled_users_need_not_be_whole() -> None:
    profile = profile_of({"users": 5}, {"stages": "1s:10,1s:3"})
    assert str(profile.stages) == "1s:5,1s:1.5"


@pytest.mark.parametrize("stages", [f"{RATES}", "10s:100/s,10s:50/s"])
@pytest.mark.parametrize("rate", [True, None])
def test_stages_of_rates_are_the_open_model(stages: str, rate: bool | None) -> None:
    if rate is None and "/s" not in stages:
        assert not profile_of(marker={"stages": stages}).is_open
        return
    profile = profile_of(marker={"stages": stages} | ({} if rate is None else {"arrival_rate": rate}))
    assert (profile.arrival_rate, profile.users, profile.ends_at) == (100.0, 1, 20.0)
    assert str(profile.stages) == "10s:100/s,10s:50/s"


def test_a_nearer_rate_scales_the_rates() -> None:
    profile = profile_of({"arrival_rate": "20/s", "duration": "2s"}, {"stages": RATES, "arrival_rate": True})
    assert str(profile.stages) == "1s:20/s,1s:10/s"
    assert (profile.arrival_rate, profile.origins["arrival_rate"]) == (20.0, "command line")


@pytest.mark.parametrize(
    ("given", "most", "users", "origin"),
    [
        (({}, {}), 100, 1, "default"),
        (({}, {"users": 7}), 7, 7, "marker"),
        (({"users": 200}, {}), 200, 200, "command line"),
        (({}, {"max_users": 7}), 7, 1, "marker"),
        (({}, {"users": 5, "max_users": 7}), 7, 5, "marker"),
        (({"users": 50}, {"max_users": 7}), 50, 50, "marker"),
        (({"users": 5}, {"max_users": 7}), 7, 5, "marker"),
    ],
)
def test_users_of_the_open_model(given: tuple[Given, Given], most: int, users: int, origin: str) -> None:
    line, marker = given
    profile = profile_of(line, {"arrival_rate": "10/s", "duration": "1s", **marker})
    assert (profile.max_users, profile.users, profile.most_users) == (most, users, most)
    assert profile.origins["max_users"] == origin


def test_users_of_the_ini_file_are_not_more_than_the_marker_allows() -> None:
    marker = {"arrival_rate": "10/s", "duration": "1s", "max_users": 7}
    profile = profile_of(marker=marker, ini={"users": 50})
    assert (profile.users, profile.max_users) == (7, 7)


@pytest.mark.parametrize(
    ("command_line", "marker", "message"),
    [
        ({}, {"stages": WAVE, "users": 5}, "stages and users are both from the marker .*; it is in the stages; remove"),
        ({}, {"stages": WAVE, "duration": "5s"}, "stages and duration are both from the marker"),
        ({}, {"stages": WAVE, "ramp_up": "5s"}, "stages and ramp_up are both from the marker"),
        ({"ramp_up": "5s"}, {"stages": WAVE}, r"ramp_up \(command line\) and stages \(marker\) contradict each other"),
        ({"stages": WAVE, "users": 5}, {}, "both from the command line"),
        ({}, {"stages": RATES, "arrival_rate": "5/s"}, "give arrival_rate=True, or remove arrival_rate"),
        ({}, {"stages": "1s:1.5"}, r"stages '1s:1.5' \(marker\): give a whole number of users in each stage"),
        (
            {},
            {"arrival_rate": True, "duration": "5s"},
            r"arrival_rate=True \(marker\) means that the rates",
        ),
        ({}, {"arrival_rate": "5/s"}, "arrival_rate needs an end; set duration, stages or total_iterations"),
        ({"iterations": 5}, {"arrival_rate": "5/s", "duration": "5s"}, r"iterations \(command line\) and arrival_rate"),
        (
            {},
            {"arrival_rate": "5/s", "duration": "5s", "pacing": "1s"},
            r"pacing \(marker\) and arrival_rate",
        ),
        ({}, {"arrival_rate": "5/s", "duration": "5s", "think_time": "1s"}, r"think_time \(marker\) and arrival_rate"),
        (
            {},
            {"arrival_rate": "5/s", "duration": "5s", "users": 5, "max_users": 3},
            "users=5 is more than max",
        ),
        ({}, {"max_users": 3}, "max_users requires the open model; set arrival_rate too"),
        ({}, {"arrivals": "poisson"}, "arrivals='poisson' requires the open model"),
        ({}, {"stages": "5s:5", "warmup": "5s"}, "warmup=5s leaves nothing to judge"),
        ({}, {"stages": "5s:5", "ramp_down": "5s"}, "stages and ramp_down are both from the marker"),
    ],
)
def test_what_contradicts_itself_is_refused(command_line: Given, marker: Given, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        profile_of(command_line, marker)


def test_a_disabled_load_has_no_shape() -> None:
    marker = {"stages": RATES, "arrival_rate": True, "max_users": 9, "arrivals": "poisson"}
    assert resolve(SessionSettings({}, {}, (), (), True), [(marker, ())], "test_a.py::test_a").is_functional
