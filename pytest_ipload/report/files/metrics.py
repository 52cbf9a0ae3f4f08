"""The exported metrics: the families, their labels and their buckets, for every output format.

Names and units follow OpenMetrics: base units (seconds, ratios), which end the name. Each sample of a load has the
labels ``test`` (the node id) and ``run`` (a test may run several loads; the first is 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, NamedTuple

from pytest_ipload.base.units import MS_PER_S, US_PER_S
from pytest_ipload.stats.hdr_bins import bin_edges_us
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.verdict.result import UNDECIDED, VERDICTS, is_measured

BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Upper bounds of the buckets of all histograms, in seconds; one without a bound follows."""

COUNTER, HISTOGRAM, INFO = "counter", "histogram", "info"
_GAUGE, _STATES = "gauge", "stateset"
_SUFFIXES = {COUNTER: "_total", INFO: "_info"}

Labels = Mapping[str, str]


class Family(NamedTuple):
    """Metrics of one name, in the terms of OpenMetrics."""

    name: str
    type: str
    help: str
    unit: str = ""

    def sample(self, labels: Labels, value: float) -> Sample:
        """One value of a family that is not a histogram."""
        return Sample(self.name + _SUFFIXES.get(self.type, ""), labels, value)


class Sample(NamedTuple):
    """One line: a whole name, labels, and a value."""

    name: str
    labels: Labels
    value: float


class Metric(NamedTuple):
    """A family and its samples."""

    family: Family
    samples: Sequence[Sample]


BUILD = Family("ipload_build", INFO, "The version of pytest-ipload, and its environment.")
VERDICT = Family("ipload_verdict", _STATES, "The verdict on the load test.")
TEST_ERRORS = Family("ipload_test_errors", _GAUGE, "What pytest reported against the test besides the verdict.")
REQUESTS = Family("ipload_requests", COUNTER, "Requests of iterations, without the warm-up.")
FAILED_REQUESTS = Family("ipload_failed_requests", COUNTER, "Failed requests of iterations, without the warm-up.")
ITERATIONS = Family("ipload_iterations", COUNTER, "Completed iterations, without the warm-up.")
FAILED_ITERATIONS = Family("ipload_failed_iterations", COUNTER, "Failed iterations, without the warm-up.")
DROPPED_ITERATIONS = Family(
    "ipload_dropped_iterations", COUNTER, "Planned iterations of the open model that never started."
)
LATENCY = Family("ipload_latency_seconds", HISTOGRAM, "Latency of the successful requests.", "seconds")
RESPONSE_TIME = Family(
    "ipload_response_time_seconds", HISTOGRAM, "Latency plus lateness caused by the target.", "seconds"
)
TTFE = Family(
    "ipload_time_to_first_event_seconds", HISTOGRAM, "From a request's start to its stream's first event.", "seconds"
)
GAP = Family("ipload_event_gap_seconds", HISTOGRAM, "From one event of a stream to the next.", "seconds")
STEP = Family("ipload_step_duration_seconds", HISTOGRAM, "Duration of the successful runs of steps.", "seconds")
FAILED_STEPS = Family("ipload_failed_steps", COUNTER, "Runs of steps that failed.")
USERS_AT_WORK = Family(
    "ipload_users_at_work", _GAUGE, "Users currently running iterations, until the load test has results."
)
CHECKS = Family("ipload_checks", COUNTER, "Results of the test's own checks.")
FAILED_CHECKS = Family("ipload_failed_checks", COUNTER, "Results of the test's own checks that failed.")
OWN_COUNT = Family("ipload_metric_count", COUNTER, "The test's own counts.")
OWN_GAUGE = Family("ipload_metric_gauge", _GAUGE, "The test's own gauges: the last value.")
OBSERVED = Family("ipload_metric_seconds", HISTOGRAM, "Times that the test observed itself.", "seconds")
USERS = Family("ipload_users", _GAUGE, "Users that were started.")
START_TIME = Family("ipload_start_time_seconds", _GAUGE, "Start of the load, Unix seconds.", "seconds")
DURATION = Family(
    "ipload_duration_seconds",
    _GAUGE,
    "From the start of the load to its planned end, or to the end of its last iteration.",
    "seconds",
)
REQUEST_RATE = Family("ipload_requests_per_second", _GAUGE, "Requests per second of the judged time.")
ITERATION_RATE = Family("ipload_iterations_per_second", _GAUGE, "Iterations per second of the judged time.")
ERROR_RATIO = Family("ipload_error_ratio", _GAUGE, "Share of failed iterations.", "ratio")
REQUEST_ERROR_RATIO = Family("ipload_request_error_ratio", _GAUGE, "Share of failed requests.", "ratio")
THRESHOLD_PASSED = Family("ipload_threshold_passed", _GAUGE, "1 if the threshold held, else 0.")
HEALTHY = Family("ipload_generator_healthy", _GAUGE, "1 if no health check fired except remarks, else 0.")
CHECK = Family("ipload_generator_check_fired", _GAUGE, "1 for each health check that fired.")
CPU_SHARE = Family("ipload_generator_cpu_cores", _GAUGE, "Processor cores used by the generator.", "cores")
TIMER_LAG = Family(
    "ipload_generator_timer_lag_p99_seconds", _GAUGE, "Timer lag of the generator, 99th percentile.", "seconds"
)
TARGET_CPU = Family("ipload_target_cpu_cores", _GAUGE, "Processor cores used by a target.", "cores")
TARGET_MEMORY = Family("ipload_target_resident_memory_bytes", _GAUGE, "Resident memory of a target.", "bytes")
TARGET_VALUE = Family("ipload_target_value", _GAUGE, "Other numbers of a target, such as its threads and open files.")
TARGET_GROWTH = Family("ipload_target_growth_per_hour", _GAUGE, "Growth of a target's metric, as a robust slope.")
FAULTS = Family("ipload_generator_faults", COUNTER, "Errors on the generator's side, by name.")


