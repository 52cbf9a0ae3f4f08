"""The settings of a capacity search: the keys of its marker, parsed and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ipload.base.units import format_setting, parse_percent
from pytest_ipload.capacity.search_round import RATE, USERS
from pytest_ipload.settings.parsing import as_count, as_positive_seconds, as_rate
from pytest_ipload.verdict.threshold.config import ThresholdConfig

CONFIDENCE = 0.95
"""Of the interval by which each round is judged, and of that of the result."""
SHORTEST_STEP_S = 0.2
SETTLE_SHARE = 0.3
"""Of the step, where no settle time is given."""
LONGER = 2.0
"""How many times as long a round is that was undecided."""
CONFIRMING = 3.0
"""How many times as long the confirming round is."""
LONGEST_FOR_SAMPLES = 3.0
"""How many times as long a round at a low rate may be, to have enough samples."""
MOST_ROUNDS = 24
REST_STEPS = 3.0
"""How many steps a rest lasts at most."""
_SMALLEST_PRECISION, _LARGEST_PRECISION = 0.005, 0.5
_HIGHEST_RATE, _MOST_USERS = 1e6, 1e5
_DEFAULT_START = {RATE: 10.0, USERS: 1.0}


def as_precision(value: Any) -> float:
    """A percentage text, or (from Python only) a fraction: how far the ends of the interval may be from the rate."""
    if isinstance(value, str):
        fraction = parse_percent(value)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a percentage; write it as in '5%', or as the fraction 0.05")
    else:
        fraction = float(value)
    if not _SMALLEST_PRECISION <= fraction <= _LARGEST_PRECISION:
        raise ValueError(
            f"{value!r} is out of range; give a precision from {_SMALLEST_PRECISION:.1%} to {_LARGEST_PRECISION:.0%}, "
            "as in '5%'"
        )
    return fraction


def _as_level(by: str) -> Callable[[Any], float]:
    return as_rate if by == RATE else lambda value: float(as_count(value))


def _as_step(value: Any) -> float:
    seconds = as_positive_seconds(value)
    if seconds < SHORTEST_STEP_S:
        raise ValueError(f"{value!r} is too short; give at least {format_setting(SHORTEST_STEP_S)}, better 10s or more")
    return seconds


def _as_rounds(value: Any) -> int:
    rounds = as_count(value)
    if rounds < 3:
        raise ValueError(f"{value!r} is too few; a search takes at least 3 rounds, and 14 on average")
    return rounds


KEYS = ("at_least", "start", "up_to", "step", "precision", "by", "settle", "max_rounds", "max_time")
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
    precision: float = 0.05
    """How far the ends of the interval may be from the rate when the search ends, as a fraction of it."""
    max_rounds: int = MOST_ROUNDS
    max_time_s: float | None = None
    """When no further round is started, as the time since the first one; None: ``longest()`` is the bound."""

    @classmethod
    def parse(cls, expressions: Sequence[Any], *, max_rate: float | None = None, **given: Any) -> CapacityPlan:
        """From the arguments of a marker. ``SettingError`` says which key is wrong, what was given and what is allowed.

        ``max_rate`` is a hard limit for the rate of a search (``--ipload-max-rate``); it does not apply to users.
        """
        raise NotImplementedError

    @property
    def judged(self) -> list[ThresholdConfig]:
        """The thresholds that a round is judged by: with confidence, where that is possible, and those implied."""
        raise NotImplementedError

    def planned_rounds(self) -> int:
        """About how many rounds the search will take."""
        raise NotImplementedError

    def longest(self) -> float:
        """An upper bound on the duration of the search in seconds, rests included."""
        raise NotImplementedError

    def describe(self) -> str:
        """The search in a line, for ``--collect-only`` and the terminal."""
        raise NotImplementedError
