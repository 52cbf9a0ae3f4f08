"""Components of scenarios: WebAssembly programs in files of their own, which run in the place of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_ipload.base.errors import SettingError
from pytest_ipload.components.component_file import problem_of
from pytest_ipload.scenario_files.nodes import Place
from pytest_ipload.scenario_files.scope import User

Load = Callable[[Path, Mapping[str, Any]], Any]
"""Loads the component of a file, with limits by their names. Raises SettingError."""


def problem(path: Path) -> str | None:
    """Why this component cannot be run here; None if it can. It becomes an error in the set-up of the test."""
    return problem_of(path)


class StepComponent:
    """The component of a step. Users are set up with it, and run it."""

    def __init__(
        self, path: Path, limits: Mapping[str, Any], name: str | None, place: Place, load: Load | None
    ) -> None:
        self._path = path
        self._place = place
        self._limits = limits
        self._name = name or path.stem
        self._load = load
        self._component: Any = None

    def load(self) -> str | None:
        """Compile and check it, once; returns what is wrong with it, and where it stands in the file."""
        try:
            self._component = self._loaded()
        except SettingError as error:
            return f"{self._place}: {error}"
        return None

    def prepare(self, user: User) -> None:
        """Make the user's instance, and set it up. Raises SettingError and ComponentError."""
        self._component = self._loaded()
        user.prepare(self._component)

    def _loaded(self) -> Any:
        if self._component is not None:
            return self._component
        if self._load is None:
            raise SettingError(f"component {self._path.name}: components run in load tests only")
        return self._load(self._path, self._limits)

    def run(self, user: User, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run it with its inputs, as a step that is timed; returns its outputs by name. Raises ComponentError."""
        with user.step(self._name):
            outputs: Mapping[str, Any] = self._component(user, **inputs)
            return outputs
