"""The verdict on a load, and what comparisons and plugins make of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_ipload.base.health_catalogue import SATURATED
from pytest_ipload.verdict.regression.comparison import Compare, ComparedWith, Comparison, failed_of
from pytest_ipload.verdict.result import ERROR, FAILED, INVALID, PASSED, LoadResult, failures_of
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult

Review = Callable[[LoadResult], Sequence[str]]
"""Reasons against a result that was judged; empty if there are none."""


def decide(
    thresholds: Sequence[ThresholdResult], invalid: Sequence[str], in_spite_of: Sequence[str] = ()
) -> tuple[str, str]:
    """The verdict and its reason. What makes the measurement invalid comes before what it says.

    ``in_spite_of`` is what flattered the target, which failed all the same.
    """
    if invalid:
        return INVALID, "; ".join(invalid)
    failed = failures_of(thresholds)
    return (FAILED, "; ".join([*failed, *map("although {}".format, in_spite_of)])) if failed else (PASSED, "")


def compared(result: LoadResult, compare: Compare) -> LoadResult:
    """The result, compared. One that is invalid, or was broken off, stays as it is: it is not what was planned."""
    if result.verdict == INVALID or result.aborted_s is not None:
        return result
    return with_comparisons(result, *compare(result.as_dict()))


def settled(result: LoadResult, compare: Compare | None, review: Review | None) -> LoadResult:
    """The result when all have been heard: the saved runs that it is compared with, then plugins with their reasons.

    An error is no result that anybody could judge.
    """
    if result.verdict == ERROR:
        return result
    if compare is not None:
        result = compared(result, compare)
    return result if review is None else result.with_objections(review(result))


def saturation_of(result: LoadResult) -> list[str]:
    """What the health checks say that make latencies worthless as a complaint."""
    checks = zip(result.generator.checks, result.generator.notes, strict=True)
    return [note for check, note in checks if check.severity == SATURATED]


def with_comparisons(
    result: LoadResult,
    comparisons: Sequence[Comparison],
    baseline: ComparedWith | None = None,
    saturated: Sequence[str] | None = None,
) -> LoadResult:
    """The result with these comparisons: a regression fails it.

    A saturated generator makes latencies too high and rates too low. If one regressed then, the measurement is invalid,
    as it is where one is beyond the limit of a threshold (``health_rule``). ``saturated`` is what says so, if not the
    result alone.
    """
    result = replace(result, comparisons=comparisons, baseline=baseline)
    failed = failed_of(comparisons)
    if not failed or result.verdict == INVALID:
        return result
    saturated = saturation_of(result) if saturated is None else saturated
    excused = [each.message for each in failed if each.unit in ("ms", "1/s") and each.current is not None]
    if saturated and excused:
        return replace(result, verdict=INVALID, reason="; ".join([*saturated, *excused]))
    reason = "; ".join(filter(None, [result.reason, *(each.message for each in failed)]))
    return replace(result, verdict=FAILED, reason=reason)
