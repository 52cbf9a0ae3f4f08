"""What a capacity search found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_ipload.capacity.search_round import CapacityRound

LimitedBy = Literal["threshold", "generator", "up_to"]
Verdict = Literal["passed", "failed", "undecided", "invalid"]

LIMITED_BY: tuple[LimitedBy, ...] = ("threshold", "generator", "up_to")
VERDICTS: tuple[Verdict, ...] = ("passed", "failed", "undecided", "invalid")
THRESHOLD, GENERATOR, UP_TO = LIMITED_BY
PASSED, FAILED, UNDECIDED, INVALID = VERDICTS


@dataclass(frozen=True, kw_only=True)
class CapacityResult:
    """The capacity, as far as it is known. Levels are iterations per second, or users where ``by`` is ``users``."""

    by: str
    """``rate`` or ``users``."""
    rate: float | None
    """The best estimate of the highest level at which the expressions hold (users too, where ``by`` says so). None if
    there is none: they held nowhere, the generator was the limit, or no round was decided."""
    low: float | None
    """The lower end of the 95 % interval; None if the expressions held nowhere."""
    high: float | None
    """The upper end; None where nothing bounds it: the search ended at ``up_to``, or at the generator's limit."""
    limited_by: LimitedBy | None
    """What keeps the rate from being higher; None if the search ended before it was known."""
    threshold: str | None
    """The expression that fails first above the capacity."""
    verdict: Verdict
    """Against ``at_least``; without it a search passes that found a capacity."""
    reason: str
    """The verdict in a sentence, the measured value first."""
    expressions: Sequence[str] = ()
    """What it is the capacity by, in their normal form."""
    at_least: float | None = None
    confirmed: bool = False
    """Whether a longer round at ``low`` held."""
    stopped: str | None = None
    """Why the search ended before its time; None if it did not."""
    rounds: Sequence[CapacityRound] = field(default_factory=tuple)

    def as_dict(self) -> dict[str, Any]:
        """Its plain values for reports; what is not known is absent."""
        values = {
            "by": self.by,
            "expressions": list(self.expressions) or None,
            "rate": self.rate,
            "low": self.low,
            "high": self.high,
            "limited_by": self.limited_by,
            "threshold": self.threshold,
            "at_least": self.at_least,
            "verdict": self.verdict,
            "reason": self.reason,
            "confirmed": self.confirmed,
            "stopped": self.stopped,
            "rounds": [each.as_dict() for each in self.rounds],
        }
        return {key: value for key, value in values.items() if value is not None}
