"""From the keys of a scenario file to its scenarios: defaults and the environment are merged, settings resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from pytest_ipload.base.errors import ScenarioFailed
from pytest_ipload.base.process_environment import ENVIRONMENT
from pytest_ipload.scenario_files import components
from pytest_ipload.scenario_files.document import read_document
from pytest_ipload.scenario_files.expectations import NOTHING_EXPECTED, Expectation
from pytest_ipload.scenario_files.grammar import Step, shape_of_file
from pytest_ipload.scenario_files.nodes import Place
from pytest_ipload.scenario_files.scope import Scope
from pytest_ipload.scenario_files.setting_shapes import GivenThreshold
from pytest_ipload.scenario_files.shapes import Fields, Static
from pytest_ipload.scenario_files.step_walk import all_steps
from pytest_ipload.scenario_files.values import templates_in
from pytest_ipload.settings.parsing import did_you_mean

SUFFIX = ".ipload.yaml"


class Data(NamedTuple):
    """Rows of test data."""

    file: str
    """An absolute path."""
    order: str
    name: str
    """Of a row, in ``${name.column}``."""
    per: str | None
    place: Place


@dataclass(frozen=True)
class Scenario:
    """One scenario: a load test."""

    name: str
    place: Place
    file: Path
    load: Mapping[str, Any]
    """Keywords of the marker ``ipload``."""
    thresholds: Sequence[tuple[str, Mapping[str, Any]]]
    """An expression and the marker's keywords for it."""
    fixtures: Mapping[str, Place]
    variables: Mapping[str, Any]
    set_up: Sequence[Step]
    steps: Sequence[Step]
    tear_down: Sequence[Step]
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Of each request."""
    expect: Expectation = NOTHING_EXPECTED
    think: Any = None
    data: Data | None = None
    together: str | None = None
    together_place: Place | None = None
    problems: Sequence[str] = ()
    """Why the test cannot be set up."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each setting of the load comes from."""


class _Sources:
    """What settings may refer to: the variables of file and environment, and the environment of the process."""

    def __init__(self, variables: Mapping[str, Static]) -> None:
        self.problems: list[str] = []
        self._missing: set[str] = set()
        """Variables that refer to what is missing."""
        self.values: dict[str, Any] = {}
        self._scope = settings_scope(self.values)
        for name, each in variables.items():
            known = len(self.problems)
            self.values[name] = self.resolved(each)
            if len(self.problems) > known:
                self._missing.add(name)

    def resolved(self, static: Static) -> Any:
        """The setting; None, with a note of the problem, if a variable of the environment is missing."""
        check_setting(static, self.values)
        if self._missing.intersection(_names_in(static)):
            return None
        try:
            return static.resolved(self._scope)
        except ScenarioFailed as error:
            self.problems.append(
                f"{static.place}: {static.what}: {error}; set the variable, or write ${{env.NAME:-default}}"
            )
            return None


def settings_scope(values: Mapping[str, Any]) -> Scope:
    """A scope without a user, for settings."""
    return Scope(
        _NO_USER, None, dict(values) if not isinstance(values, dict) else values, ENVIRONMENT, in_iteration=False
    )


class _NoUser:
    index, iteration, source_address = 0, 0, None

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


_NO_USER: Any = _NoUser()


def check_setting(static: Static, variables: Mapping[str, Any]) -> None:
    """Whether all that a setting refers to is known. Raises ScenarioFileError."""
    for name in _names_in(static):
        if name != "env" and name not in variables:
            raise static.place.fault(
                f"{static.what}: ${{{name}}} is not known here{did_you_mean(name, variables)}: settings are "
                "read before there are users; they can refer to variables and to ${env.NAME}"
            )


def _names_in(static: Static) -> list[str]:
    """The names that a setting refers to without a default."""
    references = [each for template in templates_in(static.value) for each in template.references]
    return [each.name for each in references if each.default is None or each.name in ("iteration", "user")]


