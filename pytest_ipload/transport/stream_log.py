"""Counts the gaps between events whose lengths are not known, because the events were read too late."""

from __future__ import annotations

import threading


class StreamLog:
    """For all sessions of a load. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.gaps = 0
        """Of all streams that have ended."""
        self.joined = 0
        """Those of them that count as 0 because their events had waited to be read together."""

    def add(self, gaps: int, joined: int) -> None:
        """A stream has ended."""
        with self._lock:
            self.gaps += gaps
            self.joined += joined
