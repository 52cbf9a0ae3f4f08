"""Runs the capacity searches of a session by the results of their loads: what comes next, and the verdict. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pytest_ipload.base.units import format_duration
from pytest_ipload.capacity.capacity_change import CapacityLimit, judge_versions
from pytest_ipload.capacity.capacity_result import GENERATOR, INVALID, PASSED, UNDECIDED, CapacityResult
from pytest_ipload.capacity.round_judge import outcome_of
from pytest_ipload.capacity.search import CapacitySearch
from pytest_ipload.capacity.search_plan import CapacityPlan
from pytest_ipload.capacity.search_round import CONFIRMING, GENERATOR_LIMITED, HOLDS, USERS, CapacityRound, Rest
from pytest_ipload.capacity.search_turn import SearchTurn, look_s
from pytest_ipload.capacity.search_verdict import remarks_on
from pytest_ipload.verdict.conclude import conclude
from pytest_ipload.verdict.conclusion import Conclusion
from pytest_ipload.verdict.decide import with_comparisons
from pytest_ipload.verdict.result import ERROR, FAILED, LoadResult
from pytest_ipload.verdict.rounds import BASE, CURRENT
from pytest_ipload.verdict.shard_result import ShardResult

Settle = Callable[[LoadResult], LoadResult]
"""The comparison with saved runs, and what plugins say."""


@dataclass
class _Side:
    """The search for one version's capacity."""

    role: str
    plan: CapacityPlan
    results: list[LoadResult] = field(default_factory=list)
    """Those of the recorded rounds, in their order."""
    spent_s: float = 0.0
    """How long its loads have taken, with all that is between them: the time of the other version does not count."""
    rested_s: float = 0.0
    """How long the target has had a trickle before the next round."""
    is_rested: bool = False
    """Whether it is back."""
    shown: LoadResult | None = None
    """Of the last load, whatever it was."""

    def __post_init__(self) -> None:
        """The search asks for its first round, which all processes know."""
        self.search = CapacitySearch(self.plan, clock=lambda: self.spent_s)
        self.search.next_round()


@dataclass
class _Progress:
    """One test."""

    sides: list[_Side]
    turn: SearchTurn
    since_s: float | None = None
    """When the load of this turn was requested; None for the first one."""

    def next_turn(self) -> SearchTurn | None:
        """What comes next; the versions alternate. None when all searches are over."""
        for side in sorted(self.sides, key=lambda each: len(each.search.rounds)):
            request = side.search.next_round()
            if request is None:
                continue
            turn = replace(self.turn, number=self.turn.number + 1, role=side.role, request=request, look_s=None)
            rest = request.rest
            if rest is not None and not side.is_rested:
                if side.rested_s >= rest.longest_s:
                    side.search.stop(_not_back(rest, side))
                    return self.next_turn()
                turn = replace(turn, look_s=look_s(turn.plan, rest, side.rested_s))
            self.turn = turn
            return turn
        return None

    def side(self, role: str) -> _Side:
        return next(each for each in self.sides if each.role == role)

    def take(self, result: LoadResult, now_s: float) -> None:
        """The result of the load of this turn."""
        side, turn = self.side(self.turn.role), self.turn
        side.shown = result
        side.spent_s += result.duration_s if self.since_s is None else now_s - self.since_s
        self.since_s = now_s
        outcome = outcome_of(result)
        if turn.is_rest:
            rest = turn.request.rest
            side.rested_s += turn.duration_s
            side.is_rested = rest is not None and rest.is_over(outcome.p50_ms, result.failed_iterations)
            return
        side.search.record(outcome)
        side.results.append(result)
        side.rested_s, side.is_rested = 0.0, False


