"""Whole runs over HTTP/2 and HTTP/3: verdicts, reports, workers, functional runs, and what ends before the load."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Certificates
from support.http2_servers import Http2Nginx

LOAD = """
import os, signal, threading, time
import pytest

@pytest.fixture
def visitor(ipload_session):
    ipload_session.verify = {ca!r}
    return ipload_session

{test}
"""
TWO_REQUESTS = """
@pytest.mark.ipload(users=3, iterations=4, pool="127.0.6.1-127.0.6.3")
@pytest.mark.ipload_threshold("p95{GET /from} < 10s", "connect.max < 10s", "tls.max < 10s", "requests == 24")
def test_load(visitor, ipload_user):
    response = visitor.get("/from")
    assert response.text.split()[0] == ipload_user.source_address
    assert response.http_version == "HTTP"
    assert visitor.get("/twice", name="redirected").ok
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")


def run(
    pytester: pytest.Pytester, ca: str, url: str, test: str, *options: str, in_process: bool = True
) -> tuple[pytest.RunResult, dict[str, Any]]:
    """The result of a run, and the only load test of its JSON report."""
    pytester.makepyfile(test_it=LOAD.format(ca=ca, test=test))
    arguments = ("-W", "error", "-p", "no:hypothesispytest", "--ipload-json=out.json", f"--ipload-base-url={url}")
    start: Any = pytester.runpytest if in_process else pytester.runpytest_subprocess
    result: pytest.RunResult = start(*arguments, *options, **({} if in_process else {"timeout": 60}))
    report = pytester.path / "out.json"
    tests = json.loads(report.read_text())["tests"] if report.exists() else [{}]
    return result, tests[0]


