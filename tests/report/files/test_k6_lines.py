"""Lines of k6's JSON output."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from support.results import load_result
from support.samples import MS, ORIGIN, SECOND, request

from pytest_ipload.report.files.k6_lines import METRICS, K6Lines
from pytest_ipload.stats.sample import FAILED, FAULT, ITERATION, LATENESS, OK, REQUEST, SETUP, STEP
from pytest_ipload.stats.spool.session_spools import SpoolFacts
from pytest_ipload.stats.spool.spool_format import UNKNOWN, Batch, Opening, SpoolKey

NEW_YEAR = 1_767_225_600 * SECOND
"""2026-01-01 in nanoseconds since 1970."""
FACTS = SpoolFacts("test_a.py::test_a", NEW_YEAR - ORIGIN, ORIGIN, False)


def batch(key: SpoolKey, *rows: tuple[float, float], late: Sequence[float] | None = None) -> Batch:
    """Samples by their starts, in milliseconds since the load's, and latencies."""
    return Batch(
        key,
        array("q", [ORIGIN + round(at_ms * MS) for at_ms, _ in rows]),
        array("q", [round(latency_ms * MS) for _, latency_ms in rows]),
        None if late is None else array("q", [round(each * MS) for each in late]),
    )


def parsed(texts: Iterable[str], kind: str = "Point") -> list[tuple[str, dict[str, Any]]]:
    """Metric and data of all lines of this type."""
    lines = [json.loads(line) for line in "".join(texts).splitlines()]
    assert all(set(line) == {"metric", "type", "data"} for line in lines)
    return [(line["metric"], line["data"]) for line in lines if line["type"] == kind]


def points(*batches: Batch, facts: SpoolFacts = FACTS) -> list[tuple[str, Any, dict[str, str]]]:
    """Metric, value and tags of all points."""
    lines = K6Lines()
    found = [point for each in batches for point in parsed(lines.of_batch(facts, each))]
    return [(metric, data["value"], data["tags"]) for metric, data in found]


def test_a_line_is_as_k6_writes_it() -> None:
    key = SpoolKey(REQUEST, "GET /cart", "10.0.0.5", 200, OK)
    text = "".join(K6Lines().of_batch(FACTS, batch(key, (0, 12.3456), (999.9999, 0.000001))))
    tags = (
        '{"name":"GET /cart","status":"200","method":"GET","expected_response":"true",'
        '"scenario":"test_a.py::test_a","source_address":"10.0.0.5"}'
    )
    first, second = "2026-01-01T00:00:00.012345600Z", "2026-01-01T00:00:00.999999901Z"

    def declared(metric: str, kind: str, contains: str = "default") -> str:
        data = f'"name":"{metric}","type":"{kind}","contains":"{contains}","thresholds":[],"submetrics":null'
        return f'{{"metric":"{metric}","type":"Metric","data":{{{data}}}}}\n'

    def line(metric: str, time: str, value: str) -> str:
        return f'{{"metric":"{metric}","type":"Point","data":{{"time":"{time}","value":{value},"tags":{tags}}}}}\n'

    assert text == (
        declared("http_reqs", "counter")
        + line("http_reqs", first, "1")
        + line("http_reqs", second, "1")
        + declared("http_req_duration", "trend", "time")
        + line("http_req_duration", first, "12.345600")
        + line("http_req_duration", second, "0.000001")
        + declared("http_req_failed", "rate")
        + line("http_req_failed", first, "0")
        + line("http_req_failed", second, "0")
        + "".join(
            declared(metric, "trend", "time") + line(metric, first, "0") + line(metric, second, "0")
            for metric in ("http_req_blocked", "http_req_connecting", "http_req_tls_handshaking")
        )
    )


def opened(
    key: SpoolKey, *rows: tuple[float, float, float, float, float], late: Sequence[float] | None = None
) -> Batch:
    """Samples that opened connections, by their starts, latencies, connecting, TLS and first byte, in milliseconds."""
    made = batch(key, *((at_ms, latency_ms) for at_ms, latency_ms, *_ in rows), late=late or [0] * len(rows))
    columns = zip(*(row[2:] for row in rows), strict=True)
    times = [array("q", [UNKNOWN if each < 0 else round(each * MS) for each in column]) for column in columns]
    return made._replace(opening=Opening(*times))


GET = SpoolKey(REQUEST, "GET /", "10.0.0.5", 200, OK)
UNCERTAIN = -1


def values(found: Sequence[tuple[str, Any, dict[str, str]]]) -> dict[str, list[Any]]:
    """By metric, without those that every request has."""
    by_metric: dict[str, list[Any]] = {}
    for metric, value, _ in found:
        by_metric.setdefault(metric.removeprefix("http_req_"), []).append(value)
    return {metric: each for metric, each in by_metric.items() if metric not in ("http_reqs", "failed")}


