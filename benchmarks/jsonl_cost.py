"""What ``--ipload-jsonl`` costs: processor time per request while a load runs, then time and memory to make its lines.

nginx has one core, pytest another one; runs with and without the option alternate. The lines are made of a spool of as
many requests, each in an iteration of its own, in a process of its own. The result is Markdown on stdout; progress is
on stderr.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from child import ToolFailed, running
from machine import Cores, describe, interruptible, prepare
from nginx import running_nginx
from options import count, parser, rounds_text
from scenarios import SCENARIOS
from steady import Throughput, measure, task_seconds
from table import block, markdown, spread
from tools import TOOLS, Task, bring_load_tests

from pytest_ipload.report.files.k6_lines import K6Lines
from pytest_ipload.stats.recorder import CHUNK_SAMPLES, Chunk
from pytest_ipload.stats.sample import ITERATION, OK, REQUEST
from pytest_ipload.stats.spool.session_spools import SpoolFacts
from pytest_ipload.stats.spool.spool_format import SpoolWriter, read_spool

_LINES_LIMIT_S = 600.0
_USERS = 50
_KEYS = ((REQUEST, "GET /small", "127.0.0.1", 200, OK), (ITERATION, "", "127.0.0.1", 0, OK))


def write_spool(path: Path, requests: int) -> None:
    """Samples of a load of 50 users, as it would leave them."""
    writer, draw = SpoolWriter(path), random.Random(0)
    clocks = [0] * _USERS
    for number, size in enumerate(_sizes(requests)):
        user, times = number % _USERS, array("q")
        for _ in range(size):
            latency_ns = draw.randrange(200_000, 900_000)
            times.extend((clocks[user], latency_ns))
            clocks[user] += latency_ns + 5_000
        writer.add(Chunk([], dict.fromkeys(_KEYS, times)))
    writer.close()


def _sizes(requests: int) -> list[int]:
    whole, rest = divmod(requests, CHUNK_SAMPLES)
    return [*[CHUNK_SAMPLES] * whole, *([rest] if rest else [])]


def lines(requests: int, folder: Path) -> dict[str, float]:
    """Make the lines of so many requests: seconds of processor time and by the clock, MiB of memory and of the file."""
    spool, out = folder / "samples.spool", folder / "out.jsonl"
    write_spool(spool, requests)
    facts = SpoolFacts("test_shop.py::test_cart", time.time_ns(), 0, False)
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, cpu = time.perf_counter(), time.process_time()
    made = K6Lines()
    with out.open("wb") as file:
        for batch in read_spool(spool):
            file.writelines(text.encode("ascii") for text in made.of_batch(facts, batch))
    return {
        "cpu_s": time.process_time() - cpu,
        "clock_s": time.perf_counter() - began,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "more_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mib,
        "spool_mib": spool.stat().st_size / 2**20,
        "file_mib": out.stat().st_size / 2**20,
    }


def load_part(options: argparse.Namespace, cores: Cores, folder: Path) -> str:
    """A load with and without the option. Raises ToolFailed."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "get")
    plain = TOOLS["pytest-ipload"]
    writing = replace(plain, command=lambda task: [*plain.command(task), f"--ipload-jsonl={folder / 'load.jsonl'}"])
    runs: dict[str, list[Throughput]] = {"without": [], "with `--ipload-jsonl`": []}
    with running_nginx(cores.server, folder) as nginx:
        task = Task(scenario, nginx, options.users, task_seconds(options.seconds))
        for turn in range(1, options.rounds + 1):
            for (name, found), tool in zip(runs.items(), (plain, writing), strict=True):
                found.append(measure(tool, task, cores, folder, options.seconds))
                said = f"{found[-1].requests_per_s:.0f} requests/s, {found[-1].cpu_us:.2f} us"
                print(f"load, round {turn} of {options.rounds}: {name} {said}", file=sys.stderr)
    rows = [
        [name, spread([each.requests_per_s for each in found]), spread([each.cpu_us for each in found])]
        for name, found in runs.items()
    ]
    how = f"### While the load runs\n\n{options.users} users, {rounds_text(options.rounds)} of {options.seconds:g} s."
    return "\n\n".join([how, markdown(("", "requests/s", "CPU us/request"), rows)])


def lines_part(options: argparse.Namespace, cores: Cores, folder: Path) -> str:
    """Lines made of a spool. Raises ToolFailed."""
    found = []
    command = [sys.executable, __file__, f"--lines={options.requests}"]
    for turn in range(1, options.rounds + 1):
        with running("making lines", command, cores.client, folder) as child:
            if code := child.wait(_LINES_LIMIT_S):
                raise child.failure(f"ended with exit code {code}")
            found.append(json.loads(child.output().splitlines()[-1]))
        print(f"lines, round {turn} of {options.rounds}: {found[-1]}", file=sys.stderr)
    meaning = {
        "cpu_s": "processor time, s",
        "clock_s": "by the clock, s",
        "memory_mib": "memory of the process, MiB",
        "more_mib": "of it for the lines, MiB",
        "spool_mib": "samples on disk before, MiB",
        "file_mib": "the file, MiB",
    }
    rows = [[text, spread([each[name] for each in found])] for name, text in meaning.items()]
    how = f"### When it is over\n\n{options.requests} requests, each in an iteration of its own: eight lines each."
    return "\n\n".join([how, markdown(("", ""), rows)])


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, rounds=3, seconds=5, what="length of each measurement, after 1 s to settle")
    made.add_argument("--users", type=count, default=_USERS, help="users of the load (default: %(default)s)")
    made.add_argument("--requests", type=count, default=1_000_000, help="requests to make lines of (%(default)s)")
    made.add_argument("--lines", type=count, help=argparse.SUPPRESS)
    return made.parse_args(words)


def main() -> int:
    """Measure both and print them; 1 if that failed."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        if options.lines is not None:
            print(json.dumps(lines(options.lines, folder)))
            return 0
        cores = prepare()
        bring_load_tests(folder)
        try:
            parts = [part(options, cores, folder) for part in (load_part, lines_part)]
        except ToolFailed as error:
            print(error, file=sys.stderr)
            return 1
    print(block("jsonl", [describe(cores, ("nginx",)), *parts]))
    return 0


if __name__ == "__main__":
    sys.exit(interruptible(main))
