"""Users without think time by their number in one process: what a request costs, and whether they all get on.

    python benchmarks/many_users.py > many-users.md

More users cost more: their sessions and stacks pass through the processor's caches between any two requests of one.
What this is to show is that the cost is not that of threads which wait for Python's lock.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import proc
from child import ToolFailed, running
from held_users import FILES_BESIDES, allow_open_files
from machine import describe, interruptible, prepare
from nginx import Nginx, running_nginx
from options import counts, parser, rounds_text
from table import block, markdown, ratio, spread
from tools import bring_load_tests, pytest_command

SETTLE_S = 2.0
"""From the moment when all users have come to the beginning of the measurement."""
_END_LIMIT_S = 120.0


@dataclass(frozen=True)
class Run:
    """What one run did while it was steady."""

    rate: float
    cpu_us: float
    """Processor time a request."""
    switches: float
    """Switches of threads a request."""
    resident_kib: int


def switches_of(pid: int) -> int:
    """How often the process's threads have given the processor away so far. Threads that end meanwhile do not count."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)
    return total


def run(users: int, nginx: Nginx, core: int, folder: Path, seconds: float) -> Run:
    """Load with so many users. Raises ToolFailed."""
    length = f"{seconds + 3 * SETTLE_S + users / 200:g}s"
    options = (f"--ipload-users={users}", f"--ipload-duration={length}", f"--ipload-base-url={nginx.urls['http']}")
    before = nginx.status().requests
    with running(f"{users} users", pytest_command("many_load_test.py", *options), core, folder) as child:
        child.wait_until(
            lambda: nginx.status().connections >= users and nginx.status().requests >= before + 3 * users, "all came"
        )
        time.sleep(SETTLE_S)
        requests, cpu_s, switches, began = (
            nginx.status().requests,
            proc.cpu_seconds(child.pid),
            switches_of(child.pid),
            time.perf_counter(),
        )
        time.sleep(seconds)
        made = nginx.status().requests - requests
        took_s, used_s = time.perf_counter() - began, proc.cpu_seconds(child.pid) - cpu_s
        switched, resident = switches_of(child.pid) - switches, proc.resident_kib(child.pid)
        if code := child.wait(_END_LIMIT_S):
            raise child.failure(f"ended with exit code {code}")
    if not made:
        raise ToolFailed(f"{users} users made no requests", "")
    return Run(made / took_s, used_s * 1e6 / made, switched / made, resident)


def as_markdown(results: dict[int, list[Run]], options: argparse.Namespace) -> str:
    """The table."""
    medians = {users: statistics.median(each.cpu_us for each in runs) for users, runs in results.items() if runs}
    base = medians.get(50, next(iter(medians.values()), 1.0))
    rows = [
        [
            str(users),
            spread([each.rate for each in runs]),
            spread([each.cpu_us for each in runs]),
            ratio(medians[users], base),
            spread([each.switches for each in runs]),
            spread([each.resident_kib / 1024 for each in runs]),
        ]
        for users, runs in results.items()
        if runs
    ]
    how = (
        f"GET of 66 bytes, no think time; {rounds_text(options.rounds)} of {options.seconds:g} s, median "
        "(smallest-largest). The ratio is that of the processor time to that with 50 users."
    )
    headers = ("users", "requests/s", "CPU us/request", "ratio", "switches/request", "RSS, MiB")
    return "\n\n".join([how, markdown(headers, rows)])


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, rounds=3, seconds=4, what="length of each measurement")
    numbers = (1, 50, 200, 500, 1000, 2000, 5000)
    made.add_argument("--users", type=counts, default=numbers, metavar="N,N", help="default: 1,50,...,5000")
    return made.parse_args(words)


def main() -> int:
    """Run it and print the table; 1 if a run failed."""
    options, cores = parse(), prepare()
    head, limit = describe(cores, ("nginx",)), allow_open_files() - FILES_BESIDES
    results: dict[int, list[Run]] = {users: [] for users in options.users if users <= limit}
    failed = False
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        bring_load_tests(folder)
        with running_nginx(cores.server, folder) as nginx:
            for _ in range(options.rounds):
                for users, runs in results.items():
                    try:
                        runs.append(run(users, nginx, cores.client, folder, options.seconds))
                    except ToolFailed as error:
                        failed = True
                        print(error, file=sys.stderr)
                    else:
                        print(f"{users} users: {runs[-1]}", file=sys.stderr)
    print(block("many-users", [head, as_markdown(results, options)]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(interruptible(main))
