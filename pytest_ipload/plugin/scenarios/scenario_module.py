"""A scenario file as pytest sees it: a module, whose functions are the scenarios.

The functions and fixtures are made from the file, and pytest collects them as those of any test module. So they are
items like others: selected by ``-k``, parametrised by plugins, marked, shared by workers.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_ipload.base.errors import ScenarioFileError
from pytest_ipload.plugin.fixtures.loaded_components import components_of
from pytest_ipload.plugin.items.item_kind import FIXTURE_PLACES, RUNS_STEPS, SET_UP_PROBLEM, SETTING_PLACES
from pytest_ipload.plugin.items.markers import MARKERS
from pytest_ipload.scenario_files.document import LARGEST
from pytest_ipload.scenario_files.located import located_body
from pytest_ipload.scenario_files.scenarios import SUFFIX, Scenario, read_scenarios
from pytest_ipload.scenario_files.script import Script

_TOGETHER = "ipload_together"
_SPECIAL = frozenset({"setUpModule", "tearDownModule"})
"""Names that pytest takes for something else in a module."""
_SPECIAL_BEGINNINGS = ("__", "pytest", "setup_", "teardown_", "_ipload")


def looks_like_scenarios(path: Path) -> bool:
    """Whether a file has the key that all scenario files have."""
    try:
        with path.open("rb") as file:
            return re.search(rb"(?m)^scenarios[ ]*:", file.read(LARGEST)) is not None
    except OSError:
        return False


class ScenarioModule(pytest.Module):
    """The scenarios of one file."""

    def collect(self) -> Any:
        """The scenarios as test functions. Raises CollectError with the place of what is wrong in the file."""
        if not self.path.name.endswith(SUFFIX):
            name = self.path.name.removesuffix(self.path.suffix).removesuffix(".ipload") + SUFFIX
            raise self.CollectError(
                f"{_shown(self.path, self.config)}: scenario files are named *{SUFFIX}; rename it to {name}"
            )
        try:
            self.obj = _module_of(self.path, self.config)
        except ScenarioFileError as error:
            raise self.CollectError(str(error)) from None
        return super().collect()

    def istestfunction(self, obj: object, name: str) -> bool:
        """All functions are tests, whatever their names."""
        return inspect.isfunction(obj)

    def istestclass(self, obj: object, name: str) -> bool:
        """There are no classes."""
        return False


def _module_of(path: Path, config: pytest.Config) -> ModuleType:
    """The functions and fixtures of a file. Raises ScenarioFileError."""
    shown = _shown(path, config)
    module = ModuleType(path.name.partition(".")[0])
    module.__file__ = str(path)
    folders = (path.parent, config.rootpath)

    def load_component(file: Path, limits: Mapping[str, Any]) -> Any:
        return components_of(config).component(file, limits=limits)

    for number, scenario in enumerate(read_scenarios(path, shown, environment_of(config))):
        _check_name(scenario)
        script = Script(scenario, folders, load_component)
        fixture = f"_ipload_steps_{number}"
        setattr(module, fixture, pytest.fixture(name=fixture)(_user_steps(scenario, script)))
        setattr(module, scenario.name, _marked(scenario, script, _body(scenario, script, fixture)))
    return module


def environment_of(config: pytest.Config) -> str | None:
    """The name of the chosen environment."""
    return config.getoption("ipload_environment") or config.getini("ipload_environment") or None


def _shown(path: Path, config: pytest.Config) -> str:
    """The path as messages show it."""
    return str(path.relative_to(config.rootpath)) if path.is_relative_to(config.rootpath) else str(path)


def _check_name(scenario: Scenario) -> None:
    """Whether a test can have the name of the scenario. Raises ScenarioFileError."""
    name = scenario.name
    if name in _SPECIAL or name.startswith(_SPECIAL_BEGINNINGS):
        raise scenario.place.fault(f"the scenario name {name!r:.80} means something else to pytest; choose another one")
    if not all(each.isalnum() or each in "_-. " for each in name) or name != name.strip() or not name:
        raise scenario.place.fault(
            f"{name!r:.80} cannot be the name of a scenario; allowed: letters, digits, '_', '-', '.' and blanks within"
        )


def _user_steps(scenario: Scenario, script: Script) -> Callable[..., Iterator[Any]]:
    """The fixture that runs the steps of a user's set-up and teardown."""

    def user_steps(ipload_user: Any, ipload_session: Any, **fixtures: Any) -> Iterator[Any]:
        scope = script.set_up(ipload_user, ipload_session, fixtures)
        yield scope
        script.tear_down(scope)

    _with_parameters(user_steps, ["ipload_user", "ipload_session", *script.set_up_fixtures])
    return user_steps


def _body(scenario: Scenario, script: Script, fixture: str) -> Callable[..., None]:
    """The test function. Its fixtures are set up in the order of its parameters: the file's before the steps."""
    iterate = script.iterate
    body = located_body(
        lambda values: iterate(values.pop(fixture), values), str(scenario.file), scenario.place.line, scenario.name
    )
    _with_parameters(body, [*scenario.fixtures, fixture])
    return body


def _with_parameters(function: Callable[..., Any], names: list[str]) -> None:
    """Let pytest see these parameters."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in dict.fromkeys(names)]
    vars(function)["__signature__"] = inspect.Signature(parameters)


def _marked(scenario: Scenario, script: Script, body: Callable[..., None]) -> Callable[..., None]:
    """The function with the markers that the file's keys mean."""
    marks = [pytest.mark.ipload(**scenario.load)]
    plain = [expression for expression, options in scenario.thresholds if not options]
    if plain:
        marks.append(pytest.mark.ipload_threshold(*plain))
    marks += [pytest.mark.ipload_threshold(each, **options) for each, options in scenario.thresholds if options]
    if scenario.together is not None:
        marks.append(together_mark(scenario, MARKERS))
    for mark in marks:
        body = mark(body)
    vars(body)[FIXTURE_PLACES] = scenario.fixtures
    vars(body)[SETTING_PLACES] = scenario.origins
    vars(body)[RUNS_STEPS] = True
    vars(body)[SET_UP_PROBLEM] = lambda: "\n".join(script.problems()) or None
    return body


def together_mark(
    scenario: Scenario, known: Mapping[str, str], marks: pytest.MarkGenerator = pytest.mark
) -> pytest.MarkDecorator:
    """The marker of loads that run together, if it is among those that are ``known``. Raises ScenarioFileError."""
    if _TOGETHER not in known:
        place = scenario.together_place or scenario.place
        raise place.fault(f"together: this version has no marker {_TOGETHER} that runs loads together; remove the key")
    return getattr(marks, _TOGETHER)(scenario.together)  # type: ignore[no-any-return]
