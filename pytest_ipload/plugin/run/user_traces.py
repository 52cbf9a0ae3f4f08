"""Notes the trace of each sample of a user, for lines that name it: with ``--ipload-trace`` and ``--ipload-jsonl``."""

from __future__ import annotations

from collections.abc import Callable

from pytest_ipload.load.user import VirtualUser
from pytest_ipload.stats.recorder import Key
from pytest_ipload.stats.sample import ITERATION, Sample
from pytest_ipload.stats.spool.sample_traces import SampleTraces


class UserTraces:
    """Takes a user's samples on their way to its recorder."""

    user: VirtualUser
    """To be set before anything is recorded."""

    def __init__(
        self, traces: SampleTraces, record: Callable[[Sample], None], tally: Callable[[Key, int, int], None]
    ) -> None:
        self._traces = traces
        self._record, self._tally = record, tally

    def record(self, sample: Sample) -> None:
        """Take a sample, and hand it on."""
        self._note(sample.kind, sample.started_ns, sample.latency_ns)
        self._record(sample)

    def tally(self, key: Key, started_ns: int, latency_ns: int) -> None:
        """Take an ordinary sample, and hand it on."""
        self._note(key[0], started_ns, latency_ns)
        self._tally(key, started_ns, latency_ns)

    def _note(self, kind: str, started_ns: int, latency_ns: int) -> None:
        user = self.user
        # The sample of an iteration comes when it is over.
        trace_id = user.trace_of(user.iteration if kind == ITERATION else user.moment())
        if trace_id is not None:
            self._traces.note(started_ns, latency_ns, trace_id)
