"""The distribution of durations on an axis of percentiles, as HdrHistogram's plots have it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pytest_ipload.base.units import US_PER_MS
from pytest_ipload.stats.confidence import nearest_rank
from pytest_ipload.stats.hdr_bins import bin_edges_us
from pytest_ipload.stats.histogram import Histogram

_POINTS = 240


class Curve(NamedTuple):
    """Durations by percentile, at even distances on an axis of ``log10(1 / (1 - p))``: 0 is p0, 1 is p90, 2 is p99."""

    step: float
    """The distance of two points on the axis; the first one is at 0."""
    values_ms: Sequence[float]

    @property
    def end(self) -> float:
        """Where the last point lies on the axis."""
        return self.step * (len(self.values_ms) - 1)

    @property
    def percentiles(self) -> list[str]:
        """The percentile of each point, for hover texts."""
        return [percentile_at(self.step * point) for point in range(len(self.values_ms))]


def curve_of(distribution: Mapping[str, Any]) -> Curve | None:
    """The curve of a distribution as the JSON report has it; None without values.

    All by nearest rank. Beyond the share 1 - 1/count every percentile is the maximum, so it ends a little further on.
    """
    if not distribution["count"]:
        return None
    histogram = Histogram.decode(distribution["histogram"])
    step = math.log10(2 * histogram.count) / (_POINTS - 1)
    ranks = (nearest_rank(histogram.count, 1 - 10 ** -(step * point)) for point in range(_POINTS))
    low, high = distribution["min_ms"], distribution["max_ms"]  # exact, unlike bins
    return Curve(step, [min(max(value, low), high) for value in _values_at(histogram, ranks)])


def _values_at(histogram: Histogram, ranks: Iterable[int]) -> Iterator[float]:
    """The values at ascending ranks, in milliseconds."""
    bins = iter(sorted(histogram.bins.items()))
    seen, index = 0, 0
    for rank in ranks:
        while seen < rank:
            index, count = next(bins)
            seen += count
        yield bin_edges_us(index)[1] / US_PER_MS


def percentile_at(position: float) -> str:
    """``99.9 %`` for 3: the label at a position of the axis, with as many nines as needed."""
    text = f"{100 * (1 - 10**-position):.{max(1, math.ceil(position) - 1)}f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def ticks(end: float) -> list[tuple[float, str]]:
    """Positions and labels of an axis that ends there: 50 %, 90 %, 99 %, and so on."""
    positions = [math.log10(2), *map(float, range(1, math.floor(end) + 1))]
    return [(position, percentile_at(position)) for position in positions if position <= end]
