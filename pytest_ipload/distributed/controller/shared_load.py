"""One load test that several workers share: its states, as the controller sees them.

::

    WAIT -> SET_UP -> SYNC -> RUN -> VERDICT -> CLOSED

In SET_UP the workers set up their users; in SYNC their clocks are compared; in RUN they load; in VERDICT all shard
results have arrived, and each worker gets the one conclusion. What goes wrong before the load, or keeps a worker from
delivering its shard result, *aborts* the test: no verdict. A threshold that can no longer hold, or a lost worker,
*stops* the load: what was measured is judged. With several rounds a test goes back from VERDICT to SET_UP. The class
has no clock, no lock and no channel of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from pytest_ipload.base.code_location import in_words
from pytest_ipload.base.packing import pack
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.distributed.controller.known_worker import Worker
from pytest_ipload.distributed.protocol.clocks import ClockOffset
from pytest_ipload.distributed.protocol.messages import Message
from pytest_ipload.stats.live import LiveNumbers, together
from pytest_ipload.verdict.conclusion import Conclusion

Send = Callable[[str, Message], None]
"""Sends a message to the worker of that name; never raises."""
Look = Callable[[str, list[list[bytes]], float], str | None]
"""Why a load has to be stopped everywhere, from the new snapshots of each worker and the seconds since the start."""
Conclude = Callable[[str, list[bytes], list[tuple[str, str]]], Conclusion]
"""The verdict on all shard results; the second list has the workers that were lost, and why."""
BreakOff = Callable[[str, list[bytes], str], list[dict[str, Any]]]
"""The results of an aborted load, from the shard results that have arrived and the reason."""
Unfinished = Callable[[str, str], Conclusion | None]
"""The earlier rounds' results of a load test that ended in an error, for this reason; None without any."""

_LEAST_LEAD_NS, _MOST_LEAD_NS = 60_000_000, 250_000_000
"""From the order to start until the start: it has to reach every worker before."""
_LEAD_ROUND_TRIPS = 20
"""The lead as a multiple of a worker's slowest answer, between these two."""
_LOOK_NS = 1_000_000_000


class State(Enum):
    """Where a load test is."""

    WAIT = "wait"
    SET_UP = "set-up"
    SYNC = "sync"
    RUN = "run"
    VERDICT = "verdict"
    CLOSED = "closed"


@dataclass(frozen=True)
class Done:
    """What a worker reported at the end of its part in a test."""

    reports: list[dict[str, Any]]
    aborted: bool
    """Its partition was called off; its own report of the call only says that."""


@dataclass(frozen=True)
class Question:
    """A decision to make about a load. It may take time, so it is made without the coordinator's lock."""

    ask: Callable[[], Any]
    answer: Callable[[Any], None]
    """Takes what ``ask`` returned, or the exception that it raised."""