def read_scenarios(path: Path, shown: str, environment: str | None) -> list[Scenario]:
    """The scenarios of a file, in an environment of its own by this name. Raises ScenarioFileError."""
    root = read_document(path, shown)
    fields = shape_of_file().read(root, "a scenario file")
    chosen = _environment(fields, environment, shown)
    defaults = fields.get("defaults", {})
    sources = _Sources({**defaults.get("variables", {}), **chosen.get("variables", {})})
    base_url = chosen.get("base_url", fields.get("base_url"))
    common: dict[str, Any] = {}
    if base_url is not None:
        common["base_url"] = sources.resolved(base_url)
    if "timeout" in defaults:
        common["timeout"] = sources.resolved(defaults["timeout"])
    origins = {} if base_url is None else {"base_url": str(base_url.place)}
    if "base_url" in chosen:
        origins["base_url"] = f"environment {environment}"
    scenarios = []
    for name, each in fields["scenarios"].items():
        place = root.mapping("")["scenarios"].node.mapping("")[name].place
        scenario = _scenario(name, place, path, each, defaults, chosen, common, sources)
        own = {key: str(given.place) for key, given in {**defaults.get("load", {}), **each.get("load", {})}.items()}
        scenarios.append(replace(scenario, origins={**origins, **own}))
    return scenarios


def _environment(fields: Fields, chosen: str | None, shown: str) -> Mapping[str, Any]:
    """The keys of the chosen environment; none if none is chosen."""
    environments: Mapping[str, Any] = fields.get("environments", {})
    if chosen is None:
        return {}
    if chosen not in environments:
        known = f"known: {', '.join(environments)}" if environments else "it has no environments"
        place = fields.places.get("environments", fields.place)
        raise place.fault(f"unknown environment {chosen!r}{did_you_mean(chosen, environments)}; {known}")
    found: Mapping[str, Any] = environments[chosen]
    return found


def _scenario(
    name: str,
    place: Place,
    path: Path,
    fields: Fields,
    defaults: Mapping[str, Any],
    chosen: Mapping[str, Any],
    common: Mapping[str, Any],
    sources: _Sources,
) -> Scenario:
    settings = {**defaults.get("load", {}), **fields.get("load", {})}
    load = {**common, **{key: sources.resolved(each) for key, each in settings.items()}}
    thresholds = [*defaults.get("thresholds", []), *fields.get("thresholds", [])]
    set_up, steps, tear_down = (fields.get(key, []) for key in ("set_up", "steps", "tear_down"))
    if not steps:
        raise fields.places["steps"].fault("steps: there are none; an iteration needs at least one step")
    return Scenario(
        name,
        place,
        path,
        {key: value for key, value in load.items() if value is not None},
        _resolved_thresholds(thresholds, sources),
        fields.get("fixtures", {}),
        dict(sources.values),
        set_up,
        steps,
        tear_down,
        headers={**defaults.get("headers", {}), **chosen.get("headers", {})},
        expect=defaults.get("expect", NOTHING_EXPECTED),
        think=sources.resolved(defaults["think"]) if "think" in defaults else None,
        data=_data(path.parent, fields["data"], sources) if "data" in fields else None,
        together=fields.get("together"),
        together_place=fields.places.get("together"),
        problems=[*sources.problems, *_component_problems([set_up, steps, tear_down], path.parent, sources)],
    )


def _resolved_thresholds(given: Sequence[GivenThreshold], sources: _Sources) -> list[tuple[str, Mapping[str, Any]]]:
    resolved = ((sources.resolved(each.expression), each.options) for each in given)
    return [(expression, options) for expression, options in resolved if expression is not None]


def _data(folder: Path, fields: Fields, sources: _Sources) -> Data:
    given: Static = fields["file"]
    name = sources.resolved(given)
    if name is None:
        raise given.place.fault("data: " + sources.problems[-1].partition(": file: ")[2])
    order, per = fields.get("order", "sequential"), fields.get("per")
    return Data(str(name), order, fields.get("as", "row"), per, given.place)


def _component_problems(steps: Sequence[Sequence[Step]], folder: Path, sources: _Sources) -> list[str]:
    problems = []
    for each in (step for part in steps for step in all_steps(part) if step.kind == "component"):
        static: Static = each.fields["component"]
        name = sources.resolved(static)
        if name is None:
            continue
        path = folder / str(name)
        if not path.is_file():
            raise static.place.fault(f"component: there is no file {path}")
        if problem := components.problem(path):
            problems.append(f"{each.place}: {problem}")
    return problems
