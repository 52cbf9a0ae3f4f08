"""Whole runs: the slowest and the failed requests are in the reports, with their replies and without secrets."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from support.http_server import RecordingServer
from support.whole_run import whole_run

SECRET = "S3cr3tXq"
FILES = ("json", "html", "summary", "jsonl", "openmetrics")
REPORTS = [
    *(f"--ipload-{kind}={kind}.out" for kind in FILES),
    "--junit-xml=junit.out",
    "-o",
    "junit_logging=system-out",
]

LOAD = """
    import os

    @pytest.mark.ipload(users=2, iterations=5)
    def test_load(ipload_session, ipload_user):
        secret = os.environ["THE_SECRET"]
        ipload_session.headers["X-Customer"] = secret
        ipload_session.get("/hello?token=" + secret, headers={"Authorization": "Bearer " + secret})
        ipload_session.post("/status/500", json={"password": secret, "iban": secret}, cookies={"sid": secret})
        ipload_session.get("/redirect/2?api_key=" + secret)
        with ipload_user.measure("other"):
            pass
"""


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("THE_SECRET", SECRET)
    with RecordingServer() as server:
        yield f"http://joe:{SECRET}@127.0.0.1:{server.port}"


def evidence_of(path: str = "json.out") -> list[dict[str, Any]]:
    [test] = json.loads(Path(path).read_text(encoding="utf-8"))["tests"]
    found: list[dict[str, Any]] = test["evidence"]
    return found


def leaks() -> list[str]:
    return [path.name for path in Path().glob("*.out") if SECRET in path.read_text(encoding="utf-8", errors="replace")]


def check_reports(output: str) -> None:
    """What all reports have of the load above."""
    evidence = evidence_of()
    counts = {
        name: [each["kind"] for each in evidence if each["name"] == name] for name in {e["name"] for e in evidence}
    }
    assert counts == {
        "GET /hello": ["slow"] * 3,
        "POST /status/500": ["failed"] * 3,
        "GET /redirect/2": ["slow"] * 3,
        "other": ["slow"] * 3,
    }
    failed = next(each for each in evidence if each["kind"] == "failed")
    assert failed["request"]["line"] == "POST /status/500 HTTP/1.1"
    assert json.loads(failed["request"]["body"]) == {"password": "***", "iban": "***"}
    assert {"Authorization: ***", "X-Customer: ***", "Cookie: ***"} <= set(failed["request"]["headers"])
    assert (failed["status"], failed["reply"]["body"]) == (500, "status 500")
    assert (failed["iteration"], failed["source_address"]) == (0, "127.0.0.1")
    hello = next(each for each in evidence if each["name"] == "GET /hello")
    assert hello["request"]["line"] == "GET /hello?token=*** HTTP/1.1"
    slowest = [each["latency_ms"] for each in evidence if each["name"] == "GET /hello"]
    assert slowest == sorted(slowest, reverse=True)
    redirected = next(each for each in evidence if each["name"] == "GET /redirect/2")
    assert redirected["redirects"] == 2
    assert redirected["redirected_from"].endswith("/redirect/2?api_key=***")
    assert "request" not in next(each for each in evidence if each["name"] == "other")
    assert output.count("> POST /status/500 HTTP/1.1") == 1
    html, summary = (Path(f"{kind}.out").read_text(encoding="utf-8") for kind in ("html", "summary"))
    assert html.count('<details class="paper evidence" open>') == 1
    order = ["A request that shows it", '<details class="paper evidence" open>', "<h3>Charts</h3>", "<h3>Measured</h3>",
             "<h3>Requests in full</h3>", '<details class="paper evidence">']  # fmt: skip
    assert [html.index(each) for each in order] == sorted(html.index(each) for each in order)
    assert html.count("POST /status/500 HTTP/1.1") == 3
    assert "One request (more in the HTML and JSON reports): `failed: POST /status/500, 500" in summary
    texts = [each.text or "" for each in ElementTree.parse("junit.out").iter("system-out")]
    assert [text.count("POST /status/500 HTTP/1.1") for text in texts] == [1]
    assert SECRET not in output
    assert leaks() == []


def test_all_reports_have_it(pytester: pytest.Pytester, target: str) -> None:
    options = [*REPORTS, f"--ipload-base-url={target}", "--ipload-mask=x-customer", "--ipload-mask=IBAN"]
    check_reports(whole_run(pytester, LOAD, *options, failed=1).result.stdout.str())


@pytest.mark.usefixtures("xdist")
def test_it_is_that_of_all_workers(pytester: pytest.Pytester, target: str) -> None:
    pytester.makeini("[pytest]\nipload_mask =\n    X-Customer\n    iban\n")
    options = [*REPORTS, f"--ipload-base-url={target}", "-n2"]
    check_reports(whole_run(pytester, LOAD, *options, failed=1).result.stdout.str())
    assert {each["user"] for each in evidence_of()} == {0, 1}


def test_none_is_kept_with_zero_and_more_with_more(pytester: pytest.Pytester, target: str) -> None:
    options = [f"--ipload-base-url={target}", "--ipload-json=json.out"]
    whole_run(pytester, LOAD, *options, "--ipload-evidence=0", failed=1)
    assert "evidence" not in json.loads(Path("json.out").read_text())["tests"][0]
    whole_run(pytester, LOAD, *options, "--ipload-evidence=7", failed=1)
    assert len([each for each in evidence_of() if each["name"] == "POST /status/500"]) == 7


@pytest.mark.parametrize("given", ["-1", "101", "two", "1.5", ""])
def test_a_wrong_number_is_refused(pytester: pytest.Pytester, given: str) -> None:
    result = pytester.runpytest(f"--ipload-evidence={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--ipload-evidence: *is not valid; give a whole number from 0 (keep none) to 100"])


@pytest.mark.parametrize("given", ["", "a b", "x=y", "n" * 101])
def test_a_wrong_name_is_refused(pytester: pytest.Pytester, given: str) -> None:
    result = pytester.runpytest(f"--ipload-mask={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--ipload-mask: *is not the name of a header or field; *"])


def test_the_warm_up_is_not_in_it_and_failed_set_ups_are(pytester: pytest.Pytester, target: str) -> None:
    whole_run(
        pytester,
        """
        import time

        @pytest.fixture
        def logged_in(ipload_session):
            ipload_session.get("/hello", name="set-up")
            ipload_session.get("/status/401", name="log in")
            return ipload_session

        @pytest.mark.ipload(users=1, duration=0.3, warmup=0.1)
        def test_load(logged_in, ipload_user):
            if ipload_user.iteration == 0:
                logged_in.get("/status/503", name="early")
                time.sleep(0.12)
            logged_in.get("/status/404", name="late")
        """,
        f"--ipload-base-url={target}",
        "--ipload-json=json.out",
        failed=1,
    )
    assert {(each["name"], "iteration" in each) for each in evidence_of()} == {("log in", False), ("late", True)}
    assert all(each["t_s"] >= 0.1 for each in evidence_of() if "iteration" in each)


@pytest.mark.parametrize("options", [[], ["-n2"]], ids=["one", "xdist"])
@pytest.mark.usefixtures("xdist")
def test_a_set_up_that_fails_shows_its_request(pytester: pytest.Pytester, target: str, options: list[str]) -> None:
    run = whole_run(
        pytester,
        """
        @pytest.fixture
        def logged_in(ipload_session):
            ipload_session.post("/status/401", data={"password": "letmein1"}).raise_for_status()

        @pytest.mark.ipload(users=2, iterations=1)
        def test_load(logged_in):
            pass
        """,
        f"--ipload-base-url={target}",
        "--ipload-json=json.out",
        "--ipload-html=html.out",
        *options,
        errors=1,
    )
    each = evidence_of()[0]
    assert (each["status"], each["request"]["body"], each["reply"]["body"]) == (401, "password=***", "status 401")
    assert "iteration" not in each
    run.expect_lines("failed: POST /status/401, 401, *, outside of iterations, *", "  > POST /status/401 HTTP/1.1")
    assert Path("html.out").read_text(encoding="utf-8").count('<details class="paper evidence" open>') == 1


def test_there_is_an_error_without_a_reply(pytester: pytest.Pytester) -> None:
    run = whole_run(
        pytester,
        """
        @pytest.mark.ipload(users=1, iterations=1)
        def test_load(ipload_session):
            ipload_session.get("http://127.0.0.1:1/x?token=abcdefgh")
        """,
        "--ipload-json=json.out",
        failed=1,
    )
    [each] = evidence_of()
    assert each["error"].startswith("ConnectionError: ")
    assert "reply" not in each
    assert each["request"]["line"] == "GET /x?token=*** HTTP/1.1"
    run.expect_lines("failed: GET /x, no reply, *")


def test_a_reply_that_repeats_the_request_is_masked(pytester: pytest.Pytester, target: str) -> None:
    whole_run(
        pytester,
        """
        import os

        @pytest.mark.ipload(users=1, iterations=1)
        def test_load(ipload_session):
            secret = os.environ["THE_SECRET"]
            ipload_session.get("/echo/me", params={"key": secret}, headers={"Referer": "/a?sig=" + secret})
            ipload_session.get("/gzip")
            ipload_session.get("/echo/path/" + secret, cookies={"sid": secret}, name="path", stream=True).close()
        """,
        f"--ipload-base-url={target}",
        "--ipload-json=json.out",
        "--ipload-html=html.out",
        passed=1,
    )
    bodies = {each["name"]: each["reply"].get("body") for each in evidence_of()}
    assert json.loads(bodies["GET /echo/me"])["headers"]["Referer"] == "/a?sig=***"
    assert bodies["GET /gzip"].startswith("compressed compressed ")
    assert bodies["path"] is None
    assert leaks() == []


def test_debug_prints_each_request_of_one_iteration(pytester: pytest.Pytester, target: str) -> None:
    run = whole_run(pytester, LOAD, f"--ipload-base-url={target}", "--ipload-debug", failed=1)
    output = run.result.stdout.str()
    assert len(re.findall(r"^  > GET /hello\?token=\*\*\* HTTP/1\.1$", output, re.MULTILINE)) == 1
    run.expect_lines("GET /hello, 200, *", "  > Authorization: ?*?*?*", "  < HTTP/1.1 200 OK", "  < hello", "other, *")
    assert SECRET not in output.replace(f"X-Customer: {SECRET}", "").replace(f'"iban": "{SECRET}"', "")


def test_debug_prints_the_requests_of_a_scenario_file(pytester: pytest.Pytester, target: str) -> None:
    scenario = f"""
        scenarios:
          log in:
            load: {{users: 5, duration: 1m}}
            set_up:
              - post: /hello
                headers: {{Authorization: Bearer {SECRET}}}
            steps:
              - get: /hello/1?token={SECRET}
              - step: pay
                steps:
                  - get: /status/500
    """
    (pytester.path / "shop.ipload.yaml").write_text(dedent(scenario))
    result = pytester.runpytest(f"--ipload-base-url={target}", "--ipload-debug", "-W", "error")
    result.assert_outcomes(failed=1)
    output = result.stdout.str()
    sent = re.findall(r"^  > (\S+ \S+) HTTP/1\.1$", output.partition("= load tests =")[0], re.MULTILINE)
    assert sent == ["POST /hello", "GET /hello/1?token=***", "GET /status/500"]
    result.stdout.fnmatch_lines(["POST /hello, *", "  > Authorization: ?*?*?*", "  < HTTP/1.1 500 *"])
    assert SECRET not in output


@pytest.mark.usefixtures("xdist")
def test_debug_is_refused_with_workers(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--ipload-debug", "-n2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--ipload-debug prints requests as they are made, *remove -n, or give -n0"])


TRACED = """
    @pytest.mark.ipload(users=2, iterations=2)
    def test_load(ipload_session, ipload_user):
        plain = ipload_session.get("/hello")
        assert plain.trace_id == ipload_user.trace_id
        ipload_session.post("/hello", data=b"x" * 10)
        ipload_session.get("/redirect/1")
        ipload_session.get("/hello", stream=True).close()
        ipload_session.get("/hello/own", headers={"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-00"})
        ipload_session.get("/status/500")
