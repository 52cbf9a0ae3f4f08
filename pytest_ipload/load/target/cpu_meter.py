"""Processor time of a group of processes, from their counters. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_ipload.load.target.proc_text import ProcessReading

_Key = tuple[int, float]


class CpuMeter:
    """Adds up what processes use, while some of them end and others start.

    What a process has used is in its own counter until it ends and its parent has waited for it; from then on it is in
    the parent's counter of waited-for children. A parent that does not wait for its children takes it along.
    """

    def __init__(self) -> None:
        self._last: dict[_Key, ProcessReading] | None = None

    def used_s(self, processes: Sequence[ProcessReading]) -> float:
        """Seconds of processor time used since the last call; 0 for the first one."""
        now = {(process.pid, process.started): process for process in processes}
        before, self._last = self._last, now
        if before is None:
            return 0.0
        own, waited = 0.0, 0.0
        for key, process in now.items():
            known = before.get(key)
            # A process that is new has started since the last call: all that it has used is new.
            own += process.own_s - (known.own_s if known else 0.0)
            waited += process.waited_s - (known.waited_s if known else 0.0)
        ended = [process for key, process in before.items() if key not in now]
        counted = sum(process.own_s + process.waited_s for process in ended)
        return max(0.0, own) + max(0.0, waited - counted)
