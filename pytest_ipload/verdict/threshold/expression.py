"""Threshold expressions such as ``p99{GET /cart} < 400ms``.

Grammar::

    expression = metric [ "{" selector "}" ] operator value
    metric     = [ family "." ] statistic | share | count | rate | own
    family     = "raw" | "iteration" | "connect" | "tls" | "ttfb" | "ttfe" | "gap" | "failed"
    statistic  = "p" number | "p(" number ")" | "median" | "mean" | "min" | "max"      value: a duration, 200ms
    share      = "error_rate" | "request_error_rate" | "set_up_error_rate"             value: a percentage, 1%
               | "ip_pool_usage"
    count      = "requests" | "iterations" | "errors" | "dropped_iterations"           value: a number, 1000
    rate       = "rps" | "iterations_per_second"                                       value: a number or a rate, 50/s
    own        = "check_rate" [ "{" label "}" ] | "count" "{" label "}"                value: as of a share, a count
               | "rate" "{" label "}" | ( "gauge" | "gauge.min" | "gauge.max" ) "{" label "}"     a rate, any number
    selector   = label | "name:" label | "step:" label | "metric:" label | "source:" address | "status:" code
    operator   = "<=" | ">=" | "==" | "!=" | "<" | ">"

Metrics of targets (``target.cpu.mean{api} < 80%``) have a grammar of their own: see ``target_metric``.

A label is any text, up to the last ``}`` of the expression: ``p95{GET /items/{id}} < 1s``; ``*`` in it stands for
any text. ``name:`` is for request names that begin like another selector. Own metrics are those of the test: its
checks (``check_rate`` is the share that held), counts, gauges, and observed times: ``p95{metric:age} < 10s``. Blanks
between the parts do not matter. ``errors`` counts failed iterations, as ``error_rate`` is their share.
``set_up_error_rate`` is the share of users whose set-up failed.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pytest_ipload.base import units
from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.masking import masked
from pytest_ipload.stats.sample import COUNT, GAUGE
from pytest_ipload.verdict.threshold import target_metric
from pytest_ipload.verdict.threshold.selector import Selector, is_cut_off, parse_label, parse_selector

FAMILIES = ("raw", "iteration", "connect", "tls", "ttfb", "ttfe", "gap", "failed")
STREAM_FAMILIES = ("ttfe", "gap")
"""Times of the events of streams: until the first one, and between them."""
_REQUEST_FAMILIES = ("connect", "tls", "ttfb", *STREAM_FAMILIES)
_STATISTICS = ("median", "mean", "min", "max")
_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "percentile": "duration",
        **dict.fromkeys(_STATISTICS, "duration"),
        **dict.fromkeys(("error_rate", "request_error_rate", "set_up_error_rate", "ip_pool_usage"), "fraction"),
        **dict.fromkeys(("requests", "iterations", "errors", "dropped_iterations"), "count"),
        **dict.fromkeys(("rps", "iterations_per_second"), "rate"),
    }
)
_OWN_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "check_rate": "fraction",
        **dict.fromkeys(("count", "gauge", "gauge.min", "gauge.max"), "count"),
        "rate": "rate",
    }
)
"""Of what the test checks and counts itself."""
_UNIT_OF: Mapping[str, str] = MappingProxyType({**_UNITS, **_OWN_UNITS})
VALUES: Mapping[str, str] = MappingProxyType(
    {"count": COUNT, "rate": COUNT, "gauge": GAUGE, "gauge.min": GAUGE, "gauge.max": GAUGE}
)
"""Metrics of numbers that the test gives itself, and the kind of those."""
OWN = frozenset(_OWN_UNITS)
_COUNTED_BY_REQUEST = ("requests", "request_error_rate", "rps")
_METRICS = ("p95", *(name for name in _UNIT_OF if name != "percentile"))
_DURATION_METRICS = ("p95", *_STATISTICS)
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {  # the longer ones first: "<=" is not "<" and a limit of "=..."
        "<=": operator.le,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        ">": operator.gt,
    }
)
_SIGNS = {"≤": "<=", "≥": ">=", "≠": "!=", "＜": "<", "＞": ">"}
"""Other ways to write an operator, and how it is written here."""
_OTHER_WORDS = {"avg": "mean", "average": "mean", "med": "median"}
"""Words of other tools for a statistic, and the word here."""
_PERCENTILE = re.compile(r"p([0-9]+(?:\.[0-9]+)?|\.[0-9]+)|p\(([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")
_BLANK_BEFORE_UNIT = re.compile(r"(?<=[0-9])\s+(?=[a-zA-Z%/])|(?<=/)\s+|(?<=[B%])\s+(?=/)")
_LARGEST = 1e12
"""Of a limit: 30 000 years. Far above it a number of milliseconds is infinite."""
_DECIMALS = 12
"""The number of decimals of a limit: ``9ms`` is 0.009 and not the 0.009000000000000001 of 9 * 0.001."""


@dataclass(frozen=True)
class Metric:
    """What is measured: the part of an expression that is left of its operator."""

    family: str | None
    """One of ``FAMILIES``, or a target's, such as ``target.cpu``; None for the plain metric."""
    statistic: str
    """``percentile``, or the name of the statistic, share, count or rate."""
    quantile: float | None
    """The fraction of a percentile, 0.95 for p95, 0.5 for the median; None for all others."""
    selector: Selector | None

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Read a metric such as ``raw.p95{GET /cart}``. ``ValueError`` says what is wrong and what is allowed."""
        name, brace, rest = text.partition("{")
        selector, closing, behind = rest.rpartition("}")
        if brace and (not closing or is_cut_off(selector)):
            raise ValueError("the selector has no closing '}'")
        if behind.strip():
            raise ValueError(f"unexpected {behind.strip()!r} after the selector")
        if not name.strip():
            raise ValueError(f"no metric at the start; {_METRICS_HELP}")
        return cls._of(name.strip(), selector if brace else None)

    @classmethod
    def _of(cls, name: str, selector_text: str | None) -> Metric:
        family, statistic, quantile = _parse_metric(name)
        selector = None
        if selector_text is not None:  # masked, as the names of requests are
            selector = (parse_label if statistic in OWN else parse_selector)(masked(selector_text))
            _check_selector(family, statistic, selector)
        elif statistic in VALUES:
            raise ValueError(f"{statistic} needs the name of a metric, as in {statistic}{{sold}}")
        return cls(family, statistic, quantile, selector)

    @property
    def text(self) -> str:
        """Its normal form."""
        prefix = f"{self.family}." if self.family else ""
        suffix = f"{{{self.selector}}}" if self.selector else ""
        return f"{prefix}{self.statistic_text}{suffix}"

    @property
    def statistic_text(self) -> str:
        """The statistic as it is written: ``p95``, ``median``, ``error_rate``."""
        if self.statistic != "percentile" or self.quantile is None:
            return self.statistic
        return "p" + f"{self.quantile * 100:.{_DECIMALS - 2}f}".rstrip("0").rstrip(".")

    @property
    def unit(self) -> str:
        """The unit of its values: ``duration`` (s), ``fraction``, ``count``, ``rate`` (per s), or a target's."""
        if self.is_of_target:
            return target_metric.unit(self.family or "", self.statistic)
        return _UNIT_OF[self.statistic]

    @property
    def is_of_target(self) -> bool:
        """Whether it is one of the target's own numbers."""
        return self.family is not None and target_metric.is_target_metric(self.family)

    def format(self, measured: float) -> str:
        """A value as shown to users: ``243 ms``, ``1.5 %``, ``4 812``, ``50/s``."""
        match self.unit:
            case "duration":
                return units.format_duration(measured)
            case "fraction":
                return units.format_percent(measured)
            case "count":
                return units.format_number(measured)
            case unit if self.is_of_target:
                return target_metric.format_value(unit, measured)
            case _:
                return f"{units.format_number(measured)}/s"


