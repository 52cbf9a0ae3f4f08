"""``ipload.run`` in whole runs: loads that a test starts itself, with one body or a mix of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.plugins import OTHER_PLUGINS
from support.whole_run import whole_run

SHOP = """
    import threading, time

    def browse(user):
        assert user.session.get("/whoami").ok

    def buy(user):
        assert user.session.post("/echo", json={}).ok

    def idle(user):
        pass

    def fail(user):
        assert user.index < 0
"""


class TestOneBody:
    def test_the_result_has_the_fields_of_the_report(self, pytester: pytest.Pytester, demo_url: str) -> None:
        whole_run(
            pytester,
            f"""{SHOP}
    def test(ipload, request):
        result = ipload.run(browse, users=3, iterations=4, base_url={demo_url!r})
        assert (result.verdict, result.reason, result.nodeid) == ("passed", "", request.node.nodeid)
        assert (result.users, result.requests, result.failed_requests, result.error_rate) == (3, 12, 0, 0)
        assert result.latency.count == 12
        assert 0 < result.latency.min_ms <= result.latency.p95_ms <= result.latency.max_ms
        assert [(each.name, each.requests) for each in result.by_name] == [("GET /whoami", 12)]
        assert (result.steps, result.failures) == ([], [])
        assert result.profile["users"] == 3
        assert result.generator.healthy
""",
            "--ipload-json=out.json",
            passed=1,
        )
        (test,) = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
        assert (test["requests"], test["by_name"][0]["requests"]) == (12, 12)

    def test_several_runs_in_one_test_are_loads_of_their_own(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{SHOP}
    def test(ipload):
        before = set(threading.enumerate())
        results = [ipload.run(idle, users=users, iterations=2) for users in (1, 4, 2)]
        assert [(result.users, result.iterations) for result in results] == [(1, 2), (4, 8), (2, 4)]
        assert ipload.run(fail, users=2).verdict == "failed"
        assert ipload.run(idle).verdict == "passed"
        assert set(threading.enumerate()) <= before
""",
            "--ipload-json=out.json",
            passed=1,
        )
        tests = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
        assert [(test["users"], test["iterations"], test["failed_iterations"]) for test in tests] == [
            (1, 2, 0),
            (4, 8, 0),
            (2, 4, 0),
            (2, 2, 2),
            (1, 1, 0),
        ]
        assert len({test["nodeid"] for test in tests}) == 1
        run.expect_lines("1 user, *2 iterations", "4 users, *8 iterations", "2 users, *2 iterations (2 failed)")

    @pytest.mark.parametrize(
        ("call", "problem"),
        [
            ("None", "a body must be a function that takes the user, not None"),
            ("late", "the body late is a generator function, which does nothing when called"),
            ("{}", "the mix is empty; give each body a weight, as in {browse: 3, buy: 1}"),
            ("{late: 1}", "the body late is a generator function, which does nothing when called"),
            ("{idle: 1.5}", "the mix {idle: 1.5}: weight 1.5 is not a positive integer"),
            ("idle, uesrs=2", "unknown key 'uesrs' (did you mean 'users'?); known: users, "),
            ("idle, users=0", "users: 0 is too small; give a whole number of 1 or more"),
        ],
    )
    def test_what_is_wrong_is_said_before_anything_runs(
        self, pytester: pytest.Pytester, call: str, problem: str
    ) -> None:
        run = whole_run(
            pytester,
            f"""{SHOP}
    async def late(user): yield

    def test(ipload):
        from pytest_ipload.base.errors import SettingError
        with pytest.raises(SettingError) as caught:
            ipload.run({call})
        assert str(caught.value).startswith({"ipload.run: " + problem!r})
""",
            passed=1,
        )
        run.result.stdout.no_fnmatch_line("*load tests*")

    def test_a_failing_set_up_raises_the_users_own_exception(self, pytester: pytest.Pytester) -> None:
        whole_run(
            pytester,
            f"""{SHOP}
    def test(ipload):
        from pytest_ipload.base.errors import PoolExhausted
        with pytest.raises(PoolExhausted, match="no address for user 1"):
            ipload.run(idle, users=2, pool="127.0.0.1", ip_exclusive=True, on_exhaustion="fail")
""",
            "--ipload-json=out.json",
            passed=1,
        )
        (test,) = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
        assert test["verdict"] == "error"
        assert "set-up of user 1 failed: PoolExhausted: ip pool: no address for user 1" in test["reason"]


