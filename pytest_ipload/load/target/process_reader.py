"""The metrics of a process: what a load reads of a target that is known by its number."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol

from pytest_ipload.base.errors import SettingError, TargetLost
from pytest_ipload.load.target.cpu_meter import CpuMeter
from pytest_ipload.load.target.proc_text import ProcessReading
from pytest_ipload.load.target.proc_tree import ProcTree, has_proc
from pytest_ipload.load.target.psutil_tree import PsutilTree
from pytest_ipload.stats.target_readings import FILES, RSS, THREADS

NO_FILES = "open files cannot be counted: this user may not look at the process"


class ProcessTree(Protocol):
    """Reads processes."""

    def read(self) -> Sequence[ProcessReading]:
        """A process, then its children; empty if it has ended."""


def tree_of(pid: int, started: float | None = None) -> ProcessTree:
    """The process that ``started`` then and its children, as this system can read them.

    Without ``started``, whichever process has the number now. Raises SettingError if the system cannot be read.
    """
    if has_proc():
        return ProcTree(pid, started)
    try:
        return PsutilTree(import_module("psutil"), pid, started)
    except ImportError:
        raise SettingError(
            f"ipload_target: pid={pid} cannot be measured: this system has no /proc, as Linux has, and psutil is not "
            "installed; install it with 'pip install psutil', or give the target's metrics endpoint as prometheus=URL"
        ) from None


class ProcessReader:
    """Reads a process with its children: each load has its own, as it counts from its first reading."""

    def __init__(self, tree: ProcessTree, pid: int) -> None:
        self._tree = tree
        self._pid = pid
        self._meter = CpuMeter()
        self.notes: list[str] = []
        """What limits the readings."""
        if pid == os.getpid():
            self.notes.append("it is the process that generates the load, so its numbers are those of the generator")

    def read(self) -> tuple[Mapping[str, float], float]:
        """Gauges by metric, and the seconds of processor time used since the last call.

        Raises TargetLost if the process has ended.
        """
        processes = self._tree.read()
        if not processes:
            raise TargetLost(f"process {self._pid} has ended")
        gauges: dict[str, float] = {
            RSS: sum(process.rss for process in processes),
            THREADS: sum(process.threads for process in processes if not process.has_ended),
        }
        files = [process.files for process in processes if not process.has_ended]
        if None not in files:
            gauges[FILES] = sum(each or 0 for each in files)
        elif NO_FILES not in self.notes:
            self.notes.append(NO_FILES)
        return gauges, self._meter.used_s(processes)

    def interrupt(self) -> None:
        """Nothing to interrupt: reading takes less than a millisecond."""

    def close(self) -> None:
        """Nothing to close."""
