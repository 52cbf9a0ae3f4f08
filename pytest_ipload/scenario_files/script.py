"""A scenario as functions: compiled once, run by each user."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_ipload.base.errors import ScenarioFailed, SettingError
from pytest_ipload.base.process_environment import ENVIRONMENT
from pytest_ipload.base.units import format_span
from pytest_ipload.load.actions import unknown_action
from pytest_ipload.scenario_files import components
from pytest_ipload.scenario_files.grammar import METHODS, Step
from pytest_ipload.scenario_files.known_values import belongs_to_user, check_values, templates_of
from pytest_ipload.scenario_files.located import Run, located
from pytest_ipload.scenario_files.requests_of_steps import request_step
from pytest_ipload.scenario_files.scenarios import Scenario, check_setting, settings_scope
from pytest_ipload.scenario_files.scope import Scope, User
from pytest_ipload.scenario_files.shapes import Static
from pytest_ipload.scenario_files.step_walk import all_steps, can_do_something
from pytest_ipload.scenario_files.values import as_text, compiled, getter_of, templates_in

_NOT_INPUTS = ("action", "name")
"""Parameters of ``act`` itself."""


class Script:
    """What the users of one scenario do. It has no state: the scope of a user has it."""

    def __init__(
        self, scenario: Scenario, folders: Sequence[Path], load_component: components.Load | None = None
    ) -> None:
        """``folders`` is where the paths of data files lead. Raises ScenarioFileError for what cannot work."""
        check_values(scenario, folders)
        self._scenario = scenario
        self._load_component = load_component
        self._components: list[components.StepComponent] = []
        headers = {name: compiled(value) for name, value in scenario.headers.items()}
        self._late_headers = {name: scenario.headers[name] for name, get in headers.items() if self._is_late(name)}
        self._headers = {name: getter_of(value) for name, value in scenario.headers.items() if not self._is_late(name)}
        self._set_up = self._compiled(scenario.set_up)
        self._steps = self._compiled(scenario.steps, think=scenario.think)
        self._tear_down = self._compiled(scenario.tear_down)
        if not can_do_something(scenario.steps):
            raise scenario.steps[0].place.fault(
                "no step of the scenario can send a request or run an action; an iteration needs at least one that can"
            )
        self._row_of_user = belongs_to_user(scenario)
        self._environment = self._variables_of_environment()
        self.set_up_fixtures = self._fixtures_in([*scenario.set_up, *scenario.tear_down])
        """The fixtures that the steps of set-up and teardown refer to."""

    def _is_late(self, header: str) -> bool:
        """Whether a default header refers to more than what is known when a user is set up."""
        fixed = {"env", "user", *self._scenario.variables}
        references = (each for t in templates_in(self._scenario.headers[header]) for each in t.references)
        return any(each.name not in fixed for each in references)

    def _variables_of_environment(self) -> dict[str, str]:
        """Variables of the environment without a default, and where they are referred to."""
        scenario = self._scenario
        found: dict[str, str] = {}
        templates = [
            t for s in all_steps([*scenario.set_up, *scenario.steps, *scenario.tear_down]) for t in templates_of(s)
        ]
        for template in [*templates_in(dict(scenario.headers)), *scenario.expect.templates(), *templates]:
            for each in template.references:
                if each.name == "env" and each.default is None:
                    found.setdefault(str(each.path[0]), str(template.place))
        return found

    def _fixtures_in(self, steps: Sequence[Step]) -> list[str]:
        used = {each.name for step in all_steps(steps) for t in templates_of(step) for each in t.references}
        return [name for name in self._scenario.fixtures if name in used]

    # -- what users do ------------------------------------------------------------------------------------------

    def set_up(self, user: User, session: Any, fixtures: Mapping[str, Any]) -> Scope:
        """Run the set-up steps; returns the user's scope. Raises SettingError, ScenarioFailed, and what steps raise."""
        for name, place in self._environment.items():
            if name not in os.environ:
                raise SettingError(
                    f"{place}: the environment variable {name} is not set; set it, or give a default: "
                    f"${{env.{name}:-default}}"
                )
        scope = Scope(user, session, {**self._scenario.variables, **fixtures}, ENVIRONMENT, in_iteration=False)
        if self._row_of_user:
            self._draw_row(scope)
        for name, get in self._headers.items():
            if (value := get(scope)) is None:
                session.headers.pop(name, None)
            else:
                session.headers[name] = as_text(value)
        for component in self._components:
            component.prepare(user)
        for run in self._set_up:
            run(scope)
        return scope

    def problems(self) -> list[str]:
        """What keeps the scenario from being run here, with its place. Components are compiled for it, once."""
        if (found := [*self._scenario.problems, *unknown_actions(self._scenario)]) or not self._components:
            return found
        return [problem for each in self._components if (problem := each.load()) is not None]

    def iterate(self, scope: Scope, fixtures: Mapping[str, Any]) -> None:
        """Run one iteration."""
        own = scope.of_iteration()
        own.values.update(fixtures)
        if self._scenario.data is not None and not self._row_of_user:
            self._draw_row(own)
        for run in self._steps:
            run(own)

    def tear_down(self, scope: Scope) -> None:
        """Run the teardown steps: all of them, also if one fails. Raises what the first one has raised."""
        first: Exception | None = None
        for run in self._tear_down:
            try:
                run(scope)
            except Exception as error:
                first = first or error
        if first is not None:
            raise first

    def _draw_row(self, scope: Scope) -> None:
        data = self._scenario.data
        assert data is not None
        scope.values[data.name] = next(scope.user.feed(data.file, data.order))

    # -- from steps to functions --------------------------------------------------------------------------------

    def _compiled(self, steps: Sequence[Step], think: Any = None) -> list[Run]:
        return [self._step(each, think) for each in steps]

    def _step(self, step: Step, think: Any) -> Run:
        run = self._request(step, think) if step.kind in METHODS else getattr(self, f"_{step.kind}_step")(step, think)
        condition = step.fields.get("if")
        if condition is not None and step.kind != "if":
            run = _if(condition.test, [run], [])
        return located(run, str(self._scenario.file), step.place.line, step.kind)

    def _resolved(self, static: Static) -> Any:
        """A setting of a step. Raises ScenarioFileError."""
        check_setting(static, self._scenario.variables)
        try:
            return static.resolved(settings_scope(self._scenario.variables))
        except ScenarioFailed as error:
            raise static.place.fault(f"{static.what}: {error}") from None

    def _request(self, step: Step, think: Any) -> Run:
        scenario = self._scenario
        send = request_step(step, scenario.file.parent, scenario.expect, self._late_headers, self._resolved)
        if think is None:
            return send
        span = format_span(think)

        def send_and_think(scope: Scope) -> None:
            send(scope)
            scope.user.pause(span)

        return send_and_think

    def _step_step(self, step: Step, think: Any) -> Run:
        name, runs = step.fields["step"], self._compiled(step.fields["steps"], think)

        def run_timed(scope: Scope) -> None:
            with scope.user.step(name):
                for run in runs:
                    run(scope)

        return run_timed

    def _think_step(self, step: Step, think: Any) -> Run:
        span = format_span(self._resolved(step.fields["think"]))
        return lambda scope: scope.user.pause(span)

    def _repeat_step(self, step: Step, think: Any) -> Run:
        given = step.fields["repeat"]
        runs = self._compiled(step.fields["steps"] if given.steps is None else given.steps, think)
        get_times = getter_of(given.times)

        def repeat(scope: Scope) -> None:
            for _ in range(_times(get_times(scope))):
                for run in runs:
                    run(scope)

        return repeat

    def _if_step(self, step: Step, think: Any) -> Run:
        fields = step.fields
        return _if(
            fields["if"].test, self._compiled(fields["steps"], think), self._compiled(fields.get("else", []), think)
        )

    def _action_step(self, step: Step, think: Any) -> Run:
        fields = step.fields
        for name in _NOT_INPUTS:
            if name in fields.get("with", {}):
                raise fields.places["with"].fault(
                    f"an action cannot have an input {name!r:.80}: act() has a parameter of that name"
                )
        get_action, get_inputs, label = (
            getter_of(fields["action"]),
            getter_of(fields.get("with", {})),
            fields.get("name"),
        )
        return lambda scope: _keep(scope, scope.user.act(get_action(scope), label, **get_inputs(scope)))

    def _component_step(self, step: Step, think: Any) -> Run:
        fields = step.fields
        path = self._scenario.file.parent / str(self._resolved(fields["component"]))
        limits = {name: self._resolved(static) for name, static in fields.get("limits", {}).items()}
        component = components.StepComponent(path, limits, fields.get("name"), step.place, self._load_component)
        self._components.append(component)
        get_inputs = getter_of(fields.get("with", {}))
        return lambda scope: _keep(scope, component.run(scope.user, get_inputs(scope)))


def unknown_actions(scenario: Scenario) -> list[str]:
    """Where actions are named that no installed package offers."""
    named = (
        (step.place, step.fields["action"])
        for step in all_steps([*scenario.set_up, *scenario.steps, *scenario.tear_down])
        if step.kind == "action" and isinstance(step.fields["action"], str)
    )
    return [f"{place}: {problem}" for place, name in named if (problem := unknown_action(name)) is not None]


def _if(test: Callable[[Scope], bool], then: Sequence[Run], otherwise: Sequence[Run]) -> Run:
    def choose(scope: Scope) -> None:
        for run in then if test(scope) else otherwise:
            run(scope)

    return choose


def _keep(scope: Scope, outputs: Mapping[str, Any] | None) -> None:
    """Outputs are values by their names."""
    if outputs is not None:
        scope.values.update(outputs)


def _times(value: Any) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal() or len(text) > 9:
        raise ScenarioFailed(f"repeat: {ENVIRONMENT.hide(repr(value)):.60} is not a whole number of 0 or more")
    return int(text)
