"""How much processor time processes use, and how many of their threads want it. Known on Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def used_s(pids: Iterable[int], proc: Path = _PROC) -> float:
    """Processor time of these processes in seconds, ended threads included, since they began."""
    ticks = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            user, system = _fields(proc / str(pid) / "stat")[11:13]
            ticks += int(user) + int(system)
    return ticks / _TICKS_PER_S


def runnable(pids: Iterable[int], proc: Path = _PROC) -> int:
    """How many threads of these processes run, or wait for nothing but a processor, at this moment."""
    count = 0
    for pid in pids:
        folder = proc / str(pid) / "task"
        with suppress(OSError):
            for thread in os.listdir(folder):
                with suppress(OSError, IndexError):
                    count += _fields(folder / thread / "stat")[0] == "R"
    return count


def _fields(stat: Path) -> list[str]:
    """The fields behind the command's name, which may contain anything: state, parent, ..."""
    return stat.read_text(errors="replace").rpartition(")")[2].split()
