"""The folded samples that have something in common: those of one key, and those of one second."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, NamedTuple

from pytest_ipload.stats.histogram import Histogram, plain_dict, plain_int, plain_list, shown
from pytest_ipload.stats.sample import FAILED, KINDS, OK, Sample

_OUTCOMES = (OK, FAILED)
_COUNTS = ("redirects", "connections", "retries", "after_end")
_OPTIONAL = ("response", "connect", "tls", "first_byte")

PackedSeries = tuple[tuple[int, ...], tuple[bytes | None, ...]]
"""The counts and the histograms of a series."""


class SeriesKey(NamedTuple):
    """What the samples of one series have in common."""

    kind: str
    name: str
    source_address: str | None
    status: int
    outcome: str

    @classmethod
    def from_plain(cls, value: object) -> SeriesKey:
        """Read the key from a list of its fields; ``ValueError`` if it is anything else."""
        parts = plain_list(value, "series key")
        if len(parts) != len(cls._fields):
            raise ValueError(f"series key: expected {', '.join(cls._fields)}, got {len(parts)} parts")
        key = cls(*parts)
        plain_int(key.status, "series key status")
        if key.kind not in KINDS or key.outcome not in _OUTCOMES or type(key.name) is not str:
            raise ValueError(f"series key: unknown kind or outcome, or no name, in {shown(parts)}")
        if key.source_address is not None and type(key.source_address) is not str:
            raise ValueError(f"series key: the source address is not a string in {shown(parts)}")
        return key


SAMPLE_KEY = itemgetter(*map(Sample._fields.index, SeriesKey._fields))
"""The fields of a sample that are those of its series' key, in their order."""


