"""The hooks for other plugins: whole runs, in one process and in several."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
from support.whole_run import HEADER

from pytest_ipload.load.user import VirtualUser
from pytest_ipload.plugin import hook_calls, newhooks
from pytest_ipload.plugin.run import sample_hook
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.sample import Sample
from pytest_ipload.verdict.result import LoadResult

LOAD = """
    @pytest.mark.ipload(users=3, iterations=2)
    def test_load(ipload_user):
        with ipload_user.step("buy"), ipload_user.measure("GET /cart"):
            pass
"""
ENDLESS = """
    @pytest.mark.ipload(users=2, duration="60s", think_time="5ms")
    def test_load(ipload_user):
        with ipload_user.measure("GET /cart"):
            pass
"""
AT_WORK = "import os\nWORKER = os.environ.get('PYTEST_XDIST_WORKER', 'main')\n"


def plugin(name: str = "shop_plugin", **hooks: Callable[..., Any]) -> ModuleType:
    """A plugin that implements these hooks."""
    made = ModuleType(name)
    vars(made).update(hooks)
    return made


def run(
    pytester: pytest.Pytester, source: str, *args: str, hooks: ModuleType | None = None, conftest: str = ""
) -> pytest.RunResult:
    """Run a test module with the hooks of a plugin, or of a conftest file: workers have only that."""
    pytester.makepyfile(test_it=HEADER + dedent(source))
    if conftest:
        pytester.makeconftest(HEADER + AT_WORK + dedent(conftest))
    options = ("-W", "error", "-p", "no:hypothesispytest", "--ipload-json=out.json", "--junit-xml=out.xml", *args)
    return pytester.runpytest(*options, plugins=[] if hooks is None else [hooks], no_reraise_ctrlc=True)


def results() -> list[dict[str, Any]]:
    """The tests of the JSON report."""
    found: list[dict[str, Any]] = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
    return found


def lines_of(pattern: str) -> list[str]:
    """What processes wrote into files of their own."""
    return sorted(line for path in Path().glob(pattern) for line in path.read_text(encoding="utf-8").splitlines())


class TestProfile:
    def test_what_it_changes_counts_before_all_else_and_is_known_as_the_hooks(self, pytester: pytest.Pytester) -> None:
        given: list[LoadProfile] = []

        def change(item: pytest.Item, profile: LoadProfile) -> LoadProfile:
            given.append(profile)
            return replace(profile, users=5, think_time=(0.0, 0.001))

        hooks = plugin(pytest_ipload_profile=change)
        run(pytester, LOAD, "--ipload-users=4", hooks=hooks).assert_outcomes(passed=1)
        [test] = results()
        assert (test["users"], test["profile"]["think_time_s"]) == (5, [0.0, 0.001])
        origins = test["profile"]["origins"]
        assert (origins["users"], origins["think_time"], origins["iterations"]) == ("hook", "hook", "marker")
        assert [(profile.users, profile.origins["users"]) for profile in given] == [(4, "command line")]

    def test_it_is_asked_again_when_a_fixture_has_given_the_base_url(self, pytester: pytest.Pytester) -> None:
        given: list[str | None] = []

        def change(profile: LoadProfile) -> LoadProfile:
            given.append(profile.base_url)
            return replace(profile, users=5)

        conftest = """
            @pytest.fixture
            def base_url():
                return "http://127.0.0.1:1"
        """
        run(pytester, LOAD, hooks=plugin(pytest_ipload_profile=change), conftest=conftest).assert_outcomes(passed=1)
        assert given == [None, "http://127.0.0.1:1"]
        origins = results()[0]["profile"]["origins"]
        assert (origins["base_url"], origins["users"]) == ("base_url fixture", "hook")

    def test_the_plan_shows_it(self, pytester: pytest.Pytester) -> None:
        hooks = plugin(pytest_ipload_profile=lambda profile: replace(profile, users=7))
        result = run(pytester, LOAD, "--collect-only", "-v", hooks=hooks)
        result.stdout.fnmatch_lines(["test_it.py::test_load: 7 users (hook), 2 iterations per user (marker), *"])

    def test_users_and_duration_scale_the_stages_of_the_marker(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.mark.ipload(stages="100ms:4,100ms:4")
            def test_load(ipload_user):
                ipload_user.random.random()
        """
        hooks = plugin(pytest_ipload_profile=lambda profile: replace(profile, users=2))
        run(pytester, source, hooks=hooks).assert_outcomes(passed=1)
        assert results()[0]["profile"]["stages"] == [[0.1, 2.0], [0.1, 2.0]]

    def test_stages_of_a_hook_count_before_users_of_the_marker(self, pytester: pytest.Pytester) -> None:
        from pytest_ipload.settings.parsing import as_stages

        stages = as_stages("20ms:2,20ms:2")
        hooks = plugin(pytest_ipload_profile=lambda profile: replace(profile, stages=stages, iterations=None))
        run(pytester, LOAD, hooks=hooks).assert_outcomes(passed=1)
        [test] = results()
        assert test["profile"]["stages"] == [[0.02, 2.0], [0.02, 2.0]]
        assert (test["profile"]["users"], "iterations" in test["profile"]) == (2, False)

    def test_the_first_answer_counts_and_none_is_no_answer(self, pytester: pytest.Pytester) -> None:
        conftest = """
            @pytest.hookimpl(trylast=True)
            def pytest_ipload_profile(config, item, profile):
                assert config is item.config
                from dataclasses import replace
                return replace(profile, users=6)
        """
        hooks = plugin(pytest_ipload_profile=lambda item: None)
        run(pytester, LOAD, hooks=hooks, conftest=conftest).assert_outcomes(passed=1)
        assert results()[0]["users"] == 6

    def test_a_conftest_of_another_folder_is_not_asked(self, pytester: pytest.Pytester) -> None:
        other = pytester.mkdir("other")
        (other / "conftest.py").write_text("def pytest_ipload_profile(): raise ValueError('not here')")
        (other / "test_other.py").write_text("def test(): pass")
        run(pytester, LOAD).assert_outcomes(passed=2)

    @pytest.mark.parametrize(
        ("answer", "complaint"),
        [
            ("profile.users", "returned 3; return None, or a profile made by dataclasses.replace()"),
            ("replace(profile, users=0)", "users: 0 is too small; give a whole number of 1 or more"),
            ("replace(profile, users=None)", "users: None is not a whole number"),
            ("replace(profile, timeout='soon')", "timeout: 'soon' *"),
            ("replace(profile, think_time=(2, 1))", "think_time: (2, 1) ends before it begins"),
            ("replace(profile, ramp_down=1.0)", "SettingError: ramp_down needs a duration * (conftest.py:*)"),
            ("replace(profile, arrival_rate=5.0)", "SettingError: arrival_rate needs an end; * (conftest.py:*)"),
            (
                "replace(profile, stages=as_stages('1s:2'), users=5, duration=None)",
                "stages and users are both from the hook *",
            ),
            ("replace(profile, usres=5)", "TypeError: *usres* (conftest.py:*)"),
            ("1 / 0", "ZeroDivisionError: division by zero (conftest.py:*)"),
            ("pytest.skip('not today')", "Skipped: not today (conftest.py:*)"),
        ],
    )
    def test_what_makes_no_sense_is_an_error_of_the_set_up_that_names_the_plugin(
        self, pytester: pytest.Pytester, answer: str, complaint: str
    ) -> None:
        conftest = f"""
            from dataclasses import replace
            from pytest_ipload.settings.parsing import as_stages

            def pytest_ipload_profile(profile):
                return {answer}
        """
        result = run(pytester, LOAD, conftest=conftest)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines([f"hook pytest_ipload_profile of conftest.py: {complaint}"])
        assert "INTERNALERROR" not in result.stdout.str()
        plan = run(pytester, LOAD, "--collect-only", "-v")
        plan.stdout.fnmatch_lines(["test_it.py::test_load: error: hook pytest_ipload_profile of conftest.py: *"])

    def test_of_several_plugins_the_one_that_raised_is_named(self, pytester: pytest.Pytester) -> None:
        def broken(profile: LoadProfile) -> None:
            raise ValueError("no")

        pytester.makepyfile(other="def pytest_ipload_profile(): return None")
        pytester.syspathinsert()
        result = run(pytester, LOAD, "-p", "other", hooks=plugin("broken_plugin", pytest_ipload_profile=broken))
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["hook pytest_ipload_profile of broken_plugin: ValueError: no (*)"])

    def test_it_is_asked_for_the_loads_that_a_test_starts(self, pytester: pytest.Pytester) -> None:
        source = """
            def test_load(ipload):
                result = ipload.run(lambda user: None, users=2)
                assert (result.users, result.profile["origins"]["users"]) == (4, "hook")
        """
        names = []

        def change(item: pytest.Item, profile: LoadProfile) -> LoadProfile:
            names.append(item.name)
            return replace(profile, users=4)

        run(pytester, source, hooks=plugin(pytest_ipload_profile=change)).assert_outcomes(passed=1)
        assert names == ["test_load"]
        broken = plugin(pytest_ipload_profile=lambda profile: replace(profile, users=0))
        result = run(pytester, source, hooks=broken)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            ["*SettingError: hook pytest_ipload_profile of shop_plugin: users: 0 is too small*"]
        )

    def test_a_functional_run_stays_one(self, pytester: pytest.Pytester) -> None:
        hooks = plugin(pytest_ipload_profile=lambda profile: replace(profile, users=7))
        run(pytester, LOAD, "--ipload-disable", hooks=hooks).assert_outcomes(passed=1)
        assert results()[0]["users"] == 1


