"""Parts of loads made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from support.samples import ORIGIN, SECOND, measurements

from pytest_ipload.base.health_catalogue import fired
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.parsing import as_stages
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.sample import Sample
from pytest_ipload.verdict.result import Traceback
from pytest_ipload.verdict.shard_result import ShardResult
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.expression import Threshold

PROFILE = LoadProfile(users=4, duration=10.0, origins={"users": "marker"})


def part_of(samples: Sequence[Sample], *thresholds: str, **fields: Any) -> ShardResult:
    """A part with the numbers that the samples give, of a load of ten seconds."""
    lags = Histogram()
    lags.record(1_000_000)
    values: dict[str, Any] = {
        "nodeid": "test_a.py::test_a",
        "profile": PROFILE,
        "thresholds": [ThresholdConfig(Threshold.parse(text)) for text in thresholds],
        "strict": False,
        "started_at": 1.7e9,
        "late": 0,
        "measured": measurements(samples),
        "ended": 10 * SECOND,
        "users": 2,
        "lifetimes": [(0, 10 * SECOND), (0, 9 * SECOND)],
        "users_by_source": {},
        "pool_size": 0,
        "shares_pool": False,
        "unused_count": 0,
        "unused_first": [],
        "planned_iterations": None,
        "dropped_iterations": None,
        "late_starts": 0,
        "interrupted": 0,
        "checks": [],
        "lags": lags,
        "cpu_ns": SECOND,
        "pinned_cpu": 1,
        "failures": [],
        "traceback": None,
        "broken_off": None,
        "abort": None,
    }
    return ShardResult(**{**values, **fields})


def full_fields(stages: str) -> dict[str, Any]:
    """Fields of a part that are empty in most: of a planned load with these stages, from a pool of addresses."""
    return {
        "profile": LoadProfile(
            stages=as_stages(stages),
            arrival_rate=5.0,
            max_users=9,
            pool="127.0.0.1-127.0.0.9",
            suppress_health_check=("late-starts",),
            origins={"stages": "marker"},
        ),
        "users_by_source": {"127.0.0.1": 2},
        "pool_size": 9,
        "unused_count": 8,
        "unused_first": ["127.0.0.2"],
        "planned_iterations": 50,
        "dropped_iterations": 10,
        "late_starts": 1,
        "interrupted": 1,
        "checks": [fired("late-starts", "1 of 2 users")],
        "traceback": Traceback("ValueError", "E   no"),
    }


__all__ = ["ORIGIN", "PROFILE", "full_fields", "part_of"]
