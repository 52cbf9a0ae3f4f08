"""Load tests beside other pytest plugins that change, repeat or judge what a test does."""

from __future__ import annotations

import importlib.util
import json
import os
from typing import Any
from xml.etree import ElementTree

import pytest

TWO_PROCESSES = ("-n2",)
WAYS = pytest.mark.parametrize("options", [(), ("--ipload-disable",), TWO_PROCESSES], ids=["alone", "disabled", "n2"])


def require(*modules: str) -> None:
    """Skip the test if another plugin is missing; where CI=true it has to be there."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            message = f"{module} is missing; install it with pip install -e '.[dev]'"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)


def run(pytester: pytest.Pytester, *options: str) -> tuple[pytest.RunResult, dict[str, dict[str, Any]], dict[str, str]]:
    """A run, the results of its load tests by their names, and the verdicts in JUnit's report."""
    result = pytester.runpytest_subprocess("--ipload-json=out.json", "--junit-xml=out.xml", *options)
    tests = json.loads((pytester.path / "out.json").read_text())["tests"]
    verdicts = {
        str(case.get("name")): str(each.get("value"))
        for case in ElementTree.parse(pytester.path / "out.xml").getroot().iter("testcase")
        for each in case.iter("property")
        if each.get("name") == "ipload_verdict"
    }
    return result, {test["nodeid"].rpartition("::")[2]: test for test in tests}, verdicts


def lines(result: pytest.RunResult, *starts: str) -> set[str]:
    """The lines of the short summary that begin so, up to the reason."""
    return {line.partition(" - ")[0] for line in result.outlines if line.startswith(starts)}


class TestPytestCheck:
    @WAYS
    def test_failed_checks_fail_the_test_and_are_in_its_results(
        self, pytester: pytest.Pytester, options: tuple[str, ...]
    ) -> None:
        require("pytest_check", "xdist")
        pytester.makepyfile(
            test_it="""
            import pytest, pytest_check
            from pytest_check import check

            @pytest.fixture
            def visitor(ipload_user):
                yield ipload_user
                pytest_check.is_false(ipload_user.state.get("is_bad"))

            def test_first(ipload_user):
                pytest_check.equal(1, 2)

            @pytest.mark.ipload(users=3, iterations=2)
            def test_many(ipload_user):
                with check:
                    assert ipload_user.iteration == 7

            @pytest.mark.ipload(users=2)
            def test_tear_down(visitor):
                visitor.state["is_bad"] = True

            def test_run(ipload):
                ipload.run(lambda user: pytest_check.equal(1, 2), users=2)

            @pytest.mark.ipload(users=2)
            def test_good(visitor):
                pytest_check.equal(1, 1)

            def test_ordinary():
                pytest_check.equal(1, 1)
            """
        )
        result, tests, verdicts = run(pytester, "-p", "check", *options)
        result.assert_outcomes(passed=2, failed=4)
        bad = {"test_first", "test_many", "test_tear_down", "test_run"}
        assert {name for name, test in tests.items() if test.get("test_errors")} == bad
        assert {test["verdict"] for test in tests.values()} == set(verdicts.values()) == {"passed"}
        assert tests["test_first"]["test_errors"][0]["phase"] == "call"

    def test_a_check_that_fails_in_a_users_set_up_is_an_error(self, pytester: pytest.Pytester) -> None:
        require("pytest_check")
        pytester.makepyfile(
            test_it="""
            import pytest, pytest_check

            @pytest.fixture
            def visitor(ipload_user):
                pytest_check.equal(1, 2)

            @pytest.mark.ipload(users=2)
            def test_it(visitor):
                pass
            """
        )
        result, tests, _ = run(pytester, "-p", "check")
        result.assert_outcomes(errors=1)
        assert tests["test_it"]["verdict"] == "error"


