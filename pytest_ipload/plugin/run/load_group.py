"""Loads that run together in this process: one start, one CPU, and one end when the session is interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_ipload.base import real_time
from pytest_ipload.base.errors import GeneratorLimitError, SettingError
from pytest_ipload.base.health_catalogue import HealthCheck, fired
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.generator.surroundings import SharedSurroundings
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.stats.sample import FAILED, ITERATION, OK

if TYPE_CHECKING:
    from pytest_ipload.addresses.pool import IpPool
    from pytest_ipload.plugin.options.capacity import Capacity
    from pytest_ipload.plugin.run.load_run import Load
    from pytest_ipload.plugin.run.parked_items import ParkedItems
    from pytest_ipload.settings.load_profile import LoadProfile


class Search(NamedTuple):
    """A capacity search that runs together with other loads."""

    run: Callable[[int | None], object]
    """Runs all its rounds; the first one begins at this reading of the clock."""
    give_up: Callable[[str], object]
    """Ends its waiting for a verdict, for this reason."""


LOAD_GROUP: pytest.StashKey[LoadGroup] = pytest.StashKey()
"""In ``item.stash``: the group that a load test runs in; absent where it runs alone."""

_LEAD_NS = 50_000_000
"""From the moment when all are ready until the start: each thread has to be there before."""
_LOOK_S = 1.0
_ROUNDING_NS = 1_000_000


@dataclass
class _Member:
    """One load of the group."""

    nodeid: str
    load: Load
    hand_in: Callable[[], object]
    """Sends what this process measured to those that share the load."""
    break_down: Callable[[], object]
    """Tells them that nothing more will be handed in."""
    context: Context
    """That of pytest when its users were set up."""
    search: Search | None = None
    """Its capacity search; None for an ordinary load."""
    is_over: bool = False
    error: BaseException | None = None
    """What ended it."""
    ended_with: _Member | None = None
    """The search that ended it, as it was over itself."""

    @property
    def ended_early(self) -> bool:
        """Whether something ended it that was not in its plan."""
        is_aborted = self.search is None and self.load.executor.record.aborted is not None
        return self.error is not None or is_aborted

    @property
    def planned_end_ns(self) -> int:
        """From when on no iterations were to start."""
        record, ends_at = self.load.executor.record, self.load.profile.ends_at
        planned_ns = record.stopped_ns if ends_at is None else record.origin_ns + round(ends_at * NS_PER_S)
        return min(record.stopped_ns, planned_ns)


class Attention:
    """Lets pytest's fixture machinery be at one item, for one thread at a time."""

    def __init__(self, parked: ParkedItems, item: pytest.Item, lock: threading.RLock) -> None:
        self._parked = parked
        self._item = item
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.acquire()
        self._parked.switch_to(self._item)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class LoadGroup:
    """The loads of a group. All but ``_drive`` is called in pytest's thread."""

    def __init__(self, name: str, state: SessionState, parked: ParkedItems, refusal: str | None = None) -> None:
        self.name = name
        self.surroundings = SharedSurroundings()
        self.cpu, self.workers_on_cpu = state.cpu, state.workers_on_cpu  # now: once it is pinned, it sees one CPU
        self.refusal = refusal
        """Why none of the loads is run; None if they are."""
        self.skipped: list[str] = []
        """The tests that were skipped in their set-up."""
        self.seconds = 0.0
        """How long the loads ran, from the first start to the last end."""
        self._state = state
        self._parked = parked
        self._attention = threading.RLock()
        self._changed = threading.Condition()
        self._members: dict[str, _Member] = {}
        self._needs: list[tuple[LoadProfile, Capacity]] = []
        self._pools: list[tuple[str, LoadProfile, IpPool]] = []
        self._has_run = False
        self.interrupted_by: BaseException | None = None
        """What ended all loads that still ran."""

    def attention(self, item: pytest.Item) -> Attention:
        """What a user's thread holds while it uses pytest's fixture machinery for this item."""
        return Attention(self._parked, item, self._attention)

    # -- before the loads ----------------------------------------------------------------------------------------

    def refuse(self, nodeid: str) -> None:
        """A test could not be set up: the others are not run without it."""
        self.refusal = self.refusal or f"not run: {nodeid}, which runs together with it, could not be set up"
        for member in self._members.values():
            member.load.is_not_run()

    def add(
        self,
        nodeid: str,
        load: Load,
        hand_in: Callable[[], object],
        break_down: Callable[[], object],
        search: Search | None = None,
    ) -> None:
        """The users of a load are set up. ``hand_in`` sends its shard result; a ``search`` does so itself.

        ``break_down`` says that there will be none.
        """
        self._members[nodeid] = _Member(nodeid, load, hand_in, break_down, copy_context(), search)

    def go_on(self, nodeid: str, load: Load) -> None:
        """The next load of a search; called in its thread. Raises what ended all loads meanwhile."""
        with self._changed:
            self._members[nodeid].load = load
        if self.interrupted_by is not None:
            raise self.interrupted_by

    def _end_with_search(self, search: _Member) -> None:
        """A search is over, and the others are not needed any more, unless one of them is a search; in its thread."""
        with self._changed:
            running = [each for each in self._members.values() if not each.is_over and each is not search]
        if not any(each.search for each in running):
            for each in running:
                each.ended_with = search
                each.load.executor.ask_to_stop("the capacity search that ran together with it is over")

    def needs_of_all(self, profile: LoadProfile, own: Capacity) -> Capacity:
        """What a load needs from this host, together with those that have been prepared before it."""
        files = own.files + sum(needs.files for _, needs in self._needs)
        target = profile.pool, profile.base_url
        alike = [needs for other, needs in self._needs if (other.pool, other.base_url) == target]
        connections = own.connections + sum(needs.connections for needs in alike)
        sources = max(own.sources, *(needs.sources for needs in alike)) if alike else own.sources
        self._needs.append((profile, own))
        return replace(own, connections=connections, sources=sources, files=files)

    def check_pool(self, nodeid: str, profile: LoadProfile, pool: IpPool) -> None:
        """Raise SettingError if a load uses addresses that another one has exclusively, or the other way round."""
        for other, other_profile, other_pool in self._pools:
            if not (profile.ip_exclusive or other_profile.ip_exclusive):
                continue
            if (common := pool.first_common(other_pool)) is not None:
                raise SettingError(
                    f"{common} is in the pools of {nodeid} and {other}, which run together, and ip_exclusive=True "
                    "allows one user per address; give each a pool of its own"
                )
        self._pools.append((nodeid, profile, pool))

    # -- the loads ------------------------------------------------------------------------------------------------

    def run(self, nodeid: str, start_at_ns: int | None) -> bool:
        """Run all loads, unless that was done for another one already; then raise what ended this one.

        ``start_at_ns`` is the common start that the session has. Returns whether the loads ran now.
        """
        runs_now, self._has_run = not self._has_run, True
        if runs_now:
            began = real_time.perf_counter_ns()
            try:
                self._run_all(start_at_ns)
            finally:
                self.surroundings.close()
                self.seconds = (real_time.perf_counter_ns() - began) / NS_PER_S
            self._hand_in()
        if (error := self._members[nodeid].error) is not None:
            raise error
        return runs_now

    def _hand_in(self) -> None:
        """Before any verdict is waited for: if the session is interrupted, the controller wants all measurements."""
        for member in self._members.values():
            if member.error is None and not member.load.is_whole and member.search is None:
                member.hand_in()

    def _run_all(self, start_at_ns: int | None) -> None:
        self.surroundings.freeze()
        is_alone = all(member.load.is_whole for member in self._members.values())
        if start_at_ns is None and is_alone:  # else the controller of the workers says when
            start_at_ns = real_time.perf_counter_ns() + _LEAD_NS
        loads = self._state.whole_loads
        try:
            if loads is not None and is_alone:
                with loads.going_on(self.stop_all):
                    self._start_and_wait(start_at_ns)
            else:
                self._start_and_wait(start_at_ns)
        except KeyboardInterrupt as error:  # the controller of the workers has ended the session
            self._interrupt(error)

    def _start_and_wait(self, start_at_ns: int | None) -> None:
        threads = [
            threading.Thread(
                target=member.context.run,
                args=(self._drive, member, None if start_at_ns is None else start_at_ns + _after_ns(member)),
                name=f"ipload-together-{number}",
                daemon=True,
            )
            for number, member in enumerate(self._members.values())
        ]
        for thread, member in zip(threads, self._members.values(), strict=True):
            try:
                thread.start()
            except RuntimeError as error:
                member.error = GeneratorLimitError(f"the load could not be started: {error}; use fewer users")
                member.is_over = True
                member.break_down()
        while not self._are_all_over():
            try:
                with self._changed:
                    if not self._are_all_over():
                        self._changed.wait()
            except BaseException as error:  # Ctrl-C, or a timeout: nothing is left running
                self._interrupt(error)

    def _are_all_over(self) -> bool:
        return all(member.is_over for member in self._members.values())

    def _drive(self, member: _Member, start_at_ns: int | None) -> None:
        """Run one load, in a thread of its own."""
        error: BaseException | None = None
        try:
            run = member.load.run if member.search is None else member.search.run
            run(start_at_ns)
        except BaseException as raised:
            error = raised
            self._say_that_it_broke_down(member, error)
        if member.search is not None:
            self._end_with_search(member)
        with self._changed:
            member.error, member.is_over = member.error or error, True
            self._changed.notify_all()
        if error is not None and _ends_session(error):
            self._interrupt(error)

    def _say_that_it_broke_down(self, member: _Member, error: BaseException) -> None:
        """Now, if its own turn to hand in comes only when the others are over, who may be waiting for it elsewhere."""
        is_waited_for = member.search is not None or not member.load.has_begun
        if is_waited_for and not _ends_session(self.interrupted_by or error):
            member.break_down()

    def _interrupt(self, error: BaseException) -> None:
        """End the loads that still run, at once: they were ended by this. If the session ends by it, so were all."""
        with self._changed:
            self.interrupted_by = self.interrupted_by or error
            for member in self._members.values():
                if not member.is_over or _ends_session(error):
                    member.error = member.error or error
        reason = f"interrupted by {type(error).__name__}"
        self.stop_all(reason, hurry=True)
        for member in self._members.values():
            if member.search is not None and not member.is_over:
                member.search.give_up(reason)

    def stop_all(self, reason: str, *, hurry: bool = False) -> None:
        """End the loads that still run. For any thread."""
        for member in self._members.values():
            if not member.is_over:
                member.load.executor.ask_to_stop(reason, hurry=hurry)

    # -- afterwards -----------------------------------------------------------------------------------------------

    def checks(self, nodeid: str) -> list[HealthCheck]:
        """What the other loads mean for the measurement of this one."""
        own = self._members.get(nodeid)
        found = []
        if own is not None and (not own.ended_early or own.ended_with is not None):
            ended = [each.nodeid for each in self._members.values() if _left_alone(own, each)]
            if ended:
                found.append(fired("partner-ended", f"{', '.join(ended)} ended before its time"))
            over = [each.nodeid for each in self._members.values() if _is_too_short(own, each)]
            if over:
                advice = "Give it a duration that is longer than the search takes; it ends when the search does"
                found.append(fired("partner-ended", f"{', '.join(over)} ended before the capacity search", advice))
            failed = [each for each in self._members.values() if each.nodeid not in ended and _only_failed(own, each)]
            if failed:
                found.append(
                    fired("partner-failed", f"all iterations of {', '.join(each.nodeid for each in failed)} failed")
                )
        if self.skipped:
            found.append(fired("partner-skipped", f"{', '.join(self.skipped)} was skipped"))
        return found

    def own_seconds(self, nodeid: str) -> float:
        """How long a load ran; 0 if it was not set up."""
        member = self._members.get(nodeid)
        return 0.0 if member is None else member.load.executor.record.seconds

    def close(self) -> None:
        """All tests of the group are over, whether their loads ran or not."""
        self.surroundings.close()


