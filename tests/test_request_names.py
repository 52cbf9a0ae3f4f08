"""Loads whose requests are named by URL templates: the ini key ``ipload_names``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.http_server import RecordingServer
from support.whole_run import whole_run

from pytest_ipload import LoadSession
from pytest_ipload.base.errors import SettingError

INI = "[pytest]\nipload_names =\n    /bytes/{size}\n    /status/{code}\n"


def names_of_requests() -> dict[str, int]:
    [test] = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
    return {row["name"]: row["requests"] for row in test["by_name"]}


def test_requests_are_named_by_templates_whatever_the_way_they_take(pytester: pytest.Pytester, demo_url: str) -> None:
    pytester.makeini(INI)
    source = """
        @pytest.mark.ipload(users=2, iterations=3)
        @pytest.mark.ipload_threshold("p95{GET /bytes/{size}} < 1h", "max{*/{code}} < 1h")
        @pytest.mark.ipload_threshold("requests{GET /bytes/*} == 18")
        def test_it(ipload_session, ipload_user):
            for number in range(3):
                size = 100 * ipload_user.index + 10 * ipload_user.iteration + number
                assert ipload_session.get(f"/bytes/{size}?page={number}").ok
            ipload_session.get("/bytes/7", name="seven")
            ipload_session.get("/status/200", hooks={"response": lambda *_, **__: None})  # by requests
            ipload_session.get("/status/503", expect=503)
            ipload_session.get("/whoami")
    """
    run = whole_run(pytester, source, "--ipload-json=out.json", f"--ipload-base-url={demo_url}", passed=1)
    assert names_of_requests() == {"GET /bytes/{size}": 18, "seven": 6, "GET /status/{code}": 12, "GET /whoami": 6}
    run.expect_lines("*p95{GET /bytes/{size}}*")


def test_a_failure_is_named_by_its_template_too(pytester: pytest.Pytester, demo_url: str) -> None:
    pytester.makeini(INI)
    source = """
        @pytest.mark.ipload(users=1, iterations=3)
        def test_it(ipload_session, ipload_user):
            ipload_session.get(f"/status/{500 + ipload_user.iteration}")
    """
    run = whole_run(pytester, source, f"--ipload-base-url={demo_url}", failed=1)
    run.expect_lines("*GET /status/{code} answered 500*")


def test_more_urls_than_names_are_kept_are_one_name(pytester: pytest.Pytester, demo_url: str) -> None:
    source = """
        @pytest.mark.ipload(users=2, iterations=1100)
        @pytest.mark.ipload_threshold("p95{GET /bytes/*} < 1h")
        def test_it(ipload_session, ipload_user):
            ipload_session.get(f"/bytes/{2 * ipload_user.iteration + ipload_user.index}")
    """
    run = whole_run(pytester, source, f"--ipload-base-url={demo_url}", failed=1)
    run.expect_lines("*more than 1 000 names*by the ini key ipload_names (/items/{id})*")
    pytester.makeini(INI)
    whole_run(pytester, source, "--ipload-json=out.json", f"--ipload-base-url={demo_url}", passed=1)
    assert names_of_requests() == {"GET /bytes/{size}": 2200}


def test_saved_runs_are_compared_by_templates(pytester: pytest.Pytester, demo_url: str) -> None:
    pytester.makeini(INI)
    source = """
        @pytest.mark.ipload(users=2, iterations=5)
        def test_it(ipload_session, ipload_user):
            ipload_session.get(f"/bytes/{ipload_user.iteration}")
    """
    whole_run(pytester, source, "--ipload-save=main", f"--ipload-base-url={demo_url}", passed=1)
    limits = ("--ipload-compare-fail=p95{GET /bytes/{size}}:10%,1h", "--ipload-compare=main")
    run = whole_run(pytester, source, *limits, f"--ipload-base-url={demo_url}", passed=1)
    run.expect_lines("*p95{GET /bytes/{size}}*")


def test_a_template_that_is_wrong_ends_the_run_before_collection(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nipload_names =\n    /items/{id\n")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: ini key ipload_names: line '/items/{id': a '{' has no '}'"])


def test_a_session_of_your_own_takes_templates() -> None:
    samples: list[str] = []
    with (
        RecordingServer() as server,
        LoadSession(
            base_url=server.url(), names=["/a/{b}"], record=lambda sample: samples.append(sample.name)
        ) as session,
    ):
        session.get("/a/1")
        session.get("/a/2", name="mine")
        session.get("/c")
        session.get("/a/3", stream=True).close()
    assert samples == ["GET /a/{b}", "mine", "GET /c", "GET /a/{b}"]


@pytest.mark.parametrize("names", ["/a/{b}", ["/a/{"]])
def test_templates_of_a_session_are_checked(names: object) -> None:
    make: Callable[..., LoadSession] = LoadSession
    with pytest.raises(SettingError, match=r"^names"):
        make(names=names)
