"""Whole runs of the load models: what a server saw, and what is reported."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from support.http_server import RecordingServer

MODULE = """
    import time

    import pytest

    {decorators}
    def test_it(ipload_session, ipload_user):
        {body}
"""
GET = "assert ipload_session.get('/hello').ok"


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        yield running


def run(
    pytester: pytest.Pytester,
    server: RecordingServer,
    settings: str,
    *options: str,
    body: str = GET,
    thresholds: str = "",
) -> tuple[pytest.RunResult, dict[str, Any]]:
    """Run one load test; the result, and its entry in the JSON report."""
    decorators = f"@pytest.mark.ipload({settings})"
    if thresholds:
        decorators += f"\n    @pytest.mark.ipload_threshold({thresholds})"
    pytester.makepyfile(MODULE.format(decorators=decorators, body=body))
    url = f"--ipload-base-url={server.url('')}"
    result = pytester.runpytest("--ipload-json=out.json", url, *options)
    [test] = json.loads((pytester.path / "out.json").read_text())["tests"]
    return result, test


class TestArrivalRate:
    def test_iterations_start_by_the_clock_and_the_server_sees_each(
        self, pytester: pytest.Pytester, server: RecordingServer
    ) -> None:
        result, test = run(pytester, server, "arrival_rate='100/s', duration='1s', max_users=20")
        result.assert_outcomes(passed=1)
        assert len(server.hits) == test["requests"] == test["planned_iterations"] == 100
        assert test["dropped_iterations"] == 0
        assert test["profile"]["arrival_rate"] == 100
        assert test["users"] <= 20
        assert test["response_time"]["count"] == test["latency"]["count"] == 100

    def test_command_line_alone(self, pytester: pytest.Pytester, server: RecordingServer) -> None:
        options = ("--ipload-arrival-rate=50/s", "--ipload-duration=500ms", "--ipload-users=5")
        result, test = run(pytester, server, "", *options)
        result.assert_outcomes(passed=1)
        assert len(server.hits) == 25
        assert (test["profile"]["max_users"], test["profile"]["origins"]["arrival_rate"]) == (5, "command line")

    def test_a_stall_shows_in_the_response_time_and_nothing_is_lost(
        self, pytester: pytest.Pytester, server: RecordingServer
    ) -> None:
        # A tenth of the arrivals meets the stall, and few users can be in it at once.
        result, test = run(
            pytester,
            server,
            "arrival_rate='100/s', duration='2.5s', max_users=3",
            body="ipload_session.get('/stalling/5000/300', name='GET /')",
            thresholds="'p95 < 30ms', 'raw.p95 < 150ms'",
        )
        result.assert_outcomes(failed=1)
        assert test["requests"] == 250
        assert test["dropped_iterations"] == 0
        assert test["response_time"]["p95_ms"] > 80
        assert test["latency"]["p95_ms"] < 150
        late, raw, _ = test["thresholds"]
        assert (late["passed"], raw["passed"]) == (False, True)
        assert late["measured"] == test["response_time"]["p95_ms"]
        result.stdout.fnmatch_lines(["response time *", "FAIL  p95 * ms, limit < 30.0 ms *", "ok    raw.p95 *"])

    def test_what_never_started_is_shown(self, pytester: pytest.Pytester, server: RecordingServer) -> None:
        result, test = run(
            pytester, server, "arrival_rate='100/s', duration='500ms', max_users=1", body="time.sleep(0.1)"
        )
        assert test["planned_iterations"] == 50
        assert test["dropped_iterations"] == 50 - test["iterations"] >= 40
        result.stdout.fnmatch_lines([f"*{test['dropped_iterations']} of 50 planned iterations never started*"])

    def test_poisson_arrivals_are_those_of_the_seed(self, pytester: pytest.Pytester, server: RecordingServer) -> None:
        settings = "arrival_rate='200/s', duration='500ms', arrivals='poisson', seed=7"
        numbers = [run(pytester, server, settings)[1]["planned_iterations"] for _ in range(2)]
        assert numbers[0] == numbers[1]
        assert 60 < numbers[0] < 140

    def test_stages_of_rates(self, pytester: pytest.Pytester, server: RecordingServer) -> None:
        _, test = run(pytester, server, "stages='500ms:100,500ms:100,500ms:0', arrival_rate=True, max_users=10")
        assert len(server.hits) == test["planned_iterations"] == 100
        assert test["profile"]["stages"] == [[0.5, 100], [0.5, 100], [0.5, 0]]

    def test_the_warmup_is_not_judged(self, pytester: pytest.Pytester, server: RecordingServer) -> None:
        _, test = run(pytester, server, "arrival_rate='100/s', duration='1s', warmup='500ms'")
        assert test["planned_iterations"] == 100
        assert test["requests"] + test["warmup_requests"] == 100
        assert 45 <= test["warmup_requests"] <= 55

    def test_junit_has_one_case_with_the_numbers(self, pytester: pytest.Pytester, server: RecordingServer) -> None:
        run(pytester, server, "arrival_rate='50/s', duration='200ms'", "--junit-xml=junit.xml")
        [case] = ElementTree.parse(pytester.path / "junit.xml").getroot().iter("testcase")
        properties = {each.get("name"): each.get("value") for each in case.iter("property")}
        assert (properties["ipload_verdict"], properties["ipload_requests"]) == ("passed", "10")

    def test_a_contradiction_is_an_error_of_the_set_up(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(MODULE.format(decorators="@pytest.mark.ipload(arrival_rate='5/s')", body="pass"))
        result = pytester.runpytest()
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["arrival_rate needs an end; set duration, stages or total_iterations"])

    def test_each_user_has_its_fixtures(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import threading
            import time

            import pytest

            lives = []

            @pytest.fixture
            def account(ipload_user):
                lives.append("up")
                yield ipload_user.index
                lives.append("down")

            @pytest.mark.ipload(arrival_rate="100/s", duration="500ms", max_users=30)
            def test_it(account):
                assert threading.current_thread().name == f"ipload-user-{account}"
                time.sleep(0.05)

            def test_afterwards():
                assert lives.count("up") == lives.count("down") >= 5
            """
        )
        pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=2)


