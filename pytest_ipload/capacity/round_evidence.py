"""What the rounds of a search have shown so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pytest_ipload.capacity.estimate import CapacityEstimate
from pytest_ipload.capacity.search_plan import CONFIDENCE, CapacityPlan
from pytest_ipload.capacity.search_round import GENERATOR_LIMITED, CapacityRound

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
        self.lowest = max(plan.start / 2**HALVINGS, plan.lowest)
        """The lowest level that is tried."""
        self._plan = plan
        self._rounds: list[CapacityRound] = []
        self._estimate = self._empty()
        self.ceiling: float | None = None
        """The lowest level at which the generator was the limit, twice; None if it was not."""

    def add(self, done: CapacityRound) -> None:
        """One more round. One that the generator limited says nothing about the target."""
        level, state = done.request.level, done.outcome.state
        before = self._rounds[-1] if self._rounds else None
        self._rounds.append(done)
        self._note(done)
        if state == GENERATOR_LIMITED and before and (before.outcome.state, before.request.level) == (state, level):
            self.ceiling = level if self.ceiling is None else min(level, self.ceiling)

    def leave_out(self, is_doubtful: Callable[[CapacityRound], bool]) -> None:
        """Some rounds do not count any more."""
        self._rounds = [each for each in self._rounds if not is_doubtful(each)]
        self._estimate = self._empty()
        for each in self._rounds:
            self._note(each)

    def _note(self, done: CapacityRound) -> None:
        if done.is_within is not None:
            self._estimate.add(done.request.level, done.is_within)

    def levels(self, is_within: bool) -> list[float]:
        """Of the rounds within the limits, or of those beyond them, in ascending order."""
        return sorted(each.request.level for each in self._rounds if each.is_within is is_within)

    @property
    def highest_within(self) -> float | None:
        """The highest level at which a round was within the limits; None if none was."""
        return max(self.levels(True), default=None)

    @property
    def lowest_beyond(self) -> float | None:
        """The lowest level at which a round was beyond a limit; None if none was."""
        return min(self.levels(False), default=None)

    @property
    def is_bounded(self) -> bool:
        """Whether there is something on both sides of the capacity: a level that did not hold, above all that did.

        Of rounds at the same level, most have to be beyond the limits.
        """
        within, beyond = self.levels(True), self.levels(False)
        if not within or not beyond or beyond[-1] < within[-1]:
            return False
        return beyond[-1] > within[-1] or beyond.count(within[-1]) > within.count(within[-1])

    @property
    def is_beyond_generator(self) -> bool:
        """Whether the generator is the limit: as far as it goes, the target has none."""
        if self.ceiling is None:
            return False
        is_open = not self.is_bounded and (bool(self.levels(True)) or not self.levels(False))
        return is_open or self.interval().middle >= self.ceiling

    def interval(self) -> Interval:
        """The capacity, with its interval."""
        return Interval(*self._estimate.quantiles(_TAIL, 0.5, 1 - _TAIL))

    def quantile(self, share: float) -> float:
        """The level below which the capacity lies with this probability."""
        return self._estimate.quantiles(share)[0]

    def fails_at(self, level: float) -> float:
        """How likely a round at this level is beyond the limits."""
        return 1 - self._estimate.within_at(level)

    def limiting(self, near: float) -> str | None:
        """The expression that most of the rounds near this level were beyond; None if none was."""
        named = [each for each in self._rounds if each.is_within is False and each.outcome.threshold is not None]
        closest = sorted(named, key=lambda each: abs(each.request.level / near - 1))[:3]
        return _most_frequent([each.outcome.threshold for each in closest if each.outcome.threshold])

    def _empty(self) -> CapacityEstimate:
        finest = min(_FINEST, self._plan.precision / _STEPS)
        lowest = self._plan.start / 2**HALVINGS
        return CapacityEstimate(max(lowest, 1.0) if self._plan.is_by_users else lowest, 2 * self._plan.up_to, finest)


def _most_frequent(words: Sequence[str]) -> str | None:
    """The first of several."""
    return max(words, key=words.count, default=None)