def _after_ns(member: _Member) -> int:
    return round((member.load.profile.start_after or 0.0) * NS_PER_S)


def _ends_session(error: BaseException) -> bool:
    return isinstance(error, (KeyboardInterrupt, pytest.exit.Exception))


def _left_alone(own: _Member, other: _Member) -> bool:
    """Whether another load ended early while this one was still to start iterations."""
    if other is own or not other.ended_early:
        return False
    if own.ended_with is not None:
        return own.ended_with is other
    return other.load.executor.record.stopped_ns < own.planned_end_ns


def _is_too_short(own: _Member, other: _Member) -> bool:
    """Whether the plan of another load ended before that of a round of this search, or the load had nothing to do."""
    if own.search is None or other is own or other.search is not None or other.ended_early:
        return False
    record, ends_at = other.load.executor.record, other.load.profile.ends_at
    if ends_at is not None:
        return record.origin_ns + round(ends_at * NS_PER_S) < own.planned_end_ns - _ROUNDING_NS
    return other.is_over and record.stopped_ns < own.planned_end_ns


def _only_failed(own: _Member, other: _Member) -> bool:
    """Whether another load ran beside this one, and not one of its iterations succeeded."""
    record, measured = other.load.executor.record, other.load.executor.measurements
    if other.search is not None:  # its rounds are meant to find out where it fails
        return False
    if other is own or record.origin_ns > own.planned_end_ns or record.ended_ns < own.load.executor.record.origin_ns:
        return False
    return measured.count(ITERATION, outcome=FAILED) > 0 and measured.count(ITERATION, outcome=OK) == 0
