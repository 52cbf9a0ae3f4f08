"""Whole runs: loads of streams, judged by the times of their events, in all reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.readers import read_hlog, read_openmetrics, validator
from support.replies import LAST, chunk, head
from support.samples import measurements, request
from support.scripted_server import Do, Pause, ScriptedServer
from support.whole_run import whole_run

from pytest_ipload.baselines.saved_run import of_result
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FIRST_EVENT, GAP, SETUP
from pytest_ipload.transport.connect.socket_io import kernel_keeps_time
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.regression.metric_reader import value_of
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import evaluate
from pytest_ipload.verdict.threshold.expression import Metric, Threshold
from pytest_ipload.verdict.threshold.measure import Scope

HEAD = head("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
STREAM = (HEAD, Pause(0.02), chunk(b"data: 1\n\n"), Pause(0.03), chunk(b"data: 2\n\n") + LAST)
READING = """
    @pytest.mark.ipload(users=2, iterations=2, pool="127.0.0.11-127.0.0.12")
    @pytest.mark.ipload_threshold("ttfe.p95 < 10s", "gap.min >= 30ms", "gap.max{chat} < 10s", "gap.p50{chat} < 1ms")
    def test_chat(ipload_session):
        with ipload_session.events("GET", "/chat", name="chat") as events:
            assert [event.data for event in events] == ["1", "2"]
"""


def read(folder: Path, name: str = "out.json") -> dict[str, Any]:
    (test,) = json.loads((folder / name).read_text(encoding="utf-8"))["tests"]
    return dict(test)


def test_a_load_of_streams_is_judged_and_reported(pytester: pytest.Pytester) -> None:
    reports = (
        "--ipload-hlog=out.hlog",
        "--ipload-openmetrics=out.txt",
        "--ipload-summary=out.md",
        "--ipload-html=out.html",
    )
    with ScriptedServer([STREAM] * 4) as server:
        url = f"--ipload-base-url={server.url('')}"
        run = whole_run(
            pytester, READING, url, "--ipload-json=out.json", "--ipload-jsonl=out.jsonl", *reports, failed=1
        )
    assert set(server.peers) == {"127.0.0.11", "127.0.0.12"}
    validator().validate(json.loads((pytester.path / "out.json").read_text(encoding="utf-8")))
    test = read(pytester.path)
    assert (test["requests"], test["ttfe"]["count"], test["gap"]["count"]) == (4, 4, 4)
    assert test["ttfe"]["min_ms"] >= 20
    assert [threshold["passed"] for threshold in test["thresholds"]] == [True, True, True, False, True]
    (row,) = test["by_name"]
    assert (row["ttfe"], row["gap"]) == (test["ttfe"], test["gap"])
    assert row["latency"]["min_ms"] >= 50
    run.expect_lines(
        "*stream *events*", "*chat, first event *4*", "*chat, next event *4*", "FAIL*gap.p50{chat}*4 gaps*"
    )
    tags = [interval.tag for interval in read_hlog(pytester.path / "out.hlog")]
    assert [tag[1:] for tag in tags if tag[1:]] == [("chat",), ("chat", "gap"), ("chat", "ttfe")]
    metrics = read_openmetrics(pytester.path / "out.txt")
    assert {"ipload_time_to_first_event_seconds_count", "ipload_event_gap_seconds_count"} <= set(metrics)
    assert "gap between events" in (pytester.path / "out.md").read_text(encoding="utf-8")
    assert "chat, next event" in (pytester.path / "out.html").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in (pytester.path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    points = [line["metric"] for line in lines if line["type"] == "Point"]
    assert (points.count("ipload_ttfe"), points.count("ipload_gap")) == (4, 4)


def test_without_a_stream_a_threshold_on_events_fails(pytester: pytest.Pytester) -> None:
    source = """
        @pytest.mark.ipload_threshold("gap.p99{chat} < 1s")
        def test_chat(ipload_session):
            ipload_session.get("/", name="chat")

        @pytest.mark.ipload(users=2)
        @pytest.mark.ipload_threshold("ttfe.p95 < 1s")
        def test_plain(ipload_session):
            ipload_session.get("/")
    """
    with ScriptedServer() as server:
        run = whole_run(pytester, source, f"--ipload-base-url={server.url('')}", failed=2)
    run.expect_lines("FAIL*gap.p99{chat}: no samples*request names seen: 'chat'")
    run.expect_lines("FAIL*ttfe.p95: no samples*")


def test_a_stream_that_outlives_the_load_is_an_interrupted_request(pytester: pytest.Pytester) -> None:
    source = """
        @pytest.mark.ipload(users=1, duration="200ms", graceful_stop="100ms")
        @pytest.mark.ipload_threshold("error_rate <= 100%")
        def test_chat(ipload_session):
            with ipload_session.events("GET", "/chat") as events:
                for event in events:
                    pass
    """
    with ScriptedServer([(HEAD, chunk(b"data: 1\n\n"), Do.STALL)]) as server:
        whole_run(pytester, source, f"--ipload-base-url={server.url('')}", "--ipload-json=out.json", passed=1)
    test = read(pytester.path)
    assert (test["requests"], test["failed_requests"], test["failed_iterations"]) == (1, 1, 1)
    assert test["ttfe"]["count"] == 1


def test_streams_of_a_set_up_are_not_judged(pytester: pytest.Pytester) -> None:
    source = """
        @pytest.fixture
        def feed(ipload_session):
            with ipload_session.events("GET", "/feed") as events:
                return list(events)

        @pytest.mark.ipload(users=1, iterations=2)
        def test_it(feed, ipload_session):
            assert ipload_session.get("/").ok
    """
    with ScriptedServer([STREAM]) as server:
        whole_run(pytester, source, f"--ipload-base-url={server.url('')}", "--ipload-json=out.json", passed=1)
    test = read(pytester.path)
    assert [row["name"] for row in test["setup"]] == ["GET /feed"]
    assert not {"ttfe", "gap"} & {*test, *test["setup"][0]}


@pytest.mark.skipif(not kernel_keeps_time(), reason="the kernel does not tell when data came")
def test_a_body_that_reads_too_late_makes_the_judgement_of_gaps_invalid(pytester: pytest.Pytester) -> None:
    source = """
        from support.scripted_server import Pause, ScriptedServer
        from test_streams_replies import LATE

        @pytest.fixture(scope="session")
        def server():
            with ScriptedServer([LATE] * 2) as server:
                yield server

        @pytest.mark.ipload(users=1, iterations=2)
        @pytest.mark.ipload_threshold("gap.max < 1ms")
        def test_chat(ipload_session, server):
            with ipload_session.events("GET", server.url("/chat")) as events:
                for event in events:
                    if event.data == "1":
                        server.settle()  # by then, all has come
    """
    pytester.makepyfile(
        test_streams_replies="""
        from support.replies import LAST, chunk, head
        from support.scripted_server import Pause

        HEAD = head("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
        EVENTS = [chunk(b"data: %d\\n\\n" % number) for number in (1, 2, 3)]
        LATE = (HEAD, EVENTS[0], Pause(0.02), EVENTS[1], Pause(0.01), EVENTS[2] + LAST)
        """
    )
    run = whole_run(pytester, source, failed=1)
    run.expect_lines("invalid: *events-read-late: 2 of 4 gaps between events (50 %) were not measured*gap.max*")


def test_a_websocket_of_each_user_leaves_from_its_address(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import threading

        import pytest
        from websockets.sync.server import serve

        PEERS = []

        def play(ws):
            PEERS.append(ws.remote_address[0])
            for message in ws:
                ws.send(message.upper())

        @pytest.fixture(scope="session")
        def url():
            with serve(play, "127.0.0.1", 0, ping_interval=None) as server:
                thread = threading.Thread(target=server.serve_forever)
                thread.start()
                yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/echo"
                server.shutdown()
                thread.join()
            assert set(PEERS) == {"127.0.0.11", "127.0.0.12"}
        """
    )
    source = """
        @pytest.fixture
        def ws(ipload_user, url):
            with ipload_user.websocket(url) as ws:
                yield ws

        @pytest.mark.ipload(users=2, iterations=3, pool="127.0.0.11-127.0.0.12")
        @pytest.mark.ipload_threshold("p95{WS /echo message} < 10s", "requests{*message} == 6")
        def test_echo(ws):
            assert ws.request("x") == "X"
    """
    whole_run(pytester, source, "--ipload-json=out.json", passed=1)
    test = read(pytester.path)
    assert [(row["name"], row["requests"]) for row in test["by_name"]] == [("WS /echo message", 6)]
    assert [row["name"] for row in test["setup"]] == ["WS /echo"]
    assert {row["source_address"]: row["connections"] for row in test["by_source"]} == {
        "127.0.0.11": 1,
        "127.0.0.12": 1,
    }


