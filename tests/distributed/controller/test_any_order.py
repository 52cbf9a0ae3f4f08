"""Workers that fail, are skipped or die at any moment, with messages in any order: none may wait without end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator
from functools import partial
from random import Random
from typing import Any

import pytest

from pytest_ipload.base.packing import pack, unpack
from pytest_ipload.distributed.controller.coordinator import Coordinator, Judges
from pytest_ipload.distributed.controller.shared_load import Question, State
from pytest_ipload.distributed.protocol.messages import Message
from pytest_ipload.verdict.conclusion import Conclusion

TESTS = {"test_a.py::test_a": 9, "test_b.py::test_b": 2}
"""Load tests and their users: the last worker only looks on at the second one."""
WORKERS = ("gw0", "gw1", "gw2")
ROUNDS = 3
TROUBLES = ("set-up", "skip", "load", "early", "die")
"""What befalls a worker in a round: its set-up fails or is skipped, its load breaks down or ends early, or it dies."""

Life = Generator[None, Message, None]
"""Runs until the worker waits for a message."""


class Worker:
    """What a worker says and waits for, as in ``distributed/worker``."""

    def __init__(self, name: str, rng: Random, *, together: bool) -> None:
        self.name = name
        self.outbox: deque[Message] = deque()
        self.inbox: deque[Message] = deque()
        self.is_dead = self.is_through = self.is_setting_up = False
        self._rng = rng
        self._kept: list[Message] = []
        """What came for a test before it was waited for."""
        self._life = self._live_together() if together else self._live()
        self._go_on(None)

    def take(self) -> None:
        """The next message of the controller has come."""
        message = self.inbox.popleft()
        if message[0] == "ping":
            self._say("pong", number=message[1]["number"], at_ns=0)
        elif not self.is_through:
            self._go_on(message)

    def set_up(self) -> None:
        """Its users are set up, or fail to be."""
        self.is_setting_up = False
        self._go_on(("set up", {}))

    def _go_on(self, message: Message | None) -> None:
        try:
            next(self._life) if message is None else self._life.send(message)
        except StopIteration:
            self.is_through = True

    def _say(self, kind: str, **fields: Any) -> None:
        if not self.is_dead:
            self.outbox.append((kind, fields))

    def _greet(self) -> None:
        tests = [[place, *test] for place, test in enumerate(TESTS.items())]
        self._say("hello", version="1", host="h", tests=tests)

    def _trouble(self) -> str:
        trouble = self._rng.choice(TROUBLES) if self._rng.random() < 0.15 else ""
        self.is_dead = self.is_dead or trouble == "die"
        return trouble

    def _live(self) -> Life:
        self._greet()
        for nodeid in TESTS:
            self._say("entered", nodeid=nodeid)
            order = yield from self._wait(nodeid, "assign", "spectate", "abort")
            if order == "spectate":
                yield from self._wait(nodeid, "finish", "abort")
            elif order == "assign":
                is_aborted = yield from self._take_part(nodeid)
                self._say("done", nodeid=nodeid, reports=[], aborted=is_aborted)
            if self.is_dead:
                return

    def _wait(self, nodeid: str, *kinds: str) -> Generator[None, Message, str]:
        while True:
            for message in [each for each in self._kept if each[1]["nodeid"] == nodeid]:
                self._kept.remove(message)
                kind, fields = message
                if kind in kinds:
                    if kind == "conclusion" and not unpack(fields["conclusion"])["is_final"]:
                        return "another round"
                    return kind
            self._kept.append((yield))

    def _take_part(self, nodeid: str) -> Generator[None, Message, bool]:
        """All rounds; returns whether the load was called off."""
        is_later_round = False
        while True:
            self.is_setting_up, is_aborted = True, False
            while (message := (yield))[0] != "set up":
                is_aborted |= message[0] == "abort" and not is_later_round  # between two rounds, none is heard
            trouble = self._trouble()
            if trouble in ("set-up", "skip", "die"):
                return False
            self._say("ready", nodeid=nodeid)
            if is_aborted or (yield from self._wait(nodeid, "start", "abort")) == "abort":
                return True
            if trouble == "load":
                return False
            self._say("part", nodeid=nodeid, part=pack({}), ended_by=trouble)
            heard = yield from self._wait(nodeid, "conclusion", "abort")
            if heard != "another round":
                return heard == "abort"
            is_later_round = True

    def _live_together(self) -> Life:
        self._greet()
        first, *_ = TESTS
        self._say("together", group="shop", tests=[[nodeid, 0.0] for nodeid in TESTS])
        self._say("entered", nodeid=first)
        orders = {}
        for nodeid in TESTS:
            orders[nodeid] = yield from self._wait(nodeid, "assign", "spectate", "abort")
            if orders[nodeid] == "abort":
                return
        shares = [nodeid for nodeid, order in orders.items() if order == "assign"]
        aborted = yield from self._take_part_in_all(shares)
        for nodeid in shares:
            self._say("done", nodeid=nodeid, reports=[], aborted=nodeid in aborted)
        for nodeid in TESTS:
            if nodeid not in shares and not self.is_dead:
                yield from self._wait(nodeid, "finish", "abort")

    def _take_part_in_all(self, nodeids: list[str]) -> Generator[None, Message, set[str]]:
        """One round, as there are no more of tests that run together; returns those that were called off."""
        aborted: set[str] = set()
        waiting: dict[str, str] = {}
        has_failed = False
        for nodeid in nodeids:
            self.is_setting_up = True
            while (message := (yield))[0] != "set up":
                if message[1]["nodeid"] not in nodeids:
                    self._kept.append(message)
                elif message[0] == "abort":
                    aborted.add(message[1]["nodeid"])
            trouble = self._trouble()
            has_failed = has_failed or trouble == "set-up"
            if trouble == "skip":
                self._say("skipped", nodeid=nodeid)
            else:
                waiting[nodeid] = trouble
        if has_failed:
            return aborted
        for nodeid in waiting:
            self._say("ready", nodeid=nodeid)
        waiting = {nodeid: trouble for nodeid, trouble in waiting.items() if nodeid not in aborted}
        while waiting and not self.is_dead:
            kind, fields = yield
            nodeid = fields["nodeid"]
            if nodeid not in nodeids:
                self._kept.append((kind, fields))
            elif kind == "start" and waiting.get(nodeid) == "load":
                self._say("broke_down", nodeid=nodeid)
                del waiting[nodeid]
            elif kind == "start":
                self._say("part", nodeid=nodeid, part=pack({}), ended_by=waiting[nodeid])
            elif kind in ("conclusion", "abort"):
                aborted |= {nodeid} if kind == "abort" else set()
                waiting.pop(nodeid, None)
        return aborted


class Session:
    """The workers, the controller, and what is on its way between them."""

    def __init__(self, rng: Random, *, together: bool = False) -> None:
        self.rng = rng
        self._last_round = 1 if together else ROUNDS
        self.rounds = Counter[str]()
        self.workers: dict[str, Worker] = {}
        self.lost: set[str] = set()
        self.question: Question | None = None
        self.coordinator = Coordinator(self._send, lambda: 0, Judges(_look, self._conclude, _break_off), "1")
        for rank, name in enumerate(WORKERS):
            self.coordinator.attach(name, rank)
            self.workers[name] = Worker(name, rng, together=together)

    def _send(self, name: str, message: Message) -> None:
        self.workers[name].inbox.append(message)

    def _conclude(self, nodeid: str, parts: list[bytes], lost: list[tuple[str, str]]) -> Conclusion:
        self.rounds[nodeid] += 1
        return Conclusion("passed", is_final=self.rounds[nodeid] == self._last_round or bool(lost))

    def _say(self, worker: Worker) -> None:
        self.coordinator.receive(worker.name, worker.outbox.popleft())

    def _lose(self, worker: Worker) -> None:
        self.lost.add(worker.name)
        self.coordinator.lose(worker.name, "killed", hold=False)

    def _answer(self) -> None:
        question, self.question = self.question, None
        assert question is not None
        question.answer(question.ask())

    def happen(self) -> bool:
        """One of the things that can happen next; False if nothing can."""
        possible: list[Callable[[], None]] = []
        for worker in self.workers.values():
            if worker.outbox:
                possible.append(partial(self._say, worker))
            elif worker.is_dead and worker.name not in self.lost:
                possible.append(partial(self._lose, worker))
            if worker.is_setting_up:
                possible.append(worker.set_up)
            if worker.inbox:
                possible.append(worker.take)
        possible += [partial(self.coordinator.reported, test.nodeid) for test in self.coordinator.tests_to_report()]
        self.question = self.question or self.coordinator.question()
        if self.question is not None:
            possible.append(self._answer)
        if not possible:
            return False
        self.rng.choice(possible)()
        return True


def _look(nodeid: str, snapshots: list[list[bytes]], elapsed_s: float) -> str | None:
    return None


def _break_off(nodeid: str, parts: list[bytes], reason: str) -> list[dict[str, Any]]:
    return []


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("hundred", range(10))
def test_every_worker_comes_to_the_end_of_every_load_test(hundred: int, together: bool) -> None:
    for seed in range(hundred * 100, hundred * 100 + 100):
        session = Session(Random(seed), together=together)
        steps = 0
        while session.happen():
            steps += 1
            assert steps < 2000, f"seed {seed}: the messages do not end"
        alive = [worker for worker in session.workers.values() if not worker.is_dead]
        assert [worker.name for worker in alive if not worker.is_through] == [], f"seed {seed}"
        states = {test.state for test in session.coordinator.tests.values()}
        assert states == {State.CLOSED} or (not alive and states <= {State.CLOSED, State.WAIT}), f"seed {seed}"
