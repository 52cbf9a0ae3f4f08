"""A common start and a common end of segments, on machines whose clocks are wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pytest_ipload.distributed.store.meeting import ALL_LOADS, Meeting, NoMeeting, Participant, Stop, put_stop
from pytest_ipload.distributed.store.place import Answer, StoreError


class World:
    """Machines that take turns: the true time goes on when one of them asks something or naps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.objects: dict[str, bytes] = {}
        self._turn = threading.Condition()
        self._waiting: list[float] = []
        self._running = 0

    def machine(self, ahead_s: float, *, is_consistent: bool = True) -> Machine:
        return Machine(self, ahead_s, is_consistent)

    def pass_time(self, seconds: float) -> None:
        """Wait until this much time has passed, and all others wait for later."""
        with self._turn:
            until = self.now + seconds
            self._waiting.append(until)
            self._turn.notify_all()
            while not (len(self._waiting) == self._running and until == min(self._waiting)):
                self._turn.wait()
            self._waiting.remove(until)
            self.now = max(self.now, until)

    def run(self, *tasks: Callable[[], object]) -> list[Any]:
        """What the tasks return or raise, run at once."""
        results: list[Any] = [None] * len(tasks)

        def run(number: int) -> None:
            try:
                results[number] = tasks[number]()
            except (NoMeeting, StoreError) as error:
                results[number] = error
            with self._turn:
                self._running -= 1
                self._turn.notify_all()

        self._running = len(tasks)
        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(tasks))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return results


class Machine:
    """One with a clock that is wrong, and a place that answers after some time."""

    shown = "store"

    def __init__(self, world: World, ahead_s: float, is_consistent: bool) -> None:
        self.world, self.ahead_s, self.is_consistent = world, ahead_s, is_consistent

    def clock(self) -> float:
        return self.world.now + self.ahead_s

    def get(self, name: str) -> Answer:
        asked = self.clock()
        self.world.pass_time(0.0041)
        content = self.world.objects.get(name)
        self.world.pass_time(0.0027)
        return Answer(content, asked, self.clock())

    def put(self, name: str, content: bytes) -> Answer:
        asked = self.clock()
        self.world.pass_time(0.0053)
        self.world.objects[name] = content
        self.world.pass_time(0.0031)
        return Answer(None, asked, self.clock())

    def meeting(
        self, segment: int, segments: int, worker: int = 0, workers: int = 1, number: int = 0, test: str = "a.py::a"
    ) -> Meeting:
        who = Participant(segment, segments, worker, workers)
        return Meeting(self, number, who, test=test, clock=self.clock, nap=self.world.pass_time, wait_s=20.0)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("is_consistent", [True, False], ids=["consistent", "cached"])
def test_all_begin_at_one_moment_whatever_their_clocks_say(world: World, is_consistent: bool) -> None:
    ahead = [0.0, 3600.0, -7.5, -7.5]
    machines = [world.machine(seconds, is_consistent=is_consistent) for seconds in ahead]
    who = [(0, 3, 0, 1), (1, 3, 0, 1), (2, 3, 0, 2), (2, 3, 1, 2)]  # the last segment has two workers
    starts = world.run(*(machine.meeting(*each).agree for machine, each in zip(machines, who, strict=True)))
    true_starts = []
    for start, seconds in zip(starts, ahead, strict=True):
        assert not isinstance(start, Exception)
        at, clock = start
        assert clock.low_s <= seconds <= clock.high_s
        assert clock.reference == "segment 0"
        true_starts.append(at - seconds)
    width_s = 0.2 if is_consistent else 0.5  # a look, and two requests
    assert max(true_starts) - min(true_starts) <= width_s
    assert min(true_starts) > world.now - 1.5


def test_clocks_that_may_agree_are_taken_to_agree(world: World) -> None:
    starts = world.run(*(world.machine(0.0).meeting(segment, 2).agree for segment in range(2)))
    assert starts[0].at == starts[1].at


def test_those_that_are_not_ready_in_time_are_named(world: World) -> None:
    leader, other = world.machine(0.0), world.machine(5.0)
    first, second = world.run(leader.meeting(0, 4).agree, other.meeting(2, 4, 0, 2).agree)
    for error in (first, second):
        assert isinstance(error, NoMeeting)
    assert "after 20.0 s not ready to start: segment 1/4, worker 1 of segment 2/4, segment 3/4; see why" in str(first)
    [alone] = world.run(world.machine(0.0).meeting(1, 2, number=1).agree)
    assert "not ready to start: segment 0/2; see why" in str(alone)


def test_a_segment_that_fails_ends_the_waiting(world: World) -> None:
    world.run(lambda: put_stop(world.machine(0.0), "load-0/", 1, "test_a.py::test_a failed: no\x1b[1m"))
    [error] = world.run(world.machine(0.0).meeting(0, 2).agree)
    assert str(error) == ("segment 1 stopped the load before its start: test_a.py::test_a failed: no\\x1b[1m")
    world.run(lambda: put_stop(world.machine(0.0), ALL_LOADS, 1, "its session ended"))
    [error] = world.run(world.machine(0.0).meeting(0, 2, number=7).agree)
    assert "stopped the load before its start: its session ended" in str(error)


def test_segments_that_run_other_tests_do_not_meet(world: World) -> None:
    meetings = (world.machine(0.0).meeting(0, 2), world.machine(0.0).meeting(1, 2, test="a.py::b"))
    leader, other = world.run(*(meeting.agree for meeting in meetings))
    assert str(leader).startswith("segment 1 is at a.py::b, and this one at a.py::a: all segments have to select the")
    assert str(other).startswith("segment 0 is at a.py::a, and this one at a.py::b: all segments")
    world.objects["load-0/start.json"] = b'{"at": 1, "go": [1, 1], "test": "a.py::c"}'
    world.objects["load-0/go.json"] = b"{}"
    [other] = world.run(world.machine(0.0).meeting(1, 3, 1, 2).agree)
    assert str(other).startswith("segment 0 is at a.py::c, and this one at a.py::a: all")


def test_the_first_stop_counts(world: World) -> None:
    meeting = world.machine(0.0).meeting(0, 2)

    def both() -> Stop | None:
        assert meeting.stopped() is None
        meeting.stop("p95 is too high", is_planned=True)
        meeting.stop("something else")
        return meeting.stopped()

    assert world.run(both) == [Stop(0, "p95 is too high", is_planned=True)]


def test_a_place_of_an_earlier_run_is_refused(world: World) -> None:
    world.objects["load-0/ready-1.0.json"] = b"{}"
    [error] = world.run(world.machine(0.0).meeting(1, 2).agree)
    assert "store has load-0/ready-1.0.json already, from another run or an earlier attempt of this segment" in str(
        error
    )


@pytest.mark.parametrize("given", ["", "0", "-1", "nan", "61", "soon"])
def test_a_pause_between_looks_that_is_none_is_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("PYTEST_IPLOAD_STORE_POLL", given)
    [error] = world.run(world.machine(0.0).meeting(0, 2).agree)
    assert str(error) == f"PYTEST_IPLOAD_STORE_POLL={given!r}: give a number of seconds, at most 60"


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"at": 1, "go": [1, 2]}), json.dumps({"at": 1, "go": [1]})])
def test_what_is_damaged_is_named(world: World, content: str) -> None:
    world.objects |= {"load-0/go.json": b"{}", "load-0/start.json": content.encode()}
    [error] = world.run(world.machine(0.0).meeting(1, 2).agree)
    assert "load-0/start.json is damaged" in str(error)
