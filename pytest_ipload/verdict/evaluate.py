"""Thresholds against measurements. Pure: no clock, no pytest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ipload.stats.confidence import minimum_samples, quantile_ranks
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FAILED, ITERATION, OK, REQUEST, STEP
from pytest_ipload.stats.summary import per_second
from pytest_ipload.units import format_count, format_duration
from pytest_ipload.verdict.expression import Threshold

FAIL, WARN = "fail", "warn"

_NS = 1e-9
_NEGLIGIBLE = 1e-9  # a nanosecond: below it a difference is one of arithmetic
_MS = 1e3  # milliseconds in a second: reports carry durations in milliseconds
_IMPLIED = Threshold.parse("error_rate == 0%")
_SPEAKS_OF_ERRORS = frozenset({"error_rate", "request_error_rate", "errors"})


@dataclass(frozen=True)
class JudgedThreshold:
    """A threshold and how severe it is when it does not hold."""

    threshold: Threshold
    severity: str = FAIL


@dataclass(frozen=True)
class Scope:
    """What rates and shares are counted over, besides the samples."""

    seconds: float
    """The judged part of the load."""
    pool_size: int = 0
    addresses_used: int = 0


@dataclass(frozen=True)
class ThresholdResult:
    """One threshold, judged. Durations are milliseconds, shares fractions from 0 to 1, rates per second."""

    expression: str
    severity: str
    passed: bool
    unit: str
    limit: float
    measured: float | None
    samples: int
    ci_low: float | None
    ci_high: float | None
    uncertain: bool
    """Too few samples for this percentile to be taken at its word."""
    message: str


@dataclass(frozen=True)
class _Measured:
    """A measured value in the unit of the threshold's limit; None when there is nothing to measure it from."""

    value: float | None
    samples: int
    noun: str
    ci: tuple[float | None, float | None] = (None, None)
    part: int | None = None
    """The failed ones among the samples, for error rates."""


def with_implied(thresholds: Sequence[JudgedThreshold]) -> list[JudgedThreshold]:
    """The thresholds, and ``error_rate == 0%`` unless one of them can fail on errors already."""
    speaks = any(judged.severity == FAIL and judged.threshold.statistic in _SPEAKS_OF_ERRORS for judged in thresholds)
    return [*thresholds] if speaks else [*thresholds, JudgedThreshold(_IMPLIED)]


def evaluate(judged: JudgedThreshold, measured: Measurements, scope: Scope) -> ThresholdResult:
    """Judge one threshold. Over no samples it fails."""
    threshold = judged.threshold
    value = _measure(threshold, measured, scope)
    enough = value.samples > 0 or (threshold.operator == "==" and threshold.limit == 0 and threshold.unit == "count")
    passed = enough and value.value is not None and threshold.holds(value.value)
    uncertain = threshold.quantile is not None and 0 < value.samples < minimum_samples(threshold.quantile)
    low, high = (_reported(end, threshold) for end in value.ci)
    return ThresholdResult(
        expression=threshold.text,
        severity=judged.severity,
        passed=passed,
        unit={"duration": "ms", "rate": "1/s"}.get(threshold.unit, threshold.unit),
        limit=_in_reports(threshold.limit, threshold),
        measured=_reported(value.value, threshold) if enough else None,
        samples=value.samples,
        ci_low=low,
        ci_high=high,
        uncertain=uncertain,
        message=_message(threshold, value) if enough else _no_samples(threshold, measured),
    )


def _reported(value: float | None, threshold: Threshold) -> float | None:
    return None if value is None else _in_reports(value, threshold)


def _in_reports(value: float, threshold: Threshold) -> float:
    """The value in the unit of reports, without the noise of the conversion."""
    return round(value * _MS, 6) if threshold.unit == "duration" else value


def _measure(threshold: Threshold, measured: Measurements, scope: Scope) -> _Measured:
    if threshold.unit == "duration":
        return _duration(threshold, measured)
    where = _where(threshold)
    requests = measured.count(REQUEST, **where)
    # No reply with a certain status is a result: what is counted from are all requests.
    looked_at = measured.count(REQUEST) if "status" in where else requests
    iterations = measured.count(ITERATION)
    failed_iterations = measured.count(ITERATION, outcome=FAILED)
    match threshold.statistic:
        case "error_rate":
            return _share(failed_iterations, iterations, "iterations")
        case "request_error_rate":
            return _share(measured.count(REQUEST, outcome=FAILED, **where), requests, "requests")
        case "requests":
            return _Measured(requests, looked_at, "requests")
        case "iterations":
            return _Measured(iterations, iterations, "iterations")
        case "errors":
            return _Measured(failed_iterations, iterations, "iterations", part=failed_iterations)
        case "rps":
            return _Measured(per_second(requests, scope.seconds), looked_at, "requests")
        case "iterations_per_second":
            return _Measured(per_second(iterations, scope.seconds), iterations, "iterations")
        case "ip_pool_usage":
            return _share(scope.addresses_used, scope.pool_size, "addresses")
        case other:
            raise ValueError(f"{other} is not measured")


