"""How an interruption reaches the user's own code and nothing else."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from typing import TypeVar

import pytest

from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.schedule import UserSlot
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_thread import Phase, UserThread
from pytest_ipload.stats.recorder import Recorder


class NotedSeat(UserThread):
    """Notes that it would raise."""

    raised = False

    def _raise_in_thread(self, kind: type[BaseException]) -> None:
        self.raised = True


class HesitantSeat(UserThread):
    """Takes its time between the decision to raise and doing it."""

    def _raise_in_thread(self, kind: type[BaseException]) -> None:
        for _ in range(5000):
            pass
        super()._raise_in_thread(kind)


SomeSeat = TypeVar("SomeSeat", bound=UserThread)


def new_seat(kind: type[SomeSeat]) -> SomeSeat:
    user = VirtualUser(0, seed=0, source_addresses=(), record=lambda sample: None)
    return kind(UserSlot(0, 0.0, 0.0, None), user, Recorder())


@pytest.fixture
def noted() -> NotedSeat:
    return new_seat(NotedSeat)


def test_only_exposed_code_is_interrupted(noted: NotedSeat) -> None:
    noted.interrupt(1)
    assert not noted.raised
    noted.expose()
    noted.cover()
    noted.interrupt(2)
    assert not noted.raised
    noted.expose()
    noted.interrupt(3)
    assert noted.raised
    assert noted.interrupted_ns == 3


def test_an_iteration_runs_where_code_is_exposed_but_not_in_set_up_and_tear_down() -> None:
    user_thread = new_seat(UserThread)
    seen = []
    for user_thread.phase in Phase:
        user_thread.expose()
        seen.append(user_thread.in_body)
        user_thread.cover()
        assert not user_thread.in_body
    assert seen == [phase is Phase.ITERATIONS for phase in Phase]


def test_who_covers_in_the_midst_of_an_interruption_waits_until_it_was_raised(
    noted: NotedSeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = threading.Thread(target=noted.cover)

    def raise_slowly(kind: type[BaseException]) -> None:
        owner.start()
        owner.join(0.1)
        assert owner.is_alive()  # what it is waiting for is the end of this function

    monkeypatch.setattr(noted, "_raise_in_thread", raise_slowly)
    noted.expose()
    noted.interrupt(1)
    owner.join(30)
    assert not owner.is_alive()


@pytest.fixture
def hectic() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.untraced
@pytest.mark.usefixtures("hectic")
def test_an_interruption_never_arrives_in_covered_code() -> None:
    """Users run through short iterations, and each is interrupted at some moment of them."""
    hits: list[str] = []
    begun, raised = threading.Event(), threading.Event()

    def live(user_thread: UserThread) -> None:
        begun.set()
        try:
            while user_thread.interrupted_ns is None:
                try:
                    try:
                        user_thread.expose()
                        for _ in range(20):
                            pass
                    except IterationInterrupted:
                        hits.append("body")
                    user_thread.cover()
                except IterationInterrupted:
                    hits.append("body")
                    user_thread.cover()
                for _ in range(20):
                    pass
            raised.wait(30)
            for _ in range(200):
                pass
        except IterationInterrupted:
            hits.append("covered")

    draw = random.Random(1)
    for _ in range(300):
        user_thread = new_seat(HesitantSeat)
        begun.clear()
        raised.clear()
        user_thread.start(live)
        begun.wait(30)
        for _ in range(draw.randrange(500)):
            pass
        user_thread.interrupt(1)
        raised.set()
        assert user_thread.thread is not None
        user_thread.thread.join(30)
        assert not user_thread.thread.is_alive()
    assert "covered" not in hits
    assert "body" in hits  # else nothing was tried