@pytest.mark.parametrize("http", ["2", "3"])
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "two workers"])
def test_a_load_is_judged_and_reported_by_address_and_version(
    request: pytest.FixtureRequest,
    pytester: pytest.Pytester,
    certificates: Certificates,
    app_url: str,
    http: str,
    workers: tuple[str, ...],
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    test = TWO_REQUESTS.replace('"HTTP"', repr(http))
    result, load = run(pytester, certificates.ca, app_url, test, f"--ipload-http={http}", *workers)
    result.assert_outcomes(passed=1)
    rows = {row["name"]: row for row in load["by_name"]}
    assert {name: (row["requests"], row["http_version"]) for name, row in rows.items()} == {
        "GET /from": (12, http),
        "redirected": (12, http),
    }
    assert rows["redirected"]["redirects"] == 24
    by_source = {row["source_address"]: (row["requests"], row["connections"]) for row in load["by_source"]}
    assert by_source == {f"127.0.6.{number}": (8, 1) for number in (1, 2, 3)}
    assert (load["profile"]["http"], load["profile"]["origins"]["http"]) == (http, "command line")


def test_http_1_1_is_the_default_and_only_what_is_known_is_reported(
    pytester: pytest.Pytester, certificates: Certificates, app_url: str
) -> None:
    test = """
from requests.adapters import HTTPAdapter

@pytest.mark.ipload(users=2, iterations=2)
def test_load(visitor, ipload_user):
    assert visitor.get("/from").http_version == "1.1"
    with ipload_user.measure("another protocol"):
        pass
    visitor.mount(f"{visitor.base_url}/json", HTTPAdapter())
    assert visitor.get("/json", name="own adapter").ok
"""
    result, load = run(pytester, certificates.ca, app_url, test)
    result.assert_outcomes(passed=1)
    assert {row["name"]: row.get("http_version") for row in load["by_name"]} == {
        "GET /from": "1.1",
        "another protocol": None,
        "own adapter": None,
    }


def test_a_lease_for_each_iteration(
    pytester: pytest.Pytester, certificates: Certificates, nginx_h2: Http2Nginx
) -> None:
    test = """
@pytest.mark.ipload(users=1, iterations=6, pool="127.0.6.1-127.0.6.3", ip_binding="iteration", http="2")
def test_load(visitor, ipload_user):
    assert visitor.get("/").text.split()[0] == ipload_user.source_address
"""
    result, load = run(pytester, certificates.ca, nginx_h2.tls, test)
    result.assert_outcomes(passed=1)
    assert [(row["requests"], row["connections"]) for row in load["by_source"]] == [(2, 2)] * 3


def test_a_server_without_http_2_fails_the_load(
    pytester: pytest.Pytester, certificates: Certificates, nginx_h2: Http2Nginx
) -> None:
    test = "@pytest.mark.ipload(users=2, http=2)\ndef test_load(visitor):\n    visitor.get('/')\n"
    result, load = run(pytester, certificates.ca, nginx_h2.old_tls, test)
    result.assert_outcomes(failed=1)
    assert (load["verdict"], load["failed_requests"]) == ("failed", 2)
    [failure] = load["failures"]
    assert (failure["type"], failure["count"]) == ("HttpVersionRefused", 2)
    assert "does not speak HTTP/2" in failure["message"]
    assert "http_version" not in load["by_name"][0]


def test_a_functional_run_speaks_the_same_version(
    pytester: pytest.Pytester, certificates: Certificates, app_url: str
) -> None:
    test = TWO_REQUESTS.replace('"HTTP"', '"3"').replace("ipload(", 'ipload(http="3", ')
    result, _ = run(pytester, certificates.ca, app_url, test, "--ipload-disable")
    result.assert_outcomes(passed=1)


def test_blocked_users_are_interrupted_at_the_end_of_the_graceful_stop(
    pytester: pytest.Pytester, certificates: Certificates, app_url: str
) -> None:
    test = """
@pytest.mark.ipload(users=2, duration="50ms", graceful_stop="100ms", http="3")
def test_load(visitor):
    visitor.get("/slow?s=30")
"""
    result, load = run(pytester, certificates.ca, app_url, test)
    result.assert_outcomes(failed=1)
    assert [(each["type"], each["count"]) for each in load["failures"]] == [("IterationInterrupted", 2)]
    assert [(row["requests"], row["failed_requests"]) for row in load["by_name"]] == [(2, 2)]


def test_ctrl_c_ends_blocked_users(pytester: pytest.Pytester, certificates: Certificates, app_url: str) -> None:
    test = """
@pytest.mark.ipload(users=2, http="2", timeout="50s")
def test_load(visitor, ipload_user):
    if ipload_user.index == 0:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    visitor.get("/slow?s=40")
"""
    started = time.monotonic()
    result, _ = run(pytester, certificates.ca, app_url, test, "-s", in_process=False)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert time.monotonic() - started < 35


@pytest.mark.parametrize("http", ["2", "3"])
def test_without_the_extra_there_is_an_error_before_the_load(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, http: str
) -> None:
    monkeypatch.setitem(sys.modules, "pycurl", None)
    test = f"@pytest.mark.ipload(http={http!r})\ndef test_load(visitor):\n    print('it ran')\n"
    result, load = run(pytester, "", "http://127.0.0.1:9", test, "-s")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*http='{http}' needs pycurl, *: pip install 'pytest-ipload[[]http2]'"])
    result.stdout.no_fnmatch_line("it ran*")
    assert load["verdict"] == "error"
    (pytester.path / "out.json").unlink()
    result, _ = run(pytester, "", "http://127.0.0.1:9", test, f"--ipload-http={http}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--ipload-http: http='{http}' needs pycurl*pip install 'pytest-ipload[[]http2]'"])


def test_the_plan_counts_the_open_files_of_libcurl(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.ipload(users=1000)\ndef test_load(ipload_session): pass")
    for http, files in (("1.1", "1 100"), ("2", "4 100")):
        result = pytester.runpytest("--collect-only", "-v", f"--ipload-http={http}", "-p", "no:hypothesispytest")
        assert f"about {files} open files" in result.stdout.str().replace("\u202f", " ")


def test_the_tests_of_http_versions_md_pass(
    pytester: pytest.Pytester, certificates: Certificates, app_url: str
) -> None:
    text = (Path(__file__).parents[3] / "docs" / "http-versions.md").read_text(encoding="utf-8")
    pytester.makepyfile("\n\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)))
    shutil.copy(certificates.ca, pytester.path / "ca.pem")
    result = pytester.runpytest(f"--ipload-base-url={app_url}", "-W", "error", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=3)
