"""The result of a load in this process, while it runs and at its end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from pytest_ipload.addresses.host.own_listeners import ports_served_here
from pytest_ipload.base import real_time
from pytest_ipload.base.health_catalogue import HealthCheck
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.executor import Executor
from pytest_ipload.load.failure_log import FailureGroup
from pytest_ipload.load.generator.checks import CheckInput, examine
from pytest_ipload.plugin.run.load_request import LoadRequest
from pytest_ipload.plugin.run.load_users import LoadUsers
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.verdict.conclude import scope_of
from pytest_ipload.verdict.result import FailureSummary, FirstFailure, Traceback
from pytest_ipload.verdict.shard_group import Shard
from pytest_ipload.verdict.shard_result import AbortNote, ShardResult
from pytest_ipload.verdict.snapshots import SnapshotTaker
from pytest_ipload.verdict.threshold.abort import AbortWatch
from pytest_ipload.verdict.threshold.remaining_load import Plan


class LoadResults:
    """Provides the measurements, and whether a threshold can no longer hold."""

    def __init__(
        self,
        state: SessionState,
        request: LoadRequest,
        users: LoadUsers,
        executor: Executor,
        shard: Shard | None,
        foreseen: Sequence[HealthCheck],
    ) -> None:
        """This process is one of those that share the load, if there is a ``shard``."""
        self._state = state
        self._request = request
        self._users = users
        self._executor = executor
        self._shard = shard
        self._foreseen = foreseen
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
        unused = (address for address in self._users.pool if address not in used) if unused_count else iter(())
        return ShardResult(
            nodeid=self._request.item.nodeid,
            profile=self._request.profile.masked(),
            thresholds=list(self._request.thresholds),
            strict=self._state.settings.strict,
            started_at=real_time.time() - (real_time.perf_counter_ns() - origin) / NS_PER_S,
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
            broken_off=broken_off,
            abort=self._abort_note(),
            round=self._request.round_note,
            clock=None if self._users.meter is None else self._users.meter.offset,
            targets=[[f"{address}:{port}" for address, port in self._users.targets.all()]] if is_whole else [],
        )

    def _abort_note(self) -> AbortNote | None:
        abort = self._abort_watch.abort
        if abort is None:
            return None
        number = next(number for number, config in enumerate(self._request.thresholds) if config is abort.config)
        return AbortNote(number, abort.after_s, abort.result)

    def abort_reason(self, measured: Measurements, elapsed_s: float) -> str | None:
        """The result of the first threshold with ``abort_on_fail`` that can no longer hold."""
        watch = self._abort_watch
        if not watch.watched:
            return None
        if self._shard is not None and self._shard.share.count > 1:  # the controller sees the whole load
            self._shard.progress(self._snapshots.take(self.part(is_whole=False), elapsed_s))
            return None
        scope = scope_of(self.part(is_whole=False), elapsed_s - self._request.profile.warmup)
        return watch.look(measured, scope, elapsed_s)

    def _signs(self) -> CheckInput:
        """The input of this process's health checks."""
        return CheckInput(
            record=self._executor.record,
            vitals=self._executor.vitals,
            foreseen=self._foreseen,
            left_fast_path=self._users.fast_path_log.calls(),
            unbound_adapters=self._users.fast_path_log.unbound(),
            own_ports=ports_served_here(self._users.targets.all()),
            workers_on_cpu=self._state.workers_on_cpu,
        )


def _failure(group: FailureGroup) -> FailureSummary:
    first = FirstFailure(group.user, group.iteration, group.source_address)
    return FailureSummary(group.type, group.message, group.location, group.count, first, group.users or None)
