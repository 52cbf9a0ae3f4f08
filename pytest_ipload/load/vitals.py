"""How the generator itself fares while a load runs: how late its timer comes back, how full its processor is."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from pathlib import Path

from pytest_ipload.stats.histogram import Histogram

BUSY_SHARE = 0.9
"""A second counts as busy if this process used so much of the processor time that it could have had."""
LOOK_NS = 50_000_000
"""The time between two readings of the timer's lag: the executor wakes that often, whatever else it has to do."""

_SCHEDSTAT = Path("/proc/thread-self/schedstat")


def run_queue_wait_ns(path: Path = _SCHEDSTAT) -> int | None:
    """How long the calling thread has waited for a processor, ready to run, in all; None if the system does not say.

    Linux: the second number of the thread's ``schedstat`` (Documentation/scheduler/sched-stats.rst in its source).
    """
    try:
        running, waiting, _ = map(int, path.read_text().split())
    except (OSError, ValueError):
        return None
    return waiting if running else None  # a system that counts nothing shows zeros


class Vitals:
    """Fed by the executor, in its own thread; what it keeps does not grow with the length of the load.

    All times are nanoseconds. ``cpu_ns`` reads the processor time of this process, ``queue_wait_ns`` the time that the
    calling thread waited for a processor.
    """

    def __init__(
        self,
        cpu_ns: Callable[[], int] = time.process_time_ns,
        queue_wait_ns: Callable[[], int | None] = run_queue_wait_ns,
    ) -> None:
        self._read_cpu = cpu_ns
        self._read_queue_wait = queue_wait_ns
        self.lags = Histogram()
        """How late the executor's timer came back, at regular moments of the load."""
        self.seconds = 0
        """Full seconds of the judged part of the load."""
        self.busy_seconds = 0
        self.cpu_ns = 0
        """Processor time of this process during the load."""
        self.watched_ns = 0
        """Time from the begin to the end."""
        self.queue_wait_ns: int | None = None
        """How long the executor's thread waited for a processor during the load; None if the system does not say."""
        self._is_watching = False

    def begin(
        self, now_ns: int, *, judged_from_ns: int | None = None, judged_until_ns: int | None = None, cores: int = 1
    ) -> None:
        """The load begins. What is outside of its judged part is not held against it: warm-up, tear-down of users.

        ``cores`` is how many processors the load may use.
        """
        self._began_ns = self._last_ns = now_ns
        self._from_ns: float = now_ns if judged_from_ns is None else judged_from_ns
        self._until_ns: float = inf if judged_until_ns is None else judged_until_ns
        self._busy_share = BUSY_SHARE * cores
        self._cpu_began_ns = self._last_cpu_ns = self._read_cpu()
        self._queue_wait_began_ns = self._read_queue_wait()
        self._is_watching = True

    def woke(self, due_ns: int, now_ns: int) -> None:
        """A timed wait ran out by itself: at ``due_ns`` it should have, at ``now_ns`` it did.

        While it is late, the readings that were due meanwhile are late too, each by what was left of the time. Without
        them the worst times would have the fewest readings. It is HdrHistogram's correction for coordinated omission
        (``recordValueWithExpectedInterval``).
        """
        if self._is_watching and self._from_ns <= due_ns <= self._until_ns:
            lag_ns = now_ns - due_ns
            self.lags.record(lag_ns)
            for left_ns in range(lag_ns - LOOK_NS, 0, -LOOK_NS):
                self.lags.record(left_ns)

    def each_second(self, now_ns: int) -> None:
        """A second, or somewhat more, has passed since the last call."""
        if not self._is_watching:
            return
        cpu_ns, passed_ns = self._read_cpu(), now_ns - self._last_ns
        judged_ns = min(now_ns, self._until_ns) - max(self._last_ns, self._from_ns)
        if judged_ns * 2 >= passed_ns:
            self.seconds += 1
            self.busy_seconds += cpu_ns - self._last_cpu_ns >= passed_ns * self._busy_share
        self._last_ns, self._last_cpu_ns = now_ns, cpu_ns

    def end(self, now_ns: int) -> None:
        """The last user left, or the load was broken off."""
        if not self._is_watching:
            return
        self._is_watching = False
        self.watched_ns = now_ns - self._began_ns
        self.cpu_ns = self._read_cpu() - self._cpu_began_ns
        waited_ns = self._read_queue_wait()
        if waited_ns is not None and self._queue_wait_began_ns is not None:
            self.queue_wait_ns = waited_ns - self._queue_wait_began_ns