@dataclass(frozen=True)
class Threshold:
    """A limit for one measured value."""

    text: str
    """The expression in its normal form; it parses to an equal threshold."""
    measured: Metric
    """What is measured."""
    operator: str
    limit: float
    """Seconds, a fraction, a count or a number per second; see ``unit``."""

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read an expression. ``SettingError`` says which part is wrong, what was given and what is allowed."""
        if not isinstance(text, str):
            raise SettingError(f"threshold {text!r}: expected a text such as 'p95 < 200ms'")
        try:
            return cls._parse(text)
        except ValueError as error:
            raise SettingError(f"threshold {text!r}: {error}") from None

    @classmethod
    def _parse(cls, text: str) -> Threshold:
        name, selector_text, comparison, value = _split(text)
        metric = Metric._of(name, selector_text)
        limit = _parse_limit(metric, value)
        normal = f"{metric.text} {comparison} {value}"
        return cls(normal, metric, comparison, limit)

    @property
    def family(self) -> str | None:
        """See ``Metric``."""
        return self.measured.family

    @property
    def statistic(self) -> str:
        """See ``Metric``."""
        return self.measured.statistic

    @property
    def quantile(self) -> float | None:
        """See ``Metric``."""
        return self.measured.quantile

    @property
    def selector(self) -> Selector | None:
        """See ``Metric``."""
        return self.measured.selector

    @property
    def metric(self) -> str:
        """The part left of the operator: ``raw.p95{GET /cart}``."""
        return self.measured.text

    @property
    def statistic_text(self) -> str:
        """The statistic as it is written: ``p95``, ``median``, ``error_rate``."""
        return self.measured.statistic_text

    @property
    def limit_text(self) -> str:
        """The part right of the metric, as shown to users: ``< 200 ms``."""
        return f"{self.operator} {self.format(self.limit)}"

    @property
    def unit(self) -> str:
        """The unit of limit and measured value: ``duration`` (seconds), ``fraction``, ``count`` or ``rate`` (per s)."""
        return self.measured.unit

    @property
    def is_response_time(self) -> bool:
        """Whether it applies to response times, where iterations have planned starts; else to latencies."""
        return self.unit == "duration" and self.family is None and not self.is_observed

    @property
    def is_observed(self) -> bool:
        """Whether it is about times that the test observed itself."""
        return self.selector is not None and self.selector.kind == "metric"

    def holds(self, measured: float) -> bool:
        """Whether the measured value, in the unit of the limit, is within the limit. NaN never is."""
        if math.isnan(measured):
            return False
        return _COMPARISONS[self.operator](round(measured, _DECIMALS), self.limit)

    def format(self, measured: float) -> str:
        """A value in the unit of this threshold, as shown to users: ``243 ms``, ``1.5 %``, ``4 812``, ``50/s``."""
        return self.measured.format(measured)


def _split(text: str) -> tuple[str, str | None, str, str]:
    """Metric, text of the selector, operator and value."""
    position = next((index for index, character in enumerate(text) if character in "{}<>=!"), len(text))
    metric, rest, selector = text[:position].strip(), text[position:], None
    if not metric:
        raise ValueError(f"no metric at the start; {_METRICS_HELP}")
    if rest.startswith("{"):
        selector, closing, rest = rest[1:].rpartition("}")
        if not closing or is_cut_off(selector):
            raise ValueError("the selector has no closing '}'")
        rest = rest.lstrip()
    for comparison in _COMPARISONS:
        if rest.startswith(comparison):
            value = _BLANK_BEFORE_UNIT.sub("", rest[len(comparison) :].strip())
            break
    else:
        sign = next((sign for sign in _SIGNS if sign in text), None)
        found = f"{rest!r} found where an operator was expected" if rest else "no operator and no limit"
        if sign is not None:
            found = f"{sign!r} is not an operator; write {_SIGNS[sign]!r}"
        raise ValueError(f"{found}; the operators are {', '.join(_COMPARISONS)}, as in 'p95 < 200ms'")
    if not value:
        raise ValueError(f"no limit after the operator {comparison!r}, as in 'p95 < 200ms'")
    return metric, selector, comparison, value


def _parse_metric(metric: str) -> tuple[str | None, str, float | None]:
    """Family, statistic and quantile."""
    if target_metric.is_target_metric(metric):
        return target_metric.parse(metric, _percentile_of)
    family, dot, rest = metric.partition(".")
    if not dot or family not in FAMILIES:
        family, rest = "", metric
    if (quantile := _percentile_of(rest)) is not None:
        return family or None, "percentile", quantile
    if rest not in _METRICS:
        raise ValueError(f"{metric!r} is not a metric{_did_you_mean(metric)}; {_METRICS_HELP}")
    if family and _UNIT_OF[rest] != "duration":
        raise ValueError(
            f"{family!r} only applies to times ({', '.join(_DURATION_METRICS)}), not to {rest!r}; write {rest!r}"
        )
    return family or None, rest, 0.5 if rest == "median" else None


def _percentile_of(text: str) -> float | None:
    """The quantile of ``p95``; None for anything else."""
    percentile = _PERCENTILE.fullmatch(text)
    return None if percentile is None else _parse_percentile(percentile[1] or percentile[2])


def _parse_percentile(number: str) -> float:
    quantile = round(float(number) / 100, _DECIMALS)
    if quantile <= 0:
        raise ValueError(f"p{number} is not a valid percentile: it must be above 0; the smallest value is 'min'")
    if quantile >= 1:
        raise ValueError(f"p{number} is not a valid percentile: it must be below 100; the largest value is 'max'")
    return quantile


def _check_selector(family: str | None, statistic: str, selector: Selector) -> None:
    """Refuse a selector that the metric cannot be split by."""
    if family is not None and target_metric.is_target_metric(family):
        target_metric.check_selector(family, selector.kind, str(selector))
        return
    if statistic in OWN:
        return
    if selector.kind == "metric" and (family is not None or _UNIT_OF[statistic] != "duration"):
        raise ValueError(
            f"{family or statistic} is not measured for observed times; got {{{selector}}}; they have p95 (or any "
            f"percentile), {', '.join(_STATISTICS)}, as in p95{{{selector}}}"
        )
    if statistic == "error_rate":
        instead = f"write request_error_rate{{{selector}}}"
        if selector.kind == "step":
            instead = f"a step has times only, as in p95{{{selector}}}; name its requests (name=) to judge their errors"
        raise ValueError(f"error_rate is the share of failed iterations and takes no selector; {instead}")
    if family == "iteration" or (_UNIT_OF[statistic] != "duration" and statistic not in _COUNTED_BY_REQUEST):
        name = "a time of iterations" if family == "iteration" else statistic
        raise ValueError(
            f"{name} takes no selector; got {{{selector}}}; selectors apply to times of requests and steps "
            f"and to {', '.join(_COUNTED_BY_REQUEST)}"
        )
    if selector.kind == "step" and (statistic in _COUNTED_BY_REQUEST or family in _REQUEST_FAMILIES):
        raise ValueError(
            f"{family or statistic} is measured for requests, not steps; got {{{selector}}}; "
            "a step has times only, as in p95{step:checkout}"
        )


def _parse_limit(metric: Metric, value: str) -> float:
    statistic = metric.statistic
    sign = -1 if value.startswith("-") else 1
    if sign < 0 and VALUES.get(statistic) != GAUGE:
        raise ValueError(f"the limit {value!r} is negative")
    value = value.removeprefix("-").lstrip()
    try:
        match metric.unit:
            case unit if metric.is_of_target:
                limit = target_metric.parse_limit(unit, value)
            case "duration":
                limit = units.parse_duration(value)
            case "fraction":
                limit = units.parse_percent(value)
            case "rate" if "/" in value:
                limit = units.parse_rate(value)
            case _ if _NUMBER.fullmatch(value):
                limit = float(value)
            case "rate":
                raise ValueError(f"{value!r} is not a number or a rate, as in 50 or 50/s")
            case _:
                raise ValueError(f"{value!r} is not a plain number, as in 1000")
    except ValueError as error:
        raise ValueError(f"the limit of {metric.text} is not valid: {error}") from None
    if not limit <= _LARGEST:
        raise ValueError(f"the limit {value[:20]}... is too large")
    if statistic in ("error_rate", "request_error_rate", "set_up_error_rate", "check_rate") and limit > 1:
        raise ValueError(f"the limit {value!r} of {statistic} is above 100%, the maximum")
    return sign * round(limit, _DECIMALS)


def _did_you_mean(metric: str) -> str:
    family, dot, statistic = metric.lower().rpartition(".")
    if (usual := _OTHER_WORDS.get(statistic)) is not None:
        return f" (did you mean {family + dot + usual!r}?)"
    known = [*_METRICS, *(f"{family}.{name}" for family in FAMILIES for name in _DURATION_METRICS)]
    close = difflib.get_close_matches(metric[:40].lower(), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


_METRICS_HELP = (
    f"metrics are p95 (or any percentile), {', '.join(_METRICS[1:])}; "
    f"times may have one of {', '.join(f'{family}.' for family in FAMILIES)} in front; "
    "a target's own numbers are target.cpu.mean and the like"
)
