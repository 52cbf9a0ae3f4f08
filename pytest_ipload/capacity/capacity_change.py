"""Capacities compared: of two versions in one job, or with saved runs. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_ipload.base import units
from pytest_ipload.base.errors import SettingError
from pytest_ipload.capacity.capacity_result import GENERATOR, UP_TO, CapacityResult
from pytest_ipload.capacity.search_round import RATE, USERS
from pytest_ipload.verdict.regression.comparison import Comparison
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.regression.rules import describe, judge_history
from pytest_ipload.verdict.threshold.expression import Metric

_NAME = "capacity"
_LARGEST = 1e6


@dataclass(frozen=True)
class CapacityDifference:
    """By how much the capacity of the current version is higher than that of the base, as a fraction of the latter."""

    change: float
    """Below 0 if the capacity is lower."""
    low: float
    """The lower end of the 95 % interval of the change; -1 where nothing bounds it."""
    high: float
    """Its upper end; infinite where nothing bounds it."""


@dataclass(frozen=True)
class CapacityLimit:
    """By how much the capacity may be lower: ``capacity:10%``, or with a floor ``capacity:10%,20/s``."""

    text: str
    """Its normal form; it parses to an equal limit."""
    relative: float
    """As a fraction of the baseline."""
    floor: float | None = None
    """Per second, or users; smaller changes do not count, whatever their percentage. None without one."""

    @classmethod
    def parse(cls, text: str) -> CapacityLimit:
        """Read a limit. ``SettingError`` says which part is wrong, what was given and what is allowed."""
        name, colon, change = text.partition(":")
        first, *others = "".join(change.split()).split(",")
        if name.strip() != _NAME or not colon or len(others) > 1:
            raise SettingError(f"limit {text!r}: write it as in 'capacity:10%' or 'capacity:10%,20/s'")
        try:
            relative = units.parse_percent(first)
            floor = _parse_floor(others[0]) if others else None
        except ValueError as error:
            raise SettingError(f"limit {text!r}: {error}; the percentage comes first, then the floor") from None
        if not relative <= 1:
            raise SettingError(f"limit {text!r}: a capacity cannot be lower by more than 100%; got {first}")
        return cls(f"{_NAME}:{','.join([first, *others])}", relative, floor)

    def of(self, by: str) -> CompareLimit:
        """As a limit of rates, or of numbers of users."""
        return CompareLimit(self.text, _metric(by), self.relative, self.floor)


@dataclass(frozen=True)
class _CapacityMetric(Metric):
    """The capacity as something that runs are compared by: of the kind of ``rps``, as a lower one is worse."""

    by: str = RATE

    @property
    def text(self) -> str:
        return _NAME

    @property
    def unit(self) -> str:
        return "count" if self.by == USERS else "rate"

    def format(self, measured: float) -> str:
        return f"{super().format(measured)} users" if self.by == USERS else super().format(measured)


def is_capacity_limit(text: str) -> bool:
    """Whether a limit of ``--ipload-compare-fail`` is one of the capacity."""
    return text.partition(":")[0].strip() == _NAME


def difference(current: CapacityResult, base: CapacityResult) -> CapacityDifference | None:
    """The difference of two versions; None if one of them has no rate with its interval.

    The ends of the interval are those of the ratio of two independent values with intervals of their own, on a
    logarithmic scale. Source: G. Y. Zou and A. Donner, Construction of confidence limits about effect measures: a
    general approach, Statistics in Medicine 27 (2008), pages 1693-1702.
    """
    if current.by != base.by or not (current.rate and current.low and base.rate and base.low):
        return None
    ratio = math.log(current.rate / base.rate)
    below, above = math.log(current.rate / current.low), _upper(current)
    base_below, base_above = math.log(base.rate / base.low), _upper(base)
    return CapacityDifference(
        change=math.expm1(ratio),
        low=math.expm1(ratio - math.hypot(below, base_above)),
        high=math.expm1(ratio + math.hypot(above, base_below)),
    )


def judge_versions(
    limit: CapacityLimit | None, current: CapacityResult, base: CapacityResult, *, strict: bool = False
) -> Comparison | None:
    """Judge the capacity against that of the base version (``--ipload-against``); None if they cannot be compared.

    By the rule for rounds of two versions (``judge_rounds``): it is a regression if it is lower by more than the limit,
    and the interval of the difference says that it is lower. If only the former is so, it is undecided, which passes
    unless ``strict``. A search that ended at ``up_to`` is neither.
    """
    value, found = _value(current), difference(current, base)
    if value is None or base.rate is None:
        return None
    metric = _metric(current.by)
    shown = replace(describe(metric, value, [base.rate]), method="limit against the change, and its interval")
    notes = ["no round held" if found is None else _interval(found)]
    if limit is None:
        return replace(shown, message=_message(shown, notes))
    compared = limit.of(current.by)
    tolerance = compared.tolerance(base.rate)
    is_beyond = current.limited_by != UP_TO and compared.is_beyond(value - base.rate, tolerance)
    is_lower = found.high < 0 if found is not None else value < (base.low or 0)
    undecided = is_beyond and not is_lower
    warning = f"undecided{', a failure in a strict session' if strict else ''}: the difference may be noise"
    return replace(
        shown,
        limit=limit.text,
        tolerance=tolerance,
        regressed=is_beyond and is_lower,
        undecided=undecided,
        passed=not is_beyond or (undecided and not strict),
        warning=warning if undecided else None,
        message=_message(shown, [compared.limit_text, *notes, *([warning] if undecided else [])]),
    )


def judge_saved(
    limit: CapacityLimit | None, current: CapacityResult, saved: Sequence[CapacityResult], *, strict: bool = False
) -> Comparison | None:
    """Judge the capacity against those of saved runs (``--ipload-compare``); None if there is nothing to compare.

    By the rule for any value of a run (``judge_history``): runs differ by more than the rounds of one search do, so it
    takes several of them to tell a change from noise, however narrow an interval is.
    """
    value = _value(current)
    values = [each.rate for each in saved if each.rate is not None and each.by == current.by]
    if value is None or not values:
        return None
    if limit is None:
        return describe(_metric(current.by), value, values)
    return judge_history(limit.of(current.by), value, values, strict=strict)


def _metric(by: str) -> _CapacityMetric:
    return _CapacityMetric(None, "rps", None, None, by)


def _value(result: CapacityResult) -> float | None:
    """The rate, or where no round held, what the capacity is below; None if the generator was the limit."""
    return None if result.limited_by == GENERATOR else result.rate or (result.high if result.low is None else None)


def _upper(result: CapacityResult) -> float:
    """How far the upper end is above the rate."""
    return math.inf if result.high is None or not result.rate else math.log(result.high / result.rate)


def _interval(found: CapacityDifference) -> str:
    low, high = (f"{end * 100:+.3g} %" for end in (found.low, found.high))
    if not math.isfinite(found.high):
        return f"95 % confident of a change of {low} or more"
    return f"95 % CI of the change {low} to {high}"


def _message(shown: Comparison, notes: Sequence[str]) -> str:
    return f"{shown.message.partition(' (')[0]} ({'; '.join(notes)})"


def _parse_floor(text: str) -> float:
    value = units.parse_rate(text) if "/" in text else float(text) if text.isdecimal() else math.nan
    if not 0 <= value <= _LARGEST:
        raise ValueError(f"{text!r} is not a rate or a number of users, as in 20/s or 20")
    return value
