"""Actions in whole loads."""

from __future__ import annotations

import json

import pytest
from support.whole_run import whole_run

SOURCE = """
    class Ping:
        def __init__(self, note):
            self.note = note

        def init(self, user):
            self.note("init")

        def do(self, user, word="ping"):
            self.note("do", word)
            if word == "fail":
                raise ConnectionError("no answer")
            return {"answer": word[::-1]}

        def release(self, user):
            self.note("release")

    @pytest.fixture
    def ping(ipload_user, note):
        action = Ping(note)
        yield action
        note("torn down")

    @pytest.mark.ipload(users=2, iterations=2)
    def test_load(ipload_user, ping):
        assert ipload_user.act(ping, "PING", word="ping") == {"answer": "gnip"}
"""


def test_each_user_initialises_and_releases_its_own_after_its_fixtures(pytester: pytest.Pytester) -> None:
    run = whole_run(pytester, SOURCE, "--ipload-json=out.json", passed=1)
    for user in (0, 1):
        assert run.user(user) == ["init", "do ping", "do ping", "torn down", "release"]
    [test] = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["tests"]
    assert [(row["name"], row["requests"], row["failed_requests"]) for row in test["by_name"]] == [("PING", 4, 0)]


def test_one_that_fails_is_a_failed_request_and_still_released(pytester: pytest.Pytester) -> None:
    run = whole_run(pytester, SOURCE.replace('word="ping") ==', 'word="fail") =='), "--ipload-json=out.json", failed=1)
    assert run.user(0)[-2:] == ["torn down", "release"]
    [test] = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["tests"]
    assert [(row["name"], row["failed_requests"]) for row in test["by_name"]] == [("PING", 4)]
    assert test["failures"][0]["message"] == "no answer"


def test_an_unknown_name_is_an_error_of_the_test(pytester: pytest.Pytester) -> None:
    source = "\n    def test_load(ipload_user):\n        ipload_user.act('no-such-action')\n"
    run = whole_run(pytester, source, failed=1)
    run.expect_lines("*act(): unknown action 'no-such-action'; no installed package offers one*")


def test_a_release_that_fails_is_an_error_of_the_teardown(pytester: pytest.Pytester) -> None:
    source = SOURCE.replace('self.note("release")', 'raise OSError("it is stuck")')
    run = whole_run(pytester, source, passed=1, errors=1)
    run.expect_lines("*2 of 2 users failed in teardown: OSError: it is stuck*")
