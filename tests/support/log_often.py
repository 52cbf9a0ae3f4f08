"""A plugin for the sessions that tests start: a live log has a line ten times a second.

A test calls ``log_often``; each session that is started afterwards, in this process or in one of its own, loads this
module.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_EVERY_S = 0.1


def log_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the sessions to come load this plugin."""
    monkeypatch.setenv("PYTEST_PLUGINS", __name__, prepend=",")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put the interval where the log looks for it."""
    from pytest_ipload.plugin.reporting.live_output import LOG_EVERY_S

    config.stash[LOG_EVERY_S] = _EVERY_S
