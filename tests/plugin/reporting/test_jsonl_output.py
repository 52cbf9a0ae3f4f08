"""``--ipload-jsonl`` in whole runs: what is in the file is what the JSON report counts."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from support.certificates import Certificates
from support.http_server import RecordingServer
from support.whole_run import HEADER

from pytest_ipload.stats.spool.spool_format import SpoolWriter

OPTIONS = ("-p", "no:hypothesispytest", "--ipload-json=out.json", "--ipload-jsonl=out.jsonl")
LATENCY = ("http_req_duration", "http_req_connecting", "http_req_tls_handshaking")
EVERYTHING = """
    @pytest.fixture
    def shopper(ipload_user):
        with ipload_user.measure("POST /login"):
            pass
        yield ipload_user
        with ipload_user.measure("POST /logout"):
            pass

    @pytest.mark.ipload(users=4, duration="300ms", warmup="100ms", think_time="1ms-5ms")
    @pytest.mark.ipload_threshold("error_rate < 100%")
    def test_load(shopper):
        draw = shopper.random.random()
        with shopper.step("checkout"), shopper.measure("GET /cart"):
            threading.Event().wait(draw / 100)
        with shopper.measure("POST /orders"):
            if draw < 0.3:
                raise ValueError("no stock")
"""
LONG = """
    import os
    from pathlib import Path

    @pytest.mark.ipload(users=2, duration="60s", think_time="5ms")
    def test_load(ipload_user):
        with ipload_user.measure("GET /cart"):
            pass
        file = Path(os.environ.get("PYTEST_XDIST_WORKER", "main") + ".pid")
        if not file.exists():
            file.write_text(str(os.getpid()))
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files are made, by workers too; nothing is left there."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def run(pytester: pytest.Pytester, source: str, *args: str, **how: Any) -> pytest.RunResult:
    pytester.makepyfile(test_it=HEADER + dedent(source))
    return pytester.runpytest("-W", "error", *OPTIONS, *args, no_reraise_ctrlc=True, **how)


def reported() -> list[dict[str, Any]]:
    """The tests of the JSON report."""
    tests: list[dict[str, Any]] = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
    return tests


class Points:
    """The points of a file, once each line has been read."""

    def __init__(self, path: str = "out.jsonl") -> None:
        self.points: list[tuple[str, Any, dict[str, str], str]] = []
        declared: set[str] = set()
        for line in Path(path).read_text(encoding="ascii").splitlines():
            read = json.loads(line)
            if read["type"] == "Metric":
                assert read["metric"] not in declared
                declared.add(read["metric"])
            else:
                assert read["metric"] in declared
                data = read["data"]
                self.points.append((read["metric"], data["value"], data["tags"], data["time"]))

    def values(self, metric: str, phase: str | None = None, **tags: str) -> list[Any]:
        """The values of a metric's points in a phase; None is what was judged."""
        return [
            value
            for name, value, has, _ in self.points
            if name == metric and has.get("phase") == phase and tags.items() <= has.items()
        ]

    def latencies(self, **tags: str) -> list[float]:
        """Of the judged requests: all points of a request have the same time and tags."""
        found: defaultdict[tuple[str, str], float] = defaultdict(float)
        for name, value, has, time_ in self.points:
            if name in LATENCY and "phase" not in has and tags.items() <= has.items():
                found[time_, json.dumps(has)] += value
        return list(found.values())

    def counts(self) -> Counter[str]:
        """How many points there are of each metric."""
        return Counter(metric for metric, *_ in self.points)


def nearest_rank(values: list[float], quantile: float) -> float:
    return sorted(values)[max(0, math.ceil(quantile * len(values)) - 1)]


