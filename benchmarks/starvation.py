"""Verdicts of loads whose generator is starved, against a target that is exact: none of them may be *failed*.

The generator is starved in six ways. The target answers after 20 ms and the limit of the p95 is 25 ms, so that a
verdict *failed* blames it for what the generator did. The other way round, a target that takes 30 ms is loaded by a
generator that has all it needs: none of those may be *invalid*. The script ends with 1 if one of them is.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from child import Child, ToolFailed, running
from exact_server import ExactServer, compile_server, running_server
from machine import Cores, describe, interruptible, prepare
from nginx import write_certificates
from options import count
from table import ABSENT, block, markdown, number
from tools import bring_load_tests, pytest_command

EXACT_MS, SLOW_MS, LIMIT = 20.0, 30.0, "25ms"
FAILED, INVALID = "failed", "invalid"
_LIMIT_S = 120.0
_COMPETITORS = 4
_BUSY = (sys.executable, "-c", "while True: pass")
_ANY_RATE = "--ipload-threshold=dropped_iterations < 1000000"
"""Else iterations that never started would decide the verdict, and not what was measured of the others."""
_STOPPED_S, _RUNNING_S = 0.3, 0.6


class Load(NamedTuple):
    """The shape of a load."""

    options: tuple[str, ...]
    pacing: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it has an arrival rate."""
        return any("arrival-rate" in option for option in self.options)


_SECONDS = "--ipload-duration=3s"
HEAVY = (
    Load(("--ipload-arrival-rate=2000/s", "--ipload-users=200", _SECONDS)),
    Load(("--ipload-users=100", _SECONDS), pacing="50ms"),
    Load(("--ipload-users=100", _SECONDS)),
)
LIGHT = (
    Load(("--ipload-arrival-rate=200/s", "--ipload-users=40", _SECONDS)),
    Load(("--ipload-users=20", _SECONDS), pacing="100ms"),
    Load(("--ipload-users=5", _SECONDS)),
)
AT_ONCE = (Load(("--ipload-users=200", "--ipload-iterations=1")),)


@dataclass(frozen=True)
class Way:
    """A way to starve a generator, or not to."""

    name: str
    test: str
    loads: Sequence[Load]
    """They take turns."""
    delay_ms: float = EXACT_MS
    competitors: int = 0
    stops: bool = False
    secure: bool = False
    unwanted: str = FAILED
    """The verdict that no run may have."""


STARVED = (
    Way("bodies that burn CPU", "burning", (*HEAVY, *LIGHT)),
    Way("Python's lock held in C", "holding", LIGHT),
    Way(f"{_COMPETITORS} busy processes on the core", "ordinary", LIGHT, competitors=_COMPETITORS),
    Way("SIGSTOP, a third of the time", "ordinary", LIGHT, stops=True),
    Way("https, a TLS context for each request", "verifying", HEAVY, secure=True),
    Way("200 users at once", "ordinary", AT_ONCE),
)
SLOW = Way("none, but a target that takes 30 ms", "ordinary", LIGHT, delay_ms=SLOW_MS, unwanted=INVALID)


@dataclass
class Results:
    """All runs of one way."""

    way: Way
    tests: list[dict[str, Any]] = field(default_factory=list)
    """Their entries in the JSON report."""
    failures: list[str] = field(default_factory=list)

    @property
    def verdicts(self) -> Counter[str]:
        """How often each verdict was given."""
        return Counter(test["verdict"] for test in self.tests)

    @property
    def is_good(self) -> bool:
        """Whether all runs ended, and none as it may not."""
        return bool(self.tests) and not self.failures and not self.verdicts[self.way.unwanted]

    def row(self) -> list[str]:
        """The row of the table."""
        shown = [str(self.verdicts[verdict]) for verdict in ("passed", INVALID, FAILED)]
        return [
            self.way.name,
            *shown,
            _largest(test["latency"].get("p95_ms") for test in self.tests),
            _largest(test.get("response_time", {}).get("p95_ms") for test in self.tests),
            _largest(test["generator"].get("lateness", {}).get("p95_ms") for test in self.tests),
        ]


def _largest(values: Iterable[float | None]) -> str:
    """The largest of those that were measured."""
    there = [value for value in values if value is not None]
    return number(max(there)) if there else ABSENT


