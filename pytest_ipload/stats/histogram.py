"""A mergeable histogram of durations, compatible with HdrHistogram (3 significant digits, 1 us to 1 hour).

The numbering of the bins is in ``hdr_bins``, the text form that HdrHistogram's tools read in ``hdr_codec``.
"""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Sequence
from typing import Any

from pytest_ipload.stats import hdr_codec
from pytest_ipload.stats.bins import bins_of_text, text_of_bins
from pytest_ipload.stats.confidence import nearest_rank
from pytest_ipload.stats.hdr_bins import HIGHEST_US, LARGEST_COUNT, LAST_BIN, bin_edges_us, bin_index, bin_of_ns

_COARSE_BITS = 8
"""Leading bits of a value that a coarse bin goes by: of 256 values, the first 128 have a smaller bit length."""
LARGEST_INT = 2**63 - 1
"""Of any whole number that is read: 292 years in nanoseconds, and each fits into a float."""

_EXACT = struct.Struct(">QQQQQQ")  # what is exact beside the bins; the total takes two words
_WORD = 1 << 64
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxlong = _SHOWN.maxother = 76


class Histogram:
    """Durations in nanoseconds, counted in bins of microseconds.

    ``count``, ``total_ns``, ``min_ns`` and ``max_ns`` are exact; quantiles are off by at most 0.1 % or 0.5 us,
    whichever is larger. Not for two threads at a time: each thread records into its own, then they are merged.
    """

    __slots__ = ("_max_ns", "_min_ns", "bins", "count", "overflow", "total_ns")

    def __init__(self) -> None:
        self.bins: dict[int, int] = {}
        """Counts by bin index; empty bins are absent."""
        self.count = 0
        self.total_ns = 0
        self.overflow = 0
        """Values above one hour: they count in the last bin, but are exact in ``total_ns`` and ``max_ns``."""
        self._min_ns = 0
        self._max_ns = 0

    def __eq__(self, other: object) -> bool:
        return self.to_plain() == other.to_plain() if isinstance(other, Histogram) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a histogram is mutable, so it cannot be a key

    def __repr__(self) -> str:
        return f"<Histogram count={self.count} min_ns={self.min_ns} max_ns={self.max_ns}>"

    def record(self, ns: int) -> None:
        """Count one duration."""
        # A difference of two clock readings is negative only by a fault of the clock; it was as good as no time.
        if ns < 0:
            ns = 0
        if not self.count:
            self._min_ns = self._max_ns = ns
        elif ns > self._max_ns:
            self._max_ns = ns
        elif ns < self._min_ns:
            self._min_ns = ns
        self.count += 1
        self.total_ns += ns
        us = (ns + 500) // 1000
        if us > HIGHEST_US:
            self.overflow += 1
            us = HIGHEST_US
        # As bin_index does, but without a call.
        shift = us.bit_length() - 11
        index = us if shift <= 0 else (shift << 10) + (us >> shift)
        bins = self.bins
        bins[index] = bins.get(index, 0) + 1

    def merge(self, other: Histogram) -> None:
        """Add the values of another histogram to this one."""
        if other.count:
            self._add(other.count, other._min_ns, other._max_ns, other.total_ns, other.overflow)
            bins = self.bins
            if not bins:
                bins.update(other.bins)
                return
            for index, count in other.bins.items():
                bins[index] = bins.get(index, 0) + count

    def _add(self, count: int, low_ns: int, high_ns: int, total_ns: int, overflow: int) -> None:
        """Add everything but the bins of ``count`` values."""
        if self.count:
            self._min_ns = min(self._min_ns, low_ns)
            self._max_ns = max(self._max_ns, high_ns)
        else:
            self._min_ns, self._max_ns = low_ns, high_ns
        self.count += count
        self.total_ns += total_ns
        self.overflow += overflow

    def coarse(self) -> Histogram:
        """The same values in bins of up to 0.8 % of their value, as HdrHistogram has them with 2 significant digits.

        For keeping: it has an eighth of the bins. All but the bins is exact; a quantile is never too low.
        """
        result = Histogram()
        result._add(self.count, self._min_ns, self._max_ns, self.total_ns, self.overflow)
        first, last = min(self.bins, default=0), max(self.bins, default=0)  # those of the exact minimum and maximum
        for index, count in self.bins.items():
            if index != first:
                us = bin_edges_us(index)[0]
                low_bits = (1 << max(0, us.bit_length() - _COARSE_BITS)) - 1
                index = min(bin_index(us | low_bits), last)
            result.bins[index] = result.bins.get(index, 0) + count
        return result

    @property
    def min_ns(self) -> int | None:
        """The smallest value; None without values."""
        return self._min_ns if self.count else None

    @property
    def max_ns(self) -> int | None:
        """The largest value; None without values."""
        return self._max_ns if self.count else None

    @property
    def mean_ns(self) -> float | None:
        """The arithmetic mean; None without values."""
        return self.total_ns / self.count if self.count else None

    def quantile(self, q: float) -> int | None:
        """The quantile ``q`` (0 to 1) by nearest rank, in nanoseconds; None without values."""
        rank = nearest_rank(self.count, q)
        return self.value_at_rank(rank) if self.count else None

    def value_at_rank(self, rank: int) -> int:
        """The value that is number ``rank`` (1 to ``count``) in ascending order, in nanoseconds.

        It is the highest value of its bin, but never outside of the smallest and largest value recorded. Of values
        above one hour only the largest is known, so it stands for all of them.
        """
        if not 1 <= rank <= self.count:
            raise ValueError(f"there is no rank {rank} among {self.count} values; ranks count from 1")
        if rank > self.count - self.overflow:
            return self._max_ns
        seen = 0
        for index in sorted(self.bins):
            seen += self.bins[index]
            if seen >= rank:
                break
        return min(max(bin_edges_us(index)[1] * 1000, self._min_ns), self._max_ns)

    def encode(self) -> str:
        """The bins as HdrHistogram's V2 compressed form in base64, in microseconds."""
        return hdr_codec.to_text(self.bins)

    def pack(self) -> bytes:
        """All of it in a few hundred bytes, for keeping in memory."""
        exact = _EXACT.pack(self.count, *divmod(self.total_ns, _WORD), self._min_ns, self._max_ns, self.overflow)
        return exact + hdr_codec.compressed(self.bins)

    @classmethod
    def unpack(cls, packed: bytes) -> Histogram:
        """What ``pack`` made small."""
        histogram = cls()
        histogram.bins = hdr_codec.decompressed(packed[_EXACT.size :])
        count, high_word, low_word, low_ns, high_ns, overflow = _EXACT.unpack_from(packed)
        histogram._add(count, low_ns, high_ns, high_word * _WORD + low_word, overflow)
        return histogram

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """Read the form that ``encode`` writes; ``ValueError`` if it is anything else, or has other digits or units.

        The text has only bins: the smallest and largest value are the edges of theirs, and the total counts each
        value as the middle of its bin. The text may come from anywhere; a decompression bomb is refused.
        """
        bins = hdr_codec.from_text(text)
        histogram = cls()
        histogram.bins = bins
        histogram.count = sum(bins.values())
        # The middle of a bin is (low + high) / 2 in us, which is a whole number of ns.
        histogram.total_ns = sum(count * sum(bin_edges_us(index)) * 500 for index, count in bins.items())
        if bins:
            histogram._min_ns = bin_edges_us(min(bins))[0] * 1000
            histogram._max_ns = bin_edges_us(max(bins))[1] * 1000
        return histogram

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain values that JSON and execnet carry without loss."""
        return {
            "count": self.count,
            "total_ns": self.total_ns,
            "min_ns": self.min_ns,
            "max_ns": self.max_ns,
            "overflow": self.overflow,
            "bins": text_of_bins(self.bins),
        }

    @classmethod
    def from_plain(cls, plain: object) -> Histogram:
        """Read what ``to_plain`` wrote; ``ValueError`` if a part is missing, of another type or contradicts another."""
        fields = plain_dict(plain, "histogram", ("count", "total_ns", "min_ns", "max_ns", "overflow", "bins"))
        histogram = cls()
        histogram.bins = bins_of_text(fields["bins"], "histogram bins", last=LAST_BIN, most=LARGEST_COUNT)
        histogram.count = plain_int(fields["count"], "histogram count", high=LARGEST_COUNT)
        histogram.total_ns = plain_int(fields["total_ns"], "histogram total_ns", high=LARGEST_INT * LARGEST_COUNT)
        histogram.overflow = plain_int(fields["overflow"], "histogram overflow")
        if histogram.count:
            histogram._min_ns = plain_int(fields["min_ns"], "histogram min_ns")
            histogram._max_ns = plain_int(fields["max_ns"], "histogram max_ns")
        elif fields["min_ns"] is not None or fields["max_ns"] is not None:
            raise ValueError("histogram: an empty histogram has neither min_ns nor max_ns")
        histogram._check()
        return histogram

    def _check(self) -> None:
        """Do the numbers fit together? For what was read from outside."""
        low, high, bins = self._min_ns, self._max_ns, self.bins
        first, last = next(iter(bins), None), next(reversed(bins), None)  # they were read in ascending order
        consistent = (
            sum(bins.values()) == self.count
            and low * self.count <= self.total_ns <= high * self.count
            and self.overflow <= bins.get(LAST_BIN, 0)
            and (not bins or (bin_of_ns(low), bin_of_ns(high)) == (first, last))
            and (not self.overflow or (high + 500) // 1000 > HIGHEST_US)
        )
        if not consistent:
            raise ValueError("histogram: count, total_ns, min_ns, max_ns, overflow and bins contradict each other")


def record_many(values: Sequence[int], *histograms: Histogram) -> None:
    """Count these durations in each of the histograms: as ``record`` does one at a time, in half of its time."""
    if not values:
        return
    if min(values) < 0:
        values = [max(ns, 0) for ns in values]
    low, high, total, overflow = min(values), max(values), sum(values), 0
    all_us = [(ns + 500) // 1000 for ns in values]
    if (high + 500) // 1000 > HIGHEST_US:
        overflow = sum(us > HIGHEST_US for us in all_us)
        all_us = [min(us, HIGHEST_US) for us in all_us]
    # As bin_index does, but without a call for each value: those of every sample come by here.
    indexes = [us if us < 2048 else ((shift := us.bit_length() - 11) << 10) + (us >> shift) for us in all_us]
    for histogram in histograms:
        histogram._add(len(indexes), low, high, total, overflow)
        bins = histogram.bins
        for index in indexes:
            bins[index] = bins.get(index, 0) + 1


def plain_dict(value: object, what: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """The value, if it is a dict with exactly these keys; else ``ValueError``."""
    if type(value) is not dict or set(value) != set(keys):
        raise ValueError(f"{what}: expected a dict with the keys {', '.join(keys)}, got {shown(value)}")
    return value


def plain_int(value: object, what: str, *, low: int | None = 0, high: int = LARGEST_INT) -> int:
    """The value, if it is an int (no bool) from ``low`` to ``high``, at least 64 bits of them; else ``ValueError``."""
    lowest = -LARGEST_INT if low is None else low
    if type(value) is not int or not lowest <= value <= high:
        limits = "" if low is None else f" from {low}"
        if high != LARGEST_INT or (type(value) is int and value > high):
            limits += f" up to {high}"
        raise ValueError(f"{what}: expected a whole number{limits}, got {shown(value)}")
    return value


def plain_list(value: object, what: str) -> list[Any]:
    """The value, if it is a list; else ``ValueError``."""
    if type(value) is not list:
        raise ValueError(f"{what}: expected a list, got {shown(value)}")
    return value


def shown(value: object) -> str:
    """The beginning of a value that was read, for errors: it may be as large, and as deep, as it likes."""
    text = _SHOWN.repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
