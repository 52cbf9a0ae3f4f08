"""Whole runs: checks and metrics of the test's own, and responses that it fails, judged and reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.readers import read_openmetrics, validator
from support.replies import LAST, chunk, head
from support.scripted_server import ScriptedServer
from support.whole_run import whole_run
from test_documented_tests import examples_of

from pytest_ipload.base.errors import IploadError, SettingError
from pytest_ipload.cli.main import main
from pytest_ipload.transport.session import LoadSession
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.regression.metric_reader import value_of
from pytest_ipload.verdict.threshold.expression import Metric, Threshold

BUSY = """
    @pytest.mark.ipload(users=4, iterations=5)
    @pytest.mark.ipload_threshold("count{sold} == 60", "rate{sold} > 0/s", "gauge.max{queue} == 4")
    @pytest.mark.ipload_threshold("gauge.min{queue} == -1")
    @pytest.mark.ipload_threshold("check_rate{is odd} >= 40%", "p50{metric:age} == 2.5s", "max{metric:*} == 2.5s")
    def test_it(ipload_user):
        number = ipload_user.iteration
        assert ipload_user.check("always", True) is True
        assert ipload_user.check("is odd", number % 2) is bool(number % 2)
        ipload_user.count("sold", 3)
        ipload_user.gauge("queue", number or -1)
        ipload_user.observe("age", 2.5)
