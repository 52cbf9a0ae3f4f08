"""Limits for the change against a baseline, such as ``p95:10%,50ms``.

Grammar::

    limit     = metric ":" change
    change    = percent [ "," floor ] | floor
    metric    = [ "raw." | "ttfe." | "gap." ] statistic [ "{" selector "}" ] | share | rate | target
    statistic = "p" number | "p(" number ")" | "median" | "mean" | "min" | "max"       floor: a duration, 50ms
    share     = "error_rate" | ( "request_error_rate" | "check_rate" ) [ "{" label "}" ]    floor: percentage points, 1%
    rate      = "rps" [ "{" label "}" ] | "iterations_per_second"                      floor: a rate, 5/s
    target    = "target." name "." ( "mean" | "max" | "min" | "last" ) [ "{" label "}" ]     floor: as its limits, 50MB
    selector  = label | "step:" label | "metric:" label

The metrics are those of thresholds (``expression``), as far as results keep them. A value is a regression if it is
worse than the baseline by more than ``percent`` of it, and by more than the floor. A rate is worse if it is lower, that
of checks too, any other value if it is higher. A share with a floor only is written ``error_rate:0%,1%``.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_ipload.base import units
from pytest_ipload.base.errors import SettingError
from pytest_ipload.verdict.threshold import target_metric
from pytest_ipload.verdict.threshold.expression import STREAM_FAMILIES, Metric

_NEGLIGIBLE = 1e-9
"""An excess over the allowed change of less than this share of it is a rounding error."""
_LOWER_IS_WORSE = frozenset({"rps", "iterations_per_second", "check_rate"})
_METRICS_HELP = (
    "metrics that can be compared are times of requests and steps (p95 or any percentile, median, mean, min, max, with "
    "or without raw. in front), of events (ttfe.p95, gap.p99) and observed ones (p95{metric:age}), error_rate, "
    "request_error_rate, check_rate, rps, iterations_per_second, and mean, max, min and last of a target "
    "(target.cpu.mean)"
)


@dataclass(frozen=True)
class CompareLimit:
    """How much worse than the baseline a value may be. Times are milliseconds, as in reports."""

    text: str
    """Its normal form; it parses to an equal limit."""
    metric: Metric
    relative: float
    """As a fraction of the baseline; 0 where only a floor is given."""
    floor: float | None
    """In the metric's unit in reports; None without one. Smaller changes do not count, whatever their percentage."""

    @classmethod
    def parse(cls, text: str) -> CompareLimit:
        """Read a limit. ``SettingError`` says which part is wrong, what was given and what is allowed."""
        try:
            return cls._parse(text)
        except ValueError as error:
            raise SettingError(f"limit {text!r}: {error}") from None

    @classmethod
    def _parse(cls, text: str) -> CompareLimit:
        name, colon, change = text.rpartition(":")
        if not colon or "}" in change:
            raise ValueError("there is no ':' followed by a change, as in 'p95:10%' or 'p95:10%,50ms'")
        metric = Metric.parse(name)
        _check_metric(metric)
        first, *others = "".join(change.split()).split(",")
        if len(others) > 1:
            raise ValueError(f"{change.strip()!r} is more than a percentage and a floor, as in 'p95:10%,50ms'")
        if first.endswith("%"):
            relative = _finite(units.parse_percent(first), first)
            floor = _parse_floor(metric, others[0]) if others else None
        elif others:
            raise ValueError(
                f"{first!r} is not a percentage; the percentage comes first, then the floor, as in 'p95:10%,50ms'"
            )
        else:
            relative, floor = 0.0, _parse_floor(metric, first)
        return cls(f"{metric.text}:{','.join([first, *others])}", metric, relative, floor)

    @property
    def unit(self) -> str:
        """The unit of its values in reports: ``ms``, ``fraction``, ``1/s`` or that of a target."""
        return report_unit(self.metric)

    @property
    def lower_is_worse(self) -> bool:
        """Whether it is a rate."""
        return self.metric.statistic in _LOWER_IS_WORSE

    def worse_by(self, difference: float) -> float:
        """A difference (current value minus baseline) as one that is positive if the current value is worse."""
        return -difference if self.lower_is_worse else difference

    def tolerance(self, baseline: float, noise: float = 0.0) -> float:
        """How much worse than the baseline a value may be, when noise alone explains ``tolerance``."""
        return max(self.relative * baseline, self.floor or 0.0, noise)

    def is_beyond(self, difference: float, tolerance: float) -> bool:
        """Whether a difference (current value minus baseline) is worse than this."""
        return self.worse_by(difference) > tolerance * (1 + _NEGLIGIBLE)

    @property
    def limit_text(self) -> str:
        """The part after the metric, as shown to users: ``limit +10 %, at least 50 ms``."""
        sign = "-" if self.lower_is_worse else "+"
        floor = "" if self.floor is None else format_reported(self.metric, self.floor)
        if not self.relative:
            return f"limit {sign}{floor or '0 %'}"
        return f"limit {sign}{units.format_percent(self.relative)}" + (f", at least {floor}" if floor else "")


def report_unit(metric: Metric) -> str:
    """The unit of a metric's values in reports."""
    return {"duration": "ms", "rate": "1/s"}.get(metric.unit, metric.unit)


def format_reported(metric: Metric, value: float) -> str:
    """A value in the unit of reports, as shown to users."""
    return metric.format(value / units.MS_PER_S if metric.unit == "duration" else value)


def _check_metric(metric: Metric) -> None:
    """Refuse metrics that results do not keep."""
    if metric.is_of_target:
        if metric.statistic not in target_metric.COMPARABLE:
            raise ValueError(f"{metric.text!r} cannot be compared; {_METRICS_HELP}")
        return
    if (
        metric.family not in (None, "raw", *STREAM_FAMILIES)
        or metric.unit == "count"
        or metric.statistic in ("ip_pool_usage", "rate")
    ):
        raise ValueError(f"{metric.text!r} cannot be compared; {_METRICS_HELP}")
    if metric.selector is not None and metric.selector.kind not in ("name", "step", "metric"):
        raise ValueError(
            f"{{{metric.selector}}} cannot be compared: values are saved by request name and by step, and "
            "by observed metric, as in p95{GET /cart}, p95{step:checkout} or p95{metric:age}"
        )


def _parse_floor(metric: Metric, text: str) -> float:
    try:
        match metric.unit:
            case "duration":
                value = round(units.parse_duration(text) * units.MS_PER_S, 9)
            case "fraction":
                value = units.parse_percent(text)
            case unit if metric.is_of_target:
                value = target_metric.parse_limit(unit, text)
            case _:
                value = units.parse_rate(text)
    except ValueError as error:
        raise ValueError(
            f"the change for {metric.text} is not valid: {error}; a relative change is a percentage"
        ) from None
    return _finite(value, text)


def _finite(value: float, text: str) -> float:
    if value > 1e12:
        raise ValueError(f"{text[:20]!r} is too large")
    return value