def test_a_duration_is_without_connecting_and_tls_as_in_k6() -> None:
    found = values(points(opened(GET, (0, 100, 20, 30, 70), (5, 50, 10, 0, 45))))
    assert found == {
        "duration": [50, 40],
        "blocked": [50, 10],
        "connecting": [20, 10],
        "tls_handshaking": [30, 0],
        "waiting": [20, 35],
        "receiving": [30, 5],
    }
    parts = zip(found["duration"], found["connecting"], found["tls_handshaking"], strict=True)
    assert [sum(each) for each in parts] == [100, 50]  # the latencies
    assert [sum(each) for each in zip(found["waiting"], found["receiving"], strict=True)] == found["duration"]


def test_times_that_were_not_measured_are_absent() -> None:
    rows = [(0, 100, UNCERTAIN, UNCERTAIN, 70), (5, 50, 10, 5, UNCERTAIN), (6, 8, 1, 2, 4)]
    assert values(points(opened(GET, *rows))) == {
        "duration": [100, 35, 5],
        "blocked": [15, 3],
        "connecting": [10, 1],
        "tls_handshaking": [5, 2],
        "waiting": [1],
        "receiving": [4],
    }
    lines = parsed(K6Lines().of_batch(FACTS, opened(GET, *rows)))
    assert [data["time"] for metric, data in lines if metric == "http_req_waiting"] == [
        "2026-01-01T00:00:00.014000000Z"
    ]


@pytest.mark.parametrize(
    "key",
    [
        SpoolKey(REQUEST, "PING", "10.0.0.5", 0, OK),  # another protocol, which may have connected
        GET._replace(source_address=None),  # an adapter of the user's own
        GET._replace(status=0, outcome=FAILED, detail="ReadTimeout"),
        SpoolKey(STEP, "buy", "10.0.0.5", 0, OK),
    ],
)
def test_only_a_reply_over_a_kept_connection_is_known_to_have_taken_no_time_to_connect(key: SpoolKey) -> None:
    assert set(values(points(batch(key, (0, 10))))) <= {"duration", "group_duration"}


def test_a_connection_that_was_opened_in_the_warm_up_says_so() -> None:
    facts = FACTS._replace(judged_from_ns=ORIGIN + 100 * MS)
    found = points(opened(GET, (0, 100, 20, 30, 70), (200, 50, 10, 0, 45), late=(1, 2)), facts=facts)
    connecting = [(value, tags.get("phase")) for metric, value, tags in found if metric == "http_req_connecting"]
    assert connecting == [(20, "warmup"), (10, None)]


SCENARIO = {"scenario": "test_a.py::test_a"}


@pytest.mark.parametrize(
    ("key", "metrics", "tags"),
    [
        (
            SpoolKey(REQUEST, "POST /orders", None, 503, FAILED, "HTTP 503"),
            [("http_reqs", 1), ("http_req_duration", 10.0), ("http_req_failed", 1)],
            {
                "name": "POST /orders",
                "status": "503",
                "method": "POST",
                "expected_response": "false",
                "error": "HTTP 503",
            },
        ),
        (
            SpoolKey(REQUEST, "PING", None, 0, OK),  # another protocol: no status, no method
            [("http_reqs", 1), ("http_req_duration", 10.0), ("http_req_failed", 0)],
            {"name": "PING", "expected_response": "true"},
        ),
        (
            SpoolKey(REQUEST, "GET cart", None, 200, OK),  # a name that somebody gave: nothing is known of the method
            [("http_reqs", 1), ("http_req_duration", 10.0), ("http_req_failed", 0)],
            {"name": "GET cart", "status": "200", "expected_response": "true"},
        ),
        (
            SpoolKey(SETUP, "POST /login", None, 200, OK),
            [("http_reqs", 1), ("http_req_duration", 10.0), ("http_req_failed", 0)],
            {"name": "POST /login", "status": "200", "method": "POST", "expected_response": "true", "phase": "setup"},
        ),
        (
            SpoolKey(REQUEST, "", None, 0, FAULT, "ports-exhausted"),
            [("ipload_faults", 1)],
            {"fault": "ports-exhausted"},
        ),
        (SpoolKey(STEP, "buy", None, 0, OK), [("group_duration", 10.0)], {"group": "::buy", "outcome": "ok"}),
        (
            SpoolKey(STEP, "buy", None, 0, FAILED, "E"),
            [("group_duration", 10.0)],
            {"group": "::buy", "outcome": "failed"},
        ),
        (SpoolKey(ITERATION, "", None, 0, OK), [("iterations", 1), ("iteration_duration", 10.0)], {"outcome": "ok"}),
        (SpoolKey(LATENESS, "", None, 0, OK), [("ipload_generator_lateness", 10.0)], {}),
    ],
)
def test_what_each_kind_of_sample_becomes(key: SpoolKey, metrics: list[tuple[str, Any]], tags: dict[str, str]) -> None:
    found = points(batch(key, (5, 10)))
    assert [(metric, value) for metric, value, _ in found] == metrics
    assert [each for _, _, each in found] == [{**tags, **SCENARIO}] * len(metrics)


