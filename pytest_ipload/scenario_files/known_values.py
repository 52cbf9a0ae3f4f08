"""Finds values that no step, row or setting can have given, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pytest_ipload.base.errors import FeedError
from pytest_ipload.load.test_data.feed_files import columns_of
from pytest_ipload.scenario_files.conditions import Condition
from pytest_ipload.scenario_files.expectations import Expectation
from pytest_ipload.scenario_files.grammar import PER_USER, Step
from pytest_ipload.scenario_files.scenarios import Data, Scenario
from pytest_ipload.scenario_files.shapes import Static
from pytest_ipload.scenario_files.step_walk import all_steps, parts_of
from pytest_ipload.scenario_files.values import Template, templates_in
from pytest_ipload.settings.parsing import did_you_mean

_ALWAYS = ("env", "iteration", "user")
_OPEN = ("action", "component")
"""Steps whose outputs, which become values, are known when they have run."""


def check_values(scenario: Scenario, folders: Sequence[Path]) -> None:
    """Check all references of a scenario, and its data file. Raises ScenarioFileError."""
    data = scenario.data
    columns = None if data is None else _columns(data, folders)
    known = {*_ALWAYS, *scenario.variables, *scenario.fixtures}
    if data is not None:
        if data.name in known:
            raise data.place.fault(
                f"data: {data.name!r} is the name of a variable or fixture too; choose another one with 'as'"
            )
        known.add(data.name)
    checker = _Checker(scenario, known, columns)
    checker.check(templates_in(dict(scenario.headers)), known | checker.captured)  # sent as soon as they have values
    checker.check(scenario.expect.templates(), known | checker.captured)
    set_up_known = known if belongs_to_user(scenario) else known - {data.name if data else ""}
    after_set_up = checker.walk(scenario.set_up, set(set_up_known))
    checker.walk(scenario.steps, after_set_up | known)
    checker.walk(scenario.tear_down, set(after_set_up))


def belongs_to_user(scenario: Scenario) -> bool:
    """Whether a row is drawn for each user and not for each iteration."""
    if scenario.data is None or scenario.data.per is not None:
        return scenario.data is not None and scenario.data.per == PER_USER
    steps = [*all_steps(scenario.set_up), *all_steps(scenario.tear_down)]
    references = (each for step in steps for template in templates_of(step) for each in template.references)
    return any(each.name == scenario.data.name for each in references)


def templates_of(step: Step) -> Iterator[Template]:
    """The templates of a step itself, without those of steps inside of it."""
    for value in step.fields.values():
        if isinstance(value, (Expectation, Condition)):
            yield from value.templates() if isinstance(value, Expectation) else value.templates
        elif hasattr(value, "times"):
            yield from templates_in(value.times)
        elif not isinstance(value, Static) and not (isinstance(value, list) and value and isinstance(value[0], Step)):
            yield from templates_in(value)


def _columns(data: Data, folders: Iterable[Path]) -> Sequence[str] | None:
    """The columns of a CSV file; None for other files, whose rows may differ."""
    places = [folder / data.file for folder in folders]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise data.place.fault(f"data: there is no file {' nor '.join(dict.fromkeys(map(str, places)))}")
    try:
        return columns_of(found)
    except FeedError as error:
        raise data.place.fault(str(error)) from None


class _Checker:
    def __init__(self, scenario: Scenario, known: set[str], columns: Sequence[str] | None) -> None:
        self._row = scenario.data.name if scenario.data is not None else None
        self._columns = columns
        self._fixed = known
        self._is_open = False
        self._later: dict[str, int] = {
            each.name: each_step.place.line
            for each_step in all_steps([*scenario.set_up, *scenario.steps, *scenario.tear_down])
            for each in each_step.fields.get("capture", ())
        }

    @property
    def captured(self) -> set[str]:
        """The names of all captures."""
        return set(self._later)

    def walk(self, steps: Sequence[Step], known: set[str]) -> set[str]:
        """Check the steps one after the other; returns the values that are known after them."""
        for step in steps:
            self.check(templates_of(step), known)
            for each in step.fields.get("capture", ()):
                if each.name in self._fixed:
                    raise step.place.fault(
                        f"capture {each.name!r} has the name of a variable, fixture or row; choose another one"
                    )
                known = {*known, each.name}
            self._is_open = self._is_open or step.kind in _OPEN
            for part in parts_of(step):
                known = self.walk(part, known)
        return known

    def check(self, templates: Iterable[Template], known: set[str]) -> None:
        """Check the references of templates against the values that are known."""
        for template in templates:
            for each in template.references:
                if each.default is not None:
                    continue
                if each.name not in known and not self._is_open:
                    raise template.place.fault(self._problem(each.name, known))
                if each.name == self._row:
                    self._check_column(template, each.path)

    def _check_column(self, template: Template, path: tuple[str | int, ...]) -> None:
        if self._columns is None:
            return
        if not path or str(path[0]) not in self._columns:
            name = str(path[0]) if path else ""
            raise template.place.fault(
                f"the rows of the data file have no column {name!r:.80}{did_you_mean(name, self._columns)}; "
                f"columns: {', '.join(self._columns)}"
            )

    def _problem(self, name: str, known: set[str]) -> str:
        if name == self._row:
            return f"${{{name}}}: rows are drawn for each iteration (per: iteration), so set_up and tear_down have none"
        if name in self._later:
            return f"${{{name}}}: it is captured later, in line {self._later[name]}, or in another part of the scenario"
        hint, shown = did_you_mean(name, known), ", ".join(sorted(known))
        return (
            f"${{{name}}}: no step before this one captures it{hint}, nor does a variable, a fixture or a row have "
            f"this name; known: {shown:.300}"
        )
