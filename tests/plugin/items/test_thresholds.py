"""Thresholds with windows, confidence and abort_on_fail in whole runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

BROWN_OUT = """
    import time
    import pytest

    @pytest.fixture(scope="session")
    def begun():
        return []

    @pytest.mark.ipload(users=4, duration="3s")
    @pytest.mark.ipload_threshold("p95 < 150ms")
    @pytest.mark.ipload_threshold("p95 < 150ms", window="500ms")
    @pytest.mark.ipload_threshold("p90 < 150ms", window=0.5, severity="warn")
    @pytest.mark.ipload_threshold("p90 < 10s", "requests > 0", window=0.5)
    def test_shop(ipload_user, begun):
        begun.append(time.monotonic())
        is_slow = 1.0 <= time.monotonic() - begun[0] < 1.4
        with ipload_user.measure("GET /cart"):
            time.sleep(0.25 if is_slow else 0.01)
"""

HOPELESS = """
    import time
    import pytest

    @pytest.mark.ipload(users=5, duration="60s", graceful_stop="60s")
    @pytest.mark.ipload_threshold("max < 1h")
    @pytest.mark.ipload_threshold("p95 < 5ms", abort_on_fail=True, delay="1s")
    @pytest.mark.ipload_threshold("requests > 1000000")
    def test_shop(ipload_user):
        with ipload_user.measure("GET /cart"):
            time.sleep(0.02)
"""

FEW = """
    import pytest

    @pytest.mark.ipload(iterations=40)
    @pytest.mark.ipload_threshold("p95 < 10s", confidence=0.95{more})
    def test_shop(ipload_user):
        with ipload_user.measure("GET /cart"):
            pass
