"""The JSON Schema of reports: all that is reported, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from jsonschema import ValidationError
from support.readers import validator
from support.results import failure, judged, load_result
from support.samples import MS, iteration, request, step
from support.targets import target_readings

from pytest_ipload.base.health_catalogue import fired
from pytest_ipload.cli.main import main
from pytest_ipload.report.files.json_file import SCHEMA, report_of, schema_path
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.stages import Stages
from pytest_ipload.stats.evidence.evidence import Evidence, MessageText
from pytest_ipload.stats.sample import FAILED, SETUP
from pytest_ipload.stats.summary import LatencyStats, RequestStats, SourceStats, StepStats, TimelinePoint
from pytest_ipload.stats.target_readings import TargetReadings
from pytest_ipload.stats.target_summary import MetricStats, TargetStats
from pytest_ipload.verdict.decide import with_comparisons
from pytest_ipload.verdict.explanation import ExplainedLine, Explanation
from pytest_ipload.verdict.regression.comparison import ComparedWith, Comparison
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.regression.rules import judge_history, judge_rounds, without_samples
from pytest_ipload.verdict.result import (
    FailureSummary,
    FiredCheck,
    FirstFailure,
    GeneratorHealth,
    LoadResult,
    PhaseError,
    RoundStats,
    ShardStats,
    TlsHandshakes,
    Traceback,
    UnmeasuredResult,
    UnusedAddresses,
)
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult

DOCUMENT = Path(__file__).parents[2] / "docs" / "json-report.md"
PARTS = {
    "test": LoadResult,
    "unmeasured": UnmeasuredResult,
    "test_error": PhaseError,
    "distribution": LatencyStats,
    "requests": RequestStats,
    "source": SourceStats,
    "tls_handshakes": TlsHandshakes,
    "unused_addresses": UnusedAddresses,
    "step": StepStats,
    "threshold": ThresholdResult,
    "failure": FailureSummary,
    "first_failure": FirstFailure,
    "evidence": Evidence,
    "message": MessageText,
    "traceback": Traceback,
    "second": TimelinePoint,
    "target": TargetStats,
    "target_metric": MetricStats,
    "generator": GeneratorHealth,
    "check": FiredCheck,
    "shard": ShardStats,
    "round": RoundStats,
    "comparison": Comparison,
    "explain": Explanation,
    "explained_line": ExplainedLine,
    "baseline": ComparedWith,
}
OF_SEGMENTS = {"segment", "part"}
"""What a segment's result has besides its fields."""


def definitions() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(schema_path().read_text(encoding="utf-8"))["$defs"]
    return found


