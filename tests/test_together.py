"""Load tests that run together in one process: a test for each row of the outcomes in docs/together.md."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from textwrap import dedent
from typing import Any
from xml.etree import ElementTree

import pytest
from support.plugins import without_others
from support.stalls import watched_stalls
from support.team_run import HEADER, TeamRun, team_run

from pytest_ipload.cli.main import main

SOURCE = """
    LOG = []
    together = pytest.mark.ipload_together("shop")

    def visit(user, name, seconds=0.001):
        LOG.append((time.perf_counter(), name))
        with user.measure(name):
            time.sleep(seconds)

    @pytest.fixture
    def own(request):
        LOG.append((time.perf_counter(), f"up {request.node.name}"))
        yield request.node.name
        LOG.append((time.perf_counter(), f"down {request.node.name}"))

    @together
    @pytest.mark.ipload(users=2, duration="300ms", think_time="5ms")
    def test_browse(ipload_user, own):
        assert own == "test_browse"
        visit(ipload_user, "BROWSE")

    def test_ordinary():
        assert not LOG or LOG[-1][1].startswith("down")

    @together
    @pytest.mark.ipload(users=2, duration="200ms", think_time="5ms"%(buy)s)
    %(marks)s
    def test_buy(ipload_user, own):
        assert own == "test_buy"
        visit(ipload_user, "BUY")
"""


def shop(pytester: pytest.Pytester, *args: str, buy: str = "", marks: str = "", more: str = "") -> TeamRun:
    """Run two load tests together, with an ordinary test between them in the file."""
    source = dedent(SOURCE) % {"buy": buy, "marks": dedent(marks).strip()} + dedent(more)
    return team_run(pytester, source, *args)


def verdicts(run: TeamRun) -> dict[str, str]:
    return {name: test["verdict"] for name, test in run.tests.items()}


def checks(test: Any) -> list[str]:
    return [check["name"] for check in test["generator"]["checks"]]


DUMP = """
    def test_zz_order():
        import json
        pathlib.Path("log.json").write_text(json.dumps(LOG))