"""


@pytest.mark.parametrize("options", [[], ["--ipload-fast=off"], ["-n2"]], ids=["fast", "stock", "xdist"])
@pytest.mark.usefixtures("xdist")
def test_each_request_has_a_span_and_each_iteration_a_trace(pytester: pytest.Pytester, options: list[str]) -> None:
    with RecordingServer() as server:
        url = f"--ipload-base-url=http://127.0.0.1:{server.port}"
        reports = "--ipload-json=json.out", "--ipload-jsonl=jsonl.out"
        whole_run(pytester, TRACED, url, "--ipload-trace", *reports, *options, failed=1)
        sent = [(hit.target, hit.headers["traceparent"]) for hit in server.hits]
    own = [value for path, value in sent if path == "/hello/own"]
    assert set(own) == {f"00-{'ab' * 16}-{'cd' * 8}-00"}
    ours = [value for path, value in sent if path != "/hello/own"]
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", value) for value in ours)
    traces = {value[3:35] for value in ours}
    assert (len(ours), len(set(ours)), len(traces)) == (24, 24, 4)
    [test] = json.loads(Path("json.out").read_text())["tests"]
    assert {each["trace_id"] for each in test["evidence"]} <= {*traces, "ab" * 16}
    assert test["failures"][0]["first"]["trace_id"] in traces
    points = [line for line in map(json.loads, Path("jsonl.out").read_text().splitlines()) if line["type"] == "Point"]
    of_lines = Counter(
        (line["metric"], line["data"].get("metadata", {}).get("trace_id"))
        for line in points
        if line["metric"] in ("http_reqs", "iterations", "vus")
    )
    assert of_lines.pop(("vus", None)) > 0
    assert of_lines == {
        (name, trace): count for trace in traces for name, count in (("http_reqs", 6), ("iterations", 1))
    }


def test_without_the_option_there_is_no_trace(pytester: pytest.Pytester) -> None:
    with RecordingServer() as server:
        whole_run(
            pytester,
            """
            def test_load(ipload_session, ipload_user):
                assert ipload_user.trace_id is None
                assert ipload_session.get("/hello").trace_id is None
            """,
            f"--ipload-base-url=http://127.0.0.1:{server.port}",
            "--ipload-jsonl=jsonl.out",
            passed=1,
        )
        assert "metadata" not in Path("jsonl.out").read_text()
        assert [hit.headers.get("traceparent") for hit in server.hits] == [None]
