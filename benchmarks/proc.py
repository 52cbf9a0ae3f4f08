"""Processor time and memory of running processes, from Linux's ``/proc``."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class ProcessStat(NamedTuple):
    """The part of ``/proc/PID/stat`` that is of interest here; see proc(5)."""

    pid: int
    parent: int
    ticks: int
    """Processor time of all threads and of children that were waited for, in ticks of ``SC_CLK_TCK``."""


def parse_stat(text: str) -> ProcessStat:
    """Read the line in ``/proc/PID/stat``. The command in it may have spaces and parentheses of its own."""
    before, _, after = text.rpartition(")")
    fields = after.split()  # from field 3, the state, on
    return ProcessStat(int(before.split(" ", 1)[0]), int(fields[1]), sum(int(value) for value in fields[11:15]))


def process_tree(root: int, proc: Path = PROC) -> list[ProcessStat]:
    """The process ``root`` and all that descend from it; empty if it is gone."""
    everyone: dict[int, ProcessStat] = {}
    for path in proc.glob("[0-9]*/stat"):
        try:
            stat = parse_stat(path.read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        everyone[stat.pid] = stat
    found = [everyone[root]] if root in everyone else []
    for parent in found:  # grows while it is walked
        found += [stat for stat in everyone.values() if stat.parent == parent.pid]
    return found


def cpu_seconds(root: int, proc: Path = PROC) -> float:
    """Processor time that a process and its descendants have used so far."""
    return sum(stat.ticks for stat in process_tree(root, proc)) / os.sysconf("SC_CLK_TCK")


def core_seconds(core: int, proc: Path = PROC) -> float:
    """Time that a core has spent on processes so far, and on other machines where it is a virtual one's (steal).

    Interrupts are left out: whoever happens to run is interrupted. Raises ValueError without such a core.
    """
    for line in (proc / "stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":  # user, nice, system, idle, iowait, irq, softirq, steal
            return sum(int(ticks[field]) for field in (0, 1, 2, 7)) / os.sysconf("SC_CLK_TCK")
    raise ValueError(f"no core {core} in {proc}/stat")


def cpu_of_ended_children() -> float:
    """Processor time of all children of this process that have ended and were waited for, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def resident_kib(pid: int, proc: Path = PROC) -> int:
    """Resident memory of one process in KiB. Raises OSError if it is gone."""
    match = re.search(r"^VmRSS:\s+(\d+) kB$", (proc / str(pid) / "status").read_text(), re.MULTILINE)
    if match is None:
        raise ProcessLookupError(f"process {pid} has no memory any more")
    return int(match[1])
