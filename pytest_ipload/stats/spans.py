"""The judged samples of an interval, by pieces of time: they show how alike samples of one time are."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Literal, NamedTuple

from pytest_ipload.stats.hdr_bins import LAST_BIN
from pytest_ipload.stats.histogram import Histogram, plain_dict, plain_int, plain_list
from pytest_ipload.stats.recorder import Key
from pytest_ipload.stats.sample import FAILED, FAULT, SETUP, Sample
from pytest_ipload.stats.series import SeriesKey
from pytest_ipload.stats.series_table import matches, plain_pair

MOST_CELLS = 40
"""When a load needs more pieces than that, they are joined in pairs: there are always 20 to 40 of a longer load."""
_LONGEST_CELL = 1 << 40
_LARGEST_COUNT = 2**53
_MOST_KEYS = 4096
"""Maximum number of sample keys that are cached with the selections that they belong to."""
_OPEN_CELLS = 2
"""Samples may still arrive for a piece of time just before the newest one."""

Time = Literal["latency", "response", "connect", "tls", "first_byte", "outcome"]


class Selection(NamedTuple):
    """Which samples, and what of them: a time, or with ``outcome`` whether they failed. None does not choose."""

    kind: str
    time: Time
    name: str | None = None
    """``*`` stands for any text."""
    source_address: str | None = None
    status: int | None = None
    outcome: str | None = None

    def fits(self, key: SeriesKey) -> bool:
        """Whether samples of this key are among them."""
        return (
            key.kind == self.kind
            and key.outcome != FAULT
            and (self.source_address is None or key.source_address == self.source_address)
            and (self.status is None or key.status == self.status)
            and (self.outcome is None or key.outcome == self.outcome)
            and (self.name is None or matches(self.name, key.name))
        )


class Cells:
    """Samples by whole seconds of the judged part, later by two of them, four, and so on.

    Each cell is a histogram; one of outcomes has those that failed in bin 1, all others in bin 0.
    """

    def __init__(self) -> None:
        self.cell_s = 1
        self.last_second = -1
        """The newest second with a sample; -1 without any."""
        self._open: dict[int, Histogram] = {}
        self._packed: dict[int, tuple[array[int], array[int]]] = {}
        """Bins in ascending order, and their counts."""
        self._newest = -1

    def at(self, second: int) -> Histogram:
        """The histogram for this second, to record into."""
        second = max(0, second)  # a clock that was set back
        number = second // self.cell_s
        if second > self.last_second:
            self.last_second = second
        histogram = self._open.get(number)
        if histogram is None:
            while second // self.cell_s >= MOST_CELLS:
                self._join_pairs()
            number = second // self.cell_s
            histogram = self._open.get(number) or self._opened(number)
        return histogram

    def merge(self, other: Cells) -> None:
        """Add the samples of the same seconds in another part of the load."""
        while self.cell_s < other.cell_s:
            self._join_pairs()
        for number, bins, counts in other._each():
            into = self.at(number * other.cell_s).bins
            for index, count in zip(bins, counts, strict=True):
                into[index] = into.get(index, 0) + count
        self.last_second = max(self.last_second, other.last_second)

    def above(self, index: int, seconds: float = 0.0) -> list[tuple[int, int]]:
        """For each cell how many samples are in bins above this one, and how many there are.

        Up to the last sample, and without samples up to ``seconds`` of the judged part.
        """
        found = {}
        for number, bins, counts in self._each():
            found[number] = sum(counts[bisect_right(bins, index) :]), sum(counts)
        last = min(MOST_CELLS - 1, max([int(-(-seconds // self.cell_s)) - 1, *found]))
        return [found.get(number, (0, 0)) for number in range(last + 1)]

    def to_plain(self) -> list[Any]:
        """All of it as plain values: the length of a cell, the last second, and each cell with bin, count, bin ..."""
        cells = [[number, [*chain(*zip(bins, counts, strict=True))]] for number, bins, counts in self._each()]
        return [self.cell_s, self.last_second, cells]

    @classmethod
    def from_plain(cls, plain: object) -> Cells:
        """Read what ``to_plain`` wrote; ``ValueError`` if it is anything else."""
        fields = plain_list(plain, "spans")
        if len(fields) != 3:
            raise ValueError(f"spans: expected three values, got {len(fields)}")
        length, last_second, cells = fields
        result = cls()
        result.last_second = plain_int(last_second, "spans last second", low=-1)
        result.cell_s = plain_int(length, "spans seconds", low=1, high=_LONGEST_CELL)
        if result.cell_s & (result.cell_s - 1):
            raise ValueError(f"spans seconds: expected a power of two, got {result.cell_s}")
        next_number = 0
        for number, content in (plain_pair(pair, "spans") for pair in plain_list(cells, "spans")):
            plain_int(number, "spans number", low=next_number, high=MOST_CELLS - 1)
            next_number = number + 1
            numbers, lowest = plain_list(content, "spans bins"), 0
            if len(numbers) % 2:
                raise ValueError("spans bins: expected pairs of bin and count, got an odd number of values")
            for index, count in zip(numbers[::2], numbers[1::2], strict=True):
                lowest = plain_int(index, "spans bin", low=lowest, high=LAST_BIN) + 1  # ascending: none comes twice
                plain_int(count, "spans count", low=1, high=_LARGEST_COUNT)
            result._packed[number] = array("i", numbers[::2]), array("q", numbers[1::2])
        result._newest = next_number - 1
        return result

    def _opened(self, number: int) -> Histogram:
        histogram = self._open[number] = Histogram()
        if number in self._packed:
            histogram.bins = dict(zip(*self._packed.pop(number), strict=True))
        if number > self._newest:
            self._newest = number
            for old in [old for old in self._open if old < number - _OPEN_CELLS]:
                self._packed[old] = _packed(self._open.pop(old))
        return histogram

    def _join_pairs(self) -> None:
        cells = list(self._each())
        self.cell_s *= 2
        self._open, self._packed, self._newest = {}, {}, self._newest // 2
        joined: dict[int, dict[int, int]] = {}
        for number, bins, counts in cells:
            into = joined.setdefault(number // 2, {})
            for index, count in zip(bins, counts, strict=True):
                into[index] = into.get(index, 0) + count
        for number, content in joined.items():
            histogram = Histogram()
            histogram.bins = content
            self._packed[number] = _packed(histogram)

    def _each(self) -> Iterator[tuple[int, array[int], array[int]]]:
        packed = {**self._packed, **{number: _packed(histogram) for number, histogram in self._open.items()}}
        for number in sorted(packed):
            yield number, *packed[number]


class Spans:
    """Cells of several selections."""

    def __init__(self, selections: Iterable[Selection] = ()) -> None:
        self.cells: dict[Selection, Cells] = {selection: Cells() for selection in selections}
        self._known: dict[Any, list[tuple[Time, Cells]]] = {}

    def of(self, key: Key | SeriesKey) -> list[tuple[Time, Cells]]:
        """What samples of this key go into."""
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KEYS:  # names without end
                self._known.clear()
            full = SeriesKey(*key)
            found = [(each.time, cells) for each, cells in self.cells.items() if each.fits(full)]
            self._known[key] = [] if full.kind == SETUP else found
        return found

    def record(self, sample: Sample, second: int, key: Key) -> None:
        """Record one judged sample, which ended in this second of the judged part."""
        for time, cells in self.of(key):
            if time == "outcome":
                count_outcomes(cells, second, sample.outcome, 1)
            elif time in ("latency", "response"):
                late = sample.lateness_ns if time == "response" else 0
                cells.at(second).record(sample.latency_ns + late)
            else:
                self._record_phase(sample, time, cells, second)

    def record_phases(self, sample: Sample, second: int, key: Key) -> None:
        """Record the times of the sample's new connection only."""
        for time, cells in self.of(key):
            if time not in ("outcome", "latency", "response"):
                self._record_phase(sample, time, cells, second)

    def histograms(self, key: Key, second: int, time: Time) -> list[Histogram]:
        """Those to record this time of samples of this key into."""
        return [cells.at(second) for each, cells in self.of(key) if each == time]

    def count(self, key: Key, second: int, number: int) -> None:
        """Count ``number`` samples by their outcome."""
        for time, cells in self.of(key):
            if time == "outcome":
                count_outcomes(cells, second, key[-1], number)

    def of_selections(self, selections: Iterable[Selection]) -> Spans:
        """The same cells, of some selections only."""
        some = Spans()
        some.cells = {selection: self.cells[selection] for selection in selections if selection in self.cells}
        return some

    def merge(self, other: Spans) -> None:
        """Add those of another part of the same load; ``ValueError`` if it has other selections."""
        if set(self.cells) != set(other.cells):
            raise ValueError("one part of the load has spans and the other does not")
        for selection, cells in other.cells.items():
            self.cells[selection].merge(cells)

    def to_plain(self) -> list[Any]:
        """All of it as plain values that JSON and execnet carry without loss."""
        return [{**selection._asdict(), "cells": cells.to_plain()} for selection, cells in self.cells.items()]

    @classmethod
    def from_plain(cls, plain: object) -> Spans:
        """Read what ``to_plain`` wrote; ``ValueError`` if it is anything else."""
        spans = cls()
        for each in plain_list(plain, "spans"):
            content = dict(plain_dict(each, "spans", (*Selection._fields, "cells")))
            cells = Cells.from_plain(content.pop("cells"))
            texts = [value for field, value in content.items() if field != "status"]
            if any(value is not None and type(value) is not str for value in texts):
                raise ValueError(f"spans: expected strings, got {texts!r:.80}")
            if content["status"] is not None:
                plain_int(content["status"], "spans status")
            if (selection := Selection(**content)) in spans.cells:
                raise ValueError("spans: a selection comes twice")
            spans.cells[selection] = cells
        return spans

    @staticmethod
    def _record_phase(sample: Sample, time: Time, cells: Cells, second: int) -> None:
        ns = {"connect": sample.connect_ns, "tls": sample.tls_ns, "first_byte": sample.first_byte_ns}[time]
        if ns is not None:
            cells.at(second).record(ns)


def count_outcomes(cells: Cells, second: int, outcome: str, number: int) -> None:
    """Count ``number`` samples of this outcome."""
    bins = cells.at(second).bins
    failed = int(outcome == FAILED)
    bins[failed] = bins.get(failed, 0) + number


def _packed(histogram: Histogram) -> tuple[array[int], array[int]]:
    indexes = sorted(histogram.bins)
    return array("i", indexes), array("q", map(histogram.bins.__getitem__, indexes))