class TestMix:
    def test_each_body_has_its_share_and_is_a_step(self, pytester: pytest.Pytester, demo_url: str) -> None:
        run = whole_run(
            pytester,
            f"""{SHOP}
    def test(ipload):
        result = ipload.run({{browse: 3, buy: 1}}, users=4, iterations=5, base_url={demo_url!r})
        assert (result.verdict, result.iterations) == ("passed", 20)
        assert [(step.name, step.count, step.failed) for step in sorted(result.steps, key=lambda step: step.name)] == [
            ("browse", 15, 0), ("buy", 5, 0)
        ]
        assert {{each.name: each.requests for each in result.by_name}} == {{"GET /whoami": 15, "POST /echo": 5}}
        assert all(0 < step.latency.p95_ms < 30_000 for step in result.steps)
""",
            "--ipload-threshold=p95{step:browse} < 30s",
            passed=1,
        )
        run.expect_lines("browse * 15 *", "ok    p95{step:browse} *, limit < 30.0 s (15 steps, *")

    def test_which_body_runs_is_a_matter_of_user_and_iteration(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            def test(ipload, note):
                def a(user): note("a", user.iteration)
                def b(user): note("b", user.iteration)
                ipload.run({a: 2, b: 1}, users=4, iterations=4)
            """,
            passed=1,
        )
        bodies = {index: "".join(text.split()[0] for text in run.user(index)) for index in range(4)}
        assert bodies == {0: "abaa", 1: "baab", 2: "aaba", 3: "abaa"}

    def test_a_body_that_fails_is_a_failed_step_and_a_failed_iteration(self, pytester: pytest.Pytester) -> None:
        whole_run(
            pytester,
            f"""{SHOP}
    def test(ipload):
        result = ipload.run({{idle: 1, fail: 1}}, users=2, iterations=4)
        assert (result.verdict, result.iterations, result.failed_iterations) == ("failed", 8, 4)
        assert {{step.name: step.failed for step in result.steps}} == {{"idle": 0, "fail": 4}}
        (failure,) = result.failures
        assert (failure.type, failure.count) == ("AssertionError", 4)
        assert failure.location.startswith("test_it.py:")
""",
            passed=1,
        )

    def test_a_body_that_waits_when_the_load_ends_is_no_failed_step(self, pytester: pytest.Pytester) -> None:
        whole_run(
            pytester,
            """
            def meet(user):
                user.rendezvous(f"user {user.index} alone", 2, timeout="1h")

            def idle(user):
                pass

            def test(ipload):
                result = ipload.run({meet: 1, idle: 1}, users=2, duration="150ms")
                assert (result.verdict, result.failed_iterations, result.failures) == ("passed", 0, [])
                assert [(step.name, step.count) for step in result.steps] == [("idle", 1)]
            """,
            passed=1,
        )


def test_the_first_request_of_a_process_is_not_charged_for_imports(pytester: pytest.Pytester) -> None:
    """The HTTP client is imported before the clock starts, also for users whose body asks for the session first."""
    pytester.makepyfile(
        """
        import sys

        def test_it(ipload):
            assert "requests" not in sys.modules
            loaded = []
            ipload.run(lambda user: loaded.append("requests" in sys.modules))
            assert loaded == [True]
        """
    )
    pytester.runpytest_subprocess(*(f"-pno:{name}" for name in OTHER_PLUGINS)).assert_outcomes(passed=1)
