"""A process and all its children, read from Linux's /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pytest_ipload.load.target.proc_text import ProcessReading, parse_stat

PROC = "/proc"
_LONGEST_STAT = 4096


def has_proc(root: str = PROC) -> bool:
    """Whether this system has processes to read there."""
    return Path(root, "self", "stat").exists()


class ProcTree:
    """Reads a process, and those that it or its children have started.

    A child that outlives its parent stays one of them. Each process of the system is read once, when it is new, to find
    its parent; later only those of the tree are.
    """

    def __init__(self, pid: int, started: float | None = None, root: str = PROC) -> None:
        """``started`` is when the process started; None for whichever has the number at the first reading."""
        self._pid = pid
        self._root = root
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self._page_size = os.sysconf("SC_PAGE_SIZE")
        self._is_member: dict[int, bool] = {}
        self._started: dict[int, float] = {} if started is None else {pid: started}
        """When the members started: another process with the number of one that has ended is none."""

    def read(self) -> list[ProcessReading]:
        """The process first, then the others; without it if it has ended."""
        main = self._read(self._pid)
        if main is None or main.has_ended or self._started.setdefault(self._pid, main.started) != main.started:
            return []
        self._is_member[self._pid] = True
        self._look_for_new()
        others = [self._read(pid) for pid, is_member in self._is_member.items() if is_member and pid != self._pid]
        return [main, *(each for each in others if each is not None and self._is_same(each))]

    def _is_same(self, process: ProcessReading) -> bool:
        if self._started.setdefault(process.pid, process.started) == process.started:
            return True
        self._is_member[process.pid] = False  # in its place is another one
        return False

    def _look_for_new(self) -> None:
        """Find out which of the processes that are new belong to the tree, and forget those that are gone."""
        there = {int(name) for name in os.listdir(self._root) if name.isdigit()}
        for pid in self._is_member.keys() - there:
            del self._is_member[pid]
            self._started.pop(pid, None)
        parents = {}
        for pid in there - self._is_member.keys():
            process = self._stat(pid)
            if process is not None:
                parents[pid] = process.parent
        for pid in parents:
            self._is_member[pid] = self._descends(pid, parents)

    def _descends(self, pid: int, parents: dict[int, int]) -> bool:
        """Whether a new process has a member among its ancestors."""
        seen: set[int] = set()
        while pid in parents and pid not in seen:
            seen.add(pid)
            pid = parents[pid]
        return self._is_member.get(pid, False)

    def _read(self, pid: int) -> ProcessReading | None:
        process = self._stat(pid)
        if process is None or process.has_ended:
            return process
        return process._replace(files=self._files(pid))

    def _stat(self, pid: int) -> ProcessReading | None:
        with suppress(OSError, ValueError):
            file = os.open(f"{self._root}/{pid}/stat", os.O_RDONLY)
            try:
                text = os.read(file, _LONGEST_STAT).decode("utf-8", "replace")
            finally:
                os.close(file)
            return parse_stat(text, self._ticks_per_s, self._page_size)
        return None

    def _files(self, pid: int) -> int | None:
        """Linux says their number as the size of the folder from 6.2 on; before, they have to be counted."""
        folder = f"{self._root}/{pid}/fd"
        try:
            return os.stat(folder).st_size or len(os.listdir(folder))
        except OSError:
            return None