"""


def result_of(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    validator().validate(report)
    [test] = report["tests"]
    return dict(test)


def check_numbers(test: dict[str, Any]) -> None:
    """What ``BUSY`` measures, however many processes ran it."""
    assert test["checks"] == [
        {"name": "always", "passed": 20, "failed": 0, "rate": 1.0},
        {"name": "is odd", "passed": 8, "failed": 12, "rate": 0.4},
    ]
    sold, queue, age = test["metrics"]
    assert (sold["name"], sold["kind"], sold["count"]) == ("sold", "count", 60)
    assert sold["rate"] > 0
    assert (queue["kind"], queue["last"], queue["min"], queue["max"]) == ("gauge", 4, -1, 4)
    assert (age["kind"], age["count"], age["p95_ms"]) == ("time", 20, 2500)
    assert (test["failed_iterations"], test["error_rate"], test["requests"]) == (0, 0, 0)


@pytest.mark.parametrize("options", [[], ["-n2"]])
@pytest.mark.usefixtures("xdist")
def test_they_are_judged_and_merged(pytester: pytest.Pytester, options: list[str]) -> None:
    run = whole_run(pytester, BUSY, "--ipload-json=out.json", *options, passed=1)
    check_numbers(result_of(pytester.path))
    run.expect_lines("check * passed  failed *", "is odd * 8 * 12 * 40 %", "ok    check_rate{is odd} 40 %*12 of 20*")


def test_segments_are_merged(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        whole_run(pytester, BUSY, f"--ipload-segment={number}/2", f"--ipload-json=part{number}.json")
    parts = [str(pytester.path / f"part{number}.json") for number in range(2)]
    main(["merge", *parts, f"--json={pytester.path / 'out.json'}"])
    capsys.readouterr()
    test = result_of(pytester.path)
    check_numbers(test)
    assert all(each["passed"] for each in test["thresholds"])


@pytest.mark.parametrize(
    ("value", "complaint"),
    [([1, 2], "expected kind, name and seven numbers"), (["count", "x", 1, 2, 3, 9, 8, 8, 0], "contradict each other")],
)
def test_a_damaged_segment_is_refused(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str], value: list[Any], complaint: str
) -> None:
    whole_run(pytester, BUSY, "--ipload-segment=0/1", "--ipload-json=part.json")
    path = pytester.path / "part.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    report["tests"][0]["part"]["measured"]["values"]["values"][0] = value
    path.write_text(json.dumps(report), encoding="utf-8")
    assert main(["merge", str(path)]) == 2
    assert complaint in capsys.readouterr().err


def test_a_failed_check_fails_the_test_unless_a_threshold_is_about_checks(pytester: pytest.Pytester) -> None:
    body = """
    {marker}
    @pytest.mark.ipload(users=2, iterations=2)
    def test_{name}(ipload_user):
        ipload_user.check("paid", ipload_user.index)
    """
    markers = {
        "plain": "",
        "warned": "@pytest.mark.ipload_threshold('check_rate > 99%', severity='warn')",
        "tolerant": "@pytest.mark.ipload_threshold('check_rate{other} > 99%', 'check_rate >= 50%')",
        "half": "@pytest.mark.ipload_threshold('check_rate >= 50%', window=None)",
    }
    source = "".join(body.format(name=name, marker=marker) for name, marker in markers.items())
    run = whole_run(pytester, source, failed=3, passed=1)
    text = "check_rate 50 %, limit == 100 % (2 of 4 checks failed); 'paid' failed 2 of 4 times"
    assert run.result.stdout.str().count(f"FAIL  {text} (implied)") == 2
    run.expect_lines("*check_rate{other}: no samples, limit > 99 %; checks seen: 'paid'")
    whole_run(pytester, source, "--ipload-disable", failed=2, passed=2)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ("check('x', lambda: True)", "is a function or a class*give the value"),
        ("check('', True)", "the name of a check must be a non-empty string"),
        ("count('x', -1)", "a count only grows; give 0 or more"),
        ("count('x', float('nan'))", "give a finite number"),
        ("gauge('x', '7')", "give a finite number"),
        ("observe('x', -0.1)", "give seconds, from 0 to 1,000,000"),
        ("gauge('known', 1)", "metric 'known' is used with count() and with gauge(); a metric has one kind"),
    ],
)
def test_bad_input_fails_the_iteration_and_says_what_is_allowed(
    pytester: pytest.Pytester, call: str, complaint: str
) -> None:
    source = f"""
    def test_it(ipload_user):
        ipload_user.count("known")
        ipload_user.{call}
    """
    run = whole_run(pytester, source, failed=1)
    run.expect_lines(f"*SettingError*{complaint}*".replace("[", "[[]"))
    assert "user_metrics.py" not in run.result.stdout.str()


def test_set_up_and_warm_up_are_not_counted(pytester: pytest.Pytester) -> None:
    source = """
    import time

    @pytest.fixture
    def shopper(ipload_user):
        assert ipload_user.check("ready", False) is False
        ipload_user.count("set up")
        yield ipload_user
        ipload_user.check("gone", False)

    @pytest.mark.ipload(warmup="300ms", duration="400ms")
    @pytest.mark.ipload_threshold("gauge.min{number} > 0", "p50{metric:age} == 5s", "check_rate == 100%")
    def test_it(shopper):
        shopper.gauge("number", shopper.iteration)
        shopper.observe("age", 5)
        shopper.check("warm", shopper.iteration > 0)
        time.sleep(0.01)
    """
    whole_run(pytester, source, "--ipload-json=out.json", passed=1)
    test = result_of(pytester.path)
    assert [row["name"] for row in test["checks"]] == ["warm"]
    assert [row["name"] for row in test["metrics"]] == ["number", "age"]


@pytest.mark.parametrize("fast", ["on", "off"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_response_is_a_failed_request(
    pytester: pytest.Pytester, demo_url: str, fast: str, stream: bool
) -> None:
    source = f"""
    @pytest.mark.ipload(users=2, iterations=5)
    @pytest.mark.ipload_threshold("error_rate == 60%")
    def test_it(ipload_session, ipload_user):
        state, number = ipload_user.state, ipload_user.iteration
        first = ipload_session.get("/", stream={stream})
        second = ipload_session.get("/", name="second")
        missing = ipload_session.get("/missing", expect=404)
        first.close()  # of a stream; an exception below keeps it
        if number == 1:
            first.fail("odd page")
            first.fail("again")
        if number == 2:
            second.fail("second page")
            missing.fail("no page")
        if number == 3:
            state["kept"] = second
        if number == 4:
            state["kept"].fail("too late")
    """
    run = whole_run(
        pytester, source, f"--ipload-base-url={demo_url}", f"--ipload-fast={fast}", "--ipload-json=out.json",
        "--ipload-jsonl=out.jsonl", passed=1,
    )  # fmt: skip
    test = result_of(pytester.path)
    rows = {row["name"]: (row["requests"], row["failed_requests"], row["latency"]["count"]) for row in test["by_name"]}
    assert rows == {"GET /": (10, 2, 8), "second": (10, 2, 8), "GET /missing": (10, 2, 8)}
    failures = {each["message"]: (each["type"], each["location"], each["count"]) for each in test["failures"]}
    assert failures["odd page"] == ("ResponseFailed", "test_it.py:14", 2)
    assert failures["second page"] == ("ResponseFailed", "test_it.py:17", 2)
    [late] = set(failures) - {"odd page", "second page"}
    assert "does not belong to the running iteration" in late
    shown = [each for each in test["evidence"] if (each["name"], each["kind"]) == ("second", "failed")]
    assert [(each["status"], each["error"]) for each in shown] == [(200, "ResponseFailed: second page")] * 2
    assert all("routes" in each["reply"]["body"] for each in shown)
    assert [each["iteration"] for each in test["evidence"] if each["name"] == "second"].count(2) == 2  # not slow too
    lines = map(json.loads, (pytester.path / "out.jsonl").read_text(encoding="utf-8").splitlines())
    failed = [
        line["data"]["value"] for line in lines if line["metric"] == "http_req_failed" and "value" in line["data"]
    ]
    assert (len(failed), sum(failed)) == (30, 6)
    run.expect_lines("failed: 2 x ResponseFailed at test_it.py:14: odd page")


def test_the_reports_have_them(pytester: pytest.Pytester) -> None:
    reports = ("--ipload-openmetrics=out.txt", "--ipload-summary=out.md", "--ipload-html=out.html")
    source = BUSY.replace("sold", "sold <b>").replace("age", "age_s")
    whole_run(pytester, source, *reports, "--ipload-jsonl=out.jsonl", passed=1)
    read_openmetrics(pytester.path / "out.txt")
    exported = (pytester.path / "out.txt").read_text(encoding="utf-8")
    for line in ('check="is odd"} 12', 'metric="sold <b>"} 60', 'metric="queue"} 4', 'metric="age_s"} 20'):
        assert line in exported
    summary = (pytester.path / "out.md").read_text(encoding="utf-8")
    assert "- `is odd`: 40 %, 12 of 20 failed" in summary
    assert "- `queue`: last 4, -1 to 4" in summary
    page = (pytester.path / "out.html").read_text(encoding="utf-8")
    assert "sold &lt;b&gt;" in page
    assert "Observed times" in page
    lines = [json.loads(line) for line in (pytester.path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    declared = {line["metric"]: line["data"]["type"] for line in lines if line["type"] == "Metric"}
    assert declared["checks"] == "rate"
    assert (declared["ipload_metric_sold__b_"], declared["queue"], declared["age_s"]) == ("counter", "gauge", "trend")
    points = [line["data"] for line in lines if line["type"] == "Point" and line["metric"] == "checks"]
    assert (len(points), sum(each["value"] for each in points)) == (40, 28)
    values = [line["data"]["value"] for line in lines if line["metric"] == "age_s" and line["type"] == "Point"]
    assert values == [2500.0] * 20


def test_a_check_aborts_a_load(pytester: pytest.Pytester) -> None:
    source = """
    @pytest.mark.ipload(users=1, duration="20s", pacing="10ms")
    @pytest.mark.ipload_threshold("check_rate{ok} == 100%", abort_on_fail=True, delay="0s")
    def test_it(ipload_user):
        ipload_user.check("ok", False)
    """
    run = whole_run(pytester, source, "--ipload-json=out.json", failed=1)
    assert result_of(pytester.path)["aborted_s"] < 15
    run.expect_lines("aborted after * check_rate{ok} 0 %*")


def test_the_examples_of_the_page_are_thresholds() -> None:
    parsed = [Threshold.parse(text) for text in examples_of("checks-and-metrics.md")]
    assert {each.statistic for each in parsed} >= {"check_rate", "count", "rate", "gauge", "gauge.min", "gauge.max"}
    assert [Threshold.parse(each.text) for each in parsed] == parsed


def test_a_stream_is_failed_before_and_after_its_end(pytester: pytest.Pytester) -> None:
    stream = (head("Content-Type: text/event-stream", "Transfer-Encoding: chunked"), chunk(b"data: 1\n\n") + LAST)
    source = """
    @pytest.mark.ipload(iterations=3)
    @pytest.mark.ipload_threshold("request_error_rate{chat} < 70%", "request_error_rate{chat} > 60%")
    def test_chat(ipload_session, ipload_user):
        with ipload_session.events("GET", "/chat", name="chat") as events:
            if ipload_user.iteration == 0:
                events.response.fail("no token")
            assert [event.data for event in events] == ["1"]
        if ipload_user.iteration == 1:
            events.response.fail("one token")
            events.response.fail("one token")
    """
    with ScriptedServer([stream] * 3) as server:
        run = whole_run(pytester, source, f"--ipload-base-url={server.url('')}", "--ipload-json=out.json", passed=1)
    failures = [(each["type"], each["message"], each["count"]) for each in result_of(pytester.path)["failures"]]
    assert failures == [("ResponseFailed", "no token", 1), ("ResponseFailed", "one token", 1)]
    run.expect_lines("ok    request_error_rate{chat}*2 of 3 requests failed*")


def test_a_response_outside_of_an_iteration_cannot_be_failed(demo_url: str) -> None:
    with LoadSession(base_url=demo_url) as session:
        for stream in (False, True):
            reply = session.get("/", stream=stream)
            with pytest.raises(IploadError, match="not one of the user's session in a load test"):
                reply.fail("odd")
            with pytest.raises(SettingError, match="say why, as a text that is not empty"):
                reply.fail("")


def test_a_check_rate_and_an_observed_time_can_be_compared_with_saved_runs() -> None:
    row = {"name": "age", "kind": "time", "count": 1, "min_ms": 5.0, "mean_ms": 5.0, "max_ms": 5.0}
    checks = [{"name": "a", "passed": 3, "failed": 1, "rate": 0.75}, {"name": "b", "passed": 4, "failed": 0, "rate": 1}]
    result = {"checks": checks, "metrics": [{"name": "sold", "kind": "count", "count": 3, "rate": 1.0}, row]}
    assert value_of(Metric.parse("check_rate{a}"), result) == 0.75
    assert value_of(Metric.parse("check_rate"), result) == 7 / 8
    assert value_of(Metric.parse("check_rate{c}"), result) is None
    assert value_of(Metric.parse("max{metric:a*}"), result) == 5
    assert CompareLimit.parse("check_rate{a}:1%").lower_is_worse
    for text in ("rate{sold}:10%", "count{sold}:10%", "gauge{queue}:10%"):
        with pytest.raises(SettingError, match="cannot be compared"):
            CompareLimit.parse(text)


def test_too_many_names_of_counts_say_so(pytester: pytest.Pytester) -> None:
    source = """
    @pytest.mark.ipload
    @pytest.mark.ipload_threshold("count{n1002} == 0")
    def test_load(ipload_user):
        for number in range(1003):
            ipload_user.count(f"n{number}")
    """
    run = whole_run(pytester, source, failed=1)
    run.expect_lines(
        "invalid: count{n1002}: cannot be judged, limit == 0; there are more than 1 000 names, 3 calls are counted as "
        "'(other names)', * Use names without ids or other changing parts*",
        "  too-many-names: 3 samples are counted as '(other names)'*",
    )


def test_a_metric_that_processes_use_as_two_kinds_makes_the_result_invalid(pytester: pytest.Pytester) -> None:
    source = """
    @pytest.mark.ipload(users=2, iterations=2)
    def test_load(ipload_user):
        ipload_user.count("n") if ipload_user.index else ipload_user.gauge("n", 1)
    """
    for number in (0, 1):
        whole_run(pytester, source, f"--ipload-segment={number}/2", f"--ipload-json={number}.json")
    assert main(["merge", "0.json", "1.json", "--json", "all.json"]) == 1
    [test] = json.loads(Path("all.json").read_text())["tests"]
    assert test["verdict"] == "invalid"
    assert "metric 'n' is used with count() and with gauge(), in different workers or segments" in test["reason"]


@pytest.mark.parametrize(
    ("thresholds", "is_judged"),
    [("'check_rate{basket} == 100%'", False), ("'check_rate{*} > 10%'", True), ("'check_rate{p*} > 10%'", True)],
)
def test_a_failed_check_that_no_threshold_is_about_is_told(
    pytester: pytest.Pytester, thresholds: str, is_judged: bool
) -> None:
    source = f"""
    @pytest.mark.ipload(users=2, iterations=2)
    @pytest.mark.ipload_threshold({thresholds})
    def test_load(ipload_user, ipload_iteration):
        ipload_user.check("basket", True)
        ipload_user.check("paid", ipload_iteration.number)
    """
    whole_run(pytester, source, "--ipload-json=out.json", passed=1)
    [test] = json.loads(Path("out.json").read_text())["tests"]
    told = [note for note in test["generator"]["notes"] if note.startswith("checks-not-judged")]
    unjudged = "checks-not-judged: no threshold is about these checks: 'paid' failed 2 of 4 times. "
    assert [note.startswith(unjudged) for note in told] == [True] * (not is_judged)
