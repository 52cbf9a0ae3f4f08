"""A name that is a metric of two kinds in two workers."""

from __future__ import annotations

from array import array

import pytest
from support.parts import part_of
from support.samples import iteration

from pytest_ipload.base.text import first_line
from pytest_ipload.stats.sample import COUNT, GAUGE, OBSERVED, OK, timed_sample
from pytest_ipload.verdict.conclude import conclude
from pytest_ipload.verdict.shard_result import ShardResult, merge


def worker(kind: str, name: str) -> ShardResult:
    """What one of them measured: a metric, used once."""
    if kind == OBSERVED:
        return part_of([iteration(), timed_sample(kind, name, iteration().started_ns, 1000, OK)])
    part = part_of([iteration()])
    part.measured.values.add(
        {(kind, name): (array("q", [part.measured.judged_from_ns]), array("d", [3.0]))}, 0, 0, None
    )
    return part


@pytest.mark.parametrize(
    ("kinds", "methods"),
    [((COUNT, GAUGE), "count() and with gauge()"), ((OBSERVED, GAUGE), "gauge() and with observe()")],
    ids=["count-and-gauge", "time-and-gauge"],
)
def test_the_load_is_invalid_and_both_kinds_are_named(kinds: tuple[str, str], methods: str) -> None:
    result = conclude(merge(worker(kind, "age") for kind in kinds))
    assert result.verdict == "invalid"
    assert first_line(result.reason) == (
        f"metric 'age' is used with {methods}, in different workers or segments; a metric has one kind: give the two "
        "different names"
    )


@pytest.mark.parametrize("names", [("age", "age"), ("age", "ages")])
def test_metrics_of_one_kind_are_not_touched(names: tuple[str, str]) -> None:
    kinds = (COUNT, COUNT) if names[0] == names[1] else (COUNT, GAUGE)
    assert conclude(merge(map(worker, kinds, names))).verdict == "passed"