@dataclass
class SharedLoad:
    """A load test and what is known of its shards."""

    nodeid: str
    users: int
    send: Send = field(repr=False)
    state: State = State.WAIT
    workers: list[Worker] = field(default_factory=list)
    """The workers that take part, in the order of their partitions."""
    idle: list[Worker] = field(default_factory=list)
    ready: set[str] = field(default_factory=set)
    parts: dict[str, bytes] = field(default_factory=dict)
    ended_by: dict[str, str] = field(default_factory=dict)
    """Why partitions ended early."""
    snapshots: dict[str, list[bytes]] = field(default_factory=dict)
    """Snapshots that have not been judged yet."""
    numbers: dict[str, LiveNumbers] = field(default_factory=dict)
    done: dict[str, Done] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Workers that could not run their partition, or not report it, and why."""
    lost: list[tuple[str, str]] = field(default_factory=list)
    """Workers that were lost with their shard result, and why."""
    vanished: list[tuple[str, str]] = field(default_factory=list)
    """Workers that were lost after they had delivered their shard result."""
    stopped: str | None = None
    aborted: str | None = None
    skipped: set[str] = field(default_factory=set)
    """Workers on which the test was skipped, while those that run together with it go on."""
    together: list[SharedLoad] = field(default_factory=list, repr=False, compare=False)
    """The tests that run together, this one among them; it alone if there are no others."""
    group: str | None = None
    """Their name."""
    start_after_s: float = 0.0
    """From the common start to its own."""
    conclusion: Conclusion | None = None
    is_reported: bool = False
    is_in_later_round: bool = False
    """Whether it has begun again: those that run together with it go on meanwhile."""
    is_broken_off: bool = False
    """The session ends during the load: what was measured is kept, but no verdict is waited for."""
    waiting_since_ns: int | None = None
    """When the first worker was ready, or finished without being ready."""
    _clocks: dict[str, ClockOffset] = field(default_factory=dict)
    _started_ns: int = 0
    _looked_ns: int = 0
    _is_asked: bool = False

    def __post_init__(self) -> None:
        """It runs alone until others are known."""
        self.together = [self]

    @property
    def is_left_out(self) -> bool:
        """Whether it was skipped on all workers, and the others run without it."""
        return bool(self.skipped) and self.skipped >= {worker.name for worker in self.workers}

    @property
    def is_going_on(self) -> bool:
        """Whether some worker is running it."""
        return self.state not in (State.WAIT, State.CLOSED)

    @property
    def has_begun(self) -> bool:
        """Whether there is, or was, a load."""
        return self.state in (State.RUN, State.VERDICT, State.CLOSED)

    @property
    def is_watched(self) -> bool:
        """Whether a missing heartbeat counts: the set-up of users may keep a whole process busy."""
        return self.state in (State.SYNC, State.RUN, State.VERDICT)

    @property
    def is_idle(self) -> bool:
        """Whether all workers have finished, and only the verdict is missing."""
        return self.wants_conclusion and not self.at_work()

    @property
    def wants_conclusion(self) -> bool:
        """Whether all shard results have arrived and wait for the verdict."""
        if self.is_broken_off or self.aborted is not None:
            return False
        return self.state is State.VERDICT and self.conclusion is None

    def at_work(self) -> list[Worker]:
        """The workers that are alive and have not finished yet."""
        return [worker for worker in self.workers if worker.gone is None and worker.name not in self.done]

    # -- what happens -------------------------------------------------------------------------------------------

    def begin(self, workers: list[Worker], idle: list[Worker]) -> None:
        """All have arrived: give each worker its partition of the load and its share of its host's addresses."""
        self.workers, self.idle, self.state = workers, idle, State.SET_UP
        for index, worker in enumerate(workers):
            neighbours = [other.name for other in workers if other.host == worker.host]
            pool = neighbours.index(worker.name), len(neighbours)
            fields = {"index": index, "count": len(workers), "pool_index": pool[0], "pool_count": pool[1]}
            self._tell(worker, "assign", **fields)
        for worker in idle:
            self._tell(worker, "spectate")

    def set_ready(self, worker: Worker, now_ns: int) -> None:
        """A worker's users are set up: those of the first round, or of the next one."""
        self._begin_next_round_if_due()
        self.ready.add(worker.name)
        self.waiting_since_ns = self.waiting_since_ns or now_ns
        if self.aborted is not None:
            self._tell(worker, "abort", reason=self.aborted)
        else:
            self._compare_clocks_when_ready(now_ns)

    def skip(self, worker: Worker, now_ns: int) -> None:
        """A worker goes on without the test, which was skipped there."""
        self.skipped.add(worker.name)
        self._compare_clocks_when_ready(now_ns)

    def _compare_clocks_when_ready(self, now_ns: int) -> None:
        """Of all tests that run together: once, with the workers of the one that has the most."""
        names = {each.name for each in self.workers}
        if self.skipped and not self.is_left_out and self.ready | self.skipped >= names:
            self.fail_to_start(f"skipped on {len(self.skipped)} of {len(names)} workers only")
        others = [] if self.is_in_later_round else self.together
        waiting = [each for each in (others or [self]) if not each.is_left_out]
        if not all(each.is_ready for each in waiting) or not waiting:
            return
        for each in waiting:
            each.state = State.SYNC
        keeper = max(waiting, key=lambda each: len(each.workers))
        for worker in keeper.workers:
            clock = keeper._clocks[worker.name] = ClockOffset()
            self.send(worker.name, ("ping", {"number": clock.ask(now_ns)}))

    @property
    def is_ready(self) -> bool:
        """Whether its users are set up on all workers."""
        is_waiting = self.state is State.SET_UP and self.aborted is None
        return is_waiting and self.ready >= {worker.name for worker in self.workers}

    def _begin_next_round_if_due(self) -> None:
        """The first that a worker says after the verdict on a round is about the next one, whatever it is."""
        if self.state is not State.VERDICT or self.conclusion is None or self.conclusion.is_final:
            return
        self.state, self.conclusion, self.stopped, self.waiting_since_ns = State.SET_UP, None, None, None
        self.is_in_later_round, self.start_after_s = True, 0.0
        for of_last_round in (self.ready, self.parts, self.ended_by, self.snapshots, self.numbers):
            of_last_round.clear()
        if self.vanished:
            self.abort("; ".join(f"worker {name} was lost between two rounds: {why}" for name, why in self.vanished))

    def pong(self, worker: Worker, number: int, at_ns: int, now_ns: int) -> None:
        """A worker's clock reading: ask again, or start when all clocks are known."""
        clock = self._clocks.get(worker.name)
        if self.state is not State.SYNC or clock is None or self.aborted is not None:
            return
        clock.answer(number, at_ns, now_ns)
        if not clock.is_known:
            self.send(worker.name, ("ping", {"number": clock.ask(now_ns)}))
        elif all(each.is_known for each in self._clocks.values()):
            slowest_ns = max(each.slowest_ns for each in self._clocks.values())
            lead_ns = min(max(_LEAD_ROUND_TRIPS * slowest_ns, _LEAST_LEAD_NS), _MOST_LEAD_NS)
            for test in self.together:
                if test.state is State.SYNC:
                    test._start(now_ns + lead_ns, self._clocks)

    def _start(self, common_ns: int, clocks: Mapping[str, ClockOffset]) -> None:
        self.state = State.RUN
        self._started_ns = self._looked_ns = common_ns + round(self.start_after_s * NS_PER_S)
        for each in self.at_work():
            self._tell(each, "start", at_ns=self._started_ns + clocks[each.name].offset_ns)

    def add_part(self, worker: Worker, part: bytes, ended_by: str) -> None:
        """A worker's shard result. If its partition ended early, the others need not go on."""
        if self.state is State.RUN:
            self.parts[worker.name] = part
            if ended_by:
                self.ended_by[worker.name] = ended_by
                self.stop(f"worker {worker.name}: {ended_by}")

    def leave(self, worker: Worker) -> None:
        """A worker did not wait for the test to begin, and has reported why."""
        if self.state is State.WAIT:
            for test in self.together:
                test.state, test.is_reported = State.CLOSED, True
        elif worker in self.workers:
            self.set_done(worker, Done([], aborted=False), worker.heard_ns)

    def set_done(self, worker: Worker, done: Done, now_ns: int) -> None:
        """A worker has finished, whether it took part in the load or not."""
        self.done[worker.name] = done
        self.break_down(worker)
        self.waiting_since_ns = self.waiting_since_ns or now_ns

    def break_down(self, worker: Worker) -> None:
        """A worker will not deliver what it has not delivered so far: end the test instead of waiting for it."""
        self._begin_next_round_if_due()
        if self.aborted is not None or worker.name in self.skipped:
            return
        if self.state in (State.SET_UP, State.SYNC):
            self.fail_to_start(f"worker {worker.name} did not reach the start of the load")
        elif self.state is State.RUN and worker.name not in self.parts:
            self.abort(f"worker {worker.name} ended its part of the load early")

    def lose(self, worker: Worker, why: str) -> None:
        """A worker is gone."""
        if worker not in self.workers or worker.name in self.done or not self.is_going_on:
            return
        if worker.name in self.parts:
            self.vanished.append((worker.name, why))
            return
        self.lost.append((worker.name, why))
        if self.state is State.RUN:
            self.stop(f"worker {worker.name} was lost: {why}")
        else:
            self.fail_to_start(f"worker {worker.name} was lost before the load began: {why}")

    def stop(self, reason: str) -> None:
        """End the load everywhere; what was measured is judged."""
        if self.stopped is None and self.aborted is None:
            self.stopped = reason
            for worker in self.at_work():
                if worker.name not in self.parts:
                    self._tell(worker, "stop", reason=reason)

    def break_off(self, reason: str) -> None:
        """The session ends: have each worker hand in what it measured, at once."""
        self.is_broken_off = True
        self.stopped = self.stopped or reason
        for worker in self.at_work():
            if worker.name not in self.parts:
                self._tell(worker, "break_off", reason=reason)

    @property
    def has_all_parts(self) -> bool:
        """Whether no shard result is missing."""
        return all(worker.name in self.parts for worker in self.at_work())

    def abort(self, reason: str) -> None:
        """End the test everywhere, without a verdict."""
        if self.aborted is None:
            self.aborted = reason
            for worker in self.at_work():
                self._tell(worker, "abort", reason=reason)

    def fail_to_start(self, reason: str) -> None:
        """End it before its load; those that run together with it are not run without it."""
        others = [test for test in self.together if test is not self and test.state in (State.SET_UP, State.SYNC)]
        self.abort(reason)
        for test in others:
            if not test.is_left_out:
                test.abort(f"not run: {self.nodeid}, which runs together with it: {reason}")

    def advance(self) -> None:
        """Go on to the verdict, or to the end, if no worker is missing."""
        pending = [worker for worker in self.at_work() if worker.name not in self.parts]
        if self.state is State.RUN and self.aborted is None and self.parts and not pending:
            self.state = State.VERDICT
        if self.is_going_on and not self.at_work() and not self.wants_conclusion:
            self.state = State.CLOSED
            for worker in self.idle:
                self._tell(worker, "finish")

    # -- once in a while ----------------------------------------------------------------------------------------

    def live(self, now_ns: int) -> LiveNumbers | None:
        """The live numbers of all workers; None before each has sent some, and when the load is over."""
        numbers = list(self.numbers.values())
        if self.aborted is not None or len(numbers) < len(self.workers):
            return None
        if self.state in (State.SET_UP, State.SYNC) and all(each.set_up is not None for each in numbers):
            return together(numbers, max(each.elapsed_s for each in numbers))
        if self.state is State.RUN and all(each.set_up is None for each in numbers):
            return together(numbers, (now_ns - self._started_ns) / NS_PER_S)
        return None

    def question(self, look: Look, conclude: Conclude, now_ns: int) -> Question | None:
        """What has to be decided now: the verdict, or once a second whether the load is to go on."""
        if self._is_asked:
            return None
        if self.wants_conclusion:
            self._is_asked = True
            parts = [self.parts[worker.name] for worker in self.workers if worker.name in self.parts]
            return Question(partial(conclude, self.nodeid, parts, list(self.lost)), self._conclude)
        if self.state is not State.RUN or self.stopped is not None or now_ns - self._looked_ns < _LOOK_NS:
            return None
        self._looked_ns = now_ns
        if not self.snapshots:
            return None
        self._is_asked = True
        snapshots = [self.snapshots.pop(worker.name, []) for worker in self.workers]
        return Question(
            partial(look, self.nodeid, snapshots, (now_ns - self._started_ns) / NS_PER_S), self._go_on_or_stop
        )

    def _go_on_or_stop(self, reason: str | BaseException | None) -> None:
        self._is_asked = False
        if isinstance(reason, BaseException):
            self.abort(f"the snapshots could not be judged: {in_words(reason, placed=False)}")
        elif reason is not None:
            self.stop(reason)
        self.advance()

    def _conclude(self, answer: Conclusion | BaseException) -> None:
        """The verdict has come: send it to all workers, unless none waits for it any more. They need no results."""
        self._is_asked = False
        if self.wants_conclusion and isinstance(answer, BaseException):
            self.abort(f"the results of the workers could not be merged: {in_words(answer, placed=False)}")
        elif self.wants_conclusion and isinstance(answer, Conclusion):
            self.conclusion, packed = answer, pack(answer.to_plain())
            for worker in self.at_work():
                self._tell(worker, "conclusion", conclusion=packed)
        self.advance()

    def _tell(self, worker: Worker, kind: str, **fields: Any) -> None:
        if worker.gone is None:
            self.send(worker.name, (kind, {"nodeid": self.nodeid, **fields}))
