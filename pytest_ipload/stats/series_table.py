"""Samples folded by what they have in common: what all statistics are merged from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pytest_ipload.stats.histogram import Histogram, plain_list, record_many
from pytest_ipload.stats.sample import Sample
from pytest_ipload.stats.series import PackedSeries, Series, SeriesKey

if TYPE_CHECKING:
    from pytest_ipload.stats.folding import Folding
    from pytest_ipload.stats.own_values import OwnValues
    from pytest_ipload.stats.spans import Cells, Selection

MAX_NAMES = 1000
"""Names of each kind that are kept separately: labels that contain an order number must not fill the memory."""
OTHER_NAMES = "(other names)"

KindAndName = tuple[str, str]
PackedTable = tuple[int, frozenset[KindAndName], list[tuple[SeriesKey, PackedSeries]]]

_PHASES = {"connect": "connect", "tls": "tls", "ttfb": "first_byte"}


class SeriesTable:
    """Series of samples by kind, name, source address, status and outcome. Not for two threads at a time."""

    def __init__(self, *, planned: bool) -> None:
        self.planned = planned
        """Iterations had times to start at (open model or pacing), so there is a response time."""
        self.names_dropped = 0
        """Samples counted under ``OTHER_NAMES`` because there were too many names."""
        self.partial_names: set[KindAndName] = set()
        """Kinds and names that are kept, while another part of the load counted them under ``OTHER_NAMES``."""
        self._series: dict[SeriesKey, Series] = {}
        self._names: dict[str, dict[str, None]] = {}

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

    def ended_in_time(self, kind: str | None = None, **where: Any) -> int:
        """The number of samples that ended in the time that rates are counted over; keywords as in ``series``."""
        return sum(series.latency.count - series.after_end for _, series in self.series(kind, **where))

    def latency(self, kind: str | None = None, **where: Any) -> Histogram:
        """The latencies of the samples; the keywords are those of ``series``."""
        return merged(series.latency for _, series in self.series(kind, **where))

    def response(self, kind: str | None = None, **where: Any) -> Histogram:
        """The response times of the samples, empty if there was no plan; the keywords are those of ``series``."""
        return merged(series.response for _, series in self.series(kind, **where))

    def phase(self, phase: str, kind: str | None = None, **where: Any) -> Histogram:
        """Times of new connections: ``connect``, ``tls`` or ``ttfb`` (first byte); keywords as in ``series``."""
        field = _PHASES[phase]
        return merged(getattr(series, field) for _, series in self.series(kind, **where))

    def cells(self, selection: Selection) -> Cells | None:
        """The selected samples by pieces of time; None where they are not kept so, as in a window."""
        return None

    def own_values(self) -> OwnValues | None:
        """The counts and gauges of the test's own; None where they are not kept, as in a window."""
        return None

    def names(self, kind: str) -> list[str]:
        """The names of this kind in order of first sight."""
        return list(self._names.get(kind, ()))

    def hides(self, kind: str, pattern: str) -> bool:
        """Whether samples of names that fit the pattern may be counted under ``OTHER_NAMES``; ``*`` fits all names."""
        names = self._names.get(kind, {})
        if not self.names_dropped or OTHER_NAMES not in names or not pattern.strip("*"):
            return False
        return "*" in pattern or pattern not in names or (kind, pattern) in self.partial_names

    def source_addresses(self) -> list[str]:
        """The source addresses of all samples in order of first sight."""
        seen = dict.fromkeys(key.source_address for key in self._series)
        return [address for address in seen if address is not None]

    def record(self, sample: Sample, key: SeriesKey | None = None) -> Series:
        """Record one sample, under another key than its own if one is given."""
        latency_ns = sample.latency_ns
        # A NamedTuple is found by an equal tuple, which is several times cheaper to make.
        known: dict[Any, Series] = self._series
        found: tuple[Any, ...] = key or (
            sample.kind, sample.name, sample.source_address, sample.status, sample.outcome
        )  # fmt: skip
        series = known.get(found) or self._series_of(SeriesKey(*found), 1)
        series.latency.record(latency_ns)
        if series.response is not None:
            series.response.record(latency_ns + sample.lateness_ns)
        if sample.connections or sample.redirects or sample.retries:
            series.add_connections(sample)
        return series

    def record_alike(self, key: tuple[Any, ...], latencies: list[int], responses: list[int]) -> Series:
        """Record samples of one key; what only some of them have (see ``Series.add_connections``) is the caller's."""
        series = self._series_of(SeriesKey(*key), len(latencies))
        record_many(latencies, series.latency)
        if series.response is not None:
            record_many(responses, series.response)
        return series

    def merge_series(self, other: SeriesTable) -> None:
        """Add the samples of another table to this one.

        ``ValueError`` if one has response times and the other has not.
        """
        if self.planned != other.planned:
            raise ValueError("one part of the load is planned (open model or pacing) and the other is not")
        self.partial_names |= other.partial_names | self._kept_only_here(other)
        for key, series in list(other._series.items()):
            self._series_of(key, series.latency.count).merge(series)
        self.names_dropped += other.names_dropped

    def merge_folded(self, other: SeriesTable, folding: Folding) -> None:
        """Add the samples of another table that the folding keeps, under the keys that it gives them."""
        for key, series in list(other._series.items()):
            if (folded := folding.key(key)) is not None:
                self._series_of(folded, series.latency.count).merge(series)
        self.partial_names |= other.partial_names

    def _kept_only_here(self, other: SeriesTable) -> set[KindAndName]:
        """The names that the other table may have counted under ``OTHER_NAMES``."""
        if not other.names_dropped:
            return set()
        return {
            (kind, name)
            for kind, names in self._names.items()
            if OTHER_NAMES in other._names.get(kind, {})
            for name in names.keys() - other._names[kind].keys()
        }

    def pack(self) -> PackedTable:
        """All of it, without loss and small, for keeping in memory."""
        series = [(key, series.pack()) for key, series in self._series.items()]
        return self.names_dropped, frozenset(self.partial_names), series

    @staticmethod
    def unpack(packed: PackedTable, *, planned: bool) -> SeriesTable:
        """What ``pack`` made small."""
        table = SeriesTable(planned=planned)
        table.names_dropped, partial, packed_series = packed
        table.partial_names = set(partial)
        for key, series in packed_series:
            table._insert(key, Series.unpack(series))
        return table

    def series_to_plain(self) -> list[Any]:
        """The series as plain values."""
        return [[list(key), series.to_plain()] for key, series in self._series.items()]

    def partial_names_to_plain(self) -> list[Any]:
        """The partial names as plain values."""
        return [list(each) for each in sorted(self.partial_names)]

    def read_partial_names(self, plain: object, what: str) -> None:
        """Read what ``partial_names_to_plain`` wrote; ``ValueError`` if it is anything else."""
        for pair in plain_list(plain, what):
            kind, name = plain_pair(pair, what)
            if type(kind) is not str or type(name) is not str:
                raise ValueError(f"{what}: expected kinds and names, got {pair!r:.80}")
            self.partial_names.add((kind, name))

    def read_series(self, plain: object, what: str) -> None:
        """Read what ``series_to_plain`` wrote; ``ValueError`` if it is anything else."""
        for key_plain, series in (plain_pair(pair, what) for pair in plain_list(plain, what)):
            self._insert(SeriesKey.from_plain(key_plain), Series.from_plain(series, planned=self.planned))

    def _insert(self, key: SeriesKey, series: Series) -> None:
        names = self._names.setdefault(key.kind, {})
        names[key.name] = None
        if key in self._series or len(names) > MAX_NAMES + 1:
            raise ValueError(f"series: {tuple(key)} comes twice, or there are too many names")
        self._series[key] = series

    def _series_of(self, key: SeriesKey, samples: int) -> Series:
        """The series for ``samples`` samples of this key: an existing or new one, or that of the other names."""
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


def merged(histograms: Iterable[Histogram | None]) -> Histogram:
    """The values of all of them, in a new one."""
    result = Histogram()
    for histogram in histograms:
        if histogram is not None:
            result.merge(histogram)
    return result


def plain_pair(value: object, what: str) -> tuple[Any, Any]:
    """The two values of a list; ``ValueError`` if it is anything else."""
    pair = plain_list(value, what)
    if len(pair) != 2:
        raise ValueError(f"{what}: expected pairs, got a list of {len(pair)}")
    return pair[0], pair[1]
