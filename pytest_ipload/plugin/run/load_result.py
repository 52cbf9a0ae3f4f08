"""The result of a load in this process, while it runs and at its end."""

from __future__ import annotations

from itertools import islice

from pytest_ipload.addresses.host.own_listeners import ports_served_here
from pytest_ipload.base import real_time
from pytest_ipload.base.health_catalogue import HealthCheck, fired, fired_by_message
from pytest_ipload.base.units import NS_PER_S, format_count
from pytest_ipload.load.executor import Executor
from pytest_ipload.load.failure_log import FailureGroup
from pytest_ipload.load.generator.checks import CheckInput, examine
from pytest_ipload.plugin.items.item_kind import RUNS_STEPS
from pytest_ipload.plugin.run.load_request import LoadRequest
from pytest_ipload.plugin.run.load_users import LoadUsers
from pytest_ipload.plugin.run.stack_sampling import StackSampling
from pytest_ipload.plugin.run.target_sampling import TargetSampling
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.stats.evidence.evidence import Evidence
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FAILED, ITERATION, REQUEST
from pytest_ipload.stats.target_readings import TargetReadings
from pytest_ipload.stats.target_summary import judged_targets
from pytest_ipload.verdict.origin import ClockOffset
from pytest_ipload.verdict.result import FailureSummary, FirstFailure, TlsHandshakes, Traceback
from pytest_ipload.verdict.shard_group import Shard
from pytest_ipload.verdict.shard_result import ShardResult
from pytest_ipload.verdict.snapshots import SnapshotTaker
from pytest_ipload.verdict.threshold.abort import AbortWatch
from pytest_ipload.verdict.threshold.measure import Scope
from pytest_ipload.verdict.threshold.remaining_load import Plan


