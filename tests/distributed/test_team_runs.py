"""Load tests that the workers of pytest-xdist share: whole runs."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from textwrap import dedent
from typing import Any

import pytest
from support.plugins import without_others
from support.stalls import watched_stalls
from support.team_run import ANOTHER, HEADER, LOAD, LONG, team_run

pytestmark = pytest.mark.usefixtures("xdist")


def shares(test: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Of each process that took part: its name, its users and its iterations."""
    return [(shard["name"], shard["users"], shard["iterations"]) for shard in test["shards"]]


class TestSharing:
    WATCHED = """
        import pathlib, pytest

        @pytest.fixture(scope="module", autouse=True)
        def shared():
            yield
            with pathlib.Path("torn_down").open("a") as file:
                file.write("x")

        @pytest.mark.parametrize("n", range(4))
        def test_ordinary(n):
            pass

        @pytest.mark.ipload(users=1)
        def test_watched(ipload_user):
            pass
        """

    def test_users_and_addresses_are_divided_and_there_is_one_outcome(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        source = f"""
            @pytest.mark.ipload(users=1, iterations=3)
            def test_small(ipload_user):
                pathlib.Path(worker()).touch()

            @pytest.mark.ipload(users=6, iterations=2, base_url={demo_url!r})
            def test_sources(ipload_session, ipload_user):
                assert ipload_session.get("/whoami").json()["address"] == ipload_user.source_address

            @pytest.mark.ipload(users=5)
            def test_draws(ipload_user):
                with pathlib.Path(worker()[:2] + "-draws").open("a") as file:
                    print(ipload_user.index, ipload_user.random.random(), file=file)
        """
        pytester.makepyfile(test_a=self.WATCHED)
        run = team_run(pytester, dedent(source) + LOAD, "-n2", "--ipload-pool=127.0.3.0/29")
        run.expect(0, passed=9)
        test = run.tests["test_load"]
        assert shares(test) == [("gw0", 3, 12), ("gw1", 2, 8)]
        assert (test["verdict"], test["users"], test["iterations"], test["requests"]) == ("passed", 5, 20, 20)
        assert sum(row["requests"] for row in test["by_name"]) == test["latency"]["count"] == 20
        assert {name: children for name, children in run.cases.items() if "ordinary" not in name} == {
            name: [] for name in ("test_watched", "test_small", "test_sources", "test_draws", "test_load")
        }
        assert run.properties["test_load"].count("ipload_verdict") == 1
        run.expect_lines("test_it.py::test_load  PASSED")
        assert run.result.stdout.str().count("test_it.py::test_load  ") == 1
        users = {row["source_address"]: row["users"] for row in run.tests["test_sources"]["by_source"]}
        assert users == {f"127.0.3.{number}": 1 for number in range(1, 7)}
        # With fewer users than workers some only watch.
        assert run.tests["test_small"]["iterations"] == 3
        assert [name for name in ("gw0", "gw1") if (pytester.path / name).exists()] == ["gw0"]
        # They tear down the fixtures of the module before: the test that they do not run was its next one.
        assert (pytester.path / "torn_down").read_text() == "xx"
        # A user's random numbers are the same in one process and in many.
        team_run(pytester, dedent(source), "-n0", "-k", "test_draws").expect(0, passed=1)
        drawn = [sorted((pytester.path / f"{name}-draws").read_text().splitlines()) for name in ("gw", "ma")]
        assert len(drawn[0]) == 5
        assert drawn[0] == drawn[1]

    def test_all_start_together_and_alone(self, pytester: pytest.Pytester) -> None:
        source = """
            LOG = pathlib.Path("log")

            def note(*words):
                with LOG.open("a") as file:
                    print(time.perf_counter_ns(), *words, file=file)

            @pytest.mark.parametrize("n", range(12))
            def test_ordinary(n):
                note("ordinary", "begin")
                time.sleep(0.02)
                note("ordinary", "end")

            @pytest.mark.parametrize("n", range(2))
            @pytest.mark.ipload(users=4, iterations=3)
            def test_load(ipload_user, n):
                note(f"load{n}", "begin", ipload_user.index)
                time.sleep(0.02)
                note(f"load{n}", "end", ipload_user.index)
        """
        with watched_stalls() as stalls:
            run = team_run(pytester, source, "-n2")
        run.expect(0, passed=14)
        events = sorted(
            (int(line.split()[0]), line.split()[1]) for line in (pytester.path / "log").read_text().splitlines()
        )
        order = [name for _, name in events]
        blocks = [name for place, name in enumerate(order) if place == 0 or order[place - 1] != name]
        assert blocks == ["ordinary", "load0", "load1"]  # never two of them in turn
        assert order.count("load0") == 4 * 3 * 2
        for n in range(2):
            for shard in run.tests[f"test_load[{n}]"]["shards"]:
                # Each of two workers and the controller may have been kept waiting; see docs for what is usual.
                assert 0 <= shard["start_skew_ms"] < 200 + 3000 * stalls.worst_s

    @pytest.mark.parametrize("args", [("-n0",), ("-p", "no:xdist"), ("-n1",)])
    def test_one_process_runs_all_users(self, pytester: pytest.Pytester, args: tuple[str, ...]) -> None:
        run = team_run(pytester, LOAD, *args)
        run.expect(0, passed=1)
        assert (run.tests["test_load"]["users"], run.tests["test_load"]["iterations"]) == (5, 20)
        assert "shards" not in run.tests["test_load"]

    def test_shards_limit_those_who_take_part(self, pytester: pytest.Pytester) -> None:
        run = team_run(pytester, LOAD, "-n2", "--ipload-shards=1")
        run.expect(0, passed=1)
        assert (run.tests["test_load"]["users"], "shards" in run.tests["test_load"]) == (5, False)

    def test_concurrent_load_tests_run_whole_on_one_worker(self, pytester: pytest.Pytester) -> None:
        run = team_run(pytester, LOAD, "-n2", "--ipload-concurrent")
        run.expect(0, passed=1)
        assert (run.tests["test_load"]["users"], "shards" in run.tests["test_load"]) == (5, False)

    def test_with_dist_each_every_worker_runs_it_whole_one_after_the_other(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.mark.ipload(users=2, iterations=3)
            def test_load(ipload_user):
                with pathlib.Path("log").open("a") as file:
                    file.write(worker()[-1])
                time.sleep(0.02)
        """
        pytester.makepyfile(test_it=HEADER + dedent(source) + "\ndef test_ordinary(): pass\n")
        result = pytester.runpytest("--dist=each", "--tx=2*popen")
        result.assert_outcomes(passed=4)
        assert (pytester.path / "log").read_text() in ("000000111111", "111111000000")

    @pytest.mark.parametrize("dist", ["loadfile", "worksteal"])
    def test_ordinary_tests_are_scheduled_as_the_user_says(self, pytester: pytest.Pytester, dist: str) -> None:
        source = """
            @pytest.mark.parametrize("n", range(6))
            def test_ordinary(n):
                with pathlib.Path(worker()).open("a") as file:
                    file.write("x")

            @pytest.mark.ipload(users=4)
            def test_load(ipload_user):
                pass
        """
        run = team_run(pytester, source, "-n2", f"--dist={dist}")
        run.expect(0, passed=7)
        (test,) = run.tests.values()
        assert [shard["users"] for shard in test["shards"]] == [2, 2]
        if dist == "loadfile":
            counts = [(pytester.path / name).read_text() for name in ("gw0", "gw1") if (pytester.path / name).exists()]
            assert counts == ["xxxxxx"]


class TestOutcomes:
    def test_a_missed_threshold_is_one_failure_and_last_failed_runs_it_again_on_all_workers(
        self, pytester: pytest.Pytester
    ) -> None:
        source = LOAD + "\ndef test_ordinary(): pass\n"
        run = team_run(pytester, source, "-n2", "--ipload-threshold=max < 1ms")
        run.expect(1, failed=1, passed=1)
        assert run.tests["test_load"]["verdict"] == "failed"
        assert run.cases == {"test_load": ["failure"], "test_ordinary": []}
        run.expect_lines("max * ms, limit < 1.00 ms (20 requests*")
        run = team_run(pytester, source, "-n2", "--lf")
        run.expect(0, passed=1)
        assert len(run.tests["test_load"]["shards"]) == 2

    def test_with_x_nothing_begins_after_an_ordinary_failure(self, pytester: pytest.Pytester) -> None:
        run = team_run(pytester, "def test_ordinary(): assert False\n" + LOAD, "-n2", "-x")
        run.expect(2, failed=1)
        assert list(run.cases) == ["test_ordinary"]
        assert run.tests == {}
        run.expect_lines("*stopping after 1 failures*")

    def test_with_x_nothing_begins_after_a_missed_threshold(self, pytester: pytest.Pytester) -> None:
        run = team_run(pytester, LOAD + ANOTHER, "-n2", "-x", "--ipload-threshold=max < 1ms")
        run.expect(2, failed=1)
        assert (list(run.cases), list(run.tests)) == (["test_load"], ["test_load"])

    def test_whatever_ends_a_test_on_some_workers_is_one_outcome_and_the_next_one_runs(
        self, pytester: pytest.Pytester
    ) -> None:
        source = """
            @pytest.mark.skip(reason="not today")
            @pytest.mark.ipload(users=5)
            def test_skipped(ipload_user):
                pass

            @pytest.mark.skipif(worker() == "gw1", reason="not here")
            @pytest.mark.ipload(users=5)
            def test_skipped_on_one(ipload_user):
                pass

            @pytest.mark.ipload(users=4, iterations=2)
            def test_skips_itself(ipload_user):
                pytest.skip("not now")

            @pytest.fixture
            def broken(request, ipload_user):
                if request.param == "all" or (request.param == "one" and worker() == "gw1"):
                    raise RuntimeError(f"no set-up on {request.param}")
                if request.param == "late" and ipload_user.index == 3:
                    raise RuntimeError("no set-up of a late one")

            @pytest.mark.parametrize("broken", ["one", "all"], indirect=True)
            @pytest.mark.ipload(users=4, duration="60s")
            def test_set_up(broken):
                pass

            @pytest.mark.parametrize("broken", ["late"], indirect=True)
            @pytest.mark.ipload(users=4, duration="60s", ramp_up="0.4s")
            def test_late_set_up(broken):
                time.sleep(0.01)

            @pytest.fixture
            def kept():
                yield
                assert worker() != "gw1", "no teardown"

            @pytest.mark.ipload(users=4)
            def test_teardown(kept, ipload_user):
                pass

            @pytest.mark.ipload(usres=5)
            def test_bad_settings(ipload_user):
                pass

            @pytest.mark.ipload(users=4, iterations=2)
            def test_failures_of_all(ipload_user):
                assert ipload_user.index > 1

            @pytest.mark.parametrize("how", ["skip", "xfail"])
            @pytest.mark.ipload(users=2, duration="60s", think_time="10ms")
            def test_body(ipload_user, how):
                if ipload_user.index == 1:
                    time.sleep(0.5)
                    getattr(pytest, how)(f"no {how} here")
                assert False

            @pytest.mark.ipload(users=2, duration="20s", think_time="10ms")
            @pytest.mark.ipload_threshold("error_rate < 10%", abort_on_fail=True, delay="1s")
            def test_cannot_hold(ipload_user):
                assert ipload_user.index == 0

            @pytest.mark.xfail(strict=True)
            @pytest.mark.ipload(users=5, iterations=4)
            @pytest.mark.ipload_threshold("max < 1ms")
            def test_xfail(ipload_user):
                with ipload_user.measure("VISIT"):
                    time.sleep(0.01)
        """
        run = team_run(pytester, dedent(source) + ANOTHER, "-n2", "-rs")
        run.expect(1, passed=2, skipped=2, errors=6, failed=4, xfailed=1)
        assert run.cases == {
            "test_skipped": ["skipped"],
            "test_skipped_on_one": ["error"],
            "test_skips_itself": ["skipped"],
            "test_set_up[one]": ["error"],
            "test_set_up[all]": ["error"],
            "test_late_set_up[late]": ["error"],
            "test_teardown": ["error"],
            "test_bad_settings": ["error"],
            "test_failures_of_all": ["failure"],
            "test_body[skip]": ["failure"],
            "test_body[xfail]": ["failure"],
            "test_cannot_hold": ["failure"],
            "test_xfail": ["skipped"],
            "test_zz_another": [],
        }
        run.result.stdout.fnmatch_lines_random(
            [
                "SKIPPED [[]1[]]*not today",
                "skipped on 1 of 2 workers: gw1 only; the load test did not run: *not here",
                "*RuntimeError: no set-up on one",
                "the set-up failed on 1 of 2 workers: gw1",
                "2 of the 4 users of the load failed in it",
                "*RuntimeError: no set-up on all",
                "the set-up failed on 2 of 2 workers: *gw1",
                "4 of the 4 users of the load failed in it",
                "[[]gw1[]]*",
                "*no teardown*",
                "*unknown key 'usres'*",
                *(
                    f"worker gw* skipped after * iterations had run on other workers, which is an error: *no {how} here"
                    for how in ("skip", "xfail")
                ),
            ]
        )
        run.expect_lines("error_rate 50 %, limit == 0 % (4 of 8 iterations failed)", "  4 x AssertionError at *")
        assert run.tests["test_failures_of_all"]["failed_iterations"] == 4
        stopped = run.tests["test_cannot_hold"]
        assert (stopped["verdict"], stopped["aborted_s"] < 10) == ("failed", True)
        assert [shard["iterations"] > 0 for shard in stopped["shards"]] == [True, True]
        test = run.tests["test_skipped_on_one"]
        assert (test["verdict"], test["reason"].partition(";")[0]) == ("error", "skipped on 1 of 2 workers: gw1 only")

    def test_stepwise_stops_at_it_and_goes_on_with_it(self, pytester: pytest.Pytester) -> None:
        team_run(pytester, LOAD + ANOTHER, "-n2", "--sw", "--ipload-threshold=max < 1ms").expect(2, failed=1)
        run = team_run(pytester, LOAD + ANOTHER, "-n2", "--sw")
        run.expect(0, passed=2)

    def test_a_timeout_of_one_worker_is_one_outcome_and_reruns_are_not_for_shared_loads(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("pytest_timeout")
        pytest.importorskip("pytest_rerunfailures")
        monkeypatch.setenv("PYTEST_ADDOPTS", without_others("timeout", "rerunfailures"))
        source = """
            @pytest.fixture
            def slow():
                if worker() == "gw1":
                    time.sleep(60)

            @pytest.mark.timeout(2, method="signal")
            @pytest.mark.ipload(users=4)
            def test_slow(slow, ipload_user):
                pass

            @pytest.mark.ipload_threshold("max < 1ms")
        """
        run = team_run(pytester, dedent(source) + LOAD.strip() + "\n" + ANOTHER, "-n2", "--reruns=1", deaths=True)
        run.expect(1, errors=1, failed=1, passed=1)
        verdicts = {name: test["verdict"] for name, test in run.tests.items()}
        assert verdicts == {"test_slow": "error", "test_load": "failed", "test_zz_another": "passed"}
        run.expect_lines("*Timeout*2.0*s*")
        assert "rerun" not in run.result.parseoutcomes()
        assert run.result.stdout.str().count("--reruns does not rerun load tests") == 1

    def test_workers_share_a_segment(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.mark.ipload(users=10)
            def test_load(ipload_user):
                pathlib.Path(f"user{ipload_user.index}-{worker()}").touch()
        """
        run = team_run(pytester, source, "-n2", "--ipload-segment=1/2")
        run.expect(0, passed=1)
        assert {path.name for path in pytester.path.glob("user*")} == {
            "user1-gw0", "user3-gw1", "user5-gw0", "user7-gw1", "user9-gw0"
        }  # fmt: skip
        test = run.tests["test_load"]
        assert (test["segment"], test["users"], test["part"]["users"]) == ("1/2", 5, 5)


class TestLostWorkers:
    def test_each_loss_is_one_outcome_and_the_next_ones_are_shared_with_who_replaces_it(
        self, pytester: pytest.Pytester
    ) -> None:
        source = """
            @pytest.mark.ipload(users=4, duration="60s", think_time="10ms")
            def test_during(ipload_user):
                if worker() == "gw1" and ipload_user.iteration > 20:
                    os.kill(os.getpid(), signal.SIGKILL)

            @pytest.mark.ipload(users=3)
            def test_during_is_over(ipload_user):
                pass

            @pytest.fixture
            def deadly(request):
                if request.node.name == "test_set_up" and worker() == "gw2":
                    os._exit(1)
                yield
                if worker() == "gw3":
                    os._exit(1)

            @pytest.mark.ipload(users=4, duration="60s")
            def test_set_up(deadly, ipload_user):
                pass

            @pytest.mark.ipload(users=4)
            def test_teardown(deadly, ipload_user):
                pass

            @pytest.mark.ipload(users=2, duration="60s", think_time="10ms")
            def test_all(ipload_user):
                mine, other = pathlib.Path(worker()), pathlib.Path("gw4")
                mine.write_text(str(os.getpid()))
                if mine != other and other.exists() and other.read_text():
                    os.kill(int(other.read_text()), signal.SIGKILL)
                    os._exit(1)
        """
        run = team_run(pytester, dedent(source) + ANOTHER, "-n2", deaths=True)
        run.expect(1, failed=3, passed=3, errors=1)
        assert run.cases == {
            "test_during": ["failure"],
            "test_during_is_over": [],
            "test_set_up": ["failure"],
            "test_teardown": ["error"],
            "test_all": ["failure"],
            "test_zz_another": [],
        }
        test = run.tests["test_during"]
        assert test["verdict"] == "invalid"
        assert "lost 1 of 2 workers: gw1: the connection is closed" in test["reason"]
        assert test["iterations"] > 0
        run.result.stdout.fnmatch_lines_random(
            [
                "*worker gw2 was lost before the load began: the connection is closed*",
                "worker gw3 was lost after the load: the connection is closed",
                "*the load test lost 2 of 2 workers: gw?: the connection is closed; gw?: *",
            ]
        )
        shared_by = {name: {shard["name"] for shard in test.get("shards", ())} for name, test in run.tests.items()}
        assert shared_by["test_during_is_over"] == {"gw0", "gw2"}
        assert shared_by["test_zz_another"] == {"gw5", "gw6"}

    def test_those_that_hang_are_replaced(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second one does when the verdict is too large for its pipe."""
        source = """
            @pytest.mark.ipload(users=2)
            def test_verdict(ipload_user):
                for number in range(900):
                    with ipload_user.measure(f"a request with a long name, so that there is much to say {number}"):
                        pass
                if worker() == "gw2":
                    child = os.fork()
                    if child == 0:  # hangs the worker when its part is on its way
                        time.sleep(0.4)
                        os.kill(os.getppid(), signal.SIGSTOP)
                        os._exit(0)
                else:
                    time.sleep(1)
        """
        does = 'worker() == "gw1" and ipload_user.iteration > 20 and os.kill(os.getpid(), signal.SIGSTOP)'
        source = LONG.format(does=does) + dedent(source) + ANOTHER
        timing = "beat=0.1,heartbeat=2"
        run = team_run(pytester, source, "-n2", deaths=True, timing=timing, monkeypatch=monkeypatch)
        assert run.result.ret == 1
        assert "gw1: no heartbeat for 2 s" in run.tests["test_load"]["reason"]
        assert run.cases["test_load"] == ["failure"]
        assert run.cases["test_verdict"] in (["error"], ["failure"])  # it had delivered its part, or had not
        assert run.cases["test_zz_another"] == []

    def test_one_that_only_waits(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        source = """
            @pytest.fixture(scope="session", autouse=True)
            def written():
                pathlib.Path(worker() + ".pid").write_text(str(os.getpid()))

            def test_ordinary_1(): time.sleep(0.5)
            def test_ordinary_2(): time.sleep(0.5)

            @pytest.mark.ipload(users=1, iterations=1)
            def test_killed(ipload_user):
                os.kill(int(pathlib.Path("gw1.pid").read_text()), signal.SIGKILL)
                time.sleep(1)

            @pytest.mark.ipload(users=3)
            def test_killed_is_over(ipload_user):
                pass

            @pytest.mark.ipload(users=1, iterations=1)
            def test_stopped(ipload_user):
                os.kill(int(pathlib.Path("gw2.pid").read_text()), signal.SIGSTOP)
                time.sleep(3)
        """
        timing = "beat=0.1,heartbeat=1.5"
        run = team_run(pytester, dedent(source) + ANOTHER, "-n2", deaths=True, timing=timing, monkeypatch=monkeypatch)
        run.expect(0, passed=6)
        for name, others in {"test_killed_is_over": ["gw0", "gw2"], "test_zz_another": ["gw0", "gw3"]}.items():
            assert [shard["name"] for shard in run.tests[name]["shards"]] == others

    def test_in_an_ordinary_test(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.mark.parametrize("n", range(6))
            def test_ordinary(n):
                if n == 2:
                    time.sleep(1)  # the other worker has come to the load test by then
                    os._exit(1)
        """
        run = team_run(pytester, dedent(source) + LOAD, "-n2", deaths=True)
        run.expect(1, failed=1, passed=6)
        assert len(run.tests["test_load"]["shards"]) == 2  # it waited for the one that replaces the other

    def test_without_replacement_the_others_share_the_next_one(self, pytester: pytest.Pytester) -> None:
        does = 'worker() == "gw1" and ipload_user.iteration > 20 and os._exit(1)'
        source = LONG.format(does=does) + ANOTHER
        run = team_run(pytester, source, "-n3", "--max-worker-restart=0", deaths=True)
        run.expect(1, failed=1, passed=1)
        assert {shard["name"] for shard in run.tests["test_zz_another"]["shards"]} == {"gw0", "gw2"}

    def test_with_x_nothing_begins_after_a_loss(self, pytester: pytest.Pytester) -> None:
        does = 'worker() == "gw1" and ipload_user.iteration > 20 and os._exit(1)'
        run = team_run(pytester, LONG.format(does=does) + ANOTHER, "-n2", "-x", deaths=True)
        run.expect(2, failed=1)
        assert list(run.tests) == ["test_load"]


class TestEndings:
    """How a run ends when the controller does."""

    NOTES = 'pathlib.Path(worker() + ".pid").write_text(str(os.getpid()))'

    def start(self, pytester: pytest.Pytester, source: str = LONG.format(does=NOTES)) -> subprocess.Popen[bytes]:
        """A session with a long load; returns when each worker is at it."""
        pytester.makepyfile(test_it=HEADER + dedent(source))
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-n2", "-p", "no:hypothesispytest", "--ipload-json=out.json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=pytester.path,
        )
        files = [pytester.path / f"gw{number}.pid" for number in range(2)]
        wait_until(lambda: all(file.exists() and file.read_text() for file in files))
        return process

    def workers(self, pytester: pytest.Pytester) -> list[int]:
        """The process ids. Each iteration writes them anew, so a file may be empty for a moment."""
        files = [pytester.path / f"gw{number}.pid" for number in range(2)]
        texts: list[str] = []

        def all_are_there() -> bool:
            texts[:] = [file.read_text() for file in files]
            return all(texts)

        wait_until(all_are_there)
        return [int(text) for text in texts]

    def test_workers_end_with_a_controller_that_is_killed(self, pytester: pytest.Pytester) -> None:
        process = self.start(pytester)
        process.kill()
        process.communicate(timeout=30)
        wait_until(lambda: not any(map(is_alive, self.workers(pytester))))

    def test_control_c_ends_all(self, pytester: pytest.Pytester) -> None:
        process = self.start(pytester)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == pytest.ExitCode.INTERRUPTED
        assert b"INTERNALERROR" not in output
        wait_until(lambda: not any(map(is_alive, self.workers(pytester))))
        assert b"the load was aborted because the session ended" in output
        [test] = json.loads((pytester.path / "out.json").read_text())["tests"]
        assert (test["verdict"], len(test["shards"]), test["iterations"] > 0) == ("invalid", 2, True)

    def test_control_c_on_a_terminal_is_for_the_workers_too(self, pytester: pytest.Pytester) -> None:
        process = self.start(pytester)
        for pid in (*self.workers(pytester), process.pid):
            os.kill(pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == pytest.ExitCode.INTERRUPTED
        assert b"INTERNALERROR" not in output
        wait_until(lambda: not any(map(is_alive, self.workers(pytester))))
        [test] = json.loads((pytester.path / "out.json").read_text())["tests"]
        assert (test["verdict"], test["iterations"] > 0) == ("invalid", True)

    @pytest.mark.parametrize(
        ("fixture", "verdict"),
        [
            (f"def late(ipload_user):\n    yield\n    {NOTES}\n    time.sleep(5)", "invalid"),
            (f"def late():\n    yield\n    {NOTES}\n    time.sleep(60)", "passed"),
        ],
        ids=["of users", "of the test"],
    )
    def test_control_c_in_the_tear_down_keeps_what_was_measured(
        self, pytester: pytest.Pytester, fixture: str, verdict: str
    ) -> None:
        load = "@pytest.mark.ipload(users=2, iterations=3)\ndef test_load(late, ipload_user):\n    pass\n"
        process = self.start(pytester, f"@pytest.fixture\n{fixture}\n\n{load}")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == pytest.ExitCode.INTERRUPTED
        assert b"INTERNALERROR" not in output
        wait_until(lambda: not any(map(is_alive, self.workers(pytester))))
        [test] = json.loads((pytester.path / "out.json").read_text())["tests"]
        assert (test["verdict"], test["users"]) == (verdict, 2)

    def test_the_load_stops_when_the_controller_hangs(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTEST_IPLOAD_TEAM_TIMING", "beat=0.1,heartbeat=1.5")
        process = self.start(pytester)
        try:
            process.send_signal(signal.SIGSTOP)
            files = [pytester.path / f"gw{number}.pid" for number in range(2)]

            def is_quiet() -> bool:
                newest = max(file.stat().st_mtime for file in files)  # each iteration writes
                return time.time() - newest > 2

            wait_until(is_quiet)
        finally:
            process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert b"no heartbeat from the controller for 1.5 s" in output


class TestOrdinarySuites:
    @pytest.mark.parametrize("dist", ["load", "each"])
    def test_they_run_as_without_the_plugin(self, pytester: pytest.Pytester, dist: str) -> None:
        pytester.makepyfile(
            """
            import pytest

            @pytest.mark.parametrize("n", range(9))
            def test_it(n):
                assert n != 4
            """
        )
        lines = []
        for plugin in ((), ("-p", "no:ipload")):
            result = pytester.runpytest("-n2", f"--dist={dist}", "-v", *plugin)
            shown = [line.rpartition("%] ")[2].partition(" in ")[0] for line in result.outlines]
            lines.append({line for line in shown if not line.startswith(("plugins:", "[gw"))})
            times = 2 if dist == "each" else 1
            result.assert_outcomes(passed=8 * times, failed=times)
        assert lines[0] == lines[1]
        assert any(line.startswith("scheduling tests via") and "Team" not in line for line in lines[0])

    def test_a_project_may_have_a_scheduler_of_its_own(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(
            """
            from xdist.scheduler import LoadScheduling

            class Own(LoadScheduling):
                def schedule(self):
                    print("own scheduler")
                    super().schedule()

            def pytest_xdist_make_scheduler(config, log):
                return Own(config, log)
            """
        )
        run = team_run(pytester, LOAD + "\ndef test_ordinary(): pass\n", "-n2", "-s")
        run.expect(0, passed=2)
        run.expect_lines("own scheduler")
        assert len(run.tests["test_load"]["shards"]) == 2

    def test_different_collections_are_refused_as_ever(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.mark.parametrize("n", range(2 if worker() == "gw0" else 3))
            @pytest.mark.ipload(users=2)
            def test_load(ipload_user, n):
                pass
        """
        pytester.makepyfile(test_it=HEADER + dedent(source))
        result = pytester.runpytest("-n2")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*Different tests were collected between gw? and gw?*"])


class TestRefusals:
    def test_a_worker_with_another_version(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(
            """
            import os
            import pytest_ipload

            if os.environ.get("PYTEST_XDIST_WORKER") == "gw1":
                pytest_ipload.__version__ = "0.0.1"
            """
        )
        pytester.makepyfile(test_it=HEADER + LOAD)
        result = pytester.runpytest_subprocess("-n2")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            ["*worker gw1 runs pytest-ipload 0.0.1, the controller runs *install the same version*"]
        )

    def test_without_the_names_that_it_needs_load_tests_run_whole(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(
            """
            import xdist.workermanage

            del xdist.workermanage.WorkerController.send_steal
            """
        )
        run = team_run(pytester, LOAD, "-n2", deaths=True)
        run.expect(0, passed=1)
        assert "shards" not in run.tests["test_load"]
        run.expect_lines("ipload: WARNING: each load test runs whole on one worker*WorkerController.send_steal")

    @pytest.mark.parametrize("given", ["0", "-1", "many"])
    def test_a_bad_number_of_shards(self, pytester: pytest.Pytester, given: str) -> None:
        result = pytester.runpytest(f"--ipload-shards={given}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*--ipload-shards*"])


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Poll for what other processes do; there is no event to wait for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def is_alive(process: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return "State:\tZ" not in pathlib.Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
