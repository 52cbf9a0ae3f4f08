"""Living together: with xdist, with other plugins, and with suites that have no load test."""

from __future__ import annotations

import html
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from xml.etree import ElementTree

import pytest
from support.plugins import without_others

import pytest_ipload

WHO_AM_I = """
    import pytest

    @pytest.mark.parametrize("number", range({tests}))
    @pytest.mark.ipload(users=8, iterations=3, base_url={url!r})
    def test_who(number, ipload_session, ipload_user, record_property):
        reply = ipload_session.get("/whoami").json()
        assert reply["address"] == ipload_user.source_address
"""
CONCURRENT = ("--ipload-concurrent", "--ipload-pool=127.0.3.0/29")
"""Load tests run whole, beside each other."""


def requires(module: str) -> pytest.MarkDecorator:
    """Other plugins are in the extra ``dev``; where CI=true they have to be there."""
    missing = importlib.util.find_spec(module) is None and os.environ.get("CI") != "true"
    return pytest.mark.skipif(missing, reason=f"{module} is missing; install it with pip install -e '.[dev]'")


class TestXdist:
    @requires("xdist")
    def test_two_workers_never_use_the_same_source_address(self, pytester: pytest.Pytester, demo_url: str) -> None:
        pytester.makepyfile(WHO_AM_I.format(url=demo_url, tests=6))
        result = pytester.runpytest("-n2", *CONCURRENT, "--ipload-json=out.json")
        result.assert_outcomes(passed=6)
        tests = json.loads((pytester.path / "out.json").read_text())["tests"]
        assert len(tests) == 6
        shares = {tuple(sorted(row["source_address"] for row in test["by_source"])) for test in tests}
        assert shares == {("127.0.3.1", "127.0.3.3", "127.0.3.5"), ("127.0.3.2", "127.0.3.4", "127.0.3.6")}

    @requires("xdist")
    def test_results_travel_to_the_one_report(self, pytester: pytest.Pytester, demo_url: str) -> None:
        pytester.makepyfile(WHO_AM_I.format(url=demo_url, tests=3))
        result = pytester.runpytest("-n2", "--junit-xml=out.xml", "--ipload-pool=127.0.3.0/29")
        result.assert_outcomes(passed=3)
        result.stdout.fnmatch_lines(["*= load tests =*", "*::test_who[[]*  PASSED"])
        cases = list(ElementTree.parse(pytester.path / "out.xml").getroot().iter("testcase"))
        verdicts = [each.get("value") for each in cases[0].iter("property") if each.get("name") == "ipload_verdict"]
        assert (len(cases), verdicts) == (3, ["passed"])

    @requires("xdist")
    def test_more_workers_than_addresses_share_them(self, pytester: pytest.Pytester, demo_url: str) -> None:
        pytester.makepyfile(WHO_AM_I.format(url=demo_url, tests=1))
        options = ("--ipload-users=6", "--ipload-pool=127.0.3.1-127.0.3.2", "--ipload-json=out.json")
        result = pytester.runpytest("-n3", *options, "--ipload-threshold=ip_pool_usage == 100%")
        result.assert_outcomes(passed=1)
        [test] = json.loads((pytester.path / "out.json").read_text())["tests"]
        assert [row["source_address"] for row in test["by_source"]] == ["127.0.3.1", "127.0.3.2"]
        assert (len(test["shards"]), "unused_addresses" in test) == (3, False)

    @requires("xdist")
    def test_fewer_addresses_than_workers_are_an_error_where_each_user_wants_one_alone(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile(
            """
            import pytest

            @pytest.mark.ipload(users=6, ip_exclusive=True)
            def test_it(ipload_user):
                pass
            """
        )
        result = pytester.runpytest("-n3", "--ipload-pool=127.0.3.1-127.0.3.2")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*2 addresses are not enough for 3 shards*"])

    @requires("xdist")
    def test_a_worker_that_replaces_a_crashed_one_takes_over_its_share(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        pytester.makepyfile(
            f"""
            import os, pytest

            @pytest.mark.parametrize("number", range(8))
            @pytest.mark.ipload(users=4, base_url={demo_url!r})
            def test_who(number, ipload_session, ipload_user):
                if number == 1:
                    os._exit(1)
                assert ipload_session.get("/whoami").json()["address"] == ipload_user.source_address
            """
        )
        result = pytester.runpytest_subprocess("-n2", *CONCURRENT, "--ipload-json=out.json")
        result.assert_outcomes(passed=7, failed=1)
        tests = json.loads((pytester.path / "out.json").read_text())["tests"]
        shares = Counter(tuple(sorted(row["source_address"] for row in test["by_source"])) for test in tests)
        assert set(shares) == {("127.0.3.1", "127.0.3.3", "127.0.3.5"), ("127.0.3.2", "127.0.3.4", "127.0.3.6")}

    def test_the_plugin_works_without_xdist(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_it(ipload_user): pass")
        pytester.runpytest("-p", "no:xdist").assert_outcomes(passed=1)


class TestOtherPlugins:
    @requires("pytest_locust")
    def test_locust(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, demo_url: str) -> None:
        for name in ("PYTEST_ADDOPTS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS"):
            monkeypatch.delenv(name)  # all of them are there, as where somebody has installed them all
        pytester.makepyfile(WHO_AM_I.format(url=demo_url, tests=1))
        # locust's plugin imports gevent, which warns when ssl is there already.
        result = pytester.runpytest_subprocess("--ipload-pool=127.0.3.0/29", "-p", "no:randomly", "-W", "ignore")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["plugins:*locust*"])

    @requires("pytest_timeout")
    @pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="pytest-timeout interrupts by a signal on POSIX only")
    def test_a_timeout_stops_the_load_and_leaves_no_user(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import threading, pytest

            def test_before(ipload_user):
                "What a load imports first is not for the other's second."

            @pytest.mark.timeout(2, method="signal")
            @pytest.mark.ipload(users=3, duration="60s", think_time="10ms")
            def test_long(ipload_user):
                pass

            def test_after():
                assert [t.name for t in threading.enumerate() if t.name.startswith("ipload-user")] == []
            """
        )
        result = pytester.runpytest_subprocess("-p", "timeout", "-p", "no:randomly")
        result.assert_outcomes(failed=1, passed=2)
        result.stdout.fnmatch_lines(["*Timeout*2*s*", "invalid: the load was aborted by Failed"])

    @requires("pytest_randomly")
    def test_randomly_does_not_change_the_users_own_random_streams(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTEST_ADDOPTS", without_others("randomly"))
        pytester.makepyfile(
            test_r="""
            import pytest

            @pytest.mark.ipload(users=3)
            def test_draw(ipload_user, record_property):
                record_property(f"draw{ipload_user.index}", ipload_user.random.random())
            """
        )
        draws = []
        for seed in ("1", "2"):
            result = pytester.runpytest_subprocess(f"--randomly-seed={seed}", "--junit-xml=out.xml")
            result.assert_outcomes(passed=1)
            root = ElementTree.parse(pytester.path / "out.xml").getroot()
            draws.append({p.get("name"): p.get("value") for p in root.iter("property") if "draw" in str(p.get("name"))})
        assert len(draws[0]) == 3
        assert draws[0] == draws[1]

    @requires("pytest_rerunfailures")
    def test_a_rerun_is_a_whole_load_and_its_result_replaces_the_first(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTEST_ADDOPTS", without_others("rerunfailures"))
        pytester.makepyfile(
            """
            import pytest

            runs = []

            @pytest.fixture
            def run():
                runs.append(1)
                return len(runs)

            @pytest.mark.flaky(reruns=1)
            @pytest.mark.ipload(users=3, iterations=2)
            def test_it(ipload_user, run):
                with ipload_user.measure("X"):
                    assert run == 2
            """
        )
        result = pytester.runpytest_subprocess("--junit-xml=out.xml", "--ipload-json=out.json")
        result.assert_outcomes(passed=1)
        assert result.parseoutcomes()["rerun"] == 1
        (test,) = json.loads((pytester.path / "out.json").read_text())["tests"]
        assert (test["verdict"], test["requests"], test["failed_requests"]) == ("passed", 6, 0)
        names = [p.get("name") for p in ElementTree.parse(pytester.path / "out.xml").getroot().iter("property")]
        assert names.count("ipload_verdict") == 1

    def test_a_base_url_fixture_with_a_mistake_is_not_ignored(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(
            """
            import pytest

            @pytest.fixture
            def base_url(sevrer):
                return sevrer.url
            """
        )
        pytester.makepyfile("def test_it(ipload_session): pass")
        result = pytester.runpytest()
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*fixture 'sevrer' not found*"])

    @requires("pytest_base_url")
    def test_the_base_url_of_pytest_base_url_is_used(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, demo_url: str
    ) -> None:
        monkeypatch.setenv("PYTEST_ADDOPTS", without_others("base_url"))
        pytester.makepyfile(
            """
            def test_it(ipload_session):
                assert ipload_session.get("/whoami").ok
            """
        )
        options = ["--ipload-json=out.json"]
        result = pytester.runpytest_subprocess(f"--base-url={demo_url}", *options)
        result.assert_outcomes(passed=1)
        (test,) = json.loads((pytester.path / "out.json").read_text())["tests"]
        assert test["profile"]["origins"]["base_url"] == "base_url fixture"

    @requires("pytest_html")
    @pytest.mark.parametrize("options", [(), ("-n2",)])
    def test_pytest_html_shows_the_load_in_its_report(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
    ) -> None:
        if options and importlib.util.find_spec("xdist") is None:
            pytest.skip("pytest-xdist is missing; install it with 'pip install pytest-xdist'")
        monkeypatch.setenv("PYTEST_ADDOPTS", without_others("html", "html_fixtures", "metadata"))
        pytester.makepyfile(
            test_it="""
            import pytest

            @pytest.mark.ipload(iterations=2)
            def test_load(ipload_user, extras):
                extras.append({"format_type": "text", "name": "own", "content": "x", "extension": "txt",
                               "mime_type": "text/plain"})
                with ipload_user.measure("<b>VISIT</b>"):
                    pass

            def test_ordinary():
                pass
            """
        )
        result = pytester.runpytest_subprocess(
            *("-W", "error", "--ipload-users=2"),
            *("--html=out.html", "--self-contained-html", *options),
        )
        result.assert_outcomes(passed=2)
        page = (pytester.path / "out.html").read_text(encoding="utf-8")
        report = json.loads(html.unescape(page.partition('data-jsonblob="')[2].partition('"')[0]))
        [ordinary] = report["tests"]["test_it.py::test_ordinary"]
        assert ordinary["extras"] == []
        [load] = report["tests"]["test_it.py::test_load"]
        *own, block = load["extras"]
        assert {each["name"] for each in own} == {"own"}
        assert block["content"].startswith('<pre class="ipload">load test PASSED\n2 users, ')
        assert "&lt;b&gt;VISIT&lt;/b&gt; " in block["content"]
        version = pytest_ipload.__version__
        assert report["environment"]["pytest-ipload"] == {"version": version, "--ipload-users": "2"}

    @requires("pytest_metadata")
    def test_pytest_metadata_says_nothing_of_us_without_settings(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTEST_ADDOPTS", without_others("metadata"))
        pytester.makepyfile("def test_it(metadata): assert 'pytest-ipload' not in metadata")
        result = pytester.runpytest_subprocess()
        result.assert_outcomes(passed=1)

    @requires("pytest_github_actions_annotate_failures")
    @pytest.mark.parametrize("options", [(), ("-n2",)])
    def test_github_annotates_each_failure_once(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
    ) -> None:
        if options and importlib.util.find_spec("xdist") is None:
            pytest.skip("pytest-xdist is missing; install it with 'pip install pytest-xdist'")
        monkeypatch.setenv("PYTEST_ADDOPTS", without_others("pytest_github_actions_annotate_failures"))
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "step.md"))
        pytester.makepyfile(
            test_it="""
            import pytest

            @pytest.mark.ipload(users=2)
            def test_fails(ipload_user):
                with ipload_user.measure("X"):
                    raise ValueError("::error::no\\n::set-output name=x::y")

            @pytest.mark.ipload(users=2)
            def test_passes(ipload_user):
                pass
            """
        )
        result = pytester.runpytest_subprocess(*("-q", "--ipload-summary=auto", *options))
        result.assert_outcomes(passed=1, failed=1)
        commands = [line for line in [*result.outlines, *result.errlines] if line.startswith("::")]
        [command] = commands
        assert command.startswith("::error file=test_it.py,line=3::test_fails%0A%0A")
        assert "error_rate 100 %25, limit == 0 %25 (2 of 2 iterations failed)" in command
        assert (pytester.path / "step.md").read_text().startswith("### Load tests: 1 passed, 1 failed\n")


class TestSuitesWithoutLoadTests:
    def test_they_see_nothing_of_the_plugin(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_it(): pass")
        result = pytester.runpytest("-v")
        result.assert_outcomes(passed=1)
        lines = [line for line in result.outlines if "ipload" in line and not line.startswith("plugins:")]
        assert lines == []

    def test_the_plugin_can_be_switched_off(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_it(): pass")
        pytester.runpytest_subprocess("-p", "no:ipload").assert_outcomes(passed=1)
        result = pytester.runpytest_subprocess("-p", "no:ipload", "--ipload-users=3")
        assert result.ret == pytest.ExitCode.USAGE_ERROR


class TestControlC:
    def test_it_stops_the_load_at_once_and_prints_what_was_measured(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import pathlib, pytest

            @pytest.fixture
            def visitor(ipload_user):
                yield ipload_user
                with pathlib.Path("left").open("a") as file:
                    file.write("x")

            @pytest.mark.ipload(users=4, duration="60s", think_time="5ms")
            def test_long(visitor):
                with visitor.measure("VISIT"):
                    pathlib.Path("started").touch()
            """
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "--ipload-json=out.json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=pytester.path,
        )
        deadline = time.monotonic() + 30
        while not (pytester.path / "started").exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)  # polls for a file of another process; there is no event to wait for
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        output, _ = process.communicate(timeout=30)
        text = output.decode()
        assert process.returncode == pytest.ExitCode.INTERRUPTED
        assert "invalid: the load was aborted by KeyboardInterrupt" in text
        assert "VISIT" in text
        assert (pytester.path / "left").read_text() == "xxxx"
        (test,) = json.loads((pytester.path / "out.json").read_text())["tests"]
        assert test["verdict"] == "invalid"
        assert test["requests"] > 0
        assert time.monotonic() - sent < 10  # generous for a busy machine; the load itself lasts 60 s
