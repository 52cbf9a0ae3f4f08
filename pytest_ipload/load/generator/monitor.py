"""Monitors the generator during a load: its timer lag and its processor time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.stats.histogram import Histogram

BUSY_SHARE = 0.9
"""A period counts as busy if this process used at least this share of the processor time available in it."""
LOOK_NS = 50_000_000
"""The time between two readings of the timer's lag."""

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


class GeneratorReadings:
    """Fed by one thread, 20 times a second; what it keeps does not grow with the length of the load.

    All times are nanoseconds. ``cpu_ns`` reads the processor time of this process.
    """

    def __init__(self, cpu_ns: Callable[[], int] = time.process_time_ns) -> None:
        self._read_cpu = cpu_ns
        self.late_ns = 0
        """How late the timer came back in all, each time counted once, without waits for a turn."""
        self.lags = Histogram()
        """How late the timer came back, at regular moments of the judged part of the load."""
        self.judged_ns = 0
        """The judged part of the load, as far as it was watched."""
        self.judged_cpu_ns = 0
        """Processor time of this process in it."""
        self.busy_ns = 0
        """The time of it that was busy, looked at from one reading to the next."""
        self.seconds = 0
        """Full seconds of it."""
        self.busy_seconds = 0
        self.cores = 1.0
        """How many processors the load could use."""
        self.cpu_ns = 0
        """Processor time of this process during the load."""
        self.watched_ns = 0
        """Time from the begin to the end."""
        self.queue_wait_ns: int | None = None
        """How long the thread that reads the timer waited for a processor; None if the system does not say."""
        self._is_watching = False

    @property
    def readings_expected(self) -> int:
        """How many readings the judged part of the load has room for."""
        return self.judged_ns // LOOK_NS

    def begin(
        self,
        now_ns: int,
        *,
        judged_from_ns: int | None = None,
        judged_until_ns: int | None = None,
        cores: float = 1.0,
    ) -> None:
        """The load begins. What is outside its judged part does not count: warm-up, teardown of users.

        ``cores`` is how many processors the load may use.
        """
        self._began_ns = self._last_ns = self._second_began_ns = now_ns
        self._from_ns: float = now_ns if judged_from_ns is None else judged_from_ns
        self._until_ns: float = inf if judged_until_ns is None else judged_until_ns
        self.cores = cores
        self._cpu_began_ns = self._last_cpu_ns = self._second_cpu_ns = self._read_cpu()
        self._is_watching = True

    def woke(self, due_ns: int, now_ns: int, queued_ns: int = 0) -> None:
        """A timed wait ran out by itself: at ``due_ns`` it should have, at ``now_ns`` it did.

        ``queued_ns`` of that were a wait for a turn: late as well, but not as other processes make a thread late.

        While it is late, the readings that were due meanwhile are late too, each by what was left of the time. Without
        them the worst times would have the fewest readings. It is HdrHistogram's correction for coordinated omission
        (``recordValueWithExpectedInterval``).
        """
        if not self._is_watching:
            return
        self.late_ns += max(0, now_ns - due_ns - queued_ns)
        for each_ns in range(due_ns, max(now_ns, due_ns + 1), LOOK_NS):
            if self._from_ns <= each_ns <= self._until_ns:
                self.lags.record(now_ns - each_ns)
        self._read_processor(now_ns)
        if now_ns - self._second_began_ns >= NS_PER_S:
            self.each_second(now_ns)

    def each_second(self, now_ns: int) -> None:
        """A second, or somewhat more, has passed since the last call: where readings are missing, several."""
        if not self._is_watching:
            return
        self._read_processor(now_ns)
        passed_ns, used_ns = now_ns - self._second_began_ns, self._last_cpu_ns - self._second_cpu_ns
        if self._judged(self._second_began_ns, now_ns) * 2 >= passed_ns:
            seconds = max(1, passed_ns // NS_PER_S)
            self.seconds += seconds
            self.busy_seconds += seconds if self._is_full(used_ns, passed_ns) else 0
        self._second_began_ns, self._second_cpu_ns = now_ns, self._last_cpu_ns

    def end(self, now_ns: int, due_ns: int | None = None) -> None:
        """The last user left, or the load was aborted. A second that was more than half over counts too.

        So does the reading that was due at ``due_ns``, if it should have been taken by now.
        """
        if not self._is_watching:
            return
        if due_ns is not None and due_ns < now_ns:
            self.woke(due_ns, now_ns)
        if (now_ns - self._second_began_ns) * 2 > NS_PER_S:
            self.each_second(now_ns)
        self._read_processor(now_ns)
        self._is_watching = False
        self.watched_ns = now_ns - self._began_ns
        self.cpu_ns = self._last_cpu_ns - self._cpu_began_ns

    def _read_processor(self, now_ns: int) -> None:
        """Fold the time since the last reading in, as far as it is judged."""
        cpu_ns, passed_ns = self._read_cpu(), now_ns - self._last_ns
        used_ns, judged_ns = cpu_ns - self._last_cpu_ns, self._judged(self._last_ns, now_ns)
        if passed_ns <= 0:
            return
        self.judged_ns += judged_ns
        self.judged_cpu_ns += used_ns * judged_ns // passed_ns
        self.busy_ns += judged_ns if self._is_full(used_ns, passed_ns) else 0
        self._last_ns, self._last_cpu_ns = now_ns, cpu_ns

    def _judged(self, began_ns: int, ended_ns: int) -> int:
        """How much of a time is of the judged part of the load."""
        return max(0, round(min(ended_ns, self._until_ns) - max(began_ns, self._from_ns)))

    def _is_full(self, used_ns: int, passed_ns: int) -> bool:
        return used_ns >= passed_ns * self.cores * BUSY_SHARE


class GeneratorMonitor:
    """The thread that takes the readings during a load. It does nothing else: if it is late, any user would have been.

    If the system has no thread left for it, there are no readings, which is a sign by itself.
    """

    def __init__(
        self,
        readings: GeneratorReadings,
        clock: Callable[[], int],
        wait_like_a_user: Callable[[], object] | None = None,
    ) -> None:
        """``wait_like_a_user`` takes as long as a user now waits for its turn; None where users do not take turns."""
        self._readings = readings
        self._clock = clock
        self._wait_like_a_user = wait_like_a_user
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ipload-watcher", daemon=True)
        self._due_ns = 0

    def start(self) -> None:
        """Begin to watch."""
        self._due_ns = self._clock() + LOOK_NS
        with suppress(RuntimeError):
            self._thread.start()

    def end(self) -> None:
        """The load is over."""
        now_ns = self._clock()
        self._stop.set()
        if self._thread.ident is None:
            self._readings.end(now_ns)
        else:
            self._thread.join()
            self._readings.end(now_ns, self._due_ns)

    def _watch(self) -> None:
        while not self._stop.wait(max(0, self._due_ns - self._clock()) / NS_PER_S):
            now_ns = woke_ns = self._clock()
            if self._wait_like_a_user is not None:
                self._wait_like_a_user()
                now_ns = self._clock()
            self._readings.woke(self._due_ns, now_ns, now_ns - woke_ns)
            self._due_ns = now_ns + LOOK_NS
        self._readings.queue_wait_ns = run_queue_wait_ns()