class LoadResults:
    """Provides the measurements, and whether a threshold can no longer hold."""

    def __init__(
        self,
        state: SessionState,
        request: LoadRequest,
        users: LoadUsers,
        executor: Executor,
        shard: Shard,
        sampling: TargetSampling,
        stacks: StackSampling,
    ) -> None:
        """``shard`` is this process's side of the load: as one of several, or alone."""
        self._stacks = stacks
        self._state = state
        self._request = request
        self._users = users
        self._executor = executor
        self._shard = shard
        self._sampling = sampling
        self._abort_watch = AbortWatch(request.thresholds, Plan.of(request.profile))
        self._snapshots = SnapshotTaker(request.thresholds, request.profile.planned)
        self.start_at_ns: int | None = None
        """When the load was to begin; None for at once."""

    def part(
        self, broken_off: str | None = None, traceback: Traceback | None = None, *, is_whole: bool = True
    ) -> ShardResult:
        """The shard result. ``broken_off`` says why the load was aborted.

        Unless ``is_whole``, without the parts that are slow and only reported: health, failures, users' lifetimes.
        """
        record, measured, vitals = self._executor.record, self._executor.measurements, self._executor.vitals
        origin, used = record.origin_ns or record.ended_ns, self._users.leases.used
        unused_count = self._users.pool.size - sum(address in self._users.pool for address in used) if is_whole else 0
        met = None if self._state.meetings is None else self._state.meetings.of(self._request.item)
        began = real_time.time() - (real_time.perf_counter_ns() - origin) / NS_PER_S
        unused = (address for address in self._users.pool if address not in used) if unused_count else iter(())
        return ShardResult(
            nodeid=self._request.item.nodeid,
            profile=self._request.profile.masked(),
            thresholds=list(self._request.thresholds),
            strict=self._state.settings.strict,
            started_at=began,
            late=0 if self.start_at_ns is None else max(0, origin - self.start_at_ns),
            measured=measured,
            ended=max(0, record.ended_ns - origin),
            users=record.users_started,
            set_ups=self._executor.set_ups,
            user_time=record.user_time,
            lifetimes=[(began - origin, ended - origin) for began, ended in record.lifetimes] if is_whole else [],
            users_by_source={address: stats.users for address, stats in used.items()},
            connections_by_source=dict(self._users.opened.by_source()),
            pool_size=self._users.leases.addresses_total,
            shares_pool=self._users.shares_pool,
            unused_count=unused_count,
            unused_first=list(islice(unused, 100)),
            planned_iterations=record.planned_iterations,
            dropped_iterations=record.dropped_iterations,
            late_starts=record.late_starts,
            interrupted=record.interrupted,
            checks=examine(self._signs()) if is_whole else [],
            lags=vitals.lags if is_whole else Histogram(),  # until the end another thread records into them
            cpu_ns=vitals.cpu_ns,
            pinned_cpu=record.pinned_cpu,
            failures=[_failure(group) for group in self._executor.failures.groups()] if is_whole else [],
            traceback=traceback,
            broken_off=broken_off or (None if met is None else met.broken_off),
            abort=self._abort_watch.abort,
            round=self._request.round_note,
            search=self._request.search,
            together=None if self._request.group is None else self._request.group.name,
            evidence=self.evidence(origin, began) if is_whole else [],
            evidence_most=self._users.evidence.most,
            clock=self._clock() if met is None else met.clock,
            targets=[[f"{address}:{port}" for address, port in self._users.targets.all()]] if is_whole else [],
            stacks=self._stacks.samples,
            foreign_names=list(self._users.fast_path_log.foreign()),
            tls_handshakes=self._tls_handshakes(),
            target_readings=self._target_readings(is_whole),
        )

    def _tls_handshakes(self) -> TlsHandshakes | None:
        log = self._users.handshakes
        return None if log is None else TlsHandshakes(log.full, log.resumed)

    def _clock(self) -> ClockOffset | None:
        return None if self._users.meter is None else self._users.meter.offset

    def _target_readings(self, is_whole: bool) -> list[TargetReadings]:
        """The targets' own numbers, during the load only if a threshold needs them."""
        watched = self._abort_watch.watched.values()
        is_needed = is_whole or any(config.threshold.measured.is_of_target for config in watched)
        return self._sampling.readings(is_whole=is_whole) if is_needed else []

    def evidence(self, origin_ns: int | None = None, began: float = 0.0) -> list[Evidence]:
        """The slowest and the first failed requests; of a load that has not begun, as if it began now."""
        if origin_ns is None:
            origin_ns, began = real_time.perf_counter_ns(), real_time.time()
        return self._users.evidence.collected(origin_ns, began)

    def abort_reason(self, measured: Measurements, elapsed_s: float) -> str | None:
        """The result of the first threshold with ``abort_on_fail`` that can no longer hold."""
        watch = self._abort_watch
        if not watch.watched:
            return None
        if self._shard.share.count > 1:  # the controller sees the whole load
            self._shard.progress(self._snapshots.take(self.part(is_whole=False), elapsed_s))
            return None
        profile, leases = self._request.profile, self._users.leases
        scope = Scope.of(  # how many iterations were planned, and dropped, is known at the end
            profile,
            elapsed_s - profile.warmup,
            pool_size=leases.addresses_total,
            addresses_used=len(leases.used),
            set_ups=self._executor.set_ups,
            targets=judged_targets(self._target_readings(is_whole=False), profile.warmup, elapsed_s),
        )
        return watch.look(measured, scope, elapsed_s)

    def _signs(self) -> CheckInput:
        """The input of this process's health checks."""
        shortage = self._users.shortage
        few_ports = [] if shortage is None else [fired_by_message("few-ports", shortage)]
        group = self._request.group
        others = [] if group is None else group.checks(self._request.item.nodeid)
        return CheckInput(
            record=self._executor.record,
            vitals=self._executor.vitals,
            foreseen=[*self._request.foreseen, *few_ports, *others, *self._without_steps()],
            left_fast_path=self._users.fast_path_log.calls(),
            gaps=self._users.stream_log.gaps,
            joined_gaps=self._users.stream_log.joined,
            unbound_adapters=self._users.fast_path_log.unbound(),
            own_ports=ports_served_here(self._users.targets.all()),
            workers_on_cpu=(group or self._request.place or self._state).workers_on_cpu,
        )

    def _without_steps(self) -> list[HealthCheck]:
        """Whether all steps of a scenario were left out."""
        measured = self._executor.measurements
        iterations = measured.count(ITERATION)
        has_run = measured.count(REQUEST) or measured.faults or measured.count(ITERATION, outcome=FAILED)
        if has_run or not iterations or not getattr(getattr(self._request.item, "obj", None), RUNS_STEPS, False):
            return []
        return [fired("no-step-run", f"no step was run in {format_count(iterations)} iterations")]


def _failure(group: FailureGroup) -> FailureSummary:
    first = FirstFailure(group.user, group.iteration, group.source_address, group.trace_id)
    return FailureSummary(group.type, group.message, group.location, group.count, first, group.users or None)