class Benchmark:
    """Runs loads against a server on the other core."""

    def __init__(self, cores: Cores, folder: Path) -> None:
        self._cores = cores
        self._folder = folder
        self._report = folder / "report.json"
        write_certificates(folder)
        self._binary, self._with_tls = compile_server(folder), compile_server(folder, tls=True)
        bring_load_tests(folder)

    def run(self, results: Results, turn: int) -> None:
        """One more load; a failure is noted."""
        way = results.way
        self._report.unlink(missing_ok=True)
        try:
            with self._server(way) as server, ExitStack() as stack:
                for _ in range(way.competitors):
                    stack.enter_context(running("a busy process", _BUSY, self._cores.client, self._folder))
                self._load(way, way.loads[turn % len(way.loads)], server.url)
                late_ms = server.end().p99_us / 1000
            (test,) = json.loads(self._report.read_text())["tests"]
        except (ToolFailed, OSError, ValueError) as error:
            results.failures.append(f"- {way.name}: {str(error).splitlines()[0]}")
            print(f"{way.name}: {error}", file=sys.stderr)
            return
        results.tests.append(test)
        state = f"server late by {late_ms:.2f} ms, generator used {test['generator']['cpu_share']:.0%} of its core"
        print(f"{way.name}, {state}: {test['verdict']} {test['reason']}", file=sys.stderr)

    def _server(self, way: Way) -> AbstractContextManager[ExactServer]:
        binary, certificate = (self._with_tls, self._folder / "both.pem") if way.secure else (self._binary, None)
        return running_server(binary, self._cores.server, self._folder, way.delay_ms, certificate=certificate)

    def _load(self, way: Way, load: Load, url: str) -> None:
        command = pytest_command(
            f"starved_load_test.py::test_{way.test}",
            *load.options,
            *([_ANY_RATE] if load.is_open else []),
            f"--ipload-base-url={url}",
            f"--ipload-json={self._report}",
        )
        environment = {"BENCHMARK_LIMIT": LIMIT, "BENCHMARK_PACING": load.pacing}
        with running("pytest-ipload", command, self._cores.client, self._folder, environment) as child:
            until = time.perf_counter() + _LIMIT_S
            while way.stops and child.is_running and time.perf_counter() < until:
                time.sleep(_RUNNING_S)
                _stop_for_a_while(child)
            code = child.wait(_LIMIT_S)
            if code not in (0, 1):
                raise child.failure(f"ended with exit code {code}")


def _stop_for_a_while(child: Child) -> None:
    with suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(_STOPPED_S)
        os.kill(child.pid, signal.SIGCONT)


def as_markdown(everything: Sequence[Results], head: str) -> str:
    """The table with its notes."""
    how = (
        f"Verdicts of loads against a target that answers after {EXACT_MS:g} ms (the last row: {SLOW_MS:g} ms), "
        f"judged by `p95 < {LIMIT}`. Times are the largest p95 of all runs in ms. In the first rows no run may be "
        "*failed*, in the last one none may be *invalid*."
    )
    headers = ("the generator is starved by", "passed", INVALID, FAILED, "latency", "response time", "own lateness")
    notes = [note for results in everything for note in results.failures]
    return block(
        "starvation",
        [
            head,
            how,
            markdown(headers, [results.row() for results in everything]),
            *(["\n".join(notes)] if notes else []),
        ],
    )


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--runs", type=count, default=10, metavar="N", help="of each way (default: %(default)s)")
    made.add_argument(
        "--slow-runs", type=count, default=50, metavar="N", help="of the slow target (default: %(default)s)"
    )
    return made.parse_args(words)


def main() -> int:
    """Run the loads and print their table; 1 if a verdict is wrong."""
    options, cores = parse(), prepare()
    head = describe(cores, ("cc",))
    everything = [Results(way) for way in (*STARVED, SLOW)]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        benchmark = Benchmark(cores, Path(name))
        for results in everything:
            for turn in range(options.slow_runs if results.way is SLOW else options.runs):
                benchmark.run(results, turn)
    print(as_markdown(everything, head))
    return int(not all(results.is_good for results in everything))


if __name__ == "__main__":
    sys.exit(interruptible(main))
