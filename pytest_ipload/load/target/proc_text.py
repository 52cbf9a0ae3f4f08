"""Reads the texts of Linux's ``/proc/PID/stat`` (proc_pid_stat(5)). Pure."""

from __future__ import annotations

from typing import NamedTuple

_AFTER_NAME = {"state": 0, "parent": 1, "user": 11, "system": 12, "waited_user": 13, "waited_system": 14}
_THREADS, _STARTED, _PAGES = 17, 19, 21
_ENDED = frozenset("ZXx")


class ProcessReading(NamedTuple):
    """One process at one moment. Times are seconds."""

    pid: int
    parent: int
    started: float
    """When it started, by a clock of the system: together with its number it tells it from any other process."""
    has_ended: bool
    """Whether it only waits for its parent to notice."""
    own_s: float
    """Processor time of its threads, those that have ended included."""
    waited_s: float
    """Processor time of its children that have ended and that it has waited for, and of theirs."""
    threads: int
    rss: int
    """Resident memory in bytes."""
    files: int | None = None
    """Open files; None where this process may not know."""


def parse_stat(text: str, ticks_per_s: int, page_size: int) -> ProcessReading:
    """One process. ``ValueError`` for anything else.

    The second field is the name of its program in brackets; it may have blanks and brackets in it.
    """
    head, opening, rest = text.partition(" (")
    fields = rest.rpartition(")")[2].split()
    if not opening or len(fields) <= _PAGES:
        raise ValueError(f"{text[:80]!r} is not the status of a process")
    numbers = {name: fields[place] for name, place in _AFTER_NAME.items()}
    own = int(numbers["user"]) + int(numbers["system"])
    waited = int(numbers["waited_user"]) + int(numbers["waited_system"])
    return ProcessReading(
        pid=int(head),
        parent=int(numbers["parent"]),
        started=int(fields[_STARTED]) / ticks_per_s,
        has_ended=numbers["state"] in _ENDED,
        own_s=own / ticks_per_s,
        waited_s=waited / ticks_per_s,
        threads=int(fields[_THREADS]),
        rss=int(fields[_PAGES]) * page_size,
    )
