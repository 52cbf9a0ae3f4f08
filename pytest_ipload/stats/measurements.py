"""What a load measured, or one process's part of it: samples folded into histograms, and parts merged into a whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import add, itemgetter
from typing import Any

from pytest_ipload.stats.histogram import Histogram, plain_dict, plain_int, plain_list, record_many
from pytest_ipload.stats.recorder import Chunk, Key
from pytest_ipload.stats.sample import FAULT, ITERATION, OK, REQUEST, SETUP, Sample
from pytest_ipload.stats.series import Second, Series, SeriesKey

MAX_NAMES = 1000
"""So many names of each kind are kept apart: a label made of an order number must not eat the memory."""
OTHER_NAMES = "(other names)"
UNNAMED_FAULT = "unknown"

_SECOND = 1_000_000_000
_PHASES = {"connect": "connect", "tls": "tls", "ttfb": "first_byte"}
_KEY = itemgetter(*map(Sample._fields.index, SeriesKey._fields))
_STARTED = itemgetter(Sample._fields.index("started_ns"))
_FIRST = itemgetter(0)
_OPEN_SECONDS = 10
"""Samples may still come in for a second that is so long ago; for older ones they hardly do."""
_MANY = 20
"""Samples of one series, on average, from which on it is faster to take them together."""


class Measurements:
    """The folded samples of a load.

    Requests, steps and iterations that started before ``judged_from_ns`` (the warm-up) are only counted, and seen
    in the timeline. Samples of the user's set-up are kept whenever they were: nobody judges them. A fault of the
    generator's own side goes to ``faults`` and nowhere else. Not for two threads at a time.
    """

    def __init__(self, *, origin_ns: int, judged_from_ns: int, planned: bool) -> None:
        self.origin_ns = origin_ns
        self.judged_from_ns = judged_from_ns
        self.planned = planned
        """Iterations had times to start at (open model or pacing), so there is a response time."""
        self.warmup_requests = 0
        self.warmup_iterations = 0
        self.names_dropped = 0
        """Samples counted under ``OTHER_NAMES`` because there were too many names."""
        self.faults: dict[str, int] = {}
        self.fault_messages: dict[str, str] = {}
        """What the first fault of each name said."""
        self.seconds: dict[int, Second] = {}
        """By the second of the load (from 0, after ``origin_ns``) in which the request ended."""
        self.first_started_ns: int | None = None
        self.last_ended_ns: int | None = None
        """Of the judged requests; None without any."""
        self._series: dict[SeriesKey, Series] = {}
        self._names: dict[str, dict[str, None]] = {}

    def add(self, samples: Iterable[Sample]) -> None:
        """Fold samples in. Runs for all samples of the load; many that are alike are taken together, for speed."""
        samples = list(samples)
        groups: defaultdict[tuple[Any, ...], list[Sample]] = defaultdict(list)
        if len(samples) >= _MANY and min(map(_STARTED, samples)) >= self.judged_from_ns:
            for sample in samples:
                groups[_KEY(sample)].append(sample)
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
        else:
            self._add_each(samples)

    def add_chunk(self, chunk: Chunk) -> None:
        """Fold a chunk of a recorder in; what began first comes first, as names are shown in that order."""
        groups: list[tuple[int, Key | None]] = [(times[0], key) for key, times in chunk.times.items()]
        if chunk.samples:
            groups.append((chunk.samples[0].started_ns, None))
        for _, key in sorted(groups, key=_FIRST):
            if key is None:
                self.add(chunk.samples)
                continue
            times = chunk.times[key]
            starts, latencies = times[::2].tolist(), times[1::2].tolist()
            if min(starts) < self.judged_from_ns:
                self._add_each(chunk.ordinary(key))
            else:
                self._add_alike(key, starts, latencies, latencies)

    def merge(self, other: Measurements) -> None:
        """Add another part of the same load. Its times are shifted so that both parts have the same origin.

        ``ValueError`` if one has response times and the other has not.
        """
        if self.planned != other.planned:
            raise ValueError("one part of the load is planned (open model or pacing) and the other is not")
        for key, series in list(other._series.items()):
            self._series_of(key, series.latency.count).merge(series)
        for number, second in other.seconds.items():
            self._second(number).merge(second)
        for fault, count in other.faults.items():
            self.faults[fault] = self.faults.get(fault, 0) + count
        self.fault_messages = {**other.fault_messages, **self.fault_messages}
        self.warmup_requests += other.warmup_requests
        self.warmup_iterations += other.warmup_iterations
        self.names_dropped += other.names_dropped
        if other.first_started_ns is not None and other.last_ended_ns is not None:
            shift = self.origin_ns - other.origin_ns
            self._span(other.first_started_ns + shift, other.last_ended_ns + shift)

    def series(
        self,
        kind: str | None = None,
        *,
        name: str | None = None,
        exact_name: str | None = None,
        source_address: str | None = None,
        status: int | None = None,
        outcome: str | None = None,
    ) -> Iterator[tuple[SeriesKey, Series]]:
        """The series that fit all that is given, in order of first sight.

        In ``name``, ``*`` stands for any text and everything else for itself; ``exact_name`` has no wildcards.
        """
        for key, series in self._series.items():
            if (
                (kind is None or key.kind == kind)
                and (exact_name is None or key.name == exact_name)
                and (source_address is None or key.source_address == source_address)
                and (status is None or key.status == status)
                and (outcome is None or key.outcome == outcome)
                and (name is None or matches(name, key.name))
            ):
                yield key, series

    def count(self, kind: str | None = None, **where: Any) -> int:
        """The number of samples; the keywords are those of ``series``."""
        return sum(series.latency.count for _, series in self.series(kind, **where))

    def latency(self, kind: str | None = None, **where: Any) -> Histogram:
        """The latencies of the samples; the keywords are those of ``series``."""
        return _merged(series.latency for _, series in self.series(kind, **where))

    def response(self, kind: str | None = None, **where: Any) -> Histogram:
        """The response times of the samples, empty if there was no plan; the keywords are those of ``series``."""
        return _merged(series.response for _, series in self.series(kind, **where))

    def phase(self, phase: str, kind: str | None = None, **where: Any) -> Histogram:
        """Times of new connections: ``connect``, ``tls`` or ``ttfb`` (first byte); keywords as in ``series``."""
        field = _PHASES[phase]
        return _merged(getattr(series, field) for _, series in self.series(kind, **where))

    def names(self, kind: str) -> list[str]:
        """The names of this kind in order of first sight."""
        return list(self._names.get(kind, ()))

    def source_addresses(self) -> list[str]:
        """The source addresses of all samples in order of first sight."""
        seen = dict.fromkeys(key.source_address for key in self._series)
        return [address for address in seen if address is not None]

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain values that JSON and execnet carry without loss."""
        plain = {field: getattr(self, field) for field in _NUMBERS}
        return {
            **plain,
            "planned": self.planned,
            "faults": {fault: [count, self.fault_messages[fault]] for fault, count in self.faults.items()},
            "seconds": [[number, self.seconds[number].to_plain()] for number in sorted(self.seconds)],
            "series": [[list(key), series.to_plain()] for key, series in self._series.items()],
        }

    @classmethod
    def from_plain(cls, plain: object) -> Measurements:
        """Read what ``to_plain`` wrote; ``ValueError`` if a part is missing, of another type or contradicts another."""
        fields = plain_dict(plain, "measurements", (*_NUMBERS, "planned", "faults", "seconds", "series"))
        if type(fields["planned"]) is not bool or type(fields["faults"]) is not dict:
            raise ValueError("measurements: planned must be true or false, and faults a dict")
        measured = cls(origin_ns=0, judged_from_ns=0, planned=fields["planned"])
        for field, low in _NUMBERS.items():
            optional = field in _SPAN and fields[field] is None
            setattr(measured, field, None if optional else plain_int(fields[field], f"measurements {field}", low=low))
        first, last = measured.first_started_ns, measured.last_ended_ns
        if (first is None) != (last is None) or (first is not None and last is not None and first > last):
            raise ValueError("measurements: first_started_ns and last_ended_ns contradict each other")
        for fault, pair in fields["faults"].items():
            count, message = _plain_pair(pair, "measurements faults")
            if type(fault) is not str or type(message) is not str:
                raise ValueError(f"measurements faults: expected names and messages, got {fault!r} and {message!r}")
            measured.faults[fault] = plain_int(count, "measurements faults", low=1)
            measured.fault_messages[fault] = message
        for number, second in map(_plain_pair, plain_list(fields["seconds"], "measurements seconds")):
            if plain_int(number, "second", low=None) in measured.seconds:
                raise ValueError(f"measurements seconds: {number} comes twice")
            measured.seconds[number] = Second.from_plain(second)
        for key_plain, series in map(_plain_pair, plain_list(fields["series"], "measurements series")):
            measured._insert(SeriesKey.from_plain(key_plain), Series.from_plain(series, planned=measured.planned))
        return measured

    def _insert(self, key: SeriesKey, series: Series) -> None:
        names = self._names.setdefault(key.kind, {})
        names[key.name] = None
        if key in self._series or len(names) > MAX_NAMES + 1:
            raise ValueError(f"measurements series: {tuple(key)} comes twice, or there are too many names")
        self._series[key] = series

    def _add_each(self, samples: Iterable[Sample]) -> None:
        """Fold samples in one at a time, whatever they are."""
        # A NamedTuple is found by an equal tuple, which is several times cheaper to make.
        known: dict[Any, Series] = self._series
        judged_from_ns = self.judged_from_ns
        for sample in samples:
            kind, name, started_ns, latency_ns, outcome, status, source_address = sample[:7]
            if outcome == FAULT:
                fault = sample.fault or UNNAMED_FAULT
                self.faults[fault] = self.faults.get(fault, 0) + 1
                self.fault_messages.setdefault(fault, sample.problem.message if sample.problem else "")
                continue
            if kind == REQUEST:
                self._add_request(started_ns, latency_ns, outcome)
            if started_ns < judged_from_ns and kind != SETUP:
                self.warmup_requests += kind == REQUEST
                self.warmup_iterations += kind == ITERATION
                continue
            key = (kind, name, source_address, status, outcome)
            series = known.get(key) or self._series_of(SeriesKey(*key), 1)
            series.latency.record(latency_ns)
            if series.response is not None:
                series.response.record(latency_ns + sample.lateness_ns)
            if sample.connections or sample.redirects or sample.retries:
                series.add_connections(sample)

    def _add_request(self, started_ns: int, latency_ns: int, outcome: str) -> None:
        """Put a request into the timeline."""
        ended_ns = started_ns + latency_ns
        second = self._second((ended_ns - self.origin_ns) // _SECOND)
        second.requests += 1
        if outcome == OK:
            second.latency.record(latency_ns)
        else:
            second.failed_requests += 1
        if started_ns >= self.judged_from_ns:
            self._span(started_ns, ended_ns)

    def _add_alike(self, key: tuple[Any, ...], starts: list[int], latencies: list[int], responses: list[int]) -> Series:
        """Fold samples of one series in, none of which is of the warm-up or a fault: as ``_add_each`` does."""
        series = self._series_of(SeriesKey(*key), len(latencies))
        if key[0] == REQUEST:
            ends = list(map(add, starts, latencies))
            self._span(min(starts), max(ends))
            self._add_requests(ends, latencies, key[-1], series.latency)
        else:
            record_many(latencies, series.latency)
        if series.response is not None:
            record_many(responses, series.response)
        return series

    def _add_requests(self, ends: list[int], latencies: list[int], outcome: str, latency: Histogram) -> None:
        """Put requests into the timeline, and their latencies also into the histogram of their series."""
        first, last = ((ns - self.origin_ns) // _SECOND for ns in (min(ends), max(ends)))
        by_second: dict[int, list[int]] = {first: latencies}
        if first != last:
            by_second = defaultdict(list)
            for ended_ns, latency_ns in zip(ends, latencies, strict=True):
                by_second[(ended_ns - self.origin_ns) // _SECOND].append(latency_ns)
        for number, values in by_second.items():
            second = self._second(number)
            second.requests += len(values)
            if outcome == OK:
                record_many(values, latency, second.latency)
            else:
                second.failed_requests += len(values)
                record_many(values, latency)

    def _second(self, number: int) -> Second:
        second = self.seconds.get(number)
        if second is None:
            second = self.seconds[number] = Second()
            if (over := self.seconds.get(number - _OPEN_SECONDS)) is not None:
                over.pack()
        return second

    def _span(self, started_ns: int, ended_ns: int) -> None:
        if self.first_started_ns is None or started_ns < self.first_started_ns:
            self.first_started_ns = started_ns
        if self.last_ended_ns is None or ended_ns > self.last_ended_ns:
            self.last_ended_ns = ended_ns

    def _series_of(self, key: SeriesKey, samples: int) -> Series:
        """The series for so many samples of this key; it is made, or they go under the other names."""
        names = self._names.setdefault(key.kind, {})
        if key.name not in names:
            if len(names) >= MAX_NAMES and key.name != OTHER_NAMES:
                self.names_dropped += samples
                key = key._replace(name=OTHER_NAMES)
            names[key.name] = None
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(planned=self.planned)
        return series


_SPAN = ("first_started_ns", "last_ended_ns")
_NUMBERS: dict[str, int | None] = {
    # Field: smallest value. The zero of the clock is arbitrary, so its readings may be negative.
    "origin_ns": None,
    "judged_from_ns": None,
    "first_started_ns": None,
    "last_ended_ns": None,
    "warmup_requests": 0,
    "warmup_iterations": 0,
    "names_dropped": 0,
}


def matches(pattern: str, name: str) -> bool:
    """Does the name fit the pattern? ``*`` stands for any text, also none; every other character for itself."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    position, end = len(first), len(name) - len(last)
    if position > end or not (name.startswith(first) and name.endswith(last)):
        return False
    for part in middle:
        found = name.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _merged(histograms: Iterable[Histogram | None]) -> Histogram:
    result = Histogram()
    for histogram in histograms:
        if histogram is not None:
            result.merge(histogram)
    return result


def _plain_pair(value: object, what: str = "measurements") -> tuple[Any, Any]:
    pair = plain_list(value, what)
    if len(pair) != 2:
        raise ValueError(f"{what}: expected pairs, got a list of {len(pair)}")
    return pair[0], pair[1]
