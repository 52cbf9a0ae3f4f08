"""Values compared with those of a baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One value, judged against those of other runs. Numbers are in ``unit``, as in reports; None if not measured."""

    metric: str
    """As written in a limit: ``p95{GET /cart}``."""
    unit: str
    """``ms``, ``fraction`` or ``1/s``."""
    current: float | None
    """The value; for rounds their median."""
    baseline: float
    """The median of the other runs."""
    change: float | None
    """The difference as a fraction of the baseline, above 0 if the value is higher; None for a baseline of 0."""
    limit: str | None = None
    """In its normal form, ``p95:10%``; None where nothing is judged."""
    tolerance: float | None = None
    """How much worse than the baseline the value may be: the limit, or what noise explains; None without limit."""
    regressed: bool = False
    undecided: bool = False
    """It is, or may be, beyond the limit, but the runs or rounds are too few to call it a regression."""
    passed: bool = True
    """Whether the test may pass: it did not regress, and is not undecided in a strict session."""
    method: str
    """The method of comparison, in words."""
    runs: int
    """The number of saved runs, or of rounds of the base target."""
    p_value: float | None = None
    """The probability of such a difference without any change; None where the method has no such number."""
    warning: str | None = None
    """Why the judgement is less reliable."""
    message: str
    """The whole comparison as shown to users; the measured value first."""


@dataclass(frozen=True)
class ComparedWith:
    """What a result was compared with."""

    runs: int
    """Comparable saved runs."""
    files: Sequence[str]
    """The names of those runs, the newest first."""
    notes: Sequence[str]
    """What could not be compared, and why."""


class Compared(NamedTuple):
    """All comparisons of a result."""

    comparisons: Sequence[Comparison]
    baseline: ComparedWith


Compare = Callable[[Mapping[str, Any]], Compared]
"""Compares a result in plain values, as far as it is known before its verdict."""


def failed_of(comparisons: Sequence[Comparison] | None) -> list[Comparison]:
    """The comparisons that fail the test."""
    return [comparison for comparison in comparisons or () if not comparison.passed]