def check_against(test: dict[str, Any], points: Points) -> None:
    """Everything that both files tell of a test is the same."""
    of = {"scenario": test["nodeid"]}
    assert sum(points.values("http_reqs", **of)) == test["requests"]
    assert points.values("http_req_failed", **of).count(1) == test["failed_requests"]
    assert sum(points.values("iterations", **of)) == test["iterations"]
    assert len(points.values("iteration_duration", **of, outcome="failed")) == test["failed_iterations"]
    assert sum(points.values("http_reqs", "warmup", **of)) == test.get("warmup_requests", 0)
    assert sum(points.values("iterations", "warmup", **of)) == test.get("warmup_iterations", 0)
    assert sum(points.values("http_reqs", "setup", **of)) == sum(row["requests"] for row in test.get("setup", ()))
    assert points.values("vus", **of) == [second["users"] for second in test["timeline"]]
    for row in test["by_name"]:
        assert sum(points.values("http_reqs", **of, name=row["name"])) == row["requests"]
    for row in test["steps"]:
        assert len(points.values("group_duration", **of, group=f"::{row['name']}")) == row["count"]
    check_distribution(points.latencies(**of, expected_response="true"), test["latency"])
    if "response_time" in test:
        check_distribution(points.values("ipload_response_time", **of, expected_response="true"), test["response_time"])


def check_distribution(values: list[float], told: dict[str, Any]) -> None:
    """Percentiles within the histogram's error of 0.1 % or 0.5 us."""
    assert len(values) == told["count"]
    for name, quantile in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        assert told[name] == pytest.approx(nearest_rank(values, quantile), rel=1e-3, abs=5e-4)
    assert (told["min_ms"], told["max_ms"]) == (pytest.approx(min(values)), pytest.approx(max(values)))


