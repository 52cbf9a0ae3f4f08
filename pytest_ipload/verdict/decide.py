"""The verdict on a load, and how comparisons and plugins affect it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_ipload.base.health_catalogue import SATURATED
from pytest_ipload.verdict.health_rule import OF_GAPS
from pytest_ipload.verdict.regression.comparison import Compare, ComparedWith, Comparison, failed_of
from pytest_ipload.verdict.result import ERROR, FAILED, INVALID, PASSED, LoadResult, failures_of
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult

Review = Callable[[LoadResult], Sequence[str]]
"""Reasons to fail a judged result; empty if there are none."""


def decide(
    thresholds: Sequence[ThresholdResult], invalid: Sequence[str], in_spite_of: Sequence[str] = ()
) -> tuple[str, str]:
    """The verdict and its reason. Reasons that make the measurement invalid come before failed thresholds.

    ``in_spite_of`` is what flattered the target, which failed nevertheless.
    """
    if invalid:
        return INVALID, "; ".join(invalid)
    failed = failures_of(thresholds)
    return (FAILED, "; ".join([*failed, *map("although {}".format, in_spite_of)])) if failed else (PASSED, "")


def compared(result: LoadResult, compare: Compare) -> LoadResult:
    """The result with its comparisons. An invalid or aborted load keeps its verdict: it did not run as planned."""
    if result.verdict == INVALID or result.aborted_s is not None:
        return result
    return with_comparisons(result, *compare(result.as_dict()))


def settled(result: LoadResult, compare: Compare | None, review: Review | None) -> LoadResult:
    """The final result: after the comparison with saved runs, and then the plugins with their reasons.

    An error has no result to judge.
    """
    if result.verdict == ERROR:
        return result
    if compare is not None:
        result = compared(result, compare)
    return result if review is None else result.with_objections(review(result))


def saturation_of(result: LoadResult) -> list[str]:
    """The health checks which say that a high latency may be the generator's fault."""
    checks = zip(result.generator.checks, result.generator.notes, strict=True)
    return [note for check, note in checks if check.severity == SATURATED]


def with_comparisons(
    result: LoadResult,
    comparisons: Sequence[Comparison],
    baseline: ComparedWith | None = None,
    saturated: Sequence[str] | None = None,
) -> LoadResult:
    """The result with these comparisons: a regression fails it.

    A saturated generator makes latencies too high and rates too low. If one of them regressed, the measurement is
    invalid, as it is where a threshold's limit is exceeded (``health_rule``). ``saturated`` are the checks that say so,
    if not those of the result alone.
    """
    result = replace(result, comparisons=comparisons, baseline=baseline)
    failed = failed_of(comparisons)
    if not failed or result.verdict == INVALID:
        return result
    saturated = saturation_of(result) if saturated is None else saturated
    only_gaps = all(note.startswith(OF_GAPS) for note in saturated)
    excused = [
        each.message
        for each in failed
        if each.unit in ("ms", "1/s") and each.current is not None and (each.metric.startswith("gap.") or not only_gaps)
    ]
    if saturated and excused:
        return replace(result, verdict=INVALID, reason="; ".join([*saturated, *excused]))
    reason = "; ".join(filter(None, [result.reason, *(each.message for each in failed)]))
    return replace(result, verdict=FAILED, reason=reason)
