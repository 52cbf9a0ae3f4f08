"""Whether a process of this host can run at all, which its silence does not say. Linux only."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")
_CANNOT_RUN = frozenset("TtZXx")
"""Stopped, traced, dead and zombie: the letters of proc_pid_stat(5)."""


def can_run(pid: int | None, proc: Path = _PROC) -> bool | None:
    """False for a process that is stopped or dead, None where unknown."""
    if pid is None or not (proc / "self").exists():
        return None
    try:
        stat = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return False
    except OSError:
        return None
    state = stat.rpartition(")")[2].split()  # a program's name may contain anything, parentheses too
    return None if not state else state[0] not in _CANNOT_RUN
