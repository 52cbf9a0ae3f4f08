"""Health checks of the generator in whole runs: each fires for real, where it can, and does what it shall."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_ipload.base.health_catalogue import HEALTH_CHECKS
from pytest_ipload.load.user_thread import UserThread

linux_only = pytest.mark.skipif(not Path("/proc/thread-self/net/tcp").exists(), reason="this system does not say")
with_lock = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="without Python's lock nobody waits for it"
)

BUSY = """
    import time, pytest

    def burn(milliseconds):
        until = time.thread_time() + milliseconds / 1000
        while time.thread_time() < until:
            pass

    @pytest.mark.ipload(users=20, duration="{duration}")
    @pytest.mark.ipload_threshold({threshold!r})
    {markers}
    def test_busy(ipload_user):
        with ipload_user.measure("burn"):
            burn(5)
        {more}
"""

LONG = "5s"
"""In which all users get on, and there are samples enough, also where other programs take most of the processor."""

SERVER = """
    import http.server, threading, pytest, requests

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    @pytest.fixture(scope="module")
    def url():
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}/"
            server.shutdown()
            thread.join()
"""


def run(
    pytester: pytest.Pytester, source: str, *options: str, ini: str = ""
) -> tuple[pytest.RunResult, dict[str, Any], dict[str, dict[str, Any]]]:
    """Run one load test; the result, its entry in the JSON report, and the checks that fired, by name."""
    pytester.makepyfile(test_it=source)
    pytester.makeini(f"[pytest]\n{ini}\n")
    result = pytester.runpytest("--ipload-json=out.json", *options)
    (test,) = json.loads((pytester.path / "out.json").read_text())["tests"]
    return result, test, {check["name"]: check for check in test["generator"]["checks"]}


def busy(threshold: str, markers: str = "", more: str = "", duration: str = "1300ms") -> str:
    return BUSY.format(threshold=threshold, markers=markers, more=more, duration=duration)


class TestSaturated:
    def test_a_latency_above_its_limit_is_invalid(self, pytester: pytest.Pytester) -> None:
        result, test, checks = run(pytester, busy("p95 < 5ms"))
        result.assert_outcomes(failed=1)
        assert test["verdict"] == "invalid"
        check, (threshold, _) = checks["generator-saturated"], test["thresholds"]
        # Where other programs are busy, users may also have been missing: that is told first.
        assert test["reason"].endswith(f"generator-saturated: {check['text']}; {threshold['message']}")
        assert (check["severity"], test["generator"]["healthy"]) == ("saturated", False)
        result.stdout.fnmatch_lines(
            [
                "*generator-saturated: *; p95 *, limit < 5.00 ms *",  # the failure itself
                "test_it.py::test_busy  INVALID",
                "invalid: *",
                "generator: not healthy (*generator-saturated*), *% of a processor core, timer lag p99 *",
                "FAILED test_it.py::test_busy - MeasurementInvalid: *",
            ]
        )
        block = result.stdout.str().partition("load tests =")[2].partition("short test summary")[0]
        assert block.count("limit < 5.00 ms") == 2  # in the reason and in the table

    def test_a_latency_that_holds_holds_all_the_more(self, pytester: pytest.Pytester) -> None:
        result, test, checks = run(pytester, busy("p95 < 1m", duration=LONG))
        result.assert_outcomes(passed=1)
        assert (test["verdict"], test["reason"]) == ("passed", "")
        assert "generator-saturated" in checks
        result.stdout.fnmatch_lines(["generator: not healthy (generator-saturated), *", "  generator-saturated: *"])

    def test_errors_are_errors(self, pytester: pytest.Pytester) -> None:
        result, test, checks = run(pytester, busy("error_rate < 50%", more="raise ValueError"))
        result.assert_outcomes(failed=1)
        assert (test["verdict"], "generator-saturated" in checks) == ("failed", True)

    @pytest.mark.parametrize("place", ["marker", "ini"])
    def test_who_suppresses_it_gets_the_verdict_of_the_thresholds(self, pytester: pytest.Pytester, place: str) -> None:
        marker = "@pytest.mark.ipload(suppress_health_check=['generator-saturated'])" if place == "marker" else ""
        ini = "ipload_suppress_health_check = generator-saturated" if place == "ini" else ""
        result, test, checks = run(pytester, busy("p95 < 5ms", marker, duration=LONG), ini=ini)
        result.assert_outcomes(failed=1)
        assert test["verdict"] == "failed"
        assert (test["generator"]["healthy"], test["generator"]["suppressed"]) == (True, ["generator-saturated"])
        assert "generator-saturated" not in checks
        result.stdout.no_fnmatch_line("*saturated*")
        assert test["profile"]["suppress_health_check"] == ["generator-saturated"]
        assert test["profile"]["origins"]["suppress_health_check"] == place

    def test_a_load_that_mostly_waits_is_not(self, pytester: pytest.Pytester) -> None:
        source = """
            import time, pytest

            @pytest.mark.ipload(users=5, duration="1300ms")
            @pytest.mark.ipload_threshold("p95 < 1us")
            def test_idle(ipload_user):
                with ipload_user.measure("nap"):
                    time.sleep(0.02)
        """
        _, test, checks = run(pytester, source)
        if "generator-saturated" in checks:  # then it was for others: this load takes a twentieth of a core
            assert test["generator"]["timer_lag_p99_ms"] >= 50
            pytest.skip("this machine is too busy to tell")
        assert test["verdict"] == "failed"
        assert test["generator"]["cpu_share"] < 0.9
        assert test["generator"]["timer_lag_p99_ms"] > 0


class TestStarved:
    """Also where the thread that watches gets no turn."""

    @pytest.mark.parametrize(
        "shape",
        [
            "users=60, iterations=1",  # less than a second
            "arrival_rate='1000/s', duration='1500ms', users=60, max_users=60",
            "users=40, pacing='100ms', duration='1500ms'",
        ],
    )
    def test_it_is_seen_in_each_kind_of_load(self, pytester: pytest.Pytester, shape: str) -> None:
        more = "@pytest.mark.ipload_threshold('dropped_iterations < 9999')" if "arrival_rate" in shape else ""
        source = busy("p95 < 5ms", more).replace('users=20, duration="1300ms"', shape)
        _, test, checks = run(pytester, source)
        assert "generator-saturated" in checks
        assert test["verdict"] == "invalid"


@linux_only
@with_lock
class TestLateness:
    """Some iterations hold Python's lock for 80 ms, in which the next ones would have to begin."""

    SOURCE = """
        import ctypes, pytest

        @pytest.mark.ipload({shape})
        @pytest.mark.ipload_threshold("p90 < {limit}")
        def test_held(ipload_session, ipload_user):
            if ipload_user.random.random() > 0.15:
                assert ipload_session.get({url!r}).ok
            else:
                ctypes.PyDLL(None).usleep(80_000)
    """
    PACED = "users=10, pacing='200ms', duration='1500ms'"

    @pytest.mark.parametrize(
        "shape", [PACED, "arrival_rate='50/s', duration='1500ms', users=30, max_users=30"], ids=["paced", "open"]
    )
    def test_the_generators_own_is_not_the_targets(self, pytester: pytest.Pytester, demo_url: str, shape: str) -> None:
        source = self.SOURCE.format(shape=shape, limit="20ms", url=demo_url + "/slow?ms=5")
        result, test, checks = run(pytester, source)
        own = test["generator"]["lateness"]
        assert own["p95_ms"] >= 30
        assert own["count"] == test["iterations"]
        assert test["response_time"]["p90_ms"] < test["latency"]["p90_ms"] + 20
        assert checks["late-iterations"]["text"].startswith("the generator started iterations ")
        assert not test["generator"]["healthy"]
        result.stdout.fnmatch_lines(["generator: not healthy (*late-iterations*), *, iterations late p99 *"])

    def test_workers_have_it_together(self, pytester: pytest.Pytester, demo_url: str) -> None:
        source = self.SOURCE.format(shape=self.PACED, limit="9s", url=demo_url + "/slow?ms=5")
        _, test, _ = run(pytester, source, "-n", "2")
        assert len(test["shards"]) == 2
        assert test["generator"]["lateness"]["count"] == test["iterations"]
        assert test["generator"]["lateness"]["max_ms"] >= 30

    def test_a_load_without_a_plan_has_none(self, pytester: pytest.Pytester, demo_url: str) -> None:
        source = self.SOURCE.format(shape="users=2, iterations=2", limit="9s", url=demo_url + "/slow?ms=5")
        _, test, _ = run(pytester, source)
        assert "lateness" not in test["generator"]


