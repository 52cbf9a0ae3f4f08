"""A plugin for the sessions that tests start: it loads the other plugins that are installed, as pytest does.

pytest reads the metadata of every installed distribution for that, twice in each process of each session. Here it is
read once: ``looked_for_once`` hands on what it found.

There is nothing to rewrite here, and sessions in this process find it imported: PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

_GROUP, _FOUND = "pytest11", "TESTS_INSTALLED_PLUGINS"


@cache
def _found() -> str:
    return " ".join(f"{point.name}={point.value}" for point in entry_points(group=_GROUP))


def looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the sessions to come load this plugin, and look for no others."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", __name__, prepend=",")
    monkeypatch.setenv(_FOUND, _found())
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register each under its own name, but for those that ``-p no:NAME`` has blocked."""
    for found in os.environ[_FOUND].split():
        name, _, value = found.partition("=")
        if not (pluginmanager.is_blocked(name) or pluginmanager.has_plugin(name)):
            pluginmanager.register(EntryPoint(name, value, _GROUP).load(), name=name)
