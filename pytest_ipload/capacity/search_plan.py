"""The settings of a capacity search: the keys of its marker, parsed and checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.units import format_duration, format_number, format_percent, format_setting, parse_percent
from pytest_ipload.capacity.search_round import RATE, USERS
from pytest_ipload.settings.parsing import as_count, as_positive_seconds, as_rate, as_seconds, did_you_mean, one_of
from pytest_ipload.stats.confidence import minimum_samples
from pytest_ipload.verdict.threshold.config import ThresholdConfig, with_implied
from pytest_ipload.verdict.threshold.expression import Threshold

CONFIDENCE = 0.95
"""Of the interval by which each round is judged, and of that of the result."""
LONGER_LENGTH = 2.0
"""How many times as long a round is that was undecided, and those after it."""
CONFIRMING_LENGTH = 3.0
"""How many times as long the confirming round is."""
MOST_FOR_SAMPLES = 3.0
"""How many times as long a round at a low rate may be, to have enough samples."""
FEWEST_ITERATIONS = 5.0
"""How many iterations the judged part of a round has at least: fewer say nothing about the target."""
MOST_ROUNDS = 24
"""Of a search with the usual precision."""
REST_STEPS = 3.0
"""How many steps a rest lasts at most."""
_SHORTEST_STEP_S = 0.2
_SETTLE_SHARE = 0.3
_USUAL_PRECISION, _USUAL_REFINING = 0.05, 8
_PRECISIONS = 0.005, 0.5
_FEWEST_REFINING, _MOST_REFINING = 6, 60
_FEWEST_ROUNDS, _LARGEST_LEVEL = 3, 1e6
_DEFAULT_START: Mapping[str, float] = {RATE: 10.0, USERS: 1.0}
_RANGE: Mapping[str, float] = {RATE: 1024.0, USERS: 64.0}
"""How many times its start a search goes up to without ``up_to``."""
_RESERVE = 1.5
"""Of the time: for rests, for iterations that end late, and for a target that takes its time."""
_ROUNDING = 1e-6
_GROWS_WITH_LOAD = frozenset({"requests", "iterations", "rps", "iterations_per_second", "count", "rate"})
_NOT_OF_TARGET = frozenset({"ip_pool_usage", "set_up_error_rate"})
_SHARES = frozenset({"error_rate", "request_error_rate"})
_BELOW = ("<", "<=", "==")


def as_precision(value: Any) -> float:
    """A percentage text, or (from Python only) a fraction: how far the ends of the interval may be from the rate."""
    if isinstance(value, str):
        fraction = parse_percent(value)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a percentage; write it as in '5%', or as the fraction 0.05")
    else:
        fraction = float(value)
    smallest, largest = _PRECISIONS
    if not smallest <= fraction <= largest:
        raise ValueError(
            f"{value!r} is out of range; give a precision from {format_percent(smallest)} to {format_percent(largest)},"
            " as in '5%'"
        )
    return fraction


def _as_users(value: Any) -> float:
    return float(as_count(value))


def _as_step(value: Any) -> float:
    seconds = as_positive_seconds(value)
    if seconds < _SHORTEST_STEP_S:
        raise ValueError(
            f"{value!r} is too short; give at least {format_setting(_SHORTEST_STEP_S)}, and 10s or more for an interval"
        )
    return seconds


def _as_rounds(value: Any) -> int:
    rounds = as_count(value)
    if rounds < _FEWEST_ROUNDS:
        raise ValueError(f"{value!r} is too few; a search takes at least {_FEWEST_ROUNDS} rounds, and usually 14")
    return rounds


_LEVELS = ("at_least", "start", "up_to")
_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "step": _as_step,
    "settle": as_seconds,
    "precision": as_precision,
    "by": one_of(RATE, USERS),
    "max_rounds": _as_rounds,
    "max_time": as_positive_seconds,
}
KEYS = (*_LEVELS, *_PARSERS)
"""The keys of the marker besides the expressions."""


@dataclass(frozen=True, kw_only=True)
class CapacityPlan:
    """A capacity search. Levels are iterations per second, or numbers of users; times are seconds."""

    expressions: tuple[str, ...]
    """The thresholds in their normal form; those that apply without being given are not among them."""
    by: str = RATE
    """``rate``: the highest arrival rate of the open model. ``users``: the most users of the closed model."""
    at_least: float | None = None
    """The promise. None: the search measures, and promises nothing."""
    start: float
    """The level of the first round."""
    up_to: float
    """The highest level that is tried."""
    step_s: float = 10.0
    """The judged part of a usual round."""
    settle_s: float = 3.0
    """The beginning of each round, which is not judged."""
    precision: float = _USUAL_PRECISION
    """How far the ends of the interval may be from the rate when the search ends, as a fraction of it."""
    max_rounds: int = MOST_ROUNDS
    max_time_s: float | None = None
    """The longest time that the search may take; None: as many rounds as it may have, see ``longest``."""

    @classmethod
    def parse(cls, expressions: Sequence[Any], *, max_rate: float | None = None, **given: Any) -> CapacityPlan:
        """From the arguments of a marker. ``SettingError`` says which is wrong, what was given and what is allowed.

        ``max_rate`` is a hard limit for the rates of a search (``--ipload-max-rate``); it does not apply to users.
        """
        texts = tuple(_expression(each) for each in expressions)
        if not texts:
            raise SettingError("no expression given; give what has to hold, as in 'p95 < 200ms', 'error_rate < 1%'")
        values = _parsed(given)
        by = values.get("by", RATE)
        levels = _levels(values, by, max_rate if by == RATE else None)
        precision, step_s = values.get("precision", _USUAL_PRECISION), values.get("step", 10.0)
        plan = cls(
            expressions=texts,
            by=by,
            **levels,
            step_s=step_s,
            settle_s=values.get("settle", step_s * _SETTLE_SHARE),
            precision=precision,
            max_rounds=values.get("max_rounds", MOST_ROUNDS + 2 * (_refining(precision) - _USUAL_REFINING)),
            max_time_s=values.get("max_time"),
        )
        if by == RATE and plan.start < plan.lowest:
            raise SettingError(
                f"start={plan.start:.10g}/s is too low for step={format_setting(step_s)}: a round, of at most "
                f"{MOST_FOR_SAMPLES:g} steps, would have fewer than {FEWEST_ITERATIONS:g} iterations; use a step of "
                f"{format_setting(math.ceil(FEWEST_ITERATIONS / MOST_FOR_SAMPLES / plan.start))} or more"
            )
        shortest_s = plan.settle_s + plan.measured_s(plan.start)
        if shortest_s > plan.longest():
            raise SettingError(
                f"max_time={format_setting(plan.longest())} is too short: the first round takes "
                f"{format_setting(shortest_s)}, and a search about {format_duration(plan.planned_s())}"
            )
        return plan

    @property
    def judged(self) -> list[ThresholdConfig]:
        """The thresholds that a round is judged by: with confidence and ``abort_on_fail`` where that is possible.

        ``error_rate == 0%`` is among them, unless an expression covers errors, as in any load test.
        """
        given = [ThresholdConfig(Threshold.parse(text)) for text in self.expressions]
        return [self._config(each) for each in with_implied(given)]

    @property
    def lowest(self) -> float:
        """The lowest level that may be tried: a round has some iterations there, or at least one user."""
        return 1.0 if self.is_by_users else FEWEST_ITERATIONS / (MOST_FOR_SAMPLES * self.step_s)

    def measured_s(self, level: float, length: float = 1.0, *, is_near: bool = False) -> float:
        """How long the judged part of a round at this level lasts: ``length`` steps, more where samples are scarce.

        Of one near the capacity, ``is_near``, also long enough to show that a queue grows. In a search for users,
        the number of samples is not known and no queue grows without end, so there it is the step alone.
        """
        enough_s = 0.0
        if self.by == RATE:
            enough_s = max(self._needed_samples() / level, self._shown_after_s(self.precision / 2) if is_near else 0.0)
        return round(min(max(self.step_s, enough_s), MOST_FOR_SAMPLES * self.step_s) * length, 3)

    @property
    def is_by_users(self) -> bool:
        """Whether levels are whole numbers of users."""
        return self.by == USERS

    def rounded(self, level: float) -> float:
        """A level as it is written and run: four digits of a rate, or a whole number of users; at most ``up_to``."""
        return min(self.up_to, max(1.0, float(round(level))) if self.is_by_users else float(f"{level:.4g}"))

    def rounded_down(self, level: float) -> float:
        """The same, but never above the level, except for the first user."""
        if self.is_by_users:
            return min(self.up_to, max(1.0, float(math.floor(level))))
        digit = _last_digit(level)
        return min(self.up_to, float(f"{math.floor(level / digit + _ROUNDING) * digit:.4g}"))

    def rounded_up(self, level: float) -> float:
        """An upper end as it is written; of users, the last whole number below it."""
        if self.is_by_users:
            return float(math.floor(level))
        digit = _last_digit(level)
        return float(f"{math.ceil(level / digit - _ROUNDING) * digit:.4g}")

    def is_precise(self, low: float, high: float) -> bool:
        """Whether an interval is narrow enough; users cannot be halved."""
        if self.is_by_users and math.floor(high) - math.floor(low) <= 1:
            return True
        return high <= low * (1 + self.precision) ** 2

    @property
    def refining(self) -> int:
        """The maximum number of rounds between the doublings and the confirming round."""
        return _refining(self.precision)

    def planned_rounds(self) -> int:
        """About how many rounds the search will take: that many for the promised capacity, or one in the middle."""
        doublings = 1 + math.ceil(abs(math.log2(self._expected() / self.start)))
        return min(self.max_rounds, doublings + self.refining + 1)

    def planned_s(self) -> float:
        """About how long that takes: most rounds near the capacity are longer, and so is the confirming one."""
        usual = self.planned_rounds() * (self.settle_s + self.step_s)
        near = self.refining * (self.measured_s(self.up_to, LONGER_LENGTH, is_near=True) - self.step_s)
        return usual + near + self.measured_s(self.up_to, CONFIRMING_LENGTH, is_near=True) - self.step_s

    def longest(self) -> float:
        """The upper bound on the seconds that the search takes, rests included: no round starts that may exceed it."""
        if self.max_time_s is not None:
            return self.max_time_s
        doublings = sum(self.measured_s(self.start * 2**number) for number in range(self._doublings()))
        near_s = self.measured_s(self._expected(), is_near=True)
        others = max(0, self.max_rounds - self._doublings()) * near_s * LONGER_LENGTH
        confirming = 2 * near_s * CONFIRMING_LENGTH
        return math.ceil((doublings + others + confirming + self.max_rounds * self.settle_s) * _RESERVE)

    def describe(self) -> str:
        """The search in a line, for ``--collect-only`` and the terminal."""
        levels = f"{self.format(self.start)} to {self.format(self.up_to)}"
        promise = "" if self.at_least is None else f", at least {self.format(self.at_least)}"
        return (
            f"capacity by {', '.join(self.expressions)}: {levels}{promise}; "
            f"about {self.planned_rounds()} rounds in {format_duration(self.planned_s())}, "
            f"at most {self.max_rounds} in {format_duration(self.longest())}; "
            f"ends early at ±{format_percent(self.precision)}"
        )

    def remarks(self) -> list[str]:
        """What makes the result less sure than it could be, and what to do."""
        needed_s = self._shown_after_s(self.precision)
        if self.is_by_users or needed_s <= self.measured_s(self.up_to, is_near=True):
            return []
        return [
            f"step={format_setting(self.step_s)} is short for a limit of {format_duration(self.longest_limit_s())}: "
            f"at a rate {format_percent(self.precision)} above the capacity, a queue takes {format_duration(needed_s)} "
            "to get there, so the capacity may be overestimated; use a step of "
            f"{format_setting(math.ceil(needed_s / MOST_FOR_SAMPLES))} or more"
        ]

    def format(self, level: float) -> str:
        """A level for people: ``412/s`` or ``40 users``."""
        if self.is_by_users:
            return f"{format_number(round(level))} user{'' if round(level) == 1 else 's'}"
        return f"{format_number(level)}/s"

    def as_setting(self, level: float) -> str:
        """A level as a key of the marker: ``'412.3/s'`` or ``40``."""
        return f"{level:.10g}" if self.is_by_users else f"'{level:.10g}/s'"

    def _config(self, plain: ThresholdConfig) -> ThresholdConfig:
        delay = self.settle_s + self.step_s / 4
        confident: dict[str, Any] = {"confidence": CONFIDENCE}
        ended_early: dict[str, Any] = {"abort_on_fail": True, "delay": delay}
        for settings in ({**confident, **ended_early}, confident, ended_early):
            try:
                return replace(plain, **settings)
            except SettingError:
                continue
        return plain

    def _expected(self) -> float:
        """Where the capacity may be: at the promise, or in the middle."""
        return math.sqrt(self.start * self.up_to) if self.at_least is None else self.at_least

    def longest_limit_s(self) -> float:
        """The longest time that an expression allows; 0 if none limits a time."""
        slow = [each.limit for each in map(Threshold.parse, self.expressions) if each.unit == "duration"]
        return max(slow, default=0.0)

    def _shown_after_s(self, excess: float) -> float:
        """How long a rate that is by this share too high is measured until requests wait as long as the limit.

        With ``1 + excess`` times as many arrivals as a target can serve, its queue grows by ``excess`` seconds per
        second, from the beginning of the round on.
        """
        return max(0.0, self.longest_limit_s() / excess - self.settle_s)

    def _needed_samples(self) -> float:
        return max(map(_needed_samples, map(Threshold.parse, self.expressions)))

    def _doublings(self) -> int:
        return 2 + max(0, math.floor(math.log2(self.up_to / self.start)))


def _last_digit(level: float) -> float:
    """The size of the fourth digit."""
    return 10.0 ** (math.floor(math.log10(level)) - 3)


def _refining(precision: float) -> int:
    """By binary evidence, the error falls with the square root of the number of rounds."""
    return min(
        _MOST_REFINING, max(_FEWEST_REFINING, round(_USUAL_REFINING * math.pow(_USUAL_PRECISION / precision, 1.5)))
    )


def _expression(given: Any) -> str:
    """The normal form of an expression that gets worse with the load."""
    threshold = Threshold.parse(given)
    statistic, text = threshold.statistic, threshold.text
    if statistic in _GROWS_WITH_LOAD:
        raise SettingError(
            f"threshold {text!r}: {statistic} grows with the load, so it cannot limit the capacity; give the rate "
            "that has to be reached as at_least"
        )
    if statistic in _NOT_OF_TARGET:
        raise SettingError(
            f"threshold {text!r}: {statistic} says nothing about the target; give a time or an error rate"
        )
    rises = statistic != "check_rate" and not threshold.measured.is_of_target
    if rises and threshold.operator not in _BELOW:
        raise SettingError(
            f"threshold {text!r}: it fails at low loads and holds at high ones; write a limit that is exceeded when "
            "the load is too high, with < or <="
        )
    never = threshold.limit >= 1 if statistic == "check_rate" else threshold.limit <= 0
    if never and threshold.operator == ("<" if rises else ">"):
        raise SettingError(
            f"threshold {text!r}: it can never hold; write {threshold.operator}= to allow the limit itself"
        )
    if statistic == "errors" and threshold.limit > 0 and threshold.operator != "==":
        raise SettingError(
            f"threshold {text!r}: rounds differ in length, so it would be stricter in longer ones; give a share, as in "
            "'error_rate < 1%'"
        )
    return text


def _parsed(given: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    parsers = dict(_PARSERS)
    by = given.get("by") or RATE
    parsers |= dict.fromkeys(_LEVELS, _as_users if by == USERS else as_rate)
    for key, value in given.items():
        if key not in parsers:
            raise SettingError(f"unknown key {key!r}{did_you_mean(key, KEYS)}; known: {', '.join(KEYS)}")
        if value is None:
            continue
        try:
            values[key] = parsers[key](value)
        except ValueError as error:
            raise SettingError(f"{key} {error}") from None
    return values


def _levels(values: Mapping[str, Any], by: str, most: float | None) -> dict[str, Any]:
    """The promise, the start and the end of the search, which have to be in order."""
    at_least, start, up_to = (values.get(key) for key in _LEVELS)
    if start is None:
        start = at_least / 4 if at_least else (up_to / 32 if up_to else _DEFAULT_START[by])
        start = max(1.0, math.floor(start)) if by == USERS else start
        if most is not None:
            start = min(start, most)
    highest = min([up_to or min(start * _RANGE[by], _LARGEST_LEVEL), *([] if most is None else [most])])
    limit = "up_to" if most is None or highest < most else "the maximum rate (--ipload-max-rate)"
    for key, level in (("start", start), ("at_least", at_least)):
        if level is not None and level > highest:
            unit = "" if by == USERS else "/s"
            raise SettingError(
                f"{key}={level:.10g}{unit} is above {limit}, {highest:.10g}{unit}: no round may be there; lower {key}, "
                f"or raise {limit}"
            )
    return {"at_least": at_least, "start": start, "up_to": highest}


def _needed_samples(threshold: Threshold) -> float:
    """From how many samples on a round is decided by its interval, if it is far from the limit."""
    if threshold.quantile is not None:
        return minimum_samples(threshold.quantile)
    if threshold.statistic in _SHARES and 0 < threshold.limit < 1:  # Wilson's interval of no errors ends at the limit
        return NormalDist().inv_cdf((1 + CONFIDENCE) / 2) ** 2 * (1 / threshold.limit - 1)
    return 0.0