"""


def run(pytester: pytest.Pytester, source: str, *options: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    pytester.makepyfile(test_it=source)
    result = pytester.runpytest("--ipload-json=out.json", *options)
    (test,) = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
    return result, test


def test_a_window_catches_a_brown_out_that_the_whole_run_hides(pytester: pytest.Pytester) -> None:
    result, test = run(pytester, BROWN_OUT)
    result.assert_outcomes(failed=1)
    where = r"in the window 1(\.5)?s-(1\.5|2)s"
    failure = rf"p95 2\d\d ms {where}, limit < 150 ms \(\d+ requests, .*; [12] of 6 windows failed\)"
    result.stdout.re_match_lines_random(
        [
            r"ok    p95 \d\d\.\d ms, limit < 150 ms \([\d ]+ requests, 95 % CI [^;]*\)",
            f"FAIL  {failure}",
            rf"warn  p90 2\d\d ms {where}, limit < 150 ms \(.*; [12] of 6 windows failed\)",
            r"ok    p90 2\d\d ms in .*, limit < 10\.0 s \(.*; the worst of 6 windows\)",
            r"ok    requests \d+ in the window .*, limit > 0 \(the worst of 6 windows\)",
            "FAILED test_it.py::test_shop - ThresholdFailed: p95 2.*",
        ]
    )  # fmt: skip
    assert test["verdict"] == "failed"
    failed = [each for each in test["thresholds"] if not each["passed"]]
    assert [(each["expression"], each["window_s"], each["severity"]) for each in failed] == [
        ("p90 < 150ms", 0.5, "warn"),
        ("p95 < 150ms", 0.5, "fail"),
    ]
    assert test["reason"] == failed[1]["message"]


def test_a_mere_warning_about_a_window_fails_nothing(pytester: pytest.Pytester) -> None:
    source = """
        import pytest

        @pytest.mark.ipload(duration="600ms")
        @pytest.mark.ipload_threshold("iteration.max > 1h", window="300ms", severity="warn")
        def test_shop(ipload_user):
            pass
    """
    result, test = run(pytester, source)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["warn  iteration.max * in the window *, limit > 1h00m00s (*2 of 2 windows failed)"])
    assert test["verdict"] == "passed"


def test_a_load_without_a_full_window_fails(pytester: pytest.Pytester) -> None:
    source = """
        import pytest

        @pytest.mark.ipload(iterations=2)
        @pytest.mark.ipload_threshold("iteration.max < 1h", window="30s")
        def test_shop(ipload_user):
            pass
    """
    result, _ = run(pytester, source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["iteration.max: no full window of 30s, limit < 1h00m00s; the judged part of the load lasted *"]
    )


def test_a_hopeless_load_is_aborted(pytester: pytest.Pytester) -> None:
    result, test = run(pytester, HOPELESS)
    result.assert_outcomes(failed=1)
    failure = r"aborted after \d\.\d+ s: p95 [\d.]+ ms, limit < 5\.00 ms \([\d ]+ requests, .*95 % CI .*\)"
    result.stdout.re_match_lines(
        [
            failure,  # first, although the other one is nearer to the function
            r"requests [\d ]+, limit > 1 000 000",
            f"FAIL  {failure}",
            r"FAILED test_it.py::test_shop - ThresholdFailed: aborted after .*",
        ]
    )
    assert 1.0 <= test["aborted_s"] < 4.0
    assert test["aborted_s"] <= test["duration_s"] < test["aborted_s"] + 2.5
    assert test["verdict"] == "failed"
    assert test["reason"].startswith("aborted after ")
    aborted = {each["expression"]: (each["aborted"], each["passed"]) for each in test["thresholds"]}
    assert aborted["p95 < 5ms"] == (True, False)
    assert aborted["requests > 1000000"] == (False, False)
    assert aborted["max < 1h"] == (False, True)


def test_a_cold_start_does_not_abort_a_load_that_recovers(pytester: pytest.Pytester) -> None:
    source = """
        import time
        import pytest

        @pytest.fixture(scope="session")
        def begun():
            return []

        @pytest.mark.ipload(users=5, duration="5s", think_time="10ms")
        @pytest.mark.ipload_threshold("p90 < 100ms", abort_on_fail=True, delay="1s")
        def test_shop(ipload_user, begun):
            begun.append(time.monotonic())
            is_cold = time.monotonic() - begun[0] < 1.5
            with ipload_user.measure("GET /cart"):
                time.sleep(0.2 if is_cold else 0.002)
    """
    result, test = run(pytester, source)
    result.assert_outcomes(passed=1)
    assert "aborted_s" not in test
    assert test["duration_s"] > 4.9


def test_a_planned_load_is_aborted_when_too_many_of_its_iterations_failed(pytester: pytest.Pytester) -> None:
    source = """
        import time
        import pytest

        @pytest.mark.ipload(arrival_rate="40/s", duration="30s", max_users=20)
        @pytest.mark.ipload_threshold("error_rate < 5%", abort_on_fail=True, delay="1s")
        def test_shop(ipload_user):
            assert ipload_user.index < 0
    """
    result, test = run(pytester, source)
    result.assert_outcomes(failed=1)
    # 60 of 1200 planned iterations may not fail, and those of the last seconds are still with their users.
    assert 1.5 <= test["aborted_s"] < 6
    assert test["failed_iterations"] >= 60


def test_an_interval_of_a_long_load_goes_by_its_spans_in_a_team_too(pytester: pytest.Pytester) -> None:
    source = """
        import time
        import pytest

        @pytest.mark.ipload(users=4, duration="{seconds}s", pacing="50ms")
        @pytest.mark.ipload_threshold("p90 < 10s", "iteration.median < 10s")
        @pytest.mark.ipload_threshold("error_rate < 90%", confidence=0.9)
        def test_shop(ipload_user):
            with ipload_user.measure("GET /cart"):
                time.sleep(0.001)
    """
    for seconds, workers, assumes in ((10, "2", False), (2, "0", True)):
        result, test = run(pytester, source.replace("{seconds}", str(seconds)), f"-n{workers}")
        result.assert_outcomes(passed=1)
        found = {each["expression"]: each for each in test["thresholds"]}
        shown = {text: each["ci_assumes_independence"] for text, each in found.items()}
        # Without errors nothing is known of how alike they are.
        assert shown == {"p90 < 10s": assumes, "iteration.median < 10s": assumes, "error_rate < 90%": True}
        assert ("assuming independent requests" in found["p90 < 10s"]["message"]) is assumes


def test_a_load_that_may_still_hold_is_not_aborted(pytester: pytest.Pytester) -> None:
    source = """
        import time
        import pytest

        @pytest.mark.ipload(users=2, duration="2500ms")
        @pytest.mark.ipload_threshold("iteration.p95 < 10s", "requests >= 0", "iterations > 200", abort_on_fail=True, delay=0)
        def test_shop(ipload_user):
            with ipload_user.measure("GET /cart"):
                time.sleep(0.005)
    """  # noqa: E501
    result, test = run(pytester, source)
    result.assert_outcomes(passed=1)
    assert "aborted_s" not in test
    assert test["duration_s"] > 2.4


class TestUndecided:
    MESSAGE = "p95 * us, limit < 10.0 s: undecided{}; 32 more requests would close its interval (40 requests, *)"

    def test_it_passes_and_is_marked(self, pytester: pytest.Pytester) -> None:
        result, test = run(pytester, FEW.format(more=""))
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines([f"[?][?]    {self.MESSAGE.format('')}"])
        threshold = test["thresholds"][0]
        assert (threshold["passed"], threshold["undecided"], threshold["confidence"]) == (True, True, 0.95)
        assert "ci_high" not in threshold

    @pytest.mark.parametrize("how", ["--ipload-strict", "-oipload_strict=true"])
    def test_in_a_strict_session_it_fails(self, pytester: pytest.Pytester, how: str) -> None:
        result, test = run(pytester, FEW.format(more=""), how)
        result.assert_outcomes(failed=1)
        message = self.MESSAGE.format(", a failure in a strict session")
        result.stdout.fnmatch_lines([message, f"FAIL  {message}"])
        assert (test["thresholds"][0]["passed"], test["thresholds"][0]["undecided"]) == (False, True)

    def test_in_a_strict_session_a_warning_stays_one(self, pytester: pytest.Pytester) -> None:
        result, _ = run(pytester, FEW.format(more=", severity='warn'"), "--ipload-strict")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines([f"warn  {self.MESSAGE.format(', a failure in a strict session')}"])

    def test_the_command_line_is_above_the_ini_file(self, pytester: pytest.Pytester) -> None:
        result, _ = run(pytester, FEW.format(more=""), "--ipload-strict", "-oipload_strict=false")
        result.assert_outcomes(failed=1)

    def test_with_enough_samples_it_is_decided(self, pytester: pytest.Pytester) -> None:
        result, _ = run(pytester, FEW.format(more=""), "--ipload-strict", "--ipload-iterations=72")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["ok    p95 *, limit < 10.0 s (72 requests, *)"])


def test_the_wind_down_of_a_load_fills_no_window(pytester: pytest.Pytester) -> None:
    source = """
        import time
        import pytest

        @pytest.fixture(scope="session")
        def begun():
            return []

        @pytest.mark.ipload(users=2, duration="1s")
        @pytest.mark.ipload_threshold("iterations > 0", window="500ms")
        def test_shop(ipload_user, begun):
            begun.append(time.monotonic())
            time.sleep(2.0 if time.monotonic() - begun[0] > 0.9 else 0.01)
    """
    result, test = run(pytester, source)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["ok    iterations * in the window *, limit > 0 (the worst of 2 windows)"])
    assert test["duration_s"] > 2.5
