from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.results import HEALTHY, judged, load_result
from support.samples import request

from pytest_ipload.base.health_catalogue import fired
from pytest_ipload.verdict.decide import compared, with_comparisons
from pytest_ipload.verdict.regression.comparison import Compared, ComparedWith, Comparison
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.regression.rules import judge_history, judge_rounds, without_samples
from pytest_ipload.verdict.result import GeneratorHealth, LoadResult

SAMPLES = [request()] * 10
SATURATED = GeneratorHealth.of([fired("late-starts", "x"), fired("generator-saturated", "it was busy")])


def comparison(limit: str, current: float, saved: float) -> Comparison:
    return judge_history(CompareLimit.parse(limit), current, [saved] * 8)


def result(**more: Any) -> LoadResult:
    return load_result(SAMPLES, **more)


WORSE, BETTER = comparison("p95:10%", 200, 100), comparison("p95:10%", 50, 100)


@pytest.mark.parametrize("comparisons", [[], [BETTER], [judge_rounds(CompareLimit.parse("p95:10%"), [200], [100])]])
def test_without_a_regression_the_verdict_stays(comparisons: list[Comparison]) -> None:
    for verdict in ("passed", "failed", "invalid"):
        judged_so = with_comparisons(result(verdict=verdict, reason="why"), comparisons)
        assert (judged_so.verdict, judged_so.reason) == (verdict, "why")
        assert judged_so.comparisons == comparisons


def test_a_regression_fails_and_says_so_after_the_thresholds() -> None:
    rate = comparison("rps:10%", 1, 2)
    failed = with_comparisons(result(), [BETTER, WORSE, rate])
    assert (failed.verdict, failed.reason) == ("failed", f"{WORSE.message}; {rate.message}")
    threshold = judged("max < 1ms", SAMPLES)
    failed = with_comparisons(result(verdict="failed", reason=threshold.message, thresholds=[threshold]), [WORSE])
    assert failed.reason == f"{threshold.message}; {WORSE.message}"


def test_an_invalid_measurement_stays_invalid() -> None:
    stays = with_comparisons(result(verdict="invalid", reason="ports ran out"), [WORSE])
    assert (stays.verdict, stays.reason) == ("invalid", "ports ran out")


@pytest.mark.parametrize(
    ("regression", "verdict"),
    [
        (WORSE, "invalid"),
        (comparison("error_rate:10%", 1, 0), "failed"),
        (comparison("rps:10%", 1, 100), "invalid"),
        (without_samples(CompareLimit.parse("p95:10%"), [100]), "failed"),
    ],
)
def test_a_latency_that_regressed_under_a_saturated_generator_says_nothing(
    regression: Comparison, verdict: str
) -> None:
    said = with_comparisons(result(generator=SATURATED), [regression])
    assert said.verdict == verdict
    if verdict == "invalid":
        assert said.reason == f"{SATURATED.notes[1]}; {regression.message}"
    assert with_comparisons(result(generator=HEALTHY), [regression]).verdict == "failed"


def test_events_that_were_read_late_excuse_a_regression_of_gaps_only() -> None:
    late = GeneratorHealth.of([fired("events-read-late", "x")])
    gap = comparison("gap.p99:10%", 200, 100)
    verdicts = [with_comparisons(result(generator=late), [each]).verdict for each in (gap, WORSE)]
    assert verdicts == ["invalid", "failed"]


def test_what_is_whole_and_valid_is_compared() -> None:
    seen = []

    def compare(plain: Any) -> Compared:
        seen.append(plain)
        return Compared([WORSE], ComparedWith(1, ["0001_main.json"], []))

    assert compared(result(), compare).verdict == "failed"
    assert compared(result(), compare).baseline == ComparedWith(1, ["0001_main.json"], [])
    assert seen == [result().as_dict()] * 2
    for other in (result(verdict="invalid"), replace(result(), aborted_s=1.0)):
        assert compared(other, compare) == other
    assert len(seen) == 2
