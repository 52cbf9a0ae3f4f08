"""Whether a threshold can still hold at the end of a load, judging by the measurements so far. Pure.

A sample beyond a limit stays beyond it. Where the plan bounds the number of samples, that number alone decides when
a threshold can no longer hold. A closed load that ends by time may become faster, so its plan does not bound it; there
the fastest second so far stands for the rest of the load, or a share of bad samples that no noise explains is proof
enough, and both apply only once the load has gone on for a while and is still bad.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pytest_ipload.base.units import NS_PER_S, US_PER_S
from pytest_ipload.stats.batch_means import SPANS, Span, joined
from pytest_ipload.stats.confidence import nearest_rank, quantile_ranks, share_interval
from pytest_ipload.stats.hdr_bins import HIGHEST_US, bin_edges_us, bin_index
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FAILED, ITERATION
from pytest_ipload.stats.spans import Cells, Selection
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.measure import Scope, effective_of
from pytest_ipload.verdict.threshold.remaining_load import Plan
from pytest_ipload.verdict.threshold.selection import selection_of, times_of

_ROUNDING_US = 1e-6
_SHORTEST_PROOF_S = 1.0
_BEYOND_NOISE = 100.0
"""This many times the odds that the limit allows: 84 % of requests over the limit of a p95, 99 % over a median's."""
_PROOF = 0.999
"""The confidence of the interval below which few samples prove nothing."""
_SHORTEST_RATE_S = 1.0
_BELOW = ("<", "<=")

Fails = Callable[[int, int], bool]
"""Whether a threshold fails with ``bad`` bad samples of ``total``."""


