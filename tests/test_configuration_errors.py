"""What is wrong with the test itself ends its load at once, as an error of the test, and is no failed iteration."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.whole_run import WholeRun, whole_run

HOUR = '@pytest.mark.ipload(users=2, duration="1h", think_time="50ms")'
"""A load that goes on for an hour, if nothing ends it."""

MISTAKES = [
    ("ipload_session.get('/x')", "Invalid URL '/x': it is relative, and there is no base URL"),
    ("ipload_session.get('http://127.0.0.1:9/', expect='4x')", "expect='4x': '4x' is not valid; allowed: a status"),
    ("ipload_session.get('http://shop.invalid/')", "'shop.invalid' is not in ipload_allowed_hosts"),
    ("ipload_user.create_connection(('shop.invalid', 80))", "'shop.invalid' is not in ipload_allowed_hosts"),
    ("ipload_user.feed('missing.csv')", "test data 'missing.csv': there is no file"),
    ("ipload_user.feed('broken.csv')", "test data *broken.csv, line 1: the header has 'a' twice"),
    ("ipload_user.feed((1, 2), order='backwards')", "order 'backwards' of test data is unknown"),
    ("ipload_user.rendezvous('sale', 17)", "rendezvous 'sale' waits for 17 users, but the load never has more than 2"),
    ("ipload_user.step('').__enter__()", "the name of a step must be a non-empty string"),
    ("ipload_user.measure(5).__enter__()", "the name of a request must be a non-empty string"),
]


def run(pytester: pytest.Pytester, source: str, *options: str, **outcomes: Any) -> WholeRun:
    pytester.path.joinpath("broken.csv").write_text("a,a\n1,2\n")
    return whole_run(pytester, source, "--ipload-json=out.json", *options, **outcomes)


def results(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = json.loads((pytester.path / "out.json").read_text())["tests"]
    return tests


@pytest.mark.parametrize(("call", "text"), MISTAKES)
def test_a_mistake_in_a_body_ends_its_load_and_is_an_error(pytester: pytest.Pytester, call: str, text: str) -> None:
    source = f"{HOUR}\ndef test_it(ipload_session, ipload_user):\n    {call}\n"
    done = run(pytester, source, errors=1)
    done.expect_lines(
        "*ERROR at setup of test_it (in an iteration)*", f"{text}*, at test_it.py:6", f">*{call}", f"E  *: {text}*"
    )
    done.result.stdout.no_fnmatch_line("*pytest_ipload/*")
    done.result.stdout.no_fnmatch_line("*iterations failed*")


@pytest.mark.parametrize("asks", ["ipload_user", "ipload_iteration"])
def test_so_does_one_in_a_fixture_of_a_user_or_an_iteration(pytester: pytest.Pytester, asks: str) -> None:
    source = f"""
        @pytest.fixture
        def rows({asks}):
            return getattr({asks}, 'user', {asks}).feed("missing.csv")

        {HOUR}
        def test_it(rows):
            pass
    """
    run(pytester, source, errors=1).expect_lines("*test data 'missing.csv': there is no file*, at test_it.py:7")


def test_set_up_errors_that_are_tolerated_are_none_of_these(pytester: pytest.Pytester) -> None:
    source = """
        @pytest.fixture
        def rows(ipload_user):
            return ipload_user.feed("missing.csv")

        @pytest.mark.ipload(users=3, iterations=2)
        @pytest.mark.ipload_threshold("set_up_error_rate <= 100%", "error_rate <= 100%")
        def test_it(rows):
            pass
    """
    done = run(pytester, source, errors=1)
    done.expect_lines("3 of 3 users failed in set-up: test data 'missing.csv': there is no file*, at test_it.py:7")


def test_a_functional_test_fails_as_any_test_does(pytester: pytest.Pytester) -> None:
    source = "def test_it(ipload_session):\n    ipload_session.get('/x')\n"
    run(pytester, source, failed=1).expect_lines("Invalid URL '/x': it is relative*, at test_it.py:5")


def test_a_load_that_a_test_starts_raises_it(pytester: pytest.Pytester) -> None:
    source = """
        from pytest_ipload.base.errors import SettingError

        def test_it(ipload):
            with pytest.raises(SettingError, match="it is relative"):
                ipload.run(lambda user: user.session.get("/x"), users=2, duration="1h")
    """
    run(pytester, source, passed=1)
    (test,) = results(pytester)
    assert (test["iterations"], test["verdict"]) == (0, "error")
    assert test["reason"].startswith("the load failed: BaseUrlMissing: Invalid URL '/x'")


def test_what_was_measured_before_is_kept(pytester: pytest.Pytester) -> None:
    source = """
        @pytest.mark.ipload(users=1, duration="1h")
        def test_it(ipload_user, ipload_iteration):
            if ipload_iteration.number == 3:
                ipload_user.feed("missing.csv")
    """
    run(pytester, source, errors=1)
    (test,) = results(pytester)
    assert (test["iterations"], test["failed_iterations"]) == (3, 0)


def test_a_body_that_catches_it_goes_on(pytester: pytest.Pytester) -> None:
    source = """
        from pytest_ipload.base.errors import FeedError, TargetNotAllowed

        @pytest.mark.ipload(users=2, iterations=3)
        def test_it(ipload_session, ipload_user):
            with pytest.raises(TargetNotAllowed):
                ipload_session.get("http://shop.invalid/")
            with pytest.raises(FeedError):
                ipload_user.feed("missing.csv")
    """
    run(pytester, source, passed=1)
    (test,) = results(pytester)
    assert (test["iterations"], test["failed_iterations"]) == (6, 0)


def test_what_depends_on_the_run_fails_the_iteration_only(pytester: pytest.Pytester, demo_url: str) -> None:
    """Rows that run out, and a redirect off limits, which is the target's doing."""
    source = f"""
        @pytest.mark.ipload(users=1, iterations=3)
        def test_rows(ipload_user):
            next(ipload_user.feed(["only"], order="unique"))

        @pytest.mark.ipload(users=2, iterations=2)
        def test_redirect(ipload_session):
            ipload_session.get("{demo_url}/redirect-to?url=http://shop.example.com/")
    """
    done = run(pytester, source, failed=2)
    done.expect_lines("*2 x FeedExhausted at *", "*4 x TargetNotAllowed at *'shop.example.com' is not in *")
    rows, redirect = results(pytester)
    assert (rows["iterations"], rows["failed_iterations"]) == (3, 2)
    assert [redirect[key] for key in ("iterations", "failed_iterations", "requests", "failed_requests")] == [4, 4, 4, 4]


@pytest.mark.usefixtures("xdist")
@pytest.mark.parametrize("who", ["ipload_user.index >= 0", "ipload_user.index == 1"], ids=["all", "one worker"])
def test_all_workers_end_their_part_and_there_is_one_red_test(pytester: pytest.Pytester, who: str) -> None:
    source = f"""
        {HOUR}
        def test_it(ipload_user):
            if {who}:
                ipload_user.feed("missing.csv")

        def test_next(ipload_user):
            pass
    """
    done = run(pytester, source, "-n2", passed=1, errors=1)
    done.expect_lines("*test data 'missing.csv': there is no file*, at test_it.py:8")
    assert done.result.ret == pytest.ExitCode.TESTS_FAILED
