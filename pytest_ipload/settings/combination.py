"""What a load's settings mean together: those of one shape that come from several places, or leave something open.

The nearest place decides. Users and duration that come from a nearer place than the stages do not replace them: they
scale them, so that ``--ipload-users=5 --ipload-duration=10s`` makes a small load of any. Where both stand in one place,
they contradict each other.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from math import ceil
from typing import Any

from pytest_ipload.base.errors import SettingError
from pytest_ipload.settings.stages import Stages

HOOK, COMMAND_LINE, PROFILE, MARKER, INI, DEFAULT = PLACES = (
    "hook",
    "command line",
    "--ipload-profile",
    "marker",
    "ini",
    "default",
)
"""Where a value can come from, the nearest first."""

SET_BY_STAGES = frozenset({"users", "duration", "ramp_up", "ramp_down", "arrival_rate", "max_users"})
"""What stages set besides themselves."""
USUAL_MAX_USERS = 100
"""Default maximum of users for an open load that sets no number of users."""


Values = MutableMapping[str, Any]
Origins = MutableMapping[str, str]


def origin_in_profile(name: str, key: str) -> str:
    """The origin of a value that the profile of this name gives."""
    return f"{PROFILE}={name}: {key}"


def _place(origin: str) -> str:
    """The place that an origin names."""
    return PROFILE if origin.startswith(f"{PROFILE}=") else origin


def _nearness(origin: str) -> int:
    return PLACES.index(_place(origin))


def _called(origin: str) -> str:
    """Where it is, for errors: ``the command line``, ``--ipload-profile=soak``."""
    return origin.partition(":")[0] if _place(origin) == PROFILE else f"the {origin}"


def fit_shape(values: Values, origins: Origins) -> None:
    """Fit the settings of the load's shape together, in place. Raises SettingError naming those that do not fit."""
    stages = values.get("stages")
    if stages is not None:
        _fit_stages(stages, values, origins)
    elif values.get("arrival_rate") is True:
        raise SettingError(
            f"arrival_rate=True ({origins['arrival_rate']}) means that the rates are in stages, but there are none; "
            "set stages too, or give a rate such as '100/s'"
        )
    if values.get("arrival_rate") is not None:
        _fit_users_of_open_model(values, origins)


def _fit_stages(stages: Stages, values: Values, origins: Origins) -> None:
    is_open = stages.are_rates or values.get("arrival_rate") is not None
    height_key = "arrival_rate" if is_open else "users"
    height = None if values.get("arrival_rate") is True else _nearer(height_key, values, origins)
    length = _nearer("duration", values, origins)
    for key in ("ramp_up", "ramp_down"):
        if _nearer(key, values, origins):
            raise SettingError(
                f"{key} ({origins[key]}) and stages ({origins['stages']}) contradict each other: "
                "the ramps of a staged load are in its stages"
            )
        values[key] = 0.0
    if height is None:
        origins[height_key] = origins["stages"]
        if not is_open and any(target != int(target) for _, target in stages.segments):
            raise SettingError(
                f"stages {str(stages)!r} ({origins['stages']}): give a whole number of users in each stage"
            )
    by_height = 1.0 if height is None else height / stages.peak
    by_length = 1.0 if length is None else length / stages.seconds
    stages = stages.scaled(by_height, by_length)._replace(are_rates=is_open)
    values["stages"], values["duration"] = stages, None
    values[height_key] = stages.peak if is_open else ceil(stages.peak - 1e-9)


def _nearer(key: str, values: Values, origins: Origins) -> Any:
    """The value of a setting that comes from a nearer place than the stages do; None where it does not.

    Raises SettingError where both come from one place.
    """
    value, origin = values.get(key), origins.get(key, DEFAULT)
    if value is None or origin == DEFAULT or _nearness(origin) > _nearness(origins["stages"]):
        return None
    if _place(origin) == _place(origins["stages"]):
        advice = "give arrival_rate=True, or" if key == "arrival_rate" else "it is in the stages;"
        raise SettingError(
            f"stages and {key} are both from {_called(origin)} and contradict each other; {advice} remove {key}"
        )
    return value


def _fit_users_of_open_model(values: Values, origins: Origins) -> None:
    """``users`` are there from the start, ``max_users`` bounds them all; the nearer one of the two moves the other."""
    users, most = values.get("users", 1), values.get("max_users")
    if most is None:
        is_given = origins.get("users", DEFAULT) != DEFAULT
        values["max_users"] = users if is_given else USUAL_MAX_USERS
        origins["max_users"] = origins["users"] if is_given else DEFAULT
    elif users > most:
        nearness = _nearness(origins["users"]) - _nearness(origins["max_users"])
        if nearness == 0:
            raise SettingError(
                f"users={users} is more than max_users={most}; both are from the {_place(origins['users'])}"
            )
        key, value = ("max_users", users) if nearness < 0 else ("users", most)
        values[key] = value
