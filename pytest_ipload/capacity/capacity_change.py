"""Capacities compared: of two versions in one job, or with saved runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_ipload.capacity.capacity_result import CapacityResult
from pytest_ipload.verdict.regression.comparison import Comparison


@dataclass(frozen=True)
class CapacityDifference:
    """By how much the capacity of the current version is higher than that of the base, as a fraction of the latter."""

    change: float
    """Below 0 if the capacity is lower."""
    low: float
    """The lower end of the 95 % interval of the change."""
    high: float


@dataclass(frozen=True)
class CapacityLimit:
    """By how much the capacity may be lower: ``capacity:10%``, or with a floor ``capacity:10%,20/s``."""

    text: str
    """Its normal form; it parses to an equal limit."""
    relative: float
    floor: float | None = None

    @classmethod
    def parse(cls, text: str) -> CapacityLimit:
        """Read a limit. ``SettingError`` says which part is wrong, what was given and what is allowed."""
        raise NotImplementedError


def is_capacity_limit(text: str) -> bool:
    """Whether a limit of ``--ipload-compare-fail`` is one of the capacity."""
    raise NotImplementedError


def difference(current: CapacityResult, base: CapacityResult) -> CapacityDifference | None:
    """The difference of two versions; None if one of them has no rate with its interval."""
    raise NotImplementedError


def judge_versions(
    limit: CapacityLimit | None, current: CapacityResult, base: CapacityResult, *, strict: bool = False
) -> Comparison | None:
    """Judge the capacity against that of the base version (``--ipload-against``); None if they cannot be compared.

    It is a regression if the whole interval of the difference is beyond the limit, undecided if a part of it is.
    """
    raise NotImplementedError


def judge_saved(
    limit: CapacityLimit | None, current: CapacityResult, saved: Sequence[CapacityResult], *, strict: bool = False
) -> Comparison | None:
    """Judge the capacity against those of saved runs (``--ipload-compare``); None if there is nothing to compare."""
    raise NotImplementedError