class TestUsers:
    def test_it_is_told_in_the_users_thread_round_its_iterations_and_within_its_fixtures(
        self, pytester: pytest.Pytester
    ) -> None:
        source = """
            @pytest.fixture
            def shopper(ipload_user):
                log = ipload_user.state.setdefault("log", [])
                log.append("fixture")
                yield
                log.append("torn down")
                with open(f"user{ipload_user.index}", "w") as file:
                    print(threading.current_thread().name, *log, sep="|", file=file)

            @pytest.mark.ipload(users=3, iterations=2)
            def test_load(shopper, ipload_user):
                ipload_user.state["log"].append("body")
        """

        def note(user: VirtualUser, what: str, item: pytest.Item) -> None:
            user.state["log"].append(f"{what} {item.name} in {threading.current_thread().name}")

        hooks = plugin(
            pytest_ipload_user_start=lambda user, item: note(user, "start", item),
            pytest_ipload_user_stop=lambda user, item: note(user, "stop", item),
        )
        run(pytester, source, hooks=hooks).assert_outcomes(passed=1)
        for index in range(3):
            thread = f"ipload-user-{index}"
            start, stop = f"start test_load in {thread}", f"stop test_load in {thread}"
            expected = [thread, "fixture", start, "body", "body", stop, "torn down"]
            assert Path(f"user{index}").read_text().strip() == "|".join(expected)

    def test_an_exception_at_the_start_is_an_error_of_the_set_up(self, pytester: pytest.Pytester) -> None:
        stopped: list[int] = []
        conftest = """
            def pytest_ipload_user_start(user):
                if user.index == 1:
                    raise ValueError("no such user")
        """
        hooks = plugin(pytest_ipload_user_stop=lambda user: stopped.append(user.index))
        result = run(pytester, ENDLESS, conftest=conftest, hooks=hooks)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(
            [">*raise ValueError(*", "E * ValueError: no such user", "conftest.py:*", "set-up of user 1 failed*"]
        )
        assert sorted(stopped) == [0, 1]  # also where it failed: another plugin may have begun something

    def test_without_a_start_there_is_no_stop(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.fixture
            def broken(ipload_user):
                raise RuntimeError("no set-up")

            @pytest.mark.ipload(users=2)
            def test_load(broken):
                pass
        """
        calls: list[int] = []
        hooks = plugin(
            pytest_ipload_user_start=lambda user: calls.append(user.index),
            pytest_ipload_user_stop=lambda user: calls.append(user.index),
        )
        run(pytester, source, hooks=hooks).assert_outcomes(errors=1)
        assert calls == []

    def test_an_exception_at_the_stop_is_an_error_of_the_tear_down_and_fixtures_are_torn_down(
        self, pytester: pytest.Pytester
    ) -> None:
        source = """
            @pytest.fixture
            def shopper(ipload_user):
                yield
                open(f"left{ipload_user.index}", "w").close()

            @pytest.mark.ipload(users=2)
            def test_load(shopper):
                pass
        """
        conftest = """
            def pytest_ipload_user_stop(user):
                raise ValueError("stays")
        """
        result = run(pytester, source, conftest=conftest)
        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines(["E * ValueError: stays", "teardown of user ? failed*; 2 users failed *"])
        assert Path("left0").exists()
        assert Path("left1").exists()

    def test_the_users_of_loads_that_a_test_starts(self, pytester: pytest.Pytester) -> None:
        source = """
            def test_load(ipload):
                result = ipload.run(lambda user: user.state["seen"], users=3)
                assert result.verdict == "passed"
        """
        left: list[int] = []
        hooks = plugin(
            pytest_ipload_user_start=lambda user: user.state.update(seen=True),
            pytest_ipload_user_stop=lambda user: left.append(user.index),
        )
        run(pytester, source, hooks=hooks).assert_outcomes(passed=1)
        assert sorted(left) == [0, 1, 2]


class TestSamples:
    def test_it_gets_all_that_was_measured_in_the_thread_that_runs_the_load(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.fixture
            def shopper(ipload_user):
                with ipload_user.measure("LOGIN"):
                    pass

            @pytest.mark.ipload(users=3, iterations=4)
            @pytest.mark.ipload_threshold("error_rate < 100%")
            def test_load(shopper, ipload_user):
                with ipload_user.step("buy"), ipload_user.measure("GET /cart"):
                    if ipload_user.iteration == 1:
                        raise ValueError("no stock")
        """
        taken: list[Sample] = []
        threads: set[str] = set()

        def take(item: pytest.Item, samples: Sequence[Sample]) -> None:
            taken.extend(samples)
            threads.add(f"{item.name} {threading.current_thread().name}")

        run(pytester, source, hooks=plugin(pytest_ipload_sample=take)).assert_outcomes(passed=1)
        assert threads == {f"test_load {threading.current_thread().name}"}
        kinds = [sample.kind for sample in taken]
        assert {kind: kinds.count(kind) for kind in set(kinds)} == {
            "setup": 3,
            "step": 12,
            "request": 12,
            "iteration": 12,
        }
        failed = [sample for sample in taken if sample.kind == "request" and sample.outcome == "failed"]
        assert [sample.problem.type for sample in failed if sample.problem] == ["ValueError"] * 3
        [test] = results()
        assert (test["requests"], test["failed_requests"], test["iterations"]) == (12, 3, 12)

    def test_times_can_be_told_by_the_calendar(self, pytester: pytest.Pytester) -> None:
        moments: list[float] = []

        def take(samples: Sequence[Sample], unix_offset_ns: int) -> None:
            moments.extend((sample.started_ns + unix_offset_ns) / 1e9 for sample in samples)

        before = time.time()
        run(pytester, LOAD, hooks=plugin(pytest_ipload_sample=take)).assert_outcomes(passed=1)
        assert len(moments) == 18
        assert before - 0.1 < min(moments) <= max(moments) < time.time() + 0.1

    def test_it_is_called_each_second_and_at_the_end(self, pytester: pytest.Pytester) -> None:
        sizes: list[int] = []
        source = ENDLESS.replace("60s", "1.2s")
        hooks = plugin(pytest_ipload_sample=lambda samples: sizes.append(len(samples)))
        run(pytester, source, "--ipload-warmup=500ms", hooks=hooks).assert_outcomes(passed=1)
        [test] = results()
        assert len(sizes) in (1, 2)  # of chunks a second old there may be none after a second
        everything = ("requests", "iterations", "warmup_requests", "warmup_iterations")
        assert sum(sizes) == sum(test[name] for name in everything)

    def test_an_exception_ends_the_load_and_is_the_failure(self, pytester: pytest.Pytester) -> None:
        conftest = """
            calls = []

            def pytest_ipload_sample(samples):
                calls.append(len(samples))
                raise ValueError(f"no room, call {len(calls)}")
        """
        result = run(pytester, ENDLESS + LOAD.replace("test_load", "test_next"), conftest=conftest)
        result.assert_outcomes(failed=2)
        result.stdout.fnmatch_lines(
            ["_* test_load _*", ">*raise ValueError(*", "E * ValueError: no room, call 1", "conftest.py:*: ValueError"]
        )
        result.stdout.fnmatch_lines(["E * ValueError: no room, call 2", "conftest.py:*: ValueError"])
        assert "plugin/hook_calls.py" not in result.stdout.str()
        assert "executor.py" not in result.stdout.str()
        assert [(test["verdict"], test["reason"]) for test in results()] == [
            ("invalid", "the load was aborted by ValueError")
        ] * 2
        assert results()[0]["requests"] > 0

    def test_an_exception_in_a_load_that_a_test_starts(self, pytester: pytest.Pytester) -> None:
        source = """
            def test_load(ipload):
                with pytest.raises(ValueError, match="no room"):
                    ipload.run(lambda user: None, users=2, duration="60s", think_time="5ms")
        """

        def take(samples: Sequence[Sample]) -> None:
            raise ValueError("no room")

        run(pytester, source, hooks=plugin(pytest_ipload_sample=take)).assert_outcomes(passed=1)
        assert results()[0]["verdict"] == "invalid"

    def test_of_several_rounds_the_one_that_was_broken_off_is_the_last(self, pytester: pytest.Pytester) -> None:
        calls: list[int] = []

        def take(samples: Sequence[Sample]) -> None:
            calls.append(len(samples))
            if len(calls) == 2:
                raise ValueError("no room")

        result = run(pytester, LOAD, "--ipload-rounds=4", hooks=plugin(pytest_ipload_sample=take))
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["E * ValueError: no room"])
        assert len(calls) == 2
        [test] = results()
        assert (test["reason"], len(test["rounds"])) == ("the load was aborted by ValueError", 2)

    @pytest.mark.usefixtures("xdist")
    def test_of_several_rounds_of_workers_the_one_that_was_broken_off_is_the_last(
        self, pytester: pytest.Pytester
    ) -> None:
        conftest = """
            calls = []

            def pytest_ipload_sample(samples):
                calls.append(len(samples))
                if WORKER == "gw0" and len(calls) == 2:
                    raise ValueError("no room")
        """
        result = run(pytester, LOAD, "-n2", "--ipload-rounds=4", conftest=conftest)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*ValueError: no room"])
        assert "KeyError" not in result.stdout.str()
        [test] = results()
        assert (test["reason"], len(test["rounds"])) == ("the load was aborted by ValueError", 2)

    @pytest.mark.usefixtures("xdist")
    def test_an_exception_in_one_worker_ends_the_load_of_all(self, pytester: pytest.Pytester) -> None:
        conftest = """
            def pytest_ipload_sample(samples):
                if WORKER == "gw1":
                    raise ValueError("no room")

            def pytest_ipload_result(nodeid):
                with open(f"judged-{WORKER}", "a") as file:
                    file.write(f"{nodeid}\\n")
        """
        result = run(pytester, ENDLESS + LOAD.replace("test_load", "test_next"), "-n2", conftest=conftest)
        result.assert_outcomes(failed=2)
        result.stdout.fnmatch_lines(["_* test_load _*", "*ValueError: no room", "*conftest.py:*: ValueError"])
        assert [(test["verdict"], test["reason"], len(test["shards"])) for test in results()] == [
            ("invalid", "the load was aborted by ValueError", 2)
        ] * 2
        assert [path.name for path in Path().glob("judged-*")] == ["judged-main"]