EVENTS = [
    *(
        request("chat", latency, at_ms=at)._replace(kind=kind)
        for kind, latency, at in ((FIRST_EVENT, 200, 0), (GAP, 20, 200))
    ),
    *(
        request("feed", latency, at_ms=at)._replace(kind=kind)
        for kind, latency, at in ((FIRST_EVENT, 90, 0), (GAP, 70, 90))
    ),
]


@pytest.mark.parametrize(
    ("expression", "milliseconds", "samples"),
    [("ttfe.max < 1s", 200, 2), ("gap.mean < 1s", 45, 2), ("gap.max{chat} < 1s", 20, 1), ("ttfe.min{f*} < 1s", 90, 1)],
)
def test_thresholds_choose_by_name_whether_or_not_iterations_are_planned(
    expression: str, milliseconds: float, samples: int
) -> None:
    for planned in (False, True):
        result = evaluate(
            ThresholdConfig(Threshold.parse(expression)), measurements(EVENTS, planned=planned), Scope(1.0)
        )
        assert (result.measured, result.samples) == (milliseconds, samples)


def test_windows_have_the_events_that_came_in_them() -> None:
    config = ThresholdConfig(Threshold.parse("gap.max < 50ms"), window=0.2)
    measured = measurements([*EVENTS, request(at_ms=400)], window_ms=200)
    result = evaluate(config, measured, Scope(0.41))
    assert (result.passed, result.measured) == (False, 70)


def test_parts_of_a_load_add_up_also_from_plain_values() -> None:
    whole = measurements(EVENTS[:2])
    whole.merge(Measurements.from_plain(json.loads(json.dumps(measurements(EVENTS[2:]).to_plain()))))
    assert (whole.count(FIRST_EVENT), whole.count(GAP), whole.count(SETUP)) == (2, 2, 0)
    assert whole.latency(GAP, exact_name="feed").max_ns == 70_000_000


def test_saved_runs_keep_the_times_of_events(pytester: pytest.Pytester) -> None:
    with ScriptedServer([STREAM] * 4) as server:
        whole_run(pytester, READING, f"--ipload-base-url={server.url('')}", "--ipload-json=out.json")
    test = read(pytester.path)
    saved = of_result(test, 0)
    assert value_of(Metric.parse("ttfe.max"), saved) == test["ttfe"]["max_ms"]
    assert value_of(CompareLimit.parse("gap.min{chat}:10%").metric, saved) == test["gap"]["min_ms"]
    assert value_of(Metric.parse("gap.p99{other}"), saved) is None
