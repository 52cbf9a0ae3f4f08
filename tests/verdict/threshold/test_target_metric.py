"""Thresholds on the targets' own numbers: grammar, values, and what a flaw of the generator means for them."""

from __future__ import annotations

from typing import Any

import pytest
from support.parts import part_of
from support.samples import iteration, measurements, request
from support.targets import CPU, RSS, target_readings

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.health_catalogue import fired
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.target_readings import TargetReadings
from pytest_ipload.stats.target_summary import judged_targets
from pytest_ipload.verdict.conclude import conclude
from pytest_ipload.verdict.result import LoadResult
from pytest_ipload.verdict.threshold.abort import abort_reason
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult, evaluate
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.measure import Scope

SAMPLES = [request("GET /", 10), iteration(12)]


@pytest.mark.parametrize(
    ("text", "normal", "unit", "limit"),
    [
        ("target.cpu.mean{api} < 80%", "target.cpu.mean{api} < 80%", "%", 80),
        ("target.cpu.p(95){api}<400 %", "target.cpu.p95{api} < 400%", "%", 400),
        ("target.rss.max{api} < 500MB", "target.rss.max{api} < 500MB", "bytes", 500e6),
        ("target.rss.max < 512 MiB", "target.rss.max < 512MiB", "bytes", 512 * 2**20),
        ("target.rss.last{name:api} <= 1.5 GB", "target.rss.last{api} <= 1.5GB", "bytes", 1.5e9),
        ("target.rss.growth{api} < 5 MB / h", "target.rss.growth{api} < 5MB/h", "bytes/h", 5e6),
        ("target.rss.growth{api} < 1kB/s", "target.rss.growth{api} < 1kB/s", "bytes/h", 3.6e6),
        ("target.cpu.growth{api} < 10%/m", "target.cpu.growth{api} < 10%/m", "%/h", 600),
        ("target.threads.max{a*} <= 40", "target.threads.max{a*} <= 40", "number", 40),
        ("target.files.growth{api} < 10/h", "target.files.growth{api} < 10/h", "number/h", 10),
        ("target.queue_len.median{db} < 2.5", "target.queue_len.median{db} < 2.5", "number", 2.5),
    ],
)
def test_an_expression_has_a_normal_form_that_parses_to_the_same(
    text: str, normal: str, unit: str, limit: float
) -> None:
    threshold = Threshold.parse(text)
    assert (threshold.text, threshold.unit, threshold.limit) == (normal, unit, limit)
    assert Threshold.parse(normal) == threshold


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("target.cpu < 80%", "'target.cpu' is not a metric: it has no statistic; the metrics of a target are"),
        ("target < 80%", "it has no statistic"),
        ("target.cpu.avg{api} < 80%", "'avg' is not a statistic"),
        ("target.c-p-u.max{api} < 80", "'c-p-u' is not the name of a metric"),
        ("target.cpu.p100{api} < 80%", "must be below 100"),
        ("target.cpu.mean{api} < 80", "is not a percentage"),
        ("target.cpu.mean{api} < 0.8s", "is not a percentage"),
        ("target.rss.max{api} < 500", "'500' is not a size; a size has a number and a unit, as in 64kB, 500MB, 512MiB"),
        ("target.rss.max{api} < 500mb", "is not a size"),
        ("target.rss.growth{api} < 5MB", "'5MB' is not a growth: it has no time, as in 5MB/h"),
        ("target.rss.growth{api} < 5MB/d", "as in 5MB/h"),
        ("target.rss.growth{api} < 5/h", "'5' is not a size"),
        ("target.threads.max{api} < 10%", "is not a plain number"),
        ("target.cpu.mean{step:a} < 80%", "target.cpu belongs to a target; got {step:a}; write its name"),
        ("target.cpu.mean{} < 80%", "is empty"),
    ],
)
def test_anything_else_is_refused(text: str, says: str) -> None:
    with pytest.raises(SettingError) as refused:
        Threshold.parse(text)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "settings", "says"),
    [
        ("target.cpu.max < 80%", {"window": 5.0}, "over the whole load: remove window"),
        ("target.cpu.mean < 80%", {"abort_on_fail": True}, "only max and min can abort a load: remove abort_on_fail"),
        ("target.cpu.max < 80%", {"confidence": 0.9}, "there is no interval for target.cpu.max"),
        ("target.cpu.p95 < 80%", {"confidence": 0.9}, "there is no interval for target.cpu.p95"),
    ],
)
def test_settings_that_do_not_fit_are_refused(text: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        ThresholdConfig(Threshold.parse(text), **settings)


def test_a_growth_may_be_judged_with_another_confidence() -> None:
    assert ThresholdConfig(Threshold.parse("target.rss.growth < 1MB/h"), confidence=0.9).confidence == 0.9


def result_of(*thresholds: str, targets: list[TargetReadings] | None = None, **fields: Any) -> LoadResult:
    part = part_of(SAMPLES, *thresholds, target_readings=[target_readings()] if targets is None else targets, **fields)
    return conclude(part)


def judged(text: str, targets: list[TargetReadings] | None = None) -> ThresholdResult:
    return result_of(text, targets=targets).thresholds[0]


@pytest.mark.parametrize(
    ("expression", "measured"),
    [
        ("target.cpu.mean{api} < 80%", sum(CPU) / 10),
        ("target.cpu.max{api} < 80%", 100),
        ("target.cpu.min{api} < 80%", 50),
        ("target.cpu.last{api} < 80%", 70),
        ("target.cpu.p90{api} < 80%", 90),
        ("target.cpu.median{api} < 80%", 70),
        ("target.rss.max < 80MB", RSS[-1]),
        ("target.rss.growth{a*} < 8MB/h", 3.6e9),
    ],
)
def test_the_values_of_a_target(expression: str, measured: float) -> None:
    result = judged(expression)
    assert result.measured == pytest.approx(measured)
    assert result.samples == 10
    assert result.passed is (measured < result.limit)


def test_only_the_judged_time_counts() -> None:
    warm = result_of("target.cpu.max{api} < 80%", profile=LoadProfile(users=4, duration=10.0, warmup=6.0))
    assert warm.thresholds[0].measured == 70
    assert warm.targets is not None
    assert warm.targets[0].metrics["cpu"].samples == 4


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("target.cpu.mean{api} < 60%", "target.cpu.mean{api} 73 %, limit < 60 % (10 readings)"),
        ("target.rss.max{api} < 64MiB", "target.rss.max{api} 109 MB, limit < 67.1 MB (10 readings)"),
        (
            "target.rss.growth{api} < 5MB/h",
            "target.rss.growth{api} 3.60 GB/h, limit < 5.00 MB/h "
            "(10 readings, 95 % CI 3.60-3.60 GB/h assuming independent readings)",
        ),
        ("target.queue.max{api} < 3", "target.queue.max{api}: no samples, limit < 3; 'api': measured is cpu, rss"),
        ("target.cpu.max{apy} < 3%", "target.cpu.max{apy}: no samples, limit < 3 %; targets seen: 'api'"),
    ],
)
def test_the_message_says_what_was_measured(expression: str, message: str) -> None:
    result = judged(expression)
    assert not result.passed
    assert result.message == message