def objects(schema: Any) -> Iterator[Mapping[str, Any]]:
    """All descriptions of objects in a schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from objects(each)


def full_result() -> dict[str, Any]:
    """One with nearly everything that a result can have."""
    limit = CompareLimit.parse("p95:10%")
    samples = [
        *(request(f"GET /{number % 2}", number, lateness_ns=MS, source_address="127.0.0.2") for number in range(1, 50)),
        request("GET /0", redirects=1, retries=1, outcome=FAILED),
        request("POST /login")._replace(kind=SETUP),
        step("buy"),
        iteration(),
        iteration(outcome=FAILED),
        iteration(at_ms=-1),
    ]
    result = load_result(
        samples,
        planned=True,
        warmup_s=0.001,
        thresholds=[judged("p95 < 1s", samples), judged("error_rate < 1%", samples), judged("p50{x} < 1s", samples)],
        failures=[failure()],
        unused=UnusedAddresses(1, ["127.0.0.3"]),
        targets=[target_readings(notes=["x"]), TargetReadings("db", "prometheus", "host", url="http://db")],
        generator=GeneratorHealth.of([fired("late-starts", "x")], ["few-ports"], cpu_share=0.5, faults={"x": 1}),
    )
    comparisons = [judge_history(limit, 20, [10]), judge_rounds(limit, [1] * 4, [2] * 4), without_samples(limit, [1])]
    compared = with_comparisons(result, comparisons, ComparedWith(1, ["0001_main.json"], ["x"]))
    line = ExplainedLine("a.py", 3, "f", 0.5, 90, 0.1, 9, 0.3, 0.5, "a.py:9 g", "json: loads", "x = 1", "a.py:3 f")
    explained = replace(compared, explain=Explanation(kind="seconds", note="x:", lines=[line], metric="p95", slow=3))
    return explained.with_objections(["too dear"]).as_dict()


def test_a_full_report_is_as_the_schema_says() -> None:
    report = report_of([full_result(), load_result([]).as_dict()], {"index": 0, "count": 2})
    validator().validate(json.loads(json.dumps(report)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"verdict": "perhaps"}, "'perhaps' is not one of"),
        ({"surprise": 1}, "'surprise' was unexpected"),
        ({"requests": 1.5}, "1.5 is not of type 'integer'"),
        ({"error_rate": 2}, "2 is greater than the maximum of 1"),
        ({"latency": {}}, "'count' is a required property"),
        ({"aborted_s": None}, "None is not of type 'number'"),
        ({"planned_iterations": 3}, "'dropped_iterations' is a dependency"),
        ({"segment": "0/4"}, "'part' is a dependency"),
    ],
)
def test_what_is_reported_otherwise_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        validator().validate(report_of([{**full_result(), **change}]))


@pytest.mark.parametrize("name", PARTS)
def test_every_field_stands_in_the_schema_and_the_other_way_round(name: str) -> None:
    described = set(definitions()[name]["properties"])
    assert described - OF_SEGMENTS == {field.name for field in fields(PARTS[name])}


@pytest.mark.parametrize("name", PARTS)
def test_what_may_be_absent_is_what_may_be_none(name: str) -> None:
    hints = get_type_hints(PARTS[name])
    always = {
        field.name for field in fields(PARTS[name]) if type(None) not in getattr(hints[field.name], "__args__", ())
    }
    assert set(definitions()[name]["required"]) == always


def test_the_profile_has_all_settings() -> None:
    closed = LoadProfile(
        iterations=1,
        total_iterations=1,
        duration=1.0,
        max_rate=1.0,
        start_after=1.0,
        pool="x",
        base_url="x",
        ip_exclusive=True,
        on_exhaustion="wait",
        ip_wait=1.0,
    )
    an_open = LoadProfile(arrival_rate=1.0, stages=Stages(((1.0, 1.0),), True), max_users=1)
    fallback = LoadProfile(pool="x", ip_exclusive=True, on_exhaustion="fallback", fallback_pool="y")
    profiles = [profile.as_dict() for profile in (closed, an_open, fallback)]
    assert set(definitions()["profile"]["properties"]) == {key for profile in profiles for key in profile}
    for profile in profiles:
        validator().validate(report_of([{**full_result(), "profile": json.loads(json.dumps(profile))}]))


def test_all_fields_are_described_and_stand_in_the_document() -> None:
    documented = set(re.findall(r"`(\w+)`", DOCUMENT.read_text(encoding="utf-8")))
    schema = json.loads(schema_path().read_text(encoding="utf-8"))
    for each in objects(schema):
        for name, field in each.get("properties", {}).items():
            target = definitions().get(field.get("$ref", "").rpartition("/")[2], {})
            assert field.get("description") or target.get("description") or field.get("items"), name
            if each is not schema["$defs"]["profile"]:
                assert name in documented


def test_objects_have_no_other_fields_but_where_names_are_anybodys() -> None:
    open_ones = [each for each in objects(definitions()) if each.get("additionalProperties") is not False]
    assert [each["description"].split(",")[0].split(".")[0] for each in open_ones] == [
        "Versions by the name of the package",
        "All that was measured",
        "Where each setting came from",
        "The targets' own numbers by name of the target and of the metric",
        "Values by name of the metric",
        "By name: cpu",
        "Errors on the generator's side by name",
    ]


def test_it_is_in_the_package_under_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    text = (resources.files("pytest_ipload.report") / "schema" / "ipload-report-1.schema.json").read_text("utf-8")
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == text
    schema = json.loads(text)
    assert schema["properties"]["schema"]["const"] == SCHEMA == 1
    assert schema["$id"] == "urn:pytest-ipload:report:1"
