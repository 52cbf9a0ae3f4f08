"""The virtual user, as fixtures and test bodies see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from pytest_ipload.addresses.source_address import SourceAddress
from pytest_ipload.base import real_time
from pytest_ipload.base.errors import IploadError, RendezvousEnded
from pytest_ipload.load.acting_user import ActingUser
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.iteration_log import IterationLog
from pytest_ipload.load.native_calls import NativeCalls
from pytest_ipload.load.pauses import Pauses
from pytest_ipload.load.timed_block import TimedBlock
from pytest_ipload.load.traced_user import TracedUser
from pytest_ipload.load.user_connections import ConnectingUser
from pytest_ipload.load.user_coroutines import UserCoroutines
from pytest_ipload.load.user_metrics import MeasuringUser, UserMetrics
from pytest_ipload.stats.fault_text import message_of, own_fault
from pytest_ipload.stats.recorder import Key
from pytest_ipload.stats.sample import (
    FAILED,
    FAULT,
    ITERATION,
    OK,
    REQUEST,
    SETUP,
    STEP,
    Problem,
    Sample,
    timed_sample,
    with_lateness,
)

if TYPE_CHECKING:
    from pytest_ipload.load.rendezvous import RendezvousPoints
    from pytest_ipload.load.test_data.data_feeds import DataFeeds, Rows, Source, UserFeeds
    from pytest_ipload.transport.connect.user_sockets import UserSockets
    from pytest_ipload.transport.session import LoadSession

SessionFactory = Callable[["VirtualUser"], "LoadSession"]


@dataclass(slots=True, unsafe_hash=True)  # not frozen: that triples the cost of making one, in each iteration
class Iteration:
    """One run of the body: its ``number`` (from 0, per user) and its ``user``."""

    number: int
    user: VirtualUser = field(repr=False)


class VirtualUser(ConnectingUser, MeasuringUser, ActingUser, TracedUser):
    """One virtual user of a load, living on one thread.

    ``index`` counts from 0 over the whole load and stays the same when a load is divided. ``state`` is a dict for the
    test's own use. ``random`` is a ``random.Random`` of (seed, index): the same user draws the same values in each run.
    """

    def __init__(
        self,
        index: int,
        *,
        seed: int,
        source_addresses: tuple[str, ...],
        record: Callable[[Sample], None],
        tally: Callable[[Key, int, int], None] | None = None,
        make_session: SessionFactory | None = None,
        before_measure: Callable[[], object] | None = None,
        before_async_measure: Callable[[], Awaitable[object]] | None = None,
        feed_book: DataFeeds | None = None,
        meetings: RendezvousPoints | None = None,
        sockets: UserSockets | None = None,
        metrics: UserMetrics | None = None,
    ) -> None:
        self.index = index
        self.iteration = 0
        """Number of the running iteration, from 0."""
        self._seed = seed
        self._random: Random | None = None
        self.state: dict[str, Any] = {}
        self._record = record
        self._tally = tally or self._record_ordinary
        self._make_session = make_session
        self._before_measure = before_measure
        self._before_async_measure = before_async_measure
        self._feed_book = feed_book
        self._feeds: UserFeeds | None = None
        self._rendezvous_points = meetings
        self._session: LoadSession | None = None
        self._sockets = sockets
        self.coroutines = UserCoroutines(sockets)
        self._log = IterationLog()
        self._metrics = metrics or UserMetrics(None, None)
        self._pauses = Pauses(self._log)
        self.native_calls = NativeCalls()
        self._lease(tuple(map(SourceAddress.parse, source_addresses)))
        self.before_iteration: Callable[[VirtualUser], None] | None = None
        """Called before each iteration, in the user's thread; changes its lease where leases last an iteration."""
        self.notes_held = False
        """Whether ``held_ns`` includes late readings of replies: only iterations with planned starts need it."""
        self.stirred_ns: int | None = None
        """When its last request outside of iterations ended; None before the first."""
        self.awaits_work = False
        """Whether it waits for work of ours; see ``awaited_work``."""

    def __repr__(self) -> str:
        return f"<VirtualUser {self.index} from {self.source_address or 'any address'}>"

    @property
    def random(self) -> Random:
        """Random numbers of this user's own: the same user draws the same values in each run."""
        if self._random is None:
            self._random = Random(f"{self._seed}:{self.index}")  # 2.5 KiB, which most users do without
        return self._random

    @property
    def session(self) -> LoadSession:
        """This user's HTTP session, opened on first use and closed when the user leaves."""
        if self._session is None:
            if self._make_session is None:
                raise RuntimeError(f"user {self.index} cannot create a session")
            self._session = self._make_session(self)
        return self._session

    def bind(self, sources: tuple[SourceAddress, ...]) -> None:
        """Leave from these addresses (at most one per family) from now on."""
        self._lease(sources)
        if self._session is not None:
            self._session.rebind(sources)
        if self._sockets is not None:
            self._sockets.rebind(sources)

    def _lease(self, sources: tuple[SourceAddress, ...]) -> None:
        self.sources = sources
        """What the session binds its sockets to."""
        self.source_addresses = tuple(source.address for source in sources)
        """The leased addresses, at most one per family; empty where the operating system chooses."""
        self.source_address = self.source_addresses[0] if sources else None
        """The leased source address; None where the operating system chooses."""
        self._iteration_key: Key = (ITERATION, "", self.source_address, 0, OK)

    def feed(self, source: Source, order: str = "sequential") -> Rows:
        """This user's rows of test data: an iterator, and the same one each time for the same source and order.

        ``source`` is a list (or any iterable) of rows, or the path of a file: ``.csv`` with a header row gives dicts,
        ``.jsonl`` and ``.ndjson`` any JSON values. A relative path leads from the test's file, else from pytest's
        rootdir. ``order`` is ``sequential`` (user i of U has the rows i, i + U, i + 2 U, ... and starts over at the
        end), ``unique`` (the same, but no row is handed out twice) or ``random`` (seeded, with replacement).

        Raises FeedError and SettingError; where unique rows run out, ``next`` raises FeedExhausted.
        """
        __tracebackhide__ = True
        if self._feed_book is None:
            raise IploadError(f"user {self.index} is not part of a load, so it has no test data")
        try:
            self._feeds = self._feeds or self._feed_book.of_user(self.index)
            return self._feeds.rows(source, order)
        except IploadError as error:
            raise error.with_traceback(None) from None  # the location in our own code does not help

    def rendezvous(self, name: str, n: int, timeout: float | str = 30.0) -> None:
        """Wait here until ``n`` users of the load have arrived, then continue all at once; the next n form a new group.

        ``timeout`` is seconds, or a text such as ``5s``. Raises RendezvousTimeout; SettingError for an ``n`` that this
        load can never reach, or that the waiting users did not give; RendezvousEnded when the load is over, which
        makes the iteration neither a failed nor a completed one.
        """
        __tracebackhide__ = True
        if self._rendezvous_points is None:
            raise IploadError(f"user {self.index} is not part of a load, so it has no rendezvous")
        try:
            self._rendezvous_points.arrive(self.index, name, n, timeout)
        except IploadError as error:
            raise error.with_traceback(None) from None

    def pause(self, span: float | str) -> None:
        """Wait, as a person does who reads a page: ``pause("2s")``, or ``pause("1s-3s")``, drawn from ``random``.

        It is not part of the time of the iteration and of the steps around it. If the load ends meanwhile and its
        graceful stop has passed, the iteration is not counted. Raises SettingError.
        """
        __tracebackhide__ = True
        self._pauses.wait(span, self.random)

    @property
    def paused_ns(self) -> int:
        """How long the running iteration has paused so far."""
        return self._log.paused_ns

    def step(self, name: str) -> TimedBlock:
        """Time a named part of the iteration: ``with user.step("checkout"):``, in a coroutine also ``async with``.

        It fails as the iteration would: by an exception, which propagates, or by a request that failed in it.
        """
        return TimedBlock(self, STEP, name)

    def measure(self, name: str) -> TimedBlock:
        """Record what happens inside as one request sample, a call of any protocol, by ``with`` or ``async with``.

        An exception makes it a failed sample, and propagates.
        """
        return TimedBlock(self, REQUEST, name)

    def wait_for_turn(self) -> None:
        """Wait for the turn of a request under the load's ``max_rate``."""
        if self._before_measure is not None:
            self.wait_for(self._before_measure)

    async def wait_for_turn_async(self) -> None:
        """The same in a coroutine: the user's other tasks continue."""
        if self._before_async_measure is not None:
            began_ns = real_time.perf_counter_ns()
            await self._before_async_measure()
            self._log.held_ns += real_time.perf_counter_ns() - began_ns

    def record(self, sample: Sample) -> None:
        """Take a sample: stamp it with the iteration's lateness, remember its failure, hand it on."""
        log = self._log
        if not log.running:
            if sample.kind == STEP:
                return  # a step is a part of an iteration
            self.stirred_ns = sample.started_ns + sample.latency_ns
            sample = sample._replace(kind=SETUP)
        elif sample.outcome != OK and sample.kind != STEP:
            log.note(sample)
        if self.notes_held and sample.kind == REQUEST and sample.outcome != FAULT:
            log.note_late_read(sample.started_ns + sample.latency_ns)
        if log.lateness_ns:
            sample = with_lateness(sample, log.lateness_ns)
        self._record(sample)

    def tally(self, key: Key, started_ns: int, latency_ns: int) -> None:
        """Take a successful request by its numbers; see ``Recorder.tally``."""
        log = self._log
        if log.running and not log.lateness_ns:
            if self.notes_held:
                log.note_late_read(started_ns + latency_ns)
            tally = self._tally
            tally(key, started_ns, latency_ns)
        else:
            kind, name, source_address, status, outcome = key
            self.record(timed_sample(kind, name, started_ns, latency_ns, outcome, status, source_address))

    def tally_event(self, key: Key, started_ns: int, latency_ns: int) -> None:
        """Take the time before an event of a stream. Like set-up and teardown, their streams are not judged."""
        if self._log.running:
            self._tally(key, started_ns, latency_ns)

    def _record_ordinary(self, key: Key, started_ns: int, latency_ns: int) -> None:
        kind, name, source_address, status, outcome = key
        self._record(timed_sample(kind, name, started_ns, latency_ns, outcome, status, source_address))

    @property
    def held_ns(self) -> int:
        """How much of the last iteration was none of the target's and the body's time.

        That are the waits for a lease or a turn, and the times from the arrival of a reply until this thread had it.
        """
        return self._log.held_ns

    def begin_iteration(self, number: int, lateness_ns: int, started_ns: int = 0) -> None:
        """The executor starts an iteration that the target made ``lateness_ns`` late against its plan.

        Requests that start before ``started_ns`` belong to earlier ones.
        """
        self.iteration = number
        log = self._log  # the same one in each iteration: to make a new one costs more than to clear it
        log.held_ns = log.paused_ns = 0
        if self.before_iteration is not None:
            self.wait_for(partial(self.before_iteration, self))
        if log.failed:
            log.forget_failures()
        log.running = True
        log.lateness_ns = lateness_ns
        log.began_ns = started_ns

    def wait_for(self, turn: Callable[[], object]) -> None:
        """Wait for something of the load's own, such as a turn under its ``max_rate``: see ``held_ns``."""
        began_ns = real_time.perf_counter_ns()
        try:
            turn()
        except IterationInterrupted:  # the target has no part in it: the iteration is dropped, as at a rendezvous
            raise RendezvousEnded("the load ended while the iteration waited for its turn or its lease") from None
        self._log.held_ns += real_time.perf_counter_ns() - began_ns

    def end_iteration(self, started_ns: int, ended_ns: int, error: BaseException | None) -> Problem | None:
        """The executor ends the iteration; returns the problem of the first failed request, if one failed.

        The iteration fails if its body raised (``error``) or if one of its requests failed.
        """
        log = self._log
        if error is None and log.problem is None and not log.lateness_ns and not log.paused_ns:
            log.running = False
            tally = self._tally  # found faster than as a method
            tally(self._iteration_key, started_ns, ended_ns - started_ns)
            return None
        if error is not None:
            self._record_fault(error, started_ns)
        problem, lateness_ns = log.problem, log.lateness_ns
        log.running, log.lateness_ns = False, 0
        outcome = OK if error is None and problem is None else FAILED
        if outcome == FAILED:
            log.problem, log.has_fault = None, False
        latency_ns, source = ended_ns - started_ns, self.source_address
        if log.paused_ns:
            latency_ns, log.paused_ns = max(0, latency_ns - log.paused_ns), 0
        if outcome == OK and not lateness_ns:
            self._tally(self._iteration_key, started_ns, latency_ns)
        else:
            self._record(timed_sample(ITERATION, "", started_ns, latency_ns, outcome, 0, source, lateness_ns))
        return problem

    def drop_iteration(self) -> bool:
        """The executor forgets the iteration; False if one of its requests failed: then it has to be ended."""
        if self._log.problem is not None:
            return False
        self._log.running, self._log.lateness_ns, self._log.paused_ns = False, 0, 0
        return True

    def _record_fault(self, error: BaseException, started_ns: int) -> None:
        """Record a fault of a socket of ours that was opened outside of ``measure``."""
        fault = own_fault(error)
        if fault and not self._log.has_fault:
            problem = Problem(type(error).__name__, message_of(error), "")
            self.record(Sample(REQUEST, "", started_ns, 0, FAULT, problem=problem, fault=fault))

    def interrupt(self) -> None:
        """Close this user's sockets under its feet, from another thread: blocking calls on them end.

        So do its pauses, and its waiting at a rendezvous.
        """
        if self._session is not None:
            self._session.interrupt()
        if self._sockets is not None:
            self._sockets.interrupt()
        # Last: who waits goes on to its teardown at once, whose sockets are not meant.
        self._pauses.interrupt()
        if self._rendezvous_points is not None:
            self._rendezvous_points.interrupt(self.index)

    def resume(self) -> None:
        """Let the session send requests again: what was interrupted is over, and the teardown begins."""
        self._pauses.resume()
        self.native_calls.resume()
        if self._session is not None:
            self._session.resume()
        if self._sockets is not None:
            self._sockets.resume()

    def detach(self) -> None:
        """Record nothing any more. For the executor, which has given this user up: its thread may still wake up."""
        self._record = self._tally = _discard
        self._metrics.recorder = None
        if self._sockets is not None:
            self._sockets.leave()

    def in_own_thread(self) -> AbstractContextManager[None]:
        """As long as this is entered, the sockets of the calling thread are the user's."""
        return nullcontext() if self._sockets is None else self._sockets.in_thread()

    def running_lateness_ns(self) -> int:
        """How late the running iteration began."""
        return self._log.lateness_ns

    def close(self) -> None:
        """Close the session, when the user leaves."""
        if self._session is not None:
            self._session.close()


def _discard(*_: object) -> None:
    """Takes the samples of detached users, and discards them."""
