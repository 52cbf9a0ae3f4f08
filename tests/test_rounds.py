"""Loads in rounds, and two targets in one job: whole runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.http_server import RecordingServer

TEST = """
    import pytest

    @pytest.fixture
    def guest(ipload_session):
        ipload_session.get("/?enter")
        yield ipload_session
        ipload_session.get("/?leave")

    @pytest.mark.ipload(users=2, iterations=3)
    def test_load(guest):
        assert guest.get("/?visit").ok
"""


@pytest.fixture
def servers() -> Iterator[tuple[RecordingServer, RecordingServer]]:
    with RecordingServer() as new, RecordingServer() as old:
        yield new, old


def paths(server: RecordingServer) -> dict[str, int]:
    seen: dict[str, int] = {}
    for hit in server.hits:
        seen[hit.target] = seen.get(hit.target, 0) + 1
    return seen


def run(pytester: pytest.Pytester, source: str, *options: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    pytester.makepyfile(source)
    result = pytester.runpytest("--ipload-json=out.json", *options)
    [test] = json.loads((pytester.path / "out.json").read_text())["tests"]
    return result, test


def test_a_load_is_run_in_rounds_each_with_users_of_its_own(
    pytester: pytest.Pytester, servers: tuple[RecordingServer, RecordingServer]
) -> None:
    result, test = run(pytester, TEST, f"--ipload-base-url={servers[0].url('')}", "--ipload-rounds=3")
    result.assert_outcomes(passed=1)
    assert paths(servers[0]) == {"/?enter": 6, "/?visit": 18, "/?leave": 6}
    assert (test["users"], test["requests"], len(test["rounds"])) == (2, 6, 3)
    assert "comparisons" not in test


@pytest.mark.parametrize("workers", [[], ["-n2"]])
@pytest.mark.usefixtures("xdist")
def test_two_targets_in_turns(
    pytester: pytest.Pytester, servers: tuple[RecordingServer, RecordingServer], workers: list[str]
) -> None:
    new, old = servers
    options = [f"--ipload-base-url={new.url('')}", f"--ipload-against={old.url('')}", "--ipload-rounds=2", *workers]
    result, test = run(pytester, TEST, *options)
    result.assert_outcomes(passed=1)
    assert paths(new) == paths(old) == {"/?enter": 4, "/?visit": 12, "/?leave": 4}
    assert [each["base_url"] for each in test["rounds"]] == [old.url(""), new.url(""), new.url(""), old.url("")]
    assert [each["role"] for each in test["rounds"]] == ["base", "current", "current", "base"]
    assert test["profile"]["base_url"] == new.url("")
    assert [each["metric"] for each in test["comparisons"]] == ["p50", "p95", "p99", "rps"]


@pytest.mark.parametrize("workers", [[], ["-n2"]])
@pytest.mark.usefixtures("xdist")
def test_a_regression_against_another_target_fails_the_test(
    pytester: pytest.Pytester, servers: tuple[RecordingServer, RecordingServer], workers: list[str]
) -> None:
    source = """
        import threading
        import pytest

        @pytest.mark.ipload(users=2, iterations=2, suppress_health_check=["generator-saturated"])  # a busy machine
        def test_load(ipload_session, ipload_user):
            with ipload_user.step("visit"):
                ipload_session.get("/")
                if ipload_session.base_url.endswith({new!r}):
                    threading.Event().wait(0.5)
    """
    new, old = servers
    options = [f"--ipload-base-url={new.url('')}", f"--ipload-against={old.url('')}", "--ipload-rounds=4", *workers]
    limits = ["--ipload-compare-fail=p50{step:visit}:100%", "--ipload-compare-fail=p50{POST /}:10%"]
    source = source.format(new=new.url("").rpartition(":")[2])
    result, test = run(pytester, source, "--junit-xml=out.xml", *limits, *options)
    result.assert_outcomes(failed=1)
    [comparison] = test["comparisons"]
    assert (comparison["regressed"], comparison["p_value"]) == (True, pytest.approx(1 / 70))
    result.stdout.fnmatch_lines(
        [
            "p50{step:visit} 5?? ms, * above the baseline's * (limit +100 %; 4 rounds a side; p = 0.014)",
            "REGR  p50{step:visit} *",
            "--ipload-compare-fail: NOT COMPARED: no baseline found: *::test_load (for 1 of 2 limits)",
        ]
    )
    text = (pytester.path / "out.xml").read_text()
    assert 'failures="1"' in text
    assert 'message="ComparisonFailed: p50{step:visit} ' in text


@pytest.mark.parametrize("strict", [False, True])
def test_too_few_rounds_are_undecided_which_is_red_in_a_strict_session(
    pytester: pytest.Pytester, servers: tuple[RecordingServer, RecordingServer], strict: bool
) -> None:
    new, old = servers
    options = [f"--ipload-base-url={new.url('')}", f"--ipload-against={old.url('')}", "--ipload-rounds=2"]
    result, test = run(
        pytester, TEST, "--ipload-compare-fail=p95:10%", *options, *(["--ipload-strict"] if strict else [])
    )
    result.assert_outcomes(failed=strict, passed=not strict)
    [comparison] = test["comparisons"]
    assert (comparison["undecided"], comparison["passed"], test["verdict"]) == (
        True,
        not strict,
        "failed" if strict else "passed",
    )
    loud = "FAIL  p95 *undecided, a failure*" if strict else "--ipload-compare-fail: UNDECIDED: *(p95:10%)"
    result.stdout.fnmatch_lines([loud])


def test_against_another_target_there_are_five_rounds(
    pytester: pytest.Pytester, servers: tuple[RecordingServer, RecordingServer]
) -> None:
    new, old = servers
    _, test = run(pytester, TEST, f"--ipload-base-url={new.url('')}", f"--ipload-against={old.url('')}")
    assert sum(each["role"] == "base" for each in test["rounds"]) == 5
    assert len(test["rounds"]) == 10


@pytest.mark.parametrize("workers", [[], ["-n2"]])
@pytest.mark.usefixtures("xdist")
def test_an_invalid_round_is_the_last(pytester: pytest.Pytester, workers: list[str]) -> None:
    source = """
        import threading
        import pytest

        @pytest.mark.ipload(max_users=2, arrival_rate="900/s", duration="300ms")
        def test_load(ipload_user):
            threading.Event().wait(0.02)
    """
    result, test = run(pytester, source, "--ipload-rounds=4", *workers)
    result.assert_outcomes(failed=1)
    assert test["verdict"] == "invalid"
    assert len(test["rounds"]) == 1


def test_a_threshold_that_fails_in_one_round_fails_the_test(pytester: pytest.Pytester) -> None:
    source = """
        import pytest

        ROUNDS = iter(range(3))

        @pytest.fixture
        def number(ipload_user):
            return next(ROUNDS)

        @pytest.mark.ipload(users=1, iterations=2)
        def test_load(number, ipload_user):
            with ipload_user.measure("x"):
                assert number != 1
    """
    result, test = run(pytester, source, "--ipload-rounds=3", "--junit-xml=out.xml")
    result.assert_outcomes(failed=1)
    assert [each["verdict"] for each in test["rounds"]] == ["passed", "failed", "passed"]
    assert (test["verdict"], test["failed_iterations"]) == ("failed", 2)
    result.stdout.fnmatch_lines(["*error_rate 100 %, limit == 0 % (2 of 2 iterations failed) (implied)"])


def test_a_set_up_that_fails_in_a_later_round_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        ROUNDS = iter(range(3))

        @pytest.fixture
        def number(ipload_user):
            assert next(ROUNDS) < 1, "no more accounts"

        @pytest.mark.ipload(users=1, iterations=2)
        def test_load(number, ipload_user):
            pass
    """)
    result = pytester.runpytest("--ipload-rounds=3")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no more accounts*"])


