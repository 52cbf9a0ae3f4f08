"""What a load measured, or one process's part of it: samples folded into histograms, and parts merged into a whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import add, itemgetter
from types import MappingProxyType
from typing import Any

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.stats.folding import Folding
from pytest_ipload.stats.histogram import plain_dict, plain_int, plain_list, record_many, shown
from pytest_ipload.stats.own_values import OwnValues
from pytest_ipload.stats.recorder import Chunk, Key
from pytest_ipload.stats.sample import FAULT, ITERATION, OBSERVED, OK, REQUEST, SETUP, Sample
from pytest_ipload.stats.series import SAMPLE_KEY, Series, SeriesKey
from pytest_ipload.stats.series_table import SeriesTable, plain_pair
from pytest_ipload.stats.spans import Cells, Selection, Spans
from pytest_ipload.stats.timeline import Timeline
from pytest_ipload.stats.windows import Windows

UNNAMED_FAULT = "unknown"

_STARTED = itemgetter(Sample._fields.index("started_ns"))
_FIRST = itemgetter(0)
_MANY = 20
"""Samples of one series, on average, from which on it is faster to take them together."""


class Measurements(SeriesTable):
    """The folded samples of a load.

    Requests, steps and iterations that started before ``judged_from_ns`` (the warm-up) are only counted, and seen
    in the timeline. Samples of a user's set-up are kept whenever they were taken: they are not judged. An error of the
    generator itself goes to ``faults`` and nowhere else. Not thread-safe.
    """

    def __init__(
        self,
        *,
        origin_ns: int,
        judged_from_ns: int,
        planned: bool,
        judged_until_ns: int | None = None,
        window_lengths_ns: Iterable[int] = (),
        window_selections: Mapping[int, Sequence[Selection]] = MappingProxyType({}),
        selections: Iterable[Selection] = (),
    ) -> None:
        """Besides the whole, the samples are kept by windows of each of the lengths; selected ones by spans of time.

        ``window_selections`` says by the length of a window what is kept in it, where that is not everything.
        """
        super().__init__(planned=planned)
        self.origin_ns = origin_ns
        self.judged_from_ns = judged_from_ns
        self.judged_until_ns = judged_until_ns
        """The end of the time that rates are counted over, by the plan; None: the end of the last iteration. Samples
        that end later are judged too, but no rate counts them."""
        self.warmup_requests = 0
        self.warmup_iterations = 0
        self.warmup_connections: dict[str, int] = {}
        """Connections that requests of the warm-up opened, by source address."""
        self.faults: dict[str, int] = {}
        self.fault_messages: dict[str, str] = {}
        """What the first fault of each name said."""
        self.timeline = Timeline(planned=planned)
        """By the second of the load (from 0, after ``origin_ns``) in which the request ended."""
        self.first_started_ns: int | None = None
        self.last_ended_ns: int | None = None
        """Of the judged requests; None without any."""
        self.windows: dict[int, Windows] = {
            length_ns: Windows(
                length_ns,
                judged_from_ns=judged_from_ns,
                planned=planned,
                selections=window_selections.get(length_ns),
            )
            for length_ns in window_lengths_ns
        }
        """By their length in nanoseconds."""
        self.values = OwnValues()
        self.spans = Spans(selections)
        """The judged samples that intervals are made for, by when they ended."""

    def cells(self, selection: Selection) -> Cells | None:
        """The selected samples by pieces of time."""
        return self.spans.cells.get(selection)

    def own_values(self) -> OwnValues:
        """The counts and gauges of the test's own."""
        return self.values

    def end_at(self, now_ns: int) -> None:
        """The load is cut short: rates are counted until now. No sample that ended later has arrived yet."""
        if self.judged_until_ns is None or now_ns < self.judged_until_ns:
            self.judged_until_ns = now_ns

    def add(self, samples: Iterable[Sample]) -> None:
        """Fold samples in."""
        self.add_chunk(Chunk(list(samples), {}))

    def add_chunk(self, chunk: Chunk) -> None:
        """Fold a chunk of a recorder in; what began first comes first, as names are shown in that order."""
        for windows in self.windows.values():
            windows.add_chunk(chunk)
        if chunk.values:
            self.values.add(chunk.values, self.origin_ns, self.judged_from_ns, self.judged_until_ns)
        groups: list[tuple[int, Key | None]] = [(times[0], key) for key, times in chunk.times.items()]
        if chunk.samples:
            groups.append((chunk.samples[0].started_ns, None))
        for _, key in sorted(groups, key=_FIRST):
            if key is None:
                self._add(chunk.samples)
                continue
            times = chunk.times[key]
            starts, latencies = list(times[::2]), list(times[1::2])
            if min(starts) < self.judged_from_ns:
                self._add_each(chunk.ordinary(key))
            else:
                self._add_alike(key, starts, latencies, latencies)

    def _add(self, samples: list[Sample]) -> None:
        """Fold samples in. Runs for all samples of the load; many that are alike are taken together, for speed."""
        groups: defaultdict[tuple[Any, ...], list[Sample]] = defaultdict(list)
        if len(samples) >= _MANY and min(map(_STARTED, samples)) >= self.judged_from_ns:
            for sample in samples:
                groups[SAMPLE_KEY(sample)].append(sample)
        if len(samples) >= _MANY * len(groups) > 0 and all(key[-1] != FAULT for key in groups):
            for key, group in groups.items():
                starts = list(map(_STARTED, group))
                latencies = [sample.latency_ns for sample in group]
                series = self._add_alike(
                    key, starts, latencies, [sample.latency_ns + sample.lateness_ns for sample in group]
                )
                for sample in group:
                    if sample.connections or sample.redirects or sample.retries:
                        series.add_connections(sample)
                        if sample.connections:
                            self.spans.record_phases(sample, self._judged_second(sample), key)
        else:
            self._add_each(samples)

    def merge(self, other: Measurements) -> None:
        """Add another part of the same load. Its times are shifted so that both parts have the same origin.

        ``ValueError`` if one has response times, or windows, that the other has not.
        """
        self._check_alike(other)
        self.merge_series(other)
        self.values.merge(other.values)
        self.spans.merge(other.spans)
        for length_ns, windows in other.windows.items():
            self.windows[length_ns].merge(windows)
        self.timeline.merge(other.timeline)
        for fault, count in other.faults.items():
            self.faults[fault] = self.faults.get(fault, 0) + count
        self.fault_messages = {**other.fault_messages, **self.fault_messages}
        self.warmup_requests += other.warmup_requests
        self.warmup_iterations += other.warmup_iterations
        for source, connections in other.warmup_connections.items():
            self.warmup_connections[source] = self.warmup_connections.get(source, 0) + connections
        self.judged_until_ns = self._later_end(other)
        if other.first_started_ns is not None and other.last_ended_ns is not None:
            shift = self.origin_ns - other.origin_ns
            self._span(other.first_started_ns + shift, other.last_ended_ns + shift)

    def copy(self) -> Measurements:
        """The same, for another part to be merged into."""
        same = Measurements(
            origin_ns=self.origin_ns,
            judged_from_ns=self.judged_from_ns,
            planned=self.planned,
            window_lengths_ns=self.windows,
            selections=self.spans.cells,
        )
        same.merge(self)
        for field in _NUMBERS:
            setattr(same, field, getattr(self, field))
        return same

    def folded(self, folding: Folding, selections: Iterable[Selection], windows: Mapping[int, Windows]) -> Measurements:
        """What is needed of it to look at some thresholds: these windows and spans, folded series, no timeline."""
        some = Measurements(origin_ns=self.origin_ns, judged_from_ns=self.judged_from_ns, planned=self.planned)
        for field in _NUMBERS:
            setattr(some, field, getattr(self, field))
        some.merge_folded(self, folding)
        some.names_dropped = self.names_dropped
        some.values.merge(self.values)
        some.windows = dict(windows)
        some.spans = self.spans.of_selections(selections)
        return some

    def _check_alike(self, other: Measurements) -> None:
        """Before anything is changed: refuse what does not belong together."""
        if set(self.windows) != set(other.windows):
            raise ValueError("one part of the load has windows and the other does not")
        if set(self.spans.cells) != set(other.spans.cells):
            raise ValueError("one part of the load has spans and the other does not")
        if self.planned != other.planned:
            raise ValueError("one part of the load is planned (open model or pacing) and the other is not")

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain values that JSON and execnet carry without loss."""
        plain = {field: getattr(self, field) for field in _NUMBERS}
        return {
            **plain,
            "planned": self.planned,
            "faults": {fault: [count, self.fault_messages[fault]] for fault, count in self.faults.items()},
            "warmup_connections": dict(self.warmup_connections),
            "partial_names": self.partial_names_to_plain(),
            "timeline": self.timeline.to_plain(),
            "series": self.series_to_plain(),
            "windows": [windows.to_plain() for windows in self.windows.values()],
            "spans": self.spans.to_plain(),
            "values": self.values.to_plain(),
        }

    @classmethod
    def from_plain(cls, plain: object) -> Measurements:
        """Read what ``to_plain`` wrote; ``ValueError`` if a part is missing, of another type or contradicts another."""
        fields = plain_dict(plain, "measurements", _FIELDS)
        if type(fields["planned"]) is not bool or type(fields["faults"]) is not dict:
            raise ValueError("measurements: planned must be true or false, and faults a dict")
        measured = cls(origin_ns=0, judged_from_ns=0, planned=fields["planned"])
        for field, low in _NUMBERS.items():
            optional = field in _OPTIONAL and fields[field] is None
            setattr(measured, field, None if optional else plain_int(fields[field], f"measurements {field}", low=low))
        first, last = measured.first_started_ns, measured.last_ended_ns
        if (first is None) != (last is None) or (first is not None and last is not None and first > last):
            raise ValueError("measurements: first_started_ns and last_ended_ns contradict each other")
        for fault, pair in fields["faults"].items():
            count, message = plain_pair(pair, "measurements faults")
            if type(fault) is not str or type(message) is not str:
                raise ValueError(f"measurements faults: expected names and messages, got {shown(pair)}")
            measured.faults[fault] = plain_int(count, "measurements faults", low=1)
            measured.fault_messages[fault] = message
        measured.warmup_connections = _plain_counts(fields["warmup_connections"], "measurements warmup_connections")
        measured.timeline = Timeline.from_plain(fields["timeline"], planned=measured.planned)
        measured.read_partial_names(fields["partial_names"], "measurements partial_names")
        measured.read_series(fields["series"], "measurements series")
        for each in plain_list(fields["windows"], "measurements windows"):
            windows = Windows.from_plain(each, judged_from_ns=measured.judged_from_ns, planned=measured.planned)
            if windows.length_ns in measured.windows:
                raise ValueError(f"measurements windows: the length {windows.length_ns} comes twice")
            measured.windows[windows.length_ns] = windows
        measured.spans = Spans.from_plain(fields["spans"])
        measured.values = OwnValues.from_plain(fields["values"])
        return measured

    def _add_each(self, samples: Iterable[Sample]) -> None:
        """Fold samples in one at a time, whatever they are."""
        judged_from_ns = self.judged_from_ns
        for sample in samples:
            kind, _, started_ns, latency_ns, outcome = sample[:5]
            if outcome == FAULT:
                fault = sample.fault or UNNAMED_FAULT
                self.faults[fault] = self.faults.get(fault, 0) + 1
                self.fault_messages.setdefault(fault, sample.problem.message if sample.problem else "")
                continue
            if kind == REQUEST:
                self._add_request(sample)
            if started_ns + (latency_ns if kind == OBSERVED else 0) < judged_from_ns and kind != SETUP:
                self._count_of_warmup(sample)
                continue
            series = self.record(sample)
            if self.judged_until_ns is not None and started_ns + latency_ns >= self.judged_until_ns:
                series.after_end += 1
            if self.spans.cells:
                self.spans.record(sample, self._judged_second(sample), SAMPLE_KEY(sample))

    def _count_of_warmup(self, sample: Sample) -> None:
        self.warmup_requests += sample.kind == REQUEST
        self.warmup_iterations += sample.kind == ITERATION
        if sample.connections and sample.source_address is not None:
            source = sample.source_address
            self.warmup_connections[source] = self.warmup_connections.get(source, 0) + sample.connections

    def _add_request(self, sample: Sample) -> None:
        """Put a request into the timeline."""
        started_ns, latency_ns = sample.started_ns, sample.latency_ns
        ended_ns = started_ns + latency_ns
        second = self.timeline.at((ended_ns - self.origin_ns) // NS_PER_S)
        second.requests += 1
        if sample.outcome == OK:
            second.latency.record(latency_ns)
            if second.response is not None:
                second.response.record(latency_ns + sample.lateness_ns)
        else:
            second.failed_requests += 1
        if started_ns >= self.judged_from_ns:
            self._span(started_ns, ended_ns)

    def _add_alike(self, key: Key, starts: list[int], latencies: list[int], responses: list[int]) -> Series:
        """Fold samples of one series in, none of which is of the warm-up or a fault: as ``_add_each`` does."""
        is_request, is_spanned = key[0] == REQUEST, bool(self.spans.of(key))
        until_ns = self.judged_until_ns
        if not (is_request or is_spanned):
            series = self.record_alike(key, latencies, responses)
            if until_ns is not None and max(starts) + max(latencies) >= until_ns:
                series.after_end += sum(ended_ns >= until_ns for ended_ns in map(add, starts, latencies))
            return series
        series = self._series_of(SeriesKey(*key), len(latencies))
        ends = list(map(add, starts, latencies))
        last_ns = max(ends)
        if is_request:
            self._span(min(starts), last_ns)
        if until_ns is not None and last_ns >= until_ns:
            series.after_end += sum(ended_ns >= until_ns for ended_ns in ends)
        for number, some, their_responses in self._by_second(ends, latencies, responses):
            histograms = [series.latency]
            of_responses = [] if series.response is None else [series.response]
            if is_request:
                second = self.timeline.at(number)
                second.requests += len(some)
                second.failed_requests += len(some) if key[-1] != OK else 0
                histograms += [second.latency] if key[-1] == OK else []
                of_responses += [second.response] if key[-1] == OK and second.response is not None else []
            if is_spanned:
                self.spans.count(key, number - self._first_second, len(some))
                histograms += self.spans.histograms(key, number - self._first_second, "latency")
                of_responses += self.spans.histograms(key, number - self._first_second, "response")
            if their_responses is some:
                record_many(some, *histograms, *of_responses)
            else:
                record_many(some, *histograms)
                record_many(their_responses, *of_responses)
        return series

    @property
    def _first_second(self) -> int:
        """The second of the load in which its judged part begins."""
        return (self.judged_from_ns - self.origin_ns) // NS_PER_S

    def _judged_second(self, sample: Sample) -> int:
        """The second of the judged part in which a sample ended."""
        ended_ns = sample.started_ns + max(0, sample.latency_ns)
        return (ended_ns - self.origin_ns) // NS_PER_S - self._first_second

    def _by_second(
        self, ends: list[int], latencies: list[int], responses: list[int]
    ) -> Iterator[tuple[int, list[int], list[int]]]:
        """Latencies and response times by the second of the timeline; one list for both, where it came as one."""
        first, last = ((ns - self.origin_ns) // NS_PER_S for ns in (min(ends), max(ends)))
        if first == last:
            yield first, latencies, responses
            return
        numbers = [(ended_ns - self.origin_ns) // NS_PER_S for ended_ns in ends]
        of_latencies = _grouped(numbers, latencies)
        of_responses = of_latencies if responses is latencies else _grouped(numbers, responses)
        for number, some in of_latencies.items():
            yield number, some, of_responses[number]

    def _later_end(self, other: Measurements) -> int | None:
        """When the time that rates are counted over ends for both parts together."""
        if self.judged_until_ns is None or other.judged_until_ns is None:
            return None
        return max(self.judged_until_ns, other.judged_until_ns + self.origin_ns - other.origin_ns)

    def _span(self, started_ns: int, ended_ns: int) -> None:
        if self.first_started_ns is None or started_ns < self.first_started_ns:
            self.first_started_ns = started_ns
        if self.last_ended_ns is None or ended_ns > self.last_ended_ns:
            self.last_ended_ns = ended_ns


def _grouped(numbers: list[int], values: list[int]) -> dict[int, list[int]]:
    groups = defaultdict(list)
    for number, value in zip(numbers, values, strict=True):
        groups[number].append(value)
    return groups


def _plain_counts(plain: object, what: str) -> dict[str, int]:
    """Counts by text; ``ValueError`` if it is anything else."""
    if type(plain) is not dict or not all(type(key) is str for key in plain):
        raise ValueError(f"{what}: expected counts by name, got {plain!r:.80}")
    return {key: plain_int(count, what) for key, count in plain.items()}


_OPTIONAL = ("first_started_ns", "last_ended_ns", "judged_until_ns")
_NUMBERS: dict[str, int | None] = {
    # Field: smallest value. The zero of the clock is arbitrary, so its readings may be negative.
    "origin_ns": None,
    "judged_from_ns": None,
    "judged_until_ns": None,
    "first_started_ns": None,
    "last_ended_ns": None,
    "warmup_requests": 0,
    "warmup_iterations": 0,
    "names_dropped": 0,
}
_FIELDS = (
    *_NUMBERS, "planned", "faults", "warmup_connections", "partial_names", "timeline", "series", "windows", "spans",
    "values",
)  # fmt: skip