@dataclass(frozen=True)
class Outlook:
    """What the decision is based on. Times are seconds of the judged part."""

    measured: Measurements
    plan: Plan
    selection: Selection
    settled_s: float
    """All samples from before then have arrived."""
    matures_s: float
    """A load that ends by time is not aborted before: it may have had a cold start."""

    @property
    def cells(self) -> Cells | None:
        """The selected samples by time span."""
        return self.measured.cells(self.selection)

    @property
    def last_s(self) -> int:
        """The second of the newest sample; -1 without any."""
        return -1 if self.cells is None else self.cells.last_second

    @property
    def is_planned(self) -> bool:
        """Whether the plan bounds the number of the selected samples."""
        return self.plan.iterations is not None and self.selection.time not in ("connect", "tls", "first_byte")

    @property
    def is_mature(self) -> bool:
        """Whether the number of samples is bounded, or the load has gone on for long enough."""
        return self.is_planned or max(self.settled_s, self.last_s) >= self.matures_s

    def most(self, samples: int) -> float:
        """How many of the selected samples, now ``samples``, there may be at the end of the load."""
        chosen = {"name": self.selection.name, "source_address": self.selection.source_address}
        possible = self.measured.count(self.selection.kind, **chosen)  # requests that fail now may succeed later
        if not samples:
            return math.inf
        if self.is_planned and self.plan.iterations is not None:
            iterations = self.measured.count(ITERATION)
            left = max(0, self.plan.iterations - self.measured.warmup_iterations - iterations)
            return possible + math.ceil(left * possible / iterations) if iterations else math.inf
        cells, length_s = self.cells, self.plan.judged_s
        if cells is None or length_s is None:
            return math.inf
        full = cells.above(0)[: self.last_s // cells.cell_s]
        fastest = max((whole / cells.cell_s for _, whole in full), default=math.inf) * possible / samples
        return possible + math.ceil(max(0.0, length_s - self.settled_s) * fastest * self.plan.growth(self.settled_s))


def cannot_hold(config: ThresholdConfig, measured: Measurements, scope: Scope, plan: Plan, settled_s: float) -> bool:
    """Whether a percentile, a mean, an error rate or a rate must fail, whatever the rest of the load is like.

    All samples of the judged part up to ``settled_s`` have arrived.
    """
    threshold = config.threshold
    selection = selection_of(threshold, measured.planned)
    if selection is None or threshold.operator in ("==", "!="):
        return False
    matures_s = config.delay + max(config.delay, _SHORTEST_PROOF_S) - plan.warmup_s
    outlook = Outlook(measured, plan, selection, settled_s, matures_s)
    if not outlook.is_mature:
        return False
    if threshold.unit == "rate":
        return _rate_is_lost(threshold, outlook)
    times = None if selection.time == "outcome" else times_of(measured, selection)
    if threshold.statistic == "mean":
        return times is not None and _mean_is_lost(threshold, times, outlook)
    bad, samples = _counted(threshold, measured, selection, times)
    if not bad:
        return False
    effective = effective_of(threshold, measured, scope, config.confidence) if config.confidence else None
    fails = _failing(config, 1.0 if effective is None else min(1.0, effective / samples))
    if outlook.is_planned:
        return _at_most(outlook.most(samples), lambda most: fails(bad, most))
    return _is_still_bad(threshold, outlook) and (
        _at_most(outlook.most(samples), lambda most: fails(bad, most)) or _is_beyond_noise(config, outlook)
    )


def _rate_is_lost(threshold: Threshold, outlook: Outlook) -> bool:
    """A rate that is too high even without more samples, or too low even with as many as there may be."""
    chosen = {"name": outlook.selection.name, "source_address": outlook.selection.source_address}
    samples = outlook.measured.ended_in_time(outlook.selection.kind, status=outlook.selection.status, **chosen)
    length_s = outlook.plan.judged_s
    if threshold.operator in _BELOW:
        return bool(length_s) and not threshold.holds(samples / (length_s or math.inf))
    seconds = outlook.settled_s if length_s is None else length_s
    return seconds >= _SHORTEST_RATE_S and not threshold.holds(outlook.most(samples) / seconds)


def _mean_is_lost(threshold: Threshold, times: Histogram, outlook: Outlook) -> bool:
    """If even times of zero would not save it; one that is too low may always rise."""
    if threshold.operator not in _BELOW or not times.count:
        return False
    return not threshold.holds(times.total_ns / NS_PER_S / outlook.most(times.count))


def _counted(
    threshold: Threshold, measured: Measurements, selection: Selection, times: Histogram | None
) -> tuple[int, int]:
    """How many samples are certainly beyond the limit, and how many there are."""
    if times is not None:
        index = _last_good_bin(threshold) if threshold.operator in _BELOW else _last_bad_bin(threshold)
        above = sum(count for each, count in times.bins.items() if each > index)
        return (above if threshold.operator in _BELOW else times.count - above), times.count
    chosen = {"name": selection.name, "source_address": selection.source_address, "status": selection.status}
    samples = measured.count(selection.kind, **chosen)
    failed = measured.count(selection.kind, outcome=FAILED, **chosen)
    return (failed if _is_hurt_by_failures(threshold) else samples - failed), samples


def _is_hurt_by_failures(threshold: Threshold) -> bool:
    """Whether failed samples are those beyond the limit of a share: the rate of checks is that of those that held."""
    return (threshold.operator in _BELOW) != (threshold.statistic == "check_rate")


def _bad_by_time(threshold: Threshold, cells: Cells) -> list[Span]:
    """The samples beyond the limit, and all, of each cell."""
    is_upper = threshold.operator in _BELOW
    if threshold.unit == "duration":
        index = _last_good_bin(threshold) if is_upper else _last_bad_bin(threshold)
    else:
        index, is_upper = 0, _is_hurt_by_failures(threshold)
    return [(part if is_upper else whole - part, whole) for part, whole in cells.above(index)]


def _last_good_bin(threshold: Threshold) -> int:
    """The highest bin that may contain times below the limit."""
    index = _bin_of_limit(threshold)
    return index if threshold.holds(bin_edges_us(index)[0] / US_PER_S) else index - 1


def _last_bad_bin(threshold: Threshold) -> int:
    """The highest bin without times above the limit."""
    index = _bin_of_limit(threshold)
    return index - 1 if threshold.holds(bin_edges_us(index)[1] / US_PER_S) else index


def _bin_of_limit(threshold: Threshold) -> int:
    return bin_index(min(HIGHEST_US, int(threshold.limit * US_PER_S + _ROUNDING_US)))


def _failing(config: ThresholdConfig, worth: float, confidence: float | None = None) -> Fails:
    """When the threshold fails; with a confidence, ``worth`` is a sample's worth as a share of an independent one."""
    threshold, quantile = config.threshold, config.threshold.quantile
    confidence = config.confidence or confidence
    is_upper = threshold.operator in _BELOW

    def of_percentile(bad: int, samples: int) -> bool:
        if quantile is None:
            raise ValueError(f"{threshold.text} is not a percentile")
        rank: int | None = nearest_rank(samples, quantile)
        if confidence is not None:
            rank = quantile_ranks(samples, quantile, confidence, max(1, int(samples * worth)))[0 if is_upper else 1]
        return rank is not None and (bad > samples - rank if is_upper else bad >= rank)

    def of_share(bad: int, samples: int) -> bool:
        part = bad if is_upper else samples - bad
        share = part / samples
        if confidence is not None:
            share = share_interval(part, samples, confidence, max(1, int(samples * worth)))[0 if is_upper else 1]
        return not threshold.holds(share)

    return of_share if quantile is None else of_percentile


def _at_most(most: float, fails: Callable[[int], bool]) -> bool:
    return not math.isinf(most) and fails(int(most))


def _allowed(threshold: Threshold) -> float:
    """The share of bad samples from which on the threshold fails."""
    share = threshold.limit if threshold.quantile is None else 1 - threshold.quantile
    return share if threshold.operator in _BELOW else 1 - share


def _is_still_bad(threshold: Threshold, outlook: Outlook) -> bool:
    """Whether the newest samples have not become better: a load that recovers may hold in the end."""
    cells = outlook.cells
    if cells is None:
        return False
    newest = [cell for cell in _bad_by_time(threshold, cells) if cell[1]][-2:]
    return bool(newest) and all(bad > _allowed(threshold) * whole for bad, whole in newest)


def _is_beyond_noise(config: ThresholdConfig, outlook: Outlook) -> bool:
    """Whether there were far more bad samples than noise explains, all along."""
    cells, allowed = outlook.cells, _allowed(config.threshold)
    if cells is None:
        return False
    full = _bad_by_time(config.threshold, cells)[: outlook.last_s // cells.cell_s]
    proof = [span for span in joined(full, SPANS) if span[1]]
    if not proof or not all(bad * (1 - allowed) >= _BEYOND_NOISE * allowed * (whole - bad) for bad, whole in proof):
        return False
    return _failing(config, 1.0, _PROOF)(sum(bad for bad, _ in proof), sum(whole for _, whole in proof))
