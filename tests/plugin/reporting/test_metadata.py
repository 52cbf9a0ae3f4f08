from __future__ import annotations

import pytest

import pytest_ipload
from pytest_ipload.plugin.reporting.metadata import load_metadata


def test_settings_of_the_command_line_are_told_as_they_are_written(pytester: pytest.Pytester) -> None:
    options = {
        "--ipload-users": "50",
        "--ipload-ramp-up": "1m30s",
        "--ipload-stages": "10s:50,5s:0",
        "--ipload-max-rate": "30/m",
        "--ipload-base-url": "http://127.0.0.1:1",
        "--ipload-threshold": "p95 < 1s",
    }
    config = pytester.parseconfig(*(f"{flag}={value}" for flag, value in options.items()))
    told = {"version": pytest_ipload.__version__, **options, "--ipload-ramp-up": "90s", "--ipload-max-rate": "0.5/s"}
    assert load_metadata(config) == told


def test_without_them_there_is_nothing_to_tell(pytester: pytest.Pytester) -> None:
    assert load_metadata(pytester.parseconfig()) == {}
