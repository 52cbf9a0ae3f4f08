"""Load tests that end in an error: whole runs. Each is in every report, with what was measured until then."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any
from xml.etree import ElementTree

import pytest
from support.readers import validator
from support.whole_run import whole_run

from pytest_ipload.cli.main import FAILED, main
from pytest_ipload.report.error_results import add_test_error, reason_of

ALL_REPORTS = (
    "--ipload-json=out.json",
    "--ipload-summary=out.md",
    "--ipload-html=out.html",
    "--ipload-hlog=out.hlog",
    "--ipload-openmetrics=out.om",
    "--ipload-jsonl=out.jsonl",
    "--junit-xml=out.xml",
)

SET_UP_ERRORS = {
    "a user's fixture": (
        """
        @pytest.fixture
        def login(ipload_user):
            if ipload_user.index == 1:
                raise ConnectionError("refused by http://joe:pass@shop/?token=abc")

        @pytest.mark.ipload(users=2)
        def test_it(login): pass
        """,
        "set-up of user 1 failed: ConnectionError: refused by http://joe:***@shop/?token=*** (test_it.py:",
    ),
    "a shared fixture": (
        """
        @pytest.fixture(scope="module")
        def server():
            raise OSError("cannot listen")

        def test_it(server, ipload_user): pass
        """,
        "the set-up failed: OSError: cannot listen (test_it.py:",
    ),
    "a fixture that does not exist": (
        "def test_it(ipload_user, sever): pass",
        "the set-up failed: fixture 'sever' not found",
    ),
    "a key of the marker": (
        "@pytest.mark.ipload(userz=2)\ndef test_it(): pass",
        "the set-up failed: marker ipload: unknown key 'userz'",
    ),
    "the name of a marker": (
        "@pytest.mark.iploads(users=2)\ndef test_it(): pass",
        "the set-up failed: unknown marker 'iploads'",
    ),
    "a pool": (
        "@pytest.mark.ipload(pool='192.0.2.7')\ndef test_it(ipload_user): pass",
        "the set-up failed: ",
    ),
    "a kind of test": (
        "import unittest\n@pytest.mark.ipload\nclass TestIt(unittest.TestCase):\n    def test_it(self): pass",
        "the set-up failed: unittest.TestCase methods cannot be load tests",
    ),
    "a fixture of a test that would run a load": (
        """
        @pytest.fixture
        def server():
            raise OSError("cannot listen")

        def test_it(server, ipload): ipload.run(print)
        """,
        "the set-up failed: OSError: cannot listen (test_it.py:",
    ),
}


def results_of(path: str = "out.json") -> list[dict[str, Any]]:
    report = json.loads(Path(path).read_text(encoding="utf-8"))
    validator().validate(report)
    found: list[dict[str, Any]] = report["tests"]
    return found


def heading() -> str:
    return Path("out.md").read_text(encoding="utf-8").splitlines()[0]


class TestSetUp:
    @pytest.mark.parametrize("case", SET_UP_ERRORS)
    def test_it_is_in_every_report(self, pytester: pytest.Pytester, case: str) -> None:
        source, reason = SET_UP_ERRORS[case]
        run = whole_run(pytester, source, *ALL_REPORTS, "-W", "ignore::pytest.PytestUnknownMarkWarning")
        assert (run.result.ret, run.result.parseoutcomes()) == (1, {"errors": 1})
        [test] = results_of()
        assert (test["verdict"], "requests" in test) == ("error", False)
        assert test["reason"].startswith(reason)
        assert heading() == "### Load tests: 1 error"
        first_line = test["reason"].partition("\n")[0]
        assert first_line[:100].replace("|", r"\|") in Path("out.md").read_text(encoding="utf-8")
        assert "1 error" in Path("out.html").read_text(encoding="utf-8")
        assert 'ipload_verdict="error"} 1' in Path("out.om").read_text(encoding="utf-8")
        run.result.stdout.no_fnmatch_line("*could not be made*")
        run.expect_lines("*= load tests =*", f"{test['nodeid']}  ERROR", "error: *set-up*failed: *")
        [suite] = ElementTree.parse("out.xml").getroot()
        assert suite.attrib["errors"] == "1"
        [verdict] = suite.iterfind(".//property[@name='ipload_verdict']")
        assert verdict.attrib["value"] == "error"

    def test_the_settings_are_told_where_they_are_known(self, pytester: pytest.Pytester) -> None:
        whole_run(pytester, SET_UP_ERRORS["a user's fixture"][0], "--ipload-json=out.json")
        assert results_of()[0]["profile"]["users"] == 2

    def test_others_keep_their_results_and_the_summary_is_not_green(self, pytester: pytest.Pytester) -> None:
        source = f"def test_first(ipload_user): pass\n{SET_UP_ERRORS['a shared fixture'][0].replace('        ', '')}"
        whole_run(pytester, source, *ALL_REPORTS, passed=1, errors=1)
        assert [test["verdict"] for test in results_of()] == ["passed", "error"]
        assert heading() == "### Load tests: 1 passed, 1 error"

    def test_quiet_shows_it(self, pytester: pytest.Pytester) -> None:
        run = whole_run(pytester, SET_UP_ERRORS["a shared fixture"][0], "-q")
        run.expect_lines("test_it.py::test_it  ERROR")

    def test_one_that_was_expected_is_an_error_of_the_load_all_the_same(self, pytester: pytest.Pytester) -> None:
        source = SET_UP_ERRORS["a shared fixture"][0].replace("def test_it", "@pytest.mark.xfail\n        def test_it")
        run = whole_run(pytester, source, "--ipload-json=out.json", xfailed=1)
        assert results_of()[0]["verdict"] == "error"
        run.expect_lines("test_it.py::test_it  ERROR (xfail)")

    @pytest.mark.parametrize("where", ["server", "ipload_user"])
    def test_one_that_was_skipped_is_absent(self, pytester: pytest.Pytester, where: str) -> None:
        source = f"""
            @pytest.fixture
            def server(): pass

            @pytest.fixture
            def no({where}): pytest.skip("not here")

            def test_it(no, ipload_user): pass
        """
        whole_run(pytester, source, "--ipload-json=out.json", skipped=1)
        assert results_of() == []

    def test_it_is_never_saved(self, pytester: pytest.Pytester) -> None:
        run = whole_run(pytester, SET_UP_ERRORS["a shared fixture"][0], "--ipload-save=main")
        run.expect_lines("not saved: test_it.py::test_it: its load is error")
        assert not Path(".ipload").exists()

    def test_a_rerun_replaces_it(self, pytester: pytest.Pytester) -> None:
        pytest.importorskip("pytest_rerunfailures")
        source = """
            runs = []

            @pytest.fixture
            def server():
                runs.append(1)
                if len(runs) == 1:
                    raise OSError("cannot listen")

            def test_it(server, ipload_user): pass
        """
        whole_run(pytester, source, *ALL_REPORTS, "-p", "rerunfailures", "--reruns=1", passed=1)
        assert [test["verdict"] for test in results_of()] == ["passed"]
        [verdict] = ElementTree.parse("out.xml").getroot().iterfind(".//property[@name='ipload_verdict']")
        assert verdict.attrib["value"] == "passed"


LATE = """
    @pytest.fixture
    def login(ipload_user):
        if ipload_user.index == 1:
            raise ConnectionError("refused")
        return ipload_user

    @pytest.mark.ipload(users=2, ramp_up="400ms", duration="400ms", set_up="on-arrival")
    def test_it(login):
        with login.measure("call"):
            threading.Event().wait(0.01)
