"""Parts of a load: through plain values and back, and together again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.parts import PROFILE, full_fields, part_of
from support.samples import MS, ORIGIN, iteration, measurements, request
from support.targets import target_readings

from pytest_ipload.base.health_catalogue import fired
from pytest_ipload.load.set_up import SetUps
from pytest_ipload.load.user_time import UserTime
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FAILED, LATENESS, OK, Sample
from pytest_ipload.verdict.conclude import conclude
from pytest_ipload.verdict.result import FailureSummary, FirstFailure, ShardStats, Traceback
from pytest_ipload.verdict.shard_result import ShardResult, cpu_share, merge
from pytest_ipload.verdict.threshold.abort import Abort
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.expression import Threshold

SAMPLES = [sample for number in range(40) for sample in (request("GET /", 10 + number), iteration(12 + number))]


def failure(count: int, user: int = 0, location: str = "test_a.py:3") -> FailureSummary:
    return FailureSummary("ValueError", "no", location, count, FirstFailure(user, 0, None))


def measured_in_windows() -> Measurements:
    measured = Measurements(origin_ns=ORIGIN, judged_from_ns=ORIGIN, planned=True, window_lengths_ns=[500_000_000])
    measured.add(SAMPLES)
    return measured


def full_part() -> ShardResult:
    """One in which nothing is empty."""
    [result] = conclude(part_of(SAMPLES, "p95 < 1ms", "error_rate < 1%")).thresholds[:1]
    return replace(
        part_of(SAMPLES),
        measured=measured_in_windows(),
        thresholds=[ThresholdConfig(Threshold.parse("p95{GET /} < 1ms"), abort_on_fail=True, window=0.5)],
        failures=[failure(3)],
        broken_off="the load was broken off",
        target_readings=[target_readings(notes=["process 7 has ended"])],
        abort=Abort(0, 1.5, result),
        shards=[ShardStats(0, "gw0", "host", 2, 40, 40, 0, 0.3, 0.5, 1)],
        **full_fields("10s:5/s,5s:0/s"),
    )


@pytest.mark.parametrize(
    "part", [part_of([]), part_of(SAMPLES, "p95 < 1s"), full_part()], ids=["empty", "usual", "full"]
)
def test_plain_values_are_lossless_through_json(part: ShardResult) -> None:
    plain = json.loads(json.dumps(part.to_plain()))
    again = ShardResult.from_plain(plain)
    assert again.to_plain() == part.to_plain()
    assert again.profile == part.profile
    assert conclude(again).as_dict() == conclude(part).as_dict()


def _set(*path: Any, to: Any) -> Callable[[Any], None]:
    def damage(plain: Any) -> None:
        for key in path[:-1]:
            plain = plain[key]
        plain[path[-1]] = to

    return damage


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (_set("users", to="2"), r"part\.users: expected a value of type int, got '2'"),
        (_set("users", to=True), r"part\.users: expected a value of type int, got True"),
        (_set("nodeid", to=None), r"part\.nodeid: expected a value of type str"),
        (_set("extra", to=1), "part: expected an object with nodeid, "),
        (_set("profile", "users", to=1.5), r"part\.profile\.users"),
        (_set("profile", "stages", to=[1]), r"part\.profile\.stages: expected 2 values, got 1"),
        (_set("profile", "stages", to={}), r"part\.profile\.stages: expected a value of type list"),
        (_set("profile", "arrivals", to=[]), r"part\.profile\.arrivals"),
        (_set("profile", "origins", to={"users": 5}), r"part\.profile\.origins\.users"),
        (_set("profile", "duration", to=float("nan")), r"part\.profile\.duration"),
        (_set("thresholds", 0, "threshold", to="__import__('os')"), "threshold"),
        (_set("thresholds", 0, "window", to="x"), r"part\.thresholds\[0\]\.window"),
        (_set("lifetimes", to=[[1]]), r"part\.lifetimes\[0\]: expected 2 values, got 1"),
        (_set("measured", to={}), "measurements"),
        (_set("lags", "count", to=-1), "histogram"),
        (_set("failures", 0, "first", to=[]), r"part\.failures\[0\]\.first: expected an object"),
        (_set("abort", to=5), r"part\.abort: expected an object"),
        (_set("abort", "number", to=1), "its thresholds, windows and abort contradict each other"),
        (_set("thresholds", 0, "window", to=2.5), "its thresholds, windows and abort contradict each other"),
        (_set("dropped_iterations", to=None), "its plan and its measurements contradict each other"),
        (_set("measured", "planned", to=False), "expected one per latency in a planned load, and none otherwise"),
    ],
)
def test_anything_else_is_refused_with_its_place(damage: Callable[[Any], None], complaint: str) -> None:
    plain = json.loads(json.dumps(full_part().to_plain()))
    damage(plain)
    with pytest.raises(ValueError, match=complaint):
        ShardResult.from_plain(plain)


def test_what_is_no_object_is_refused() -> None:
    nothing: list[Any] = [None, [], "part", 5, {}]
    for plain in nothing:
        with pytest.raises(ValueError, match="part: expected an object"):
            ShardResult.from_plain(plain)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5000), st.booleans()), max_size=60))
def test_parts_together_are_the_whole(drawn: list[tuple[int, int, bool]]) -> None:
    def samples(of: int | None) -> list[Sample]:
        chosen = [(ms, ok) for shard, ms, ok in drawn if of in (shard, None)]
        return [
            each
            for ms, ok in chosen
            for each in (
                request("GET /", ms, outcome=OK if ok else FAILED),
                iteration(ms, outcome=OK if ok else FAILED),
            )
        ]

    one, two, three = (part_of(samples(shard), "p95 < 1s", "error_rate < 50%") for shard in range(3))
    whole = conclude(part_of(samples(None), "p95 < 1s", "error_rate < 50%", users=6)).as_dict()
    for order in ([one, two, three], [three, one, two]):
        together = conclude(merge(order)).as_dict()
        for field in ("requests", "failed_requests", "iterations", "error_rate", "latency", "thresholds", "verdict"):
            assert together.get(field) == whole.get(field), field
    left, right = merge([merge([one, two]), three]), merge([one, merge([two, three])])
    assert left.measured.to_plain() == right.measured.to_plain()


def test_numbers_add_up() -> None:
    fields: dict[str, Any] = {"planned_iterations": 50, "dropped_iterations": 5, "late_starts": 1, "interrupted": 2}
    one = part_of(SAMPLES, **fields, users_by_source={"127.0.0.1": 2}, pool_size=3, unused_count=2)
    other = part_of([], **fields, users_by_source={"127.0.0.1": 1, "127.0.0.2": 1}, pool_size=3, unused_count=1)
    one = replace(one, connections_by_source={"127.0.0.1": 5})
    other = ShardResult.from_plain(replace(other, connections_by_source={"127.0.0.1": 1, "::1": 2}).to_plain())
    whole = merge([one, other])
    assert (whole.planned_iterations, whole.dropped_iterations, whole.users) == (100, 10, 4)
    assert whole.users_by_source == {"127.0.0.1": 3, "127.0.0.2": 1}
    assert whole.connections_by_source == {"127.0.0.1": 6, "::1": 2}
    assert (whole.pool_size, whole.unused_count, whole.late_starts, whole.interrupted) == (6, 3, 2, 4)
    assert (whole.cpu_ns, whole.lags.count, len(whole.lifetimes)) == (2_000_000_000, 2, 4)
    assert conclude(whole).timeline[0].users == 4


def test_addresses_that_all_parts_share_count_once() -> None:
    pool: dict[str, Any] = {"pool_size": 3, "shares_pool": True}
    one = part_of([], users_by_source={"127.0.0.1": 1}, unused_count=2, unused_first=["127.0.0.2", "127.0.0.3"], **pool)
    other = part_of(
        [], users_by_source={"127.0.0.2": 1}, unused_count=2, unused_first=["127.0.0.1", "127.0.0.3"], **pool
    )
    whole = merge([one, other])
    assert (whole.pool_size, whole.unused_count, whole.unused_first) == (3, 1, ["127.0.0.3"])


def test_segments_that_have_the_same_pool_count_an_address_once() -> None:
    one = part_of([], users_by_source={"::1": 1}, pool_size=3, unused_count=2, unused_first=["::2", "::3"])
    other = part_of([], users_by_source={"::2": 1}, pool_size=3, unused_count=2, unused_first=["::1", "::3"])
    whole = merge([one, other])
    assert (whole.pool_size, whole.unused_count, whole.unused_first) == (3, 1, ["::3"])


def test_those_of_two_hosts_are_not_the_same() -> None:
    pool: dict[str, Any] = {"pool_size": 2, "shares_pool": True, "unused_count": 1}
    one = part_of([], users_by_source={"10.0.0.1": 1}, unused_first=["10.0.0.2"], **pool)
    other = part_of([], users_by_source={"10.9.0.1": 1}, unused_first=["10.9.0.2"], **pool)
    whole = merge([one, other])
    assert (whole.pool_size, whole.unused_count, whole.unused_first) == (4, 2, ["10.0.0.2", "10.9.0.2"])


def test_failures_of_one_kind_and_place_are_one() -> None:
    one = part_of([], failures=[failure(2), failure(1, location="test_a.py:9")])
    other = part_of([], failures=[failure(5, user=3)], traceback=Traceback("ValueError", "E  no"))
    whole = merge([one, other])
    assert [(each.count, each.location, each.first.user) for each in whole.failures] == [
        (7, "test_a.py:3", 0),
        (1, "test_a.py:9", 0),
    ]
    assert whole.traceback == Traceback("ValueError", "E  no")


def test_set_ups_and_the_time_of_users_add_up() -> None:
    one = part_of([], set_ups=SetUps(5, 5, 1), user_time=UserTime(10, 2, 1, 0))
    other = part_of([], set_ups=SetUps(4, 3, 0), user_time=UserTime(8, 1, 0, 1))
    whole = merge([ShardResult.from_plain(one.to_plain()), other])
    assert (whole.set_ups, whole.user_time) == (SetUps(9, 8, 1), UserTime(18, 3, 1, 1))


def test_users_whose_set_up_failed_are_named_together() -> None:
    parts = [part_of([], failures=[replace(failure(2), users=users)]) for users in ([0, 4], [1])]
    assert merge(parts).failures[0].users == [0, 1, 4]


@pytest.mark.parametrize(("missing_ns", "fires"), [(50, False), (51, True)])
def test_users_that_are_missing_for_too_long_make_the_load_invalid(missing_ns: int, fires: bool) -> None:
    result = conclude(part_of([], user_time=UserTime(1000, missing_ns, 0, 1)))
    assert ("users-not-reached" in " ".join(result.generator.notes)) is fires


def test_checks_of_one_name_are_one_with_what_each_part_saw() -> None:
    parts = [part_of([], checks=[fired("late-starts", what)]) for what in ("one", "two", "one")]
    assert [check.what for check in merge(parts).checks] == ["one | two"]


def test_the_rate_is_that_of_all_parts() -> None:
    missed = part_of(SAMPLES, planned_iterations=100, dropped_iterations=50)
    reached = part_of(SAMPLES, planned_iterations=9900, dropped_iterations=0)
    assert conclude(missed).verdict == "invalid"
    assert conclude(merge([missed, reached])).verdict == "passed"


def test_shards_are_listed_by_their_number() -> None:
    def shard(index: int) -> ShardStats:
        return ShardStats(index, f"gw{index}", "host", 2, 1, 1, 0, 0.0, None, None)

    whole = merge([part_of([], shards=[shard(1)]), part_of([], shards=[shard(0)])])
    result = conclude(whole).as_dict()
    assert [each["name"] for each in result["shards"]] == ["gw0", "gw1"]
    assert "shards" not in conclude(part_of([], shards=[shard(0)])).as_dict()


def test_parts_of_different_loads_are_refused() -> None:
    part = part_of([], "p95 < 1s")
    elsewhere = replace(PROFILE, base_url="http://127.0.0.1:1")
    for other, difference in (
        (replace(part, nodeid="test_b.py::test_b"), "nodeid ('test_a.py::test_a' and 'test_b.py::test_b')"),
        (replace(part, profile=replace(PROFILE, users=9)), f"users ({PROFILE.users} and 9)"),
        (replace(part, profile=elsewhere), "base_url (None and 'http://127.0.0.1:1')"),
        (part_of([], "p95 < 2s"), "thresholds ("),
        (replace(part, strict=True), "strict (False and True)"),
    ):
        with pytest.raises(
            ValueError, match=re.escape(f"the shard results of test_a.py::test_a differ in their {difference}")
        ):
            merge([part, other])


def test_the_generators_lateness_is_that_of_all_parts() -> None:
    planned = replace(PROFILE, pacing=(0.1, 0.1))

    def part(*late_ms: int) -> ShardResult:
        samples = [Sample(LATENESS, "", ORIGIN, late * MS) for late in late_ms]
        return part_of([], profile=planned, measured=measurements([request(), *samples], planned=True))

    result = conclude(merge([part(1, 2), ShardResult.from_plain(json.loads(json.dumps(part(30).to_plain())))]))
    assert result.generator.lateness is not None
    assert (result.generator.lateness.count, result.generator.lateness.max_ms) == (3, 30)
    assert (result.requests, result.iterations, [row.name for row in result.by_name]) == (2, 0, ["GET /"])
    assert conclude(part_of([request()])).generator.lateness is None


def test_of_a_load_that_is_over_at_once_nothing_is_said_of_the_processor() -> None:
    assert (cpu_share(5_000_000, 9_999_999), cpu_share(5_000_000, 10_000_000)) == (None, 0.5)


def test_targets_that_several_processes_read_come_once() -> None:
    short, long, other = (
        target_readings(metrics={"cpu": [1.0]}),
        target_readings(metrics={"cpu": [2.0, 3.0]}),
        target_readings(host="elsewhere"),
    )
    whole = merge(part_of(SAMPLES, target_readings=readings) for readings in ([short], [long], [other]))
    assert whole.target_readings == [long, other]
    labels = conclude(whole).timeline[0].targets
    assert labels is not None
    assert set(labels) == {"api (pid 7 on host)", "api (pid 7 on elsewhere)"}