class Searches:
    """The searches that are in progress, by their tests."""

    def __init__(
        self,
        settle: Settle = lambda result: result,
        limits: Sequence[CapacityLimit] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``limits`` compare the current version with the base version."""
        self._settle = settle
        self._limits = limits
        self._clock = clock
        self._running: dict[str, _Progress] = {}
        self.found: CapacityResult | None = None
        """What the last search found."""

    def judge(self, part: ShardResult) -> Conclusion:
        """The verdict on a search after one of its loads; not final, and with what follows, if it goes on."""
        turn = SearchTurn.from_text(part.search or "")
        progress = self._running.get(part.nodeid)
        if progress is None or turn.number == 0:
            progress = self._running[part.nodeid] = self._begin(turn)
        progress.turn = turn
        result = conclude(replace(part, strict=False))
        ended_by = part.broken_off or part.error
        if ended_by is None:
            progress.take(result, self._clock())
            following = progress.next_turn()
            if following is not None:
                return Conclusion(result.verdict, is_final=False, following=following.to_text())
        else:
            progress.side(turn.role).shown = result
        end = None if ended_by is None else (ERROR if part.error else INVALID, ended_by)
        return Conclusion.of(self._final(self._running.pop(part.nodeid), strict=part.strict, end=end))

    def unfinished(self, nodeid: str, reason: str) -> Conclusion | None:
        """What is known of a search that ended between two loads; None if there was none."""
        progress = self._running.pop(nodeid, None)
        if progress is None or all(side.shown is None for side in progress.sides):
            return None
        return Conclusion.of(self._final(progress, strict=False, end=(ERROR, reason)))

    def _begin(self, turn: SearchTurn) -> _Progress:
        roles = roles_of(turn.against)
        return _Progress([_Side(role, turn.plan) for role in roles], turn)

    def _final(self, progress: _Progress, *, strict: bool, end: tuple[str, str] | None) -> LoadResult:
        """The result of the test: that of the round at its capacity, with the search.

        ``end`` is the verdict on a search that was ended early, and by what.
        """
        if end is not None:
            for each in progress.sides:
                each.search.stop(end[1])
        side, plan = progress.side(CURRENT), progress.turn.plan
        found = self.found = side.search.result()
        shown = _representative(side, found)
        number, chosen = shown or (None, next(each.shown for each in reversed(progress.sides) if each.shown))
        height = {"users": round(plan.up_to)} if plan.by == USERS else {"arrival_rate": plan.up_to}
        times = {"duration_s": plan.settle_s + plan.step_s, "warmup_s": plan.settle_s}
        verdict, reason = end or (FAILED if strict and found.verdict == UNDECIDED else found.verdict, found.reason)
        more = {"round": number, "remarks": [*plan.remarks(), *remarks_on(plan, found)]}
        result = replace(
            chosen,
            verdict=verdict,
            reason="" if verdict == PASSED else reason if reason in found.reason else f"{reason}; {found.reason}",
            profile={**chosen.profile, **height, **times},
            aborted_s=None,
            capacity={**found.as_dict(), **{key: value for key, value in more.items() if value}},
        )
        if progress.turn.against and end is None:
            result = self._compared(result, found, progress.side(BASE), strict=strict)
        return self._settle(result)

    def _compared(self, result: LoadResult, found: CapacityResult, base: _Side, *, strict: bool) -> LoadResult:
        """With the difference to the base version, whose search is shown too."""
        other = base.search.result()
        limits: Sequence[CapacityLimit | None] = self._limits or [None]
        judged = [judge_versions(limit, found, other, strict=strict) for limit in limits]
        result = replace(result, capacity={**(result.capacity or {}), "base": other.as_dict()})
        if None in judged:
            result = _without_comparison(result, found, other, is_limited=bool(self._limits), strict=strict)
        # a round that the generator limited did not count in the searches, so nothing of it is left to excuse
        return with_comparisons(result, [each for each in judged if each is not None], saturated=())


def roles_of(against: bool) -> list[str]:
    """The versions of a search, in the order of their first rounds."""
    return [BASE, CURRENT] if against else [CURRENT]


def first_turn(plan: CapacityPlan, against: bool) -> SearchTurn:
    """The load that a search begins with."""
    request = CapacitySearch(plan).next_round()
    assert request is not None
    return SearchTurn(0, plan, against, roles_of(against)[0], request)


def _representative(side: _Side, found: CapacityResult) -> tuple[int, LoadResult] | None:
    """The round that shows the target at its capacity, and its result: the confirming one, or the highest that held.

    Where the generator was the limit it is the one that says so; where none held, the last one.
    """
    rounds = list(zip(side.search.rounds, side.results, strict=True))
    if found.limited_by == GENERATOR:
        rounds = [each for each in rounds if each[0].outcome.state == GENERATOR_LIMITED] or rounds
    elif held := [each for each in rounds if _is_held(each[0])]:
        rounds = sorted(held, key=lambda each: (each[0].request.kind == CONFIRMING, each[0].request.level))
    if not rounds:
        return None
    done, result = rounds[-1]
    return done.request.number, result


def _without_comparison(
    result: LoadResult, found: CapacityResult, base: CapacityResult, *, is_limited: bool, strict: bool
) -> LoadResult:
    """Says so. A limit that could not be judged is undecided, which passes unless ``strict``."""
    unknown = [name for name, each in (("current", found), ("base", base)) if each.rate is None]
    note = f"capacity: not compared, as that of the {' and the '.join(unknown)} version is unknown"
    capacity = result.capacity or {}
    result = replace(result, capacity={**capacity, "remarks": [*capacity.get("remarks", ()), note]})
    if not is_limited or result.verdict != PASSED:
        return result
    return replace(result, verdict=FAILED if strict else UNDECIDED, reason=f"undecided: {note}; {found.reason}")


def _is_held(done: CapacityRound) -> bool:
    """Whether a round held; a confirming one confirms if all values are within their limits."""
    return done.outcome.state == HOLDS or (done.request.kind == CONFIRMING and done.is_within is True)


def _not_back(rest: Rest, side: _Side) -> str:
    latency = "" if rest.latency_ms is None else f": its median latency is still above {rest.latency_ms:.3g} ms"
    if side.shown is not None and side.shown.failed_iterations:
        latency = f": iterations still fail, even at {side.plan.format(rest.level)}"
    after = f" after round {len(side.search.rounds)}" if side.search.rounds else ""
    return f"the target did not recover within {format_duration(side.rested_s)}{after}{latency}"