def _share(part: int, whole: int, noun: str) -> _Measured:
    return _Measured(part / whole if whole else None, whole, noun, part=part)


def _duration(threshold: Threshold, measured: Measurements) -> _Measured:
    histogram, noun = _histogram(threshold, measured)
    statistics: dict[str, Callable[[], float | None]] = {
        "mean": lambda: histogram.mean_ns,
        "min": lambda: histogram.min_ns,
        "max": lambda: histogram.max_ns,
    }
    quantile = threshold.quantile
    if quantile is None:
        return _Measured(_seconds(statistics[threshold.statistic]()), histogram.count, noun)
    ends: list[float | None] = [None, None]
    if histogram.count:
        ranks = quantile_ranks(histogram.count, quantile)
        ends = [None if rank is None else _seconds(histogram.value_at_rank(rank)) for rank in ranks]
    return _Measured(_seconds(histogram.quantile(quantile)), histogram.count, noun, (ends[0], ends[1]))


def _histogram(threshold: Threshold, measured: Measurements) -> tuple[Histogram, str]:
    """The times that a duration statistic is over, and what they are times of."""
    where = _where(threshold)
    is_step = threshold.selector is not None and threshold.selector.kind == "step"
    kind, noun = (STEP, "steps") if is_step else (REQUEST, "requests")
    match threshold.family:
        case "failed":
            return measured.latency(kind, outcome=FAILED, **where), f"failed {noun}"
        case "connect" | "tls" | "ttfb" as phase:
            return measured.phase(phase, kind, outcome=OK, **where), "connections"
        case "iteration":
            kind, noun = ITERATION, "iterations"
        case "raw":
            return measured.latency(kind, outcome=OK, **where), noun
    if measured.planned:
        return measured.response(kind, outcome=OK, **where), noun
    return measured.latency(kind, outcome=OK, **where), noun


def _where(threshold: Threshold) -> dict[str, Any]:
    """The threshold's selector as keywords of the measurements' accessors."""
    selector = threshold.selector
    if selector is None:
        return {}
    match selector.kind:
        case "source":
            return {"source_address": selector.pattern}
        case "status":
            return {"status": int(selector.pattern)}
        case _:
            return {"name": selector.pattern}


def _message(threshold: Threshold, value: _Measured) -> str:
    """What was measured, first; then the limit; then how much it is worth."""
    number = 0.0 if value.value is None else value.value
    notes = []
    if value.part is not None:
        verb = "in use" if value.noun == "addresses" else "failed"
        notes.append(f"{format_count(value.part)} of {format_count(value.samples)} {value.noun} {verb}")
    elif threshold.unit != "count":
        noun = value.noun.removesuffix("s") if value.samples == 1 else value.noun
        notes.append(f"{format_count(value.samples)} {noun}")
    if threshold.quantile is not None:
        minimum = minimum_samples(threshold.quantile)
        if value.samples < minimum:
            notes.append(f"uncertain: {threshold.statistic_text} wants {format_count(minimum)}")
        if (interval := _interval(*value.ci)) is not None:
            notes.append(f"95 % CI {interval}")
    noted = f" ({', '.join(notes)})" if notes else ""
    return f"{threshold.metric} {_shown(threshold, number)}, limit {threshold.limit_text}{noted}"


def _shown(threshold: Threshold, number: float) -> str:
    """The value; one that looks like the limit when it is rounded, but differs, says by how much."""
    text, difference = threshold.format(number), number - threshold.limit
    if text != threshold.format(threshold.limit) or abs(difference) < _NEGLIGIBLE:
        return text
    return f"{text} ({threshold.format(abs(difference))} {'more' if difference > 0 else 'less'})"


def _no_samples(threshold: Threshold, measured: Measurements) -> str:
    text = f"{threshold.metric}: no samples, limit {threshold.limit_text}"
    selector = threshold.selector
    if selector is None or selector.kind not in ("name", "step"):
        return text
    kind, noun = (STEP, "steps") if selector.kind == "step" else (REQUEST, "request names")
    names = measured.names(kind)
    shown = ", ".join(repr(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")
    return f"{text}; {noun} seen: {shown or 'none'}"


def _interval(low: float | None, high: float | None) -> str | None:
    """``231-258 ms``, with the unit once where both ends have the same."""
    if low is None and high is None:
        return None
    if low is None or high is None:
        return f"above {format_duration(low)}" if low is not None else f"below {format_duration(high or 0.0)}"
    low_text, high_text = format_duration(low), format_duration(high)
    if low_text.rsplit(" ", 1)[-1] == high_text.rsplit(" ", 1)[-1] and " " in low_text:
        low_text = low_text.rsplit(" ", 1)[0]
    return f"{low_text}-{high_text}"


def _seconds(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds * _NS
