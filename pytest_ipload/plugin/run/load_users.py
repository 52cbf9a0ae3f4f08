"""The users of one load, as its executor needs them: with source addresses, sessions, data and a common pace."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pytest_ipload.addresses.host.own_listeners import Targets
from pytest_ipload.addresses.leasing import LeaseManager, LeasePolicy
from pytest_ipload.load.partition import Partition
from pytest_ipload.load.rate_limit import RateLimit
from pytest_ipload.load.rendezvous import RendezvousPoints
from pytest_ipload.load.schedule import user_slots
from pytest_ipload.load.test_data.data_feeds import DataFeeds
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_leases import REQUEST, UserLeases
from pytest_ipload.load.user_metrics import MetricNames, UserMetrics
from pytest_ipload.load.user_thread import Scenario
from pytest_ipload.plugin.hook_calls import user_hooks
from pytest_ipload.plugin.options.capacity import Capacity, refuse_impossible
from pytest_ipload.plugin.run.load_evidence import LoadEvidence
from pytest_ipload.plugin.run.load_request import LoadRequest
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.settings.table import OFF
from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.transport.curl.libcurl import check_http_version
from pytest_ipload.transport.path_log import FastPathLog
from pytest_ipload.transport.stream_log import StreamLog
from pytest_ipload.verdict.origin import OffsetMeter

if TYPE_CHECKING:
    from pytest_ipload.addresses.pool import IpPool
    from pytest_ipload.transport.session import LoadSession


class LoadUsers:
    """Makes users, and holds what they share."""

    def __init__(self, state: SessionState, request: LoadRequest, pool_share: tuple[int, int]) -> None:
        """``pool_share`` is this process's share of the addresses: its number, and of how many.

        Raises PoolError, GeneratorLimitError or SettingError before anything is started.
        """
        # Late, as these import the HTTP client; and before the clock of the load starts.
        from pytest_ipload.transport.allowed_hosts import AllowedHosts
        from pytest_ipload.transport.connect.binding import OpenedConnections
        from pytest_ipload.transport.connect.reply_queue import queue_for
        from pytest_ipload.transport.connect.tls_sessions import HandshakeLog

        profile = self._profile = request.profile
        check_http_version(profile.http)
        self._state = state
        self._pool_share = pool_share
        self.pool: IpPool = state.pools.usable(profile.pool, self._pool_share)
        whole = state.pools.whole(profile.pool)
        self.shares_pool = 0 < whole.size < self._pool_share[1]
        if self.shares_pool and profile.ip_exclusive:
            whole.shard(*self._pool_share)  # raises if there are too few
        needs = Capacity.of(profile, self.pool, is_async=request.is_async)
        if request.group is not None:
            request.group.check_pool(request.item.nodeid, profile, self.pool)
            needs = request.group.needs_of_all(profile, needs)
        refuse_impossible(profile, self.pool, needs, routes=state.settings.pool_check != OFF)
        self.shortage = needs.shortage()
        """Shortages that were found, such as of local ports."""
        self.targets = Targets()
        self.meter = None if state.settings.segment is None else OffsetMeter()
        self.fast_path_log = FastPathLog()
        self.stream_log = StreamLog()
        self.opened = OpenedConnections()
        self.handshakes = HandshakeLog() if profile.tls_resumption else None
        self.evidence = LoadEvidence(state)
        self._guard = AllowedHosts(state.settings.allowed_hosts, profile.base_url)
        self.leases = self._open_leases(request.share)
        self.rate_limit = None if profile.max_rate is None else RateLimit(profile.max_rate, share=request.share)
        self._make_scenario = request.make_scenario
        self._user_hooks = user_hooks(request.item)
        # With stages, users that start later have new numbers: there are more numbers than concurrent users.
        self._feeds = DataFeeds(max(len(user_slots(profile)), profile.most_users), profile.seed, request.folders)
        self._metric_names = MetricNames()
        self.replies = queue_for(request.share.size_of(profile.most_users))
        """Where users wait for their replies; None where each does so by itself."""
        self.meetings = RendezvousPoints(profile.most_users, state.settings.disabled, request.share)

    def reopen(self) -> None:
        """Another round begins: users may wait for addresses, and for each other, again."""
        self.leases.reopen()
        self.meetings.reopen()
        self.evidence.begin_again()
        if self.replies is not None:
            self.replies.open()

    def close(self) -> None:
        """The round has ended, and users that go on do so in the next one."""
        if self.replies is not None:
            self.replies.close()

    def make_user(self, index: int, recorder: Recorder) -> VirtualUser:
        """A user without a lease."""
        from pytest_ipload.transport.connect.user_sockets import UserSockets

        evidence = self.evidence.recorder(recorder.record)
        record, tally = recorder.record if evidence is None else evidence.record, recorder.tally
        traces = self.evidence.traces_of(record, tally)
        if traces is not None:
            record, tally = traces.record, traces.tally
        user = VirtualUser(
            index,
            seed=self._profile.seed,
            source_addresses=(),
            record=record,
            tally=tally,
            make_session=self._make_session,
            before_measure=None if self.rate_limit is None else self.rate_limit.wait,
            before_async_measure=None if self.rate_limit is None else self.rate_limit.wait_async,
            feed_book=self._feeds,
            meetings=self.meetings,
            metrics=UserMetrics(self._metric_names, recorder),
            sockets=UserSockets(self._guard, self.opened, self.targets, in_force=self._profile.bind_sockets == "all"),
        )
        if traces is not None:
            traces.user = user
        return self.evidence.attach(user, evidence)

    def make_scenario(self, user: VirtualUser) -> Scenario:
        """What the user does."""
        scenario = self._make_scenario(user)
        return scenario if self._user_hooks is None else self._user_hooks.round(scenario, user)

    def _open_leases(self, share: Partition) -> UserLeases:
        profile = self._profile
        number, count = self._pool_share

        def turn_of(user: int) -> int:
            """The user's index among those of this process, or of all processes that share the addresses."""
            turn = share.size_of(user)
            return turn * count + number if self.shares_pool and share.fraction < 1 else turn

        fallback = (
            None if profile.fallback_pool is None else self._state.pools.usable(profile.fallback_pool, self._pool_share)
        )
        policy = LeasePolicy(
            order=profile.ip_order,
            exclusive=profile.ip_exclusive,
            on_exhaustion=profile.on_exhaustion if fallback is None else "fallback",
            wait_s=profile.ip_wait,
            seed=profile.seed,
        )
        book = LeaseManager(self.pool, policy, fallback, turn_of=turn_of)
        return UserLeases(book, self.pool.families, profile.ip_binding)

    def _make_session(self, user: VirtualUser) -> LoadSession:
        from pytest_ipload.transport.session import LoadSession

        session = LoadSession(
            source_address=user.sources or None,
            base_url=self._profile.base_url,
            timeout=self._profile.timeout,
            allowed_hosts=self._guard,
            record=user.record,
            tally=user.tally,
            tls=self._state.tls,
            heads=self._state.heads,
            templates=self._state.templates,
            before_call=self._before_call(user),
            fast=self._profile.fast,
            http=self._profile.http,
            names=self._state.names,
            tls_resumption=self._profile.tls_resumption,
            fast_path_log=self.fast_path_log,
        )
        session.tally_event, session.stream_log = user.tally_event, self.stream_log
        session.evidence, session.tracer = user.evidence, user.tracer
        session.binding.targets = self.targets
        session.binding.opened = self.opened
        session.binding.queue = self.replies
        if session.binding.tls_sessions is not None:
            session.binding.tls_sessions.log = self.handshakes
        session.binding.fail_request = user.fail_request
        if self.meter is not None:
            self.meter.watch(session)
        return session

    def _before_call(self, user: VirtualUser) -> Callable[[], object] | None:
        """Called before each request of a user."""
        limit = self.rate_limit
        if self._profile.ip_binding != REQUEST:
            return None if limit is None else partial(user.wait_for, limit.wait)
        if limit is None:
            return partial(user.wait_for, partial(self.leases.renew, user))

        def in_turn_with_a_new_lease() -> None:
            limit.wait()  # first, so that no lease is held while waiting
            self.leases.renew(user)

        return partial(user.wait_for, in_turn_with_a_new_lease)
