"""Whether segments belong to one load: they ran the same versions, at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_ipload.base.health_catalogue import HealthCheck, fired
from pytest_ipload.base.units import NS_PER_S, format_duration
from pytest_ipload.load.partition import Partition
from pytest_ipload.verdict.origin import TARGET, ClockOffset, Origin
from pytest_ipload.verdict.shard_result import ShardResult

FARTHEST_STARTS = 0.1
"""As a share of the load's length: segments whose loads began farther apart than this were not one load."""
_LEAST_APART_S = 0.5
"""Clocks of machines differ by some milliseconds, and short loads are short."""
_WIDEST_S = 2.0
"""An offset that is known less precisely is not known. By a ``Date``, it is known to a second and a reply."""


@dataclass(frozen=True)
class Known:
    """What is kept of a segment's part of a load when its measurements have been merged."""

    path: str
    index: int
    count: int
    started_at: float
    """Unix seconds, by the clock of its machine."""
    ended: int
    """Nanoseconds after its start."""
    clock: ClockOffset | None
    origin: Origin | None

    @classmethod
    def of(cls, part: ShardResult, path: str, share: Partition) -> Known:
        """What is known of a part."""
        return cls(path, share.index, share.count, part.started_at, part.ended, part.clock, part.origin)


def agreement_problems(there: Sequence[Known]) -> list[str]:
    """Why the segments are not one load; empty if they are."""
    return [*_versions(there), *_starts(there)]


def clock_checks(there: Sequence[Known]) -> list[HealthCheck]:
    """Which clocks may be wrong without that being noticed."""
    unsure = [
        f"{known.index}/{known.count}"
        for known in there
        if (known.clock is None or known.clock.high_s - known.clock.low_s > _WIDEST_S)
        and known.origin is not None
        and known.origin.is_synchronised is False
    ]
    return [fired("clock-not-synchronised", f"of segment {', '.join(unsure)}")] if unsure and len(there) > 1 else []


def _versions(there: Sequence[Known]) -> list[str]:
    """Versions have to be the same everywhere, as far as they are known."""
    origins = [known.origin for known in there if known.origin is not None]
    problems = []
    for what, found in (
        ("commits", {origin.commit[:12] for origin in origins if origin.commit is not None}),
        ("versions of pytest-ipload", {origin.version for origin in origins}),
    ):
        if len(found) > 1:
            problems.append(f"the segments ran different {what}: {', '.join(sorted(found))}; use the same everywhere")
    return problems


def _starts(there: Sequence[Known]) -> list[str]:
    starts = [known.started_at for known in there]
    clocks = [known.clock for known in there if known.clock is not None]
    apart = max(starts) - min(starts)
    if len(clocks) == len(there) and len({clock.reference for clock in clocks}) == 1:
        spans = [(start - clock.high_s, start - clock.low_s) for start, clock in zip(starts, clocks, strict=True)]
        by_common_clock = max(first for first, _ in spans) - min(last for _, last in spans)
        # In whole seconds, it can only find more than the machines' own clocks do.
        apart = max(apart, by_common_clock) if clocks[0].reference == TARGET else by_common_clock
    longest = max(known.ended for known in there) / NS_PER_S
    if apart <= max(_LEAST_APART_S, longest * FARTHEST_STARTS):
        return []
    return [
        f"the segments did not run together: their loads began {format_duration(apart)} apart; start them with the "
        "same --ipload-start-at (and --ipload-start-every, where a session has several loads), on machines whose "
        "clocks agree, or with --ipload-store"
    ]
