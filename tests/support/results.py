"""Results of loads made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from support.samples import ORIGIN, SECOND, measurements

from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.sample import Sample
from pytest_ipload.stats.summary import Frame, summarise
from pytest_ipload.stats.target_readings import TargetReadings
from pytest_ipload.stats.target_summary import judged_targets
from pytest_ipload.verdict.explanation import ExplainedLine, Explanation, line_text
from pytest_ipload.verdict.result import FailureSummary, FirstFailure, GeneratorHealth, LoadResult, UnusedAddresses
from pytest_ipload.verdict.threshold.config import FAIL, ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult, evaluate
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.measure import Scope

HEALTHY = GeneratorHealth(cpu_share=0.5, timer_lag_p99_ms=0.25)


def judged(expression: str, samples: Sequence[Sample], severity: str = FAIL) -> ThresholdResult:
    """A threshold over the samples of ten seconds."""
    return evaluate(ThresholdConfig(Threshold.parse(expression), severity), measurements(samples), Scope(seconds=10.0))


def failure(
    kind: str = "HTTP 503", message: str = "no", location: str = "test_a.py:3", count: int = 1
) -> FailureSummary:
    """A group of failed iterations."""
    return FailureSummary(kind, message, location, count, FirstFailure(0, 0, None))


def load_result(
    samples: Sequence[Sample],
    *,
    nodeid: str = "test_a.py::test_a",
    verdict: str = "passed",
    reason: str = "",
    planned: bool = False,
    warmup_s: float = 0.0,
    seconds: float = 10.0,
    users_by_source: dict[str, int] | None = None,
    thresholds: Sequence[ThresholdResult] = (),
    failures: Sequence[FailureSummary] = (),
    unused: UnusedAddresses | None = None,
    targets: Sequence[TargetReadings] = (),
    generator: GeneratorHealth = HEALTHY,
) -> LoadResult:
    """A result with the numbers that the samples give."""
    ended = ORIGIN + round(seconds * SECOND)
    frame = Frame(ORIGIN, ended, warmup_s, 1, users_by_source or {}, [(ORIGIN, ended)], targets=targets)
    measured = measurements(samples, warmup_ms=round(warmup_s * 1000), planned=planned)
    return LoadResult(
        nodeid=nodeid,
        verdict=verdict,
        reason=reason,
        profile=LoadProfile(duration=seconds or None, origins={"duration": "marker"}).as_dict(),
        started_at="2025-01-01T00:00:00.000+00:00",
        thresholds=thresholds,
        failures=failures,
        unused_addresses=unused,
        targets=[target.stats() for target in judged_targets(targets, warmup_s, seconds)] or None,
        generator=generator,
        **summarise(measured, frame),
    )


def explained(kind: str = "seconds") -> Explanation:
    """What the stacks of a target said."""
    line = ExplainedLine("shop/cart.py", 30, "price_of", 0.75, 90, source="time.sleep(1)", called_by="app.py:3 f")
    found = [line, ExplainedLine("werkzeug", None, "", 0.2, 24)]
    if kind != "share":
        found = [replace(each, share_before=0.05, samples_before=7, growth_low=0.6, growth_high=0.7) for each in found]
    lines = [replace(each, message=line_text(each)) for each in found]
    return Explanation(kind=kind, note="share of the time in 3 slow seconds:", lines=lines, samples=120)
