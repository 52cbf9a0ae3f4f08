"""How much the samples of a load are worth, when those that are close in time resemble each other.

The method of batch means: the load is cut into equal spans of time, and how much the share of interest differs from
span to span tells how far it is off by chance, whatever the samples within a span have in common. Spans have to be
longer than the memory of the noise, so there are few: ten, or five where five say that the share is less sure.
Source: B. Schmeiser, Batch size effects in the analysis of simulation output, Operations Research 30 (1982), pages
556-568, which finds that more than 10 to 30 batches hardly help.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

from pytest_ipload.stats.student_t import student_t_quantile

SPANS = 10
SHORTEST_S = 10.0
"""Seconds from which on a load has spans that are long enough."""
FEWEST_EVENTS = 10
"""Samples on either side of a quantile, or errors, from which on spans can be compared."""
_FEWEST_SPANS = 5
"""Spans with samples, weighed by their number, from which on they can be compared."""

Span = tuple[int, int]
"""Of the samples of a span: those that count, and all."""


def effective_samples(cells: Sequence[Span], confidence: float) -> int | None:
    """The number of independent samples whose share of counted ones would be as uncertain as that of these.

    ``cells`` are equal pieces of time, at least ten, that the spans are made of. None if there is not enough data: the
    events are too few, or too unevenly spread over time. Never more than there are samples.

    With a_k of n_k samples in span k, m spans and p = sum(a) / sum(n), the variance of p is estimated as a ratio's,
    ``m / (m - 1) * sum((a_k - p * n_k) ** 2) / sum(n) ** 2``, and compared with ``p * (1 - p) / sum(n)``, that of
    independent samples; a few spans know their variance only roughly, for which Student's t stands instead of the
    normal deviate z, so the number of samples is divided by ``(t / z) ** 2`` as well. Sources: W. G. Cochran, Sampling
    Techniques, 3rd ed., section 2.11; E. L. Korn and B. I. Graubard, Confidence intervals for proportions with small
    expected number of positive counts estimated from survey data, Survey Methodology 24 (1998), pages 193-201.
    """
    spans = joined(cells, SPANS)
    part, whole = (sum(column) for column in zip(*spans, strict=True)) if spans else (0, 0)
    if min(part, whole - part) < FEWEST_EVENTS or len(spans) < SPANS or _number_of(spans) < _FEWEST_SPANS:
        return None
    pairs = joined(spans, SPANS // 2)
    return max(1, int(whole / max(1.0, _inflation(spans, confidence), _inflation(pairs, confidence))))


def joined(cells: Sequence[Span], number: int) -> list[Span]:
    """Neighbours merged into at most ``number`` spans, as equal as whole cells allow."""
    number = min(number, len(cells))
    ends = [round(len(cells) * each / number) for each in range(1, number + 1)]
    return [
        (sum(part for part, _ in cells[start:end]), sum(whole for _, whole in cells[start:end]))
        for start, end in zip([0, *ends], ends, strict=False)
    ]


def _inflation(spans: Sequence[Span], confidence: float) -> float:
    """How many times as many samples it takes as if they were independent."""
    part, whole = sum(part for part, _ in spans), sum(whole for _, whole in spans)
    share, number = part / whole, len(spans)
    deviations = sum((span_part - share * span_whole) ** 2 for span_part, span_whole in spans)
    variance = number / (number - 1) * deviations / whole**2
    return variance * whole / (share * (1 - share)) * _few_spans(round(_number_of(spans) - 1, 1), confidence)


def _number_of(spans: Sequence[Span]) -> float:
    """How many equal spans these are as good as: a load that just started, or a straggler, has spans of few samples.

    Source: L. Kish, Survey Sampling (1965), section 11.7: the square of the sum over the sum of the squares.
    """
    whole = sum(whole for _, whole in spans)
    return whole**2 / sum(whole**2 for _, whole in spans) if whole else 0.0


@lru_cache(maxsize=256)
def _few_spans(degrees: float, confidence: float) -> float:
    p = (1 + confidence) / 2
    return float((student_t_quantile(p, degrees) / NormalDist().inv_cdf(p)) ** 2)
