"""The search for the capacity, as a state machine: which round comes next, and what the rounds say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from pytest_ipload.base.units import format_duration
from pytest_ipload.capacity.capacity_result import CapacityResult
from pytest_ipload.capacity.round_evidence import RoundEvidence
from pytest_ipload.capacity.search_plan import (
    CONFIRMING_LENGTH,
    FEWEST_ITERATIONS,
    LONGER_LENGTH,
    REST_STEPS,
    CapacityPlan,
)
from pytest_ipload.capacity.search_round import (
    BISECTION,
    CONFIRMING,
    DOUBLING,
    FAILS,
    GENERATOR_LIMITED,
    HOLDS,
    LONGER,
    UNDECIDED,
    CapacityRound,
    Kind,
    Rest,
    RoundOutcome,
    RoundRequest,
)
from pytest_ipload.capacity.search_verdict import conclude_search

MOST_CONFIRMING = 3
"""Confirming rounds of a search."""
AFTER_FAILED = 2
"""Rounds that are added to a search each time its confirming round does not hold."""
GENERATOR_TRIES = 3
"""How often a search that the generator limits looks for a limit of the target below that."""
ROUNDS_AT_THE_END = 3
"""How many have to be within the limits at ``up_to``, the confirming one included."""
BY_CHANCE = 0.05
"""Confirming rounds whose failures are less likely than that, by the rounds before, contradict these."""
_SIDES = (0.25, 0.75)
_WIDE = 0.3
"""On a logarithmic scale: an interval that is wider is halved; in others, both sides of the middle are tried."""
_BACK, _BACK_MS = 1.5, 1.0
"""A target is back if its median latency is at most that many times the best one, and a millisecond."""


class CapacitySearch:
    """Ask for rounds until there is none, and hand in what came of each::

        search = CapacitySearch(plan, clock=time.monotonic)
        while (request := search.next_round()) is not None:
            search.record(run(request))
        result = search.result()

    ``result()`` may be asked for at any time: after Ctrl-C it is what is known so far.
    """

    def __init__(self, plan: CapacityPlan, clock: Callable[[], float] | None = None) -> None:
        """``clock`` gives seconds; without one, each round counts as long as it was planned, without its rest.

        What counts is the time from the request for a round to its outcome: searches of two versions may alternate.
        """
        self.plan = plan
        self.rounds: list[CapacityRound] = []
        """Those that were recorded."""
        self._evidence = RoundEvidence(plan)
        self._clock = clock
        self._spent_s = 0.0
        self._next: RoundRequest | None = None
        self._next_since = 0.0
        self._stopped: str | None = None
        self._confirmed: float | None = None
        self._length = 1.0
        self._to_refine = plan.refining
        """Rounds that may still come before the confirming one."""
        self._sides = 0
        self._chance = 1.0
        """The probability that the confirming rounds which failed did so by chance."""
        self._doubted_from: int | None = None
        """The number of rounds after which short ones were left out; None if they count."""

    def next_round(self) -> RoundRequest | None:
        """The round that comes next; the same one until its outcome is recorded. None when the search is over."""
        if self._next is None and self._stopped is None:
            self._next = self._affordable(self._choose())
            self._next_since = self._clock() if self._clock else 0.0
        return self._next

    def record(self, outcome: RoundOutcome) -> None:
        """What came of the round that ``next_round`` returned. ``ValueError`` if there is none."""
        request, self._next = self._next, None
        if request is None:
            raise ValueError("there is no round to record: ask for one with next_round() first")
        self._spent_s += self._clock() - self._next_since if self._clock else request.duration_s
        expected = self._evidence.fails_at(request.level)
        self.rounds.append(CapacityRound(request, outcome))
        self._evidence.add(self.rounds[-1])
        if request.kind in (BISECTION, LONGER):
            self._to_refine -= 1
        if request.kind == LONGER:
            self._length = max(self._length, LONGER_LENGTH)
        if request.kind == CONFIRMING:
            self._note_confirming(request, outcome, expected)

    def stop(self, reason: str) -> None:
        """End the search: the target did not recover within its rest, or the user interrupted it."""
        self._next = None
        self._stopped = self._stopped or reason

    def result(self) -> CapacityResult:
        """The capacity by the rounds so far."""
        return conclude_search(self.plan, self._evidence, self.rounds, self._confirmed, self._stopped)

    def _note_confirming(self, request: RoundRequest, outcome: RoundOutcome, expected: float) -> None:
        """A confirming round that fails is evidence like any other; several that were to hold are a contradiction.

        Then what short rounds show is not what the target can keep up, and they do not count where they held.
        """
        if self.rounds[-1].is_within:
            self._confirmed = request.level
        elif outcome.state != GENERATOR_LIMITED:
            self._to_refine = max(self._to_refine, 0) + AFTER_FAILED
            self._chance *= expected
        if self._chance < BY_CHANCE and self._doubted_from is None:
            self._doubted_from, self._length = len(self.rounds), CONFIRMING_LENGTH
            self._to_refine = self.plan.refining
            self._evidence.leave_out(self._is_doubtful)

    def _is_doubtful(self, done: CapacityRound) -> bool:
        return done.request.kind != CONFIRMING and done.outcome.state != FAILS

    def _choose(self) -> RoundRequest | None:
        """The next step of the search, whatever its cost; None at its end."""
        evidence, plan = self._evidence, self.plan
        if self._confirmed is not None:
            return None
        if not self.rounds:
            return self._request(DOUBLING, plan.start)
        if (again := self._again()) is not None:
            return again
        if evidence.ceiling is not None and evidence.is_beyond_generator:
            return self._below_generator(evidence.ceiling)
        if evidence.is_bounded:
            return self._refine()
        highest, lowest = evidence.highest_within, evidence.lowest_beyond
        if highest is not None:
            return self._upwards(highest)
        return None if lowest is None else self._downwards(min(lowest, evidence.ceiling or lowest))

    def _again(self) -> RoundRequest | None:
        """The last round once more, if it did not say enough: longer, or where the generator may only have stumbled."""
        request, outcome = self.rounds[-1].request, self.rounds[-1].outcome
        goes_on = request.kind == DOUBLING and self.rounds[-1].is_within  # higher rates will tell
        if outcome.state == UNDECIDED and self._length == 1 and request.kind in (DOUBLING, BISECTION) and not goes_on:
            return self._request(LONGER, request.level, LONGER_LENGTH)
        if outcome.state != GENERATOR_LIMITED:
            return None
        before = self.rounds[-2] if len(self.rounds) > 1 else None
        if before and before.outcome.state == GENERATOR_LIMITED and before.request.level == request.level:
            return None
        return replace(request, number=len(self.rounds) + 1, rest=self._rest())

    def _upwards(self, highest: float) -> RoundRequest | None:
        """Twice as high; where that ends, once more and then longer: a single round may hold by chance."""
        up_to = self.plan.up_to
        if highest < up_to or self._evidence.levels(True).count(up_to) < ROUNDS_AT_THE_END - 1:
            return self._request(DOUBLING, min(2 * highest, up_to), self._length)
        return self._confirm(up_to)

    def _downwards(self, lowest: float) -> RoundRequest | None:
        """Half as high; where a long round failed that was to hold, in small steps that grow."""
        factor = 2.0
        if self._doubted_from is not None:
            steps = len(self.rounds) - self._doubted_from
            factor = min(factor, (1 + 2 * self.plan.precision) ** 2**steps)
        level = self.plan.rounded(lowest / factor)
        if level >= lowest or level < self._evidence.lowest:
            return None
        return self._request(DOUBLING, level, self._length)

    def _below_generator(self, ceiling: float) -> RoundRequest | None:
        """The target may have a limit between what held and the generator's."""
        tried = {each.request.level for each in self.rounds if each.outcome.state == GENERATOR_LIMITED}
        highest = self._evidence.highest_within
        if highest is None or len(tried) >= GENERATOR_TRIES or ceiling <= highest * (1 + 2 * self.plan.precision):
            return None
        held_below = sum(level > ceiling / 2 for level in self._evidence.levels(True))
        if held_below > GENERATOR_TRIES:
            return None
        return self._request(BISECTION, self.plan.rounded(math.sqrt(highest * ceiling)), self._length)

    def _refine(self) -> RoundRequest | None:
        """Bisection in the middle of the interval; on its sides when it is narrow, which shows how large noise is."""
        low, middle, high = self._evidence.interval()
        is_last = len(self.rounds) >= self.plan.max_rounds - 1
        if self._to_refine <= 0 or is_last or self.plan.is_precise(low, high):
            return self._confirm(low)
        level = middle
        if math.log(high / low) < _WIDE:
            self._sides += 1
            level = self._evidence.quantile(_SIDES[self._sides % 2])
        highest = self.plan.up_to
        if self._evidence.ceiling is not None:
            highest = min(highest, self._evidence.ceiling / (1 + self.plan.precision))
        request = self._request(BISECTION, self.plan.rounded(min(level, highest)), self._length)
        confirming_s = self.plan.settle_s + self.plan.measured_s(low, CONFIRMING_LENGTH, is_near=True)
        return request if self._fits(request, confirming_s) else self._confirm(low)

    def _confirm(self, level: float) -> RoundRequest | None:
        """A longer round at the lower end: the level that the verdict depends on."""
        tried = sum(each.request.kind == CONFIRMING for each in self.rounds)
        if tried >= MOST_CONFIRMING:
            return None
        return self._request(CONFIRMING, self.plan.rounded_down(level), CONFIRMING_LENGTH)

    def _request(self, kind: Kind, level: float, length: float = 1.0) -> RoundRequest:
        plan = self.plan
        return RoundRequest(
            number=len(self.rounds) + 1,
            kind=kind,
            by=plan.by,
            level=level,
            settle_s=plan.settle_s,
            measured_s=plan.measured_s(level, length, is_near=kind != DOUBLING),
            rest=self._rest(),
        )

    def _rest(self) -> Rest | None:
        """After a round that did not hold, the target may still be busy with it."""
        if not self.rounds or self.rounds[-1].outcome.state == HOLDS:
            return None
        held = [each for each in self.rounds if each.outcome.state == HOLDS]
        medians = [each.outcome.p50_ms for each in held if each.outcome.p50_ms is not None]
        level = min((each.request.level for each in held), default=self._trickle())
        latency_ms = min(medians) * _BACK + _BACK_MS if medians else None
        return Rest(min(level, self.plan.start), latency_ms, REST_STEPS * self.plan.step_s)

    def _trickle(self) -> float:
        """Where nothing held yet: enough to see within a step whether the target is back, and little beside a round."""
        if self.plan.is_by_users:
            return 1.0
        return max(self.plan.lowest, min(FEWEST_ITERATIONS / self.plan.step_s, self.plan.start / 4))

    def _affordable(self, request: RoundRequest | None) -> RoundRequest | None:
        """The round, if there are rounds and time left for it; else the search stops."""
        if request is None:
            return None
        if len(self.rounds) >= self.plan.max_rounds:
            self.stop(f"after {self.plan.max_rounds} rounds, the maximum (max_rounds)")
        elif not self._fits(request):
            self.stop(f"the next round might not end within {format_duration(self.plan.longest())} (max_time)")
        return request if self._stopped is None else None

    def _fits(self, request: RoundRequest, after_s: float = 0.0) -> bool:
        """Whether it ends in time, with its rest, and something of ``after_s`` seconds after it."""
        rest_s = 0.0 if request.rest is None else request.rest.longest_s
        return self._spent_s + rest_s + request.duration_s + after_s <= self.plan.longest()