def bucket_counts(histogram: Histogram) -> list[int]:
    """Cumulative counts: how many values are in each bucket or a lower one; the last is the total.

    A bin belongs to a bucket if its lowest value does, as HdrHistogram counts up to a value. So a bucket has all values
    up to its bound, and may have some that are up to 0.1 % above it.
    """
    counts = [0] * (len(BUCKETS_S) + 1)
    bounds_us = [round(bound * US_PER_S) for bound in BUCKETS_S]
    place = 0
    for index in sorted(histogram.bins):
        lowest_us = bin_edges_us(index)[0]
        while place < len(bounds_us) and lowest_us > bounds_us[place]:
            place += 1
        counts[place] += histogram.bins[index]
    return list(accumulate(counts))


def histogram_samples(family: Family, labels: Labels, histogram: Histogram, total_s: float) -> list[Sample]:
    """The buckets, the number and the sum (in seconds) of a histogram's values."""
    bounds = [*(repr(bound) for bound in BUCKETS_S), "+Inf"]
    counts = bucket_counts(histogram)
    buckets = [
        Sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
        for bound, count in zip(bounds, counts, strict=True)
    ]
    return [
        *buckets,
        Sample(f"{family.name}_count", labels, histogram.count),
        Sample(f"{family.name}_sum", labels, total_s),
    ]


def metrics_of(report: Mapping[str, Any]) -> list[Metric]:
    """All numbers of a report; families without a sample are left out."""
    found: dict[Family, list[Sample]] = {BUILD: [BUILD.sample(_build(report["environment"]), 1)]}
    runs: Counter[str] = Counter()
    for test in report["tests"]:
        runs[test["nodeid"]] += 1
        labels = {"test": test["nodeid"], "run": str(runs[test["nodeid"]])}
        for family, sample in of_test(test, labels):
            found.setdefault(family, []).append(sample)
    return [Metric(family, samples) for family, samples in found.items()]


def _build(environment: Mapping[str, Any]) -> Labels:
    return {
        "version": environment["packages"].get("pytest-ipload", ""),
        "python": environment["python"],
        "implementation": environment["implementation"],
        "platform": environment["platform"],
    }


def of_test(test: Mapping[str, Any], labels: Labels) -> Iterator[tuple[Family, Sample]]:
    """All numbers in the result of one load."""
    for verdict in (each for each in VERDICTS if each != UNDECIDED or test["verdict"] == UNDECIDED):
        yield VERDICT, VERDICT.sample({**labels, VERDICT.name: verdict}, int(test["verdict"] == verdict))
    errors = Counter(each["phase"] for each in test.get("test_errors", ()))
    for phase, count in errors.items():
        yield TEST_ERRORS, TEST_ERRORS.sample({**labels, "phase": phase}, count)
    if not is_measured(test):
        return
    for row in test["by_name"]:
        of_name = {**labels, "name": row["name"]}
        yield REQUESTS, REQUESTS.sample(of_name, row["requests"])
        yield FAILED_REQUESTS, FAILED_REQUESTS.sample(of_name, row["failed_requests"])
        yield from _distribution(LATENCY, of_name, row["latency"])
        for family, key in ((TTFE, "ttfe"), (GAP, "gap")):
            if key in row:
                yield from _distribution(family, of_name, row[key])
    if "response_time" in test:
        yield from _distribution(RESPONSE_TIME, labels, test["response_time"])
    for step in test["steps"]:
        of_step = {**labels, "step": step["name"]}
        yield from _distribution(STEP, of_step, step["latency"])
        yield FAILED_STEPS, FAILED_STEPS.sample(of_step, step["failed"])
    yield from _own(test, labels)
    for family, key in _OF_TEST.items():
        if key in test:
            yield family, family.sample(labels, test[key])
    yield START_TIME, START_TIME.sample(labels, datetime.fromisoformat(test["started_at"]).timestamp())
    yield from _targets(test.get("targets", ()), labels)
    yield from _thresholds(test["thresholds"], labels)
    yield from _generator(test["generator"], labels)


