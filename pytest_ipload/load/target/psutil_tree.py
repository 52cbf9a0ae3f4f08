"""A process and all its children, read by psutil where there is no /proc."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from pytest_ipload.load.target.proc_text import ProcessReading


class PsutilTree:
    """Reads a process, and those that it or its children have started."""

    def __init__(self, psutil: ModuleType, pid: int, started: float | None = None) -> None:
        """``started`` is when the process started; None for whichever has the number at the first reading."""
        self._psutil = psutil
        self._pid = pid
        self._started = started

    def read(self) -> list[ProcessReading]:
        """The process first, then the others; without it if it has ended."""
        try:
            process = self._psutil.Process(self._pid)
            main = self._reading(process)
            if main is None or main.has_ended or main.started != (self._started or main.started):
                return []
            self._started = main.started
            children = [self._reading(child) for child in process.children(recursive=True)]
        except self._psutil.Error:
            return []
        return [main, *(each for each in children if each is not None)]

    def _reading(self, process: Any) -> ProcessReading | None:
        try:
            with process.oneshot():
                times = process.cpu_times()
                return ProcessReading(
                    pid=process.pid,
                    parent=process.ppid(),
                    started=process.create_time(),
                    has_ended=process.status() == self._psutil.STATUS_ZOMBIE,
                    own_s=times.user + times.system,
                    waited_s=getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0),
                    threads=process.num_threads(),
                    rss=process.memory_info().rss,
                    files=self._files(process),
                )
        except self._psutil.Error:
            return None

    def _files(self, process: Any) -> int | None:
        try:
            count: int = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
        except self._psutil.Error:
            return None
        return count
