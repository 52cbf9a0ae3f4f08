from __future__ import annotations

import itertools
import threading
import time

import pytest

from pytest_ipload.load.partition import Partition
from pytest_ipload.load.rate_limit import RateLimit

SECOND = 1_000_000_000


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.ns = 5 * SECOND
        self.longest = 0.0

    def __call__(self) -> int:
        return self.ns

    def sleep(self, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        self.ns += max(1, round(seconds * SECOND))


def limit(per_second: float) -> tuple[RateLimit, Clock]:
    clock = Clock()
    return RateLimit(per_second, clock, clock.sleep), clock


@pytest.mark.parametrize("per_second", [0.5, 3.0, 100.0])
def test_turns_are_evenly_spaced(per_second: float) -> None:
    rate, clock = limit(per_second)
    began, turns = clock.ns, []
    for _ in range(10):
        rate.wait()
        turns.append((clock.ns - began) / SECOND)
    assert turns == pytest.approx([number / per_second for number in range(10)], abs=1e-6)


def test_what_was_not_used_is_not_saved_up() -> None:
    rate, clock = limit(10)
    rate.wait()
    clock.ns += 10 * SECOND
    began = clock.ns
    for _ in range(3):
        rate.wait()
    assert (clock.ns - began) / SECOND == pytest.approx(0.2)


def test_a_long_wait_can_be_interrupted_between_its_slices() -> None:
    rate, clock = limit(0.1)
    rate.wait()
    rate.wait()
    assert clock.longest == pytest.approx(0.05)
    assert clock.ns == pytest.approx(15 * SECOND)


def test_threads_share_the_turns() -> None:
    rate = RateLimit(2000)

    def ask() -> None:
        for _ in range(25):
            rate.wait()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.perf_counter() - began >= 99 / 2000


class TestAfterAStall:
    def test_what_is_overdue_goes_one_slot_late_at_most_and_never_in_a_burst(self) -> None:
        """Four wait in the queue while nobody gets a turn for half a second: at 10/s, five slots."""
        rate, clock = limit(10)
        rate.wait()
        began, goes = clock.ns, []

        def sleep(seconds: float) -> None:
            if clock.ns == began:
                clock.ns += SECOND // 2  # as if a thread held Python's lock
            else:
                clock.sleep(seconds)

        rate._sleep = sleep  # all asked before the stall, so their turns had come in it
        for _ in range(4):
            rate.wait()
            goes.append((clock.ns - began) / SECOND)
        assert goes == pytest.approx([0.5, 0.6, 0.7, 0.8])

    def test_a_little_late_does_not_shift_the_slots_that_follow(self) -> None:
        rate, clock = limit(10)
        rate.wait()
        began = clock.ns
        clock.ns += round(0.15 * SECOND)  # the slot at 0.1 s is used at 0.15 s
        rate.wait()
        rate.wait()
        assert (clock.ns - began) / SECOND == pytest.approx(0.2)

    def test_threads_that_are_held_up_together(self) -> None:
        """Real threads, a clock that jumps: whoever wakes first gives the slot to who asked first."""
        clock = Clock()
        rate = RateLimit(10, clock, lambda seconds: time.sleep(0.001))
        rate.wait()
        goes: list[int] = []

        def ask() -> None:
            rate.wait()
            goes.append(clock.ns)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        deadline = time.perf_counter() + 30
        clock.ns += 5 * SECOND
        while len(goes) < 6 and time.perf_counter() < deadline:
            seen = len(goes)
            until = time.perf_counter() + 0.02
            while len(goes) == seen and time.perf_counter() < until:
                time.sleep(0.001)
            assert len(goes) <= seen + 1  # one slot, one request
            clock.ns += SECOND // 10
        for thread in threads:
            thread.join(10)
        assert len(goes) == 6


class TestShares:
    def test_the_slots_of_two_shares_lie_between_each_other(self) -> None:
        goes = []
        for index in range(2):
            clock = Clock()
            rate = RateLimit(10, clock, clock.sleep, Partition(index, 2))
            rate.begin_at(clock.ns)
            for _ in range(4):
                rate.wait()
                goes.append((clock.ns - 5 * SECOND) / SECOND)
        gaps = [later - earlier for earlier, later in itertools.pairwise(sorted(goes))]
        assert gaps == pytest.approx([0.1] * 7, abs=1e-6)

    def test_shares_with_weights_have_slots_in_proportion(self) -> None:
        counts = []
        for index in range(2):
            clock = Clock()
            rate = RateLimit(20, clock, clock.sleep, Partition(index, 2, (3, 1)))
            rate.begin_at(clock.ns)
            began = clock.ns
            while clock.ns < began + 10 * SECOND:
                rate.wait()
                counts.append(index)
        assert [counts.count(index) for index in range(2)] == pytest.approx([150, 50], abs=2)

    def test_so_they_do_when_one_of_them_was_late(self) -> None:
        clock = Clock()
        rate = RateLimit(10, clock, clock.sleep, Partition(1, 2))
        rate.begin_at(clock.ns)
        clock.ns += round(3.33 * SECOND)
        goes = []
        for _ in range(3):
            rate.wait()
            goes.append((clock.ns - 5 * SECOND) / SECOND)
        assert goes == pytest.approx([3.33, 3.5, 3.7], abs=1e-6)  # the slots of this share are at 0.1, 0.3, ... 3.3


def test_who_is_interrupted_leaves_the_queue() -> None:
    rate, clock = limit(10)
    rate.wait()

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    rate._sleep = interrupted
    with pytest.raises(KeyboardInterrupt):
        rate.wait()
    rate._sleep = clock.sleep
    began = clock.ns
    rate.wait()
    assert (clock.ns - began) / SECOND == pytest.approx(0.1)