def _own(test: Mapping[str, Any], labels: Labels) -> Iterator[tuple[Family, Sample]]:
    """The test's own checks and metrics."""
    for check in test.get("checks", ()):
        of_check = {**labels, "check": check["name"]}
        yield CHECKS, CHECKS.sample(of_check, check["passed"] + check["failed"])
        yield FAILED_CHECKS, FAILED_CHECKS.sample(of_check, check["failed"])
    for metric in test.get("metrics", ()):
        of_metric = {**labels, "metric": metric["name"]}
        match metric["kind"]:
            case "count":
                yield OWN_COUNT, OWN_COUNT.sample(of_metric, metric["count"])
            case "gauge":
                yield OWN_GAUGE, OWN_GAUGE.sample(of_metric, metric["last"])
            case _:
                yield from _distribution(OBSERVED, of_metric, metric)


_OF_TEST = {
    ITERATIONS: "iterations",
    FAILED_ITERATIONS: "failed_iterations",
    DROPPED_ITERATIONS: "dropped_iterations",
    USERS: "users",
    DURATION: "duration_s",
    REQUEST_RATE: "rps",
    ITERATION_RATE: "iterations_per_second",
    ERROR_RATIO: "error_rate",
    REQUEST_ERROR_RATIO: "request_error_rate",
}


def _distribution(family: Family, labels: Labels, latency: Mapping[str, Any]) -> Iterator[tuple[Family, Sample]]:
    count = latency["count"]
    histogram = Histogram.decode(latency["histogram"]) if count else Histogram()
    total_s = round(latency["mean_ms"] * count / MS_PER_S, 9) if count else 0.0
    for sample in histogram_samples(family, labels, histogram, total_s):
        yield family, sample


def _targets(targets: Iterable[Mapping[str, Any]], labels: Labels) -> Iterator[tuple[Family, Sample]]:
    """Statistics of each target's metrics; a target is named by its name and place."""
    for target in targets:
        place = target.get("url") or f"pid {target['pid']} on {target['host']}"
        of_target = {**labels, "target": target["name"], "place": place}
        for metric, stats in target["metrics"].items():
            family, scale = _TARGET_FAMILIES.get(metric, (TARGET_VALUE, 1))
            own = of_target if family is not TARGET_VALUE else {**of_target, "metric": metric}
            for statistic in ("mean", "max", "min", "last"):
                yield family, family.sample({**own, "statistic": statistic}, stats[statistic] / scale)
            if "growth_per_hour" in stats:
                growth = stats["growth_per_hour"] / scale
                yield TARGET_GROWTH, TARGET_GROWTH.sample({**of_target, "metric": metric}, growth)


_TARGET_FAMILIES = {"cpu": (TARGET_CPU, 100), "rss": (TARGET_MEMORY, 1)}


def _thresholds(thresholds: Iterable[Mapping[str, Any]], labels: Labels) -> Iterator[tuple[Family, Sample]]:
    """A threshold that was given twice is exported once: it passed if both did."""
    passed: dict[tuple[tuple[str, str], ...], bool] = {}
    for threshold in thresholds:
        more = {key: f"{threshold[key]:g}" for key in ("window_s", "confidence") if key in threshold}
        own = {"threshold": threshold["expression"], "severity": threshold["severity"], **more}
        key = tuple(own.items())
        passed[key] = passed.get(key, True) and threshold["passed"]
    for key, holds in passed.items():
        yield THRESHOLD_PASSED, THRESHOLD_PASSED.sample({**labels, **dict(key)}, int(holds))


def _generator(generator: Mapping[str, Any], labels: Labels) -> Iterator[tuple[Family, Sample]]:
    yield HEALTHY, HEALTHY.sample(labels, int(generator["healthy"]))
    for check in generator["checks"]:
        yield CHECK, CHECK.sample({**labels, "check": check["name"], "severity": check["severity"]}, 1)
    if "cpu_share" in generator:
        yield CPU_SHARE, CPU_SHARE.sample(labels, generator["cpu_share"])
    if "timer_lag_p99_ms" in generator:
        yield TIMER_LAG, TIMER_LAG.sample(labels, round(generator["timer_lag_p99_ms"] / MS_PER_S, 9))
    for fault, count in generator["faults"].items():
        yield FAULTS, FAULTS.sample({**labels, "fault": fault}, count)
