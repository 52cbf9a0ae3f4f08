"""A metric of the test's own that is of two kinds in two processes of one load. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_ipload.base.text import printable
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import COUNT, GAUGE, OBSERVED
from pytest_ipload.stats.series_table import OTHER_NAMES

_METHODS = {COUNT: "count()", GAUGE: "gauge()", OBSERVED: "observe()"}


def mixed_kinds(measured: Measurements) -> Iterator[str]:
    """What is wrong with each metric that has more than one kind.

    One process refuses that at the second call; each of several workers or segments may have seen one kind only.
    """
    kinds: dict[str, list[str]] = {}
    for kind in (COUNT, GAUGE):
        for name, _ in measured.values.each(kind):
            kinds.setdefault(name, []).append(kind)
    for name in measured.names(OBSERVED):
        kinds.setdefault(name, []).append(OBSERVED)
    for name, found in kinds.items():
        if len(found) > 1 and name != OTHER_NAMES:
            used = " and with ".join(_METHODS[kind] for kind in found)
            yield (
                f"metric {printable(repr(name))} is used with {used}, in different workers or segments; "
                "a metric has one kind: give the two different names"
            )
