"""The judged samples of a load by windows of one length, for thresholds that have to hold in each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import add
from typing import Any

from pytest_ipload.stats.folding import Folding
from pytest_ipload.stats.histogram import plain_dict, plain_int, plain_list
from pytest_ipload.stats.recorder import Chunk
from pytest_ipload.stats.sample import FAULT, LATENESS, OBSERVED, SETUP, Sample
from pytest_ipload.stats.series import SAMPLE_KEY, SeriesKey
from pytest_ipload.stats.series_table import PackedTable, SeriesTable, plain_pair
from pytest_ipload.stats.spans import Selection

_UNJUDGED = (SETUP, LATENESS)
_OPEN_NS = 30_000_000_000
"""Samples may still arrive for a window that ended this long ago; for older ones that is unlikely."""


class Windows:
    """Window number n holds what ended from ``n`` to ``n + 1`` lengths after ``judged_from_ns``.

    What started before (in the warm-up), users' set-up, and the lateness and the faults of the generator are in none. A
    sample comes into the window in which it ended: what a stalled target holds back shows up when it is over, and the
    windows before are empty. Not for two threads at a time.
    """

    def __init__(
        self, length_ns: int, *, judged_from_ns: int, planned: bool, selections: Iterable[Selection] | None = None
    ) -> None:
        """Of the ``selections`` only, and no finer than they choose; None keeps everything."""
        self.length_ns = length_ns
        self.judged_from_ns = judged_from_ns
        self.planned = planned
        self._folding = None if selections is None else Folding(selections)
        self._open: dict[int, SeriesTable] = {}
        self._packed: dict[int, PackedTable] = {}
        """Those that are over for a while: a long load has thousands of them."""
        self._newest = -1

    def add_chunk(self, chunk: Chunk) -> None:
        """Put a chunk of a recorder into the windows."""
        for recorded, times in chunk.times.items():
            kept = None if recorded[0] in _UNJUDGED else self._kept(recorded)
            if kept is not None:
                self._add_alike(kept, list(times[::2]), list(times[1::2]))
        for sample in chunk.samples:
            if self._is_judged(sample) and sample.kind not in _UNJUDGED and sample.outcome != FAULT:
                key = self._kept(SAMPLE_KEY(sample))
                if key is not None:
                    ended_ns = sample.started_ns + sample.latency_ns
                    self._table((ended_ns - self.judged_from_ns) // self.length_ns).record(sample, key)

    def _is_judged(self, sample: Sample) -> bool:
        """Whether it is none of the warm-up: a time that the test observed may have begun before the load."""
        since_ns = sample.latency_ns if sample.kind == OBSERVED else 0
        return sample.started_ns + since_ns >= self.judged_from_ns

    def _kept(self, key: tuple[Any, ...]) -> SeriesKey | None:
        """The key under which samples of this one are kept; None if they are not."""
        return SeriesKey(*key) if self._folding is None else self._folding.key(key)

    def full(self, ended_ns: int, first: int = 0) -> Iterator[tuple[int, SeriesTable]]:
        """The windows that are over at this time, in order, from number ``first`` on: also those without samples."""
        for number in range(first, (ended_ns - self.judged_from_ns) // self.length_ns):
            yield number, self._peek(number)

    def merge(self, other: Windows) -> None:
        """Add the windows of another part of the same load, which may have another origin.

        ``ValueError`` if they have another length, or response times that these have not.
        """
        if self.length_ns != other.length_ns:
            raise ValueError(
                f"windows of {self.length_ns} ns and of {other.length_ns} ns cannot belong to the same load"
            )
        for number in other._numbers():
            self._table(number).merge_series(other._peek(number))

    def taken(self, first: int, end: int) -> Windows:
        """A copy of those from number ``first`` up to ``end``, which is not among them."""
        some = Windows(self.length_ns, judged_from_ns=self.judged_from_ns, planned=self.planned)
        for number in self._numbers():
            if first <= number < end:
                some._table(number).merge_series(self._peek(number))
        return some

    def forget(self, end: int) -> None:
        """Drop those before number ``end``."""
        for kept in (self._open, self._packed):
            for number in [number for number in kept if number < end]:
                del kept[number]

    def to_plain(self) -> dict[str, Any]:
        """All of it, without what the load's other parts contain, as plain values for JSON and execnet."""
        tables = [(number, self._peek(number)) for number in self._numbers()]
        return {
            "length_ns": self.length_ns,
            "windows": [[number, [table.names_dropped, table.series_to_plain()]] for number, table in tables],
            "partial_names": [[number, table.partial_names_to_plain()] for number, table in tables],
        }

    @classmethod
    def from_plain(cls, plain: object, *, judged_from_ns: int, planned: bool) -> Windows:
        """Read what ``to_plain`` wrote; ``ValueError`` if a part is missing or of another type."""
        fields = plain_dict(plain, "windows", ("length_ns", "windows", "partial_names"))
        length_ns = plain_int(fields["length_ns"], "windows length_ns", low=1)
        result = cls(length_ns, judged_from_ns=judged_from_ns, planned=planned)
        partial = _by_number(fields["partial_names"])
        next_number = 0
        for number, content in (plain_pair(pair, "windows") for pair in plain_list(fields["windows"], "windows")):
            plain_int(number, "window number", low=next_number)  # ascending, so none comes twice
            next_number = number + 1
            dropped, series = plain_pair(content, "window")
            table = SeriesTable(planned=planned)
            table.names_dropped = plain_int(dropped, "window names_dropped")
            table.read_partial_names(partial.get(number, []), "window partial_names")
            table.read_series(series, "window series")
            result._open[number] = table
        result._newest = next_number - 1
        result._pack_old()
        return result

    def _add_alike(self, key: SeriesKey, starts: list[int], latencies: list[int]) -> None:
        """Put ordinary samples of one key into the windows: as a rule, all of them into one."""
        judged_from_ns = self.judged_from_ns
        if min(starts) < judged_from_ns:
            is_observed = key.kind == OBSERVED
            pairs = [
                pair
                for pair in zip(starts, latencies, strict=True)
                if pair[0] + (pair[1] if is_observed else 0) >= judged_from_ns
            ]
            if not pairs:
                return
            starts, latencies = [start for start, _ in pairs], [latency for _, latency in pairs]
        ends = list(map(add, starts, latencies))
        first, last = ((ns - judged_from_ns) // self.length_ns for ns in (min(ends), max(ends)))
        by_window: dict[int, list[int]] = {first: latencies}
        if first != last:
            by_window = defaultdict(list)
            for ended_ns, latency_ns in zip(ends, latencies, strict=True):
                by_window[(ended_ns - judged_from_ns) // self.length_ns].append(latency_ns)
        for number, values in by_window.items():
            self._table(number).record_alike(key, values, values)

    def _table(self, number: int) -> SeriesTable:
        """The window's samples, to be added to."""
        table = self._open.get(number)
        if table is None:
            table = self._open[number] = self._peek(number)
            self._packed.pop(number, None)
            if number > self._newest:
                self._newest = number
                self._pack_old()
        return table

    def _pack_old(self) -> None:
        kept = -(-_OPEN_NS // self.length_ns)
        for number in [number for number in self._open if number < self._newest - kept]:
            self._packed[number] = self._open.pop(number).pack()

    def _peek(self, number: int) -> SeriesTable:
        """The window's samples, to be looked at: a packed window stays packed, and one without samples does not come
        into being.
        """
        if number in self._packed:
            return SeriesTable.unpack(self._packed[number], planned=self.planned)
        return self._open.get(number) or SeriesTable(planned=self.planned)

    def _numbers(self) -> list[int]:
        return sorted([*self._open, *self._packed])


def _by_number(plain: object) -> dict[int, Any]:
    """Values of windows by their number; ``ValueError`` for anything else."""
    pairs = [plain_pair(pair, "windows partial_names") for pair in plain_list(plain, "windows partial_names")]
    return {plain_int(number, "windows partial_names"): content for number, content in pairs}