class TestContent:
    @pytest.mark.usefixtures("xdist")
    @pytest.mark.parametrize("workers", ["-n0", "-n2"])
    def test_it_has_what_the_json_report_counts(self, pytester: pytest.Pytester, workers: str) -> None:
        """The second load is of the open model, which has response times and dropped iterations."""
        source = """
            @pytest.mark.ipload(arrival_rate="200/s", duration="300ms", max_users=2, graceful_stop="0s")
            @pytest.mark.ipload_threshold("error_rate < 100%")
            def test_open(ipload_user):
                with ipload_user.measure("GET /slow"):
                    threading.Event().wait(0.02)
        """
        result = run(pytester, dedent(EVERYTHING) + dedent(source), workers)
        points, tests = Points(), reported()
        closed, opened = sorted(tests, key=lambda test: str(test["nodeid"]))
        assert closed["verdict"] == "passed"
        assert closed["failed_requests"] > 0
        assert closed["warmup_requests"] > 0
        for test in tests:
            check_against(test, points)
        result.stdout.fnmatch_lines([f"ipload jsonl report: {pytester.path / 'out.jsonl'}"])
        of = {"scenario": opened["nodeid"]}
        assert opened["dropped_iterations"] > 0
        assert points.values("dropped_iterations", **of) == [opened["dropped_iterations"]]
        assert max(points.values("ipload_response_time", **of)) > max(points.values("http_req_duration", **of))

    def test_requests_have_their_status_and_their_source_address(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        source = """
            @pytest.mark.ipload(users=3, iterations=4, pool="127.0.5.1-127.0.5.3")
            def test_load(ipload_session):
                ipload_session.get("/")
                ipload_session.get("/missing", expect=404)
        """
        run(pytester, source, f"--ipload-base-url={demo_url}").assert_outcomes(passed=1)
        points, [test] = Points(), reported()
        check_against(test, points)
        assert len(points.values("http_reqs", name="GET /missing", status="404", method="GET")) == 12
        for row in test["by_source"]:
            assert len(points.values("http_reqs", source_address=row["source_address"])) == row["requests"] == 8

    def test_times_are_those_of_the_calendar(self, pytester: pytest.Pytester) -> None:
        before = time.time()
        run(pytester, EVERYTHING).assert_outcomes(passed=1)
        moments = [datetime.fromisoformat(moment[:23] + "+00:00").timestamp() for *_, moment in Points().points]
        assert before - 0.1 < min(moments) <= max(moments) < time.time() + 0.1
        started = datetime.fromisoformat(reported()[0]["started_at"]).timestamp()
        assert any(abs(moment - started) < 0.1 for moment in moments)

    def test_names_of_all_kinds(self, pytester: pytest.Pytester) -> None:
        names = ['a"b', "a\\b\n", "nul\0", "\u202eevil", "שלום", "\ud800", "%s {0}", "GET /" + "x" * 300]
        source = f"""
            @pytest.mark.ipload(users=2, iterations=2)
            def test_load(ipload_user):
                for name in {names!a}:
                    with ipload_user.step(name), ipload_user.measure(name):
                        pass
        """
        run(pytester, source).assert_outcomes(passed=1)
        points = Points()
        check_against(reported()[0], points)
        assert {tags["name"] for metric, _, tags, _ in points.points if metric == "http_reqs"} == set(names)

    def test_more_names_than_the_report_keeps_apart_are_all_there(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.mark.ipload(users=2, iterations=600)
            def test_load(ipload_user):
                with ipload_user.measure(f"GET /{ipload_user.index}/{ipload_user.iteration}"):
                    pass
        """
        run(pytester, source).assert_outcomes(passed=1)
        names = {tags["name"] for metric, _, tags, _ in Points().points if metric == "http_reqs"}
        assert len(names) == 1200
        assert "(other names)" in {row["name"] for row in reported()[0]["by_name"]}

    def test_faults_of_the_own_side_are_no_requests(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.mark.ipload(users=2, pool="192.0.2.1")
            def test_load(ipload_user):
                ipload_user.create_connection(("127.0.0.1", 1))
        """
        run(pytester, source, "--ipload-pool-check=off").assert_outcomes(failed=1)
        points, [test] = Points(), reported()
        assert {
            fault: len(points.values("ipload_faults", fault=fault)) for fault in test["generator"]["faults"]
        } == test["generator"]["faults"]
        assert test["generator"]["faults"]
        assert points.values("http_reqs") == []

    def test_all_tests_and_all_loads_of_a_test(self, pytester: pytest.Pytester) -> None:
        source = (
            EVERYTHING
            + EVERYTHING.replace("test_load", "test_again")
            + """
    def test_own(ipload):
        for users in (1, 2):
            ipload.run(lambda user: user.session and None, users=users, iterations=3)

    def test_ordinary():
        pass
"""
        )
        run(pytester, source).assert_outcomes(passed=4)
        points, tests = Points(), reported()
        for test in tests[:2]:
            check_against(test, points)
        assert [test["iterations"] for test in tests[2:]] == [3, 6]
        assert len(points.values("iterations", scenario="test_it.py::test_own")) == 9
        assert {tags["scenario"] for _, _, tags, _ in points.points} == {test["nodeid"] for test in tests}

    @pytest.mark.usefixtures("xdist")
    @pytest.mark.parametrize("how", [("--ipload-concurrent",), ("--dist=each",)])
    def test_loads_that_are_not_shared(self, pytester: pytest.Pytester, how: tuple[str, ...]) -> None:
        run(pytester, EVERYTHING, "-n2", *how)
        points, tests = Points(), reported()
        assert len(points.values("http_reqs")) == sum(test["requests"] for test in tests)
        assert len(tests) == (2 if how == ("--dist=each",) else 1)

    @pytest.mark.usefixtures("xdist")
    @pytest.mark.parametrize("workers", ["-n0", "-n2"])
    def test_all_rounds_are_there_and_can_be_told_apart(
        self, pytester: pytest.Pytester, demo_url: str, workers: str
    ) -> None:
        source = """
            @pytest.mark.ipload(users=2, iterations=5)
            def test_load(ipload_session):
                ipload_session.get("/")
        """
        other = demo_url.replace("127.0.0.1", "localhost")
        options = (f"--ipload-base-url={demo_url}", f"--ipload-against={other}", "--ipload-rounds=2")
        run(pytester, source, workers, *options)
        points, [test] = Points(), reported()
        for number, each in enumerate(test["rounds"], 1):
            assert len(points.values("http_reqs", round=str(number), role=each["role"])) == each["requests"] == 10
        assert points.counts()["http_reqs"] == 40
        which = {(tags["round"], tags["role"]) for metric, _, tags, _ in points.points if metric == "vus"}
        assert len(which) == 1

    def test_a_test_that_is_run_again_has_its_last_run(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("pytest_rerunfailures")
        source = """
            runs = []

            @pytest.mark.ipload(users=2)
            def test_load(ipload_user):
                runs.append(1)
                with ipload_user.measure(f"RUN {(len(runs) + 1) // 2}"):
                    pass
                assert len(runs) > 2
        """
        run(pytester, source, "-p", "rerunfailures", "--reruns=1").assert_outcomes(passed=1)
        points = Points()
        check_against(reported()[0], points)
        assert {tags["name"] for metric, _, tags, _ in points.points if metric == "http_reqs"} == {"RUN 2"}

    def test_a_test_without_a_result_has_no_points(self, pytester: pytest.Pytester) -> None:
        source = """
            @pytest.fixture
            def shopper(ipload_user):
                with ipload_user.measure("POST /login"):
                    assert ipload_user.index < 1

            @pytest.mark.ipload(users=2)
            def test_load(shopper):
                pass
        """
        run(pytester, source).assert_outcomes(errors=1)
        assert Path("out.jsonl").read_bytes() == b""


class TestEnds:
    @contextmanager
    def running(self, pytester: pytest.Pytester, *names: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
        """A session with a long load in processes of these names, and their ids, when all are at work."""
        pytester.makepyfile(test_it=HEADER + dedent(LONG))
        command = [sys.executable, "-m", "pytest", *OPTIONS, *([] if names == ("main",) else [f"-n{len(names)}"])]
        out: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, cwd=pytester.path, **out) as process:
            try:
                files = {name: pytester.path / f"{name}.pid" for name in names}
                give_up = time.monotonic() + 60
                while not all(file.exists() and file.read_text() for file in files.values()):
                    assert time.monotonic() < give_up
                    time.sleep(0.02)
                yield process, {name: int(file.read_text()) for name, file in files.items()}
            finally:
                process.kill()

    def test_ctrl_c(self, pytester: pytest.Pytester) -> None:
        with self.running(pytester, "main") as (process, _):
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)
        assert process.returncode == pytest.ExitCode.INTERRUPTED, output
        [test] = reported()
        assert test["requests"] > 0
        check_against(test, Points())

    @pytest.mark.usefixtures("xdist")
    def test_ctrl_c_with_workers(self, pytester: pytest.Pytester) -> None:
        with self.running(pytester, "gw0", "gw1") as (process, _):
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)
        assert process.returncode == pytest.ExitCode.INTERRUPTED, output
        [test] = reported()
        assert (len(test["shards"]), test["requests"] > 0) == (2, True)
        check_against(test, Points())

    @pytest.mark.usefixtures("xdist")
    def test_a_worker_that_is_lost_is_in_neither(self, pytester: pytest.Pytester) -> None:
        with self.running(pytester, "gw0", "gw1") as (process, pids):
            os.kill(pids["gw1"], signal.SIGKILL)
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 1, output
        [test] = reported()
        assert test["reason"].startswith("lost 1 of 2 workers")
        check_against(test, Points())


class TestWriting:
    def test_a_folder_is_refused_before_anything_runs(self, pytester: pytest.Pytester) -> None:
        result = run(pytester, EVERYTHING, f"--ipload-jsonl={pytester.mkdir('results')}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*--ipload-jsonl: *results is a directory; give the path of a file*"])

    @pytest.mark.parametrize("more", [(), ("-q",)])
    def test_a_path_that_cannot_be_written_is_said_and_makes_the_exit_code_red(
        self, pytester: pytest.Pytester, more: tuple[str, ...]
    ) -> None:
        late = f"from pathlib import Path\nPath('file').touch()\n{dedent(EVERYTHING)}"  # after the check of the path
        result = run(pytester, late, "--ipload-jsonl=file/out.jsonl", *more)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["--ipload-jsonl: not written: *file*"])
        result.stdout.no_fnmatch_line("*jsonl report*")

    def test_the_folders_above_are_made(self, pytester: pytest.Pytester) -> None:
        run(pytester, EVERYTHING, "--ipload-jsonl=new/er/out.jsonl").assert_outcomes(passed=1)
        check_against(reported()[0], Points("new/er/out.jsonl"))

    def test_collecting_writes_none(self, pytester: pytest.Pytester) -> None:
        run(pytester, EVERYTHING, "--collect-only")
        assert not Path("out.jsonl").exists()

    def test_without_load_tests_it_is_there_and_empty(self, pytester: pytest.Pytester) -> None:
        run(pytester, "def test(): pass").assert_outcomes(passed=1)
        assert Path("out.jsonl").read_bytes() == b""

    @pytest.mark.parametrize("method", ["__init__", "add", "close"])
    def test_samples_that_could_not_be_kept_are_said_and_make_the_exit_code_red(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, method: str
    ) -> None:
        own = getattr(SpoolWriter, method)

        def full(writer: SpoolWriter, *args: object) -> None:
            if method == "close":
                own(writer)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(SpoolWriter, method, full)
        result = run(pytester, EVERYTHING)
        result.assert_outcomes(passed=1)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        complaint = "the samples of test_it.py::test_load could not be stored: *No space left on device"
        result.stdout.fnmatch_lines([f"--ipload-jsonl: {complaint}"])
        assert Points().counts().keys() <= {"vus"}

    @pytest.mark.usefixtures("xdist")
    def test_workers_that_do_not_see_the_controllers_folder_write_a_file_of_their_own(
        self, pytester: pytest.Pytester
    ) -> None:
        conftest = """
            import pytest

            @pytest.hookimpl(trylast=True)
            def pytest_configure_node(node):
                if node.gateway.id == "gw1":
                    node.workerinput["ipload_spools"] = "/a/folder/of/another/machine"
        """
        pytester.makeconftest(dedent(conftest))
        result = run(pytester, EVERYTHING, "-n2")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(
            [
                f"ipload jsonl report: {pytester.path / 'out.jsonl'}",
                f"ipload jsonl report: {pytester.path / 'out.gw1.jsonl'} on * has the samples of gw1",
            ]
        )
        [test] = reported()
        here, there = Points(), Points("out.gw1.jsonl")
        by_shard = [shard["requests"] for shard in test["shards"]]
        assert [len(points.values("http_reqs")) for points in (here, there)] == by_shard
        assert here.counts()["vus"] == len(test["timeline"])
        assert there.counts()["vus"] == 0
        here.points += there.points
        check_against(test, here)

    @pytest.mark.usefixtures("xdist")
    def test_what_a_worker_cannot_write_is_said(self, pytester: pytest.Pytester) -> None:
        conftest = """
            from pytest_ipload.stats.spool.spool_format import SpoolWriter

            def full(*args):
                raise OSError(28, "No space left on device")

            def pytest_configure(config):
                if getattr(config, "workerinput", {}).get("workerid") == "gw1":
                    SpoolWriter.add = full
        """
        pytester.makeconftest(dedent(conftest))
        result = run(pytester, EVERYTHING, "-n2")
        result.assert_outcomes(passed=1)
        complaint = "the samples of test_it.py::test_load could not be stored: *No space left on device"
        result.stdout.fnmatch_lines([f"--ipload-jsonl: gw1: {complaint}"])


def test_connecting_and_tls_are_apart_from_the_duration(
    pytester: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each user opens one connection, and keeps it."""
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    with RecordingServer(tls=certificates.server_context()) as server:
        run(
            pytester,
            f"""
            @pytest.mark.ipload(users=2, iterations=3)
            def test_load(ipload_session):
                ipload_session.get({server.url("/hello")!r}, verify={certificates.ca!r})
            """,
        ).assert_outcomes(passed=1)
    (test,) = reported()
    points = Points()
    durations = points.values("http_req_duration")
    handshakes = points.values("http_req_tls_handshaking")
    assert sorted(handshakes)[:4] == [0] * 4
    assert min(sorted(handshakes)[4:]) > 0
    assert (len(durations), len(points.values("http_req_waiting"))) == (6, 2)
    check_distribution(points.latencies(), test["latency"])
    whole = sum(points.latencies())
    assert sum(points.values("http_req_blocked")) == pytest.approx(whole - sum(durations), abs=1e-3)
    assert sum(points.values("http_req_waiting") + points.values("http_req_receiving")) <= sum(durations)