"""


def log_of(pytester: pytest.Pytester) -> list[tuple[float, str]]:
    return [(at, what) for at, what in json.loads((pytester.path / "log.json").read_text())]


class TestOneClock:
    def test_all_goes_well(self, pytester: pytest.Pytester) -> None:
        with watched_stalls() as stalls:
            run = shop(pytester, "-v", more=DUMP)
        run.expect(0, passed=4)
        assert verdicts(run) == {"test_browse": "passed", "test_buy": "passed"}
        assert [test["together"] for test in run.tests.values()] == ["shop", "shop"]
        assert [[row["name"] for row in test["by_name"]] for test in run.tests.values()] == [["BROWSE"], ["BUY"]]
        assert list(run.cases) == ["test_browse", "test_buy", "test_ordinary", "test_zz_order"]
        assert "ipload_verdict" in run.properties["test_browse"]
        assert "ipload_verdict" in run.properties["test_buy"]
        lines = [line for line in run.result.outlines if line.startswith("test_it.py::test_") and "[" in line]
        assert [line.split()[:2] for line in lines[:3]] == [
            ["test_it.py::test_browse", "PASSED"],
            ["test_it.py::test_buy", "PASSED"],
            ["test_it.py::test_ordinary", "PASSED"],
        ]
        log = log_of(pytester)
        first = {name: next(at for at, what in log if what == name) for name in ("BROWSE", "BUY")}
        assert abs(first["BROWSE"] - first["BUY"]) < 0.05 + 3 * stalls.worst_s  # usually 1 ms
        order = [what for _, what in log if what.startswith(("up", "down"))]
        assert order == ["up test_browse", "up test_buy", "down test_buy", "down test_browse"]
        loads = [place for place, (_, what) in enumerate(log) if what in ("BROWSE", "BUY")]
        assert [what for _, what in log[:2]] == ["up test_browse", "up test_buy"]
        assert max(loads) < len(log) - 2

    def test_the_process_is_as_it_was(self, pytester: pytest.Pytester) -> None:
        """Its threads may run on all CPUs again, and its objects are collected again."""
        more = """
            import gc
            BEFORE = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None

            FROZEN = gc.get_freeze_count()

            def test_zz_after():
                assert BEFORE is None or os.sched_getaffinity(0) == BEFORE
                assert bool(gc.get_freeze_count()) == bool(FROZEN)
        """
        run = shop(pytester, more=more)
        run.expect(0, passed=4)
        cpus = [test["generator"].get("pinned_cpu") for test in run.tests.values()]
        assert cpus[0] == cpus[1]

    def test_start_after_shifts_one(self, pytester: pytest.Pytester) -> None:
        with watched_stalls() as stalls:
            run = shop(pytester, buy=', start_after="150ms"', more=DUMP)
        run.expect(0, passed=4)
        log = log_of(pytester)
        first = {name: next(at for at, what in log if what == name) for name in ("BROWSE", "BUY")}
        late = 0.05 + 3 * stalls.worst_s
        assert 0.15 - late < first["BUY"] - first["BROWSE"] < 0.15 + late
        assert run.tests["test_buy"]["profile"]["start_after_s"] == 0.15
        assert run.tests["test_buy"]["duration_s"] < 0.35 + late

    def test_the_time_of_a_test_is_that_of_its_own_load(self, pytester: pytest.Pytester) -> None:
        shop(pytester, "--durations=0", "-vv").expect(0, passed=3)
        root = ElementTree.parse(pytester.path / "out.xml").getroot()
        seconds = {case.get("name"): float(case.get("time", "0")) for case in root.iter("testcase")}
        assert seconds["test_browse"] >= 0.3
        assert seconds["test_buy"] >= 0.2

    def test_a_slow_one_does_not_disturb_the_other(self, pytester: pytest.Pytester) -> None:
        more = """
            @together
            @pytest.mark.ipload(users=3, duration="300ms")
            def test_slow(ipload_user):
                visit(ipload_user, "SLOW", 0.5)
        """
        run = shop(pytester, more=more)
        run.expect(0, passed=4)
        assert run.tests["test_slow"]["latency"]["p50_ms"] >= 500
        assert run.tests["test_buy"]["latency"]["p50_ms"] < 100

    def test_async_on_arrival_open_and_other_files(self, pytester: pytest.Pytester) -> None:
        other = """
            import asyncio, pytest
            pytestmark = pytest.mark.ipload_together("shop")

            @pytest.fixture
            async def token(ipload_user):
                await asyncio.sleep(0)
                return ipload_user.index

            @pytest.mark.ipload(stages="100ms:4,100ms:2", set_up="on-arrival", warmup="50ms")
            async def test_async(ipload_user, token, request):
                assert token == ipload_user.index
                async with ipload_user.measure("ASYNC"):
                    await asyncio.sleep(0.01)

            @pytest.mark.ipload(arrival_rate="60/s", duration="200ms")
            def test_open(ipload_user):
                with ipload_user.measure("OPEN"):
                    pass
        """
        pytester.makepyfile(test_another=dedent(other))
        run = team_run(pytester, dedent(SOURCE) % {"buy": "", "marks": ""}, "test_it.py", "test_another.py")
        run.expect(0, passed=5)
        assert set(verdicts(run).values()) == {"passed"}
        assert {test["together"] for test in run.tests.values()} == {"shop"}

    def test_what_all_of_them_print_is_captured_for_the_last(self, pytester: pytest.Pytester) -> None:
        more = """
            @together
            @pytest.mark.ipload(users=1, iterations=1)
            def test_speaks(ipload_user):
                print("FIRST SPEAKS")
                assert False

            @together
            @pytest.mark.ipload(users=1, iterations=1)
            def test_speaks_last(ipload_user):
                print("LAST SPEAKS")
                assert False
        """
        shop(pytester, "-o", "junit_logging=all", more=more)
        root = ElementTree.parse(pytester.path / "out.xml").getroot()
        outputs = {
            case.get("name"): "".join(case.itertext())
            for case in root.iter("testcase")
            if "SPEAKS\n" in "".join(case.itertext())
        }
        assert list(outputs) == ["test_speaks_last"]
        assert {"FIRST SPEAKS", "LAST SPEAKS"} <= set(outputs["test_speaks_last"].splitlines())


class TestSelection:
    @pytest.mark.parametrize("args", [("-k", "buy"), ("test_it.py::test_buy",)])
    def test_one_alone_runs_alone(self, pytester: pytest.Pytester, args: tuple[str, ...]) -> None:
        run = shop(pytester, *args, buy=', start_after="100s"')
        run.expect(0, passed=1)
        assert "together" not in run.tests["test_buy"]

    def test_those_that_are_selected_run_together(self, pytester: pytest.Pytester) -> None:
        more = """
            @together
            @pytest.mark.ipload(users=1, duration="100ms")
            @pytest.mark.ipload_threshold("p95 < 1us")
            def test_more(ipload_user):
                visit(ipload_user, "MORE")
        """
        marks = '@pytest.mark.ipload_threshold("p95 < 1us")'
        shop(pytester, marks=marks, more=more).expect(1, passed=2, failed=2)
        run = shop(pytester, "--lf", marks=marks, more=more)
        run.expect(1, failed=2)
        assert {name: test["together"] for name, test in run.tests.items()} == {"test_buy": "shop", "test_more": "shop"}


class TestOutcomes:
    def test_a_threshold_fails_in_its_own_test(self, pytester: pytest.Pytester) -> None:
        run = shop(pytester, marks='@pytest.mark.ipload_threshold("p95 < 1us")')
        run.expect(1, passed=2, failed=1)
        assert verdicts(run) == {"test_browse": "passed", "test_buy": "failed"}

    @pytest.mark.parametrize("how", ["mark", "fixture"])
    def test_a_skipped_one_is_named_by_the_others(self, pytester: pytest.Pytester, how: str) -> None:
        marks = '@pytest.mark.skip(reason="closed")' if how == "mark" else '@pytest.mark.usefixtures("closed")'
        more = """
            @pytest.fixture
            def closed():
                pytest.skip("closed")
        """
        run = shop(pytester, marks=marks, more=more)
        run.expect(0, passed=2, skipped=1)
        test = run.tests["test_browse"]
        assert (test["verdict"], checks(test)) == ("passed", ["partner-skipped"])
        assert "test_it.py::test_buy was skipped" in test["generator"]["notes"][0]

    @pytest.mark.parametrize(
        ("buy", "marks"),
        [("", '@pytest.mark.usefixtures("broken")'), ("", '@pytest.mark.usefixtures("lost")'), (", users=0", "")],
    )
    @pytest.mark.parametrize("third", [True, False])
    def test_without_one_none_is_run(self, pytester: pytest.Pytester, buy: str, marks: str, third: bool) -> None:
        more = """
            @pytest.fixture
            def broken():
                raise ValueError("no")

            @pytest.fixture
            def lost(ipload_user):
                raise ValueError("no")
        """
        last = """
            @together
            def test_last(ipload_user):
                visit(ipload_user, "LAST")
        """
        buy = buy.replace(", users=0", ", max_users=3")
        run = shop(pytester, buy=buy, marks=marks, more=dedent(more) + dedent(last if third else ""))
        run.expect(1, passed=1, errors=2 + third)
        assert set(verdicts(run).values()) == {"error"}
        for name in {"test_browse", "test_last"} & set(run.tests):
            why = "not run: test_it.py::test_buy, which runs together with it, could not be set up"
            assert why in run.tests[name]["reason"]
            assert run.tests[name]["together"] == "shop"
        run.result.stdout.no_fnmatch_line("*AssertionError*")
        assert "BROWSE" not in str(run.tests)

    @pytest.mark.parametrize(("limit", "verdict"), [("p95 < 10s", "invalid"), ("p95 < 1us", "failed")])
    def test_one_that_ends_early_makes_a_pass_invalid(
        self, pytester: pytest.Pytester, limit: str, verdict: str
    ) -> None:
        source = f"""
            pytestmark = pytest.mark.ipload_together("shop")

            def visit(user):
                with user.measure("VISIT"):
                    time.sleep(0.01)

            @pytest.mark.ipload(users=1, duration="1s")
            @pytest.mark.ipload_threshold({limit!r})
            def test_other(ipload_user):
                visit(ipload_user)

            @pytest.mark.ipload(users=1, iterations=3)
            def test_short(ipload_user):
                visit(ipload_user)

            @pytest.fixture
            def late(ipload_user):
                if ipload_user.index == 1:
                    raise ValueError("came too late")

            @pytest.mark.ipload(stages="1s:2,1s:2", set_up="on-arrival")
            def test_late(ipload_user, late):
                visit(ipload_user)
        """
        run = team_run(pytester, source)
        run.expect(1, passed=1, failed=1, errors=1)
        assert verdicts(run) == {"test_other": verdict, "test_short": "passed", "test_late": "error"}
        assert checks(run.tests["test_other"])[0] == "partner-ended"
        assert "test_it.py::test_late ended before its time" in run.tests["test_other"]["reason"]
        assert checks(run.tests["test_short"]) == []

    @pytest.mark.parametrize(("limit", "verdict"), [("p95 < 10s", "invalid"), ("p95 < 1us", "failed")])
    def test_one_whose_iterations_all_fail_makes_a_pass_invalid(
        self, pytester: pytest.Pytester, limit: str, verdict: str
    ) -> None:
        more = """
            @together
            @pytest.mark.ipload(users=2, duration="100ms", think_time="5ms")
            def test_background(ipload_user):
                pytest.fail("boo")

            @together
            @pytest.mark.ipload(users=1, duration="100ms", start_after="1500ms", think_time="5ms")
            def test_later(ipload_user):
                visit(ipload_user, "LATER")
        """
        run = shop(pytester, marks=f"@pytest.mark.ipload_threshold({limit!r})", more=more)
        run.expect(1, passed=2, failed=3)
        assert verdicts(run) == {
            "test_browse": "invalid",
            "test_buy": verdict,
            "test_background": "failed",
            "test_later": "passed",
        }
        assert checks(run.tests["test_buy"])[0] == "partner-failed"
        assert "all iterations of test_it.py::test_background failed" in run.tests["test_buy"]["reason"]
        assert checks(run.tests["test_background"]) == checks(run.tests["test_later"]) == []

    def test_abort_on_fail_after_the_others_have_ended(self, pytester: pytest.Pytester) -> None:
        more = """
            @together
            @pytest.mark.ipload(users=1, duration="4s")
            @pytest.mark.ipload_threshold("error_rate < 1%", abort_on_fail=True, delay="500ms")
            def test_long(ipload_user):
                visit(ipload_user, "LONG", 0.01)
                assert ipload_user.iteration == 0
        """
        run = shop(pytester, more=more)
        run.expect(1, passed=3, failed=1)
        assert verdicts(run) == {"test_browse": "passed", "test_buy": "passed", "test_long": "failed"}
        assert run.tests["test_long"]["aborted_s"] < 5

    def test_an_error_in_a_teardown(self, pytester: pytest.Pytester) -> None:
        more = """
            @pytest.fixture
            def breaks():
                yield
                raise ValueError("no")
        """
        run = shop(pytester, marks='@pytest.mark.usefixtures("breaks")', more=more)
        run.expect(1, passed=3, errors=1)
        assert verdicts(run) == {"test_browse": "passed", "test_buy": "passed"}
        assert run.cases["test_buy"] == ["error"]
        assert run.cases["test_browse"] == []

    def test_xfail(self, pytester: pytest.Pytester) -> None:
        marks = '@pytest.mark.xfail(strict=True)\n@pytest.mark.ipload_threshold("p95 < 1us")'
        shop(pytester, marks=marks).expect(0, passed=2, xfailed=1)

    def test_dash_x_lets_a_group_come_to_its_end(self, pytester: pytest.Pytester) -> None:
        run = shop(pytester, "-x", marks='@pytest.mark.ipload_threshold("p95 < 1us")')
        run.expect(1, passed=1, failed=1)
        assert set(run.cases) == {"test_browse", "test_buy"}

    def test_none_is_rerun_which_is_said(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("pytest_rerunfailures")
        monkeypatch.setenv("PYTEST_ADDOPTS", without_others("rerunfailures"))
        run = shop(pytester, "--reruns=2", marks='@pytest.mark.ipload_threshold("p95 < 1us")')
        run.expect(1, passed=2, failed=1)
        run.expect_lines("*load tests that run together are never rerun*")

    def test_a_timeout_of_the_session_ends_those_that_run(self, pytester: pytest.Pytester) -> None:
        """As pytest-timeout does it: a signal handler that raises in pytest's thread."""
        more = """
            def give_up(*_):
                pytest.fail("Timeout >0.8s")

            @pytest.fixture
            def alarm():
                signal.signal(signal.SIGALRM, give_up)
                yield
                signal.setitimer(signal.ITIMER_REAL, 0)

            @together
            @pytest.mark.ipload(users=1, duration="60s", think_time="10ms")
            def test_long(ipload_user, alarm):
                if not any(name == "LONG" for _, name in LOG):  # the loads run
                    signal.setitimer(signal.ITIMER_REAL, 0.8)
                visit(ipload_user, "LONG")
        """
        began = time.monotonic()
        run = shop(pytester, more=more)
        assert time.monotonic() - began < 20
        run.expect(1, passed=3, failed=1)
        assert verdicts(run)["test_long"] == "invalid"
        assert verdicts(run)["test_browse"] == "passed"


