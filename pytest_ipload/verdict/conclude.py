"""From measurements to the result. Pure, and the same for one process and for many."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from pytest_ipload.base.health_catalogue import HealthCheck, by_gravity, fired
from pytest_ipload.base.units import NS_PER_MS, NS_PER_S
from pytest_ipload.load.generator.checks import Outcome, ResponseLimit, examine_whole
from pytest_ipload.stats.sample import CHECK, LATENESS
from pytest_ipload.stats.summary import Frame, latency_stats, summarise
from pytest_ipload.stats.target_summary import judged_targets
from pytest_ipload.verdict.decide import decide
from pytest_ipload.verdict.explanation import explain_seconds
from pytest_ipload.verdict.health_rule import in_spite_of, invalid_reasons
from pytest_ipload.verdict.metric_kinds import mixed_kinds
from pytest_ipload.verdict.missing_segments import without_missing
from pytest_ipload.verdict.result import ERROR, GeneratorHealth, LoadResult, UnusedAddresses
from pytest_ipload.verdict.shard_result import ShardResult, cpu_share
from pytest_ipload.verdict.threshold.config import FAIL, OF_ITERATIONS, ThresholdConfig, is_judged
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult, evaluate
from pytest_ipload.verdict.threshold.measure import Scope

_MOST_LISTED = 3
_LATE_READING_S = 0.25
"""How late the last reading of the judged time may be, on a busy machine."""
_NEAREST_QUANTILE = {"max": 0.99}


def conclude(part: ShardResult) -> LoadResult:
    """The verdict and the numbers of a load whose shard results have been merged."""
    frame = _frame(part)
    lasted_s = frame.duration_s - frame.warmup_s
    scope = scope_of(part, frame.judged_s(part.measured))
    scope = replace(scope, planned_seconds=min(lasted_s, scope.planned_seconds or lasted_s))
    has_checks = part.measured.count(CHECK) > 0
    configs = [config for config in part.thresholds if is_judged(config, has_checks)]
    thresholds = [evaluate(config, part.measured, scope, strict=part.strict) for config in configs]
    if part.abort is not None:
        thresholds[part.abort.number] = part.abort.final(thresholds[part.abort.number])
    judged = list(zip(configs, thresholds, strict=True))
    found = by_gravity([*part.checks, *_different_targets(part), *_of_the_whole(part, judged)])
    suppressed = set(part.profile.suppress_health_check)
    checks = [check for check in found if check.name not in suppressed]
    thresholds = [without_missing(part.checks, *each) for each in judged]
    judged = list(zip(configs, thresholds, strict=True))
    broken_off = [part.broken_off] if part.broken_off else []
    invalid = [*broken_off, *mixed_kinds(part.measured), *invalid_reasons(checks, judged)]
    in_spite = in_spite_of(checks, judged)
    verdict, reason = (ERROR, part.error) if part.error else decide(thresholds, invalid, in_spite)
    return LoadResult(
        nodeid=part.nodeid,
        together=part.together,
        verdict=verdict,
        reason=reason,
        profile=part.profile.as_dict(),
        started_at=datetime.fromtimestamp(part.started_at, timezone.utc).isoformat(timespec="milliseconds"),
        aborted_s=None if part.abort is None else part.abort.after_s,
        set_up_error_rate=part.set_ups.failed / part.set_ups.tried if part.set_ups.tried else None,
        thresholds=thresholds,
        failures=part.failures,
        evidence=part.evidence or None,
        traceback=part.traceback,
        tls_handshakes=part.tls_handshakes,
        unused_addresses=UnusedAddresses(part.unused_count, part.unused_first) if part.unused_count else None,
        generator=_health(part, checks, [check.name for check in found if check.name in suppressed], frame.duration_s),
        shards=part.shards if len(part.shards) > 1 else None,
        targets=[target.stats() for target in scope.targets] or None,
        explain=None if part.stacks is None else explain_seconds(part.stacks, judged, part.measured),
        **summarise(part.measured, frame),
    )


def scope_of(part: ShardResult, judged_s: float) -> Scope:
    """What rates and shares are counted over, when ``judged_s`` seconds of the load are judged."""
    return Scope.of(
        part.profile,
        judged_s,
        pool_size=part.pool_size,
        addresses_used=len(part.users_by_source),
        planned_iterations=part.planned_iterations,
        dropped=part.dropped_iterations,
        set_ups=part.set_ups,
        targets=judged_targets(
            part.target_readings, part.profile.warmup, part.profile.warmup + judged_s + _LATE_READING_S
        ),
    )


def _frame(part: ShardResult) -> Frame:
    origin = part.measured.origin_ns
    return Frame(
        origin_ns=origin,
        ended_ns=origin + part.ended,
        warmup_s=part.profile.warmup,
        users=part.users,
        users_by_source=part.users_by_source,
        connections_by_source=part.connections_by_source,
        lifetimes=[(origin + began, origin + ended) for began, ended in part.lifetimes],
        planned_iterations=part.planned_iterations,
        dropped_iterations=part.dropped_iterations,
        http=part.profile.http,
        foreign_names=frozenset(part.foreign_names),
        targets=part.target_readings,
    )


def _of_the_whole(part: ShardResult, judged: list[tuple[ThresholdConfig, ThresholdResult]]) -> list[HealthCheck]:
    """The health checks that need the whole load."""
    is_functional = part.profile.is_functional  # a single iteration: how certain a percentile is does not matter
    return examine_whole(
        Outcome(
            measured=part.measured,
            user_time=part.user_time,
            late_starts=part.late_starts,
            users_started=part.users,
            planned_iterations=part.planned_iterations,
            dropped_iterations=part.dropped_iterations,
            uncertain=[
                (each.expression, each.samples)
                for config, each in judged
                if each.uncertain and config.threshold.quantile is not None and not is_functional
            ],
            is_functional=is_functional,
            is_cut_short=bool(part.broken_off or part.error) or part.abort is not None,
            judges_dropped=any(
                config.severity == FAIL and config.threshold.statistic == "dropped_iterations"
                for config in part.thresholds
            ),
            judges_failed=any(config.threshold.statistic in OF_ITERATIONS for config in part.thresholds),
            judged_checks=[
                "*" if config.threshold.selector is None else config.threshold.selector.pattern
                for config, _ in judged
                if config.severity == FAIL and config.threshold.statistic == "check_rate"
            ],
            response_limits=_response_limits(part.thresholds),
        )
    )


def _different_targets(part: ShardResult) -> list[HealthCheck]:
    """Fires if no two processes of the load connected to the same local target."""
    used = [set(targets) for targets in part.targets if targets]
    if len(used) < 2 or len(set().union(*used)) < sum(map(len, used)):
        return []
    listed = ", ".join(sorted(targets)[0] for targets in map(list, used[:_MOST_LISTED]))
    more = ", ..." if len(used) > _MOST_LISTED else ""
    return [fired("different-targets", f"{len(used)} processes connected to different local targets: {listed}{more}")]


def _response_limits(thresholds: list[ThresholdConfig]) -> list[ResponseLimit]:
    """The limits for response times that can fail the test."""
    return [
        ResponseLimit(
            config.threshold.text,
            config.threshold.quantile or _NEAREST_QUANTILE.get(config.threshold.statistic, 0.5),
            config.threshold.limit * NS_PER_S,
        )
        for config in thresholds
        if config.severity == FAIL and config.threshold.is_response_time and config.threshold.operator in ("<", "<=")
    ]


def _health(part: ShardResult, checks: list[HealthCheck], suppressed: list[str], duration_s: float) -> GeneratorHealth:
    lag_ns = part.lags.quantile(0.99)
    return GeneratorHealth.of(
        checks,
        suppressed=suppressed,
        cpu_share=cpu_share(part.cpu_ns, round(duration_s * NS_PER_S)),
        timer_lag_p99_ms=None if lag_ns is None else round(lag_ns / NS_PER_MS, 3),
        lateness=latency_stats(part.measured.latency(LATENESS)) if part.measured.planned else None,
        late_starts=part.late_starts,
        interrupted_iterations=part.interrupted,
        faults=dict(part.measured.faults),
        pinned_cpu=part.pinned_cpu,
    )
