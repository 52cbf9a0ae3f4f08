"""What a pytest session keeps for its load tests, in ``config.stash``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.settings.table import OFF, SKIP

if TYPE_CHECKING:
    from pytest_ipload.addresses.pool import IpPool
    from pytest_ipload.baselines.compare import Baselines
    from pytest_ipload.capacity.capacity_change import CapacityLimit
    from pytest_ipload.distributed.whole_loads import WorkerLoads
    from pytest_ipload.load.partition import Partition
    from pytest_ipload.plugin.run.load_test import LoadTest
    from pytest_ipload.plugin.run.segment_meetings import SegmentMeetings
    from pytest_ipload.settings.session_settings import SessionSettings
    from pytest_ipload.settings.url_names import UrlNames
    from pytest_ipload.stats.evidence.evidence import Evidence
    from pytest_ipload.stats.live import LiveListener
    from pytest_ipload.stats.spool.session_spools import Spools
    from pytest_ipload.transport.connect.tls import TlsContexts
    from pytest_ipload.transport.message.reply_head import ReplyHeads
    from pytest_ipload.verdict.conclusion import Conclusion
    from pytest_ipload.verdict.regression.comparison import Compare
    from pytest_ipload.verdict.regression.limit import CompareLimit

Results = list[dict[str, Any]]


class SessionState:
    """The session's settings, pools and results."""

    def __init__(self, settings: SessionSettings, pools: Pools) -> None:
        self.settings = settings
        self.pools = pools
        self.results: dict[tuple[str, str], Results] = {}
        """Results by test and by the xdist worker that ran it; a rerun replaces earlier ones."""
        self.running: pytest.Item | None = None
        """The test that may run loads and whose phase is running, or ran last."""
        self.shared_tests: Collection[str] = ()
        """In xdist's controller: the node ids of the load tests that workers share."""
        self.target_pids: list[int] = []
        """The processes of local targets that fixtures name; where there are none, the target's port says which."""
        self.spools: Spools | None = None
        """Where loads leave their samples; None if no report needs them."""
        self.audience: LiveListener | None = None
        """The listener for live numbers of this process's loads, or in the controller of its workers' loads."""
        self.show_request: Callable[[Evidence], None] | None = None
        """Shows each request of a user, with ``--ipload-debug``; None without it."""
        self.whole_loads: WorkerLoads | None = None
        """In a worker of xdist: the loads that it runs whole."""
        self.meetings: SegmentMeetings | None = None
        """Where the session's segment meets the others; None without a store."""
        self._tls: TlsContexts | None = None
        self._heads: ReplyHeads | None = None
        self._names: UrlNames | None = None
        self.templates: dict[Any, Any] = {}
        """Templates of requests, shared by all users of the session."""
        self._baselines: Baselines | None = None

    @property
    def segment(self) -> Partition | None:
        """The segment of each load that this session runs; None where it runs the whole of each."""
        if self.settings.segment is None:
            return None
        from pytest_ipload.load.partition import Partition, parse_segment

        share = parse_segment(self.settings.segment)
        return Partition(share.index, share.count, self.settings.weights)

    @property
    def share(self) -> Partition:
        """The part of each load that this session runs."""
        from pytest_ipload.load.partition import WHOLE

        return self.segment or WHOLE

    def start_at_ns(self, number: int) -> int | None:
        """When this session's load ``number`` (from 0) begins, in readings of ``perf_counter_ns``; None for at once."""
        if self.settings.start_at is None:
            return None
        from pytest_ipload.base import real_time

        start_at = self.settings.start_at + number * (self.settings.start_every or 0.0)
        return real_time.perf_counter_ns() + round((start_at - real_time.time()) * NS_PER_S)

    @property
    def tls(self) -> TlsContexts:
        """TLS contexts, shared by all users of the session."""
        if self._tls is None:
            from pytest_ipload.transport.connect.tls import TlsContexts

            self._tls = TlsContexts()
        return self._tls

    @property
    def cpu(self) -> int | None:
        """The CPU that this process is pinned to during loads; None where it may use all that are available."""
        pin = self.settings.pin
        if pin == OFF or self.settings.disabled:
            return None
        if isinstance(pin, int):
            return pin
        from pytest_ipload.load.generator.affinity import automatic_cpu

        return automatic_cpu(self.pools.slot[0])

    @property
    def workers_on_cpu(self) -> int:
        """How many workers, including this one, are pinned to the same CPU."""
        number, count = self.pools.slot
        if isinstance(self.settings.pin, int):
            return count
        from pytest_ipload.load.generator.affinity import usable_cpus

        cpus = usable_cpus()
        return len(range(number % cpus, count, cpus))

    @property
    def heads(self) -> ReplyHeads:
        """Heads of replies, shared by all users of the session."""
        if self._heads is None:
            from pytest_ipload.transport.message.reply_head import ReplyHeads

            self._heads = ReplyHeads()
        return self._heads

    @property
    def names(self) -> UrlNames | None:
        """The templates of request names, shared by all users of the session; None without one."""
        if self._names is None and self.settings.names:
            from pytest_ipload.settings.url_names import UrlNames

            self._names = UrlNames(self.settings.names)
        return self._names

    @property
    def baselines(self) -> Baselines | None:
        """The saved runs to compare with; None where no comparison is requested.

        Raises SettingError if the requested runs do not exist or are of no use.
        """
        settings = self.settings.baselines
        if settings.compare is None or self.settings.disabled:
            return None
        if self._baselines is None:
            from pytest_ipload.baselines.compare import Baselines
            from pytest_ipload.baselines.store import Store

            store, strict = Store(self.pools.base), self.settings.strict
            self._baselines = Baselines.read(
                store, settings.compare, settings.limits, strict=strict, capacity_limits=self.capacity_limits
            )
        return self._baselines

    @property
    def compare(self) -> Compare | None:
        """Compares a result with them."""
        return None if self.baselines is None else self.baselines.compare

    @property
    def compare_limits(self) -> list[CompareLimit]:
        """Limits for changes, beyond which a test fails."""
        from pytest_ipload.verdict.regression.limit import CompareLimit

        return [CompareLimit.parse(text) for text in self.settings.baselines.limits]

    @property
    def capacity_limits(self) -> list[CapacityLimit]:
        """Limits for changes of a capacity."""
        from pytest_ipload.capacity.capacity_change import CapacityLimit

        return [CapacityLimit.parse(text) for text in self.settings.baselines.capacity_limits]

    def all_results(self) -> Results:
        """All results, in the order in which they came."""
        return [result for results in self.results.values() for result in results]


