"""All steps of a scenario, those inside of others too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_ipload.scenario_files.grammar import Step


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
