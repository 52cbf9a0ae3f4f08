"""What comes next in a capacity search: a round, or a trickle of iterations while the target recovers. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from pytest_ipload.capacity.search_plan import CapacityPlan
from pytest_ipload.capacity.search_round import Rest, RoundRequest
from pytest_ipload.verdict.rounds import BASE, CURRENT

_LONGEST_LOOK_S = 1.0
_ENOUGH_ITERATIONS = 5
"""How many iterations of the trickle show whether the target is back."""


@dataclass(frozen=True)
class SearchTurn:
    """One load of a search. All processes that share it run the same one."""

    number: int
    """From 0, over all loads of the test."""
    plan: CapacityPlan
    against: bool
    """Whether there is a search for a base version, too."""
    role: str
    """``current``, or ``base`` for the version to compare with."""
    request: RoundRequest
    look_s: float | None = None
    """How long the trickle before the round lasts, until the next look; None for the round itself."""

    @property
    def is_rest(self) -> bool:
        """Whether the target only gets a trickle."""
        return self.look_s is not None

    @property
    def level(self) -> float:
        """Iterations per second, or users."""
        rest = self.request.rest
        return rest.level if self.is_rest and rest is not None else self.request.level

    @property
    def shown(self) -> tuple[int, int]:
        """The number of the round, and about how many there will be."""
        return self.request.number, max(self.request.number, self.plan.planned_rounds())

    @property
    def settle_s(self) -> float:
        """The part of the load that is not judged."""
        return 0.0 if self.is_rest else self.request.settle_s

    @property
    def duration_s(self) -> float:
        """How long the load lasts."""
        return self.request.duration_s if self.look_s is None else self.look_s

    def to_text(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> SearchTurn:
        """The reverse. ``ValueError`` for anything else."""
        try:
            values: dict[str, Any] = json.loads(text)
            plan, request = values["plan"], values["request"]
            rest = None if request["rest"] is None else Rest(**request["rest"])
            return cls(
                number=int(values["number"]),
                plan=CapacityPlan(**{**plan, "expressions": tuple(plan["expressions"])}),
                against=bool(values["against"]),
                role={CURRENT: CURRENT, BASE: BASE}[values["role"]],
                request=RoundRequest(**{**request, "rest": rest}),
                look_s=values["look_s"],
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not a turn of a capacity search: {error!r:.100}") from None


def look_s(plan: CapacityPlan, rest: Rest, rested_s: float) -> float:
    """How long the trickle lasts until the next look: long enough for some iterations, within what is left."""
    usual_s = min(_LONGEST_LOOK_S, plan.step_s / 2)
    for_iterations_s = _ENOUGH_ITERATIONS / rest.level if plan.by == "rate" else 0.0
    return min(max(usual_s, for_iterations_s), max(rest.longest_s - rested_s, plan.step_s / 4))
