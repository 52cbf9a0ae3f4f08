"""The rounds of a capacity search: what the search asks for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

RATE, USERS = "rate", "users"
"""What a search varies: the arrival rate of the open model, or the number of users of the closed one."""
Kind = Literal["doubling", "bisection", "longer", "confirming"]
State = Literal["holds", "fails", "undecided", "generator-limited"]

KINDS: tuple[Kind, ...] = ("doubling", "bisection", "longer", "confirming")
STATES: tuple[State, ...] = ("holds", "fails", "undecided", "generator-limited")
DOUBLING, BISECTION, LONGER, CONFIRMING = KINDS
HOLDS, FAILS, UNDECIDED, GENERATOR_LIMITED = STATES


@dataclass(frozen=True)
class Rest:
    """What comes before a round: the target gets time to work off what an earlier round left behind.

    A trickle of iterations shows whether it is back: it is, as soon as their median latency is at most
    ``latency_ms`` and none of them failed.
    """

    level: float
    """The rate, or number of users, of the trickle: one at which the expressions held, if any did."""
    latency_ms: float | None
    """The median latency up to which the target counts as back; None: as soon as an iteration succeeds."""
    longest_s: float
    """When to give up, and to say so by ``CapacitySearch.stop``."""

    def is_over(self, median_ms: float | None, failed: int) -> bool:
        """Whether the target is back, by the iterations of the last moments; None without any that succeeded."""
        if median_ms is None or failed:
            return False
        return self.latency_ms is None or median_ms <= self.latency_ms


@dataclass(frozen=True)
class RoundRequest:
    """The next round: a load at a constant level. Times are seconds."""

    number: int
    """From 1 on."""
    kind: Kind
    by: str
    """``rate`` or ``users``."""
    level: float
    """Iterations per second, or a whole number of users."""
    settle_s: float
    """The beginning of the round, which is not judged: the ``warmup`` of its load."""
    measured_s: float
    """The part that is judged."""
    rest: Rest | None = None
    """What has to come before it; None if the target has nothing to recover from."""

    @property
    def rate(self) -> float | None:
        """The arrival rate per second; None in a search for users."""
        return self.level if self.by == RATE else None

    @property
    def users(self) -> int | None:
        """The number of users; None in a search for a rate."""
        return round(self.level) if self.by == USERS else None

    @property
    def duration_s(self) -> float:
        """How long its load lasts, without rest."""
        return self.settle_s + self.measured_s


@dataclass(frozen=True, kw_only=True)
class RoundOutcome:
    """What came of a round. ``round_judge.outcome_of`` makes it from the result of the round's load."""

    state: State
    """``generator-limited``: the round says nothing about the target, because the generator did not do its part."""
    within: bool | None = None
    """Whether all measured values are within their limits, be that certain or not: of an undecided round, the side of
    the limits that it is on. None: as the state says, and not known of an undecided round."""
    threshold: str | None = None
    """The expression that decided: that failed, or was undecided; None if all held."""
    reason: str = ""
    """Why it is not *holds*: the message of that threshold, or what limited the generator."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    error_rate: float | None = None
    """A fraction."""
    reached: float | None = None
    """Iterations per second that ended in the judged part."""
    aborted: bool = False
    """Whether the round was ended early, because it was certain to fail."""


@dataclass(frozen=True)
class CapacityRound:
    """A round that was run."""

    request: RoundRequest
    outcome: RoundOutcome

    @property
    def is_within(self) -> bool | None:
        """Whether the capacity at its time was above its level, as far as it shows; None if it says nothing."""
        if self.outcome.state in (HOLDS, FAILS):
            return self.outcome.state == HOLDS
        return self.outcome.within if self.outcome.state == UNDECIDED else None

    def as_dict(self) -> dict[str, Any]:
        """Its plain values for reports; what was not measured is absent."""
        request, outcome = self.request, self.outcome
        values = {
            "number": request.number,
            "kind": request.kind,
            request.by: request.users if request.by == USERS else request.level,
            "settle_s": request.settle_s,
            "measured_s": request.measured_s,
            "state": outcome.state,
            "threshold": outcome.threshold,
            "reason": outcome.reason or None,
            "p50_ms": outcome.p50_ms,
            "p95_ms": outcome.p95_ms,
            "p99_ms": outcome.p99_ms,
            "error_rate": outcome.error_rate,
            "reached": outcome.reached,
            "aborted": outcome.aborted or None,
        }
        return {key: value for key, value in values.items() if value is not None}
