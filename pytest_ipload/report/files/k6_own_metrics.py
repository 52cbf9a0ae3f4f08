"""A test's own checks and metrics as points of k6's metrics: ``checks``, and one metric for each name."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from operator import add
from typing import NamedTuple

from pytest_ipload.base.units import NS_PER_MS
from pytest_ipload.stats.sample import CHECK, COUNT, GAUGE, OBSERVED, OK
from pytest_ipload.stats.spool.spool_format import Batch

OWN_KINDS = frozenset({CHECK, COUNT, GAUGE, OBSERVED})
_KINDS = {COUNT: ("counter", "default"), GAUGE: ("gauge", "default"), OBSERVED: ("trend", "time")}
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
_LONGEST = 128
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_OURS = ("ipload_", "checks", "group_duration", "http_req", "grpc_", "ws_", "browser_", "data_", "vus", "iteration")
"""Beginnings of metrics that k6 and we have."""
_CHECKS = "checks"
_PREFIX = "ipload_metric_"


class OwnPoints(NamedTuple):
    """Points of one metric with the same tags."""

    metric: str
    declaration: tuple[str, str]
    """Its type and what it contains."""
    tags: dict[str, str]
    moments_ns: Sequence[int]
    values: list[str]


def own_points(batch: Batch, judged_from_ns: int, reserved: Container[str]) -> Iterator[OwnPoints]:
    """The points of a batch of an own kind: those of the warm-up, then the judged ones.

    ``reserved`` are names that have a meaning in such a file already.
    """
    kind = batch.key.kind
    if kind in (COUNT, GAUGE):
        moments: Sequence[int] = batch.starts
        values = [f"{number:.15g}" for number in batch.numbers]
    else:
        moments = list(map(add, batch.starts, batch.latencies))
        values = [f"{latency / NS_PER_MS:.6f}" for latency in batch.latencies]
    if kind == CHECK:
        values = ["1" if batch.key.outcome == OK else "0"] * len(moments)
    metric, declaration, tags = _identity(kind, batch.key.name, reserved)
    for is_judged, phase in ((False, {"phase": "warmup"}), (True, {})):
        chosen = [place for place, moment in enumerate(moments) if (moment >= judged_from_ns) == is_judged]
        if chosen:
            some = [moments[place] for place in chosen]
            yield OwnPoints(metric, declaration, {**tags, **phase}, some, [values[place] for place in chosen])


def _identity(kind: str, name: str, reserved: Container[str]) -> tuple[str, tuple[str, str], dict[str, str]]:
    """The metric, its declaration and its tags.

    A name that k6 would not accept, or has itself, is spelt so that it does, with a prefix; the tag ``metric`` has it
    as it was given.
    """
    if kind == CHECK:
        return _CHECKS, ("rate", "default"), {"check": name}
    if _NAME.fullmatch(name) and name not in reserved and not name.startswith(_OURS):
        return name, _KINDS[kind], {}
    return f"{_PREFIX}{_NOT_IN_A_NAME.sub('_', name)}"[:_LONGEST], _KINDS[kind], {"metric": name}