def test_without_any_target_the_message_says_how_to_give_one() -> None:
    assert "no target is measured: call ipload_target in a fixture" in judged("target.cpu.max < 3%", []).message


def test_of_several_targets_the_worst_counts_and_is_named() -> None:
    targets = [target_readings(metrics={"cpu": [value] * 3}) for value in (10.0, 90.0)]
    targets[1] = target_readings("db", {"cpu": [90.0] * 3})
    assert judged("target.cpu.max < 80%", targets).message == ("target.cpu.max 90 % of 'db', limit < 80 % (3 readings)")
    assert judged("target.cpu.max > 20%", targets).measured == 10
    assert judged("target.cpu.max{api} < 80%", targets).passed
    assert not judged("target.cpu.max < 99%", [*targets, target_readings("web", {})]).passed


@pytest.mark.parametrize(
    ("expression", "is_aborted"),
    [("target.cpu.max < 90%", True), ("target.cpu.max < 101%", False), ("target.cpu.min > 60%", True),
     ("target.cpu.max > 101%", False), ("target.rss.max{b*} < 1MB", False)],
)  # fmt: skip
def test_an_extreme_that_is_beyond_its_limit_aborts_the_load(expression: str, is_aborted: bool) -> None:
    config = ThresholdConfig(Threshold.parse(expression), abort_on_fail=True)
    scope = Scope(seconds=10.0, targets=judged_targets([target_readings()], 0.0, 10.0))
    assert (abort_reason(config, measurements(SAMPLES), scope) is not None) is is_aborted


@pytest.mark.parametrize(
    ("values", "undecided", "uncertain"),
    [([1e8, 2e8, 3e8], True, True), ([1e8, 3e8, 2e8, 1e8, 3e8, 1e8], True, False), ([1e8] * 6, False, False)],
)
def test_a_growth_is_decided_by_its_interval(values: list[float], undecided: bool, uncertain: bool) -> None:
    result = judged("target.rss.growth{api} < 5MB/h", [target_readings(metrics={"rss": values})])
    assert (result.passed, result.undecided, result.uncertain) == (True, undecided, uncertain)


@pytest.mark.parametrize("values", [[1e8, 1e8], [1e8, 2e8, 3e8, 4e8]], ids=["within-the-limit", "beyond-it"])
def test_a_growth_of_fewer_than_five_readings_says_so_and_is_red_in_a_strict_session(values: list[float]) -> None:
    config = ThresholdConfig(Threshold.parse("target.rss.growth{api} < 5MB/h"))
    scope = Scope(seconds=10.0, targets=judged_targets([target_readings(metrics={"rss": values})], 0.0, 10.0))
    usual, strict = (evaluate(config, measurements(SAMPLES), scope, strict=is_strict) for is_strict in (False, True))
    assert (usual.passed, usual.undecided, strict.passed, strict.undecided) == (True, True, False, True)
    why = f"{len(values)} readings, uncertain: the load is too short, growth needs 5 readings"
    assert usual.message.endswith(f": undecided ({why})")
    assert strict.message.endswith(f": undecided, a failure in a strict session ({why})")


@pytest.mark.parametrize(
    ("expression", "check", "verdict"),
    [
        # A target that had less to do uses less: beyond an upper limit it has failed all the same.
        ("target.cpu.max < 80%", "rate-not-reached", "failed"),
        ("target.cpu.max < 200%", "rate-not-reached", "invalid"),
        ("target.cpu.max < 80%", "generator-saturated", "failed"),
        ("target.cpu.max > 200%", "generator-saturated", "invalid"),
        ("target.cpu.max < 200%", "generator-saturated", "passed"),
    ],
)
def test_a_flaw_of_the_generator_can_only_have_lowered_them(expression: str, check: str, verdict: str) -> None:
    assert result_of(expression, checks=[fired(check, "x")]).verdict == verdict
