"""What the rounds of a search have shown so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pytest_ipload.capacity.estimate import CapacityEstimate
from pytest_ipload.capacity.search_plan import CONFIDENCE, CapacityPlan
from pytest_ipload.capacity.search_round import FAILS, GENERATOR_LIMITED, HOLDS, UNDECIDED, CapacityRound, State

HALVINGS = 10
"""How far a search goes down when its start fails: to a thousandth of it."""
_FINEST, _STEPS = 0.005, 10
_TAIL = (1 - CONFIDENCE) / 2


class Interval(NamedTuple):
    """Where the capacity is: the lower end, the middle and the upper end."""

    low: float
    middle: float
    high: float


class RoundEvidence:
    """The rounds that count, and the estimate that follows from them."""

    def __init__(self, plan: CapacityPlan) -> None:
        self.lowest = max(plan.start / 2**HALVINGS, 1.0 if plan.is_by_users else 0.0)
        """The lowest level that is tried."""
        self._plan = plan
        self._rounds: list[CapacityRound] = []
        self._estimate = self._empty()
        self.ceiling: float | None = None
        """The lowest level at which the generator was the limit, twice; None if it was not."""

    def add(self, done: CapacityRound) -> None:
        """One more round. One that the generator limited says nothing about the target."""
        level, state = done.request.level, done.outcome.state
        if state == GENERATOR_LIMITED:
            if self._rounds and self._rounds[-1].outcome.state == state and self._rounds[-1].request.level == level:
                self.ceiling = level if self.ceiling is None else min(level, self.ceiling)
        else:
            self._estimate.add(level, state)
        self._rounds.append(done)

    def leave_out(self, is_doubtful: Callable[[CapacityRound], bool]) -> None:
        """Some rounds do not count any more."""
        self._rounds = [each for each in self._rounds if not is_doubtful(each)]
        self._estimate = self._empty()
        for each in self._rounds:
            if each.outcome.state != GENERATOR_LIMITED:
                self._estimate.add(each.request.level, each.outcome.state)

    def levels(self, *states: State) -> list[float]:
        """Of the rounds that ended so, in ascending order."""
        return sorted(each.request.level for each in self._rounds if each.outcome.state in states)

    @property
    def highest_hold(self) -> float | None:
        """The highest level at which a round held; None if none did."""
        return max(self.levels(HOLDS), default=None)

    @property
    def lowest_fail(self) -> float | None:
        """The lowest level at which a round failed; None if none did."""
        return min(self.levels(FAILS), default=None)

    @property
    def is_bounded(self) -> bool:
        """Whether there is something on both sides of the capacity: near an undecided round it is on both."""
        return bool(self.levels(UNDECIDED)) or bool(self.levels(HOLDS) and self.levels(FAILS))

    @property
    def is_beyond_generator(self) -> bool:
        """Whether the generator is the limit: as far as it goes, the target has none."""
        if self.ceiling is None:
            return False
        return not self.levels(FAILS, UNDECIDED) or self.interval().middle >= self.ceiling

    def interval(self) -> Interval:
        """The capacity, with its interval."""
        return Interval(*self._estimate.quantiles(_TAIL, 0.5, 1 - _TAIL))

    def quantile(self, share: float) -> float:
        """The level below which the capacity lies with this probability."""
        return self._estimate.quantiles(share)[0]

    def fails_at(self, level: float) -> float:
        """How likely a round at this level does not hold."""
        return 1 - self._estimate.holds_at(level)

    def limiting(self, near: float) -> str | None:
        """The expression that most rounds failed by which were not far above this level; None if none failed."""
        failed = [each for each in self._rounds if each.outcome.state == FAILS] or [
            each for each in self._rounds if each.outcome.state == UNDECIDED
        ]
        named = [each for each in failed if each.outcome.threshold is not None]
        closest = sorted(named, key=lambda each: abs(each.request.level / near - 1))[:3]
        return _most_frequent([each.outcome.threshold for each in closest if each.outcome.threshold])

    def _empty(self) -> CapacityEstimate:
        finest = min(_FINEST, self._plan.precision / _STEPS)
        return CapacityEstimate(self.lowest, 2 * self._plan.up_to, finest)


def _most_frequent(words: Sequence[str]) -> str | None:
    """The first of several."""
    return max(words, key=words.count, default=None)
