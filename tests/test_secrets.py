"""Whole runs with a secret in each place where one can be: none of them is shown, written or sent anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.http_server import RecordingServer

SECRET = "S3cr3tXq"

TESTS = """
    import logging
    import os

    import pytest
    import requests

    def secret():
        return os.environ["THE_SECRET"]

    def raise_for(session, **kwargs):
        session.get("/status/500?token=" + secret() + "&page=2", **kwargs).raise_for_status()

    @pytest.fixture
    def broken(ipload_session):
        ipload_session.get("/status/401?api_key=" + secret()).raise_for_status()

    @pytest.fixture
    def left_dirty(ipload_session):
        yield ipload_session
        raise RuntimeError("left at http://joe:" + secret() + "@127.0.0.1/?sig=" + secret())

    @pytest.mark.ipload(users=2, iterations=3)
    @pytest.mark.ipload_threshold("max{GET /x?token=" + os.environ["THE_SECRET"] + "} < 1h")
    def test_passes(ipload_session, ipload_user):
        print("sent to http://joe:" + secret() + "@127.0.0.1/")
        logging.getLogger("x").warning("Authorization: Bearer " + secret())
        ipload_session.get("/hello?token=" + secret())
        ipload_session.get("/hello;jsessionid=" + secret())
        ipload_session.get("/hello", name="GET /x?token=" + secret())
        with ipload_user.step("log in at http://joe:" + secret() + "@here/"):
            pass
        with ipload_user.measure("call?password=" + secret()):
            pass

    @pytest.mark.ipload(users=2, iterations=2)
    def test_status(ipload_session):
        raise_for(ipload_session, headers={"Authorization": "Bearer " + secret(), "Cookie": "sid=" + secret()})

    @pytest.mark.ipload(users=2, iterations=2)
    def test_refused(ipload_session):
        ipload_session.headers["X-Api-Key"] = secret()
        ipload_session.cookies["sid"] = secret()
        ipload_session.post(
            "http://joe:" + secret() + "@127.0.0.1:1/a?access_token=" + secret(),
            data={"password": secret()}, auth=("joe", secret()), params={"signature": secret()},
        )

    @pytest.mark.ipload(users=2, iterations=2)
    def test_proxy(ipload_session):
        ipload_session.get("http://127.0.0.1:1/", proxies={"http": "http://joe:" + secret() + "@127.0.0.1:1"})

    def test_functional(ipload_session):
        raise_for(ipload_session, auth=("joe", secret()), cookies={"sid": secret()})

    def test_own_adapter(ipload_session):
        ipload_session.mount("http://", requests.adapters.HTTPAdapter())
        ipload_session.get(
            "http://127.0.0.1:1/?token=" + secret(),
            headers={"Authorization": "Basic " + secret()},
            json={"token": secret()},
        )

    @pytest.mark.ipload(users=2, iterations=1)
    def test_forms(ipload_session):
        ipload_session.post("/status/500", data={"user[password]": secret()}, name="nested")
        ipload_session.post("/status/500", files={"password": (None, secret())}, name="parts")
        ipload_session.post("/status/500", json={"credentials": [{"value": secret()}]}, name="deep")
        ipload_session.post("/status/500", data="<Password>" + secret() + "</Password>", name="xml")
        ipload_session.get("/status/500?user%5Bpassword%5D=" + secret())
        url = "http://joe:" + secret() + "@127.0.0.1/?token=" + secret()
        ipload_session.get("/status/500", params={"to": url}, name="to").raise_for_status()

    @pytest.mark.ipload(users=2, iterations=2)
    def test_set_up(broken):
        pass

    @pytest.mark.ipload(users=2, iterations=2)
    def test_tear_down(left_dirty):
        pass

    @pytest.mark.ipload(users=2, iterations=2)
    def test_not_allowed(ipload_session):
        ipload_session.get("http://joe:" + secret() + "@evil.example/?token=" + secret())

    @pytest.mark.ipload(base_url="ftp://joe:" + secret() + "@127.0.0.1/")
    def test_bad_marker(ipload_session):
        pass

    def test_skips(ipload_session):
        pytest.skip("nothing at http://joe:" + secret() + "@127.0.0.1/")

    def test_run(ipload):
        result = ipload.run(lambda user: raise_for(user.session), users=2, iterations=2)
        assert result.verdict == "passed", result
