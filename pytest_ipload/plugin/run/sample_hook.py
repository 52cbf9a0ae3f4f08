"""What happens to each sample of a load besides measuring: plugins get it, and a spool keeps it for a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_ipload.base import real_time
from pytest_ipload.plugin.session_state import state_of
from pytest_ipload.stats.recorder import Chunk
from pytest_ipload.stats.sample import LATENESS
from pytest_ipload.stats.spool.sample_traces import SampleTraces
from pytest_ipload.stats.spool.session_spools import Spool, SpoolFacts

if TYPE_CHECKING:
    from pluggy import HookCaller

    from pytest_ipload.verdict.rounds import RoundNote


def open_sample_sink(item: pytest.Item, traces: SampleTraces | None = None) -> SampleSink | None:
    """The consumer of samples for a load of this item; None if there is none."""
    spools, hook = state_of(item.config).spools, item.ihook.pytest_ipload_sample
    spool = None if spools is None else spools.open(item.nodeid, traces)
    wanted = bool(hook.get_hookimpls())
    return SampleSink(item, spool, hook if wanted else None) if wanted or spool is not None else None


class SampleSink:
    """Takes the samples of one load, in the thread that runs it."""

    def __init__(self, item: pytest.Item, spool: Spool | None, hook: HookCaller | None) -> None:
        self._item = item
        self._spool = spool
        self._hook = hook
        self._unix_offset_ns = real_time.time_ns() - real_time.perf_counter_ns()

    def __call__(self, chunks: Sequence[Chunk]) -> None:
        """Pass the samples on. Raises what a plugin raises; that plugin is not called again then."""
        if self._spool is not None:
            self._spool.add(chunks)
        hook, self._hook = self._hook, None
        if hook is not None:
            everything = (sample for chunk in chunks for sample in chunk.all_samples())
            samples = [sample for sample in everything if sample.kind != LATENESS]
            hook(item=self._item, samples=samples, unix_offset_ns=self._unix_offset_ns)
            self._hook = hook

    def close(self, *, judged_from_ns: int, is_planned: bool, round_note: RoundNote | None) -> None:
        """The load is over."""
        if self._spool is not None:
            which = None if round_note is None else (round_note.number + 1, round_note.role)
            self._spool.finish(SpoolFacts(self._item.nodeid, self._unix_offset_ns, judged_from_ns, is_planned, which))
