"""What the load adds to pytest-metadata: the settings of the command line."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_ipload import __version__
from pytest_ipload.base.units import format_setting
from pytest_ipload.settings.table import SETTINGS, Setting


def load_metadata(config: pytest.Config) -> dict[str, str]:
    """The version, and the settings that the command line gives, by their options; empty if it gives none."""
    given = {
        setting.flag: _text(setting, value)
        for setting in SETTINGS
        if setting.option and (value := config.getoption(setting.dest)) is not None
    }
    if (profile := config.getoption("ipload_profile")) is not None:
        given["--ipload-profile"] = profile
    thresholds = config.getoption("ipload_threshold")
    if thresholds:
        given["--ipload-threshold"] = _masked(", ".join(thresholds))
    return {"version": __version__, **given} if given else {}


def _masked(text: str) -> str:
    from pytest_ipload.base.masking import masked  # its patterns take milliseconds to build: not in every pytest run

    return masked(text)


def _text(setting: Setting, value: Any) -> str:
    """The value as it is written on the command line."""
    if setting.metavar == "T":
        return format_setting(value)
    return f"{value:g}/s" if setting.metavar == "RATE" else _masked(str(value))
