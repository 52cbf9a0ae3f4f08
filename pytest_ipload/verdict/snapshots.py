"""A worker's measurements so far, as far as thresholds with ``abort_on_fail`` need them: taken, sent and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pytest_ipload.base.packing import unpack
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.stats.folding import Folding
from pytest_ipload.stats.sample import ITERATION
from pytest_ipload.stats.spans import Selection
from pytest_ipload.stats.windows import Windows
from pytest_ipload.verdict.codec import decode
from pytest_ipload.verdict.conclude import scope_of
from pytest_ipload.verdict.shard_result import AbortNote, ShardResult, merge
from pytest_ipload.verdict.threshold.abort import AbortWatch, settled
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.remaining_load import Plan
from pytest_ipload.verdict.threshold.selection import looked_at, selections


class SnapshotTaker:
    """Takes the snapshots of one load in a worker. Each window is sent once, when no sample of it is missing."""

    def __init__(self, thresholds: Sequence[ThresholdConfig], planned: bool) -> None:
        watched = [config for config in thresholds if config.abort_on_fail]
        selected = [each for config in watched for each in looked_at(config, planned)]
        self._folding = Folding([*selected, Selection(ITERATION, "outcome")])
        self._spans = selections(watched, planned)
        self._wants_sources = any(config.threshold.statistic == "ip_pool_usage" for config in watched)
        self._lengths_ns = {config.window_ns for config in watched}
        self._sent: dict[int, int] = {}
        """The number of windows of each length that have been sent."""

    def take(self, part: ShardResult, elapsed_s: float) -> dict[str, Any]:
        """A snapshot as plain values, ``elapsed_s`` after the start of the load."""
        settled_s = settled(part.measured, scope_of(part, elapsed_s - part.profile.warmup)).seconds
        new: dict[int, Windows] = {}
        for length_ns, windows in part.measured.windows.items():
            first = self._sent.get(length_ns, 0)
            end = max(first, round(settled_s * NS_PER_S) // length_ns) if length_ns in self._lengths_ns else first
            new[length_ns], self._sent[length_ns] = windows.taken(first, end), end
        measured = part.measured.folded(self._folding, self._spans, new)
        sources = part.users_by_source if self._wants_sources else {}
        part = replace(part, measured=measured, users_by_source=sources, connections_by_source={})
        return {"part": part.to_plain(), "elapsed_s": elapsed_s}


class TeamWatch:
    """Judges the snapshots of all workers that share a load."""

    def __init__(self) -> None:
        self._watch: AbortWatch | None = None
        self._thresholds: list[ThresholdConfig] = []
        self._newest: dict[int, tuple[ShardResult, float]] = {}
        """The latest of each worker, without windows."""
        self._windows: dict[int, Windows] = {}
        """Windows of all workers that have not been judged yet."""

    @property
    def abort(self) -> AbortNote | None:
        """The threshold that aborted the load; None if none did."""
        if self._watch is None or (abort := self._watch.abort) is None:
            return None
        number = next(number for number, config in enumerate(self._thresholds) if config is abort.config)
        return AbortNote(number, abort.after_s, abort.result)

    def look(self, new: Sequence[Sequence[bytes]], elapsed_s: float) -> str | None:
        """The result of the first threshold that can no longer hold; ``new`` are each worker's snapshots since then.

        None until each worker has sent one.
        """
        for worker, snapshots in enumerate(new):
            for packed in snapshots:
                self._add(worker, unpack(packed))
        if len(self._newest) < len(new):
            return None
        whole = merge([part for part, _ in self._newest.values()])
        if self._watch is None:
            self._watch, self._thresholds = AbortWatch(whole.thresholds, Plan.of(whole.profile)), whole.thresholds
        for length_ns, windows in self._windows.items():
            windows.judged_from_ns = whole.measured.judged_from_ns
            whole.measured.windows[length_ns] = windows
        elapsed_s = min([elapsed_s, *(seconds for _, seconds in self._newest.values())])
        reason = self._watch.look(whole.measured, scope_of(whole, elapsed_s - whole.profile.warmup), elapsed_s)
        for length_ns, windows in self._windows.items():
            windows.forget(self._watch.first_window(length_ns))
        return reason

    def _add(self, worker: int, plain: Any) -> None:
        part = ShardResult.from_plain(plain["part"])
        for length_ns, windows in part.measured.windows.items():
            if length_ns in self._windows:
                self._windows[length_ns].merge(windows)
            else:
                self._windows[length_ns] = windows
            part.measured.windows[length_ns] = windows.taken(0, 0)
        self._newest[worker] = part, decode(float, plain["elapsed_s"], "elapsed_s")
