"""How long the machine kept a process waiting, for limits that a busy machine must not break."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

_STEP_S = 0.005


@dataclass
class Stalls:
    """What was seen while the ``with`` block ran."""

    worst_s: float = 0.0
    """The longest time by which a short wait took longer than it was meant to."""


@contextlib.contextmanager
def watched_stalls() -> Iterator[Stalls]:
    """Watch how late a thread of this process is that does nothing but wait; on a quiet machine some milliseconds."""
    seen, over = Stalls(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            began = time.monotonic()
            over.wait(_STEP_S)
            seen.worst_s = max(seen.worst_s, time.monotonic() - began - _STEP_S)

    thread = threading.Thread(target=watch, name="stalls")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
