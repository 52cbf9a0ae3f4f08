"""Judges a value against those of other runs. Pure.

The unit of comparison is the run, not the request. Requests of one run share its circumstances (other load on the
machine, memory layout), so a test over requests takes each of these for a change. The rules were tried on simulated
runs (benchmarks/baselines.py): how often they raise a false alarm, and what they find, is in docs/baselines.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from pytest_ipload.base.units import format_percent
from pytest_ipload.stats.rank_test import p_larger, shift
from pytest_ipload.verdict.regression.comparison import Comparison
from pytest_ipload.verdict.regression.limit import CompareLimit, format_reported, report_unit
from pytest_ipload.verdict.regression.outlier import gap_share
from pytest_ipload.verdict.threshold.expression import Metric

ENOUGH_RUNS = 8
"""The number of saved runs from which on their spread is known well enough to judge by."""
FALSE_ALARMS = 0.01
"""The probability of a false alarm in a whole session, if runs differ by normally distributed noise alone."""
FEWEST_ROUNDS = 4
"""Rounds per side below which no difference is significant: with 3 and 3, one ranking in 20 is the extreme one."""
SIGNIFICANT = 0.05
RECENT_RUNS = 8
"""The current run and the newest saved ones, which are compared with the oldest: two or three of them would not do."""
_FEW_RUNS = f"it takes {ENOUGH_RUNS} saved runs to tell a change from noise"
_AS_FAR_APART = "the saved runs vary too much"


def describe(metric: Metric, current: float, saved: Sequence[float]) -> Comparison:
    """Where a value lies relative to those of saved runs, of which there is at least one. Nothing is judged."""
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


def judge_history(
    limit: CompareLimit, current: float, saved: Sequence[float], *, comparisons: int = 1, strict: bool = False
) -> Comparison:
    """Judge one run's value against those of saved runs, of which there is at least one.

    With 8 or more it is a regression if it is worse than their median by more than the limit, and worse than the worst
    of them by more than a share of their range (see ``outlier``), chosen so that in a session of ``comparisons``
    comparisons a false alarm has a probability of 1 %. A value beyond the limit, but not that far beyond the saved
    runs, is undecided; with fewer runs, any value beyond the limit is. Undecided passes, unless ``strict``.
    """
    middle, metric = median(saved), limit.metric
    allowed = limit.tolerance(middle)
    tolerance, method = _tolerance(limit, saved, comparisons)
    is_enough = len(saved) >= ENOUGH_RUNS
    regressed = is_enough and limit.is_beyond(current - middle, tolerance)
    undecided = limit.is_beyond(current - middle, allowed) and not regressed
    warning = None
    if undecided:
        warning = _undecided(_AS_FAR_APART if is_enough else _FEW_RUNS, strict)
    elif not is_enough:
        warning = f"fewer than {ENOUGH_RUNS} saved runs: nothing is a regression yet"
    notes = [f"median of {_counted(saved, 'run')}" if len(saved) > 1 else "1 run"]
    if len(saved) > 1:
        notes[0] += f", MAD {format_reported(metric, median(abs(value - middle) for value in saved))}"
    if tolerance > allowed:
        notes[0] += f", noise alone explains up to {_as_share(metric, tolerance, middle)}"
    return replace(
        describe(metric, current, saved),
        limit=limit.text,
        tolerance=tolerance,
        regressed=regressed,
        undecided=undecided,
        passed=not (regressed or (undecided and strict)),
        method=method,
        warning=warning,
        message=_message(_beside(metric, current, middle, current - middle), limit, notes, warning),
    )


def judge_creep(
    limit: CompareLimit, recent: Sequence[float], oldest: Sequence[float], *, comparisons: int = 1
) -> Comparison | None:
    """Judge a run and those before it, the newest first, against the oldest saved ones: small steps add up.

    It is a regression if this run is worse than the median of the oldest ones by more than the limit, the recent ones
    as a whole are too (Hodges-Lehmann shift), and an exact one-sided Mann-Whitney test says that they are worse: by
    chance, whatever the noise, this happens in 1 % of sessions of ``comparisons`` comparisons. None if it is not one.
    """
    current, middle, metric = recent[0], median(oldest), limit.metric
    tolerance, difference = limit.tolerance(middle), shift(recent, oldest)
    if not (limit.is_beyond(current - middle, tolerance) and limit.is_beyond(difference, tolerance)):
        return None
    p_value = _p_worse(limit, recent, oldest)
    if p_value >= FALSE_ALARMS / comparisons:
        return None
    sides = f"the newest {len(recent)} runs against the oldest {len(oldest)}"
    notes = [sides, f"p = {p_value:.2g}"]
    return replace(
        describe(metric, current, oldest),
        limit=limit.text,
        tolerance=tolerance,
        regressed=True,
        passed=False,
        method="limit against the Hodges-Lehmann shift, and exact Mann-Whitney test, of the newest and the oldest runs",
        p_value=p_value,
        message=_message(_beside(metric, current, middle, current - middle), limit, notes, None),
    )


def judge_rounds(
    limit: CompareLimit, current: Sequence[float], base: Sequence[float], *, strict: bool = False
) -> Comparison:
    """Judge the values of rounds against those of base rounds, run alternately; at least one per side.

    It is a regression if the rounds are worse by more than the limit (Hodges-Lehmann shift) and an exact one-sided
    Mann-Whitney test says that they are worse (p < 0.05). Fewer than 4 rounds per side, or a shift beyond the
    limit that is not significant, are undecided. Undecided passes, unless ``strict``.
    """
    middle, metric = median(base), limit.metric
    difference, tolerance = shift(current, base), limit.tolerance(middle)
    is_beyond = limit.is_beyond(difference, tolerance)
    fewest = min(len(current), len(base))
    p_value, why = None, None
    if fewest < FEWEST_ROUNDS:
        why = f"it takes {FEWEST_ROUNDS} rounds a side to tell a change from noise"
    else:
        p_value = _p_worse(limit, current, base)
        if is_beyond and p_value >= SIGNIFICANT:
            why = "the difference may be noise; run more rounds"
    warning = None if why is None else _undecided(why, strict)
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
        regressed=is_beyond and why is None,
        undecided=why is not None,
        passed=not (is_beyond if why is None else strict),
        method="limit against the Hodges-Lehmann shift, and exact Mann-Whitney test",
        runs=len(base),
        p_value=p_value,
        warning=warning,
        message=_message(_beside(metric, median(current), middle, difference), limit, notes, warning),
    )


def without_samples(limit: CompareLimit, saved: Sequence[float]) -> Comparison:
    """The judgement where a run has no samples to compare with the saved values: a regression, as they had some."""
    middle, metric = median(saved), limit.metric
    return Comparison(
        metric=metric.text,
        unit=limit.unit,
        current=None,
        baseline=middle,
        change=None,
        limit=limit.text,
        regressed=True,
        passed=False,
        method="median",
        runs=len(saved),
        message=f"{metric.text}: no samples, the baseline's is {format_reported(metric, middle)} ({limit.limit_text})",
    )


def _tolerance(limit: CompareLimit, saved: Sequence[float], comparisons: int) -> tuple[float, str]:
    """How much worse than the median of the saved runs a value may be, and by which method."""
    middle, number = median(saved), len(saved)
    if number < ENOUGH_RUNS:
        return limit.tolerance(middle), "limit against the median"
    share = gap_share(number, FALSE_ALARMS / comparisons)
    worst = max(limit.worse_by(value - middle) for value in saved)
    noise = worst + share * (max(saved) - min(saved))
    method = f"limit against the median, and worse than all runs by {share:.2g} of their range"
    return limit.tolerance(middle, noise), method


def _undecided(why: str, strict: bool) -> str:
    return f"undecided{', a failure in a strict session' if strict else ''}: {why}"


def _p_worse(limit: CompareLimit, values: Sequence[float], others: Sequence[float]) -> float:
    """The probability that values from the same distribution are this much worse than the others."""
    return p_larger(others, values) if limit.lower_is_worse else p_larger(values, others)


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