class Series:
    """The judged samples of one key; ``latency.count`` is their number."""

    __slots__ = (
        "after_end",
        "connect",
        "connections",
        "first_byte",
        "latency",
        "redirects",
        "response",
        "retries",
        "tls",
    )

    def __init__(self, *, planned: bool) -> None:
        self.latency = Histogram()
        self.response = Histogram() if planned else None
        """Latency plus what the target made the iteration late; None where there was no plan to be late against."""
        self.redirects = 0
        self.connections = 0
        self.retries = 0
        self.after_end = 0
        """How many of them ended when the time that rates are counted over had ended."""
        self.connect: Histogram | None = None
        self.tls: Histogram | None = None
        self.first_byte: Histogram | None = None

    def add_connections(self, sample: Sample) -> None:
        """Count what only some samples have: redirects, connections, retries and the times of a connection."""
        self.redirects += sample.redirects
        self.connections += sample.connections
        self.retries += sample.retries
        for phase, ns in (("connect", sample.connect_ns), ("tls", sample.tls_ns), ("first_byte", sample.first_byte_ns)):
            if ns is not None:
                self._histogram(phase).record(ns)

    def merge(self, other: Series) -> None:
        """Add the samples of another series to this one."""
        self.latency.merge(other.latency)
        self.redirects += other.redirects
        self.connections += other.connections
        self.retries += other.retries
        self.after_end += other.after_end
        for field in _OPTIONAL:
            histogram = getattr(other, field)
            if histogram is not None:
                self._histogram(field).merge(histogram)

    def pack(self) -> PackedSeries:
        """All of it, without loss and small, for keeping in memory."""
        histograms: list[Histogram | None] = [getattr(self, field) for field in ("latency", *_OPTIONAL)]
        return (
            tuple(getattr(self, field) for field in _COUNTS),
            tuple(None if histogram is None else histogram.pack() for histogram in histograms),
        )

    @classmethod
    def unpack(cls, packed: PackedSeries) -> Series:
        """What ``pack`` made small."""
        counts, histograms = packed
        series = cls(planned=False)
        for field, count in zip(_COUNTS, counts, strict=True):
            setattr(series, field, count)
        for field, histogram in zip(("latency", *_OPTIONAL), histograms, strict=True):
            setattr(series, field, None if histogram is None else Histogram.unpack(histogram))
        return series

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain values."""
        plain: dict[str, Any] = {field: getattr(self, field) for field in _COUNTS}
        for field in ("latency", *_OPTIONAL):
            histogram = getattr(self, field)
            plain[field] = None if histogram is None else histogram.to_plain()
        return plain

    @classmethod
    def from_plain(cls, plain: object, *, planned: bool) -> Series:
        """Read what ``to_plain`` wrote; ``ValueError`` if it is anything else."""
        fields = plain_dict(plain, "series", (*_COUNTS, "latency", *_OPTIONAL))
        series = cls(planned=planned)
        for field in _COUNTS:
            setattr(series, field, plain_int(fields[field], f"series {field}"))
        series.latency = Histogram.from_plain(fields["latency"])
        if series.after_end > series.latency.count:
            raise ValueError("series after_end: more samples ended late than exist")
        for field in _OPTIONAL:
            histogram = None if fields[field] is None else Histogram.from_plain(fields[field])
            if histogram is not None and histogram.count > series.latency.count:
                raise ValueError(f"series {field}: it has more values than there are samples")
            setattr(series, field, histogram)
        responses = None if series.response is None else series.response.count
        if responses != (series.latency.count if planned else None):
            raise ValueError("series response: expected one per latency in a planned load, and none otherwise")
        return series

    def _histogram(self, field: str) -> Histogram:
        histogram: Histogram | None = getattr(self, field)
        if histogram is None:
            histogram = Histogram()
            setattr(self, field, histogram)
        return histogram


class Second:
    """The requests that ended in one second of the load, those of the warm-up included."""

    __slots__ = ("_latency", "_response", "failed_requests", "requests")

    def __init__(self, *, planned: bool) -> None:
        self.requests = 0
        self.failed_requests = 0
        self._latency = _Kept()
        self._response = _Kept() if planned else None

    @property
    def latency(self) -> Histogram:
        """Of the successful ones."""
        return self._latency.open()

    @property
    def response(self) -> Histogram | None:
        """Their response times; None where there was no plan to be late against."""
        return None if self._response is None else self._response.open()

    def pack(self) -> None:
        """Make the histograms small and their bins coarse, for a second that is over: a long load has thousands.

        From then on the quantiles of this second are up to 0.8 % too high; no threshold uses them.
        """
        self._latency.pack()
        if self._response is not None:
            self._response.pack()

    def peek(self) -> tuple[Histogram, Histogram | None]:
        """Latencies and response times, to read only: a packed second stays packed."""
        return self._latency.peek(), None if self._response is None else self._response.peek()

    def merge(self, other: Second) -> None:
        """Add the requests of the same second in another part of the load."""
        self.requests += other.requests
        self.failed_requests += other.failed_requests
        latency, response = other.peek()
        self.latency.merge(latency)
        if self.response is not None and response is not None:
            self.response.merge(response)

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain values."""
        latency, response = self.peek()
        return {
            "requests": self.requests,
            "failed_requests": self.failed_requests,
            "latency": latency.to_plain(),
            "response": None if response is None else response.to_plain(),
        }

    @classmethod
    def from_plain(cls, plain: object, *, planned: bool) -> Second:
        """Read what ``to_plain`` wrote; ``ValueError`` if it is anything else."""
        fields = plain_dict(plain, "second", ("requests", "failed_requests", "latency", "response"))
        second = cls(planned=planned)
        second.requests = plain_int(fields["requests"], "second requests")
        second.failed_requests = plain_int(fields["failed_requests"], "second failed_requests")
        second.latency.merge(Histogram.from_plain(fields["latency"]))
        if second.failed_requests + second.latency.count != second.requests:
            raise ValueError("second: its number of requests is not the sum of the failed and the successful ones")
        responses = 0
        if fields["response"] is not None:
            response = Histogram.from_plain(fields["response"])
            responses = response.count
            if second.response is not None:
                second.response.merge(response)
        if (fields["response"] is not None) != planned or responses != (second.latency.count if planned else 0):
            raise ValueError("second response: expected one per latency in a planned load, and none otherwise")
        return second


class _Kept:
    """A histogram that can be made small. It is made when it is first needed."""

    __slots__ = ("_histogram", "_packed")

    def __init__(self) -> None:
        self._histogram: Histogram | None = None
        self._packed: bytes | None = None

    def open(self) -> Histogram:
        """The histogram, to record into."""
        if self._histogram is None:
            self._histogram, self._packed = self.peek(), None
        return self._histogram

    def peek(self) -> Histogram:
        """The histogram, to read only; it stays as small as it is."""
        if self._histogram is not None:
            return self._histogram
        return Histogram() if self._packed is None else Histogram.unpack(self._packed)

    def pack(self) -> None:
        """Make it small, and its bins coarse."""
        if self._histogram is not None:
            self._packed = self._histogram.coarse().pack()
            self._histogram = None
