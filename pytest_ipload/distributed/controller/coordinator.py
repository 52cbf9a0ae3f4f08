"""The controller's side of shared loads: which workers there are, whose turn it is, and when a load test begins.

A state machine without threads, locks, clock and channels of its own: ``controller`` provides those. Nothing in here
knows xdist. A load test begins when every worker that is alive has entered it, and when no other test is running.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.distributed.controller.known_worker import Worker
from pytest_ipload.distributed.controller.one_by_one import OneByOne
from pytest_ipload.distributed.controller.shared_load import (
    BreakOff,
    Conclude,
    Done,
    Look,
    Question,
    Send,
    SharedLoad,
    State,
    Unfinished,
)
from pytest_ipload.distributed.protocol.messages import (
    FROM_WORKER,
    PACKED,
    BadMessage,
    checked,
    checked_starts,
    checked_tests,
)
from pytest_ipload.distributed.protocol.time_limits import Timing
from pytest_ipload.stats.live import LiveNumbers


@dataclass(frozen=True)
class Judges:
    """Decisions about a load; see ``Look``, ``Conclude``, ``BreakOff`` and ``Unfinished``."""

    look: Look
    conclude: Conclude
    break_off: BreakOff
    unfinished: Unfinished = lambda _nodeid, _reason: None


class Coordinator:
    """The workers and their shared load tests."""

    def __init__(
        self,
        send: Send,
        clock: Callable[[], int],
        judges: Judges,
        version: str,
        timing: Timing = Timing(),  # noqa: B008  # frozen
        shards: int | None = None,
        each: bool = False,
        can_run: Callable[[str], bool | None] = lambda _: None,
    ) -> None:
        """``shards`` is the maximum number of workers that share a load; with ``each``, workers run their tests whole.

        ``can_run`` says whether a worker's process exists and is not stopped; None where unknown.
        """
        self.workers: dict[str, Worker] = {}
        self.tests: dict[str, SharedLoad] = {}
        self.refusal: str | None = None
        """Why the workers cannot share loads at all."""
        self.ending: str | None = None
        """Why no further load test begins."""
        self._send = send
        self._clock = clock
        self._judges = judges
        self._version = version
        self._timing = timing
        self._can_run = can_run
        self._shards = shards
        self._turns = OneByOne(send) if each else None
        self._entered: dict[str, str] = {}
        """Which load test each waiting worker has entered."""
        self._held: set[str] = set()
        """Workers whose loss xdist has not handled yet: it may end the session, or replace them."""
        self._silent: list[str] = []
        self._ticked_ns = self._beaten_ns = clock()

    # -- workers come and go ------------------------------------------------------------------------------------

    def attach(self, name: str, rank: int) -> None:
        """A worker is about to start."""
        self.workers[name] = Worker(name, rank, self._clock())

    def lose(self, name: str, why: str, *, hold: bool) -> None:
        """A worker is gone. With ``hold`` nothing begins until ``release`` is called for it."""
        worker = self.workers.get(name)
        if worker is None or worker.gone is not None:
            return
        worker.gone = why
        if hold:
            self._held.add(name)
        self._entered.pop(name, None)
        for test in self.tests.values():
            test.lose(worker, why)
        self._advance()

    def reject(self, name: str, why: str) -> None:
        """A worker sends invalid messages, or hangs: go on without it, and have its connection cut."""
        self._silent.append(name)
        self.lose(name, why, hold=True)

    def hold(self, name: str) -> None:
        """Let nothing begin until ``release`` is called."""
        self._held.add(name)

    def release(self, name: str) -> None:
        """xdist knows that the worker is gone, and has replaced it if it wants to."""
        self._held.discard(name)
        self._advance()

    def break_off(self, reason: str) -> list[SharedLoad]:
        """The session ends during a load test: stop it. Returns it; its workers still send what they measured.

        They may have done so already: on a terminal, Ctrl-C reaches them too.
        """
        broken = [
            test
            for test in self.tests.values()
            if test.state is not State.WAIT and test.aborted is None and not test.is_reported
        ]
        for test in broken:
            test.break_off(reason)
        return broken

    def end(self, reason: str) -> None:
        """The session is to end: no more load tests begin, and a running one is called off."""
        if self.ending is not None:
            return
        self.ending = reason
        for name, nodeid in self._entered.items():
            self._send(name, ("abort", {"nodeid": nodeid, "reason": reason}))
        self._entered.clear()
        self.abort(reason)

    def abort(self, reason: str) -> None:
        """Call off the running load tests."""
        for test in self.tests.values():
            if test.is_going_on:
                test.abort(reason)

    def reported(self, nodeid: str) -> None:
        """The test's outcome is known to pytest: the next one may begin."""
        self.tests[nodeid].is_reported = True
        self._advance()

    @property
    def has_tests_waiting(self) -> bool:
        """Whether load tests are still to begin."""
        return self.ending is None and any(test.state is State.WAIT for test in self.tests.values())

    def tests_to_run(self, name: str) -> list[int]:
        """The indices, in the worker's collection, of the load tests that have not begun."""
        tests = self.workers[name].tests or []
        return [place for place, nodeid, _ in tests if self.tests[nodeid].state is State.WAIT]

    def tests_to_report(self) -> list[SharedLoad]:
        """The tests that are over, and whose outcome pytest does not have yet."""
        closed = [test for test in self.tests.values() if test.state is State.CLOSED and not test.is_reported]
        return [test for test in closed if all(each.state is State.CLOSED for each in test.together)]

    @property
    def is_idle(self) -> bool:
        """Whether a load test lacks nothing but its verdict, which no worker waits for."""
        return any(test.is_idle for test in self.tests.values())

    # -- messages -----------------------------------------------------------------------------------------------

    def receive(self, name: str, message: object) -> None:
        """A message from a worker. Raises BadMessage, and then nothing has changed."""
        kind, fields = checked(message, FROM_WORKER)
        worker = self.workers[name]
        worker.heard_ns = self._clock()
        if worker.gone is not None or kind == "beat":
            return
        if kind == "piece":
            worker.add_piece(fields["content"])
            return
        if (packed := PACKED.get(kind)) is not None:
            fields = {**fields, packed: worker.whole(fields[packed])}
        if kind == "hello":
            self._greet(worker, **fields)
        elif kind == "together":
            self._join(fields["group"], checked_starts(fields["tests"]))
        elif kind == "entered":
            self._enter(worker, fields["nodeid"])
        elif kind == "left":
            self._leave(worker, fields["nodeid"])
        elif kind == "turn_over":
            assert self._turns is not None
            self._turns.over(worker)
        elif kind == "pong":
            for test in self.tests.values():
                test.pong(worker, fields["number"], fields["at_ns"], worker.heard_ns)
        else:
            self._of_test(worker, kind, fields)
        self._advance()

    def _greet(self, worker: Worker, version: str, host: str, tests: list[Any]) -> None:
        if version != self._version:
            self.refusal = (
                f"worker {worker.name} runs pytest-ipload {version}, the controller runs {self._version}; "
                "install the same version on all hosts"
            )
            return
        worker.host, worker.tests = host, checked_tests(tests)
        for _, nodeid, users in worker.tests:
            self.tests.setdefault(nodeid, SharedLoad(nodeid, users, self._send))

    def _join(self, name: str, starts: Mapping[str, float]) -> None:
        """Tests run together; each worker says so."""
        tests = [self._test(nodeid) for nodeid in starts]
        for test in tests:
            if test.state is State.WAIT:
                test.together, test.group, test.start_after_s = tests, name, starts[test.nodeid]

    def _enter(self, worker: Worker, nodeid: str) -> None:
        if self._turns is not None:
            self._turns.enter(worker, nodeid)
            return
        test = self._test(nodeid)
        if self.ending is not None or test.state is not State.WAIT:
            reason = self.ending or "the load test has already ended"
            self._send(worker.name, ("abort", {"nodeid": nodeid, "reason": reason}))
            return
        self._entered[worker.name] = nodeid

    def _of_test(self, worker: Worker, kind: str, fields: dict[str, Any]) -> None:
        test = self._test(fields["nodeid"])
        if worker not in test.workers:
            return  # it has been sent on without the test
        if kind == "ready":
            test.set_ready(worker, worker.heard_ns)
        elif kind == "skipped":
            test.skip(worker, worker.heard_ns)
        elif kind == "progress":
            test.snapshots.setdefault(worker.name, []).append(fields["snapshot"])
        elif kind == "live":
            test.numbers[worker.name] = _live_numbers(fields["numbers"])
        elif kind == "part":
            test.add_part(worker, fields["part"], fields["ended_by"])
        elif kind == "broke_down":
            test.break_down(worker)
        elif kind == "failed":
            test.failed[worker.name] = fields["why"]
        elif kind == "done":
            test.set_done(worker, Done(fields["reports"], fields["aborted"]), worker.heard_ns)

    def _leave(self, worker: Worker, nodeid: str) -> None:
        """A worker no longer waits for a test, and has reported why: without the worker the test cannot begin."""
        if self._turns is not None:
            self._turns.leave(worker)
            return
        test = self._test(nodeid)
        test.leave(worker)
        if self._entered.get(worker.name) == nodeid:
            for name in [name for name, entered in self._entered.items() if entered == nodeid]:
                del self._entered[name]
                reason = f"worker {worker.name} could not enter the waiting state"
                self._send(name, ("abort", {"nodeid": nodeid, "reason": reason}))

    def _test(self, nodeid: str) -> SharedLoad:
        if nodeid not in self.tests:
            raise BadMessage(f"no worker collected a load test {nodeid!r:.200}")
        return self.tests[nodeid]

    # -- time passes --------------------------------------------------------------------------------------------

    def tick(self) -> list[str]:
        """To be called several times a second. Returns the workers that have to be cut off, because they hang."""
        now = self._clock()
        self._forgive_own_absence(now)
        for test in list(self.tests.values()):
            if test.is_going_on:
                self._end_waiting(test, now)
        self._miss_silent(now)
        self._miss_stopped(now)
        if now - self._beaten_ns >= self._timing.beat * NS_PER_S:
            self._beaten_ns = now
            at_work = [each for test in self.tests.values() if test.is_going_on for each in test.at_work()]
            for name in dict.fromkeys(worker.name for worker in (*at_work, *self._waiting())):
                self._send(name, ("beat", {}))
        self._advance()
        silent, self._silent = self._silent, []
        return silent

    def _waiting(self) -> list[Worker]:
        """The workers that wait for a load test, or for the end of one that they do not take part in."""
        names = (*self._entered, *(self._turns.waiting if self._turns else ()))
        waiting = [self.workers[name] for name in names]
        for test in self.tests.values():
            waiting += test.idle if test.is_going_on else ()
        return [worker for worker in waiting if worker.gone is None]

    def live(self) -> dict[str, LiveNumbers]:
        """The running loads, and their live numbers so far."""
        found = ((nodeid, test.live(self._clock())) for nodeid, test in self.tests.items() if test.is_going_on)
        return {nodeid: numbers for nodeid, numbers in found if numbers is not None}

    def question(self) -> Question | None:
        """What has to be decided now, if anything: to be fetched with the lock, and answered without it."""
        for test in self.tests.values():
            question = test.question(self._judges.look, self._judges.conclude, self._clock())
            if question is not None:
                return question
        return None

    def _forgive_own_absence(self, now: int) -> None:
        """If this process did not run for a while (Ctrl-Z, a laptop asleep), the workers are not to blame."""
        gap, self._ticked_ns = now - self._ticked_ns, now
        if gap > self._timing.heartbeat * 0.5e9:
            for worker in self.workers.values():
                worker.heard_ns += gap
                worker.stopped_ns = None

    def _miss_silent(self, now: int) -> None:
        """Find workers that hang: in a load test, or while they wait for one."""
        watched = self._waiting()
        for test in self.tests.values():
            watched += test.at_work() if test.is_watched else ()
        for worker in watched:
            silent_ns = now - worker.heard_ns
            if worker.gone is None and silent_ns > self._timing.heartbeat * NS_PER_S:
                can_run = self._can_run(worker.name)
                limit = self._timing.silence_of(can_run)
                if can_run is not False and silent_ns > limit * NS_PER_S:  # a stopped process is found elsewhere
                    self.reject(worker.name, f"no heartbeat for {limit:g} s")

    def _miss_stopped(self, now: int) -> None:
        """Find workers whose process is stopped, whatever they do, as soon as others wait for them."""
        if not (self._entered or any(test.is_going_on for test in self.tests.values())):
            return
        for worker in self.alive():
            if self._can_run(worker.name) is not False:
                worker.stopped_ns = None
            elif worker.stopped_ns is None:
                worker.stopped_ns = now
            elif now - worker.stopped_ns > self._timing.heartbeat * NS_PER_S:
                self.reject(worker.name, f"no heartbeat for {self._timing.heartbeat:g} s: its process is stopped")

    def _end_waiting(self, test: SharedLoad, now: int) -> None:
        """End the set-up if it takes far longer on some workers; those that still do not end are cut off."""
        if test.aborted is not None:
            test.waiting_since_ns = test.waiting_since_ns or now
        since, limit = test.waiting_since_ns, self._timing.set_up
        if test.state is not State.SET_UP or since is None or now - since <= limit * NS_PER_S:
            return
        late = [worker.name for worker in test.at_work() if worker.name not in test.ready]
        if late:
            test.fail_to_start(
                f"the users of {', '.join(late)} were not set up {limit:g} s after those of the first worker"
            )
        if now - since > (limit + self._timing.last_words) * NS_PER_S:
            for name in late:
                self.reject(name, f"its set-up did not end {limit + self._timing.last_words:g} s after the others'")

    # -----------------------------------------------------------------------------------------------------------

    def alive(self) -> list[Worker]:
        """The workers that run, or are about to start, in the order of their ranks."""
        return sorted((worker for worker in self.workers.values() if worker.gone is None), key=lambda one: one.rank)

    def _advance(self) -> None:
        for test in self.tests.values():
            test.advance()
        alive = self.alive()
        if self._turns is not None:
            self._turns.advance(alive)
            return
        if self._held or self.ending is not None or not alive or self.tests_to_report():
            return
        if any(test.is_going_on for test in self.tests.values()):
            return
        for test in self.tests.values():
            if test.state is State.WAIT and all(self._entered.get(worker.name) == test.nodeid for worker in alive):
                self._begin(test, alive)
                return

    def _begin(self, test: SharedLoad, workers: list[Worker]) -> None:
        self._entered.clear()
        for each in test.together:
            count = max(1, min(len(workers), each.users, self._shards or len(workers)))
            each.begin(workers[:count], workers[count:])


def _live_numbers(plain: dict[str, Any]) -> LiveNumbers:
    try:
        return LiveNumbers.from_plain(plain)
    except ValueError as error:
        raise BadMessage(f"live: {error}") from None