class TestSubtests:
    @WAYS
    def test_a_failed_subtest_is_in_the_results(self, pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
        require("xdist")
        if not hasattr(pytest, "Subtests"):
            require("pytest_subtests")
        pytester.makepyfile(
            test_it="""
            def test_bad(ipload_user, subtests):
                for number in range(3):
                    with subtests.test(number=number):
                        assert number == 1

            def test_good(ipload_user, subtests):
                with subtests.test():
                    pass

            def test_run(ipload, subtests):
                with subtests.test():
                    assert ipload.run(lambda user: None).iterations == 2
            """
        )
        result, tests, verdicts = run(pytester, *options)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert {name for name, test in tests.items() if test.get("test_errors")} == {"test_bad", "test_run"}
        assert {test["verdict"] for test in tests.values()} == set(verdicts.values()) == {"passed"}
        assert {test["iterations"] for test in tests.values()} == {1}
        if hasattr(pytest, "Subtests"):
            assert lines(result, "FAILED") == {"FAILED test_it.py::test_bad", "FAILED test_it.py::test_run"}


class TestPluginsThatRunABodyMoreThanOnce:
    def test_pytest_run_parallel_is_refused(self, pytester: pytest.Pytester) -> None:
        require("pytest_run_parallel")
        pytester.makepyfile(
            test_it="""
            import pytest

            def test_load(ipload_user):
                pass

            def test_run(ipload):
                ipload.run(lambda user: None)

            @pytest.mark.parallel_threads_limit(1)
            def test_once(ipload_user):
                pass

            def test_ordinary():
                pass
            """
        )
        result, tests, _ = run(pytester, "-p", "run-parallel", "--parallel-threads=3")
        assert result.parseoutcomes() == {"passed": 2, "errors": 2}  # its failures are errors, by its own words
        assert "pytest-run-parallel would run it several times" in tests["test_load"]["reason"]
        assert {name: test["verdict"] for name, test in tests.items()} == {
            "test_load": "error",
            "test_run": "error",
            "test_once": "passed",
        }

    def test_what_can_be_used_once_is_refused_where_the_body_runs_more_often(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(
            """
            import pytest

            @pytest.fixture
            def benchmark():
                return lambda function: function()
            """
        )
        pytester.makepyfile(
            test_it="""
            import pytest

            @pytest.mark.ipload(iterations=2)
            def test_twice(ipload_user, benchmark):
                benchmark(int)

            @pytest.mark.ipload(duration="1s")
            def test_long(ipload_user, benchmark):
                benchmark(int)

            def test_once(ipload_user, benchmark):
                benchmark(int)
            """
        )
        result, tests, _ = run(pytester)
        result.assert_outcomes(passed=1, errors=2)
        assert "benchmark can be used only once in a test" in tests["test_twice"]["reason"]
        result, *_ = run(pytester, "--ipload-disable")
        result.assert_outcomes(passed=3)


class TestPluginsThatChangeWhatIsCalled:
    @WAYS
    def test_arguments_and_body_are_those_of_the_call(
        self, pytester: pytest.Pytester, options: tuple[str, ...]
    ) -> None:
        """As pytest-cases resolves its lazy values, after pytest's set-up, and others wrap the body."""
        require("xdist")
        pytester.makeconftest(
            """
            import functools, pytest

            @pytest.hookimpl(tryfirst=True, wrapper=True)
            def pytest_runtest_setup(item):
                yield
                item.funcargs.update({name: value() for name, value in item.funcargs.items() if callable(value)})

            @pytest.hookimpl(tryfirst=True)
            def pytest_runtest_call(item):
                body = item.obj

                @functools.wraps(body)
                def wrapped(**arguments):
                    arguments["ipload_user"].state["is_wrapped"] = True
                    body(**arguments)

                item.obj = wrapped
            """
        )
        pytester.makepyfile(
            test_it="""
            import pytest

            @pytest.mark.ipload(users=3, iterations=2)
            @pytest.mark.parametrize("path", [lambda: "/who"])
            def test_it(path, ipload_user):
                assert (path, ipload_user.state) == ("/who", {"is_wrapped": True})

            class TestIt:
                @pytest.mark.parametrize("path", [lambda: "/who"])
                def test_it(self, path, ipload_user, ipload_iteration):
                    assert (path, ipload_user.state) == ("/who", {"is_wrapped": True})
            """
        )
        result, *_ = run(pytester, *options)
        result.assert_outcomes(passed=2)


class TestReportsInFixtures:
    """pytest's recipe "making test result information available in fixtures", in its form of old and of today."""

    CONFTEST = """
        import pytest

        PHASES = pytest.StashKey()

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            item.stash.setdefault(PHASES, {})[report.when] = report
            setattr(item, "rep_" + report.when, report)
            return report

        @pytest.fixture
        def browser(request, ipload_user):
            yield ipload_user
            phases = request.node.stash[PHASES]
            assert request.node.rep_call is phases["call"]
            with open(f"{request.node.name}-{phases['call'].outcome}", "a") as file:
                file.write("x")
    """

    @pytest.mark.parametrize(
        ("options", "users"), [((), 3), (("--ipload-disable",), 1), (TWO_PROCESSES, 3)], ids=["alone", "disabled", "n2"]
    )
    def test_a_per_user_fixture_sees_the_report_of_the_call(
        self, pytester: pytest.Pytester, options: tuple[str, ...], users: int
    ) -> None:
        require("xdist")
        pytester.makeconftest(self.CONFTEST)
        pytester.makepyfile(
            test_it="""
            import pytest

            @pytest.mark.ipload(users=3, iterations=2)
            def test_good(browser):
                pass

            @pytest.mark.ipload(users=3, iterations=2)
            def test_bad(browser):
                assert 0

            def test_good_functional(browser):
                pass

            def test_bad_functional(browser):
                assert 0

            @pytest.mark.ipload(users=3, duration="100ms", ramp_up="50ms")
            def test_timed(browser):
                pass
            """
        )
        result, *_ = run(pytester, *options)
        result.assert_outcomes(passed=3, failed=2)
        seen = {path.name: len(path.read_text()) for path in pytester.path.iterdir() if path.name.endswith("ed")}
        assert seen == {
            "test_good-passed": users,
            "test_bad-failed": users,
            "test_good_functional-passed": 1,
            "test_bad_functional-failed": 1,
            "test_timed-passed": users,
        }

    def test_a_tear_down_that_fails_or_hangs_there_is_an_error(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_it="""
            import threading, time
            import pytest

            @pytest.fixture
            def browser(request, ipload_user):
                yield ipload_user
                if "hangs" in request.node.name:
                    while True:
                        time.sleep(0.01)
                assert "good" in request.node.name

            @pytest.mark.ipload(users=3)
            def test_fails(browser):
                pass

            @pytest.mark.ipload(users=2, graceful_stop="300ms")
            def test_hangs(browser):
                pass

            def test_good(browser):
                assert [each.name for each in threading.enumerate() if "user" in each.name] == ["ipload-user-0"]
            """
        )
        result, tests, _ = run(pytester)
        result.assert_outcomes(passed=3, errors=2)
        assert {name: test.get("test_errors", [{}])[0].get("phase") for name, test in tests.items()} == {
            "test_fails": "teardown",
            "test_hangs": "teardown",
            "test_good": None,
        }
        result.stdout.fnmatch_lines(["*3 of 3 users failed in teardown: *", "*still in its teardown after*"])

    def test_users_who_leave_one_by_one_are_torn_down_when_they_leave(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_it="""
            import pytest

            gone = []

            @pytest.fixture
            def place(request, ipload_user):
                yield
                gone.append(ipload_user.index)

            @pytest.mark.ipload(users=2, ip_exclusive=True, on_exhaustion="wait", ip_wait="10s", pool="127.0.3.1")
            def test_it(place, ipload_user):
                assert len(gone) == ipload_user.index
            """
        )
        result, *_ = run(pytester)
        result.assert_outcomes(passed=1)


class TestMatrix:
    """Two load tests and an ordinary one of each kind, of which one fails."""

    @pytest.mark.parametrize("options", [(), TWO_PROCESSES], ids=["alone", "n2"])
    def test_pytest_bdd(self, pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
        require("pytest_bdd", "xdist")
        steps = "\n    Given a visitor\n    Then the number is {number}\n"
        pytester.makefile(
            ".feature",
            shop="Feature: shop\n"
            + "".join(f"  Scenario: {name}{steps.format(number=number)}" for name, number in (("good", 1), ("bad", 2))),
        )
        pytester.makepyfile(
            test_it="""
            import pytest
            from pytest_bdd import given, parsers, scenario, then

            @given("a visitor")
            def visitor(ipload_user):
                return ipload_user

            @then(parsers.parse("the number is {number:d}"))
            def number_is(number):
                assert number == 1

            @pytest.mark.ipload(users=2, iterations=2)
            @scenario("shop.feature", "good")
            def test_first(): pass

            @pytest.mark.ipload(users=2, iterations=2)
            @scenario("shop.feature", "good")
            def test_second(): pass

            @pytest.mark.ipload(users=2, iterations=2)
            @scenario("shop.feature", "bad")
            def test_bad(): pass

            def test_ordinary(): pass
            """
        )
        result, tests, _ = run(pytester, "-p", "pytest-bdd", *options)
        result.assert_outcomes(passed=3, failed=1)
        assert {name: (test["iterations"], test["failed_iterations"]) for name, test in tests.items()} == {
            "test_first": (4, 0),
            "test_second": (4, 0),
            "test_bad": (4, 4),
        }

    def test_schemathesis(self, pytester: pytest.Pytester) -> None:
        require("schemathesis")
        pytester.makepyfile(
            test_it="""
            import hypothesis, pytest, schemathesis

            schema = schemathesis.openapi.from_dict({
                "openapi": "3.0.2",
                "info": {"title": "shop", "version": "1"},
                "paths": {"/cart": {"get": {"responses": {"200": {"description": "OK"}}}}},
            })
            quick = hypothesis.settings(
                max_examples=3, deadline=None, database=None,
                suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
            )

            @schema.parametrize()
            @quick
            @pytest.mark.ipload(users=2)
            def test_first(case, ipload_user):
                assert case.formatted_path == "/cart"

            @schema.parametrize()
            @quick
            @pytest.mark.ipload(users=2)
            def test_second(case, ipload_user):
                assert case.formatted_path == "/cart"

            @schema.parametrize()
            @quick
            @pytest.mark.ipload(users=2)
            def test_bad(case, ipload_user):
                assert case.formatted_path == "/basket"

            def test_ordinary(): pass
            """
        )
        result, tests, _ = run(pytester, "-p", "schemathesis")
        result.assert_outcomes(passed=3, failed=1)
        assert sorted((test["iterations"], test["failed_iterations"]) for test in tests.values()) == [
            (2, 0),
            (2, 0),
            (2, 2),
        ]
