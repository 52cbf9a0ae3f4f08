"""Reads a target during a load, once a second, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from pytest_ipload.base.errors import TargetLost
from pytest_ipload.base.units import NS_PER_S, format_duration
from pytest_ipload.load.target.reading_times import LEAST_S, SHORTEST_S, ReadingTimes
from pytest_ipload.stats.target_readings import CPU, LARGEST, STANDARD, Point, PointLog

_LAST_READING_S = 1.0
"""How long the end of a load may wait for a reading that is on its way."""


class TargetReader(Protocol):
    """Reads one target."""

    notes: list[str]
    """What limits the readings."""

    def read(self) -> tuple[Mapping[str, float], float | None]:
        """Gauges by metric, and the seconds of processor time used since the last call; None if it does not say.

        Raises TargetLost if it has ended, anything else if this reading failed and the next one may succeed.
        """

    def interrupt(self) -> None:
        """End a reading that is on its way, from another thread."""

    def close(self) -> None:
        """Give back what it holds."""


class ReadingLog:
    """What was read of a target: from counters to rates. Times are seconds since the start of the load. No clock."""

    def __init__(self, judged_from_s: float) -> None:
        self._judged_from_s = judged_from_s
        self._logs: dict[str, PointLog] = {}
        self._last_s: float | None = None
        self._cpu_from_s: float | None = None
        self._cpu_used_s = 0.0
        self._tried = self._failed = 0
        self._failure = ""
        self._ending: str | None = None
        self.answered = self.failures = 0
        """Readings of the judged time that succeeded, and that failed."""
        self.ended_s: float | None = None
        """When there was nothing left to read."""

    def add(self, at_s: float, gauges: Mapping[str, float], cpu_s: float | None, *, is_last: bool = False) -> None:
        """A reading. The use of the processor over a very short time waits for the next one.

        The last one counts if it is not that close to another, or if there was only one.
        """
        if is_last and self._tried > 1 and self._last_s is not None and at_s - self._last_s < SHORTEST_S:
            return
        self._tried += 1
        self.answered += at_s >= self._judged_from_s
        begin_s = at_s if self._last_s is None else self._last_s
        for metric, value in gauges.items():
            if abs(value) <= LARGEST:
                self._log(metric).add(begin_s, at_s, value)
        self._last_s = at_s
        if cpu_s is None:
            return
        if self._cpu_from_s is None:
            self._cpu_from_s = at_s
            return
        self._cpu_used_s += cpu_s
        width_s = at_s - self._cpu_from_s
        if width_s >= (LEAST_S if is_last else SHORTEST_S):
            if (percent := 100 * self._cpu_used_s / width_s) <= LARGEST:
                self._log(CPU).add(self._cpu_from_s, at_s, percent)
            self._cpu_from_s, self._cpu_used_s = at_s, 0.0

    def failed(self, at_s: float, why: str) -> None:
        """A reading failed; there will be others."""
        self._tried += 1
        self.failures += at_s >= self._judged_from_s
        self._failed += 1
        self._failure = why

    def ended(self, at_s: float, why: str) -> None:
        """There will be no more readings."""
        self.ended_s = at_s
        if self._last_s is None:
            self._ending = f"{why} before the load: nothing was measured"
        else:
            self._ending = f"{why} {format_duration(at_s)} after the start of the load: not measured from then on"

    @property
    def notes(self) -> list[str]:
        """What is missing."""
        failed = f"{self._failed} of {self._tried} readings failed, the last one with: {self._failure}"
        return [*([failed] if self._failed else []), *([self._ending] if self._ending else [])]

    @property
    def metrics(self) -> dict[str, list[Point]]:
        """The readings so far, by metric: the standard ones first."""
        logs = self._logs
        names = [*(name for name in STANDARD if name in logs), *(name for name in logs if name not in STANDARD)]
        return {name: list(logs[name].points) for name in names}

    @property
    def judged(self) -> dict[str, list[Point]]:
        """The readings of the judged time so far, those of each metric as one: for a look during the load."""
        return {name: [log.judged] for name, log in self._logs.items() if log.judged is not None}

    def _log(self, metric: str) -> PointLog:
        if metric not in self._logs:
            self._logs = {**self._logs, metric: PointLog(self._judged_from_s)}
        return self._logs[metric]


class TargetSampler:
    """The thread that reads a target during a load. Nothing that it does can end the load."""

    def __init__(self, name: str, reader: TargetReader, borders_s: Sequence[float], clock: Callable[[], int]) -> None:
        """``borders_s`` is when the judged time begins and, if that is known, ends; seconds since the start."""
        self._reader = reader
        self._clock = clock
        self._times = ReadingTimes(borders_s)
        self._origin_ns = 0
        self._stop = threading.Event()
        self._is_hurried = False
        self._thread = threading.Thread(target=self._sample, name=f"ipload-target-{name}", daemon=True)
        self.log = ReadingLog(borders_s[0])

    @property
    def notes(self) -> list[str]:
        """What limits the readings."""
        return [*self._reader.notes, *self.log.notes]

    def begin(self, origin_ns: int) -> None:
        """The load begins. If the system has no thread left, there are no readings."""
        self._origin_ns = origin_ns
        try:
            self._thread.start()
        except RuntimeError:
            self.log.failed(self._now_s(), "this process could not start another thread")

    def stop(self, *, hurry: bool = False) -> None:
        """The load is over: the last reading is to be taken, but in a ``hurry`` there is none."""
        self._is_hurried = hurry
        self._stop.set()
        if hurry:
            self._reader.interrupt()

    def end(self) -> None:
        """Wait for the last reading, but not for long."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_LAST_READING_S)
            if self._thread.is_alive():
                self._reader.interrupt()
                self._thread.join(_LAST_READING_S)
        if not self._thread.is_alive():
            self._reader.close()

    def _sample(self) -> None:
        with suppress(TargetLost):  # ``_read`` has noted it
            self._read()
            while not self._stop.wait(self._times.after(self._now_s()) - self._now_s()):
                self._read()
            if not self._is_hurried:
                self._read(is_last=True)

    def _read(self, *, is_last: bool = False) -> None:
        try:
            gauges, cpu_s = self._reader.read()
        except TargetLost as error:
            self.log.ended(self._now_s(), str(error))
            raise
        except Exception as error:  # whatever it is: the load goes on, and there is another second
            self.log.failed(self._now_s(), str(error) or type(error).__name__)
        else:
            self.log.add(self._now_s(), gauges, cpu_s, is_last=is_last)

    def _now_s(self) -> float:
        return (self._clock() - self._origin_ns) / NS_PER_S
