"""The verdict of whole runs, and what pytest makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

SLOW_TEST = """
    import pytest

    @pytest.mark.ipload(users=5, iterations=8, base_url={url!r})
    @pytest.mark.ipload_threshold({threshold!r})
    {more}
    def test_delay(ipload_session):
        assert ipload_session.get("/slow?ms={delay}").ok
"""

FAILING_TEST = """
    import pytest

    @pytest.mark.ipload(users=3, iterations=4)
    {more}
    def test_it(ipload_user):
        expected = 1
        assert ipload_user.index == expected
"""


def json_results(path: Path) -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["tests"]
    return tests


class TestKnownDelay:
    @pytest.mark.parametrize(
        ("delay", "threshold", "outcome"),
        [
            (5, "p95 > 5ms", "passed"),
            (5, "p50 < 45ms", "passed"),
            (5, "p50 < 5ms", "failed"),
            (50, "p50 < 45ms", "failed"),
            (50, "p95 > 50ms", "passed"),
            (50, "p95{GET /slow} < 50ms", "failed"),
            (50, "p95{GET /*} < 5s", "passed"),
        ],
    )
    def test_a_threshold_passes_and_fails_rightly(
        self, pytester: pytest.Pytester, demo_url: str, delay: int, threshold: str, outcome: str
    ) -> None:
        pytester.makepyfile(SLOW_TEST.format(url=demo_url, threshold=threshold, delay=delay, more=""))
        result = pytester.runpytest("--ipload-json=out.json")
        result.assert_outcomes(**{outcome: 1})
        (test,) = json_results(pytester.path / "out.json")
        assert test["verdict"] == outcome
        assert (test["requests"], test["failed_requests"], test["iterations"]) == (40, 0, 40)
        assert delay <= test["latency"]["min_ms"] <= test["latency"]["p50_ms"] < delay + 40

    def test_the_failure_names_the_measured_value_first(self, pytester: pytest.Pytester, demo_url: str) -> None:
        pytester.makepyfile(test_d=SLOW_TEST.format(url=demo_url, threshold="p95 < 20ms", delay=50, more=""))
        result = pytester.runpytest()
        result.stdout.re_match_lines(
            [
                r"p95 \d+\.?\d* ms, limit < 20\.0 ms \(40 requests, uncertain: p95 needs 200, 95 % CI .*\)",
                r"FAILED .*::test_delay - ThresholdFailed: p95 \d+.*",
            ]
        )
        result.stdout.no_fnmatch_line("*pytest_ipload/*")  # no traceback of ours

    def test_a_selector_that_matches_nothing_fails_with_no_samples(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        pytester.makepyfile(SLOW_TEST.format(url=demo_url, threshold="p95{GET /slwo} < 9s", delay=1, more=""))
        result = pytester.runpytest()
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["p95{GET /slwo}: no samples, limit < 9.00 s; request names seen: 'GET /slow'"])

    def test_a_typo_in_the_metric_is_an_error_in_set_up(self, pytester: pytest.Pytester, demo_url: str) -> None:
        pytester.makepyfile(SLOW_TEST.format(url=demo_url, threshold="p59x < 9s", delay=1, more=""))
        result = pytester.runpytest()
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(
            [
                "*ERROR at setup of test_delay*",
                "marker ipload_threshold: threshold 'p59x < 9s': 'p59x' is not a metric*",
            ]
        )

    def test_a_threshold_of_the_command_line_judges_every_load_test(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        pytester.makepyfile(SLOW_TEST.format(url=demo_url, threshold="p95 < 9s", delay=20, more=""))
        result = pytester.runpytest("--ipload-threshold=p50 < 10ms")
        result.assert_outcomes(failed=1)

    def test_with_severity_warn_a_threshold_reports_and_does_not_fail(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        warn = '@pytest.mark.ipload_threshold("p50 < 1ms", severity="warn")'
        pytester.makepyfile(SLOW_TEST.format(url=demo_url, threshold="p95 < 9s", delay=20, more=warn))
        result = pytester.runpytest()
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["warn  p50 *, limit < 1.00 ms *"])

    def test_with_pacing_the_response_time_is_judged_and_the_latency_is_raw(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        pytester.makepyfile(
            f"""
            import pytest

            @pytest.mark.ipload(users=1, iterations=10, pacing="10ms", base_url={demo_url!r})
            @pytest.mark.ipload_threshold("max > 300ms", "raw.max < 300ms")
            def test_late(ipload_session):
                ipload_session.get("/slow?ms=50")
            """
        )
        result = pytester.runpytest("--ipload-json=out.json")
        result.assert_outcomes(passed=1)
        (test,) = json_results(pytester.path / "out.json")
        # The tenth iteration is planned after 90 ms, and starts after nine requests of 50 ms.
        assert test["response_time"]["max_ms"] > 400
        assert test["latency"]["max_ms"] < 300


class TestFailedIterations:
    def test_failures_are_grouped_with_one_full_traceback(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(FAILING_TEST.format(more=""))
        result = pytester.runpytest("--ipload-json=out.json")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            [
                "error_rate 66.7 %, limit == 0 % (8 of 12 iterations failed)",
                "8 iterations failed:",
                "  8 x AssertionError at *.py:*: assert * == 1 (first: user *, iteration 0)",
                ">       assert ipload_user.index == expected",
                "E       assert * == 1",
                "E        +  where * = <VirtualUser * from any address>.index",
            ]
        )
        (test,) = json_results(pytester.path / "out.json")
        (failure,) = test["failures"]
        assert (failure["type"], failure["count"], failure["first"]["iteration"]) == ("AssertionError", 8, 0)
        assert failure["location"].endswith(".py:7")

    def test_an_iteration_fails_by_a_request_that_nobody_asserted_on(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        pytester.makepyfile(
            f"""
            import pytest

            @pytest.mark.ipload(users=2, base_url={demo_url!r})
            def test_it(ipload_session):
                ipload_session.get("/status/503")
            """
        )
        result = pytester.runpytest()
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            ["  2 x HTTP 503 at *.py:5: GET /status/503 answered 503 * (first: user *, iteration 0)"]
        )

    def test_an_expected_failure_of_a_request_is_none(self, pytester: pytest.Pytester, demo_url: str) -> None:
        pytester.makepyfile(
            f"""
            import pytest

            @pytest.mark.ipload(users=2, base_url={demo_url!r})
            def test_it(ipload_session):
                assert ipload_session.get("/status/503", expect=503).status_code == 503
            """
        )
        pytester.runpytest().assert_outcomes(passed=1)

    def test_a_threshold_that_speaks_of_errors_replaces_the_implied_one(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(FAILING_TEST.format(more='@pytest.mark.ipload_threshold("error_rate < 70%")'))
        pytester.runpytest().assert_outcomes(passed=1)

    def test_a_disabled_load_test_fails_by_its_assertions_whatever_its_thresholds_tolerate(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile(FAILING_TEST.format(more='@pytest.mark.ipload_threshold("error_rate <= 100%")'))
        pytester.runpytest().assert_outcomes(passed=1)
        pytester.runpytest("--ipload-disable").assert_outcomes(failed=1)

    def test_a_functional_test_fails_with_its_own_exception(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_f=FAILING_TEST.format(more=""))
        result = pytester.runpytest("--ipload-users=1", "--ipload-iterations=1")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            [">       assert ipload_user.index == expected", "FAILED *::test_it - assert 0 == 1"]
        )


class TestInvalid:
    def test_a_fault_of_the_generator_is_invalid_and_no_request(self, pytester: pytest.Pytester, demo_url: str) -> None:
        pytester.makepyfile(
            test_g=f"""
            import pytest
            from pytest_ipload import LoadSession

            @pytest.mark.ipload(users=2)
            @pytest.mark.ipload_threshold("error_rate <= 100%")
            def test_it(ipload_user):
                session = LoadSession("203.0.113.7", base_url={demo_url!r}, record=ipload_user.record)
                with session, pytest.raises(OSError):
                    session.get("/whoami")
            """
        )
        result = pytester.runpytest("--ipload-json=out.json")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            [
                "source-not-local: 2 times: source address 203.0.113.7 is not *. Such requests were never sent *",
                "FAILED *::test_it - MeasurementInvalid: source-not-local: 2 times*",
            ]
        )
        (test,) = json_results(pytester.path / "out.json")
        assert test["verdict"] == "invalid"
        assert (test["requests"], test["failed_requests"]) == (0, 0)
        assert test["generator"]["faults"] == {"source-not-local": 2}
        assert not test["generator"]["healthy"]


class TestPytestMeanings:
    @pytest.mark.parametrize(
        ("more", "outcome"),
        [
            ("@pytest.mark.xfail", "xfailed"),
            ("@pytest.mark.xfail(strict=True)", "xfailed"),
            ("@pytest.mark.xfail(raises=pytest.fail.Exception)", "xfailed"),
            ("@pytest.mark.xfail(raises=KeyError)", "failed"),
        ],
    )
    def test_xfail(self, pytester: pytest.Pytester, more: str, outcome: str) -> None:
        pytester.makepyfile(FAILING_TEST.format(more=more))
        pytester.runpytest().assert_outcomes(**{outcome: 1})

    def test_xfail_can_name_the_outcome(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import pytest
            from pytest_ipload.plugin.items.outcomes import LoadTestFailed, MeasurementInvalid, ThresholdFailed

            @pytest.mark.ipload(users=2)
            @pytest.mark.ipload_threshold("requests > 1")
            @pytest.mark.parametrize("kind", [
                pytest.param(kind, marks=pytest.mark.xfail(raises=kind))
                for kind in (ThresholdFailed, LoadTestFailed, MeasurementInvalid)
            ])
            def test_it(kind, ipload_user):
                pass
            """
        )
        pytester.runpytest().assert_outcomes(xfailed=2, failed=1)

    def test_strict_xfail_of_a_test_that_passes_fails(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import pytest

            @pytest.mark.ipload(users=2)
            @pytest.mark.xfail(strict=True)
            def test_it(ipload_user):
                pass
            """
        )
        pytester.runpytest().assert_outcomes(failed=1)

    def test_junit_counts_the_failure_and_has_the_main_numbers(self, pytester: pytest.Pytester, demo_url: str) -> None:
        pytester.makepyfile(SLOW_TEST.format(url=demo_url, threshold="p95 < 1ms", delay=5, more=""))
        pytester.runpytest("--junit-xml=out.xml")
        suite = ElementTree.parse(pytester.path / "out.xml").getroot()[0]
        assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "1", "0")
        properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
        assert properties["ipload_verdict"] == "failed"
        assert properties["ipload_requests"] == "40"
        assert set(properties) == {
            f"ipload_{name}" for name in ("verdict", "requests", "rps", "error_rate", "p50_ms", "p95_ms", "p99_ms")
        }
        message = suite.find("./testcase/failure").get("message") or ""  # type: ignore[union-attr]
        assert message.startswith(("ThresholdFailed: p95 ", "p95 "))

    def test_lf_reruns_only_the_failed_load_test(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(FAILING_TEST.format(more="") + "\n    def test_other(ipload_user): pass\n")
        pytester.runpytest().assert_outcomes(failed=1, passed=1)
        pytester.runpytest("--lf").assert_outcomes(failed=1, deselected=0)

    def test_x_stops_after_the_failed_load_test(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(FAILING_TEST.format(more="") + "\n    def test_other(ipload_user): pass\n")
        pytester.runpytest("-x").assert_outcomes(failed=1)

    def test_pdb_opens_at_the_verdict(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(FAILING_TEST.format(more=""))
        pytester.makepyfile(
            debugger="""
            import pdb

            class Recorder(pdb.Pdb):
                def interaction(self, frame, traceback_or_exception):
                    print("debugger opened:", type(getattr(traceback_or_exception, "tb_frame", None)).__name__)
            """
        )
        pytester.syspathinsert()
        result = pytester.runpytest("--pdb", "--pdbcls=debugger:Recorder", "-s")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*debugger opened:*"])

    def test_durations_and_parametrisation_and_classes_keep_their_node_ids(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_ids="""
            import pytest

            class TestShop:
                @pytest.mark.ipload(users=2)
                @pytest.mark.parametrize("size", ["s", "l"])
                def test_it(self, ipload_user, size):
                    pass
            """
        )
        result = pytester.runpytest("-v", "--ipload-json=out.json")
        result.stdout.fnmatch_lines(["test_ids.py::TestShop::test_it[[]s] PASSED*"])
        nodeids = [test["nodeid"] for test in json_results(pytester.path / "out.json")]
        assert nodeids == ["test_ids.py::TestShop::test_it[s]", "test_ids.py::TestShop::test_it[l]"]
