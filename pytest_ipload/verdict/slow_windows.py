"""In which half-seconds of a load a threshold's time was long, and in which it was not. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.stacks import WINDOW_NS
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.selection import selection_of, times_of

_FEWEST_VALUES = 4
"""Windows with a value that two groups of them are looked for in."""


@dataclass(frozen=True)
class SlowWindows:
    """Windows by their number. Those in which no request of the threshold was in flight are in neither."""

    slow: Set[int] = frozenset()
    good: Set[int] = frozenset()
    cut_ns: float | None = None
    """What the time of slow windows is above, where that is more than the threshold's limit."""
    above_limit: int = 0
    """How many of all these are above the limit."""
    requests: Mapping[int, int] = field(default_factory=dict)
    """How many requests of the threshold ended in each."""


def slow_windows(threshold: Threshold, measured: Measurements) -> SlowWindows:
    """The judged windows in which the threshold's time is long.

    It is long if it is above the limit. If the values of all windows fall into two groups (Otsu, 1979) and the limit is
    lower than what parts these, only those of the upper group are slow: else a limit among the usual times would make
    slow windows of ordinary ones, and one below them would leave nothing to compare with.
    """
    found = _values(threshold, measured)
    values = {number: value_ns for number, (value_ns, _) in found.items()}
    cut_ns = parting(list(values.values()))
    if cut_ns is None or cut_ns <= threshold.limit * NS_PER_S:
        cut_ns = None
    slow: set[int] = set()
    good: set[int] = set()
    above: set[int] = set()
    for number, value_ns in values.items():
        windows = _in_flight(number, value_ns)
        is_above = not threshold.holds(value_ns / NS_PER_S)
        if is_above:
            above.update(windows)
        (slow if is_above and (cut_ns is None or value_ns > cut_ns) else good).update(windows)
    requests = {number: count for number, (_, count) in found.items()}
    return SlowWindows(frozenset(slow), frozenset(good - slow), cut_ns, len(above), requests)


def parting(values: Sequence[float]) -> float | None:
    """The value between the two groups that differ most, by Otsu's method for logarithms; None for too few values.

    Source: N. Otsu, A Threshold Selection Method from Gray-Level Histograms, IEEE Transactions SMC 9 (1979).
    """
    logs = sorted(math.log(value) for value in values if value > 0)
    if len(logs) < _FEWEST_VALUES:
        return None
    total, below, best, cut = sum(logs), 0.0, 0.0, None
    for count, (lower, upper) in enumerate(pairwise(logs), 1):
        below += lower
        rest = len(logs) - count
        between = count * rest * (below / count - (total - below) / rest) ** 2
        if upper > lower and between > best:
            best, cut = between, (lower + upper) / 2
    return None if cut is None else math.exp(cut)


def _values(threshold: Threshold, measured: Measurements) -> dict[int, tuple[float, int]]:
    """The threshold's time in nanoseconds in each window in which a request ended, and how many did."""
    selection = selection_of(threshold, measured.planned)
    windows = measured.windows.get(WINDOW_NS)
    if selection is None or windows is None:
        return {}
    last = (max(measured.timeline.end, 0) + 1) * NS_PER_S
    found = {}
    for number, table in windows.full(windows.judged_from_ns + last):
        times = times_of(table, selection)
        value_ns = _value(threshold, times)
        if value_ns is not None:
            found[number] = value_ns, times.count
    return found


def _value(threshold: Threshold, times: Histogram) -> float | None:
    if threshold.quantile is not None:
        return times.quantile(threshold.quantile)
    return {"mean": times.mean_ns, "min": times.min_ns, "max": times.max_ns}.get(threshold.statistic)


def _in_flight(number: int, value_ns: float) -> range:
    """The windows for most of which requests were running that took so long and ended in this one."""
    return range(max(0, number - int(value_ns // WINDOW_NS)), number + 1)
