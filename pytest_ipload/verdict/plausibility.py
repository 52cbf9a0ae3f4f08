"""Checks that a shard result from a file is plausible, beyond what the types of its fields express."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.parsing import as_count, as_rate, as_seconds, as_stages, is_moment
from pytest_ipload.stats.evidence.evidence import FAILED_REQUEST, SLOW
from pytest_ipload.stats.evidence.keeper import MOST_CHARACTERS, MOST_KEPT
from pytest_ipload.stats.histogram import plain_int

if TYPE_CHECKING:
    from pytest_ipload.verdict.shard_result import ShardResult

LONGEST_S = 1_000_000
"""Eleven days."""
_STRAGGLING_S = 3600
MOST_WINDOWS = 1_000_000
"""Of one length: as many as tenths of a second in a day."""
MOST_SAMPLES = 10**12
"""Of one kind. Computing the interval of a quantile takes time that grows with the square root of their number."""

_RANGES: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        **dict.fromkeys(("users", "iterations", "total_iterations", "max_users"), as_count),
        **dict.fromkeys(
            ("duration", "ramp_up", "ramp_down", "warmup", "graceful_stop", "timeout", "ip_wait"), as_seconds
        ),
        **dict.fromkeys(("arrival_rate", "max_rate"), as_rate),
    }
)
_SPANS = ("think_time", "pacing")
_NATURAL = (
    "late",
    "ended",
    "users",
    "pool_size",
    "unused_count",
    "planned_iterations",
    "dropped_iterations",
    "late_starts",
    "interrupted",
    "cpu_ns",
    "pinned_cpu",
)


def check_values(part: ShardResult) -> None:
    """``ValueError`` for numbers that no load has: negative counts, durations of more than a year."""
    _check_profile(part.profile)
    if not is_moment(part.started_at):
        raise ValueError(f"started_at: {part.started_at!r} is not a valid time; expected Unix seconds")
    _check_natural(part, _NATURAL)
    for name in ("users_by_source", "connections_by_source"):
        for count in getattr(part, name).values():
            plain_int(count, name)
    for failure in part.failures:
        _check_natural(failure, ("count",))
        _check_natural(failure.first, ("user", "iteration"))
        for user in failure.users or ():
            plain_int(user, "users")
    for shard in part.shards:
        _check_natural(shard, ("index", "users", "iterations", "requests", "failed_requests", "pinned_cpu"))
    _check_natural(part, ("evidence_most",))
    if part.tls_handshakes is not None:
        _check_natural(part.tls_handshakes, ("full", "resumed"))
    _check_evidence(part)
    if part.round is not None:
        _check_natural(part.round, ("number", "count"))


def _check_evidence(part: ShardResult) -> None:
    if len(part.evidence) > MOST_KEPT or sum(each.size for each in part.evidence) > 2 * MOST_CHARACTERS:
        raise ValueError(f"evidence: more than {MOST_KEPT} requests, or {2 * MOST_CHARACTERS} characters")
    for each in part.evidence:
        _check_natural(each, ("user", "iteration", "status", "redirects"))
        if each.kind not in (SLOW, FAILED_REQUEST):
            raise ValueError(f"evidence: {each.kind!r:.40} is not valid; expected {SLOW!r} or {FAILED_REQUEST!r}")


def check_extent(part: ShardResult) -> None:
    """``ValueError`` for a load that would take far more time and memory to judge than its file's size suggests."""
    ended_s = part.ended // 10**9
    if ended_s > LONGEST_S:
        raise ValueError(f"its load lasted for more than {LONGEST_S} seconds, the maximum")
    timeline = part.measured.timeline
    if timeline.end - timeline.step_s > ended_s + _STRAGGLING_S:
        raise ValueError("it has requests that ended more than an hour after its load")
    for length_ns in part.measured.windows:
        if part.ended // length_ns > MOST_WINDOWS:
            raise ValueError(f"it has more than {MOST_WINDOWS} windows of {length_ns} ns")
    if part.measured.count() > MOST_SAMPLES:
        raise ValueError(f"it has more than {MOST_SAMPLES} samples, the maximum")


def _check_profile(profile: LoadProfile) -> None:
    for name, check in _RANGES.items():
        if (value := getattr(profile, name)) is not None:
            _checked(name, check, value)
    for name in _SPANS:
        low, high = (_checked(name, as_seconds, end) for end in getattr(profile, name))
        if low > high:
            raise ValueError(f"profile.{name}: it goes from {low:g} down to {high:g}")
    if profile.stages is not None:
        _checked("stages", as_stages, profile.stages.segments)


def _checked(name: str, check: Callable[[Any], Any], value: Any) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise ValueError(f"profile.{name}: {error}") from None


def _check_natural(holder: object, names: Iterable[str]) -> None:
    for name in names:
        if (value := getattr(holder, name)) is not None:
            plain_int(value, name)
