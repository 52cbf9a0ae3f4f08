"""Which trace each sample belongs to, from when it is recorded until it is written to a spool.

Samples have no room for it: an ordinary one is two numbers. Those two, start and latency in nanoseconds, find it again.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

_MOST = 2_000_000
"""Of samples that were recorded and never written; more are not noted."""


class SampleTraces:
    """The traces of a load's samples. For all its threads: setting and popping of a dict are atomic."""

    def __init__(self) -> None:
        self._traces: dict[tuple[int, int], str] = {}

    def note(self, started_ns: int, latency_ns: int, trace_id: str) -> None:
        """A sample of these times is of this trace."""
        if len(self._traces) < _MOST:
            self._traces[started_ns, latency_ns] = trace_id

    def take(self, started_ns: int, latency_ns: int) -> str:
        """The trace of a sample, which is forgotten then; empty if none was noted."""
        return self._traces.pop((started_ns, latency_ns), "")

    def split(self, times: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
        """Starts and latencies, alternating, by trace."""
        found: dict[str, array[int]] = {}
        for started_ns, latency_ns in zip(times[::2], times[1::2], strict=True):
            trace_id = self.take(started_ns, latency_ns)
            if trace_id not in found:
                found[trace_id] = array("q")
            found[trace_id].extend((started_ns, latency_ns))
        yield from found.items()
