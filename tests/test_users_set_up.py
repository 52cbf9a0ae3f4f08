"""Whole runs: when users are set up, what becomes of those who are missing, fail, skip, or hang."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

MODULE = """
    import time, unittest

    import pytest

    @pytest.fixture
    def visitor(ipload_user):
        {set_up}
        yield ipload_user

    @pytest.mark.ipload({settings})
    {thresholds}
    def test_it(visitor):
        with visitor.measure("visit"):
            time.sleep(0.01)
        {more}
"""


def run(
    pytester: pytest.Pytester,
    set_up: str,
    settings: str,
    *options: str,
    thresholds: str = "",
    more: str = "pass",
) -> tuple[pytest.RunResult, list[dict[str, Any]]]:
    """Run one load test; the result and the tests of the JSON report."""
    marker = f"@pytest.mark.ipload_threshold({thresholds})" if thresholds else ""
    pytester.makepyfile(test_it=MODULE.format(set_up=set_up, settings=settings, thresholds=marker, more=more))
    result = pytester.runpytest("--ipload-json=out.json", *options)
    tests: list[dict[str, Any]] = json.loads((pytester.path / "out.json").read_text())["tests"]
    return result, tests


SLOW = "time.sleep(0.8 if ipload_user.index else 0)"


class TestWhen:
    @pytest.mark.parametrize("shape", ["users=6, ramp_up='300ms', duration='400ms'", "stages='300ms:6,400ms:6'"])
    def test_a_slow_set_up_takes_nothing_from_a_ramp(self, pytester: pytest.Pytester, shape: str) -> None:
        result, [test] = run(pytester, SLOW, shape)
        result.assert_outcomes(passed=1)
        assert (test["users"], test["profile"]["set_up"]) == (6, "before")
        assert max(second["users"] for second in test["timeline"]) == 6

    def test_on_arrival_it_does_and_the_load_is_invalid(self, pytester: pytest.Pytester) -> None:
        settings = "users=6, ramp_up='300ms', duration='400ms', set_up='on-arrival'"
        result, [test] = run(pytester, SLOW, settings)
        result.assert_outcomes(failed=1)
        assert (test["verdict"], test["users"]) == ("invalid", 1)
        assert test["reason"].startswith("users-not-reached: users were missing for ")
        assert "5 users never started an iteration" in test["reason"]

    def test_it_is_so_for_all_workers_together(self, pytester: pytest.Pytester) -> None:
        settings = "users=6, ramp_up='300ms', duration='400ms', set_up='on-arrival'"
        result, [test] = run(pytester, SLOW, settings, "-n2")
        result.assert_outcomes(failed=1)
        assert test["reason"].startswith("users-not-reached: users were missing for ")
        assert "5 users never started an iteration" in test["reason"]

    def test_another_word_is_refused(self, pytester: pytest.Pytester) -> None:
        result, _ = run(pytester, "pass", "set_up='later'")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines("*set_up*'later' is unknown; allowed: 'before', 'on-arrival'*")

    def test_the_plan_says_when(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(MODULE.format(set_up="pass", settings="set_up='on-arrival'", thresholds="", more="pass"))
        result = pytester.runpytest("--collect-only", "-v")
        result.stdout.fnmatch_lines("*::test_it: *, set_up on-arrival (marker), *")


FAILS = "if ipload_user.index in (1, 4): raise OSError('503 for the login')"


class TestErrorRate:
    SETTINGS = "users=6, ramp_up='100ms', duration='200ms'"

    @pytest.mark.parametrize("options", [(), ("-n2",)])
    def test_such_users_are_left_out_and_the_load_is_judged(
        self, pytester: pytest.Pytester, options: tuple[str, ...]
    ) -> None:
        result, [test] = run(pytester, FAILS, self.SETTINGS, *options, thresholds="'set_up_error_rate < 50%'")
        result.assert_outcomes(passed=1)
        assert (test["users"], test["set_up_error_rate"]) == (4, pytest.approx(1 / 3))
        [failure] = test["failures"]
        assert (failure["type"], failure["count"], failure["users"]) == ("OSError in set-up", 2, [1, 4])
        assert "test_it.py" in failure["location"]
        result.stdout.fnmatch_lines("ok    set_up_error_rate 33.3 %, limit < 50 % (2 of 6 set-ups failed)")

    def test_too_many_fail_the_test(self, pytester: pytest.Pytester) -> None:
        result, [test] = run(pytester, FAILS, self.SETTINGS, thresholds="'set_up_error_rate < 5%'")
        result.assert_outcomes(failed=1)
        assert test["verdict"] == "failed"
        result.stdout.fnmatch_lines(
            [
                "set_up_error_rate 33.3 %, limit < 5 % (2 of 6 set-ups failed)",
                "the set-up of 2 users failed:",
                "*2 x OSError in set-up at test_it.py:*: 503 for the login (users 1, 4)",
                "E * OSError: 503 for the login",
            ]
        )

    def test_a_load_of_which_all_users_failed_has_no_samples(self, pytester: pytest.Pytester) -> None:
        result, [test] = run(pytester, "raise OSError('503')", self.SETTINGS, thresholds="'set_up_error_rate <= 100%'")
        result.assert_outcomes(failed=1)
        assert test["verdict"] == "failed"
        result.stdout.fnmatch_lines("*error_rate: no samples*")

    @pytest.mark.parametrize("thresholds", ["'error_rate < 5%'", "'set_up_error_rate < 50%', severity='warn'"])
    def test_without_a_threshold_that_can_fail_it_is_an_error(self, pytester: pytest.Pytester, thresholds: str) -> None:
        result, _ = run(pytester, FAILS, self.SETTINGS, thresholds=thresholds)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines("E * OSError: 503 for the login")

    def test_it_takes_no_window(self, pytester: pytest.Pytester) -> None:
        result, _ = run(pytester, "pass", self.SETTINGS, thresholds="'set_up_error_rate < 5%', window='100ms'")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines("*set_up_error_rate is counted over the whole load and takes no window*")


LATE = {
    "skip": "if ipload_user.index == 2: pytest.skip('no account')",
    "xfail": "if ipload_user.index == 2: pytest.xfail('known')",
    "SkipTest": "if ipload_user.index == 2: raise unittest.SkipTest('no account')",
}
ON_ARRIVAL = "users=3, ramp_up='300ms', duration='300ms', set_up='on-arrival'"
OPEN = "arrival_rate='50/s', users=1, max_users=4, duration='1s'"


class TestLateSkip:
    @pytest.mark.parametrize("kind", LATE)
    @pytest.mark.parametrize("settings", [ON_ARRIVAL, OPEN], ids=["closed", "open"])
    def test_it_is_an_error_and_not_a_test_that_did_not_run(
        self, pytester: pytest.Pytester, kind: str, settings: str
    ) -> None:
        result, _ = run(pytester, LATE[kind], settings, more="time.sleep(0.1); assert False, 'broken target'")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines("*the set-up of user 2 raised * after iterations of the load had run, so *")

    def test_with_workers_too(self, pytester: pytest.Pytester) -> None:
        result, _ = run(pytester, LATE["skip"], ON_ARRIVAL, "-n2", more="assert False, 'broken target'")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines("*the set-up of user 2 raised * after iterations of the load had run, so *")

    @pytest.mark.parametrize("where", ["set_up", "body"])
    def test_in_a_second_round_too(self, pytester: pytest.Pytester, where: str) -> None:
        pytester.makepyfile(
            f"""
            import pytest

            runs = []

            @pytest.fixture
            def visitor(ipload_user):
                runs.append("set_up")
                if {where == "set_up"} and runs.count("set_up") == 2:
                    pytest.skip("not twice")

            @pytest.mark.ipload(users=1, iterations=3)
            def test_it(visitor):
                runs.append("body")
                if {where == "body"} and runs.count("body") == 4:
                    pytest.skip("not twice")
            """
        )
        outcomes = pytester.runpytest("--ipload-rounds=2").parseoutcomes()
        assert "skipped" not in outcomes
        assert outcomes == {"errors": 1} if where == "set_up" else {"failed": 1}

    def test_a_load_that_a_test_starts_has_failed(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(
            """
            import pytest

            def pytest_ipload_user_start(user, item):
                if user.index == 1:
                    pytest.skip("no account")
            """
        )
        pytester.makepyfile(
            f"""
            import time

            def body(user):
                time.sleep(0.01)
                raise ValueError("broken target")

            def test_it(ipload):
                ipload.run(body, {ON_ARRIVAL})
            """
        )
        pytester.runpytest().assert_outcomes(failed=1)

    @pytest.mark.parametrize(("kind", "outcome"), [("skip", "skipped"), ("xfail", "xfailed"), ("SkipTest", "skipped")])
    def test_before_the_load_it_skips_the_test(self, pytester: pytest.Pytester, kind: str, outcome: str) -> None:
        result, tests = run(pytester, LATE[kind], "users=3, ramp_up='300ms', duration='300ms'")
        result.assert_outcomes(**{outcome: 1})
        assert tests == []


@pytest.mark.untraced
class TestHanging:
    def test_a_set_up_that_hangs_is_named(self, pytester: pytest.Pytester) -> None:
        set_up = "while ipload_user.index == 1: time.sleep(0.01)"
        result, _ = run(pytester, set_up, "users=3, duration='5s', timeout='100ms', graceful_stop='200ms'")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(
            "user 1 was still in its set-up after 3?? ms, at test_it.py:*, when none of its requests*"
        )

    def test_where_it_is_tolerated_the_others_load(self, pytester: pytest.Pytester) -> None:
        set_up = "while ipload_user.index == 1: time.sleep(0.01)"
        settings = "users=3, duration='300ms', timeout='100ms', graceful_stop='200ms'"
        result, [test] = run(pytester, set_up, settings, thresholds="'set_up_error_rate < 50%'")
        result.assert_outcomes(passed=1)
        assert test["users"] == 2
        assert [failure["type"] for failure in test["failures"]] == ["SetUpTimeout in set-up"]

    @pytest.mark.parametrize("options", [(), ("-n2",)])
    def test_users_that_cannot_be_stopped_keep_what_they_measured(
        self, pytester: pytest.Pytester, options: tuple[str, ...]
    ) -> None:
        more = "if visitor.iteration == 2: time.sleep(8)"
        settings = "users=2, duration='500ms', graceful_stop='100ms'"
        pytester.makepyfile(test_it=MODULE.format(set_up="pass", settings=settings, thresholds="", more=more))
        result = pytester.runpytest_subprocess("--ipload-json=out.json", *options, timeout=100)
        result.assert_outcomes(failed=1)
        [test] = json.loads((pytester.path / "out.json").read_text())["tests"]
        assert (test["verdict"], test["iterations"], test["failed_iterations"], test["requests"]) == ("failed", 6, 2, 6)
        [failure] = test["failures"]
        assert (failure["type"], failure["count"], failure["first"]["iteration"]) == ("IterationInterrupted", 2, 2)
        assert "test_it.py" in failure["location"]


TEAR_DOWN = """
    import time, pytest

    @pytest.fixture
    def visitor(ipload_user):
        yield ipload_user
        for _ in range(20):
            time.sleep(0.1)
        print(f"has left: {ipload_user.index}", flush=True)

    @pytest.mark.ipload(users=3, duration="60s")
    def test_it(visitor):
        print("at work", flush=True)
        for _ in range(600):
            time.sleep(0.1)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT for another process")
@pytest.mark.parametrize("presses", [1, 2])
def test_tear_downs_after_ctrl_c(tmp_path: Path, presses: int) -> None:
    (tmp_path / "test_it.py").write_text(textwrap.dedent(TEAR_DOWN))
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "--ipload-json=out.json", "test_it.py"]
    restored = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731  # it may be ignored here
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, preexec_fn=restored) as process:
        assert process.stdout is not None
        while "at work" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        if presses == 2:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.2)
            process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0]
    [test] = json.loads((tmp_path / "out.json").read_text())["tests"]
    if presses == 1:
        assert sorted(re.findall(r"has left: (\d)", output)) == ["0", "1", "2"]
        assert not any(note.startswith("unstoppable-users") for note in test["generator"]["notes"])
    else:
        [note] = [note for note in test["generator"]["notes"] if note.startswith("unstoppable-users")]
        assert all(f"user {index} " in note for index in range(3))
