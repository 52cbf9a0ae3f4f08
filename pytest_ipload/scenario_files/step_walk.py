"""All steps of a scenario, those inside of others too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from pytest_ipload.base.errors import ScenarioFailed
from pytest_ipload.scenario_files.conditions import Condition
from pytest_ipload.scenario_files.grammar import METHODS, Step
from pytest_ipload.scenario_files.scope import Scope


def all_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps, each one followed by those inside of it."""
    for step in steps:
        yield step
        for inner in parts_of(step):
            yield from all_steps(inner)


def parts_of(step: Step) -> list[list[Step]]:
    """The lists of steps in a step: what it repeats, or the branches of a condition."""
    repeated = step.fields["repeat"].steps if step.kind == "repeat" else None
    return [each for each in (repeated, step.fields.get("steps"), step.fields.get("else")) if each is not None]


def can_do_something(steps: Sequence[Step]) -> bool:
    """Whether there is a request, an action or a component in the steps, and not under a constant that is false."""
    for step in steps:
        holds = _constant(step.fields["if"]) if "if" in step.fields else True
        if step.kind == "if":
            then, otherwise = step.fields["steps"], step.fields.get("else", [])
            if (holds is not False and can_do_something(then)) or (holds is not True and can_do_something(otherwise)):
                return True
        elif holds is not False and (
            step.kind in (*METHODS, "action", "component") or any(map(can_do_something, parts_of(step)))
        ):
            return True
    return False


def _constant(condition: Condition) -> bool | None:
    """What a condition without values says; None if it has values."""
    if condition.templates:
        return None
    try:
        return condition.test(cast("Scope", None))
    except ScenarioFailed:
        return None  # the iteration will fail: it does not pass silently
