"""The benchmarks: their arithmetic, their servers, and very short runs. No test looks at a figure that was measured."""

from __future__ import annotations

import argparse
import http.client
import importlib.metadata
import itertools
import json
import math
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

if not sys.platform.startswith("linux"):
    pytest.skip("the benchmarks need Linux", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # the scripts find their modules beside themselves

import accuracy
import baseline_noise
import baselines
import capacity
import capacity_simulation
import distribution
import evidence_cost
import exact_server
import explain
import explain_power
import footprint
import get_floor
import get_steps
import intervals
import machine
import merge
import nginx as nginx_module
import options
import part_cost
import proc
import progress_cost
import starvation
import table
from child import ToolFailed, plain_environment, running
from growth import Growth, timeline
from held_users import Held, kib_per_user
from idle_plugin import Cost, Pair, differences
from paced import Report, parse_result
from queueing_server import Queue
from scenarios import SCENARIOS
from steady import Instant, Throughput, is_halted, task_seconds
from throughput import Results
from tools import TOOLS, Task, hey_complaint, k9_complaint, pytest_command, wrk_complaint

from pytest_ipload.verdict.threshold.remaining_load import Plan

ROOT = Path(__file__).parents[1]
SCRIPTS = ("throughput", "accuracy", "footprint", "http2")
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


@pytest.fixture
def compiler() -> None:
    """For tests that compile the exact server."""
    if shutil.which("cc") is None:
        message = f"cc is missing; install it with '{exact_server.INSTALL}'"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def run_script(script: str, *words: str) -> str:
    """What a benchmark prints to stdout."""
    command = [sys.executable, str(ROOT / "benchmarks" / f"{script}.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


_IN_SHORT = """
import runpy, sys
script, sys.argv = sys.argv[1], sys.argv[1:]
sys.path.insert(0, script.rpartition("/")[0])
import steady
steady.SETTLE_S, steady.MARGIN_S, steady.HALTED = 0.1, 1.5, 1000
runpy.run_path(script, run_name="__main__")
"""


def run_in_short(script: str, *words: str) -> str:
    """What a benchmark prints that waits little, and takes a busy machine for none that was halted.

    That it notices one that was is in a test of its own.
    """
    command = [sys.executable, "-c", _IN_SHORT, str(ROOT / "benchmarks" / f"{script}.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def rows(markdown: str) -> list[list[str]]:
    """The cells of all rows of the tables, without headers."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]
    heads = [index for index, row in enumerate(cells) if row[0] == "---"]
    return [row for index, row in enumerate(cells) if index not in heads and index + 1 not in heads]


# -- the simulation of capacity searches ------------------------------------------------------------------------


def test_the_simulated_queues_have_the_capacity_that_theory_says() -> None:
    target = capacity_simulation.TARGETS["M/M/1"]
    times = sorted(takes for _, takes, _ in target.serve(random.Random(1), 0.5, 60_000, 1.0))
    assert times[len(times) * 95 // 100] == pytest.approx(math.log(20) / (1 - 0.5), rel=0.05)
    assert math.log(20) / (1 - target.used) == pytest.approx(target.limit_s(1.0))


def test_a_simulated_search_is_judged_by_the_code_for_real_loads(capsys: pytest.CaptureFixture[str]) -> None:
    truth, result = capacity_simulation.search(random.Random(1), capacity_simulation.TARGETS["cliff"], 0.0)
    assert result.rate == pytest.approx(truth, rel=0.1)
    assert result.threshold in ("error_rate < 1%", "p95 < 100.000000ms")
    found = capacity_simulation.Found.of([(truth, result), (2 * truth, result)])
    assert found.held == 1
    row = found.row("cliff")
    assert (row[:2], len(row)) == (("cliff", "50.0 %"), len(capacity_simulation.HEADERS))
    row = capacity_simulation.kept([(truth, result)], "cliff")
    assert (row[:2], row[-1]) == (("cliff", "100 % / 0 %"), "0 % / 100 %")
    row = capacity_simulation.compared([(truth, result), (truth, result)], "cliff")
    assert (row[:3], row[-1]) == (("cliff", "100 %", "0 % / 0 %"), "100 % / 0 %")


# -- the command lines and the page -----------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_has_a_help_with_all_options_that_the_page_uses(script: str) -> None:
    shown = run_script(script, "--help")
    commands = re.findall(rf"python benchmarks/{script}\.py(.*)", PAGE)
    assert commands
    for option in re.findall(r"--[a-z-]+", " ".join(commands)):
        assert option in shown
    assert "--rounds" in shown


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_page_has_a_result_of_each_script_that_can_be_replaced(script: str) -> None:
    begin, end = f"<!-- results: {script} -->", f"<!-- end of results: {script} -->"
    assert PAGE.count(begin) == PAGE.count(end) == 1
    assert PAGE.index(begin) < PAGE.index(end)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (options.count, "0"),
        (options.count, "-1"),
        (options.count, "1.5"),
        (options.count, "²"),
        (options.counts, "1,,2"),
        (options.amount, "0"),
        (options.amount, "nan"),
        (options.amount, "inf"),
        (options.amount, "x"),
        (options.names(("a", "b")), "c"),
        (options.names(("a", "b")), "a,"),
        (options.names(("a", "b")), ""),
    ],
)
def test_bad_values_are_refused(read: object, text: str) -> None:
    assert callable(read)
    with pytest.raises(argparse.ArgumentTypeError, match=r"above zero|choose from a,b"):
        read(text)


def test_lists_come_in_an_order_of_their_own() -> None:
    assert options.names(("a", "b", "c"))("c, a") == ("a", "c")
    assert options.counts("500,50,500") == (50, 500)


# -- tables and figures -----------------------------------------------------------------------------------------


def test_a_table_is_markdown_with_numbers_on_the_right() -> None:
    expected = "| tool | rate |\n| --- | ---: |\n| a | 1 |\n| b | 2 |"
    assert table.markdown(("tool", "rate"), [["a", "1"], ["b", "2"]]) == expected
    with pytest.raises(ValueError, match="2 cells"):
        table.markdown(("tool", "rate"), [["a"]])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.123, "0.12"), (-0.5, "-0.50"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1234"), (71909, "71909")],
)
def test_numbers_have_the_digits_that_mean_something(value: float, text: str) -> None:
    assert table.number(value) == text


def test_spreads_and_ratios_say_when_there_is_nothing() -> None:
    assert table.spread([]) == table.ABSENT
    assert table.spread([5.0]) == "5.00"
    assert table.spread([1000.0, 3000.0, 2000.0]) == "2000 (1000-3000)"
    assert table.ratio(30.0, 10.0) == "3.00x"
    assert table.ratio(None, 10.0) == table.ratio(1.0, None) == table.ratio(1.0, 0.0) == table.ABSENT
    assert table.median([]) is None
    assert table.median([1.0, 9.0, 2.0]) == 2.0


@pytest.mark.parametrize(
    ("count", "percent", "value"),
    [(1, 50, 1), (10, 50, 5), (10, 90, 9), (10, 91, 10), (100, 99, 99), (1000, 99.9, 999), (10, 100, 10), (10, 0, 1)],
)
def test_a_percentile_is_the_value_at_the_nearest_rank(count: int, percent: float, value: float) -> None:
    assert distribution.percentile(list(range(1, count + 1)), percent) == value


@given(values=st.lists(st.integers(0, 50), min_size=1), percent=st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values: list[int], percent: int) -> None:
    enough = [value for value in values if sum(each <= value for each in values) * 100 >= percent * len(values)]
    assert distribution.percentile(sorted(values), percent) == min(enough)


def test_errors_are_differences_and_rounds_are_medians_of_all_but_the_largest() -> None:
    figures = distribution.figures([21.0, 20.5, 30.0, 20.25])
    assert figures == (20.5, 30.0, 30.0, 30.0)
    assert figures.minus(20.0) == (0.5, 10.0, 10.0, 10.0)
    three = [distribution.Figures(*values) for values in ((1, 2, 3, 9), (2, 4, 8, 10), (3, 3, 4, 11))]
    assert distribution.over_rounds(three) == (2, 3, 4, 11)
    with pytest.raises(ValueError, match="no values"):
        distribution.figures([])


def test_the_arithmetic_of_stalls_is_that_of_evenly_arriving_users() -> None:
    every, stall, delay = 10_000, 1_000, 20
    waits = sorted(max(delay, stall - at) for at in range(every))  # one user each millisecond
    for percent, value in zip((50, 90, 99, 100), distribution.of_stalls(delay, every, stall), strict=True):
        assert value == pytest.approx(distribution.percentile(waits, percent), abs=1)


# -- the system -------------------------------------------------------------------------------------------------


def write_process(folder: Path, pid: int, parent: int, ticks: tuple[int, int, int, int], command: str = "x") -> None:
    (folder / str(pid)).mkdir()
    fields = ["S", str(parent), *["0"] * 9, *map(str, ticks), *["0"] * 20]
    (folder / str(pid) / "stat").write_text(f"{pid} ({command}) {' '.join(fields)}\n")


def test_the_processor_time_of_a_tree_is_that_of_all_its_processes(tmp_path: Path) -> None:
    write_process(tmp_path, 10, 1, (1, 2, 3, 4), command="odd (name) 1 2")
    write_process(tmp_path, 11, 10, (100, 0, 0, 0))
    write_process(tmp_path, 12, 11, (0, 1000, 0, 0))
    write_process(tmp_path, 13, 1, (9999, 0, 0, 0))
    (tmp_path / "14").mkdir()  # it ended while its directory was read
    assert [stat.pid for stat in proc.process_tree(10, tmp_path)] == [10, 11, 12]
    assert proc.cpu_seconds(10, tmp_path) == pytest.approx(1110 / os.sysconf("SC_CLK_TCK"))
    assert proc.cpu_seconds(99, tmp_path) == 0


def test_processor_time_and_memory_of_this_process_can_be_read() -> None:
    assert proc.parse_stat(Path("/proc/self/stat").read_text())[:2] == (os.getpid(), os.getppid())
    cpu, until = proc.cpu_seconds(os.getpid()), time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert proc.cpu_seconds(os.getpid()) > cpu
    assert proc.resident_kib(os.getpid()) > 1000
    assert proc.core_seconds(min(os.sched_getaffinity(0))) > 0


def test_a_cores_time_is_that_of_processes_and_of_other_machines(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text(
        "cpu 9 9 9 9 9 9 9 9 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\ncpu1 1 20 300 7 7 7 7 4000 7 7\n"
    )
    assert proc.core_seconds(1, tmp_path) == pytest.approx(4321 / os.sysconf("SC_CLK_TCK"))
    with pytest.raises(ValueError, match="no core 2"):
        proc.core_seconds(2, tmp_path)


def test_a_process_that_is_gone_has_no_memory(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name:\tx\nState:\tZ (zombie)\n")
    with pytest.raises(ProcessLookupError, match="7"):
        proc.resident_kib(7, tmp_path)


def test_server_and_tools_have_cores_of_their_own_if_there_are_two() -> None:
    assert machine.choose_cores({5, 3, 9}) == machine.Cores(3, 5, frozenset({3, 5, 9}))
    assert "server on core 3, tools on core 5" in machine.Cores(3, 5).as_text()
    alone = machine.choose_cores({4})
    assert alone.shared
    assert "share core 4" in alone.as_text()


def test_a_block_on_a_core_ends_on_all_that_were_allowed() -> None:
    before = os.sched_getaffinity(0)
    with machine.on_cores({min(before)}):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


def test_the_machine_and_the_versions_are_told() -> None:
    told = machine.describe(machine.Cores(0, 1), ("no-such-program",))
    for part in ("cores", "Python 3.", "pytest-ipload ", "requests ", "load average"):
        assert part in told
    assert "no-such-program" not in told
    assert machine.cpu_model("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n") == "Some CPU @ 3 GHz"


def test_tools_get_no_proxy_and_no_options_of_other_runs() -> None:
    given_ = dict.fromkeys(
        ("HOME", "http_proxy", "NO_PROXY", "PYTEST_ADDOPTS", "LOCUST_USERS", "REQUESTS_CA_BUNDLE"), "x"
    )
    assert plain_environment(given_) == {"HOME": "x"}


def test_the_runs_have_this_plugin_and_no_other() -> None:
    left_out = pytest_command("test_x.py")
    installed = {point.name for point in importlib.metadata.entry_points(group="pytest11")}
    assert "hypothesispytest" in installed
    assert {f"-pno:{name}" for name in installed} - set(left_out) == {"-pno:ipload"}


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not any more."""
    try:
        return re.search(r"^State:\s+[ZX]", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE) is None
    except FileNotFoundError:
        return False


def test_a_child_ends_with_its_block_and_takes_along_what_it_started(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    command = ["sh", "-c", "sleep 100 & echo started $HOW; wait"]
    with running("shell", command, core, tmp_path, {"HOW": "well"}) as child:
        child.wait_until(lambda: "started well" in child.output(), "it started")
        pids = [stat.pid for stat in proc.process_tree(child.pid)]
        assert len(pids) == 2
        assert os.sched_getaffinity(pids[1]) == {core}
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline


def test_the_wait_for_a_child_has_a_limit_and_gives_the_exit_code(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    with running("shell", ["sh", "-c", "read line; exit 7"], core, tmp_path) as child:
        with pytest.raises(ToolFailed, match=r"shell did not end within 0\.01 s"):
            child.wait(0.01)
        child.close_stdin()
        assert child.wait(10) == 7
        assert child.wait(10) == 7


def test_a_child_that_ends_too_early_is_a_failure_with_its_last_words(tmp_path: Path) -> None:
    with (
        running("shell", ["sh", "-c", "echo out of luck; exit 3"], min(os.sched_getaffinity(0)), tmp_path) as child,
        pytest.raises(ToolFailed, match=r"(?s)shell ended with exit code 3 before it was ready.*out of luck") as caught,
    ):
        child.wait_until(lambda: False, "it was ready")
    assert "luck" not in caught.value.summary


# -- what tools and servers say ---------------------------------------------------------------------------------

STATUS = "Active connections: 51 \nserver accepts handled requests\n 60 60 12345 \nReading: 0 Writing: 1 Waiting: 50 \n"


def test_the_page_of_stub_status_is_read() -> None:
    assert nginx_module.parse_status(STATUS) == (51, 12345)
    with pytest.raises(ValueError, match="not a page of stub_status"):
        nginx_module.parse_status("<html>404</html>")


def test_failed_requests_of_tools_that_exit_with_zero_are_noticed() -> None:
    fine = "Status code distribution:\n  [200]\t1000 responses\n"
    assert hey_complaint(fine) is None
    assert hey_complaint(fine + "  [503]\t1 responses\n") is not None
    assert hey_complaint(fine + "Error distribution:\n  [1]\tGet: refused\n") is not None
    assert hey_complaint("") is not None
    assert wrk_complaint("  100 requests in 1s\n") is None
    assert wrk_complaint("  Non-2xx or 3xx responses: 7\n") == "Non-2xx or 3xx responses: 7"
    assert wrk_complaint("  Socket errors: connect 0, read 3, write 0, timeout 0\n") is not None
    assert k9_complaint("     http_req_failed......: 0.00% ✓ 0\n") is None
    assert k9_complaint("     http_req_failed......: 0.00% ✓ 0\nERROR script raised 8×: AssertionError\n") is not None
    assert k9_complaint("") is not None


def test_the_exact_server_tells_how_late_it_was() -> None:
    late = exact_server.parse_report(
        'port 1\n{"replies": 9, "stalled": 1, "fifo": true, "late_us": {"p50": 1, "p99": 2, "max": 3.5}}\n'
    )
    assert late == exact_server.Lateness(9, True, 1, 2, 3.5)
    assert exact_server.parse_report('{"replies": 0, "stalled": 0, "fifo": false}\n').replies == 0
    with pytest.raises(ValueError, match="did not report"):
        exact_server.parse_report("port 1\n")


def test_the_figures_of_a_load_test_are_those_of_its_json() -> None:
    latency = {"count": 9, "min_ms": 0.5, "p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0, "max_ms": 4.0}
    test = {"verdict": "passed", "reason": "", "rps": 100.0, "latency": latency}
    report = parse_result(json.dumps({"tests": [test]}))
    assert report == Report(distribution.Figures(1, 2, 3, 4), 0.5, 100.0, None, "")
    spoiled = {**test, "verdict": "invalid", "reason": "too slow", "response_time": {**latency, "max_ms": 9.0}}
    with pytest.raises(ValueError, match="not enough values"):
        parse_result('{"tests": []}')
    report = parse_result(json.dumps({"tests": [spoiled]}))
    assert report.note == "invalid: too slow"
    assert report.response_time == (1, 2, 3, 9)


# -- results ----------------------------------------------------------------------------------------------------


def test_throughput_is_what_happened_between_two_instants() -> None:
    begin, end = Instant(10.0, 1000, 1.0, 5.0, 100.0), Instant(12.0, 3000, 2.0, 6.5, 101.5)
    assert Throughput.between(begin, end, machine.Cores(0, 1)) == Throughput(1000.0, 500.0, 0.75, 0.25)
    assert Throughput.between(begin, end, machine.Cores(0, 0)).foreign_share == 0
    with pytest.raises(ValueError, match="0 requests"):
        Throughput.between(begin, begin, machine.Cores(0, 1))


def test_a_measurement_that_was_halted_is_noticed() -> None:
    begin = Instant(10.0, 0, 0.0, 0.0, 0.0)
    assert not is_halted(begin, replace(begin, seconds=12.1), 2.0)
    assert is_halted(begin, replace(begin, seconds=70.0), 2.0)


@given(seconds=st.floats(0.1, 100))
def test_a_tool_runs_longer_than_it_is_measured_and_for_whole_seconds(seconds: float) -> None:
    lasts = task_seconds(seconds)
    assert math.isclose(lasts, round(lasts))
    assert 2 <= lasts - seconds <= 3.01


def test_the_table_of_a_scenario_compares_with_plain_requests_and_with_ours() -> None:
    results = Results(SCENARIOS[0])
    results.rounds = {
        "pytest-ipload": [Throughput(rate, 20.0, 0.5, 0.0) for rate in (30000.0, 10000.0, 20000.0)],
        "requests": [Throughput(1000.0, 900.0, 0.1, 0.3)],
        "wrk": [Throughput(100000.0, 6.0, 0.99, 0.0)],
        "hey": [],
    }
    shown = results.as_markdown()
    assert rows(shown) == [
        ["**pytest-ipload**", "20000 (10000-30000)", "20.0 (20.0-20.0)", "20.0x", "1.00x"],
        ["requests.Session, threads", "1000", "900", "1.00x", "20.0x"],
        ["wrk", "100000", "6.00", "100x", "0.20x"],
        ["hey", "-", "-", "-", "-"],
    ]
    assert "wrk: nginx used 99% of its core" in shown
    assert "in the worst round of requests.Session, threads 30%." in shown


def test_each_scenario_has_tools_and_a_body_in_the_load_tests() -> None:
    bodies = (ROOT / "benchmarks" / "bodies" / "load_tests.py").read_text(encoding="utf-8")
    for scenario in SCENARIOS:
        assert set(scenario.tools) <= set(TOOLS)
        assert f"def test_{scenario.test}(" in bodies


def test_memory_per_user_is_the_difference_from_one_user() -> None:
    assert kib_per_user(Held(101, 1.0, 9000), Held(1, 0.5, 5000)) == 40
    with pytest.raises(ValueError, match="not more"):
        kib_per_user(Held(1, 1.0, 9000), Held(1, 0.5, 5000))


def test_a_run_that_fails_is_noted_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def hold(tool: str, users: int, *_: object) -> Held:
        if users == 50:
            raise ToolFailed("it fell over", "its last words")
        return Held(users, 1.0, 4096 + users * 40)

    monkeypatch.setattr(footprint, "hold", hold)
    nginx_ = nginx_module.Nginx(None, nginx_module.Ports(1, 2, 3, 4), "")  # type: ignore[arg-type]  # hold is replaced
    bench = footprint.Bench(footprint.parse(["--rounds=2"]), machine.Cores(0, 1), Path(), nginx_)
    shown = footprint.user_rows(bench, "requests", (1, 50, 101))
    assert [row[1:] for row in shown] == [
        ["1", "4.04 (4.04-4.04)", "-", "1.00 (1.00-1.00)"],
        ["50", "-", "-", "-"],
        ["101", "7.95 (7.95-7.95)", "40.0 (40.0-40.0)", "1.00 (1.00-1.00)"],
    ]
    assert bench.failures == ["- users, round 1: it fell over.", "- users, round 2: it fell over."]


def measured(tool: str, p99: float, foreign_share: float = 0.0) -> accuracy.Results:
    """One round of a tool that reported 20 ms and more, of a server that was late by 20 us."""
    figures = distribution.Figures(20.5, 21.0, 20 + p99, 30.0)
    report = Report(figures, 19.5, 199.6, foreign_share=foreign_share)
    return accuracy.Results(accuracy.WORKLOADS[0], tool, [report], [exact_server.Lateness(9, True, 10, 20, 30)])


def test_the_row_of_a_load_shows_errors_and_disturbances_are_noted() -> None:
    results, ours = measured("locust-fast", 4.0, foreign_share=0.3), measured("pytest-ipload", 0.5)
    assert results.row(ours) == [
        *("200/s", "Locust FastHttpUser", "200", "-0.50", "0.50", "1.00", "4.00", "10.0", "8.00x", "20.0", "30.0")
    ]
    assert "30% of the tool's core" in " ".join(results.notes(machine.Cores(0, 1)))
    assert results.notes(machine.Cores(0, 0)) == []  # there, the server is one of the others
    results.lateness.append(exact_server.Lateness(9, True, 10, 20, 84.6e6))
    assert "late by up to 84.6 s; measure this row again" in " ".join(results.notes(machine.Cores(0, 1)))
    assert accuracy.Results(accuracy.WORKLOADS[0], "requests").row(ours)[2:] == ["-"] * 9


@pytest.mark.parametrize(
    ("theirs", "ours", "shown"),
    [
        (4.0, 0.5, "8.00x"),
        (4.0, 0.001, "> 200x"),  # no better than the 20 us of the server
        (4.0, -0.001, "> 200x"),
        (0.01, 0.001, "-"),
    ],
)
def test_a_ratio_to_an_error_that_cannot_be_resolved_is_a_lower_bound(theirs: float, ours: float, shown: str) -> None:
    assert measured("requests", theirs).by_ours(measured("pytest-ipload", ours)) == shown
    assert measured("requests", theirs).by_ours(None) == "-"


def test_growth_counts_from_the_tenth_second() -> None:
    grown = Growth(tuple([1000] * 10 + [2000] * 50 + [2500]), requests=7)
    assert (grown.start, grown.grown) == (2000, 500)
    assert Growth((1, 5, 6), requests=7).grown == 1  # a load too short for that: its second half
    assert timeline([1024 * second for second in range(13)], points=3) == "0 s: 0.0, 6 s: 6.0, 12 s: 12.0"


def test_the_cost_of_an_idle_plugin_is_the_median_of_differences() -> None:
    pairs = [Pair(Cost(base, base), Cost(base + more, base + 2 * more)) for base, more in ((100, 5), (200, 1), (50, 9))]
    assert differences(pairs) == (5, 10)


def judged(verdict: str, p95: float | None = 20.0) -> dict[str, Any]:
    """What is looked at of a load's entry in the JSON report."""
    latency = {"count": 1, **({} if p95 is None else {"p95_ms": p95})}
    return {"verdict": verdict, "latency": latency, "response_time": latency, "generator": {"lateness": latency}}


def test_a_starved_generator_may_give_any_verdict_but_failed() -> None:
    way = starvation.STARVED[0]
    results = starvation.Results(way, [judged("passed"), judged("invalid", 400.0), judged("passed", None)])
    assert results.row() == [way.name, "2", "1", "0", "400", "400", "400"]
    assert results.is_good
    results.tests.append(judged("failed"))
    assert not results.is_good
    assert not starvation.Results(way, [judged("passed")], ["it fell over"]).is_good
    assert not starvation.Results(way).is_good


def test_of_a_slow_target_any_verdict_but_invalid() -> None:
    assert starvation.Results(starvation.SLOW, [judged("failed"), judged("passed")]).is_good
    assert not starvation.Results(starvation.SLOW, [judged("failed"), judged("invalid")]).is_good


def test_the_generator_is_starved_in_six_ways_that_the_load_tests_know() -> None:
    bodies = (ROOT / "benchmarks" / "bodies" / "starved_load_test.py").read_text(encoding="utf-8")
    assert len(starvation.STARVED) == 6
    assert all(f"def test_{way.test}(" in bodies for way in (*starvation.STARVED, starvation.SLOW))


def test_a_load_of_a_starved_generator_is_run_and_judged(compiler: None, tmp_path: Path) -> None:
    cores = machine.choose_cores(os.sched_getaffinity(0))
    results = starvation.Results(starvation.STARVED[-1])
    starvation.Benchmark(cores, tmp_path).run(results, 0)
    assert results.failures == []
    (test,) = results.tests
    assert (test["iterations"], test["profile"]["users"]) == (200, 200)
    assert "| passed | invalid | failed |" in starvation.as_markdown([results], "- head")


# -- the servers ------------------------------------------------------------------------------------------------


def test_what_live_numbers_add_is_a_difference_within_a_round() -> None:
    off, line, both = progress_cost.WAYS
    shown = progress_cost.as_markdown(
        {
            off: [Throughput(1000.0, cpu_us, 0.1, 0.0) for cpu_us in (20.0, 40.0, 25.0)],
            line: [Throughput(900.0, cpu_us, 0.1, 0.0) for cpu_us in (20.2, 39.6, 25.5)],
            both: [Throughput(800.0, cpu_us, 0.1, 0.0) for cpu_us in (21.0, 42.0, 27.5)],
        }
    )
    assert rows(shown) == [
        ["off", "1000 (1000-1000)", "25.0 (20.0-40.0)", "-"],
        ["a line in the terminal", "900 (900-900)", "25.5 (20.2-39.6)", "+1.0 % (-1.0 to +2.0)"],
        ["a line, and Prometheus", "800 (800-800)", "27.5 (21.0-42.0)", "+5.0 % (+5.0 to +10.0)"],
    ]


def test_the_ways_to_show_a_load_all_run_in_a_terminal() -> None:
    command = progress_cost.in_terminal("off").command
    nginx_ = nginx_module.Nginx(None, nginx_module.Ports(1, 2, 3, 4), "")  # type: ignore[arg-type]  # nobody asks it
    words = command(Task(SCENARIOS[0], nginx_, users=5, seconds=3.0))
    assert words[:2] == [sys.executable, "-c"]
    assert words[-1] == "--ipload-progress=off"
    told = [*words[:3], sys.executable, "-c", "import sys; print(sys.stdout.isatty()); sys.exit(3)"]
    done = subprocess.run(told, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (3, "True")


def test_nginx_counts_the_requests_of_others_and_keeps_or_closes_connections(nginx: str, tmp_path: Path) -> None:
    with nginx_module.running_nginx(min(os.sched_getaffinity(0)), tmp_path) as server:
        context = ssl.create_default_context(cafile=server.certificate)
        assert server.status() == server.status() == (0, 0)
        for port, secure, keeps in (
            (server.ports.http, False, True),
            (server.ports.https, True, True),
            (server.ports.closing, True, False),
        ):
            before = server.status().requests
            connection = (
                http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
                if secure
                else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            )
            connection.request("GET", "/cookie-changing" if keeps else "/small")
            reply = connection.getresponse()
            assert (reply.status, reply.read().decode()) == (200, nginx_module.REPLY)
            assert (reply.headers.get("Set-Cookie") is not None) == keeps
            assert (connection.sock is not None) == keeps
            connection.close()
            assert server.status().requests == before + 1
    assert not server.child.is_running


def test_the_exact_server_never_answers_early_and_counts_its_replies(compiler: None, tmp_path: Path) -> None:
    binary = exact_server.compile_server(tmp_path)
    with exact_server.running_server(binary, min(os.sched_getaffinity(0)), tmp_path, delay_ms=20) as server:
        with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=10) as sock:
            for part in (b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r", b"\nGET / HTTP/1.1\r\n"):
                started = time.perf_counter()
                sock.sendall(part)
            reply = sock.recv(1000)
            assert time.perf_counter() - started >= 0.0199  # two clocks, both in nanoseconds
            assert reply.endswith(b"\r\n\r\nok")
            sock.sendall(b"\r\n")
            assert sock.recv(1000) == reply
        late = server.end()
    assert late.replies == 2
    assert 0 <= late.p50_us <= late.p99_us <= late.max_us


def test_the_exact_server_is_as_exact_under_tls(compiler: None, tmp_path: Path) -> None:
    nginx_module.write_certificates(tmp_path)
    binary = exact_server.compile_server(tmp_path, tls=True)
    core, certificate = min(os.sched_getaffinity(0)), tmp_path / "both.pem"
    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with exact_server.running_server(binary, core, tmp_path, delay_ms=20, certificate=certificate) as server:
        port = int(server.url.removeprefix("https://127.0.0.1:"))
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trust)
        connection.connect()
        for _ in range(2):
            started = time.perf_counter()
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"ok"
            assert time.perf_counter() - started >= 0.0199
        connection.close()
        late = server.end()
    assert late.replies == 2


def test_the_exact_server_stalls_when_asked_to(compiler: None, tmp_path: Path) -> None:
    binary = exact_server.compile_server(tmp_path)
    core = min(os.sched_getaffinity(0))
    with exact_server.running_server(binary, core, tmp_path, delay_ms=1, stall=(0.4, 0.1)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rsplit(":", 1)[1]), timeout=10)
        # The first stall is 0.2 s after the first request; who is halted himself may miss one.
        slowest, until = 0.0, time.perf_counter() + 10
        while slowest < 0.09 and time.perf_counter() < until:
            started = time.perf_counter()
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"ok"
            slowest = max(slowest, time.perf_counter() - started)
        connection.close()
    assert slowest >= 0.09


# -- very short runs --------------------------------------------------------------------------------------------


def test_a_short_run_of_throughput_gives_its_table(nginx: str) -> None:
    result = run_in_short(
        "throughput", "--rounds=1", "--seconds=0.3", "--scenarios=get", "--only=pytest-ipload,requests", "--users=5"
    )
    assert result.startswith("<!-- results: throughput -->")
    ours, plain = rows(result)
    assert (ours[0], plain[0]) == ("**pytest-ipload**", "requests.Session, threads")
    assert all(float(cell.rstrip("x")) > 0 for row in (ours, plain) for cell in row[1:])


def test_a_short_run_of_accuracy_on_one_core_gives_its_table_and_says_so(compiler: None) -> None:
    with machine.on_cores({min(os.sched_getaffinity(0))}):
        result = run_script("accuracy", "--rounds=1", "--seconds=1", "--workloads=200/s", "--only=pytest-ipload")
    assert "server and tools share core" in result
    row, response = rows(result)
    assert (row[:2], response[:2]) == (["200/s", "**pytest-ipload**"], ["200/s", "**pytest-ipload**, response time"])
    assert all(float(cell.rstrip("x")) > -1 for cell in row[2:] + response[4:8])


def test_a_short_run_of_footprint_gives_its_tables(nginx: str) -> None:
    result = run_in_short(
        "footprint",
        *("--rounds=1", "--seconds=0.1", "--users=3", "--only=pytest-ipload"),
        *("--parts=users,growth,costs,idle", "--minutes=0.05", "--count=500", "--pairs=1"),
    )
    shown = rows(result)
    assert [row[:2] for row in shown[:2]] == [["**pytest-ipload**", "1"], ["**pytest-ipload**", "3"]]
    assert all(float(value) > 0 for _, value in shown[2:6])
    assert "50 users, 3 s" in result
    assert shown[-1][0] == "median difference in a pair"


def test_a_short_run_of_jsonl_cost_gives_its_tables(nginx: str) -> None:
    result = run_in_short("jsonl_cost", "--rounds=1", "--seconds=0.3", "--users=3", "--requests=1000")
    shown = {name: cells for name, *cells in rows(result)}
    assert float(shown["without"][1]) > 0
    assert float(shown["with `--ipload-jsonl`"][1]) > 0
    assert 0 < float(shown["samples on disk before, MiB"][0]) < float(shown["the file, MiB"][0])


def test_a_short_run_of_http2_gives_its_table(nginx: str) -> None:
    result = run_in_short("http2", "--rounds=1", "--requests=20")
    shown = {name: cells for name, *cells in rows(result)}
    assert shown["pycurl alone, HTTP/2"][1] == "1.00x"
    assert all(float(cell.split()[0].rstrip("x")) > 0 for cells in shown.values() for cell in cells)
    assert len(shown) == 4


@pytest.mark.parametrize(
    ("sent", "code", "says"),
    [
        (signal.SIGINT, 128 + signal.SIGINT, "interrupted"),
        (signal.SIGTERM, 128 + signal.SIGTERM, ""),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
def test_a_script_that_is_ended_leaves_nothing_behind(
    nginx: str, tmp_path: Path, sent: signal.Signals, code: int, says: str
) -> None:
    if sent == signal.SIGKILL and machine.program("setpriv") is None:
        pytest.skip("setpriv is missing; install it with 'apt-get install util-linux'")
    command = [sys.executable, str(ROOT / "benchmarks" / "throughput.py"), "--only=requests", "--seconds=60"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # who is killed cannot remove its files
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as script:
        deadline = time.monotonic() + 60
        # The script, nginx with its worker, and the tool.
        while len(processes := [stat.pid for stat in proc.process_tree(script.pid)]) < 4:
            assert script.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)  # other processes start; there is no event to wait for
        script.send_signal(sent)
        _, said = script.communicate(timeout=30)
    assert script.returncode == code
    assert says in said
    assert sent == signal.SIGKILL or not list(tmp_path.iterdir())
    while any(map(is_alive, processes)):
        assert time.monotonic() < deadline


# -- the rules for baselines ------------------------------------------------------------------------------------


class TestIntervals:
    """Simulated loads, made by a seed: so these shares are the same each time."""

    def test_they_hold_the_truth_where_those_of_independent_requests_do_not(self) -> None:
        noise = intervals.NOISES["AR(1), 0.9 per 100 requests, sd 10 %"]
        _, p95, _ = intervals.of_latencies(noise, 12, random.Random(1))
        assert (p95.ours.loads, p95.independent.loads) == (12, 12)
        assert p95.ours.hits >= 10 > p95.independent.hits

    def test_so_they_do_for_errors_in_bursts(self) -> None:
        errors = intervals.of_errors(10, 20, random.Random(1))
        assert errors.ours.hits >= 18 > errors.independent.hits
        assert errors.fails.hits <= 1

    @pytest.mark.parametrize("plan", [Plan(ends_s=60.0), Plan(iterations=6000, ends_s=60.0)])
    def test_a_load_that_would_pass_is_not_broken_off(self, plan: Plan) -> None:
        noise = intervals.ABORT_NOISES["AR(1), 0.9 per second, sd 10 %"]
        near = intervals.of_aborts(noise, 0.05, plan, 4, random.Random(1))
        assert (near.wrongly.hits, near.wrongly.loads) == (0, 4)
        far = intervals.of_aborts(noise, -0.3, plan, 2, random.Random(1))
        assert far.aborted.hits == far.failed.hits == 2
        assert max(far.seconds) <= 30

    @pytest.mark.parametrize("name", intervals.NOISES)
    def test_the_truth_is_the_quantile_of_what_is_drawn(self, name: str) -> None:
        noise = replace(intervals.NOISES[name], block=1, memory=0.0)  # alike ones are drawn as often
        drawn = noise.latencies_ns(random.Random(2), 20_000)
        for q in intervals.QUANTILES:
            truth = noise.true_ms(q) * 1e6
            assert abs(sum(ns <= truth for ns in drawn) / len(drawn) - q) < 0.01, q

    @pytest.mark.parametrize("burst", intervals.BURSTS)
    def test_errors_come_in_bursts(self, burst: int) -> None:
        failed = intervals.failures(random.Random(3), burst, 200_000)
        assert sum(failed) / len(failed) == pytest.approx(intervals.ERRORS, rel=0.2)
        begins = sum(now and not before for before, now in zip([False, *failed], failed, strict=False))
        assert sum(failed) / begins == pytest.approx(burst, rel=0.3)

    @pytest.mark.parametrize(
        ("what", "names"), [("intervals", intervals.NOISES), ("aborts", intervals.ABORT_NOISES)], ids=["ends", "aborts"]
    )
    def test_the_page_shows_a_whole_run(self, what: str, names: Mapping[str, intervals.Noise]) -> None:
        page = (ROOT / "docs" / "thresholds.md").read_text(encoding="utf-8")
        shown = page.partition(f"<!-- results: {what} -->")[2].partition(f"<!-- end of results: {what} -->")[0]
        assert "300 simulated loads of 60 s (seed 1)" in shown
        for name in names:
            assert f"| {name} |" in shown

    def test_the_script_prints_both(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(intervals, "REQUESTS", 1200)
        monkeypatch.setattr(intervals, "MARGINS", (0.05,))
        intervals.main(["--loads", "1"])
        printed = capsys.readouterr().out
        assert [f"<!-- results: {name} -->" in printed for name in ("intervals", "aborts")] == [True, True]
        assert all(f"| {name} |" in printed for name in (*intervals.NOISES, *intervals.ABORT_NOISES))


def test_the_rules_for_baselines_find_what_is_there_and_little_else() -> None:
    few = baselines.Simulation(seconds=4, requests_per_s=25)
    no_change, large = (baselines.shares(few, change, 20, seed=1) for change in (0.0, 1.0))
    assert set(large.values()) == {1.0}
    ours = [name for name in baselines.RULES if name.endswith(("beyond all of them", "10 % and Mann-Whitney"))]
    assert len(ours) == 6
    assert max(no_change[name] for name in ours) <= 0.1


def test_the_same_seed_makes_the_same_runs() -> None:
    tiny = baselines.Simulation(seconds=2, requests_per_s=5)
    one, other, third = (next(baselines.comparisons(tiny, 0.0, 1, seed)) for seed in (1, 1, 2))
    assert one == other != third
    assert (len(one.current), len(one.base), len(one.base[0])) == (baselines.MOST_ROUNDS, baselines.MOST_SAVED, 10)


def test_the_page_has_their_table() -> None:
    page = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")
    begin, end = "<!-- results: baselines -->", "<!-- end of results: baselines -->"
    assert page.count(begin) == page.count(end) == 1
    shown = page.partition(begin)[2].partition(end)[0]
    assert [row[0] for row in rows(shown)] == list(baselines.RULES)
    printed = run_script("baselines", "--comparisons", "1")
    assert [row[0] for row in rows(printed)] == list(baselines.RULES)
    figures = {row[0]: [float(cell.removesuffix(" %")) for cell in row[1:]] for row in rows(shown)}
    false_alarms, _, found, _ = figures["5 rounds a side, limit 10 % and Mann-Whitney"]
    assert false_alarms <= 5
    assert found >= 90
    false_alarms, _, found, _ = figures["10 saved runs, limit 10 % and beyond all of them"]
    assert false_alarms <= 3
    assert found >= 50


def test_the_page_has_the_tables_of_noise() -> None:
    page = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")
    printed = run_script("baseline_noise", "--comparisons", "1")
    for name in ("noise", "sessions", "creep"):
        begin, end = f"<!-- results: {name} -->", f"<!-- end of results: {name} -->"
        shown, fresh = (text.partition(begin)[2].partition(end)[0] for text in (page, printed))
        assert [row[:2] for row in rows(shown)] == [row[:2] for row in rows(fresh)]
        assert rows(shown)


def test_noise_of_two_humps_raises_few_false_alarms_and_a_creep_is_found() -> None:
    rng = random.Random(1)
    humps = baseline_noise.Noise(0.03, slow=0.3)
    cells = [cell.removesuffix(" %") for cell in baseline_noise.noise_row(humps, 20, 300, rng)[2:]]
    false_alarms, *_, by_deviations = map(float, cells)
    assert false_alarms <= 3 < 10 <= by_deviations
    first = next(baseline_noise.red_runs(baseline_noise.Noise(0.02), 0.01, rng))
    assert 1.01**first < 1.4


# -- streams ----------------------------------------------------------------------------------------------------


def test_the_benchmark_of_streams_counts_the_events_of_both_sides() -> None:
    printed = run_script("streams", "--users=2", "--events=5", "--rounds=2")
    assert "- events: 20 of 20\n- cpu: " in printed
    assert [row[0] for row in rows(printed)] == [
        *("gap, server's log", "gap, reported", "first event, server's log", "first event, reported")
    ]


# -- the cost of a part -----------------------------------------------------------------------------------------


def test_a_made_up_part_is_the_same_each_time_and_has_what_is_asked_for() -> None:
    part = part_cost.part_of(5, 2)
    assert part.to_plain() == part_cost.part_of(5, 2).to_plain() != part_cost.part_of(5, 2, seed=1).to_plain()
    assert set(part.measured.names("request")) == {f"name {number}" for number in range(5)}
    assert part.measured.count("request") == 4000
    assert part_cost.part_of(5, 2, per_second=50).measured.count("request") == 100


def test_the_cost_of_a_part_is_the_least_of_several_times() -> None:
    readings = itertools.chain.from_iterable(
        (start, start + step) for start, step in zip(itertools.count(), (5, 3, 9) * 99, strict=False)
    )
    cost = part_cost.cost_of(part_cost.part_of(2, 5), 5, lambda: next(readings) * 1_000_000)
    assert (cost.send_ms, cost.read_ms, cost.merge_ms, cost.snapshot_ms) == (3, 3, 0, 3)
    assert cost.bytes > 1000


def test_what_merging_costs_is_measured(tmp_path: Path) -> None:
    paths = merge.make_files(tmp_path, files=2, names=8, seconds=1, per_second=200)
    assert [path.name for path in paths] == ["segment-0.json", "segment-1.json"]
    cost = merge.merge_cost(tmp_path)
    assert (cost.code, cost.peak_mb > 10, cost.cpu_s > 0) == (0, True, True)


# -- the steps of a GET -----------------------------------------------------------------------------------------


def test_each_step_of_a_get_sends_its_requests() -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=evidence_cost.serve, args=(listener, seen.append), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for step in get_floor.STEPS:
            with get_steps.LOOPS[step](url) as loop:
                loop(1)
                loop(2)
            assert [request[:6] for request in seen] == [b"GET / "] * 3, step
            seen.clear()


def test_the_costs_of_the_steps_of_a_get_are_shown_with_what_each_adds() -> None:
    table = rows(get_floor.as_markdown({"socket": (4000.0, 7.0), "session": (30500.0, 9.5), "recorder": (None, 9.6)}))
    assert [row[1:] for row in table] == [
        ["4.0", "+4.0", "7.0", "+7.0"],
        ["30.5", "+26.5", "9.5", "+2.5"],
        ["-", "-", "9.6", "+0.1"],
    ]


class TestExplain:
    """How often ``--ipload-explain`` names what was made slow."""

    def test_a_load_that_had_nothing_to_compare_is_counted_as_one(self) -> None:
        lines = [{"function": "price_of", "share_before": 0.1}, {"function": "render", "share_before": 0.2}]
        compared = {"kind": "seconds", "slow": 3.0, "lines": lines}
        results = [
            {"verdict": "failed", "explain": compared},
            {"verdict": "failed", "explain": {**compared, "lines": []}},
            {"verdict": "failed", "explain": {"kind": "share", "slow": 3.0, "lines": [{"function": "price_of"}]}},
            {"verdict": "failed", "explain": {"kind": "share", "lines": [{"function": "price_of"}]}},
            {"verdict": "passed", "explain": compared},
        ]
        found = [explain.named(result) for result in results]
        assert found == [["price_of", "render"], [], [], None, None]
        assert explain.tally(found) == "1 of 5 | 1 of 5 | 1 of 5 | 2"

    @pytest.mark.parametrize("pattern", list(explain_power.PATTERNS)[:2])
    def test_a_function_that_is_slow_in_a_simulation_is_named_first(self, pattern: str) -> None:
        found = [explain_power.named(pattern, 20, 0.3, seed) for seed in range(4)]
        assert [each[:1] for each in found] == [["slow"]] * 4
        assert sum(bool(explain_power.named(pattern, 20, 0.0, seed)) for seed in range(4)) <= 1

    def test_a_service_answers(self, tmp_path: Path) -> None:
        cores = machine.Cores(server=min(os.sched_getaffinity(0)), client=min(os.sched_getaffinity(0)))
        with explain.service(cores, tmp_path, "stdlib", "sleep", "never", 1) as url:
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
            connection.request("GET", "/cart")
            assert connection.getresponse().read() == b"ok"
            connection.close()


def test_the_queueing_server_has_the_capacity_that_it_is_given() -> None:
    queue = Queue(2, 0.5)
    assert [queue.ends_at(0.0) for _ in range(4)] == [0.5, 0.5, 1.0, 1.0]
    assert queue.ends_at(3.0) == 3.5
    assert capacity.QUEUE.capacity == 200


@pytest.mark.parametrize(
    ("found", "is_right"),
    [({"rate": 215.0, "verdict": "passed"}, True), ({"rate": 225.0, "verdict": "passed"}, False)],
    ids=["near", "far"],
)
def test_a_capacity_is_right_within_ten_percent(found: dict[str, Any], is_right: bool) -> None:
    assert capacity.is_right(capacity.QUEUE, found) is is_right
    assert not capacity.is_right(capacity.BEYOND, found)
    assert capacity.is_right(capacity.BEYOND, {"verdict": "invalid"})


def test_the_memory_of_a_load_of_components_is_watched() -> None:
    shown = run_script("components", "--minutes=0.03")
    assert re.search(r"^50 users, [1-9][0-9]* iterations, 0 of them failed: passed\.$", shown, re.MULTILINE)
    assert "| s | MiB resident | threads |" in shown
