"""Components of scenarios: programs in files of their own, which a runner runs in the place of a step.

The runner is an extra that does not exist yet. Whoever builds it makes ``problem`` return None where it is installed,
and ``run`` run the component.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_ipload.base.errors import SettingError
from pytest_ipload.scenario_files.scope import User


def problem(path: Path) -> str | None:
    """Why this component cannot be run here; None if it can. It becomes an error in the set-up of the test."""
    return (
        f"component {path.name}: components need an extra (pytest-ipload[wasm]) that this version does not have yet; "
        "use an action in its place"
    )


def run(user: User, path: Path, inputs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Run a component with its inputs, for a user; returns its outputs by name. Raises SettingError."""
    raise SettingError(str(problem(path)))