def test_what_began_in_the_warm_up_says_so() -> None:
    facts = FACTS._replace(judged_from_ns=ORIGIN + 100 * MS)
    step = SpoolKey(STEP, "buy", None, 0, OK)
    found = points(batch(step, (99, 50), (100, 1), (3, 2), late=(0, 0, 0)), batch(step, (0, 7)), facts=facts)
    assert [(value, tags.get("phase")) for _, value, tags in found] == [
        (50.0, "warmup"),
        (2.0, "warmup"),
        (1.0, None),
        (7.0, "warmup"),
    ]
    setup = points(batch(SpoolKey(SETUP, "LOGIN", None, 0, OK), (0, 5)), facts=facts)
    assert {tags["phase"] for _, _, tags in setup} == {"setup"}


def test_where_iterations_are_planned_there_is_a_response_time() -> None:
    facts = FACTS._replace(is_planned=True)
    key = SpoolKey(REQUEST, "GET /", None, 200, OK)
    found = points(batch(key, (0, 10), (1, 20), late=(2.5, 0)), batch(key, (2, 30)), facts=facts)
    assert [value for metric, value, _ in found if metric == "ipload_response_time"] == [12.5, 20.0, 30.0]
    assert [value for metric, value, _ in found if metric == "http_req_duration"] == [10.0, 20.0, 30.0]
    for other in (SpoolKey(SETUP, "GET /", None, 200, OK), SpoolKey(STEP, "buy", None, 0, OK)):
        assert "ipload_response_time" not in {metric for metric, _, _ in points(batch(other, (0, 1)), facts=facts)}


@pytest.mark.parametrize(
    "name", ['a"b', "a\\b", "a\nb", "\0", "\u202eevil", "שלום", "\ud800", "%s {0} {name}", "a\u2028b", "</script>"]
)
def test_any_name_is_one_line_of_ascii(name: str) -> None:
    texts = list(K6Lines().of_batch(FACTS, batch(SpoolKey(REQUEST, name, None, 200, OK), (0, 1))))
    assert all(text.isascii() and text.isprintable() for line in texts for text in line.split("\n"))
    assert {data["tags"]["name"] for _, data in parsed(texts)} == {name}


def test_a_metric_is_declared_once_in_a_file_before_its_first_point() -> None:
    lines = K6Lines()
    keys = [SpoolKey(REQUEST, name, None, 200, OK) for name in ("a", "b")]
    text = "".join(line for key in keys for line in lines.of_batch(FACTS, batch(key, (0, 1))))
    declared = [metric for metric, _ in parsed([text], "Metric")]
    assert declared == ["http_reqs", "http_req_duration", "http_req_failed"]
    for metric in declared:
        first = next(json.loads(line) for line in text.splitlines() if json.loads(line)["metric"] == metric)
        assert first["type"] == "Metric"


def test_every_metric_is_one_of_k6_or_says_that_it_is_ours() -> None:
    k6 = {"http_reqs", "http_req_duration", "http_req_failed", "iterations", "iteration_duration", "group_duration"}
    k6 |= {"vus", "dropped_iterations", "http_req_waiting", "http_req_receiving"}
    k6 |= {"http_req_blocked", "http_req_connecting", "http_req_tls_handshaking"}
    assert {metric for metric in METRICS if not metric.startswith("ipload_")} == k6
    assert {kind for kind, _ in METRICS.values()} == {"counter", "gauge", "rate", "trend"}


def test_what_only_the_whole_load_knows() -> None:
    result = load_result([request(at_ms=0), request(at_ms=2500)], seconds=3.0).as_dict()
    result |= {"dropped_iterations": 7, "started_at": "2026-01-01T00:00:00.250+00:00"}
    found = parsed(K6Lines().of_result(result))
    assert [(metric, data["time"], data["value"]) for metric, data in found] == [
        ("vus", "2026-01-01T00:00:00.250Z", 1),
        ("vus", "2026-01-01T00:00:01.250Z", 1),
        ("vus", "2026-01-01T00:00:02.250Z", 1),
        ("dropped_iterations", "2026-01-01T00:00:03.250Z", 7),
    ]
    assert {json.dumps(data["tags"]) for _, data in found} == {json.dumps(SCENARIO)}


def test_of_several_rounds_each_point_tells_its_own() -> None:
    facts = FACTS._replace(round=(2, "base"))
    [(_, _, tags)] = points(batch(SpoolKey(STEP, "buy", None, 0, OK), (0, 1)), facts=facts)
    assert (tags["round"], tags["role"]) == ("2", "base")
    result = load_result([request()], seconds=1.0).as_dict()
    others = [{"role": "current", "started_at": f"2024-01-0{day}T00:00:00.000+00:00"} for day in (1, 2)]
    result["rounds"] = [*others, {"role": "base", "started_at": result["started_at"]}]
    [(_, data)] = parsed(K6Lines().of_result(result))
    assert data["tags"] == {**SCENARIO, "round": "3", "role": "base"}


def test_what_nobody_knows_is_absent() -> None:
    result = load_result([]).as_dict()
    assert "".join(K6Lines().of_result(result)) == ""
