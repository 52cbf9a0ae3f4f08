"""Judges a value by those of other runs. Pure.

The unit of comparison is the run, not the request. Requests of one run share its luck (the machine's neighbours, the
layout of memory), so a test over them takes each such luck for a change. Both rules were tried out on runs that differ
by 5 % without any change (benchmarks/baselines.py): how often they cry wolf, and what they find, is in
docs/baselines.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from pytest_ipload.units import format_percent
from pytest_ipload.verdict.compare_limit import CompareLimit, format_reported, report_unit
from pytest_ipload.verdict.comparison import Comparison
from pytest_ipload.verdict.expression import Metric
from pytest_ipload.verdict.mann_whitney import p_larger, shift

ENOUGH_RUNS = 8
"""Saved runs from which on their spread is known well enough to judge by it."""
FEWEST_ROUNDS = 4
"""Rounds a side below which no difference is significant: of 3 and 3, one dealing of ranks in 20 is the extreme one."""
SIGNIFICANT = 0.05
_SIGMAS = 3
_SIGMA_PER_MAD = 1.4826
"""1 / NormalDist().inv_cdf(0.75): the standard deviation of normally distributed values by their median deviation."""


def describe(metric: Metric, current: float, saved: Sequence[float]) -> Comparison:
    """Where a value lies beside those of saved runs, of which there is at least one. Nothing is judged."""
    middle = median(saved)
    noted = f"median of {_counted(saved, 'run')}" if len(saved) > 1 else "1 run"
    return Comparison(
        metric=metric.text,
        unit=report_unit(metric),
        current=current,
        baseline=middle,
        change=_change(current - middle, middle),
        method="median",
        runs=len(saved),
        message=f"{_beside(metric, current, middle, current - middle)} ({noted})",
    )


def judge_history(limit: CompareLimit, current: float, saved: Sequence[float]) -> Comparison:
    """Judge one run's value by those of saved runs, of which there is at least one.

    With 8 or more it is a regression if it is worse than their median by more than the limit, and by more than three
    standard deviations, which are taken from the median absolute deviation (1.4826 MAD). With fewer their spread is
    not known: then the limit alone decides, and ``warning`` says what that is worth.
    """
    middle, metric = median(saved), limit.metric
    deviation = median(abs(value - middle) for value in saved)
    if len(saved) < ENOUGH_RUNS:
        tolerance, method = limit.tolerance(middle), "limit against the median"
        warning = f"fewer than {ENOUGH_RUNS} saved runs: noise may pass for a change"
    else:
        tolerance = limit.tolerance(middle, _SIGMAS * _SIGMA_PER_MAD * deviation)
        method, warning = "limit and 3 scaled MAD against the median", None
    notes = [f"median of {_counted(saved, 'run')}" if len(saved) > 1 else "1 run"]
    if len(saved) > 1:
        notes[0] += f", MAD {format_reported(metric, deviation)}"
    if tolerance > limit.tolerance(middle):
        notes[0] += f", whose noise makes up to {_as_share(metric, tolerance, middle)}"
    return replace(
        describe(metric, current, saved),
        limit=limit.text,
        tolerance=tolerance,
        regressed=limit.is_beyond(current - middle, tolerance),
        method=method,
        warning=warning,
        message=_message(_beside(metric, current, middle, current - middle), limit, notes, warning),
    )


def judge_rounds(limit: CompareLimit, current: Sequence[float], base: Sequence[float]) -> Comparison:
    """Judge the values of rounds by those of other rounds that were run in turns with them, at least one a side.

    It is a regression if the rounds are worse by more than the limit (Hodges-Lehmann shift) and an exact one-sided
    Mann-Whitney test says that they are worse at all (p < 0.05). Fewer than 4 rounds a side, or a shift beyond the
    limit that is not significant, are undecided.
    """
    middle, metric = median(base), limit.metric
    difference, tolerance = shift(current, base), limit.tolerance(middle)
    is_beyond = limit.is_beyond(difference, tolerance)
    fewest = min(len(current), len(base))
    p_value, warning = None, None
    if fewest < FEWEST_ROUNDS:
        warning = f"undecided: it takes {FEWEST_ROUNDS} rounds a side to tell noise from change"
    else:
        worse, better = (base, current) if limit.lower_is_worse else (current, base)
        p_value = p_larger(worse, better)
        if is_beyond and p_value >= SIGNIFICANT:
            warning = "undecided: noise alone may make such a difference, more rounds would tell"
    sides = (
        f"{_rounds(len(base))} a side" if len(current) == len(base) else f"{_rounds(len(current))} against {len(base)}"
    )
    notes = [sides, *([] if p_value is None else [f"p = {p_value:.2g}"])]
    return Comparison(
        metric=metric.text,
        unit=limit.unit,
        current=median(current),
        baseline=middle,
        change=_change(difference, middle),
        limit=limit.text,
        tolerance=tolerance,
        regressed=is_beyond and warning is None,
        undecided=warning is not None,
        method="limit against the Hodges-Lehmann shift, and exact Mann-Whitney test",
        runs=len(base),
        p_value=p_value,
        warning=warning,
        message=_message(_beside(metric, median(current), middle, difference), limit, notes, warning),
    )


def without_samples(limit: CompareLimit, saved: Sequence[float]) -> Comparison:
    """The judgement where there is nothing to compare with the saved runs' values: a regression, as it was there."""
    middle, metric = median(saved), limit.metric
    return Comparison(
        metric=metric.text,
        unit=limit.unit,
        current=None,
        baseline=middle,
        change=None,
        limit=limit.text,
        regressed=True,
        method="median",
        runs=len(saved),
        message=f"{metric.text}: no samples, the baseline's is {format_reported(metric, middle)} ({limit.limit_text})",
    )


def _beside(metric: Metric, current: float, middle: float, difference: float) -> str:
    """``p95 243 ms, 31 % above the baseline's 186 ms``."""
    shown = f"{metric.text} {format_reported(metric, current)}"
    base = f"the baseline's {format_reported(metric, middle)}"
    if difference == 0:
        return f"{shown}, the same as {base}"
    amount = f"{_as_share(metric, abs(difference), middle)} " if middle else ""
    return f"{shown}, {amount}{'above' if difference > 0 else 'below'} {base}"


def _message(what: str, limit: CompareLimit, notes: Sequence[str], warning: str | None) -> str:
    return f"{what} ({'; '.join([limit.limit_text, *notes, *([warning] if warning else [])])})"


def _as_share(metric: Metric, amount: float, middle: float) -> str:
    return format_percent(amount / middle) if middle else format_reported(metric, amount)


def _change(difference: float, middle: float) -> float | None:
    return difference / middle if middle else None


def _counted(values: Sequence[float], word: str) -> str:
    return f"{len(values)} {word}" + ("" if len(values) == 1 else "s")


def _rounds(number: int) -> str:
    return f"{number} round" + ("" if number == 1 else "s")