class TestResult:
    def test_it_sees_the_result_after_the_verdict(self, pytester: pytest.Pytester) -> None:
        seen: list[tuple[str, LoadResult]] = []
        hooks = plugin(pytest_ipload_result=lambda nodeid, result: seen.append((nodeid, result)))
        run(pytester, LOAD, hooks=hooks).assert_outcomes(passed=1)
        [(nodeid, result)] = seen
        assert (nodeid, result.verdict, result.requests) == ("test_it.py::test_load", "passed", 6)
        assert "objections" not in results()[0]

    @pytest.mark.usefixtures("xdist")
    @pytest.mark.parametrize("args", [(), ("-n2",)])
    def test_a_text_fails_the_test(self, pytester: pytest.Pytester, args: tuple[str, ...]) -> None:
        conftest = """
            def pytest_ipload_result(config, nodeid, result):
                with open(f"judged-{WORKER}", "a") as file:
                    file.write(f"{nodeid} {result.verdict} {result.requests}\\n")
                return ["too dear: 5 EUR", "too late"] if "load" in nodeid else None
        """
        result = run(pytester, LOAD + LOAD.replace("test_load", "test_next"), *args, conftest=conftest)
        result.assert_outcomes(failed=1, passed=1)
        result.stdout.fnmatch_lines(
            [
                "_* test_load _*",
                "too dear: 5 EUR",
                "too late",
                "test_it.py::test_load  FAILED",
                "FAIL  too dear: 5 EUR",
                "FAIL  too late",
                "FAILED test_it.py::test_load - ThresholdFailed: too dear: 5 EUR*",
            ]
        )
        tests = {test["nodeid"].partition("::")[2]: test for test in results()}
        load = tests["test_load"]
        assert (load["verdict"], load["reason"]) == ("failed", "too dear: 5 EUR; too late")
        assert load["objections"] == ["too dear: 5 EUR", "too late"]
        assert tests["test_next"]["verdict"] == "passed"
        [case] = [case for case in ElementTree.parse("out.xml").iter("testcase") if case.get("name") == "test_load"]
        assert {each.get("name"): each.get("value") for each in case.iter("property")}["ipload_verdict"] == "failed"
        [failure] = case.findall("failure")
        assert "too dear: 5 EUR" in str(failure.get("message"))
        # In the process that judges, once for each load.
        assert [path.name for path in Path().glob("judged-*")] == ["judged-main"]
        assert lines_of("judged-*") == [f"test_it.py::test_{name} passed 6" for name in ("load", "next")]

    def test_of_several_rounds_it_sees_the_result_of_all(self, pytester: pytest.Pytester) -> None:
        seen: list[int] = []

        def judge(result: LoadResult) -> str:
            seen.append(len(result.rounds or ()))
            return "too dear"

        run(pytester, LOAD, "--ipload-rounds=3", hooks=plugin(pytest_ipload_result=judge)).assert_outcomes(failed=1)
        assert seen == [3]
        [test] = results()
        assert (test["verdict"], [each["verdict"] for each in test["rounds"]]) == ("failed", ["passed"] * 3)

    def test_it_adds_to_what_thresholds_say(self, pytester: pytest.Pytester) -> None:
        hooks = plugin(pytest_ipload_result=lambda result: f"was {result.verdict}")
        result = run(pytester, LOAD, "--ipload-threshold=requests > 10", hooks=hooks)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["requests 6, limit > 10*", "was failed"])
        assert results()[0]["reason"] == "requests 6, limit > 10; was failed"

    def test_an_invalid_result_stays_invalid(self, pytester: pytest.Pytester) -> None:
        conftest = "def pytest_ipload_result(result): return 'too dear'"
        source = LOAD.replace("users=3", 'users=3, pool="192.0.2.1"').replace(
            "pass", "ipload_user.create_connection(('127.0.0.1', 1))"
        )
        result = run(pytester, source, "--ipload-pool-check=off", conftest=conftest)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["source-not-local: *", "too dear", "*MeasurementInvalid*"])
        [test] = results()
        assert (test["verdict"], test["objections"]) == ("invalid", ["too dear"])
        assert "too dear" not in test["reason"]

    @pytest.mark.usefixtures("xdist")
    @pytest.mark.parametrize(
        ("answer", "complaint", "workers"),
        [
            ("1 / 0", "ZeroDivisionError: division by zero (conftest.py:*)", "-n0"),
            ("1 / 0", "ZeroDivisionError: division by zero (conftest.py:*)", "-n2"),
            ("pytest.fail('no')", "Failed: no (conftest.py:*)", "-n0"),
            ("42", "returned 42; return None, a string or a list of strings", "-n0"),
            ("['a', None]", "returned ['a', None]; return None, a string or a list of strings", "-n0"),
        ],
    )
    def test_a_mistake_fails_the_test_and_names_the_plugin(
        self, pytester: pytest.Pytester, answer: str, complaint: str, workers: str
    ) -> None:
        conftest = f"def pytest_ipload_result(): return {answer}"
        result = run(pytester, LOAD + LOAD.replace("test_load", "test_next"), workers, conftest=conftest)
        result.assert_outcomes(failed=2)
        escaped = complaint.replace("[", "[[]")
        result.stdout.fnmatch_lines(["_* test_load _*", f"hook pytest_ipload_result of conftest.py: {escaped}"])
        assert [test["verdict"] for test in results()] == ["failed"] * 2
        assert "INTERNALERROR" not in result.stdout.str()

    def test_a_test_that_starts_loads_gets_it_and_decides_by_itself(self, pytester: pytest.Pytester) -> None:
        source = """
            def test_load(ipload):
                result = ipload.run(lambda user: None, users=2)
                assert (result.verdict, result.reason, result.objections) == ("failed", "too dear", ["too dear"])
        """
        run(pytester, source, conftest="def pytest_ipload_result(): return 'too dear'").assert_outcomes(passed=1)

    @pytest.mark.parametrize("option", ["--ipload-disable", "--ipload-segment=0/2"])
    def test_without_a_verdict_it_is_not_called(self, pytester: pytest.Pytester, option: str) -> None:
        run(pytester, LOAD, option, conftest="def pytest_ipload_result(): return 'too dear'").assert_outcomes(passed=1)

    def test_it_sees_a_load_that_was_broken_off(self, pytester: pytest.Pytester) -> None:
        seen: list[str] = []
        source = LOAD.replace("pass", "raise KeyboardInterrupt")
        hooks = plugin(pytest_ipload_result=lambda result: seen.append(result.reason))
        assert run(pytester, source, hooks=hooks).ret == pytest.ExitCode.INTERRUPTED
        assert seen == ["the load was aborted by KeyboardInterrupt"]