class TestStages:
    def test_users_come_and_go(self, pytester: pytest.Pytester, server: RecordingServer) -> None:
        result, test = run(pytester, server, "stages=[('1s', 6), (1, 6), ('1s', 0)]", body=f"{GET}; time.sleep(0.02)")
        result.assert_outcomes(passed=1)
        assert test["users"] == test["profile"]["users"] == 6
        assert [second["users"] for second in test["timeline"]][:3] == [6, 6, 6]
        assert 2.9 < test["duration_s"] < 4

    def test_the_command_line_turns_the_knobs(self, pytester: pytest.Pytester, server: RecordingServer) -> None:
        _, test = run(pytester, server, "stages='10s:50,20s:50,10s:0'", "--ipload-users=2", "--ipload-duration=400ms")
        assert (test["users"], test["profile"]["users"]) == (2, 2)
        assert test["profile"]["stages"] == [[0.1, 2], [0.2, 2], [0.1, 0]]
        assert test["profile"]["origins"] == test["profile"]["origins"] | {"users": "command line", "stages": "marker"}
        assert test["duration_s"] < 2


class TestMaxRate:
    def test_requests_of_all_users_stay_below_it(self, pytester: pytest.Pytester, server: RecordingServer) -> None:
        began = time.perf_counter()
        result, test = run(
            pytester,
            server,
            "users=10, iterations=5, max_rate='100/s'",
            body=f"{GET}\n        with ipload_user.measure('mine'): pass",
        )
        result.assert_outcomes(passed=1)
        assert test["requests"] == 100
        assert time.perf_counter() - began >= 0.99
        assert test["duration_s"] >= 0.98
        assert test["latency"]["p95_ms"] < 900, "waiting for one's turn is no latency"

    def test_option(self, pytester: pytest.Pytester, server: RecordingServer) -> None:
        _, test = run(pytester, server, "users=2, iterations=5", "--ipload-max-rate=20/s")
        assert test["duration_s"] >= 0.44
        assert test["profile"]["max_rate"] == 20

    def test_with_a_lease_for_each_request(self, pytester: pytest.Pytester, server: RecordingServer) -> None:
        settings = "users=2, iterations=4, max_rate='50/s', pool='127.0.3.1-127.0.3.2', ip_binding='request'"
        result, test = run(pytester, server, settings)
        result.assert_outcomes(passed=1)
        assert {hit.peer for hit in server.hits} == {"127.0.3.1", "127.0.3.2"}
        assert test["duration_s"] >= 0.13


class TestPlans:
    def plan(self, pytester: pytest.Pytester, settings: str, *options: str) -> str:
        pytester.makepyfile(MODULE.format(decorators=f"@pytest.mark.ipload({settings})", body="pass"))
        result = pytester.runpytest("--collect-only", "-v", *options)
        [line] = [line for line in result.outlines if "::test_it: " in line]
        return line.partition("::test_it: ")[2]

    def test_of_the_open_model(self, pytester: pytest.Pytester) -> None:
        assert self.plan(pytester, "arrival_rate='100/s', duration='1m', arrivals='poisson', max_users=40").startswith(
            "100 iterations/s, poisson arrivals (marker), 1 user at the start, at most 40 users (marker), "
            "duration 1m (marker), source address chosen by the system, needs about 140 open files and 40 local ports"
        )

    def test_of_stages(self, pytester: pytest.Pytester) -> None:
        assert self.plan(pytester, "stages='10s:50,1m:50,5s:0'").startswith(
            "50 users (marker), stages 10s:50,1m:50,5s:0 (75s) (marker), source address"
        )
        assert self.plan(pytester, "stages='10s:50/s,1m:5/s'", "--ipload-max-rate=30/s").startswith(
            "up to 50 iterations/s, constant arrivals (marker), 1 user at the start, at most 100 users, "
            "at most 30 requests/s (command line), stages 10s:50/s,1m:5/s (70s) (marker)"
        )