"""


class TestWhileTheLoadRuns:
    @pytest.mark.parametrize("workers", [[], ["-n2"]])
    @pytest.mark.usefixtures("xdist")
    def test_what_was_measured_is_there(self, pytester: pytest.Pytester, workers: list[str]) -> None:
        run = whole_run(pytester, LATE, *ALL_REPORTS, *workers, errors=1)
        [test] = results_of()
        assert test["verdict"] == "error"
        assert test["reason"].startswith("set-up of user 1 failed: ConnectionError: refused (test_it.py:")
        assert test["requests"] > 0
        assert test["traceback"]["type"] == "ConnectionError"
        assert heading() == "### Load tests: 1 error"
        run.expect_lines("test_it.py::test_it  ERROR", "* user*, *", "error: set-up of user 1 failed: *", "call *")

    @pytest.mark.parametrize("workers", [[], ["-n2"]])
    @pytest.mark.usefixtures("xdist")
    def test_in_a_later_round_the_earlier_ones_are_there(self, pytester: pytest.Pytester, workers: list[str]) -> None:
        source = """
            rounds = []

            @pytest.fixture
            def login(ipload_user):
                rounds.append(1)
                if len(rounds) == 2 and ipload_user.index == 0:
                    raise ConnectionError("refused")

            @pytest.mark.ipload(users=2, iterations=2)
            def test_it(login, ipload_user): pass
        """
        source = source.replace("len(rounds) == 2", "len(rounds) > 1" if workers else "len(rounds) == 3")
        whole_run(pytester, source, *ALL_REPORTS, *workers, "--ipload-rounds=3", errors=1)
        [test] = results_of()
        assert (test["verdict"], len(test["rounds"]), test["iterations"]) == ("error", 1, 4)
        assert test["reason"].startswith("set-up of user 0 failed: ConnectionError: refused")


@pytest.mark.usefixtures("xdist")
class TestUnderXdist:
    @pytest.mark.parametrize("options", [["-n2"], ["-n2", "--ipload-concurrent"]])
    def test_it_is_in_every_report_once(self, pytester: pytest.Pytester, options: list[str]) -> None:
        cases = [SET_UP_ERRORS[case] for case in ("a user's fixture", "a shared fixture", "a key of the marker")]
        source = "\n".join(dedent(text).replace("test_it(", f"test_{n}(") for n, (text, _) in enumerate(cases))
        whole_run(pytester, source, *ALL_REPORTS, *options, errors=3)
        found = {test["nodeid"]: test for test in results_of()}
        assert len(found) == 3
        for number, (_, reason) in enumerate(cases):
            test = found[f"test_it.py::test_{number}"]
            assert test["verdict"] == "error"
            assert test["reason"].startswith(reason)
        assert heading() == "### Load tests: 3 errors"

    def test_a_worker_that_dies_in_the_set_up_leaves_an_error(self, pytester: pytest.Pytester) -> None:
        source = """
            import os

            @pytest.fixture
            def login(ipload_user):
                if ipload_user.index == 1:
                    os._exit(0)

            @pytest.mark.ipload(users=2)
            def test_it(login): pass
        """
        whole_run(pytester, source, *ALL_REPORTS, "-n2")
        [test] = results_of()
        assert test["verdict"] == "error"
        assert "lost" in test["reason"]


class TestOutsideTheLoad:
    TEAR_DOWN = """
        @pytest.fixture
        def server():
            yield
            raise OSError("cannot stop")

        def test_it(server, ipload_user): pass
    """

    @pytest.mark.parametrize("workers", [[], ["-n2"]])
    @pytest.mark.usefixtures("xdist")
    def test_an_error_of_the_tear_down_is_told_beside_the_verdict(
        self, pytester: pytest.Pytester, workers: list[str]
    ) -> None:
        run = whole_run(pytester, self.TEAR_DOWN, *ALL_REPORTS, *workers, passed=1, errors=1)
        [test] = results_of()
        assert test["verdict"] == "passed"
        assert test["test_errors"] == [{"phase": "teardown", "reason": "OSError: cannot stop"}]
        assert heading() == "### Load tests: 1 passed, but 1 test failed outside the load"
        assert "Passed, test failed" in Path("out.html").read_text(encoding="utf-8")
        assert 'phase="teardown"} 1' in Path("out.om").read_text(encoding="utf-8")
        run.expect_lines("test_it.py::test_it  PASSED", "error in the teardown: OSError: cannot stop")

    def test_so_is_that_of_a_user(self, pytester: pytest.Pytester) -> None:
        source = self.TEAR_DOWN.replace("server():", "server(ipload_user):")
        whole_run(pytester, source, *ALL_REPORTS, passed=1, errors=1)
        assert [error["phase"] for error in results_of()[0]["test_errors"]] == ["teardown"]

    def test_a_tests_own_assertion_is_told_beside_the_verdict_on_its_load(self, pytester: pytest.Pytester) -> None:
        source = "def test_it(ipload):\n    result = ipload.run(lambda user: None)\n    assert result.requests > 5"
        whole_run(pytester, source, *ALL_REPORTS, failed=1)
        [test] = results_of()
        assert test["verdict"] == "passed"
        [error] = test["test_errors"]
        assert (error["phase"], error["reason"].splitlines()[0]) == ("call", "assert 0 > 5")

    def test_a_verdict_is_not_told_twice(self, pytester: pytest.Pytester) -> None:
        whole_run(pytester, "@pytest.mark.ipload(users=2)\ndef test_it(): assert False", *ALL_REPORTS, failed=1)
        assert "test_errors" not in results_of()[0]

    def test_what_a_test_with_a_tear_down_that_failed_measured_is_not_saved(self, pytester: pytest.Pytester) -> None:
        run = whole_run(pytester, self.TEAR_DOWN, "--ipload-save=main", passed=1, errors=1)
        run.expect_lines("not saved: test_it.py::test_it: the test failed")


class TestOfLoadsThatTestsRun:
    def test_a_user_that_could_not_be_set_up(self, pytester: pytest.Pytester) -> None:
        conftest = """
            def pytest_ipload_user_start(user):
                raise ConnectionError("refused")
        """
        source = "def test_it(ipload): ipload.run(lambda user: None, users=2)"
        whole_run(pytester, source, *ALL_REPORTS, conftest=conftest, failed=1)
        [test] = results_of()
        assert (test["verdict"], test["profile"]["users"]) == ("error", 2)
        assert "ConnectionError: refused" in test["reason"]

    def test_settings_that_are_wrong(self, pytester: pytest.Pytester) -> None:
        whole_run(pytester, "def test_it(ipload): ipload.run(print, userz=2)", *ALL_REPORTS, failed=1)
        assert [test["verdict"] for test in results_of()] == ["error"]
        assert "unknown key 'userz'" in results_of()[0]["reason"]

    def test_what_the_test_expects_to_fail_is_no_error(self, pytester: pytest.Pytester) -> None:
        source = "def test_it(ipload):\n    with pytest.raises(ValueError): ipload.run(print, userz=2)"
        whole_run(pytester, source, *ALL_REPORTS, passed=1)
        assert results_of() == []


class TestSegments:
    def test_an_error_in_one_segment_is_one_of_the_whole(self, pytester: pytest.Pytester) -> None:
        for index, case in enumerate(["a user's fixture", "a shared fixture"]):
            whole_run(
                pytester,
                SET_UP_ERRORS[case][0],
                f"--ipload-segment={index}/2",
                "--ipload-users=2",
                f"--ipload-json=s{index}.json",
            )
        outputs = ["--json=out.json", "--summary=out.md", "--html=out.html", "--junit=out.xml", "--openmetrics=out.om"]
        assert main(["merge", "s0.json", "s1.json", *outputs]) == FAILED
        [test] = results_of()
        assert test["verdict"] == "error"
        assert "segment 1/2: the set-up failed: OSError: cannot listen" in test["reason"]
        assert heading() == "### Load tests: 1 error"
        assert len(list(ElementTree.parse("out.xml").iterfind(".//error"))) == 1

    def test_what_the_others_measured_is_there(
        self, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = """
            @pytest.fixture
            def login(ipload_user):
                if ipload_user.index == 1:
                    raise ConnectionError("refused")

            @pytest.mark.ipload(users=2, iterations=3)
            def test_it(login, ipload_user): pass
        """
        for index in range(2):
            whole_run(pytester, source, f"--ipload-segment={index}/2", f"--ipload-json=s{index}.json")
        capsys.readouterr()
        assert main(["merge", "s0.json", "s1.json", "--json=out.json"]) == FAILED
        [test] = results_of()
        assert (test["verdict"], test["iterations"]) == ("error", 3)
        assert test["reason"].startswith("segment 1/2: set-up of user 1 failed: ConnectionError: refused")
        assert "0 passed, 0 failed, 1 error" in capsys.readouterr().out


class TestReasons:
    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (pytest.fail.Exception("two\nlines"), "it: two\nlines"),
            (KeyboardInterrupt(), "it: KeyboardInterrupt"),
            (pytest.exit.Exception("enough"), "it: Exit: enough"),
            (ValueError(), "it: ValueError"),
        ],
    )
    def test_they_say_what_was_raised(self, error: BaseException, reason: str) -> None:
        assert reason_of(error, "it") == reason

    def test_errors_of_a_call_are_noted_only_beside_loads_that_passed(self) -> None:
        passed, failed = {"verdict": "passed"}, {"verdict": "failed"}
        add_test_error([passed, failed], "call", "no")
        assert (passed, failed) == ({"verdict": "passed"}, {"verdict": "failed"})
        add_test_error([failed], "teardown", "no")
        assert failed["test_errors"] == [{"phase": "teardown", "reason": "no"}]  # type: ignore[comparison-overlap]
