"""From a user's thread to the collector's: samples change hands in chunks, without a lock."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from pytest_ipload.stats.sample import Sample

CHUNK_SAMPLES = 512
CHUNK_AGE_NS = 1_000_000_000


class Recorder:
    """The samples of one thread, on their way to a collector.

    The owner calls ``record`` and, at its end, ``flush``. Any thread may call ``drain``. The list that the owner
    appends to is its own until it is handed over whole, and is never touched again by the owner after that. The
    hand-over is ``deque.append`` and ``deque.popleft``, which Python documents as thread-safe.
    """

    __slots__ = ("_chunk", "_full_at_ns", "_outbox")

    def __init__(self) -> None:
        self._chunk: list[Sample] = []
        self._full_at_ns: int | None = None
        """A sample that ends later completes the chunk; None before the first one."""
        self._outbox: deque[list[Sample]] = deque()

    def record(self, sample: Sample) -> None:
        """Take a sample; hand over the chunk if it is full or its first sample ended over a second before this one."""
        chunk = self._chunk
        chunk.append(sample)
        ended_ns = sample.started_ns + sample.latency_ns
        if self._full_at_ns is None:
            self._full_at_ns = ended_ns + CHUNK_AGE_NS
        elif ended_ns > self._full_at_ns or len(chunk) >= CHUNK_SAMPLES:
            self.flush()

    def flush(self) -> None:
        """Hand over what is left. For the owner: at its end, or before a long pause."""
        if self._chunk:
            self._outbox.append(self._chunk)
            self._chunk = []
            self._full_at_ns = None

    def drain(self) -> list[Sample]:
        """Take all samples handed over so far, in the order in which they were recorded. For any thread."""
        samples: list[Sample] = []
        # The length is only a bound for this loop: another collector may be faster.
        with suppress(IndexError):
            for _ in range(len(self._outbox)):
                samples += self._outbox.popleft()
        return samples
