"""Test data and rendezvous under load, in whole runs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.whole_run import WholeRun, whole_run


def results() -> dict[str, Any]:
    """The only test of the JSON report."""
    (test,) = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
    assert isinstance(test, dict)
    return test


def rows_seen(run: WholeRun) -> dict[int, list[str]]:
    """The notes of each user, in their order."""
    users = {int(thread.removeprefix("ipload-user-")) for thread, _ in run.log.events if thread.startswith("ipload-")}
    return {index: run.user(index) for index in sorted(users)}


class TestFeed:
    def test_rows_of_a_file_by_both_idioms(self, pytester: pytest.Pytester) -> None:
        Path("users.csv").write_text("name\n" + "".join(f"n{number}\n" for number in range(7)))
        run = whole_run(
            pytester,
            """
            @pytest.fixture
            def rows(ipload_user):
                return ipload_user.feed("users.csv")

            @pytest.mark.ipload(users=3, iterations=3)
            def test(rows, ipload_user, note):
                own = next(ipload_user.feed("users.csv", order="unique")) if ipload_user.iteration < 2 else {}
                note(len(rows), next(rows)["name"], own.get("name"))
            """,
            passed=1,
        )
        assert rows_seen(run) == {
            0: ["7 n0 n0", "7 n3 n3", "7 n6 None"],
            1: ["7 n1 n1", "7 n4 n4", "7 n0 None"],
            2: ["7 n2 n2", "7 n5 n5", "7 n1 None"],
        }

    @pytest.mark.parametrize("order", ["sequential", "random"])
    def test_users_have_the_same_rows_in_each_run(self, pytester: pytest.Pytester, order: str) -> None:
        source = f"""
            import time

            @pytest.mark.ipload(users=5, iterations=6)
            def test(ipload_user, note):
                time.sleep(ipload_user.random.random() / 500)
                note(next(ipload_user.feed(range(100), order="{order}")))
        """
        first, second = (rows_seen(whole_run(pytester, source, passed=1)) for _ in range(2))
        assert first == second
        assert len({tuple(rows) for rows in first.values()}) == 5

    def test_folders_are_those_of_the_test_and_of_pytest(self, pytester: pytest.Pytester) -> None:
        folder = pytester.mkdir("load")
        (folder / "near.jsonl").write_text('{"from": "test"}\n')
        Path("near.jsonl").write_text('{"from": "rootdir"}\n')
        Path("far.ndjson").write_text('["rootdir"]\n')
        (folder / "test_load.py").write_text(
            "import os, pytest\n"
            "os.chdir('/')\n"
            "def check(user):\n"
            "    assert next(user.feed('near.jsonl')) == {'from': 'test'}\n"
            "    assert next(user.feed('far.ndjson')) == ['rootdir']\n"
            "@pytest.mark.ipload\n"
            "def test_marked(ipload_user): check(ipload_user)\n"
            "def test_run(ipload): assert ipload.run(check).verdict == 'passed'\n"
        )
        pytester.runpytest("load").assert_outcomes(passed=2)

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            ("feed('nowhere.csv')", "test data 'nowhere.csv': there is no file *nowhere.csv; give an absolute path"),
            ("feed('bad.csv')", "test data *bad.csv, line 2: a row of 1, but the header has 2: a, b"),
            (
                "feed([1], order='shuffled')",
                "order 'shuffled' of test data is unknown; allowed: 'sequential', 'random'",
            ),
            (
                "rendezvous('sale', 3)",
                "rendezvous 'sale' waits for 3 users, but the load never has more than 2 at once",
            ),
            ("rendezvous('sale', 2, timeout='5')", "rendezvous 'sale': timeout: '5' is not a duration"),
        ],
    )
    @pytest.mark.parametrize("where", ["set_up", "body"])
    def test_what_is_wrong_is_shown_at_the_line_of_the_test(
        self, pytester: pytest.Pytester, where: str, call: str, words: str
    ) -> None:
        Path("bad.csv").write_text("a,b\n1\n")
        at_set_up, in_body = (call, "state") if where == "set_up" else ("state", call)
        run = whole_run(
            pytester,
            f"""
            @pytest.fixture
            def visitor(ipload_user):
                ipload_user.{at_set_up}
                return ipload_user

            @pytest.mark.ipload(users=2)
            def test(visitor):
                visitor.{in_body}
            """,
        )
        run.result.assert_outcomes(errors=1)
        run.expect_lines(f">*{call.replace('[', '[[]')}", f"E  *{words}*")
        run.result.stdout.no_fnmatch_line("*pytest_ipload/load/*.py:*")

    def test_rows_that_run_out_fail_their_iterations(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.ipload(users=2, iterations=4)
            def test(ipload_user):
                next(ipload_user.feed(range(5), order="unique"))
            """,
            "--ipload-json=out.json",
            failed=1,
        )
        (failure,) = results()["failures"]
        assert (failure["type"], failure["count"], failure["location"]) == ("FeedExhausted", 3, "test_it.py:7")
        assert failure["first"]["iteration"] in (2, 3)
        run.expect_lines(
            "*3 x FeedExhausted at test_it.py:7: test data of type range: no unique row is left for user *, which has "
            "had * of the 5 rows (2 users take turns); give more rows, use fewer users or iterations, or set "
            "order='sequential', which starts over (first: *"
        )
        run.result.stdout.no_fnmatch_line("*pytest_ipload/load/*.py:*")

    @pytest.mark.parametrize(
        "model",
        [
            "stages=[('150ms', 3), ('150ms', 0), ('150ms', 3), ('150ms', 0)]",
            "users=6, duration='100ms', ramp_up='50ms'",
        ],
    )
    def test_unique_rows_stay_unique_when_users_come_and_go(self, pytester: pytest.Pytester, model: str) -> None:
        run = whole_run(
            pytester,
            f"""
            @pytest.mark.ipload({model}, think_time='1ms')
            def test(ipload_user, note):
                note(next(ipload_user.feed(range(100_000), order="unique")))
            """,
            passed=1,
        )
        assert set(Counter(run.all).values()) == {1}
        assert max(rows_seen(run)) >= 3  # with stages, users who come after others have left

    def test_each_load_begins_anew(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.parametrize("number", [1, 2])
            @pytest.mark.ipload(users=2)
            def test(ipload_user, number, note):
                note(number, next(ipload_user.feed(["a", "b"], order="unique")))

            def test_twice(ipload, note):
                for number in (3, 4):
                    ipload.run(lambda user: note(number, next(user.feed(["a", "b"], order="unique"))), users=2)
            """,
            passed=3,
        )
        assert sorted(run.all) == [f"{number} {row}" for number in (1, 2, 3, 4) for row in "ab"]


class TestRendezvous:
    def test_users_meet_in_each_iteration(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.ipload(users=5, iterations=4)
            def test(ipload_user, note):
                note("came", ipload_user.iteration)
                ipload_user.rendezvous("all", 5)
                note("went", ipload_user.iteration)
            """,
            passed=1,
        )
        for number in range(4):
            events = [text.split()[0] for text in run.all if text.endswith(f" {number}")]
            assert events == ["came"] * 5 + ["went"] * 5

    def test_users_meet_in_their_set_up(self, pytester: pytest.Pytester) -> None:
        whole_run(
            pytester,
            """
            @pytest.fixture
            def together(ipload_user):
                ipload_user.rendezvous("set-up", 4, timeout="20s")

            @pytest.mark.ipload(users=4)
            def test(together):
                pass
            """,
            passed=1,
        )

    def test_who_still_waits_when_the_load_ends_has_not_failed(self, pytester: pytest.Pytester) -> None:
        """Four users in threes: one is always left over, and two or more when the others' time is over."""
        run = whole_run(
            pytester,
            """
            import time

            @pytest.fixture
            def visitor(ipload_user, note):
                yield ipload_user
                note("left")

            @pytest.mark.ipload(users=4, duration="300ms")
            def test(visitor, note):
                with visitor.step("wait"):
                    visitor.rendezvous("three", 3, timeout="1h")
                note("met")
                time.sleep(0.005)
            """,
            "--ipload-json=out.json",
            passed=1,
        )
        test, met = results(), run.all.count("met")
        assert met > 0
        assert met % 3 == 0
        assert (test["iterations"], test["failed_iterations"], test["failures"]) == (met, 0, [])
        assert [(step["name"], step["count"], step["failed"]) for step in test["steps"]] == [("wait", met, 0)]
        assert test["generator"]["interrupted_iterations"] == 0
        assert run.all.count("left") == 4
        assert test["duration_s"] < 20

    def test_a_request_that_failed_before_the_waiting_is_a_failure_all_the_same(
        self, pytester: pytest.Pytester
    ) -> None:
        whole_run(
            pytester,
            """
            @pytest.mark.ipload(users=2, duration="100ms")
            def test(ipload_user):
                with pytest.raises(ZeroDivisionError), ipload_user.measure("PING"):
                    1 / 0
                ipload_user.rendezvous(f"user {ipload_user.index} alone", 2)
            """,
            "--ipload-json=out.json",
            failed=1,
        )
        test = results()
        assert test["iterations"] == test["failed_iterations"] == test["failed_requests"] == 2
        assert {failure["type"] for failure in test["failures"]} == {"ZeroDivisionError"}

    def test_too_few_users_are_a_failure_that_says_how_many_came(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.ipload(users=3, iterations=1)
            def test(ipload_user):
                if ipload_user.index < 2:
                    ipload_user.rendezvous("all", 3, timeout="50ms")
                else:
                    ipload_user.rendezvous("alone", 1)
            """,
            "--ipload-json=out.json",
            failed=1,
        )
        failures = results()["failures"]
        assert {failure["type"] for failure in failures} == {"RendezvousTimeout"}
        run.expect_lines(
            "*RendezvousTimeout at test_it.py:8: rendezvous 'all': [12] of 3 users arrived within 50.0 ms; *"
        )
        run.result.stdout.no_fnmatch_line("*pytest_ipload/load/*.py:*")

    def test_another_users_failing_set_up_is_what_is_reported(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.fixture
            def together(ipload_user):
                if ipload_user.index == 2:
                    raise ValueError("no account")
                ipload_user.rendezvous("set-up", 3, timeout="1h")

            @pytest.mark.ipload(users=3)
            def test(together):
                pass
            """,
            errors=1,
        )
        run.expect_lines("*ValueError: no account*", "*set-up of user 2 failed*")
        run.result.stdout.no_fnmatch_line("*users failed in their set-up*")

    def test_a_skip_ends_the_waiting_of_the_others(self, pytester: pytest.Pytester) -> None:
        whole_run(
            pytester,
            """
            @pytest.mark.ipload(users=3)
            def test(ipload_user):
                if ipload_user.index == 2:
                    pytest.skip("not here")
                ipload_user.rendezvous("all", 3, timeout="1h")
            """,
            skipped=1,
        )

    def test_as_a_functional_test_nobody_waits(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.mark.ipload(users=3)
            def test(ipload_user):
                ipload_user.rendezvous("all", 3)
        """
        whole_run(pytester, source, passed=1)
        whole_run(pytester, source, "--ipload-disable", passed=1)
        run = whole_run(pytester, source, "--ipload-users=1", failed=1)
        run.expect_lines("*rendezvous 'all' waits for 3 users, but the load never has more than 1 at once; *")