class TestInterruption:
    @pytest.mark.parametrize("workers", [(), ("-n2",)])
    def test_ctrl_c_keeps_what_was_measured(self, pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
        source = (dedent(SOURCE) % {"buy": "", "marks": ""}).replace('"300ms"', '"60s"').replace('"200ms"', '"60s"')
        source = source.replace("LOG.append((time.perf_counter(), name))", 'pathlib.Path("began").touch()')
        source += dedent("""
            @pytest.fixture(autouse=True, scope="session")
            def leave_nothing():
                yield
                left = [each.name for each in threading.enumerate() if each.name.startswith("ipload-")]
                pathlib.Path(f"left-{worker()}").write_text(f"{left} {LOG}")
        """)
        pytester.makepyfile(test_it=HEADER + source)
        command = [sys.executable, "-m", "pytest", "--ipload-json=out.json", *workers]
        process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True)
        try:
            give_up = time.monotonic() + 60
            while not (pytester.path / "began").exists() and time.monotonic() < give_up:
                time.sleep(0.05)
            time.sleep(0.3)
            pressed = time.monotonic()
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 2, output
        assert time.monotonic() - pressed < 20  # usually less than a second
        tests = {
            test["nodeid"].partition("::")[2]: test
            for test in json.loads((pytester.path / "out.json").read_text())["tests"]
        }
        assert {name: test["verdict"] for name, test in tests.items()} == {
            "test_browse": "invalid",
            "test_buy": "invalid",
        }
        assert all(test["iterations"] and test["together"] == "shop" for test in tests.values())
        if not workers:
            left = (pytester.path / "left-main").read_text()
            assert left.startswith("[] ")
            assert [each for each in ("down test_buy", "down test_browse") if each not in left] == []

    def test_pytest_exit_in_a_body_ends_all(self, pytester: pytest.Pytester) -> None:
        source = (dedent(SOURCE) % {"buy": "", "marks": ""}).replace('"300ms"', '"60s"').replace('"200ms"', '"60s"')
        source += "    pytest.exit('enough') if len(LOG) > 8 else None\n"
        run = team_run(pytester, source, deaths=True)
        assert run.result.ret == 2
        assert verdicts(run) == {"test_browse": "invalid", "test_buy": "invalid"}


