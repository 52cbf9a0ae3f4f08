"""The pytest hooks. Wiring only: the work is done in the modules that they call.

Everything that is not needed to find out whether there is a load test is imported where it is needed: a test suite
without load tests pays next to nothing for having the plugin installed.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.plugin.fixtures.fixtures import (
    ipload_body,
    ipload_component,
    ipload_iteration,
    ipload_pool,
    ipload_session,
    ipload_target,
    ipload_user,
)
from pytest_ipload.plugin.items import markers
from pytest_ipload.plugin.options.command_line import add_options, is_any_given
from pytest_ipload.plugin.session_state import STARTER, is_started

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ipload.plugin.run.load_runner import LoadRunner

__all__ = [
    "ipload",
    "ipload_body",
    "ipload_component",
    "ipload_iteration",
    "ipload_pool",
    "ipload_session",
    "ipload_target",
    "ipload_user",
]

_LOAD_HOOKS = "ipload-load-hooks"
"""The name of the plugin with the hooks that run load tests."""


@pytest.fixture
def ipload(request: pytest.FixtureRequest) -> LoadRunner:
    """Runs loads from within an ordinary test: ``result = ipload.run(body, users=5)``."""
    from pytest_ipload.plugin.run.load_runner import LoadRunner

    return LoadRunner(request)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and ini keys."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks that other plugins may implement, and those that run load tests."""
    from pytest_ipload.plugin import load_hooks, newhooks

    pluginmanager.add_hookspecs(newhooks)
    pluginmanager.register(load_hooks, _LOAD_HOOKS)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, read the settings; a bad one ends the session here, before anything is collected.

    Without settings, and in a process that may have no load test, all that waits for one.
    """
    for line in markers.MARKERS.values():
        config.addinivalue_line("markers", line)
    config.stash[STARTER] = _start
    if is_any_given(config) or hasattr(config, "workerinput") or config.getoption("dist", "no") != "no":
        _start(config, has_begun=False)


def _start(config: pytest.Config, *, has_begun: bool = True) -> None:
    """The first load test is found, or may be run by other processes."""
    from pytest_ipload.plugin import load_hooks
    from pytest_ipload.plugin.session_start import start_session

    if not config.pluginmanager.hasplugin(_LOAD_HOOKS):
        config.pluginmanager.register(load_hooks, _LOAD_HOOKS)
    start_session(config, has_begun=has_begun)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say why xdist's workers do not share load tests, if they cannot, and when the loads begin."""
    if not is_started(config):
        return []
    from pytest_ipload.plugin.session_start import header

    return header(config)


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> Generator[None, Any, Any]:
    """Have pytest set up the fixtures of a mix's bodies, too, as if the test had the marker ``usefixtures``."""
    if not markers.has_mix(collector, obj):
        return (yield)
    from pytest_ipload.plugin.fixtures.body_mix import requested_by_bodies

    names = requested_by_bodies(collector, obj)
    if not names:
        return (yield)
    mark = pytest.mark.usefixtures(*names).mark
    collector.own_markers.append(mark)
    try:
        return (yield)
    finally:
        collector.own_markers.remove(mark)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect scenario files."""
    is_named = file_path.suffix in (".yaml", ".yml") and parent.session.isinitpath(file_path)
    if not is_named and not file_path.name.endswith((".ipload.yaml", ".ipload.yml")):
        return None
    from pytest_ipload.plugin.scenarios.scenario_module import ScenarioModule, looks_like_scenarios

    if not file_path.name.endswith((".ipload.yaml", ".ipload.yml")) and not looks_like_scenarios(file_path):
        return None
    return ScenarioModule.from_parent(parent, path=file_path)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> Generator[None, Any, Any]:
    """When all plugins have selected and sorted the tests: without a load test, the hooks for them are not needed."""
    config = session.config
    if any(map(markers.look_for_loads, session.items)):
        from pytest_ipload.plugin.reporting.phase_reports import kept_while_waiting
        from pytest_ipload.plugin.run.arrangement import arrange_groups

        arrange_groups(session, kept_while_waiting)
    elif not is_started(config):
        config.pluginmanager.unregister(name=_LOAD_HOOKS)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """A test may become a load test after the collection, by a marker that another plugin adds."""
    if not is_started(item.config) and markers.look_for_loads(item):
        _start(item.config)


@pytest.hookimpl(optionalhook=True)
def pytest_metadata(metadata: dict[str, Any], config: pytest.Config) -> None:
    """Add the load's settings to pytest-metadata."""
    if not is_any_given(config):
        return
    from pytest_ipload.plugin.reporting.metadata import load_metadata

    if given := load_metadata(config):
        metadata["pytest-ipload"] = given
