"""One load on one worker of pytest-xdist and on two: requests per second, and the error of latencies.

    python benchmarks/scaling.py > scaling.md

All cores are for everybody here: the workers keep to one each, the server takes what it needs. So the body does some
work of its own after each request, as tests do; then the workers are the limit, not the server.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from child import ToolFailed, running
from exact_server import compile_server, running_server
from machine import Cores, describe, interruptible, prepare
from nginx import running_nginx
from options import amount, count, parser, rounds_text
from table import block, markdown, number, ratio, spread
from tools import bring_load_tests, pytest_command

DELAY_MS = 20.0
"""The server's exact delay where the error of latencies is measured."""
PACED_USERS = 50
"""With a pacing of 50 ms: 1000 requests/s."""
_END_LIMIT_S = 60.0


@dataclass
class Results:
    """Of so many workers, by round."""

    workers: int
    rates: list[float] = field(default_factory=list)
    skews_ms: list[float] = field(default_factory=list)
    p50_errors_ms: list[float] = field(default_factory=list)
    p99_errors_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where load tests run."""

    folder: Path
    cores: frozenset[int]


def run_test(
    name: str, workers: int, users: int, seconds: float, url: str, place: Place, burn_s: float
) -> dict[str, Any]:
    """Run one load test on so many workers; its entry in the JSON report. Raises ToolFailed if it does not pass."""
    folder = place.folder
    report = folder / "scaling.json"
    options = (f"--ipload-users={users}", f"--ipload-duration={seconds:g}s", f"--ipload-base-url={url}")
    command = pytest_command(f"scaling_load_test.py::{name}", *options, f"-n{workers}", f"--ipload-json={report}")
    command = [word for word in command if word != "-pno:xdist"]
    with running(f"pytest -n {workers}", command, place.cores, folder, {"BENCHMARK_BURN_S": str(burn_s)}) as child:
        code = child.wait(seconds + _END_LIMIT_S)
        if code:
            raise child.failure(f"ended with exit code {code}")
    [test] = json.loads(report.read_text(encoding="utf-8"))["tests"]
    entry: dict[str, Any] = test
    return entry


def measure(options: argparse.Namespace, cores: Cores, folder: Path) -> list[Results]:
    """All rounds, the numbers of workers taking turns."""
    everything = [Results(workers) for workers in options.workers]
    place, burn_s = Place(folder, cores.all), options.burn_ms / 1000
    with running_nginx(cores.server, folder) as nginx:
        os.sched_setaffinity(nginx.child.pid, cores.all)
        for _ in range(options.rounds):
            for results in everything:
                before = nginx.status().requests
                url = nginx.urls["http"]
                test = run_test("test_work", results.workers, options.users, options.seconds, url, place, burn_s)
                results.rates.append((nginx.status().requests - before) / test["duration_s"])
                skews = [shard["start_skew_ms"] for shard in test.get("shards", [])]
                results.skews_ms.append(max(skews, default=0.0))
                print(f"-n {results.workers}: {results.rates[-1]:.0f} requests/s", file=sys.stderr)
    binary = compile_server(folder)
    for _ in range(options.rounds):
        for results in everything:
            with running_server(binary, cores.server, folder, DELAY_MS) as server:
                test = run_test("test_paced", results.workers, PACED_USERS, options.seconds, server.url, place, 0.0)
                server.end()
            latency = test["latency"]
            results.p50_errors_ms.append(latency["p50_ms"] - DELAY_MS)
            results.p99_errors_ms.append(latency["p99_ms"] - DELAY_MS)
            print(f"-n {results.workers}: p99 error {results.p99_errors_ms[-1]:.3f} ms", file=sys.stderr)
    return everything


def as_markdown(everything: Sequence[Results], options: argparse.Namespace) -> str:
    """The table, with what it is about."""
    base = statistics.median(everything[0].rates)
    rows = [
        [
            f"`-n {results.workers}`",
            spread(results.rates),
            ratio(statistics.median(results.rates), base),
            number(max(results.skews_ms)),
            f"{statistics.median(results.p50_errors_ms):.3f}",
            f"{statistics.median(results.p99_errors_ms):.3f}",
        ]
        for results in everything
    ]
    how = (
        f"{options.users} users, {rounds_text(options.rounds)} of {options.seconds:g} s. Requests/s: the body burns "
        f"{options.burn_ms:g} ms of CPU after each request; counted by nginx, median (smallest-largest). Skew: how "
        f"late the last worker began, worst round. Error: reported latency minus {DELAY_MS:g} ms, at 1000 requests/s "
        "without the burning."
    )
    headers = ("workers", "requests/s", "ratio", "start skew, ms", "p50 error, ms", "p99 error, ms")
    return "\n\n".join([how, markdown(headers, rows)])


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, rounds=3, seconds=5, what="length of each load")
    made.add_argument("--users", type=count, default=40, help="users in all (default: %(default)s)")
    made.add_argument("--burn-ms", type=amount, default=2.0, help="work of the body (default: %(default)g ms of CPU)")
    made.add_argument("--workers", type=count, nargs="+", default=[1, 2], help="numbers of workers (default: 1 2)")
    return made.parse_args(words)


def main() -> int:
    """Run it and print the table; 1 if a run failed."""
    options, cores = parse(), prepare()
    head = describe(cores, ("nginx", "cc"))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        bring_load_tests(folder)
        try:
            everything = measure(options, cores, folder)
        except ToolFailed as error:
            print(error, file=sys.stderr)
            return 1
    print(block("scaling", [head, as_markdown(everything, options)]))
    return 0


if __name__ == "__main__":
    sys.exit(interruptible(main))
