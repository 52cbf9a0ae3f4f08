"""Reports of whole runs: the terminal, JUnit XML, the JSON file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_ipload.load.generator.affinity import allowed_cpus

TESTS = """
    import pytest

    @pytest.mark.ipload(users=3, iterations=4)
    @pytest.mark.ipload_threshold("max < 1h", "error_rate < 50%")
    def test_passes(ipload_user):
        with ipload_user.step("checkout"), ipload_user.measure("GET /cart"):
            pass

    @pytest.mark.ipload(users=3, iterations=4)
    def test_fails(ipload_user):
        with ipload_user.measure("GET /cart"):
            pass
        if ipload_user.iteration >= 2:
            with ipload_user.measure("POST /orders"):
                raise ValueError("no stock")
        assert ipload_user.index < 2

    def test_ordinary():
        pass
"""


def json_report(path: str = "out.json") -> dict[str, Any]:
    report: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return report


def blocks(result: pytest.RunResult) -> dict[str, str]:
    """Verdicts by test, as the section of the terminal shows them."""
    found = [line.split("::")[1].split("  ") for line in result.outlines if "::test" in line and "  " in line]
    return dict(found)


class TestTerminal:
    def test_each_load_test_has_a_block(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(TESTS)
        result = pytester.runpytest()
        result.assert_outcomes(passed=2, failed=1)
        assert blocks(result) == {"test_passes": "PASSED", "test_fails": "FAILED"}
        result.stdout.fnmatch_lines(
            [
                "*= load tests =*",
                "test_*::test_passes  PASSED",
                "3 users, *, 12 iterations",
                "request *requests *rps *errors *p50 *p95 *p99 *max",
                "-----*",
                "GET /cart * 12 *",
                "step *count *errors *p50 *",
                "checkout * 12 *",
                "ok    max *, limit < 1h00m00s (12 requests)",
                "ok    error_rate 0 %, limit < 50 % (0 of 12 iterations failed)",
                "generator: healthy*",
                "",
                "test_*::test_fails  FAILED",
                "3 users, *, 12 iterations (8 failed)",
                "failed: 6 x ValueError at test_*.py:15: no stock",
                "failed: 2 x AssertionError at test_*.py:16: assert 2 < 2",
            ]
        )

    def test_all_lines_fit_into_eighty_columns(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        pytester.makepyfile(
            test_it="""
            import pytest

            @pytest.mark.ipload(users=2, iterations=5)
            def test_names(ipload_user):
                for name in ["GET /" + "x" * 200, "a|b", "a\\nb\\x1b[31m"]:
                    with ipload_user.measure(name):
                        pass
        """
        )
        output = pytester.runpytest("-q").outlines + pytester.runpytest().outlines
        assert any(r"a\nb\x1b[31m" in line for line in output)
        ours = [line for line in output if not line.startswith(("platform ", "rootdir: ", "plugins: "))]
        assert max(map(len, ours)) <= 80

    def test_a_suite_without_load_tests_has_none(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_ordinary(): pass")
        result = pytester.runpytest()
        result.stdout.no_fnmatch_line("*load tests*")
        result.stdout.no_fnmatch_line("*ipload results*")

    def test_with_q_only_loads_of_failed_tests_are_shown(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(TESTS)
        assert blocks(pytester.runpytest("-q")) == {"test_fails": "FAILED"}
        result = pytester.runpytest("-q", "-k", "passes")
        result.stdout.no_fnmatch_line("*load tests*")

    def test_an_expected_failure_says_so_and_is_none_with_q(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=TESTS.replace("def test_fails", "@pytest.mark.xfail\n    def test_fails"))
        assert blocks(pytester.runpytest())["test_fails"] == "FAILED (xfail)"
        pytester.runpytest("-q").stdout.no_fnmatch_line("*load tests*")

    def test_each_run_of_the_fixture_has_a_block(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            def test_two(ipload):
                for users in (1, 2):
                    result = ipload.run(lambda user: 1 / 0, users=users)
                    assert result.verdict == "failed"
        """)
        result = pytester.runpytest()
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["1 user, *1 iteration (1 failed)", "2 users, *2 iterations (2 failed)"])
        pytester.runpytest("-q").stdout.no_fnmatch_line("*load tests*")  # the test itself passed

    @pytest.mark.skipif(len(allowed_cpus()) < 1, reason="this system keeps no process on one CPU")
    def test_with_v_it_says_on_which_cpu_the_load_ran(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(TESTS)
        line = f"generator: healthy*, pinned to CPU {max(allowed_cpus())}"
        pytester.runpytest("-v", "-k", "passes").stdout.fnmatch_lines([line])
        pytester.runpytest("-k", "passes").stdout.no_fnmatch_line("*pinned*")

    def test_the_texts_of_exceptions_are_shown_and_not_obeyed(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import pytest

            @pytest.mark.ipload(users=2)
            def test_it(ipload_user):
                raise ValueError("\\x1b[31mred\\x07")
        """)
        result = pytester.runpytest("--tb=line")
        assert r":5: \x1b[31mred\x07 (first: user " in result.stdout.str()

    def test_an_invalid_measurement_says_why(self, pytester: pytest.Pytester, demo_url: str) -> None:
        pytester.makepyfile(f"""
            import pytest

            @pytest.mark.ipload(users=2, pool="192.0.2.1", base_url={demo_url!r})
            def test_it(ipload_session):
                ipload_session.get("/")
        """)
        result = pytester.runpytest("--ipload-pool-check=off")
        assert blocks(result) == {"test_it": "INVALID"}
        result.stdout.fnmatch_lines(["invalid: source-not-local: 2 times: *192.0.2.1*"])


class TestJUnit:
    def test_the_properties_are_the_main_numbers(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(TESTS)
        pytester.runpytest("--junitxml=junit.xml", "--ipload-json=out.json", "-o", "junit_family=xunit2")
        cases = {case.get("name"): case for case in ElementTree.parse("junit.xml").getroot().iter("testcase")}
        tests = {test["nodeid"].split("::")[1]: test for test in json_report()["tests"]}
        assert cases["test_ordinary"].findall("*") == []
        for name, test in tests.items():
            found = {each.get("name"): each.get("value") for each in cases[name].iter("property")}
            expected = {f"ipload_{key}": test[key] for key in ("verdict", "requests", "rps", "error_rate")}
            expected |= {f"ipload_{key}": test["latency"][key] for key in ("p50_ms", "p95_ms", "p99_ms")}
            assert found == {key: str(value) for key, value in expected.items()}
        assert (tests["test_fails"]["verdict"], tests["test_fails"]["failed_iterations"]) == ("failed", 8)


class TestJson:
    def test_it_has_the_numbers_of_all_load_tests(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=TESTS)
        result = pytester.runpytest("--ipload-json=new/out.json")
        report = json_report("new/out.json")
        assert (report["schema"], report["environment"]["packages"]["pytest"]) == (1, pytest.__version__)
        result.stdout.fnmatch_lines([f"ipload json report: {pytester.path / 'new' / 'out.json'}"])
        passes, fails = report["tests"]
        assert (passes["nodeid"], passes["verdict"], passes["reason"]) == ("test_it.py::test_passes", "passed", "")
        assert (passes["users"], passes["iterations"], passes["requests"], passes["error_rate"]) == (3, 12, 12, 0.0)
        assert [(step["name"], step["count"]) for step in passes["steps"]] == [("checkout", 12)]
        assert (fails["verdict"], fails["failed_iterations"], fails["failed_requests"]) == ("failed", 8, 6)
        assert [(row["name"], row["requests"], row["failed_requests"]) for row in fails["by_name"]] == [
            ("GET /cart", 12, 0),
            ("POST /orders", 6, 6),
        ]
        assert fails["reason"] == "error_rate 66.7 %, limit == 0 % (8 of 12 iterations failed)"
        assert sum(point["requests"] for point in fails["timeline"]) == 18

    def test_failures_are_grouped_by_type_and_place(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=TESTS)
        pytester.runpytest("--ipload-json=out.json")
        failures = {each["type"]: each for each in json_report()["tests"][1]["failures"]}
        assert {kind: (each["count"], each["location"]) for kind, each in failures.items()} == {
            "AssertionError": (2, "test_it.py:16"),
            "ValueError": (6, "test_it.py:15"),
        }
        assert failures["ValueError"]["message"] == "no stock"
        assert failures["AssertionError"]["first"] == {"user": 2, "iteration": 0}

    @pytest.mark.parametrize("options", [("-k", "ordinary"), ("--ipload-skip",)])
    def test_without_load_tests_it_is_there_and_empty(
        self, pytester: pytest.Pytester, options: tuple[str, ...]
    ) -> None:
        pytester.makepyfile(TESTS)
        pytester.runpytest("--ipload-json=out.json", *options)
        assert json_report()["tests"] == []

    def test_collecting_writes_none(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(TESTS)
        result = pytester.runpytest("--ipload-json=out.json", "--collect-only")
        assert not Path("out.json").exists()
        result.stdout.no_fnmatch_line("*ipload results*")

    @pytest.mark.parametrize("options", [(), ("-W", "error"), ("-q",)])
    def test_a_path_that_cannot_be_written_is_said_and_makes_the_exit_code_red(
        self, pytester: pytest.Pytester, options: tuple[str, ...]
    ) -> None:
        pytester.makepyfile(TESTS)
        pytester.makepyfile(test_a="from pathlib import Path\nPath('file').touch()")  # after the check of the path
        result = pytester.runpytest("--ipload-json=file/out.json", "-k", "passes", *options)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["--ipload-json: not written: *file*"])
        result.stdout.no_fnmatch_line("*ipload results*")

    def test_a_path_that_cannot_be_written_is_refused_before_the_load(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("raise AssertionError('must not be collected')")
        Path("file").touch()
        result = pytester.runpytest("--ipload-json=file/new/out.json")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            ["ERROR: --ipload-json: file/new/out.json cannot be written: */file is not a directory; give another path"]
        )

    @pytest.mark.usefixtures("xdist")
    def test_under_xdist_there_is_one_file_with_all_tests(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=TESTS)
        result = pytester.runpytest("--ipload-json=out.json", "-n2")
        result.assert_outcomes(passed=2, failed=1)
        verdicts = {test["nodeid"]: test["verdict"] for test in json_report()["tests"]}
        assert verdicts == {"test_it.py::test_passes": "passed", "test_it.py::test_fails": "failed"}
        assert blocks(result) == {"test_passes": "PASSED", "test_fails": "FAILED"}

    def test_a_relative_path_is_relative_to_where_the_session_began(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import os

            def test_it(ipload_user, tmp_path):
                os.chdir(tmp_path)
        """)
        result = pytester.run(sys.executable, "-m", "pytest", "--ipload-json=out.json")
        result.assert_outcomes(passed=1)
        assert len(json_report()["tests"]) == 1


class TestSummary:
    def test_auto_appends_to_the_summary_of_githubs_step(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "step.md")
        Path("step.md").write_text("before")
        pytester.makepyfile(test_it=TESTS)
        result = pytester.runpytest("--ipload-summary=auto", "-k", "passes")
        result.stdout.fnmatch_lines([f"ipload summary report: {pytester.path / 'step.md'}"])
        assert Path("step.md").read_text().startswith("before\n\n### Load tests: 1 passed\n")

    def test_elsewhere_auto_writes_nothing_and_says_so_with_v(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        pytester.makepyfile(test_it=TESTS)
        pytester.runpytest("--ipload-summary=auto", "-k", "passes").stdout.no_fnmatch_line("*summary*written*")
        remark = "--ipload-summary=auto: not written: the variable GITHUB_STEP_SUMMARY names no file"
        pytester.runpytest("--ipload-summary=auto", "-k", "passes", "-v").stdout.fnmatch_lines([remark])

    def test_two_reports_in_one_file_are_a_usage_error(self, pytester: pytest.Pytester) -> None:
        result = pytester.runpytest("--ipload-summary=out", "--ipload-hlog=out")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*--ipload-hlog and --ipload-summary: both are out; give each a file of its own*"])