"""
REPORTS = [f"--ipload-{kind}={kind}.out" for kind in ("json", "html", "summary", "hlog", "jsonl", "openmetrics")] + [
    "--junit-xml=junit.xml"
]


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> Iterator[str]:
    monkeypatch.setenv("THE_SECRET", SECRET)
    pytester.makepyfile(TESTS)
    with RecordingServer() as server:
        yield f"http://joe:{SECRET}@127.0.0.1:{server.port}"


def leaks(result: pytest.RunResult, folder: Path) -> list[str]:
    """The lines with a secret: of the terminal, and of all files that were written."""
    texts = {"stdout": result.outlines, "stderr": result.errlines}
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            texts[str(path)] = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [f"{place}: {line:.300}" for place, lines in texts.items() for line in lines if SECRET in line]


@pytest.mark.parametrize(
    "options",
    [
        ["-l", "--full-trace", "-vv", "-rA", "--log-level=DEBUG"],
        ["-l", "--tb=short"],
        ["--tb=native", "--showlocals", "--full-trace"],
        ["-n2", "-l", "--full-trace"],
        ["--ipload-rounds=2", "--ipload-against"],
    ],
    ids=["full", "short", "native", "xdist", "rounds"],
)
def test_no_report_has_a_secret(pytester: pytest.Pytester, target: str, options: list[str]) -> None:
    options = [f"{each}={target}" if each == "--ipload-against" else each for each in options]
    result = pytester.runpytest_subprocess(
        f"--ipload-base-url={target}", "--ipload-progress=log", *REPORTS, "--ipload-save=x", *options
    )
    assert result.ret == 1
    assert leaks(result, pytester.path) == []
    assert "joe:***@127.0.0.1" in (pytester.path / "json.out").read_text()
    assert "/status/500?token=***&page=2" in result.stdout.str()
    assert "GET /x?token=***" in (pytester.path / "json.out").read_text()


def test_runs_with_secrets_are_compared(pytester: pytest.Pytester, target: str) -> None:
    arguments = [f"--ipload-base-url={target}", "-k", "test_passes", "--ipload-compare-fail=p50:900%"]
    for option in ("--ipload-save=x", "--ipload-compare=x"):
        result = pytester.runpytest_subprocess(*arguments, "--ipload-json=x.json", option)
        assert result.ret == 0
        assert leaks(result, pytester.path) == []
    [test] = json.loads((pytester.path / "x.json").read_text())["tests"]
    assert test["baseline"]["runs"]


def test_segments_with_secrets_are_merged(pytester: pytest.Pytester, target: str) -> None:
    for number in (0, 1):
        result = pytester.runpytest_subprocess(
            f"--ipload-base-url={target}", "-k", "passes or status", f"--ipload-segment={number}/2",
            f"--ipload-json=part{number}.json",
        )  # fmt: skip
        assert leaks(result, pytester.path) == []
    result = pytester.runpython_c(
        "from pytest_ipload.cli.main import main; raise SystemExit(main("
        "['merge', 'part0.json', 'part1.json', '--json', 'all.json', '--junit', 'all.xml', '--html', 'all.html']))"
    )
    assert result.ret == 1
    assert leaks(result, pytester.path) == []
    assert "joe:***@127.0.0.1" in (pytester.path / "all.json").read_text()


def test_plans_have_none(pytester: pytest.Pytester, target: str) -> None:
    result = pytester.runpytest_subprocess(f"--ipload-base-url={target}", "--collect-only", "-v")
    assert leaks(result, pytester.path) == []
    result.stdout.fnmatch_lines(["*test_passes: 2 users*http://joe:[*][*][*]@127.0.0.1:*"])


@pytest.mark.parametrize(
    "given",
    [
        f"ftp://joe:{SECRET}@127.0.0.1/", f"joe:{SECRET}@127.0.0.1", f"http:/joe:{SECRET}@h", f"http://joe:{SECRET}/x@h:x",
        f"http://joe:{SECRET}@h:port/", f"http://joe:{SECRET}@/", f"http://?token={SECRET}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("option", ["--ipload-base-url", "--ipload-against"])
def test_usage_errors_have_none(pytester: pytest.Pytester, given: str, option: str) -> None:
    result = pytester.runpytest(f"{option}={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert SECRET not in result.stdout.str() + result.stderr.str()


def test_what_is_sent_has_the_real_values(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_SECRET", SECRET)
    pytester.makepyfile(TESTS)
    with RecordingServer() as server:
        pytester.runpytest_subprocess(f"--ipload-base-url=http://joe:{SECRET}@127.0.0.1:{server.port}", "-k", "passes")
        assert any(SECRET in hit for hit in map(str, server.hits))


def test_ordinary_tests_are_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_ordinary():\n    raise ValueError('http://joe:pass@shop/?token=abc')")
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["E*ValueError: http://joe:pass@shop/[?]token=abc"])
