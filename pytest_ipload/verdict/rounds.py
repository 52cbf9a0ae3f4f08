"""One load in several rounds: of one target, to see how its numbers vary, or of two, alternating, to compare them.

Each round is a whole load and is judged as one. Rounds of two targets alternate, and which of the two comes first
changes from pair to pair, so that a machine that gets slower and slower favours neither. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from pytest_ipload.stats.stacks import StackSamples
from pytest_ipload.stats.summary import plain
from pytest_ipload.verdict.decide import saturation_of, with_comparisons
from pytest_ipload.verdict.explanation import explain_versions
from pytest_ipload.verdict.regression.comparison import Comparison, failed_of
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.regression.metric_reader import value_of
from pytest_ipload.verdict.regression.rules import describe, judge_rounds, without_samples
from pytest_ipload.verdict.result import ERROR, INVALID, VERDICTS, LoadResult, RoundStats
from pytest_ipload.verdict.threshold.expression import Metric

CURRENT, BASE = "current", "base"
DEFAULT_ROUNDS = 5
"""Of each target, where two are compared: fewer than four cannot tell a change from noise."""
_SHOWN = ("p50", "p95", "p99", "rps")


@dataclass(frozen=True)
class RoundNote:
    """Which round a load is."""

    number: int
    """From 0."""
    count: int
    """The total number of rounds, of both targets."""
    role: str
    """``current``, or ``base`` for the target to compare with."""

    @property
    def is_last(self) -> bool:
        """Whether no round follows."""
        return self.number == self.count - 1


@dataclass(frozen=True)
class Round:
    """A round that was run."""

    note: RoundNote
    result: LoadResult
    stacks: StackSamples | None = None

    @property
    def is_unusable(self) -> bool:
        """Whether to skip the remaining rounds: this one was not carried out as planned."""
        return self.result.verdict in (INVALID, ERROR) or self.result.aborted_s is not None

    @property
    def has_answers(self) -> bool:
        """Whether a request succeeded: without one there is nothing to compare with."""
        return self.result.requests == 0 or self.result.failed_requests < self.result.requests


def plan_rounds(count: int, against: bool) -> list[RoundNote]:
    """The rounds in their order: ``count`` of the current target, and as many of the base, if there is one."""
    roles = [CURRENT] * count
    if against:
        roles = [role for pair in range(count) for role in ((BASE, CURRENT) if pair % 2 == 0 else (CURRENT, BASE))]
    return [RoundNote(number, len(roles), role) for number, role in enumerate(roles)]


def combine(rounds: Sequence[Round], limits: Sequence[CompareLimit], *, strict: bool = False) -> LoadResult:
    """The result of all rounds: that of one of the current target's rounds, with the comparison and the list of all.

    It is the round with the worst verdict; of several, the one with the median p95. A base round may fail its
    thresholds, but if one is invalid, or none of its requests succeeded, there is nothing to compare with, and the
    whole is invalid; if one ended in an error, so does the whole. In a ``strict`` session an undecided comparison
    fails.
    """
    current = [each for each in rounds if each.note.role == CURRENT]
    base = [each for each in rounds if each.note.role == BASE]
    chosen = _representative(current or base)
    result = replace(chosen.result, rounds=[_stats(each) for each in rounds])
    unusable = next((each for each in base if each.is_unusable or not each.has_answers), None)
    if unusable is not None and result.verdict not in (INVALID, ERROR):
        why = unusable.result.reason or "it was aborted"
        if not unusable.has_answers:
            why = f"all of its {unusable.result.requests} requests failed, so there is nothing to compare with"
        reason = f"round {unusable.note.number + 1}, of the base target: {why}"
        result = replace(result, verdict=ERROR if unusable.result.verdict == ERROR else INVALID, reason=reason)
    if current and base and result.verdict not in (INVALID, ERROR):
        saturated = list(dict.fromkeys(note for each in rounds for note in saturation_of(each.result)))
        result = with_comparisons(result, _compare(current, base, limits, strict), saturated=saturated)
        return _explained(result, current, base)
    return result


def _explained(result: LoadResult, current: Sequence[Round], base: Sequence[Round]) -> LoadResult:
    """With the functions that grew from the base to the current target, if a time has regressed."""
    sides = [[each.stacks for each in side if each.stacks is not None] for side in (current, base)]
    regressed = next((each.metric for each in failed_of(result.comparisons) if each.unit == "ms"), None)
    if regressed is None or not all(sides):
        return result
    return result.with_explanation(explain_versions(sides[0], sides[1], regressed))


def _compare(
    current: Sequence[Round], base: Sequence[Round], limits: Sequence[CompareLimit], strict: bool
) -> list[Comparison]:
    """By the limits; without any, the main numbers."""
    ours_plain, theirs_plain = ([plain(each.result) for each in side] for side in (current, base))
    found = []
    for limit in limits:
        ours, theirs = _values(limit.metric, ours_plain), _values(limit.metric, theirs_plain)
        if theirs:
            judged = judge_rounds(limit, ours, theirs, strict=strict) if ours else without_samples(limit, theirs)
            found.append(judged)
    for metric in [] if limits else map(Metric.parse, _SHOWN):
        ours, theirs = _values(metric, ours_plain), _values(metric, theirs_plain)
        if ours and theirs:
            found.append(describe(metric, median(ours), theirs))
    return found


def _values(metric: Metric, results: Sequence[Mapping[str, Any]]) -> list[float]:
    return [value for result in results if (value := value_of(metric, result)) is not None]


def _representative(rounds: Sequence[Round]) -> Round:
    worst = max(rounds, key=lambda each: VERDICTS.index(each.result.verdict)).result.verdict
    those = [each for each in rounds if each.result.verdict == worst]
    those.sort(key=lambda each: (each.result.latency.p95_ms or 0.0, each.note.number))
    return those[(len(those) - 1) // 2]


def _stats(each: Round) -> RoundStats:
    result = each.result
    return RoundStats(
        role=each.note.role,
        base_url=result.profile.get("base_url"),
        verdict=result.verdict,
        reason=result.reason,
        started_at=result.started_at,
        duration_s=result.duration_s,
        requests=result.requests,
        rps=result.rps,
        error_rate=result.error_rate,
        p50_ms=result.latency.p50_ms,
        p95_ms=result.latency.p95_ms,
        p99_ms=result.latency.p99_ms,
    )
