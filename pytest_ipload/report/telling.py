"""Which single request says most about why a test is red. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_ipload.stats.evidence.evidence import FAILED_REQUEST
from pytest_ipload.stats.series_table import matches
from pytest_ipload.stats.summary import PlainResult
from pytest_ipload.verdict.threshold.expression import Threshold

_Evidence = Mapping[str, Any]


def is_red(result: PlainResult) -> bool:
    """Whether the test did not pass."""
    return result["verdict"] not in ("passed", "undecided") or bool(result.get("test_errors"))


def first_failed(result: PlainResult) -> Mapping[str, Any] | None:
    """The first threshold that failed the test."""
    failed = (each for each in result.get("thresholds", ()) if not each["passed"] and each["severity"] == "fail")
    return next(failed, None)


def telling(result: PlainResult) -> _Evidence | None:
    """The evidence that says most about a red test.

    Where a latency failed first, it is the slowest request that this is about; else the first failed request of the
    most frequent failure, or the slowest of all.
    """
    found: Sequence[_Evidence] = result.get("evidence", ())
    failed = [each for each in found if each["kind"] == FAILED_REQUEST]
    slow = [each for each in found if each["kind"] != FAILED_REQUEST]
    limited = [each for each in slow if is_about(result, each)]
    if limited or not failed:
        return max(limited or slow, key=lambda each: float(each["latency_ms"]), default=None)
    return min(failed, key=lambda each: _rank(each, result))


def is_about(result: PlainResult, evidence: _Evidence) -> bool:
    """Whether the threshold that failed first limits the latency of this request, among others."""
    threshold = first_failed(result)
    if threshold is None or threshold["unit"] != "ms":
        return False
    selector = Threshold.parse(threshold["expression"]).selector
    if selector is None or selector.kind == "name":
        return selector is None or matches(selector.pattern, evidence["name"])
    return selector.kind != "metric"


def request_before(failure: Mapping[str, Any], result: PlainResult) -> str:
    """The error of the request that had failed before the first iteration of a group raised, if it was kept."""
    kept = [each for each in result.get("evidence", ()) if each["kind"] == FAILED_REQUEST and _is_of(each, failure)]
    error = str(min(kept, key=lambda each: each["t_s"]).get("error", "")) if kept else ""
    return "" if error.startswith(failure["type"]) else error


def _rank(failed: _Evidence, result: PlainResult) -> tuple[bool, bool, bool, float]:
    """Those of the most frequent failure come first, those of set-ups last."""
    groups = result.get("failures", ())
    is_first = bool(groups) and _is_of(failed, groups[0])
    is_of_kind = bool(groups) and str(failed.get("error", "")).startswith(groups[0]["type"])
    return not is_first, not is_of_kind, "iteration" not in failed, failed["t_s"]


def _is_of(evidence: _Evidence, failure: Mapping[str, Any]) -> bool:
    """Whether a request was made in the first iteration of a group of failures."""
    first = failure["first"]
    return (evidence["user"], evidence.get("iteration")) == (first["user"], first.get("iteration"))
