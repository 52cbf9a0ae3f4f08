"""What the generator's health means for the verdict. Pure.

A flaw of the generator moves measured values in a known direction. A threshold that fails by a value that the flaw
cannot have moved past the limit has failed, flaw or not; one that fails by a value that the flaw may have moved past
it is undecided. And where a flaw flatters the target, a threshold that holds is undecided too. The whole rule is the
table ``MOVES``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from pytest_ipload.base.health_catalogue import INVALID, SATURATED, HealthCheck
from pytest_ipload.verdict.threshold.config import FAIL, ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult

Judged = tuple[ThresholdConfig, ThresholdResult]
"""A threshold and its result."""

UP, DOWN = "up", "down"
OF_GAPS = "events-read-late"
"""The check that is about the gaps between events, and about nothing else."""

_TIMES = ("percentile", "median", "mean", "min", "max")
_ERRORS = ("error_rate", "request_error_rate", "errors")
_AMOUNTS = ("requests", "iterations", "rps", "iterations_per_second")

_LESS_LOAD: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys((*_TIMES, *_ERRORS, *_AMOUNTS, "ip_pool_usage"), DOWN),
        "dropped_iterations": UP,
    }
)
"""The target had less to do than planned: that made it faster, fail less often and answer fewer requests."""
_NEVER_SENT: Mapping[str, str] = MappingProxyType({**_LESS_LOAD, **dict.fromkeys(("error_rate", "errors"), UP + DOWN)})
"""The same, and iterations whose requests were never sent count as failed."""
_SLOWED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(_TIMES, UP),
        **dict.fromkeys(_AMOUNTS, DOWN),
        "dropped_iterations": UP,
    }
)
"""The generator was short of processor time: what it measured and sent was late. Errors are real."""

_JOINED: Mapping[str, str] = MappingProxyType(
    {**dict.fromkeys(("percentile", "median"), UP + DOWN), "max": UP, "min": DOWN},
)
"""Some gaps between events count as 0, and those before them as longer."""

MOVES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "rate-not-reached": _LESS_LOAD,
        "users-not-reached": _LESS_LOAD,
        "different-targets": _LESS_LOAD,
        "partner-ended": _LESS_LOAD,
        "partner-failed": _LESS_LOAD,
        "generator-saturated": _SLOWED,
        OF_GAPS: _JOINED,
    }
)
"""By check and statistic: in which direction the flaw moves the value, if any. Other checks: requests never sent."""


def invalid_reasons(checks: Sequence[HealthCheck], thresholds: Sequence[Judged]) -> list[str]:
    """Why the measurement is invalid, each reason beginning with a check's name; empty if it is valid.

    The names that a threshold selects may not have been kept separately: then whether it holds cannot be decided.
    """
    flattering, slowing = _notes(checks, INVALID), _notes(checks, SATURATED)
    untold = [result.message for _, result in thresholds if result.undecidable and result.severity == FAIL]
    excused = [each[1].message for each in _failed(thresholds) if _may_be_due_to(_of(checks, SATURATED), each)]
    if excused:
        return [*flattering, *untold, *slowing, *excused]
    return untold if in_spite_of(checks, thresholds) else [*flattering, *untold]


def in_spite_of(checks: Sequence[HealthCheck], thresholds: Sequence[Judged]) -> list[str]:
    """What flattered the target, if a threshold failed nevertheless."""
    flaws = _of(checks, INVALID)
    is_broken = any(_is_broken_in_spite_of(flaws, each) for each in _failed(thresholds))
    return _notes(checks, INVALID) if is_broken else []


def _failed(thresholds: Iterable[Judged]) -> list[Judged]:
    """The thresholds that fail the test."""
    return [
        (config, result)
        for config, result in thresholds
        if not (result.passed or result.undecidable) and result.severity == FAIL
    ]


def _of(checks: Iterable[HealthCheck], severity: str) -> list[HealthCheck]:
    return [check for check in checks if check.severity == severity]


def _notes(checks: Iterable[HealthCheck], severity: str) -> list[str]:
    return [check.note for check in _of(checks, severity)]


def _may_be_due_to(flaws: Sequence[HealthCheck], judged: Judged) -> bool:
    """Whether one of the flaws may be why a threshold failed, or could not be decided."""
    return judged[1].measured is not None and bool(_moved_by(flaws, judged) & _sides(judged))


def _is_broken_in_spite_of(flaws: Sequence[HealthCheck], judged: Judged) -> bool:
    """Whether a threshold failed by a value that no flaw can have moved past the limit. False without samples."""
    if judged[1].measured is None or judged[1].undecided:
        return False
    return not _moved_by(flaws, judged) & _sides(judged)


def _moved_by(flaws: Sequence[HealthCheck], judged: Judged) -> set[str]:
    threshold = judged[0].threshold
    if threshold.measured.is_of_target:  # whatever the flaw, the target had less to do, or as much as planned
        return {DOWN} if any(flaw.name != OF_GAPS for flaw in flaws) else set()
    moves = "".join(
        MOVES.get(flaw.name, _NEVER_SENT).get(threshold.statistic, "")
        for flaw in flaws
        if flaw.name != OF_GAPS or threshold.family == "gap"
    )
    return {side for side in (UP, DOWN) if side in moves}


def _sides(judged: Judged) -> set[str]:
    """The directions in which a value must move for the threshold to fail as it did."""
    config, result = judged
    operator = config.threshold.operator
    if operator in ("<", "<="):
        return {UP}
    if operator in (">", ">="):
        return {DOWN}
    if operator == "==" and result.measured is not None:
        return {UP} if result.measured > result.limit else {DOWN}
    return {UP, DOWN}  # == or !=: the value may have come from either side
