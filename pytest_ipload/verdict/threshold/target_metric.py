"""The metrics of a load's targets in thresholds, such as ``target.rss.growth{api} < 5MB/h``.

Grammar, beside that of ``expression``::

    metric    = "target." name "." statistic
    name      = "cpu" | "rss" | "threads" | "files" | the name of a query
    statistic = "mean" | "max" | "min" | "last" | "growth" | "median" | "p" number
    selector  = the name of a target; ``*`` stands for any text
    value     = of cpu a percentage of one core, 80% (four busy cores are 400%); of rss a size, 500MB; else a number;
                of growth, one of these per "s", "m" or "h"
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pytest_ipload.base import units
from pytest_ipload.stats.target_readings import BYTES, PERCENT, is_metric_name, unit_of

PREFIX = "target"
GROWTH = "growth"
STATISTICS = ("mean", "max", "min", "last", GROWTH, "median")
COMPARABLE = ("mean", "max", "min", "last")
"""Those that results keep as numbers that are never negative."""
PER_HOUR = "/h"
UNITS = tuple(unit + per for unit in (PERCENT, BYTES, "number") for per in ("", PER_HOUR))
"""Of values in reports."""
HELP = (
    "the metrics of a target are target.cpu, target.rss, target.threads, target.files and the names of its queries, "
    f"with one of the statistics {', '.join(STATISTICS)} or p95 behind it, as in target.cpu.mean{{api}}"
)
_PER = {"s": 3600, "m": 60, "h": 1}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")


def is_target_metric(name: str) -> bool:
    """Whether it is meant as one of these."""
    return name == PREFIX or name.startswith(f"{PREFIX}.")


def parse(name: str, percentile_of: Callable[[str], float | None]) -> tuple[str, str, float | None]:
    """Family (``target.cpu``), statistic and quantile of ``target.cpu.mean``. ``ValueError`` for anything else."""
    parts = name.split(".", 2)
    if len(parts) < 3:
        raise ValueError(f"{name!r} is not a metric: it has no statistic; {HELP}")
    if not is_metric_name(parts[1]):
        raise ValueError(f"{parts[1]!r} is not the name of a metric; {HELP}")
    family, statistic = f"{PREFIX}.{parts[1]}", parts[2]
    if (quantile := percentile_of(statistic)) is not None:
        return family, "percentile", quantile
    if statistic not in STATISTICS:
        raise ValueError(f"{statistic!r} is not a statistic; {HELP}")
    return family, statistic, 0.5 if statistic == "median" else None


def check_selector(family: str, kind: str, shown: str) -> None:
    """``ValueError`` for a selector that is not the name of a target."""
    if kind != "name":
        raise ValueError(f"{family} belongs to a target; got {{{shown}}}; write its name, as in {family}.max{{api}}")


def metric_of(family: str) -> str:
    """``cpu`` of ``target.cpu``."""
    return family.removeprefix(f"{PREFIX}.")


def unit(family: str, statistic: str) -> str:
    """The unit of a value: ``%`` (of one core), ``bytes`` or ``number``; of growth, that per hour: ``bytes/h``."""
    return unit_of(metric_of(family)) + (PER_HOUR if statistic == GROWTH else "")


def parse_limit(of_unit: str, value: str) -> float:
    """A limit in this unit. ``ValueError`` says what is allowed."""
    if of_unit.endswith(PER_HOUR):
        amount, slash, per = value.rpartition("/")
        if not slash or per.strip() not in _PER:
            raise ValueError(f"{value!r} is not a growth: it has no time, as in {_EXAMPLES[of_unit]}")
        return parse_limit(of_unit.removesuffix(PER_HOUR), amount.strip()) * _PER[per.strip()]
    if of_unit == PERCENT:
        return round(units.parse_percent(value) * 100, 9)
    if of_unit == BYTES:
        return units.parse_size(value)
    if not _NUMBER.fullmatch(value):
        raise ValueError(f"{value!r} is not a plain number, as in 1000")
    return float(value)


_EXAMPLES = {"%/h": "10%/h", "bytes/h": "5MB/h", "number/h": "10/h"}


def format_value(of_unit: str, value: float) -> str:
    """A value in this unit as shown to users: ``83.1 %``, ``48.3 MB``, ``5 MB/h``, ``12``."""
    if of_unit.endswith(PER_HOUR):
        return f"{format_value(of_unit.removesuffix(PER_HOUR), value)}/h"
    if value < 0:
        return f"-{format_value(of_unit, -value)}"
    if of_unit == BYTES:
        return units.format_size(value)
    number = units.format_number(value)
    return f"{number} %" if of_unit == PERCENT else number