@pytest.mark.usefixtures("xdist")
def test_each_worker_calls_them_for_its_own_part_of_the_load_and_profiles_are_compared(
    pytester: pytest.Pytester,
) -> None:
    conftest = """
        from dataclasses import replace

        def pytest_ipload_profile(item, profile):
            if item.name == "test_more_users":
                return replace(profile, users=5)
            return replace(profile, warmup=0.01) if (item.name, WORKER) == ("test_differs", "gw1") else None

        def note(what, user, item):
            with open(f"told-{item.name}-{WORKER}", "a") as file:
                file.write(f"{user.index} {what} {WORKER} {threading.current_thread().name}\\n")

        def pytest_ipload_user_start(user, item):
            note("start", user, item)

        def pytest_ipload_user_stop(user, item):
            note("stop", user, item)

        def pytest_ipload_sample(item, samples):
            with open(f"samples-{item.name}-{WORKER}", "a") as file:
                for sample in samples:
                    file.write(f"{sample.kind} {WORKER}\\n")
    """
    more_users = LOAD.replace("test_load", "test_more_users").replace("users=3", "users=1")  # too few for two workers
    source = LOAD + more_users + LOAD.replace("test_load", "test_differs")
    result = run(pytester, source, "-n2", conftest=conftest)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*the shard results of test_it.py::test_differs differ in their warmup (0.0 and 0.01)*"]
    )
    [more] = [test for test in results() if test["nodeid"] == "test_it.py::test_more_users"]
    assert [shard["users"] for shard in more["shards"]] == [3, 2]
    assert more["profile"]["origins"]["users"] == "hook"
    assert lines_of("told-test_load-*") == [
        f"{index} {what} gw{index % 2} ipload-user-{index}" for index in range(3) for what in ("start", "stop")
    ]
    counts = {"gw0": 4, "gw1": 2}
    kinds = ("iteration", "request", "step")
    assert lines_of("samples-test_load-*") == sorted(
        f"{kind} {name}" for kind in kinds for name in counts for _ in range(counts[name])
    )


class TestNobody:
    def test_nothing_is_called_where_nobody_implements_anything(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*args: object, **kwargs: object) -> None:
            raise AssertionError("nobody wants this")

        monkeypatch.setattr(hook_calls, "UserHooks", never)
        monkeypatch.setattr(sample_hook, "SampleSink", never)
        run(pytester, LOAD).assert_outcomes(passed=1)

    def test_a_suite_without_load_tests_calls_none(self, pytester: pytest.Pytester) -> None:
        calls: list[str] = []
        names = [name for name in vars(newhooks) if name.startswith("pytest_ipload_")]
        assert len(names) == 5
        hooks = ModuleType("shop_plugin")
        vars(hooks).update({name: lambda: calls.append("called") for name in names})
        run(pytester, "def test(): pass", hooks=hooks).assert_outcomes(passed=1)
        assert calls == []

    def test_a_mistyped_hook_is_pytests_own_complaint(self, pytester: pytest.Pytester) -> None:
        result = run(pytester, LOAD, conftest="def pytest_ipload_reslut(): pass")
        assert result.ret == pytest.ExitCode.USAGE_ERROR or "unknown hook 'pytest_ipload_reslut'" in (
            result.stdout.str() + result.stderr.str()
        )