class Pools:
    """The address pools of a session, each parsed and checked once."""

    def __init__(self, base: Path, settings: SessionSettings, slot: tuple[int, int]) -> None:
        self.base = base
        """The root directory of pytest."""
        self._settings = settings
        self.slot = slot
        """(number, count) of this process among its neighbours: each takes its own share of a pool."""
        self._named: dict[str, str] | None = None
        self._parsed: dict[tuple[str, tuple[int, int]], IpPool] = {}
        self._usable: dict[tuple[str, tuple[int, int]], IpPool] = {}

    def default(self) -> IpPool:
        """The session's pool; empty where none is set."""
        return self.get(self._settings.value("pool"))

    def get(self, text: str | None, share: tuple[int, int] | None = None) -> IpPool:
        """A share of the pool that a setting names or describes; empty for None. Raises PoolError.

        ``share`` is (number, count); without it, this process's slot. Where there are fewer addresses than processes,
        each uses them all.
        """
        from pytest_ipload.addresses.names import resolve_pool
        from pytest_ipload.addresses.pool import IpPool

        if text is None:
            return IpPool()
        spec = resolve_pool(text, self.named)
        number, count = share or self.slot
        pool = self._parsed.get((spec, (number, count)))
        if pool is None:
            pool = IpPool.parse(spec, base=self.base)
            if 1 < count <= pool.size:
                pool = pool.shard(number, count)
            self._parsed[spec, (number, count)] = pool
        return pool

    @property
    def named(self) -> dict[str, str]:
        """The named pools of the ini file. Raises PoolError."""
        if self._named is None:
            from pytest_ipload.addresses.names import parse_named_pools

            self._named = parse_named_pools(self._settings.named_pools)
        return self._named

    def usable(self, text: str | None, share: tuple[int, int] | None = None) -> IpPool:
        """The same, after each address was tried as a source.

        Raises PoolError naming the unusable ones; with ``--ipload-pool-check=skip`` they are left out,
        with ``off`` nothing is tried.
        """
        number, count = share or self.slot
        if text is None or self._settings.pool_check == OFF:
            return self.get(text, (number, count))
        key = text, (number, count)
        if key not in self._usable:
            if self._settings.pool_check == SKIP:
                # The other processes on this host find the same addresses unusable: the rest is divided evenly.
                rest = self._without_unusable(self.get(text, (0, 1)))
                self._usable[key] = rest.shard(number, count) if 1 < count <= rest.size else rest
            else:
                self._usable[key] = self.get(text, (number, count))
                self._usable[key].validate()
        return self._usable[key]

    def whole(self, text: str | None) -> IpPool:
        """The pool that all processes of this host share. Raises PoolError."""
        return (self.usable if self._settings.pool_check == SKIP else self.get)(text, (0, 1))

    def _without_unusable(self, pool: IpPool) -> IpPool:
        rest = pool.without(fault.address for fault in pool.unusable())
        if not rest:
            pool.validate()  # names everything that is wrong
        return rest


STATE = pytest.StashKey[SessionState]()
STARTER = pytest.StashKey[Callable[[pytest.Config], None]]()
"""Makes the state of a session that has none yet."""
_RESULTS = pytest.StashKey[Results]()
LOAD_TEST: pytest.StashKey[LoadTest] = pytest.StashKey()
"""In ``item.stash``, from its set-up on: the item as a load test."""


def is_started(config: pytest.Config) -> bool:
    """Whether the session has a state: without settings, it has none before its first load test is found."""
    return STATE in config.stash


def state_of(config: pytest.Config) -> SessionState:
    """The session's state; made when it is first needed."""
    if STATE not in config.stash:
        config.stash[STARTER](config)
    return config.stash[STATE]


def keep_result(item: pytest.Item, conclusion: Conclusion) -> None:
    """Keep a load's results for the item's report, and the main numbers as its user properties (JUnit and others)."""
    from pytest_ipload.verdict.result_properties import NAMES

    item.stash.setdefault(_RESULTS, []).extend(conclusion.results)
    # A rerun finds the properties of the run before it: they are replaced, not duplicated.
    others = [pair for pair in item.user_properties if pair[0] not in NAMES]
    item.user_properties[:] = [*others, *conclusion.properties.items()]


def kept_results(item: pytest.Item) -> Results:
    """The results of the item's loads so far."""
    return item.stash.get(_RESULTS, [])


def take_results(item: pytest.Item) -> Results:
    """The item's results, once."""
    results = kept_results(item)
    item.stash[_RESULTS] = []
    return results
