"""Users that do not stop by themselves, in processes of their own: killed loads, blocked sockets, endless loops."""

from __future__ import annotations

import json
from typing import Any

import pytest

LOAD = """
    import socket, threading, time, pytest

    {prelude}

    @pytest.fixture
    def visitor(ipload_user):
        yield ipload_user
        print("left", ipload_user.index)

    @pytest.mark.ipload(users=2, duration="100ms", graceful_stop="200ms")
    def test_it(visitor):
        {body}

    def test_after():
        assert [t.name for t in threading.enumerate() if t.name.startswith("ipload-user")] == {left}
"""


def run(pytester: pytest.Pytester, body: str, left: str = "[]", prelude: str = "") -> tuple[Any, dict[str, Any]]:
    pytester.makepyfile(test_long=LOAD.format(body=body, left=left, prelude=prelude))
    result = pytester.runpytest_subprocess("--ipload-json=out.json", "-s", timeout=60)
    (test,) = json.loads((pytester.path / "out.json").read_text())["tests"]
    return result, test


def test_an_endless_loop_is_interrupted_after_the_graceful_stop(pytester: pytest.Pytester) -> None:
    result, test = run(pytester, "while True: time.sleep(0.01)")
    result.assert_outcomes(failed=1, passed=1)
    assert (test["iterations"], test["failed_iterations"]) == (2, 2)
    assert test["generator"]["interrupted_iterations"] == 2
    (failure,) = test["failures"]
    assert failure["type"] == "IterationInterrupted"
    assert "still running after the graceful stop" in failure["message"]
    assert "test_long.py" in failure["location"]
    result.stdout.fnmatch_lines_random(["*left 0", "*left 1"])


@pytest.mark.parametrize("body", ["with ipload_user.measure('x'): pass", "ipload_session.get(url)"])
def test_an_iteration_that_waits_for_its_turn_at_the_end_is_no_failure(
    pytester: pytest.Pytester, demo_url: str, body: str
) -> None:
    """With one request a minute, the second iteration waits when the load and its graceful stop are over."""
    pytester.makepyfile(
        f"""
        import pytest

        url = {demo_url + "/whoami"!r}

        @pytest.mark.ipload(users=1, duration="300ms", max_rate="0.02/s", graceful_stop="50ms")
        def test_it(ipload_user, ipload_session):
            {body}
        """
    )
    result = pytester.runpytest("--ipload-json=out.json")
    (test,) = json.loads((pytester.path / "out.json").read_text())["tests"]
    assert (test["iterations"], test["failed_iterations"]) == (1, 0)
    result.assert_outcomes(passed=1)


def test_a_loop_that_catches_every_exception_is_interrupted_all_the_same(pytester: pytest.Pytester) -> None:
    prelude = (
        "def stubborn():\n        while True:\n            try: time.sleep(0.01)\n            except Exception: pass"
    )
    result, test = run(pytester, "stubborn()", prelude=prelude)
    result.assert_outcomes(failed=1, passed=1)
    assert test["generator"]["interrupted_iterations"] == 2


def test_a_body_that_swallows_the_interruption_has_failed_all_the_same(pytester: pytest.Pytester) -> None:
    prelude = "def deaf():\n        try:\n            for _ in range(60): time.sleep(0.01)"
    prelude += "\n        except BaseException: pass"
    result, test = run(pytester, "deaf()", prelude=prelude)
    result.assert_outcomes(failed=1, passed=1)
    (failure,) = test["failures"]
    assert (failure["type"], failure["count"]) == ("IterationInterrupted", 2)
    assert test["traceback"]["text"] == failure["message"]


def test_a_request_that_nobody_answers_is_ended_by_closing_its_socket(pytester: pytest.Pytester) -> None:
    prelude = "silent = socket.create_server(('127.0.0.1', 0))"
    body = "visitor.session.get('http://127.0.0.1:%d/' % silent.getsockname()[1])"
    result, test = run(pytester, body, prelude=prelude)
    result.assert_outcomes(failed=1, passed=1)
    assert {failure["type"] for failure in test["failures"]} == {"IterationInterrupted"}
    assert test["failed_iterations"] == 2
    [row] = test["by_name"]
    assert (row["name"], row["requests"], row["failed_requests"], test["request_error_rate"]) == ("GET /", 2, 2, 1.0)


def test_a_user_in_a_call_that_nothing_can_end_is_given_up_and_named(pytester: pytest.Pytester) -> None:
    result, test = run(pytester, "time.sleep(20)", left="['ipload-user-0', 'ipload-user-1']")
    result.assert_outcomes(failed=1, passed=1)
    notes = " ".join(test["generator"]["notes"])
    assert notes.startswith("unstoppable-users: user ")
    assert "user 0 (no lease) did not stop: its thread is still in its iterations, at test_long.py:" in notes
    assert not test["generator"]["healthy"]