def test_a_tear_down_that_fails_in_an_earlier_round_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        ROUNDS = iter(range(3))

        @pytest.fixture
        def number(ipload_user):
            yield
            assert next(ROUNDS) != 0, "the account is still in use"

        @pytest.mark.ipload(users=1, iterations=2)
        def test_load(number, ipload_user):
            pass
    """)
    result = pytester.runpytest("--ipload-rounds=2")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the account is still in use*"])


def test_a_test_without_a_base_url_cannot_be_compared(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    result = pytester.runpytest("--ipload-against=http://127.0.0.1:9")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*--ipload-against=http://127.0.0.1:9: this test has no base URL*"])


def test_disabled_there_is_one_round(
    pytester: pytest.Pytester, servers: tuple[RecordingServer, RecordingServer]
) -> None:
    new, old = servers
    options = [f"--ipload-base-url={new.url('')}", f"--ipload-against={old.url('')}", "--ipload-disable"]
    _, test = run(pytester, TEST, *options)
    assert (paths(new)["/?visit"], paths(old), "rounds" in test) == (1, {}, False)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--ipload-rounds=0"], "--ipload-rounds: *"),
        (["--ipload-rounds=many"], "--ipload-rounds: *'many'*"),
        (["--ipload-against=nowhere"], "--ipload-against: *'nowhere'*"),
        (
            ["--ipload-against=http://127.0.0.1:9", "--ipload-compare"],
            "--ipload-compare and --ipload-against contradict each other*",
        ),
        (["--ipload-rounds=2", "--ipload-segment=0/2"], "--ipload-segment: a segment is a part of one load*"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(pytester: pytest.Pytester, options: list[str], complaint: str) -> None:
    pytester.makepyfile(TEST)
    result = pytester.runpytest(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {complaint}"])
