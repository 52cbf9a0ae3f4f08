from __future__ import annotations

import threading
import time

import pytest

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