class TestOrdinaryTests:
    @pytest.mark.parametrize("option", ["--ipload-disable", "--setup-only", "--setup-plan"])
    def test_without_loads_they_run_one_after_the_other(self, pytester: pytest.Pytester, option: str) -> None:
        run = shop(pytester, option, "-v", more=DUMP)
        run.expect(0, **({"passed": 4} if option == "--ipload-disable" else {}))
        if option == "--ipload-disable":
            assert [what for _, what in log_of(pytester)] == [
                *("up test_browse", "BROWSE", "down test_browse", "up test_buy", "BUY", "down test_buy")
            ]

    def test_setup_show(self, pytester: pytest.Pytester) -> None:
        run = shop(pytester, "--setup-show", "-s")
        run.expect(0, passed=3)
        run.expect_lines("*test_it.py::test_browse (fixtures used*", "*test_it.py::test_buy (fixtures used*")


class TestSegments:
    def test_merged_each_is_one_load(self, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
        start = f"--ipload-start-at={time.time() + 0.5}"
        for segment in ("0/2", "1/2"):  # one after the other: too far apart to be one load, but merged
            run = shop(
                pytester, f"--ipload-segment={segment}", start, "--ipload-start-every=1ms", buy=', max_rate="900/s"'
            )
            run.expect(0, passed=3)
            (pytester.path / "out.json").rename(pytester.path / f"{segment[0]}.json")
        code = main(
            ["merge", *(str(pytester.path / f"{n}.json") for n in "01"), "--json", str(pytester.path / "all.json")]
        )
        assert code in (0, 1), capsys.readouterr()
        tests = json.loads((pytester.path / "all.json").read_text())["tests"]
        assert {test["nodeid"].partition("::")[2]: test["together"] for test in tests} == {
            "test_browse": "shop",
            "test_buy": "shop",
        }
        assert [shard["users"] for shard in tests[0]["shards"]] == [1, 1]

    def test_errors_are_merged_too(self, pytester: pytest.Pytester) -> None:
        more = "def test_alone(ipload_user): pass"
        shop(pytester, "--ipload-segment=0/1", buy=", max_users=3", more=more).expect(1, passed=2, errors=2)
        assert main(["merge", str(pytester.path / "out.json"), "--json", str(pytester.path / "all.json")]) == 1
        tests = json.loads((pytester.path / "all.json").read_text())["tests"]
        assert sorted((test["verdict"], test.get("together")) for test in tests) == [
            *[("error", "shop")] * 2,
            ("passed", None),
        ]


class TestRefusals:
    @pytest.mark.parametrize(
        ("args", "why"),
        [
            (("--ipload-rounds=2",), "and --ipload-rounds cannot repeat them"),
            (("--ipload-against=http://127.0.0.1:1",), "and --ipload-against cannot repeat them"),
            (("-n2", "--ipload-concurrent"), "would run them apart"),
        ],
    )
    def test_what_would_take_them_apart(self, pytester: pytest.Pytester, args: tuple[str, ...], why: str) -> None:
        run = shop(pytester, *args)
        run.expect(1, passed=1, errors=2)
        assert all(why in test["reason"] for test in run.tests.values())

    @pytest.mark.parametrize("mark", ["", "()", "(3)", "('')", "('a', 'b')", "(name='a')"])
    def test_a_marker_without_one_name(self, pytester: pytest.Pytester, mark: str) -> None:
        source = f"""
            @pytest.mark.ipload_together{mark}
            def test_it(ipload_user):
                pass
        """
        run = team_run(pytester, source)
        run.expect(1, errors=1)
        assert "ipload_together takes one name, a text, as in ipload_together('shop')" in run.tests["test_it"]["reason"]

    def test_a_marker_on_an_ordinary_test(self, pytester: pytest.Pytester) -> None:
        run = team_run(pytester, "@pytest.mark.ipload_together('a')\ndef test_it(): pass")
        run.expect(1, errors=1)
        assert "the marker ipload_together needs a load test" in run.tests["test_it"]["reason"]

    def test_an_ordinary_test_ignores_the_marker_of_its_class_or_module(self, pytester: pytest.Pytester) -> None:
        source = """
            pytestmark = pytest.mark.ipload_together("a")

            def test_of_module():
                pass

            @pytest.mark.ipload_together("b")
            class TestShop:
                def test_of_class(self):
                    pass

                def test_load(self, ipload_user):
                    pass

                def test_load_too(self, ipload_user):
                    pass
        """
        run = team_run(pytester, source)
        run.expect(0, passed=4)
        assert [test["together"] for test in run.tests.values()] == ["b", "b"]

    def test_start_after_without_the_marker(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.mark.ipload(start_after="1s")
            def test_it(ipload_user):
                pass

            def test_own(ipload):
                with pytest.raises(ValueError, match="start_after is for load tests with the marker ipload_together"):
                    ipload.run(lambda user: None, start_after="1s")
        """
        run = team_run(pytester, source)
        run.expect(1, errors=1, passed=1)
        assert "start_after=1s is for load tests that run together" in run.tests["test_it"]["reason"]

    @pytest.mark.parametrize(("second", "errors"), [("127.0.9.2-127.0.9.3", 2), ("127.0.9.4", 0)])
    def test_exclusive_pools_have_no_common_address(self, pytester: pytest.Pytester, second: str, errors: int) -> None:
        source = f"""
            pytestmark = pytest.mark.ipload_together("shop")

            @pytest.mark.ipload(users=2, pool="127.0.9.1-127.0.9.3", ip_exclusive=True)
            def test_one(ipload_user):
                pass

            @pytest.mark.ipload(users=1, pool={second!r})
            def test_two(ipload_user):
                pass
        """
        run = team_run(pytester, source)
        run.expect(1 if errors else 0, errors=errors, passed=2 - errors)
        if errors:
            assert "127.0.9.2 is in the pools of test_it.py::test_two and test_it.py::test_one" in str(run.tests)

    def test_a_shared_fixture_with_two_values_at_once(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.fixture(scope="module", params=[1, 2])
            def number(request):
                return request.param

            @pytest.mark.ipload_together("shop")
            def test_it(ipload_user, number):
                pass
        """
        run = team_run(pytester, source)
        run.expect(1, errors=2)
        assert "need different values of the shared fixture 'number' at the same time" in str(run.tests)

    @pytest.mark.parametrize(("tests", "errors"), [(64, 0), (65, 65)])
    def test_the_number_of_tests_is_limited(self, pytester: pytest.Pytester, tests: int, errors: int) -> None:
        """Their protocols run within each other: Python's stack has room for so many."""
        source = f"""
            @pytest.mark.ipload_together("shop")
            @pytest.mark.parametrize("which", range({tests}))
            def test_it(ipload_user, which):
                pass
        """
        run = team_run(pytester, source)
        run.expect(1 if errors else 0, errors=errors, passed=tests - errors)
        if errors:
            assert "there are 65 of them; 64 are the most that can" in run.tests["test_it[0]"]["reason"]

    def test_open_files_are_those_of_all(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("resource.getrlimit", lambda _: (250, 250))
        source = """
            pytestmark = pytest.mark.ipload_together("shop")

            @pytest.mark.parametrize("which", [1, 2])
            @pytest.mark.ipload(users=90)
            def test_it(ipload_user, which):
                pass
        """
        run = team_run(pytester, source)
        run.expect(1, errors=2)
        assert "needs about 280 open files, the limit is 250" in str(run.tests)
