"""Whole runs: rates are what ended within the planned time, and a load lasts as long as planned, and no longer."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import Any

import pytest

CONFTEST = """
    import threading
    import time

    import pytest


    class Straggler:
        '''Calls of 2 ms; the first one that starts late in the load takes much longer.'''

        def __init__(self):
            self.lock = threading.Lock()
            self.began = None
            self.is_through = False

        def __call__(self, user, after_s, seconds):
            with self.lock:
                self.began = self.began or time.monotonic()
                is_late = not self.is_through and time.monotonic() - self.began > after_s
                self.is_through = self.is_through or is_late
            with user.measure("call"):
                time.sleep(seconds if is_late else 0.002)


    @pytest.fixture(scope="module")
    def straggler():
        return Straggler()
"""


def run(pytester: pytest.Pytester, decorators: str, body: str, *options: str) -> tuple[pytest.RunResult, Any]:
    """Run one load test; the result, and its entry in the JSON report."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        f"""
        import time

        import pytest

        {decorators}
        def test_it(ipload_user, straggler):
            {body}
        """
    )
    result = pytester.runpytest("--ipload-json=out.json", "-p", "no:hypothesispytest", *options)
    [test] = json.loads((pytester.path / "out.json").read_text())["tests"]
    return result, test


class TestAStraggler:
    """A request that starts near the end and takes longer than all of the load."""

    @pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one", "two"])
    def test_does_not_change_the_rates_of_an_open_load(
        self, pytester: pytest.Pytester, options: tuple[str, ...], xdist: None
    ) -> None:
        result, test = run(
            pytester,
            "@pytest.mark.ipload(arrival_rate='50/s', duration='1s', max_users=20)\n"
            "        @pytest.mark.ipload_threshold('rps > 40', 'rps{call} > 40', 'iterations_per_second > 40')",
            "straggler(ipload_user, 0.7, 2)",
            *options,
        )
        result.assert_outcomes(passed=1)
        assert test["requests"] == 50
        assert test["duration_s"] > 2
        assert 40 < test["rps"] < 50
        assert test["rps"] == test["iterations_per_second"] == test["by_name"][0]["rps"]
        assert test["rps"] == pytest.approx(round(test["rps"]))  # a whole number of requests in one second

    def test_nor_those_of_a_closed_one(self, pytester: pytest.Pytester) -> None:
        _, test = run(
            pytester,
            "@pytest.mark.ipload(users=4, duration='1s', warmup='500ms', think_time='50ms')",
            "straggler(ipload_user, 0.7, 2)",
        )
        assert test["duration_s"] > 2
        assert test["rps"] == pytest.approx((test["requests"] - 1) / 0.5, abs=8)  # a few may end just after it
        assert test["rps"] > 30


@pytest.mark.parametrize(
    ("settings", "requests", "rate", "lasts_s"),
    [
        ("arrival_rate='2/s', duration='1s'", 2, 2, 1),
        ("arrival_rate='1/m', duration='1s'", 1, 1, 1),
        ("arrival_rate='2/s', total_iterations=2", 2, 2, 0.5),
        ("arrival_rate='20/s', total_iterations=10, duration='60s'", 10, 20, 0.45),
        ("stages='500ms:0/s,0s:20/s,500ms:20/s'", 10, 10, 1),
        ("users=1, duration='1s', pacing='60s'", 1, 1, 1),
    ],
)
def test_few_iterations_make_no_higher_rate_than_was_asked_for(
    pytester: pytest.Pytester, settings: str, requests: int, rate: float, lasts_s: float
) -> None:
    result, test = run(
        pytester,
        f"@pytest.mark.ipload({settings})\n        @pytest.mark.ipload_threshold('rps <= {rate}')",
        "straggler(ipload_user, 99, 1)",
    )
    result.assert_outcomes(passed=1)
    assert test["requests"] == requests
    assert lasts_s <= test["duration_s"] < lasts_s + 5
    assert test["rps"] == pytest.approx(rate, rel=0.35)  # one may end just after the planned time


GONE = {
    "think time": "users=4, total_iterations=4, think_time='60s'",
    "pacing of two": "users=2, total_iterations=2, pacing='500ms'",
    "pacing of one": "users=1, total_iterations=1, pacing='60s'",
    "think time and an end": "users=2, total_iterations=1, think_time='60s', duration='60s'",
    "ramp-up": "users=20, total_iterations=2, ramp_up='60s', duration='60s'",
    "pacing and iterations": "users=2, iterations=1, pacing='60s'",
}


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one", "two"])
def test_nobody_waits_for_an_iteration_that_is_gone_whatever_they_pause_for(
    pytester: pytest.Pytester, options: tuple[str, ...], xdist: None
) -> None:
    # Without the ramp-up on two workers: the second one's first user comes three seconds later.
    cases = {name: settings for name, settings in GONE.items() if not (options and name == "ramp-up")}
    tests = (
        f"""
        @pytest.mark.ipload({settings})
        def test_{name.replace(" ", "_").replace("-", "_")}(ipload_user):
            with ipload_user.measure("call"):
                time.sleep(0.002)
        """
        for name, settings in cases.items()
    )
    pytester.makepyfile("import time\nimport pytest\n" + "".join(map(dedent, tests)))
    pytester.runpytest("--ipload-json=out.json", *options).assert_outcomes(passed=len(cases))
    found = json.loads((pytester.path / "out.json").read_text())["tests"]
    assert len(found) == len(cases)
    for test in found:
        assert test["duration_s"] < 10, test["nodeid"]
        assert test["rps"] > 0.5, test["nodeid"]


def test_a_load_that_was_broken_off_has_the_rate_of_the_time_until_then(pytester: pytest.Pytester) -> None:
    """Users who are in the midst of an iteration get a second more, which is not counted."""
    result, test = run(
        pytester,
        "@pytest.mark.ipload(users=4, duration='60s', think_time='50ms')\n"
        "        @pytest.mark.ipload_threshold('max < 1s')\n"
        "        @pytest.mark.ipload_threshold('errors < 1', abort_on_fail=True, delay='1s')",
        "straggler(ipload_user, 0.5, 2); assert ipload_user.index or not straggler.is_through",
    )
    result.assert_outcomes(failed=1)
    assert test["aborted_s"] < test["duration_s"]
    counted = test["rps"] * test["aborted_s"]
    assert test["requests"] * 0.8 - 4 <= counted <= test["requests"]


class TestTheWarmUp:
    @pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one", "two"])
    def test_its_failures_are_in_no_group_and_no_traceback(
        self, pytester: pytest.Pytester, options: tuple[str, ...], xdist: None
    ) -> None:
        body = (
            "straggler(ipload_user, 99, 1); "
            "is_cold = time.monotonic() - straggler.began < 0.3; assert not is_cold; assert ipload_user.index"
        )
        result, test = run(
            pytester,
            "@pytest.mark.ipload(users=2, duration='1s', warmup='500ms', think_time='10ms')\n"
            "        @pytest.mark.ipload_threshold('error_rate < 90%')",
            body.replace("; ", "\n            "),
            *options,
        )
        result.assert_outcomes(passed=1)
        [failure] = test["failures"]
        assert failure["count"] == test["failed_iterations"] > 0
        assert "assert ipload_user.index" in test["traceback"]["text"].replace("\n", " ")
        assert "is_cold" not in failure["message"]
        result.stdout.no_fnmatch_line("*not is_cold*")

    def test_a_load_that_fails_in_it_only_passes_without_a_word_of_failures(self, pytester: pytest.Pytester) -> None:
        result, test = run(
            pytester,
            "@pytest.mark.ipload(users=2, duration='1s', warmup='700ms', think_time='10ms')",
            "straggler(ipload_user, 99, 1)\n            assert time.monotonic() - straggler.began > 0.3",
        )
        result.assert_outcomes(passed=1)
        assert (test["failures"], test["failed_iterations"], "traceback" in test) == ([], 0, False)
        assert test["timeline"]


class TestNamesThatWereNotKept:
    BODY = "with ipload_user.measure(f'GET /item/{ipload_user.index}-{ipload_user.iteration}'): pass"

    @pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one", "two"])
    def test_thresholds_that_may_mean_them_make_the_measurement_invalid_but_windows_keep_what_theirs_choose(
        self, pytester: pytest.Pytester, options: tuple[str, ...], xdist: None
    ) -> None:
        pytester.makepyfile(
            f"""
            import pytest

            @pytest.mark.ipload(users=2, duration="500ms")
            @pytest.mark.ipload_threshold("p95{{GET /item/*}} < 1m", "requests{{GET /other}} == 0")
            def test_gone(ipload_user):
                {self.BODY}

            @pytest.mark.ipload(users=2, duration="1s")
            @pytest.mark.ipload_threshold("requests{{GET /item/*}} > 0", "requests{{GET /other}} == 0", window="1s")
            def test_windows(ipload_user):
                {self.BODY}
            """
        )
        pytester.runpytest("--ipload-json=out.json", *options).assert_outcomes(passed=1, failed=1)
        found = json.loads((pytester.path / "out.json").read_text())["tests"]
        gone, windows = sorted(found, key=lambda test: str(test["nodeid"]))
        assert gone["verdict"] == "invalid"
        assert "more than 1 000 names" in gone["reason"]
        *thresholds, _ = gone["thresholds"]
        assert len(thresholds) == 2
        for threshold in thresholds:
            assert (threshold["passed"], threshold["undecidable"], "measured" in threshold) == (False, True, False)
        assert windows["verdict"] == "passed"
        items, other, _ = windows["thresholds"]
        # What ends later is in no window.
        assert 1000 < 0.9 * windows["requests"] < items["measured"] <= windows["requests"]
        assert (other["measured"], other["undecidable"]) == (0, False)

    def test_others_are_judged_and_one_that_warns_changes_no_verdict(self, pytester: pytest.Pytester) -> None:
        result, test = run(
            pytester,
            "@pytest.mark.ipload(users=2, iterations=600)\n"
            "        @pytest.mark.ipload_threshold('p95 < 1m', 'p95{*} < 1m', 'p95{GET /item/0-0} < 1m')\n"
            "        @pytest.mark.ipload_threshold('p95{GET /item/*} < 1m', severity='warn')",
            self.BODY,
        )
        result.assert_outcomes(passed=1)
        assert [each["undecidable"] for each in test["thresholds"]].count(True) == 1


def test_a_load_of_which_nothing_was_measured_says_so(pytester: pytest.Pytester) -> None:
    result, test = run(pytester, "@pytest.mark.ipload(users=2, iterations=3)", "assert straggler")
    result.assert_outcomes(passed=1)
    assert [check["name"] for check in test["generator"]["checks"]] == ["nothing-measured"]
    assert test["generator"]["healthy"]
    result.stdout.fnmatch_lines(["*nothing-measured: 6 iterations completed but no request was measured*"])


@pytest.mark.parametrize("threshold", ["request_error_rate{GET /} < 1%", "request_error_rate < 1%"])
def test_a_load_that_passes_although_iterations_failed_says_so(pytester: pytest.Pytester, threshold: str) -> None:
    marks = f"@pytest.mark.ipload(users=2, iterations=3)\n        @pytest.mark.ipload_threshold({threshold!r})"
    result, test = run(
        pytester, marks, "with ipload_user.measure('GET /'):\n                pass\n            assert 0"
    )
    result.assert_outcomes(passed=1)
    assert [check["name"] for check in test["generator"]["checks"]] == ["failures-not-judged"]
    result.stdout.fnmatch_lines(["*failures-not-judged: 6 of 6 iterations failed, and no threshold judges that.*"])