class TestShortfalls:
    OPEN = """
        import time, pytest

        @pytest.mark.ipload(arrival_rate="50/s", duration="400ms", max_users=1, suppress_health_check={names})
        def test_slow(ipload_user):
            time.sleep(0.1)
    """

    def test_a_rate_that_was_not_reached_is_invalid(self, pytester: pytest.Pytester) -> None:
        result, test, checks = run(pytester, self.OPEN.format(names=[]))
        result.assert_outcomes(failed=1)
        text = checks["rate-not-reached"]["text"]
        assert text.startswith(f"{test['dropped_iterations']} of {test['planned_iterations']} planned iterations never")
        assert (test["verdict"], test["reason"]) == ("invalid", f"rate-not-reached: {text}")
        result.stdout.fnmatch_lines(["FAILED *::test_slow - MeasurementInvalid: rate-not-reached: *"])

    @pytest.mark.parametrize(
        ("threshold", "verdict"), [("p95 < 150ms", "failed"), ("p95 < 1m", "invalid"), ("rps > 45", "invalid")]
    )
    def test_a_limit_that_is_broken_all_the_same_is(
        self, pytester: pytest.Pytester, threshold: str, verdict: str
    ) -> None:
        """50/s of 0.1 s each, and two users: the target could not do more, and what it did came late."""
        source = f"""
            import time, pytest

            @pytest.mark.ipload(arrival_rate="50/s", duration="1s", max_users=2)
            @pytest.mark.ipload_threshold({threshold!r})
            def test_slow(ipload_user):
                with ipload_user.measure("slow"):
                    time.sleep(0.1)
        """
        result, test, checks = run(pytester, source)
        note = f"rate-not-reached: {checks['rate-not-reached']['text']}"
        message = test["thresholds"][0]["message"]
        assert test["verdict"] == verdict
        assert test["reason"] == (f"{message}; although {note}" if verdict == "failed" else note)
        if verdict == "failed":
            result.stdout.fnmatch_lines(
                [
                    "p95 *, limit < 150 ms*",
                    "although rate-not-reached: *",
                    "FAILED *::test_slow - ThresholdFailed: p95 *",
                ]
            )

    def test_unless_that_is_suppressed(self, pytester: pytest.Pytester) -> None:
        result, test, _ = run(pytester, self.OPEN.format(names="('rate-not-reached',)"))
        result.assert_outcomes(passed=1)
        assert test["generator"]["suppressed"] == ["rate-not-reached"]

    def test_a_load_that_was_broken_off_is_not_held_to_its_plan(self, pytester: pytest.Pytester) -> None:
        source = """
            import time, pytest

            @pytest.mark.ipload(arrival_rate="50/s", duration="20s", max_users=1)
            def test_slow(ipload_iteration):
                time.sleep(0.1)
                if ipload_iteration.number == 2:
                    pytest.exit("enough")
        """
        _, test, checks = run(pytester, source)
        assert (test["verdict"], test["reason"]) == ("invalid", "the load was aborted by Exit")
        assert "rate-not-reached" not in checks

    def test_users_that_could_not_be_started_make_it_invalid(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = UserThread.start
        started: list[UserThread] = []

        def limited(user_thread: UserThread, live: Callable[[UserThread], None]) -> None:
            if len(started) == 2:
                raise RuntimeError("can't start new thread")
            started.append(user_thread)
            start(user_thread, live)

        monkeypatch.setattr(UserThread, "start", limited)
        source = """
            import pytest

            @pytest.mark.ipload(users=3, ramp_up="300ms", duration="10s", think_time="10ms")
            def test_it(ipload_user):
                pass
        """
        result, test, checks = run(pytester, source)
        result.assert_outcomes(failed=1)
        assert test["reason"] == f"users-not-reached: {checks['users-not-reached']['text']}"
        assert "only 2 of 3 users could be started: can't start new thread. " in test["reason"]
        assert test["reason"].endswith("(ulimit -v), or use fewer users")


@with_lock
def test_users_that_the_generator_keeps_from_starting_are_missing(pytester: pytest.Pytester) -> None:
    """They are ready long before. Their target is spared as if they were not there."""
    source = """
        import ctypes, pytest

        @pytest.mark.ipload(users=10, ramp_up="10ms", duration="1200ms")
        def test_it(ipload_user):
            ctypes.PyDLL(None).usleep(1_150_000)  # it keeps Python's lock
    """
    result, test, checks = run(pytester, source)
    result.assert_outcomes(failed=1)
    assert test["verdict"] == "invalid"
    assert test["reason"] == f"users-not-reached: {checks['users-not-reached']['text']}"
    assert "never started an iteration" in test["reason"]


@with_lock
def test_users_that_start_late_are_told(pytester: pytest.Pytester) -> None:
    source = """
        import pytest

        @pytest.mark.ipload(users=6, ramp_up="600ms", duration="10ms")
        def test_it(ipload_user):
            sum(range(10_000_000))  # one call of C that keeps Python's lock
    """
    result, test, checks = run(pytester, source)
    result.assert_outcomes(passed=1)
    late = test["generator"]["late_starts"]
    assert late > 0
    assert checks["late-starts"]["text"].startswith(f"{late} of 6 users started more than 50 ms after their time. ")
    assert not test["generator"]["healthy"]


def test_names_beyond_the_limit_are_told(pytester: pytest.Pytester) -> None:
    source = """
        import pytest

        @pytest.mark.ipload(iterations=6_000)
        def test_it(ipload_user, ipload_iteration):
            with ipload_user.measure(f"item {ipload_iteration.number}"):
                pass
    """
    result, test, checks = run(pytester, source)
    result.assert_outcomes(passed=1)
    (others,) = (row["requests"] for row in test["by_name"] if row["name"] == "(other names)")
    assert checks["too-many-names"]["text"].startswith(f"{others:,} samples are counted as ".replace(",", " "))


class TestSamples:
    SOURCE = """
        import pytest

        @pytest.mark.ipload(iterations={iterations})
        @pytest.mark.ipload_threshold("p90 < 1h", "p95 < 1h", "max < 1h")
        def test_it(ipload_user):
            with ipload_user.measure("x"):
                pass
    """

    @pytest.mark.parametrize(
        ("iterations", "listed"),
        [(199, "'p95 < 1h' on 199"), (99, "'p90 < 1h' on 99, 'p95 < 1h' on 99"), (200, None), (1, None)],
    )
    def test_percentiles_of_too_few_are_named_unless_the_test_is_a_functional_one(
        self, pytester: pytest.Pytester, iterations: int, listed: str | None
    ) -> None:
        result, test, checks = run(pytester, self.SOURCE.format(iterations=iterations))
        result.assert_outcomes(passed=1)
        assert test["generator"]["healthy"]
        assert [check["text"].partition(". ")[0] for check in checks.values()] == (
            [f"judged on too few samples: {listed}"] if listed else []
        )


@linux_only
class TestTargetInProcess:
    LOAD = """
    @pytest.mark.ipload(users=3, suppress_health_check={names})
    def test_it(ipload_session, url):
        assert ipload_session.get(url).ok
        ipload_session.create_connection(("127.0.0.1", int(url.split(":")[2].strip("/")))).close()
    """

    def test_a_server_of_this_process_is_told(self, pytester: pytest.Pytester) -> None:
        result, test, checks = run(pytester, SERVER + self.LOAD.format(names=[]))
        result.assert_outcomes(passed=1)
        check = checks["target-in-process"]
        assert check["text"].startswith("this process itself listens on port ")
        assert (check["severity"], test["generator"]["healthy"]) == ("remark", True)
        result.stdout.fnmatch_lines(["generator: healthy*", "  target-in-process: this process itself listens on *"])

    def test_the_names_of_marker_and_ini_add_up(self, pytester: pytest.Pytester) -> None:
        source = SERVER + self.LOAD.format(names=["target-in-process"])
        _, test, checks = run(pytester, source, ini="ipload_suppress_health_check =\n  few-ports\n  late-starts")
        assert "target-in-process" not in checks
        assert test["generator"]["suppressed"] == ["target-in-process"]
        assert test["profile"]["suppress_health_check"] == ["target-in-process", "few-ports", "late-starts"]
        assert test["profile"]["origins"]["suppress_health_check"] == "marker and ini"

    def test_a_server_of_another_process_is_none(self, pytester: pytest.Pytester, demo_url: str) -> None:
        source = f"def test_it(ipload_session):\n    assert ipload_session.get({demo_url + '/whoami'!r}).ok"
        _, _, checks = run(pytester, source)
        assert checks == {}

    def test_plain_sockets_are_looked_at_too(self, pytester: pytest.Pytester) -> None:
        source = """
            import socket, pytest

            def test_it(ipload_user):
                with socket.create_server(("127.0.0.1", 0)) as server:
                    ipload_user.create_connection(server.getsockname()).close()
                    globals()["kept"] = server.dup()

            @pytest.fixture(autouse=True)
            def closed():
                yield
                kept.close()
        """
        _, _, checks = run(pytester, source)
        assert "target-in-process" in checks


class TestSharedFixture:
    SOURCE = """
        import pytest, requests

        @pytest.fixture(scope="session")
        def client():
            with requests.Session() as session:
                yield session

        @pytest.fixture
        def rows():
            return iter(range(1000))

        @pytest.fixture
        def own(ipload_user):
            return iter(range(1000))

        @pytest.fixture
        def shopper(ipload_user, rows):
            return next(rows)

        @pytest.mark.ipload(users={users})
        {markers}
        def test_it({arguments}):
            pass
    """

    @pytest.mark.parametrize(
        ("users", "arguments", "shared"),
        [
            (2, "client", "'client' (requests.sessions.Session)"),
            (2, "shopper", "'rows' (range_iterator)"),
            (2, "shopper, client", "'client' (requests.sessions.Session), 'rows' (range_iterator)"),
            (1, "shopper, client", None),
            (2, "own", None),
        ],
    )
    def test_what_users_share_and_cannot_is_named(
        self, pytester: pytest.Pytester, users: int, arguments: str, shared: str | None
    ) -> None:
        result, test, checks = run(pytester, self.SOURCE.format(users=users, arguments=arguments, markers=""))
        result.assert_outcomes(passed=1)
        what = [check["text"].partition(". ")[0] for check in checks.values() if check["name"] == "shared-fixture"]
        assert [set(each.removeprefix("all users share ").split(", ")) for each in what] == (
            [set(shared.split(", "))] if shared else []
        )
        assert test["generator"]["healthy"] is (shared is None)

    def test_parameters_are_shared_too(self, pytester: pytest.Pytester) -> None:
        markers = "@pytest.mark.parametrize('numbers', [iter([1, 2])])"
        _, _, checks = run(pytester, self.SOURCE.format(users=2, arguments="ipload_user, numbers", markers=markers))
        assert "'numbers' (list_iterator)" in checks["shared-fixture"]["text"]

    def test_what_the_body_has_no_hold_of_is_nobodys_trouble(self, pytester: pytest.Pytester) -> None:
        markers = "@pytest.mark.usefixtures('client')"
        _, _, checks = run(pytester, self.SOURCE.format(users=2, arguments="ipload_user", markers=markers))
        assert "shared-fixture" not in checks


class TestUnknownNames:
    KNOWN = ", ".join(repr(name) for name in HEALTH_CHECKS)

    def test_of_the_marker_are_an_error_of_the_set_up(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import pytest

            @pytest.mark.ipload(suppress_health_check=["late-start"])
            def test_it():
                pass
        """)
        result = pytester.runpytest()
        result.assert_outcomes(errors=1)
        why = "'late-start' is an unknown health check (did you mean 'late-starts'?)"
        assert f"marker ipload: suppress_health_check: {why}; allowed: {self.KNOWN}" in result.outlines

    def test_of_the_ini_file_are_a_usage_error(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_it(): pass")
        pytester.makeini("[pytest]\nipload_suppress_health_check =\n  few-ports\n  nonsense\n")
        result = pytester.runpytest()
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        why = f"'nonsense' is an unknown health check; allowed: {self.KNOWN}"
        assert f"ERROR: ini key ipload_suppress_health_check: {why}" in result.errlines

    def test_of_the_fixture_are_an_error(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import pytest

            def test_it(ipload):
                with pytest.raises(ValueError, match="^ipload.run: suppress_health_check: 'x' is an unknown "):
                    ipload.run(lambda user: None, suppress_health_check="x")
                result = ipload.run(lambda user: None, suppress_health_check="few-ports")
                assert result.generator.suppressed == []
        """)
        pytester.runpytest().assert_outcomes(passed=1)
